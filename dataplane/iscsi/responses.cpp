// What each PDU from the target does. A begin_ function judges the header before any byte of data
// is taken; a finish_ function acts once data and digest are in. Every broken rule ends the
// connection with a named reason: at ErrorRecoveryLevel 0 there is nothing to resume (RFC
// 7143 7.1.4.1).
#include <algorithm>

#include "dataplane/iscsi/initiator.hpp"

namespace pollux::iscsi {
namespace {

template <WireLayout T>
T as(const wire::Bhs& bhs) noexcept {
  static_assert(sizeof(T) == sizeof(wire::Bhs));
  return std::bit_cast<T>(bhs);
}

/// RFC 7143 11.7.3: the only statuses a Data-In may carry.
bool fits_data_in(std::uint8_t scsi_status) noexcept {
  return scsi_status == 0x00 || scsi_status == 0x04 || scsi_status == 0x10 || scsi_status == 0x14;
}

constexpr std::uint8_t kCheckCondition = 0x02;
constexpr std::size_t kSenseLengthBytes = 2;

}  // namespace

Initiator::Begin Initiator::fail(Connection& connection, ProtocolError error,
                                 Instant now) noexcept {
  counters_.protocol_errors[static_cast<std::size_t>(error)].add();
  lose(connection, LossReason::protocol_error, error, now);
  return Begin::lost;
}

Task* Initiator::find_task(Connection& connection, std::uint32_t tag, TaskKind kind) noexcept {
  Task* task = tasks_.find(tag);
  if (task == nullptr || task->connection != &connection || task->kind != kind ||
      task->state != TaskState::active) {
    return nullptr;
  }
  return task;
}

Initiator::Begin Initiator::begin_pdu(Connection& connection, Instant now) noexcept {
  const wire::Bhs& bhs = connection.reader.bhs;
  if (bhs.total_ahs_length != 0) return fail(connection, ProtocolError::additional_header, now);
  const std::uint32_t length = bhs.data_segment_length.get();
  // RFC 7143 13.12: in login the limit is the default, whatever has just been declared.
  const std::uint32_t limit = connection.phase == Phase::login
                                  ? Parameters{}.max_recv_data_segment_length
                                  : connection.parameters.max_recv_data_segment_length;
  if (length > limit) return fail(connection, ProtocolError::data_segment_too_long, now);

  if (connection.phase == Phase::login) {
    // RFC 7143 4.2.4: before full feature phase nothing but a Login Response may come.
    if (bhs.op() != wire::Opcode::login_response)
      return fail(connection, ProtocolError::opcode_in_wrong_phase, now);
    return begin_for_control(connection, now);
  }
  const bool scsi_allowed = !connection.discovery;
  switch (bhs.op()) {
    case wire::Opcode::data_in:
      if (!scsi_allowed) break;
      return begin_data_in(connection, now);
    case wire::Opcode::scsi_response:
      if (!scsi_allowed) break;
      return begin_scsi_response(connection, now);
    case wire::Opcode::ready_to_transfer:
      if (!scsi_allowed) break;
      return begin_r2t(connection, now);
    case wire::Opcode::nop_in:
      return begin_nop_in(connection, now);
    case wire::Opcode::text_response:
    case wire::Opcode::logout_response:
    case wire::Opcode::async_message:
    case wire::Opcode::reject:
      return begin_for_control(connection, now);
    case wire::Opcode::task_management_response:
      // We send no task management request yet, so no tag can fit.
      return fail(connection, ProtocolError::unexpected_task_tag, now);
    case wire::Opcode::login_response:
      break;
    case wire::Opcode::nop_out:
    case wire::Opcode::scsi_command:
    case wire::Opcode::task_management_request:
    case wire::Opcode::login_request:
    case wire::Opcode::text_request:
    case wire::Opcode::data_out:
    case wire::Opcode::logout_request:
    case wire::Opcode::snack_request:
    default:
      return fail(connection, ProtocolError::unknown_opcode, now);
  }
  return fail(connection, ProtocolError::opcode_in_wrong_phase, now);
}

Initiator::Begin Initiator::begin_data_in(Connection& connection, Instant now) noexcept {
  Reader& reader = connection.reader;
  const auto data_in = as<wire::DataIn>(reader.bhs);
  Task* task = find_task(connection, data_in.initiator_task_tag.get(), TaskKind::scsi);
  if (task == nullptr) {
    if (connection.session.expects_late_responses) return Begin::go_on;
    return fail(connection, ProtocolError::unexpected_task_tag, now);
  }
  if (!task->reads()) return fail(connection, ProtocolError::data_for_wrong_direction, now);
  const bool final = (data_in.flags & wire::kFinal) != 0;
  const bool status = (data_in.flags & wire::DataIn::kStatus) != 0;
  if (status && !final) return fail(connection, ProtocolError::status_without_final, now);
  if (status && !fits_data_in(data_in.status))
    return fail(connection, ProtocolError::status_in_data_in_not_good, now);
  constexpr std::uint8_t kBoth = wire::DataIn::kOverflow | wire::DataIn::kUnderflow;
  if (status && (data_in.flags & kBoth) == kBoth)
    return fail(connection, ProtocolError::bad_residual, now);
  if (data_in.data_sn.get() != task->next_data_sn)
    return fail(connection, ProtocolError::data_sn_gap, now);
  const std::uint64_t offset = data_in.buffer_offset.get();
  const std::uint64_t length = data_in.data_segment_length.get();
  if (offset + length > task->length)
    return fail(connection, ProtocolError::data_outside_buffer, now);
  // DataPDUInOrder and DataSequenceInOrder are both Yes: we offer nothing else and their result is
  // OR.
  if (length != 0 && offset != task->received)
    return fail(connection, ProtocolError::data_out_of_order, now);
  reader.task = task;
  reader.sink = task->lent != nullptr ? DataSink::lend : DataSink::place;
  return Begin::go_on;
}

Initiator::Begin Initiator::begin_scsi_response(Connection& connection, Instant now) noexcept {
  Reader& reader = connection.reader;
  const auto response = as<wire::ScsiResponse>(reader.bhs);
  Task* task = find_task(connection, response.initiator_task_tag.get(), TaskKind::scsi);
  if (task == nullptr && !connection.session.expects_late_responses)
    return fail(connection, ProtocolError::unexpected_task_tag, now);
  // RFC 7143 11.4.3: 02h to 7fh are reserved.
  if (response.response > 0x01 && response.response < 0x80)
    return fail(connection, ProtocolError::reserved_response_code, now);
  // RFC 7143 11.4.1: O and U exclude each other, and so do o and u.
  const auto both = [&](std::uint8_t bits) { return (response.flags & bits) == bits; };
  if (response.response == 0 &&
      (both(wire::ScsiResponse::kOverflow | wire::ScsiResponse::kUnderflow) ||
       both(wire::ScsiResponse::kBidiReadOverflow | wire::ScsiResponse::kBidiReadUnderflow))) {
    return fail(connection, ProtocolError::bad_residual, now);
  }
  if (response.response == 0 && response.status == kCheckCondition &&
      response.data_segment_length.get() < kSenseLengthBytes) {
    return fail(connection, ProtocolError::sense_malformed, now);
  }
  reader.task = task;
  reader.sink = DataSink::scratch;
  return Begin::go_on;
}

Initiator::Begin Initiator::begin_r2t(Connection& connection, Instant now) noexcept {
  Reader& reader = connection.reader;
  const auto r2t = as<wire::R2t>(reader.bhs);
  Task* task = find_task(connection, r2t.initiator_task_tag.get(), TaskKind::scsi);
  if (task == nullptr) {
    if (connection.session.expects_late_responses) return Begin::go_on;
    return fail(connection, ProtocolError::unexpected_task_tag, now);
  }
  if (!task->writes() || r2t.lun.get() != task->lun)
    return fail(connection, ProtocolError::r2t_for_wrong_task, now);
  const std::uint64_t offset = r2t.buffer_offset.get();
  const std::uint64_t length = r2t.desired_data_transfer_length.get();
  if (length == 0 || r2t.target_transfer_tag.get() == wire::kReservedTag ||
      r2t.data_segment_length.get() != 0)
    return fail(connection, ProtocolError::r2t_malformed, now);
  if (offset + length > task->length)
    return fail(connection, ProtocolError::r2t_outside_buffer, now);
  // DataSequenceInOrder is Yes and nothing is recovered at level 0: what was covered is not asked
  // again.
  if (offset < task->solicited_end) return fail(connection, ProtocolError::r2t_outside_buffer, now);
  if (r2t.r2t_sn.get() != task->next_r2t_sn)
    return fail(connection, ProtocolError::r2t_sn_gap, now);
  const std::size_t unsolicited =
      task->range_count != 0 && task->ranges[0].target_transfer_tag == wire::kReservedTag ? 1 : 0;
  const std::size_t allowed =
      std::min<std::size_t>(connection.parameters.max_outstanding_r2t, kOutstandingR2tMax) +
      unsolicited;
  if (task->range_count >= allowed) return fail(connection, ProtocolError::r2t_too_many, now);
  reader.task = task;
  return Begin::go_on;
}

Initiator::Begin Initiator::begin_nop_in(Connection& connection, Instant now) noexcept {
  const auto nop_in = as<wire::NopIn>(connection.reader.bhs);
  const bool has_itt = nop_in.initiator_task_tag.get() != wire::kReservedTag;
  const bool has_ttt = nop_in.target_transfer_tag.get() != wire::kReservedTag;
  // RFC 7143 11.19: an answer has our tag, a question the target's; never both. Only answers have
  // data.
  if ((has_itt && has_ttt) || (!has_itt && nop_in.data_segment_length.get() != 0))
    return fail(connection, ProtocolError::nop_in_malformed, now);
  if (has_itt) {
    Task* task = find_task(connection, nop_in.initiator_task_tag.get(), TaskKind::ping);
    if (task == nullptr) return fail(connection, ProtocolError::unexpected_task_tag, now);
    connection.reader.task = task;
  }
  if (has_ttt && connection.nop_replies.full()) {
    // Answers wait for send space: stop reading until one has left.
    connection.reader.waits_for_credit = true;
    counters_.reader_waits_for_credit.add();
    return Begin::wait;
  }
  return Begin::go_on;
}

Initiator::Begin Initiator::begin_for_control(Connection& connection, Instant now) noexcept {
  Reader& reader = connection.reader;
  if (reader.bhs.data_segment_length.get() > kControlDataBytesMax)
    return fail(connection, ProtocolError::control_pdu_too_long, now);
  const std::uint32_t tag = reader.bhs.initiator_task_tag.get();
  switch (reader.bhs.op()) {
    case wire::Opcode::text_response:
      if (connection.text == nullptr || connection.text->initiator_task_tag() != tag)
        return fail(connection, ProtocolError::unexpected_task_tag, now);
      break;
    case wire::Opcode::logout_response:
      if (connection.logout == nullptr || connection.logout->initiator_task_tag() != tag)
        return fail(connection, ProtocolError::unexpected_task_tag, now);
      break;
    default:
      break;
  }
  if (connection.credits == 0 || free_slabs_.empty()) {
    // The PDU stays in TCP, whose window tells the target to wait.
    reader.waits_for_credit = true;
    if (connection.credits != 0) starved_.push_back(connection);
    counters_.reader_waits_for_credit.add();
    return Begin::wait;
  }
  --connection.credits;
  reader.slab = free_slabs_.front();
  free_slabs_.pop();
  reader.slab->connection = connection.ref;
  reader.slab->bhs = reader.bhs;
  reader.slab->length = 0;
  reader.sink = DataSink::slab;
  return Begin::go_on;
}

bool Initiator::take_stat_sn(Connection& connection, StatSn stat_sn, Instant now) noexcept {
  // RFC 7143 7.9: a gap means that a response was lost; at level 0 that ends the session.
  if (!(stat_sn == connection.exp_stat_sn)) {
    fail(connection, ProtocolError::stat_sn_gap, now);
    return false;
  }
  connection.exp_stat_sn += 1;
  return true;
}

bool Initiator::finish_pdu(Connection& connection, Instant now) noexcept {
  connection.reader.stage = ReadStage::header;
  const wire::Opcode opcode = connection.reader.bhs.op();
  if (connection.phase == Phase::full_feature) {
    // ExpCmdSN and MaxCmdSN are in the same place of every PDU from the target (RFC 7143 11.2).
    const auto counters = as<wire::NopIn>(connection.reader.bhs);
    CommandWindow& window = connection.session.window;
    const bool was_open = window.open();
    if (!window.update(CmdSn{counters.exp_cmd_sn.get()}, CmdSn{counters.max_cmd_sn.get()}))
      counters_.command_numbers_ignored.add();
    if (!was_open && window.open()) want_send(connection);
  }
  switch (opcode) {
    case wire::Opcode::data_in:
      finish_data_in(connection, now);
      break;
    case wire::Opcode::scsi_response:
      finish_scsi_response(connection, now);
      break;
    case wire::Opcode::ready_to_transfer:
      finish_r2t(connection, now);
      break;
    case wire::Opcode::nop_in:
      finish_nop_in(connection, now);
      break;
    default:
      finish_for_control(connection, now);
      break;
  }
  return connection.state != ConnectionState::ended;
}

void Initiator::finish_data_in(Connection& connection, Instant now) noexcept {
  Reader& reader = connection.reader;
  const auto data_in = as<wire::DataIn>(reader.bhs);
  const bool status = (data_in.flags & wire::DataIn::kStatus) != 0;
  if (status && !take_stat_sn(connection, StatSn{data_in.stat_sn.get()}, now)) return;
  Task* task = reader.task;
  if (task == nullptr) return;  // answered after its command was aborted
  task->received += data_in.data_segment_length.get();
  ++task->next_data_sn;
  counters_.read_bytes.add(data_in.data_segment_length.get());
  if (!status) return;

  Outcome outcome;
  outcome.scsi_status = data_in.status;
  outcome.transferred = task->received;
  // RFC 7143 11.4.5: the residual accounts for what was not sent; anything else lost bytes on the
  // way.
  const std::uint32_t residual =
      (data_in.flags & wire::DataIn::kUnderflow) != 0 ? data_in.residual_count.get() : 0;
  if (std::uint64_t{task->received} + residual != task->length) outcome.result = POLLUX_EPROTO;
  complete(*task, outcome, now);
}

void Initiator::finish_scsi_response(Connection& connection, Instant now) noexcept {
  Reader& reader = connection.reader;
  const auto response = as<wire::ScsiResponse>(reader.bhs);
  if (!take_stat_sn(connection, StatSn{response.stat_sn.get()}, now)) return;
  Task* task = reader.task;
  if (task == nullptr) return;  // answered after its command was aborted

  Outcome outcome;
  if (response.response != 0) {
    // RFC 7143 11.4.3: the command was not delivered; status and residuals mean nothing.
    outcome.result = POLLUX_ETARGET;
    return complete(*task, outcome, now);
  }
  outcome.scsi_status = response.status;
  const std::span<const std::byte> data{reader.scratch.data(), reader.scratch_used};
  if (response.status == kCheckCondition) {
    const auto claimed = std::size_t{load<Be16>(data.data()).get()};
    if (claimed == 0 || claimed > response.data_segment_length.get() - kSenseLengthBytes) {
      fail(connection, ProtocolError::sense_malformed, now);
      return;
    }
    outcome.sense =
        data.subspan(kSenseLengthBytes, std::min(claimed, data.size() - kSenseLengthBytes));
  }
  const std::uint32_t residual =
      (response.flags & wire::ScsiResponse::kUnderflow) != 0 ? response.residual_count.get() : 0;
  if (residual > task->length) {
    fail(connection, ProtocolError::bad_residual, now);
    return;
  }
  const std::uint32_t accounted = task->length - residual;
  outcome.transferred = task->reads() ? std::min(task->received, accounted) : accounted;
  const bool good = response.status == 0x00 || response.status == 0x04;
  if (good && task->reads() && task->received != accounted) outcome.result = POLLUX_EPROTO;
  if (!good && task->writes()) outcome.transferred = 0;
  complete(*task, outcome, now);
}

void Initiator::finish_r2t(Connection& connection, Instant) noexcept {
  Task* task = connection.reader.task;
  if (task == nullptr) return;  // asked after its command was aborted
  const auto r2t = as<wire::R2t>(connection.reader.bhs);
  const std::uint32_t offset = r2t.buffer_offset.get();
  const std::uint32_t end = offset + r2t.desired_data_transfer_length.get();
  task->ranges[task->range_count++] = {.target_transfer_tag = r2t.target_transfer_tag.get(),
                                       .offset = offset,
                                       .end = end,
                                       .data_sn = 0};
  ++task->next_r2t_sn;
  task->solicited_end = end;
  if (!task->write_link.linked) connection.writers.push_back(*task);
  want_send(connection);
}

void Initiator::finish_nop_in(Connection& connection, Instant now) noexcept {
  const auto nop_in = as<wire::NopIn>(connection.reader.bhs);
  if (Task* task = connection.reader.task; task != nullptr) {
    // RFC 7143 11.19.2: only the answer to our question advances StatSN.
    if (!take_stat_sn(connection, StatSn{nop_in.stat_sn.get()}, now)) return;
    connection.ping = nullptr;
    tasks_.give_back(*task);
    return;
  }
  if (nop_in.target_transfer_tag.get() == wire::kReservedTag) return;
  connection.nop_replies.push(
      {.lun = nop_in.lun, .target_transfer_tag = nop_in.target_transfer_tag.get()});
  want_send(connection);
}

bool Initiator::apply_reject(Connection& connection, const Slab& slab, Instant now) noexcept {
  // RFC 7143 11.17.4: the data segment is the header of the rejected PDU.
  if (slab.length < wire::kBhsBytes) return true;
  const auto rejected = load<wire::Bhs>(slab.data.data());
  // A command that loses a Data-Out to a Reject still gets its SCSI Response (11.17.1, reason 2).
  if (rejected.op() != wire::Opcode::scsi_command) return true;
  Task* task = find_task(connection, rejected.initiator_task_tag.get(), TaskKind::scsi);
  if (task == nullptr) return true;
  const CmdSn number{as<wire::ScsiCommand>(rejected).cmd_sn.get()};
  const CmdSn expected{as<wire::Reject>(slab.bhs).exp_cmd_sn.get()};
  complete_with(*task, POLLUX_ETARGET, now);
  // RFC 7143 7.3: a target that has not counted the command waits for its CmdSN, and with it every
  // command behind. At level 0 that is not repaired: a new session is.
  return number.precedes(expected);
}

void Initiator::finish_for_control(Connection& connection, Instant now) noexcept {
  Reader& reader = connection.reader;
  Slab* slab = std::exchange(reader.slab, nullptr);
  if (connection.phase == Phase::full_feature &&
      !take_stat_sn(connection, StatSn{as<wire::NopIn>(reader.bhs).stat_sn.get()}, now)) {
    free_slabs_.push(slab);
    return;
  }
  counters_.copied_bytes.add(slab->length);
  const bool goes_on =
      reader.bhs.op() != wire::Opcode::reject || apply_reject(connection, *slab, now);
  switch (reader.bhs.op()) {
    case wire::Opcode::login_response:
      reader.waits_for_gate = true;
      break;
    case wire::Opcode::logout_response:
      reader.waits_for_gate = true;
      tasks_.give_back(*std::exchange(connection.logout, nullptr));
      break;
    case wire::Opcode::text_response:
      if ((reader.bhs.flags & wire::kFinal) != 0) {
        reader.waits_for_gate = connection.text_closes_reader;
        tasks_.give_back(*std::exchange(connection.text, nullptr));
      }
      break;
    default:
      break;
  }
  if (reader.waits_for_gate) counters_.reader_waits_for_gate.add();
  tell({.kind = ToControlKind::pdu, .connection = connection.ref, .pointer = slab});
  if (!goes_on) lose(connection, LossReason::rejected, ProtocolError::none, now);
}

}  // namespace pollux::iscsi
