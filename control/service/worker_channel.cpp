#include "control/service/worker_channel.hpp"

#include <algorithm>

#include "dataplane/base/assert.hpp"

namespace pollux::service {

WorkerChannel::WorkerChannel(worker::Link& link, std::uint16_t slots)
    : link_(link), epochs_(slots) {
  for (std::uint16_t slot = slots; slot > 0; --slot) {
    free_slots_.push_back(static_cast<std::uint16_t>(slot - 1));
  }
}

std::optional<std::uint16_t> WorkerChannel::take_slot() noexcept {
  if (free_slots_.empty()) return std::nullopt;
  const std::uint16_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

iscsi::ConnectionRef WorkerChannel::open(std::uint16_t slot, std::uint64_t session_id,
                                         const net::Endpoint& remote, Duration connect_timeout) {
  iscsi::ToWorker message;
  message.kind = iscsi::ToWorkerKind::open;
  message.connection.slot = slot;
  message.connection.epoch = ++epochs_[slot];
  message.session_id = session_id;
  message.remote = remote;
  message.connect_timeout = connect_timeout;
  push(message);
  return message.connection;
}

void WorkerChannel::free_slot(iscsi::ConnectionRef connection) {
  send(iscsi::ToWorkerKind::free_slot, connection);
}

void WorkerChannel::release(std::uint16_t slot) noexcept { free_slots_.push_back(slot); }

void WorkerChannel::send_pdu(iscsi::ConnectionRef connection, const session::OutgoingPdu& pdu,
                             bool closes_reader) {
  POLLUX_ASSERT(pdu.data.size() <= iscsi::kControlDataBytesMax);
  auto owned = std::make_unique_for_overwrite<iscsi::ControlPdu>();
  owned->bhs = pdu.bhs;
  owned->length = static_cast<std::uint32_t>(pdu.data.size());
  owned->closes_reader = closes_reader;
  std::copy(pdu.data.begin(), pdu.data.end(), owned->data.begin());
  void* const pointer = owned.get();
  pdus_.emplace(pointer, std::move(owned));
  send(iscsi::ToWorkerKind::send_pdu, connection, pointer);
}

void WorkerChannel::send_gate(iscsi::ConnectionRef connection, const iscsi::Gate& gate) {
  auto owned = std::make_unique<iscsi::Gate>(gate);
  void* const pointer = owned.get();
  gates_.emplace(pointer, std::move(owned));
  send(iscsi::ToWorkerKind::set_gate, connection, pointer);
}

void WorkerChannel::send(iscsi::ToWorkerKind kind, iscsi::ConnectionRef connection, void* pointer) {
  iscsi::ToWorker message;
  message.kind = kind;
  message.connection = connection;
  message.pointer = pointer;
  push(message);
}

void WorkerChannel::push(const iscsi::ToWorker& message) {
  // A gate takes effect between the PDUs it was sent between: nothing may overtake what waits.
  if (!waiting_.empty() || !link_.to_worker.push(message)) waiting_.push_back(message);
  link_.nap_bell.ring();
}

bool WorkerChannel::flush() {
  bool moved = false;
  while (!waiting_.empty() && link_.to_worker.push(waiting_.front())) {
    waiting_.pop_front();
    moved = true;
  }
  if (moved) link_.nap_bell.ring();
  return moved;
}

std::size_t WorkerChannel::receive(std::span<iscsi::ToControl> messages) {
  const std::size_t count = link_.to_control.pop(messages);
  for (const iscsi::ToControl& message : messages.first(count)) {
    // A pointer that is not ours to take back would be a mistake of our own worker.
    if (message.kind == iscsi::ToControlKind::pdu_sent) {
      POLLUX_ASSERT(pdus_.erase(message.pointer) == 1);
    } else if (message.kind == iscsi::ToControlKind::gate_taken) {
      POLLUX_ASSERT(gates_.erase(message.pointer) == 1);
    }
  }
  return count;
}

}  // namespace pollux::service
