// One session and its connection as a worker holds them. Plain data: the functions that work on it
// are in Initiator, split by concern. Sessions have one connection for now; what belongs to which
// of the two (CmdSN and tasks to the session, StatSN, digests and the stream to the connection) is
// already apart.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/base/fixed_ring.hpp"
#include "dataplane/base/intrusive_list.hpp"
#include "dataplane/base/timer_wheel.hpp"
#include "dataplane/iscsi/command_window.hpp"
#include "dataplane/iscsi/limits.hpp"
#include "dataplane/iscsi/mailbox.hpp"
#include "dataplane/iscsi/parameters.hpp"
#include "dataplane/iscsi/snapshot.hpp"
#include "dataplane/iscsi/task.hpp"
#include "dataplane/tcp/engine.hpp"
#include "dataplane/wire/bhs.hpp"

namespace pollux::iscsi {

struct Session {
  std::uint64_t id = 0;  ///< UniqueSessionId; 0: none
  bool accepts_commands = false;
  bool reports_drained = false;  ///< control waits for commands_drained
  bool expects_late_responses =
      false;  ///< commands were aborted here; the target may still answer them
  CommandWindow window;
  IntrusiveList<Task, &Task::session_link> pending;
  IntrusiveList<Task, &Task::session_link> active;
};

/// Where the next bytes of the stream go (RFC 7143 11.1: BHS, AHS, digest, data, digest). A target
/// PDU never has an AHS, so the header is one stage with its digest.
enum class ReadStage : std::uint8_t { header, data, trailer };

/// What becomes of the data segment that is being read.
enum class DataSink : std::uint8_t {
  none,
  place,    ///< copied to the caller's memory of `task`
  lend,     ///< views move to the lent record of `task`
  slab,     ///< copied for control
  scratch,  ///< copied to Reader::scratch: sense data, echoed ping data
};

struct Reader {
  ReadStage stage = ReadStage::header;
  DataSink sink = DataSink::none;
  bool waits_for_gate = false;
  bool waits_for_credit = false;
  std::uint32_t data_left = 0;
  std::uint32_t scratch_used = 0;
  std::uint32_t crc = 0;
  Task* task = nullptr;
  Slab* slab = nullptr;
  wire::Bhs bhs;
  std::array<std::byte, 512> scratch;
};

struct NopReply {
  Be64 lun;
  std::uint32_t target_transfer_tag = 0;
};

enum class ConnectionState : std::uint8_t {
  free,
  connecting,
  open,
  closing,  ///< FIN is queued on behalf of control
  ended,    ///< control has been told; waits for free_slot
};

struct Connection {
  ConnectionState state = ConnectionState::free;
  Phase phase = Phase::login;
  bool discovery = false;
  bool peer_closed = false;  ///< FIN received
  ConnectionRef ref;
  tcp::Engine* engine = nullptr;
  tcp::ConnectionId tcp;
  Session session;
  Parameters parameters;
  StatSn exp_stat_sn;
  std::uint8_t credits = 0;

  IntrusiveList<Task, &Task::write_link> writers;  ///< tasks with data to send, in order of arrival
  FixedRing<ControlPdu*> control_pdus{kControlPdusMax};
  FixedRing<NopReply> nop_replies{kNopRepliesMax};
  Task* text = nullptr;  ///< Text Request sequence under way: one at a time, one tag (11.10.3)
  Task* logout = nullptr;
  bool text_closes_reader = false;
  Task* ping = nullptr;  ///< our NOP-Out under way
  bool ping_wanted = false;
  Instant last_received{};
  TimerNode timer;  ///< liveness; armed while a session is in full feature phase
  LossReason loss = LossReason::none;
  ProtocolError loss_detail = ProtocolError::none;
  SnapshotList snapshots;  ///< chunks in the send queue, in order of sending
  ListLink<Connection> send_link;
  ListLink<Connection> starved_link;  ///< waits for any slab to come back
  Reader reader;                      ///< last, because its scratch is seldom touched
};

}  // namespace pollux::iscsi
