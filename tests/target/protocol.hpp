// The iSCSI target without TCP: connections, sessions, commands and logical units, driven by "bytes
// have arrived or left on connection i". Runs over tcp::Engine in Target and over buffers in unit
// tests. Read first: RFC 7143 sections 4.2, 6, 10 and 11.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/time.hpp"
#include "tests/target/checks.hpp"
#include "tests/target/config.hpp"
#include "tests/target/connection.hpp"
#include "tests/target/lun.hpp"
#include "tests/target/pdu_output.hpp"
#include "tests/target/stream.hpp"

namespace pollux::target {

struct ProtocolCounters {
  std::uint64_t pdus_in = 0, logins = 0, logins_refused = 0, logouts = 0, reinstatements = 0;
  std::uint64_t commands = 0, reads = 0, writes = 0, read_bytes = 0, written_bytes = 0;
  std::uint64_t responses = 0, data_ins = 0, r2ts = 0, check_conditions = 0, task_set_full = 0;
  std::uint64_t rejects = 0, pings_sent = 0, pings_answered = 0, pings_unanswered = 0, echoes = 0;
  std::uint64_t task_management = 0, tasks_aborted = 0, send_space_waits = 0;
};

class Protocol {
 public:
  explicit Protocol(const TargetConfig& config);
  Protocol(const Protocol&) = delete;
  Protocol& operator=(const Protocol&) = delete;

  /// A transport connection was accepted as number `index` (< config.connections).
  void connected(std::uint32_t index) noexcept;
  /// It is gone: its session ends and its commands are dropped.
  void disconnected(std::uint32_t index) noexcept;
  /// Handles what has arrived and sends what is ready. True: there is more to do at once, call
  /// again.
  bool service(std::uint32_t index, Stream& stream, Instant now) noexcept;

  /// A connection other than the one served wants its stream aborted (session reinstatement); false
  /// when there is none. Ask until then after service().
  bool take_reset(std::uint32_t& index) noexcept;
  /// When service() has something to do on this connection without any event; kNever: no such time.
  [[nodiscard]] Instant deadline(std::uint32_t index) const noexcept;
  /// Asks for a NOP-In on this connection at its next service().
  void want_ping(std::uint32_t index) noexcept { flags_[index] |= kWantPing; }

  [[nodiscard]] bool in_full_feature(std::uint32_t index) const noexcept {
    return connections_[index].phase == Phase::full_feature;
  }
  [[nodiscard]] std::size_t open_tasks() const noexcept { return tasks_used_; }
  [[nodiscard]] std::size_t sessions() const noexcept;
  [[nodiscard]] FaultPlan& faults() noexcept { return config_.faults; }
  [[nodiscard]] const TargetConfig& config() const noexcept { return config_; }
  void set_portal(std::string portal) { config_.portal = std::move(portal); }
  [[nodiscard]] Checks& checks() noexcept { return checks_; }
  [[nodiscard]] const ProtocolCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] std::vector<Lun>& luns() noexcept { return luns_; }

 private:
  enum ConnectionFlag : std::uint8_t { kWantPing = 1, kWantReset = 2 };
  struct TextAnswer;
  struct LoginOffer;

  // --- protocol.cpp: turns, tasks, sequence numbers
  // -----------------------------------------------------
  bool read_pdus(Connection& c) noexcept;
  void take_pdu_header(Connection& c) noexcept;
  void dispatch_header(Connection& c) noexcept;
  void finish_pdu(Connection& c) noexcept;
  bool check_common(Connection& c, const wire::Bhs& bhs) noexcept;
  bool check_cmd_sn(Connection& c, bool immediate, std::uint32_t cmd_sn) noexcept;
  void check_exp_stat_sn(Connection& c, std::uint32_t exp_stat_sn) noexcept;
  Task* take_task(Connection& c, std::uint32_t initiator_task_tag) noexcept;
  Task* find_task(const Connection& c, std::uint32_t initiator_task_tag) noexcept;
  void free_task(Task& task) noexcept;
  /// The command no longer counts against the window.
  void retire(Task& task) noexcept;
  void abort_task(Task& task) noexcept;
  void make_ready(Task& task, TaskState state) noexcept;
  /// Sends for queued tasks while there is room. True when it stopped for want of room or time.
  bool pump(Connection& c) noexcept;
  void drop_tasks(Connection& c) noexcept;
  void fail(Connection& c) noexcept { c.must_reset = true; }
  std::size_t bucket(const Connection& c, std::uint32_t tag) const noexcept;

  template <class Header>
  void stamp(Connection& c, Header& header, bool advance) noexcept {
    std::uint32_t stat_sn = c.stat_sn.raw();
    if (advance) {
      c.stat_sn += 1;
      if (++counters_.responses == config_.faults.wrong_stat_sn_at) stat_sn += 2;
    }
    header.stat_sn.set(stat_sn);
    stamp_window(c, header);
  }
  template <class Header>
  void stamp_window(Connection& c, Header& header) noexcept {
    open_window(c);
    header.exp_cmd_sn.set(c.exp_cmd_sn.raw());
    header.max_cmd_sn.set(c.max_cmd_sn.raw());
  }
  void open_window(Connection& c) noexcept;

  // --- login.cpp
  // ----------------------------------------------------------------------------------------
  void begin_login_pdu(Connection& c) noexcept;
  void end_login_pdu(Connection& c) noexcept;
  bool check_login_header(Connection& c, const wire::LoginRequest& request) noexcept;
  bool read_offers(Connection& c, LoginOffer& offer) noexcept;
  bool identify(Connection& c, const wire::LoginRequest& request, const LoginOffer& offer) noexcept;
  void answer_offers(Connection& c, const LoginOffer& offer, TextAnswer& answer) noexcept;
  void answer_key(Connection& c, const LoginOffer& offer, std::size_t at,
                  TextAnswer& answer) noexcept;
  void answer_number(Connection& c, const LoginOffer& offer, std::size_t at,
                     TextAnswer& answer) noexcept;
  bool answer_digest(std::string_view list, bool crc32c, bool none, bool& use) noexcept;
  void reinstate(const Connection& c) noexcept;
  void refuse_login(Connection& c, std::uint16_t status) noexcept;
  void send_login_response(Connection& c, const wire::LoginRequest& request,
                           const TextAnswer& answer, bool transit) noexcept;
  void enter_full_feature(Connection& c) noexcept;

  // --- text_flow.cpp
  // ------------------------------------------------------------------------------------
  void end_text_request(Connection& c) noexcept;
  void answer_text(Connection& c, TextAnswer& answer) noexcept;
  std::uint32_t target_list(const Connection& c, std::span<std::byte> out,
                            bool& complete) const noexcept;
  void send_text_response(Connection& c, std::span<const std::byte> text, bool final) noexcept;
  /// The data segment goes behind c.text_bytes of c.text, as far as there is room; returns that
  /// room.
  std::uint32_t gather_text(Connection& c) noexcept;

  // --- session_pdus.cpp
  // ---------------------------------------------------------------------------------
  void end_nop_out(Connection& c) noexcept;
  void send_ping(Connection& c) noexcept;
  void end_logout(Connection& c) noexcept;
  void end_task_management(Connection& c) noexcept;
  std::uint8_t manage_tasks(Connection& c, const wire::TaskManagementRequest& request) noexcept;
  void send_reject(Connection& c, std::uint8_t reason) noexcept;
  void send_async_logout(Connection& c) noexcept;

  // --- scsi.cpp
  // -----------------------------------------------------------------------------------------
  /// Checks the CDB and fills what the command will move, or its sense.
  void decode(Task& task) noexcept;
  void decode_medium_access(Task& task, const Lun& lun, std::uint64_t lba, std::uint32_t blocks,
                            bool moves_data) noexcept;
  void set_sense(Task& task, std::uint8_t key, std::uint8_t asc, std::uint8_t ascq) noexcept;
  /// Writes the answer of a command without medium access; returns its length.
  std::uint32_t make_answer(const Task& task, std::span<std::byte> out) const noexcept;
  std::uint32_t make_inquiry(const Task& task, std::span<std::byte> out) const noexcept;
  std::uint32_t make_page(const Task& task, std::uint8_t page,
                          std::span<std::byte> out) const noexcept;
  std::uint32_t make_luns(std::span<std::byte> out) const noexcept;

  // --- read_flow.cpp
  // ------------------------------------------------------------------------------------
  /// Data and status of a task; false when it has to go on later.
  bool answer_task(Task& task) noexcept;
  bool send_data_in(Task& task) noexcept;
  bool send_scsi_response(Task& task) noexcept;

  // --- write_flow.cpp (and every command's arrival)
  // -----------------------------------------------------
  void begin_scsi_command(Connection& c) noexcept;
  void check_command_flags(const Connection& c, const wire::ScsiCommand& command) noexcept;
  void begin_write(Connection& c, Task& task, const wire::ScsiCommand& command) noexcept;
  void end_scsi_command(Connection& c) noexcept;
  void begin_data_out(Connection& c) noexcept;
  void check_unsolicited(Connection& c, Task& task, const wire::DataOut& data) noexcept;
  void check_solicited(Connection& c, Task& task, const wire::DataOut& data) noexcept;
  void end_data_out(Connection& c) noexcept;
  void place_data(Connection& c, Task& task, std::uint32_t offset) noexcept;
  void continue_write(Task& task) noexcept;
  bool send_r2ts(Task& task) noexcept;

  TargetConfig config_;
  std::vector<Lun> luns_;
  std::vector<Connection> connections_;
  std::vector<std::uint8_t> flags_;
  std::vector<Task> tasks_;
  std::vector<Task*> buckets_;
  Task* free_tasks_ = nullptr;
  std::size_t tasks_used_ = 0;
  std::size_t resets_wanted_ = 0;
  std::uint16_t next_tsih_ = 1;
  PduOutput out_;
  Stream* stream_ = nullptr;
  Instant now_{};
  Checks checks_;
  ProtocolCounters counters_;
};

}  // namespace pollux::target
