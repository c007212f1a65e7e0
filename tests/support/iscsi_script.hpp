// A conversation with a target that the test plays: the production worker on one end of a simulated
// wire, and on the other a TCP whose bytes the test writes and reads. Sessions start in full
// feature phase with the parameters a test names; control is the test as well.
//
// Held in every conversation, without being asked for: reserved fields of what the worker sends are
// zero, its padding is zero, its digests fit, CmdSN has no gap, ExpStatSN never runs ahead or back,
// each command completes exactly once, memory around the caller's buffers is untouched, and at the
// end everything that was borrowed is back.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/library/queue.hpp"
#include "dataplane/worker/worker.hpp"
#include "tests/support/iscsi_pdu.hpp"
#include "tests/support/tcp_host.hpp"

namespace pollux::script {

struct Options {
  iscsi::Parameters parameters{.initial_r2t = false, .max_recv_data_segment_length = 64 * KiB};
  iscsi::Phase phase = iscsi::Phase::full_feature;
  bool discovery = false;
  std::uint32_t cmd_sn = 0xffff'fffe;  ///< wrap is crossed every day
  std::uint32_t stat_sn = 0xffff'fffd;
  std::uint32_t window = 64;  ///< commands the target takes; 0: closed
  std::uint32_t lent_bytes_max = 0;
  std::uint32_t queue_depth = 128;
  std::size_t slots = 1;  ///< opened at the start
  iscsi::Limits limits{
      .connections = 4, .tasks = 256, .slabs = 8, .snapshot_small = 64, .snapshot_large = 16};
  iscsi::Timeouts timeouts;
  std::uint32_t engine_connections = 8;
  bool connects = true;  ///< false: the test opens
};

/// What the application asks for.
struct Request {
  std::uint8_t opcode = POLLUX_SCSI;
  std::uint32_t bytes = 0;
  std::uint8_t flags = 0;
  std::uint64_t lun = 0;
  std::vector<std::uint8_t> cdb;
  std::vector<std::size_t> pieces;  ///< lengths of the scatter list; empty: one piece
};
Request read(std::uint32_t bytes);
Request lent_read(std::uint32_t bytes);
Request write(std::uint32_t bytes);
Request registered_write(std::uint32_t bytes);
Request scsi(std::vector<std::uint8_t> cdb, std::uint8_t direction = 0, std::uint32_t bytes = 0);
Request test_unit_ready();
/// The CDB the library makes of a Request.
std::vector<std::uint8_t> cdb_of(const Request& request);
std::uint8_t command_flags(const Request& request);

class Script {
 public:
  explicit Script(const Options& options = {});
  ~Script();
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;

  /// Which connection the calls below are about; 0 at first.
  Script& on(std::uint16_t slot) { return peer_ = slot, *this; }

  // The application.
  std::size_t submit(const Request& request);
  /// Bytes of a command's memory, as the pattern of its number for writes.
  [[nodiscard]] std::span<std::byte> memory(std::size_t command);
  [[nodiscard]] Bytes sent_by(std::size_t command, std::size_t offset, std::size_t bytes) const;
  [[nodiscard]] bool completed(std::size_t command) const {
    return commands_[command]->completions != 0;
  }
  pollux_completion expect_completion(std::size_t command, int result,
                                      std::uint8_t scsi_status = 0);
  void expect_pending(std::size_t command);

  // The target.
  /// Sends and lets everything settle.
  void receive(const Pdu& pdu) { receive(std::vector{pdu}); }
  /// Several PDUs as one piece of stream.
  void receive(std::vector<Pdu> pdus);
  /// Fills in what the script owns and gives the bytes, without sending.
  Bytes stream_of(std::vector<Pdu> pdus);
  void pour(std::span<const std::byte> bytes);
  void close_from_target(bool reset);
  /// The next PDU of the initiator; fails the test when there is none.
  Pdu next();
  /// The next PDU is `expected` but for CmdSN and ExpStatSN, and for the task tag of a command.
  Pdu expect_tx(const Pdu& expected);
  /// A command of `request`: golden bytes.
  Pdu expect_command(std::size_t command, std::uint32_t immediate = 0, bool final = true);
  void expect_silence();
  void refuse_connections() { host_.engine.set_listener(nullptr); }
  void target_stops_reading(bool yes) { peer().stopped = yes; }

  // Control.
  void control(iscsi::ToWorkerKind kind, void* pointer = nullptr);
  void send_control_pdu(const Pdu& pdu, bool closes_reader = false);
  void set_gate(const iscsi::Gate& gate);
  iscsi::Gate gate() const;
  void open(std::uint16_t slot, const iscsi::ConnectionRef* ref = nullptr,
            net::Endpoint remote = kPortal);
  [[nodiscard]] iscsi::ConnectionRef connection() const { return peers_[peer_].ref; }
  void set_connection(iscsi::ConnectionRef ref) { peer().ref = ref; }
  void enter();                                               ///< full feature phase, with a gate
  [[nodiscard]] std::vector<iscsi::Slab> pdus_for_control();  ///< taken since the last call
  void hold_credits(bool yes);
  void expect_lost(iscsi::LossReason reason,
                   iscsi::ProtocolError error = iscsi::ProtocolError::none);
  void expect_lost(iscsi::ProtocolError error) {
    expect_lost(iscsi::LossReason::protocol_error, error);
  }
  [[nodiscard]] bool lost() const { return peers_[peer_].ended.has_value(); }
  [[nodiscard]] std::size_t messages(iscsi::ToControlKind kind) const;
  /// A ping is echoed and a read returns the right data.
  void expect_alive();

  // Time.
  void settle();
  void run_for(Duration duration);

  [[nodiscard]] const iscsi::Counters& counters() const { return worker_->initiator().counters(); }
  [[nodiscard]] const worker::Worker& worker() const { return *worker_; }
  [[nodiscard]] std::uint32_t stat_sn() const { return peers_[peer_].stat_sn; }
  void set_stat_sn(std::uint32_t value) { peer().stat_sn = value; }
  [[nodiscard]] std::uint32_t next_cmd_sn() const { return peers_[peer_].next_cmd_sn; }
  void set_window(std::uint32_t commands) { peer().window = commands; }
  iscsi::Parameters& parameters() { return peer().parameters; }
  sim::SimWire& wire() { return wire_; }
  /// Our device goes away.
  void remove_port() { port_.remove(); }
  void stall_port(bool yes) { port_.set_stalled(yes); }
  [[nodiscard]] std::size_t tx_waiting() const { return peers_[peer_].tx.size(); }
  pollux_queue& queue() { return *queue_; }

  static constexpr net::Endpoint kPortal{net::IpAddress::v4(10, 99, 0, 1), 3260};

 private:
  struct Peer {
    iscsi::ConnectionRef ref;
    tcp::ConnectionId tcp;
    iscsi::Parameters parameters;
    bool digests = false;
    bool entered = false;
    bool stopped = false;
    bool freed = false;
    std::uint32_t stat_sn = 0;
    std::uint32_t next_cmd_sn = 0;
    std::uint32_t window = 0;
    std::uint32_t last_exp_stat_sn = 0;
    Bytes stream;
    std::deque<Pdu> tx;
    std::optional<iscsi::ToControl> ended;
    bool connected = false;
  };
  struct Command {
    Request request;
    Bytes memory;
    std::vector<iovec> iov;
    int completions = 0;
    pollux_completion done{};
  };
  static constexpr std::size_t kGuard = 64;

  Peer& peer() { return peers_[peer_]; }
  void play(Duration limit, Duration quiet);
  bool turn();
  void host_events();
  void parse(Peer& peer);
  void check_header(Peer& peer, const Pdu& pdu);
  void handle(const iscsi::ToControl& message);
  void reap();
  void finish();
  [[nodiscard]] std::uint64_t session_id(std::uint16_t slot) const {
    return std::uint64_t{9} << 40 | slot;
  }

  Options options_;
  sim::SimWire wire_;
  sim::HeapPacketMemory memory_;
  sim::SimPort port_;
  worker::Link link_;
  std::vector<std::byte> snapshot_area_;
  std::unique_ptr<worker::Worker> worker_;
  sim::TcpHost host_;
  struct Accepts;
  std::unique_ptr<Accepts> listener_;
  std::vector<Peer> peers_;
  std::uint16_t peer_ = 0;
  std::unique_ptr<pollux_queue> queue_;
  std::vector<std::unique_ptr<Command>> commands_;
  std::vector<std::unique_ptr<iscsi::ControlPdu>> control_pdus_;
  std::deque<iscsi::Gate> gates_;
  std::size_t gates_out_ = 0;
  std::vector<iscsi::Slab> for_control_;
  bool holds_credits_ = false;
  std::vector<iscsi::ToWorker> held_credits_;
  std::vector<iscsi::ToControl> messages_;
};

}  // namespace pollux::script
