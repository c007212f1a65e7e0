// Control's end of the link to one worker: numbers connection slots, owns the PDUs and gates that are
// under way, and keeps messages in order when the ring to the worker is full. Control thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "control/session/session_types.hpp"
#include "dataplane/iscsi/mailbox.hpp"
#include "dataplane/worker/link.hpp"

namespace pollux::service {

class WorkerChannel {
 public:
  /// `link` outlives the channel. `slots` is how many connections the worker has room for.
  WorkerChannel(worker::Link& link, std::uint16_t slots);

  /// A free slot, or nothing. It stays taken until release().
  [[nodiscard]] std::optional<std::uint16_t> take_slot() noexcept;
  /// Connects a taken slot; the returned reference has an epoch no earlier use of the slot had.
  iscsi::ConnectionRef open(std::uint16_t slot, std::uint64_t session_id,
                            const net::Endpoint& remote, Duration connect_timeout);
  /// After `ended`: the worker forgets the slot. It may be opened again or released.
  void free_slot(iscsi::ConnectionRef connection);
  void release(std::uint16_t slot) noexcept;

  void send_pdu(iscsi::ConnectionRef connection, const session::OutgoingPdu& pdu, bool closes_reader);
  void send_gate(iscsi::ConnectionRef connection, const iscsi::Gate& gate);
  void send(iscsi::ToWorkerKind kind, iscsi::ConnectionRef connection = {}, void* pointer = nullptr);
  /// Moves messages that found the ring full. Returns whether any moved.
  bool flush();

  /// Takes messages of the worker. PDUs and gates that came home are dealt with here already.
  [[nodiscard]] std::size_t receive(std::span<iscsi::ToControl> messages);

  [[nodiscard]] worker::Link& link() noexcept { return link_; }
  [[nodiscard]] std::uint16_t slot_count() const noexcept { return static_cast<std::uint16_t>(epochs_.size()); }
  [[nodiscard]] std::size_t free_slot_count() const noexcept { return free_slots_.size(); }
  /// PDUs and gates the worker holds.
  [[nodiscard]] std::size_t lent_count() const noexcept { return pdus_.size() + gates_.size(); }

 private:
  void push(const iscsi::ToWorker& message);

  worker::Link& link_;
  std::vector<std::uint32_t> epochs_;       ///< by slot; of its latest use
  std::vector<std::uint16_t> free_slots_;
  std::deque<iscsi::ToWorker> waiting_;
  std::unordered_map<void*, std::unique_ptr<iscsi::ControlPdu>> pdus_;
  std::unordered_map<void*, std::unique_ptr<iscsi::Gate>> gates_;
};

}  // namespace pollux::service
