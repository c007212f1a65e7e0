// Arrival of SCSI commands, and the data of writes: immediate, unsolicited, asked for by R2T
// (RFC 7143 11.3, 11.7, 11.8, 4.2.5).
#include <algorithm>

#include "tests/target/protocol.hpp"

namespace pollux::target {
namespace {

constexpr std::uint8_t kTaskSetFull = 0x28;  // SAM-5

bool is_zero(std::span<const std::uint8_t> bytes) noexcept {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b == 0; });
}

}  // namespace

void Protocol::check_command_flags(const Connection& c, const wire::ScsiCommand& command) noexcept {
  const bool is_read = (command.flags & wire::ScsiCommand::kRead) != 0;
  const bool is_write = (command.flags & wire::ScsiCommand::kWrite) != 0;
  const bool is_final = (command.flags & wire::kFinal) != 0;
  const std::uint32_t expected = command.expected_data_transfer_length.get();
  checks_.require((command.flags & 0x18) == 0 && is_zero(command.reserved),
                  Violation::reserved_field, "SCSI Command", command.flags);
  checks_.require((command.flags & 0x07) <= 4, Violation::task_attribute, "ATTR",
                  command.flags & 0x07u);
  checks_.require(!(is_read && is_write), Violation::task_attribute, "R and W both set");
  checks_.require(is_read || is_write || expected == 0, Violation::task_attribute,
                  "Expected Data Transfer Length without R and W", expected);
  checks_.require(is_write || is_final, Violation::final_bit, "F of a command that is no write");
  checks_.require(is_write || command.data_segment_length.get() == 0, Violation::immediate_data,
                  "data with a command that is no write");
  if (!is_write) return;
  const Negotiated& limits = c.negotiated;
  const std::uint32_t length = command.data_segment_length.get();
  const std::uint32_t most = std::min(limits.first_burst_length, expected);
  checks_.require(length == 0 || limits.immediate_data, Violation::immediate_data,
                  "immediate data with ImmediateData=No", length);
  checks_.require(length <= most, Violation::immediate_data, "length of immediate data", length,
                  most);
  checks_.require(is_final || !limits.initial_r2t, Violation::unsolicited_data,
                  "F=0 with InitialR2T=Yes");
  checks_.require(is_final || length < most, Violation::final_bit,
                  "F=0 with nothing left to send unasked", length, most);
}

void Protocol::begin_scsi_command(Connection& c) noexcept {
  const auto command = c.input.header<wire::ScsiCommand>();
  const std::uint32_t tag = command.initiator_task_tag.get();
  check_exp_stat_sn(c, command.exp_stat_sn.get());
  if (!check_cmd_sn(c, (command.opcode & wire::kImmediate) != 0, command.cmd_sn.get())) return;
  check_command_flags(c, command);
  const std::uint64_t number = ++counters_.commands;
  const FaultPlan& faults = config_.faults;
  if (number == faults.drop_connection_at_command) return fail(c);
  c.drop_pdu = true;
  const auto forget = [&] {
    c.aborted_tags[c.aborted_count++ % Connection::kAbortedTagsKept] = tag;
  };
  if (number == faults.reject_command_at) {
    forget();
    return send_reject(c, faults.reject_reason);
  }
  if (!checks_.require(tag != wire::kReservedTag && find_task(c, tag) == nullptr, Violation::itt,
                       "ITT of a command is in use", tag))
    return send_reject(c, 0x07);  // RFC 7143 11.17.1: task in progress
  Task* task = take_task(c, tag);
  if (task == nullptr) {
    forget();
    ++counters_.task_set_full;
    wire::ScsiResponse response;
    response.initiator_task_tag.set(tag);
    response.status = kTaskSetFull;
    stamp(c, response, true);
    return out_.pdu(response, {}, c.negotiated.digests);
  }
  c.drop_pdu = false;
  c.data_task = task;
  task->state = TaskState::receiving;
  task->lun_field = command.lun;
  task->cdb = command.cdb;
  task->expected_length = command.expected_data_transfer_length.get();
  task->is_write = (command.flags & wire::ScsiCommand::kWrite) != 0;
  decode(*task);
  task->transfer = std::min(task->cdb_length, task->expected_length);
  if (task->is_write)
    begin_write(c, *task, command);
  else if (task->is_medium_access)
    ++counters_.reads;
}

void Protocol::begin_write(Connection& c, Task& task, const wire::ScsiCommand& command) noexcept {
  ++counters_.writes;
  task.is_unsolicited = (command.flags & wire::kFinal) == 0;
  place_data(c, task, 0);
}

void Protocol::place_data(Connection& c, Task& task, std::uint32_t offset) noexcept {
  // Only bytes that the CDB asks for reach the unit, whatever the transfer length says.
  if (task.status != 0 || !task.is_medium_access || offset >= task.transfer) return;
  std::byte* destination = luns_[task.lun].write(task.disk_offset + offset);
  c.input.set_destination(destination, task.transfer - offset);
  counters_.written_bytes += std::min(task.transfer - offset, c.input.data_length());
}

void Protocol::end_scsi_command(Connection& c) noexcept {
  Task& task = *c.data_task;
  const FaultPlan& faults = config_.faults;
  if (task.is_write) {
    task.moved = c.input.data_length();
    task.asked = task.moved;
  }
  if (counters_.commands == faults.swallow_command_at)
    task.state = TaskState::swallowed;
  else if (task.is_write)
    continue_write(task);
  else
    make_ready(task, TaskState::answering);
  if (counters_.commands == faults.async_logout_at_command) send_async_logout(c);
}

void Protocol::begin_data_out(Connection& c) noexcept {
  const auto data = c.input.header<wire::DataOut>();
  check_exp_stat_sn(c, data.exp_stat_sn.get());
  checks_.require((data.opcode & wire::kImmediate) == 0, Violation::immediate_bit,
                  "I bit of a Data-Out");
  checks_.require((data.flags & 0x7f) == 0 && is_zero(data.reserved) && is_zero(data.reserved_2) &&
                      is_zero(data.reserved_3) && is_zero(data.reserved_4),
                  Violation::reserved_field, "Data-Out", data.flags);
  const std::uint32_t tag = data.initiator_task_tag.get();
  Task* task = find_task(c, tag);
  if (task == nullptr || !task->is_write) {
    c.drop_pdu = true;
    const auto& aborted = c.aborted_tags;
    const auto known = aborted.begin() + std::min<std::size_t>(c.aborted_count, aborted.size());
    // Data of a command that was aborted may still be on its way (RFC 7143 4.2.3.3).
    if (task == nullptr && std::find(aborted.begin(), known, tag) != known) return;
    checks_.note(Violation::itt, "ITT of a Data-Out names no write", tag);
    return send_reject(c, 0x09);  // RFC 7143 11.17.1: invalid PDU field
  }
  c.data_task = task;
  if (data.target_transfer_tag.get() == wire::kReservedTag)
    check_unsolicited(c, *task, data);
  else
    check_solicited(c, *task, data);
  if (!c.must_reset) place_data(c, *task, data.buffer_offset.get());
}

void Protocol::check_unsolicited(Connection& c, Task& task, const wire::DataOut& data) noexcept {
  const std::uint32_t length = c.input.data_length();
  const std::uint32_t most = std::min(c.negotiated.first_burst_length, task.expected_length);
  const bool is_final = (data.flags & wire::kFinal) != 0;
  checks_.require(data.data_sn.get() == task.data_sn, Violation::data_sn,
                  "DataSN of unsolicited data", data.data_sn.get(), task.data_sn);
  // RFC 7143 11.7.4: the LUN field is reserved here; many initiators copy it, and so may this one.
  checks_.require(data.lun.get() == 0 || data.lun == task.lun_field, Violation::lun,
                  "LUN of unsolicited data", data.lun.get(), task.lun_field.get());
  const bool safe =
      checks_.require(task.is_unsolicited, Violation::unsolicited_data,
                      "Data-Out that nobody asked for, behind F=1") &&
      checks_.require(data.buffer_offset.get() == task.moved, Violation::buffer_offset,
                      "offset of unsolicited data", data.buffer_offset.get(), task.moved) &&
      checks_.require(length <= most - std::min(most, task.moved), Violation::first_burst,
                      "unsolicited data", task.moved + std::uint64_t{length}, most);
  if (!safe) return fail(c);
  // RFC 7143 4.2.5.2: with unsolicited Data-Out the total is min(FirstBurstLength, EDTL) exactly.
  checks_.require(is_final == (task.moved + length == most), Violation::final_bit,
                  "F and the total of unsolicited data", task.moved + std::uint64_t{length}, most);
}

void Protocol::check_solicited(Connection& c, Task& task, const wire::DataOut& data) noexcept {
  const std::uint32_t length = c.input.data_length();
  const OutstandingR2t& r2t = task.r2ts[0];
  // RFC 7143 11.8: R2Ts of one task are answered in the order in which they were sent.
  const bool known = checks_.require(
      task.r2ts_open > 0 && data.target_transfer_tag.get() == r2t.target_transfer_tag,
      Violation::target_transfer_tag, "Target Transfer Tag of a Data-Out",
      data.target_transfer_tag.get(), r2t.target_transfer_tag);
  if (!known) return fail(c);
  checks_.require(data.data_sn.get() == r2t.data_sn, Violation::data_sn, "DataSN of a Data-Out",
                  data.data_sn.get(), r2t.data_sn);
  checks_.require(data.lun == task.lun_field, Violation::lun, "LUN of a Data-Out", data.lun.get(),
                  task.lun_field.get());
  const bool safe = checks_.require(data.buffer_offset.get() == r2t.offset + r2t.received,
                                    Violation::buffer_offset, "offset of a Data-Out",
                                    data.buffer_offset.get(), r2t.offset + r2t.received) &&
                    checks_.require(length <= r2t.length - r2t.received, Violation::burst,
                                    "more data than the R2T asked for",
                                    r2t.received + std::uint64_t{length}, r2t.length);
  if (!safe) return fail(c);
  const bool is_final = (data.flags & wire::kFinal) != 0;
  checks_.require(is_final == (r2t.received + length == r2t.length), Violation::burst,
                  "F and the total of an R2T's data", r2t.received + std::uint64_t{length},
                  r2t.length);
}

void Protocol::end_data_out(Connection& c) noexcept {
  Task& task = *c.data_task;
  const auto data = c.input.header<wire::DataOut>();
  const bool is_final = (data.flags & wire::kFinal) != 0;
  task.moved += c.input.data_length();
  if (data.target_transfer_tag.get() == wire::kReservedTag) {
    ++task.data_sn;
    task.asked = std::max(task.asked, task.moved);
    if (is_final) task.is_unsolicited = false;
  } else {
    OutstandingR2t& r2t = task.r2ts[0];
    r2t.received += c.input.data_length();
    ++r2t.data_sn;
    if (is_final || r2t.received == r2t.length) {
      std::move(task.r2ts.begin() + 1, task.r2ts.begin() + task.r2ts_open, task.r2ts.begin());
      --task.r2ts_open;
    }
  }
  if (task.state != TaskState::swallowed) continue_write(task);
}

/// Asks for more, or answers when all is in.
void Protocol::continue_write(Task& task) noexcept {
  if (task.is_unsolicited) return;
  const bool wants_more = task.status == 0 && task.asked < task.transfer;
  if (!wants_more) {
    if (task.r2ts_open == 0) make_ready(task, TaskState::answering);
    return;
  }
  if (task.r2ts_open < task.connection->negotiated.max_outstanding_r2t)
    make_ready(task, TaskState::asking);
}

bool Protocol::send_r2ts(Task& task) noexcept {
  Connection& c = *task.connection;
  while (task.asked < task.transfer && task.r2ts_open < c.negotiated.max_outstanding_r2t) {
    if (!out_.room(0, 0)) return false;
    OutstandingR2t& r2t = task.r2ts[task.r2ts_open++];
    r2t = OutstandingR2t{};
    r2t.target_transfer_tag = c.next_transfer_tag++ & 0x7fff'ffff;
    r2t.offset = task.asked;
    r2t.length = std::min(c.negotiated.max_burst_length, task.transfer - task.asked);
    task.asked += r2t.length;
    wire::R2t request;
    request.lun = task.lun_field;
    request.initiator_task_tag.set(task.initiator_task_tag);
    request.target_transfer_tag.set(r2t.target_transfer_tag);
    request.r2t_sn.set(task.r2t_sn++);
    request.buffer_offset.set(r2t.offset);
    request.desired_data_transfer_length.set(r2t.length);
    stamp(c, request, false);  // RFC 7143 11.8: the next StatSN, not used up
    out_.pdu(request, {}, c.negotiated.digests);
    ++counters_.r2ts;
  }
  return true;
}

}  // namespace pollux::target
