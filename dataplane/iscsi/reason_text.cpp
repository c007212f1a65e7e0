#include "dataplane/iscsi/mailbox.hpp"

namespace pollux::iscsi {

const char* to_text(LossReason reason) noexcept {
  switch (reason) {
    case LossReason::none:
      return "no reason";
    case LossReason::requested:
      return "closed on request";
    case LossReason::tcp_closed_by_peer:
      return "the target closed the connection";
    case LossReason::tcp_reset:
      return "the target reset the connection";
    case LossReason::tcp_timeout:
      return "the target stopped acknowledging data";
    case LossReason::connect_refused:
      return "connection refused";
    case LossReason::connect_timeout:
      return "no answer to the connection request";
    case LossReason::host_unreachable:
      return "host unreachable: no answer to ARP, or no route";
    case LossReason::no_local_resources:
      return "no free connection or port here";
    case LossReason::header_digest_error:
      return "header digest does not match";
    case LossReason::data_digest_error:
      return "data digest does not match";
    case LossReason::protocol_error:
      return "the target broke the protocol";
    case LossReason::rejected:
      return "the target rejected a command and waits for its number";
    case LossReason::ping_timeout:
      return "the target fell silent and did not answer a ping";
    case LossReason::command_timeout:
      return "a command was not answered in time";
    case LossReason::port_removed:
      return "the port was removed";
    case LossReason::address_conflict:
      return "another station has our address";
  }
  return "unknown reason";
}

const char* to_text(ProtocolError error) noexcept {
  switch (error) {
    case ProtocolError::none:
      return "none";
    case ProtocolError::unknown_opcode:
      return "unknown opcode";
    case ProtocolError::opcode_in_wrong_phase:
      return "PDU not allowed in this phase";
    case ProtocolError::additional_header:
      return "additional header segment from a target";
    case ProtocolError::data_segment_too_long:
      return "data segment longer than MaxRecvDataSegmentLength";
    case ProtocolError::control_pdu_too_long:
      return "text or event longer than pollux takes";
    case ProtocolError::unexpected_task_tag:
      return "response with a task tag that is not in use";
    case ProtocolError::stat_sn_gap:
      return "StatSN out of order";
    case ProtocolError::data_sn_gap:
      return "DataSN out of order";
    case ProtocolError::data_outside_buffer:
      return "Data-In beyond the expected length";
    case ProtocolError::data_out_of_order:
      return "Data-In out of order";
    case ProtocolError::data_for_wrong_direction:
      return "Data-In for a command that does not read";
    case ProtocolError::status_without_final:
      return "Data-In with status but without the F bit";
    case ProtocolError::status_in_data_in_not_good:
      return "Data-In with a status other than GOOD";
    case ProtocolError::bad_residual:
      return "residual count that cannot be";
    case ProtocolError::reserved_response_code:
      return "reserved response code";
    case ProtocolError::sense_malformed:
      return "malformed sense data segment";
    case ProtocolError::r2t_malformed:
      return "malformed R2T";
    case ProtocolError::r2t_outside_buffer:
      return "R2T outside what may be asked for";
    case ProtocolError::r2t_sn_gap:
      return "R2TSN out of order";
    case ProtocolError::r2t_too_many:
      return "more R2Ts than MaxOutstandingR2T";
    case ProtocolError::r2t_for_wrong_task:
      return "R2T for a command that does not write, or another LUN";
    case ProtocolError::nop_in_malformed:
      return "malformed NOP-In";
    case ProtocolError::count_:
      break;
  }
  return "unknown rule";
}

}  // namespace pollux::iscsi
