// Messages between the control thread and one worker. Two single-producer rings carry fixed-size
// messages in order; PDUs and gates share the ring to the worker, so a gate takes effect exactly
// between the PDUs it was sent between.
//
// Memory: what goes to the worker (ControlPdu, Gate) is allocated by control and comes back in a
// message when the worker has copied it. What goes to control (Slab) belongs to the worker; control
// returns it with credit_return. A connection is granted kCreditsPerConnection slabs; without
// credit its reader stops before the header of the PDU, and TCP's window does the rest.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "dataplane/base/serial_number.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/iscsi/parameters.hpp"
#include "dataplane/net/ip_address.hpp"
#include "dataplane/wire/bhs.hpp"

namespace pollux::iscsi {

inline constexpr std::size_t kCreditsPerConnection = 4;
/// Longest data segment that goes to control. Login is limited to 8192 by RFC 7143 13.12; discovery
/// sessions declare this much; a longer text or event elsewhere ends the connection.
inline constexpr std::uint32_t kControlDataBytesMax = 16 * 1024;

/// A connection slot of the worker. Control numbers them and raises epoch each time it opens one,
/// so a message about an earlier use of the slot is recognised and dropped.
struct ConnectionRef {
  std::uint16_t slot = 0;
  std::uint16_t reserved = 0;
  std::uint32_t epoch = 0;
  friend constexpr bool operator==(ConnectionRef, ConnectionRef) noexcept = default;
};

/// A PDU from control. In full feature phase the worker fills ITT, CmdSN and ExpStatSN.
struct ControlPdu {
  wire::Bhs bhs;
  std::uint32_t length = 0;    ///< of the data segment; without padding
  bool closes_reader = false;  ///< its response opens a negotiation or ends the session: stop there
  std::array<std::byte, kControlDataBytesMax> data;
};

/// A PDU for control. bhs is as received; the worker has verified digests and applied its StatSN.
struct Slab {
  ConnectionRef connection;
  wire::Bhs bhs;
  std::uint32_t length = 0;
  std::array<std::byte, kControlDataBytesMax> data;
};

/// Why a worker ended a connection, or found that it had ended.
enum class LossReason : std::uint8_t {
  none,
  requested,           ///< control asked for it
  tcp_closed_by_peer,  ///< FIN
  tcp_reset,
  tcp_timeout,  ///< user timeout: the peer stopped acknowledging
  connect_refused,
  connect_timeout,
  host_unreachable,
  no_local_resources,  ///< no free connection, port or route
  header_digest_error,
  data_digest_error,
  protocol_error,    ///< see detail
  rejected,          ///< the target rejected a command and still waits for its CmdSN
  ping_timeout,      ///< the target fell silent with commands open and did not answer a NOP-Out
  command_timeout,   ///< the oldest command was open for too long
  port_removed,      ///< the device under the connection is gone
  address_conflict,  ///< another station has the address it would come from
};

/// The rule that was broken, for LossReason::protocol_error. One counter each.
enum class ProtocolError : std::uint8_t {
  none,
  unknown_opcode,
  opcode_in_wrong_phase,
  additional_header,  ///< AHS on a target PDU
  data_segment_too_long,
  control_pdu_too_long,
  unexpected_task_tag,  ///< no such task
  stat_sn_gap,
  data_sn_gap,
  data_outside_buffer,
  data_out_of_order,
  data_for_wrong_direction,
  status_without_final,
  status_in_data_in_not_good,
  bad_residual,
  reserved_response_code,
  sense_malformed,
  r2t_malformed,
  r2t_outside_buffer,
  r2t_sn_gap,
  r2t_too_many,
  r2t_for_wrong_task,
  nop_in_malformed,
  count_,
};

enum class ToWorkerKind : std::uint8_t {
  open,  ///< connect a slot
  send_pdu,
  set_gate,         ///< opens the reader with new values
  resume_reader,    ///< opens the reader, values unchanged
  close,            ///< orderly: FIN behind what is queued; then `ended` with requested
  abort,            ///< RST; then `ended` with requested
  refuse_commands,  ///< logout began: new submissions complete as aborted
  abort_commands,   ///< every open command of the session completes as aborted
  free_slot,        ///< after `ended`: control is done with the slot
  credit_return,
  attach_queue,
  detach_queue,
  stop,  ///< the worker's thread leaves its loop
};

struct ToWorker {
  ToWorkerKind kind = ToWorkerKind::stop;
  ConnectionRef connection;
  std::uint64_t session_id = 0;  ///< open: UniqueSessionId that commands will name
  net::Endpoint remote;          ///< open
  Duration connect_timeout{};    ///< open
  void* pointer = nullptr;       ///< ControlPdu*, Gate*, Slab* or CommandQueue*
};

enum class ToControlKind : std::uint8_t {
  connected,
  ended,             ///< once for each open, after connected or instead of it
  pdu,               ///< pointer is a Slab
  pdu_sent,          ///< pointer is the ControlPdu, which is control's again
  gate_taken,        ///< pointer is the Gate, which is control's again
  commands_drained,  ///< after refuse_commands: no command of the session is open
  queue_detached,
};

struct ToControl {
  ToControlKind kind = ToControlKind::ended;
  ConnectionRef connection;
  LossReason reason = LossReason::none;
  ProtocolError protocol_error = ProtocolError::none;
  std::uint16_t local_port = 0;  ///< connected
  void* pointer = nullptr;
};

static_assert(std::is_trivially_copyable_v<ToWorker> && std::is_trivially_copyable_v<ToControl>);

/// Words for logs, events and the CLI.
const char* to_text(LossReason reason) noexcept;
const char* to_text(ProtocolError error) noexcept;

}  // namespace pollux::iscsi
