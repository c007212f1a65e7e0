// Turns, command numbering and the task table of the embedded target. See protocol.hpp.
#include "tests/target/protocol.hpp"

#include <algorithm>
#include <bit>

#include "dataplane/base/assert.hpp"

namespace pollux::target {
namespace {

constexpr int kPdusPerTurn = 128;  // then another connection has its turn

}  // namespace

Protocol::Protocol(const TargetConfig& config)
    : config_(config),
      connections_(config.connections),
      flags_(config.connections),
      tasks_(config.tasks),
      buckets_(std::bit_ceil(std::size_t{config.tasks} * 2)) {
  POLLUX_ASSERT(!config.names.empty() && config.luns.size() <= kLunsMax);
  POLLUX_ASSERT(config.answers.max_outstanding_r2t <= kOutstandingR2tMax);
  POLLUX_ASSERT(config.answers.command_window > 0 && config.tasks > 0);
  luns_.reserve(config.luns.size());
  for (const LunConfig& lun : config.luns) luns_.emplace_back(lun);
  for (std::uint32_t i = 0; i < config.connections; ++i) {
    connections_[i].index = i;
    connections_[i].text.reset(new std::byte[Connection::kTextBytes]);
  }
  for (Task& task : tasks_) {
    task.next_hash = free_tasks_;
    free_tasks_ = &task;
  }
}

void Protocol::connected(std::uint32_t index) noexcept {
  disconnected(index);
  Connection& c = connections_[index];
  auto text = std::move(c.text);
  c = Connection{};
  c.index = index;
  c.text = std::move(text);
  c.phase = Phase::login;
  c.stat_sn = StatSn{config_.first_stat_sn};
}

void Protocol::disconnected(std::uint32_t index) noexcept {
  Connection& c = connections_[index];
  drop_tasks(c);
  c.phase = Phase::unused;
  if ((flags_[index] & kWantReset) != 0) --resets_wanted_;
  flags_[index] = 0;
}

std::size_t Protocol::sessions() const noexcept {
  return static_cast<std::size_t>(
      std::count_if(connections_.begin(), connections_.end(),
                    [](const Connection& c) { return c.phase == Phase::full_feature; }));
}

bool Protocol::take_reset(std::uint32_t& index) noexcept {
  if (resets_wanted_ == 0) return false;
  const auto at = std::find_if(flags_.begin(), flags_.end(),
                               [](std::uint8_t flags) { return (flags & kWantReset) != 0; });
  *at = static_cast<std::uint8_t>(*at & ~kWantReset);
  --resets_wanted_;
  index = static_cast<std::uint32_t>(at - flags_.begin());
  return true;
}

Instant Protocol::deadline(std::uint32_t index) const noexcept {
  const Task* task = connections_[index].ready_first;
  return task == nullptr ? kNever : task->ready_at;
}

bool Protocol::service(std::uint32_t index, Stream& stream, Instant now) noexcept {
  Connection& c = connections_[index];
  if (c.phase == Phase::unused || c.phase == Phase::ending) {
    stream.consume(static_cast<std::uint32_t>(stream.front().size()));
    return stream.readable() > 0;
  }
  stream_ = &stream;
  now_ = now;
  out_.attach(stream);
  if ((flags_[index] & kWantPing) != 0 && c.phase == Phase::full_feature && out_.room(0, 0)) {
    flags_[index] = static_cast<std::uint8_t>(flags_[index] & ~kWantPing);
    send_ping(c);
  }
  const bool more = read_pdus(c);
  if (!c.must_reset && !c.must_close) pump(c);
  if (c.must_reset) {
    out_.discard();
    stream.abort();
  } else {
    out_.flush();
    if (c.must_close) stream.close();
  }
  if (!c.must_reset && !c.must_close) return more;
  drop_tasks(c);
  c.phase = Phase::ending;
  return false;
}

/// True when it stopped although there is more to read and nothing to wait for.
bool Protocol::read_pdus(Connection& c) noexcept {
  const Digests& digests = c.negotiated.digests;
  for (int pdus = 0; pdus < kPdusPerTurn;) {
    if (c.must_reset || c.must_close) return false;
    // Every request may be answered at once, so none is looked at before its answer has room.
    if (!out_.room(0, kReplyDataMax)) {
      ++counters_.send_space_waits;
      return false;
    }
    switch (c.input.step(*stream_, digests.header, digests.data)) {
      case PduInput::Step::starved:
        return false;
      case PduInput::Step::header_damage:
        // RFC 7143 7.8: with ErrorRecoveryLevel 0 a header digest error ends the connection.
        checks_.note(Violation::header_digest, "header digest of a request");
        fail(c);
        return false;
      case PduInput::Step::header:
        take_pdu_header(c);
        break;
      case PduInput::Step::complete:
        finish_pdu(c);
        ++counters_.pdus_in;
        ++pdus;
        break;
    }
  }
  return true;
}

bool Protocol::check_common(Connection& c, const wire::Bhs& bhs) noexcept {
  checks_.require(bhs.total_ahs_length == 0, Violation::ahs, "TotalAHSLength",
                  bhs.total_ahs_length);
  checks_.require((bhs.opcode & 0x80) == 0, Violation::reserved_field, "bit 7 of byte 0",
                  bhs.opcode);
  const std::uint32_t limit = c.phase == Phase::login
                                  ? Negotiated{}.initiator_segment_length
                                  : config_.answers.max_recv_data_segment_length;
  const std::uint32_t length = bhs.data_segment_length.get();
  // RFC 7143 13.12: the default counts until a value is declared, and login PDUs keep to it.
  if (checks_.require(length <= limit, Violation::data_segment_length, "DataSegmentLength", length,
                      limit))
    return true;
  fail(c);
  return false;
}

void Protocol::take_pdu_header(Connection& c) noexcept {
  c.input.take_header(*stream_, c.negotiated.digests.header);
  c.drop_pdu = false;
  c.data_task = nullptr;
  const auto bhs = c.input.header<wire::Bhs>();
  if (!check_common(c, bhs)) return;
  const bool is_login = bhs.op() == wire::Opcode::login_request;
  if (!checks_.require(is_login == (c.phase == Phase::login), Violation::phase,
                       "opcode in this phase", bhs.opcode)) {
    fail(c);
    return;
  }
  dispatch_header(c);
}

void Protocol::dispatch_header(Connection& c) noexcept {
  const auto bhs = c.input.header<wire::Bhs>();
  switch (bhs.op()) {
    case wire::Opcode::login_request:
      return begin_login_pdu(c);
    case wire::Opcode::scsi_command:
      if (!checks_.require(!c.is_discovery, Violation::phase, "SCSI in a discovery session")) break;
      return begin_scsi_command(c);
    case wire::Opcode::data_out:
      return begin_data_out(c);
    case wire::Opcode::text_request:
    case wire::Opcode::nop_out: {
      // The same places hold CmdSN and ExpStatSN in every request that has them.
      const auto request = c.input.header<wire::NopOut>();
      check_exp_stat_sn(c, request.exp_stat_sn.get());
      if (!check_cmd_sn(c, (bhs.opcode & wire::kImmediate) != 0, request.cmd_sn.get())) return;
      gather_text(c);
      return;
    }
    case wire::Opcode::task_management_request:
    case wire::Opcode::logout_request: {
      const auto request = c.input.header<wire::TaskManagementRequest>();
      checks_.require(bhs.data_segment_length.get() == 0, Violation::data_segment_length,
                      "data in a request that has none", bhs.data_segment_length.get());
      check_exp_stat_sn(c, request.exp_stat_sn.get());
      check_cmd_sn(c, (bhs.opcode & wire::kImmediate) != 0, request.cmd_sn.get());
      return;
    }
    default:
      break;
  }
  checks_.note(Violation::opcode, "opcode", bhs.opcode);
  c.drop_pdu = true;
  send_reject(c, 0x05);  // RFC 7143 11.17.1: command not supported
}

void Protocol::finish_pdu(Connection& c) noexcept {
  checks_.require(c.input.padding_zero(), Violation::padding, "padding of a data segment");
  const bool digest_good = c.input.data_digest_good();
  checks_.require(digest_good, Violation::data_digest, "data digest of a request");
  const wire::Opcode opcode = c.input.header<wire::Bhs>().op();
  if (c.drop_pdu) return;
  if (!digest_good) {
    send_reject(c, 0x02);  // RFC 7143 7.8: data digest error
    // The command's data has a hole now: with ErrorRecoveryLevel 0 it ends here (SPC-4 47h/05h).
    if (c.data_task != nullptr) set_sense(*c.data_task, 0x0b, 0x47, 0x05);
    if (c.data_task == nullptr) return;
  }
  switch (opcode) {
    case wire::Opcode::login_request:
      return end_login_pdu(c);
    case wire::Opcode::scsi_command:
      return end_scsi_command(c);
    case wire::Opcode::data_out:
      return end_data_out(c);
    case wire::Opcode::text_request:
      return end_text_request(c);
    case wire::Opcode::nop_out:
      return end_nop_out(c);
    case wire::Opcode::logout_request:
      return end_logout(c);
    case wire::Opcode::task_management_request:
      return end_task_management(c);
    default:
      return;
  }
}

bool Protocol::check_cmd_sn(Connection& c, bool immediate, std::uint32_t cmd_sn) noexcept {
  // RFC 7143 4.2.2.1: one connection delivers in order, so each CmdSN is the expected one; an
  // immediate request carries it without using it up.
  const CmdSn seen{cmd_sn};
  if (!checks_.require(seen == c.exp_cmd_sn, Violation::cmd_sn, "CmdSN", cmd_sn,
                       c.exp_cmd_sn.raw())) {
    if (immediate) return true;
    c.drop_pdu = true;  // 4.2.2.1: outside the order, to be ignored in silence
    return false;
  }
  if (immediate) return true;
  if (!checks_.require(seen.precedes_or_is(c.max_cmd_sn), Violation::command_window,
                       "CmdSN beyond MaxCmdSN", cmd_sn, c.max_cmd_sn.raw())) {
    c.drop_pdu = true;
    return false;
  }
  c.exp_cmd_sn += 1;
  return true;
}

void Protocol::check_exp_stat_sn(Connection& c, std::uint32_t exp_stat_sn) noexcept {
  const StatSn seen{exp_stat_sn};
  checks_.require(seen.precedes_or_is(c.stat_sn), Violation::exp_stat_sn,
                  "ExpStatSN of a response never sent", exp_stat_sn, c.stat_sn.raw());
  if (c.has_exp_stat_sn)
    checks_.require(c.exp_stat_sn.precedes_or_is(seen), Violation::exp_stat_sn,
                    "ExpStatSN goes back", exp_stat_sn, c.exp_stat_sn.raw());
  c.has_exp_stat_sn = true;
  c.exp_stat_sn = seen;
}

void Protocol::open_window(Connection& c) noexcept {
  // RFC 7143 4.2.2.1: MaxCmdSN never goes back. A plan that closes the window stops it from moving.
  if (config_.faults.close_window) return;
  const std::uint32_t window = config_.answers.command_window;
  const std::uint32_t used = std::min(c.open_tasks, window);
  const CmdSn max = c.exp_cmd_sn + (window - used) - 1;
  if (c.max_cmd_sn.precedes(max)) c.max_cmd_sn = max;
}

std::size_t Protocol::bucket(const Connection& c, std::uint32_t tag) const noexcept {
  const std::uint64_t mixed =
      (std::uint64_t{c.index} << 32 | tag) * 0x9e37'79b9'7f4a'7c15;  // 2^64 / golden ratio
  return static_cast<std::size_t>(mixed >> 32) & (buckets_.size() - 1);
}

Task* Protocol::find_task(const Connection& c, std::uint32_t initiator_task_tag) noexcept {
  for (Task* task = buckets_[bucket(c, initiator_task_tag)]; task != nullptr;
       task = task->next_hash)
    if (task->initiator_task_tag == initiator_task_tag && task->connection == &c &&
        task->state != TaskState::aborted)
      return task;
  return nullptr;
}

Task* Protocol::take_task(Connection& c, std::uint32_t initiator_task_tag) noexcept {
  Task* task = free_tasks_;
  if (task == nullptr) return nullptr;
  free_tasks_ = task->next_hash;
  ++tasks_used_;
  ++c.open_tasks;
  *task = Task{};
  task->connection = &c;
  task->initiator_task_tag = initiator_task_tag;
  Task*& head = buckets_[bucket(c, initiator_task_tag)];
  task->next_hash = head;
  head = task;
  return task;
}

void Protocol::free_task(Task& task) noexcept {
  Connection& c = *task.connection;
  Task** link = &buckets_[bucket(c, task.initiator_task_tag)];
  while (*link != &task) link = &(*link)->next_hash;
  *link = task.next_hash;
  retire(task);
  task.state = TaskState::free;
  task.next_hash = free_tasks_;
  free_tasks_ = &task;
  --tasks_used_;
}

void Protocol::retire(Task& task) noexcept {
  // The window opens with the status itself: an initiator that filled it hears of it there.
  if (task.is_retired) return;
  task.is_retired = true;
  --task.connection->open_tasks;
}

void Protocol::make_ready(Task& task, TaskState state) noexcept {
  task.state = state;
  if (task.queued) return;
  Connection& c = *task.connection;
  task.queued = true;
  task.next_ready = nullptr;
  task.ready_at = state == TaskState::answering ? now_ + config_.faults.response_delay : now_;
  if (c.ready_last != nullptr)
    c.ready_last->next_ready = &task;
  else
    c.ready_first = &task;
  c.ready_last = &task;
}

void Protocol::abort_task(Task& task) noexcept {
  Connection& c = *task.connection;
  ++counters_.tasks_aborted;
  c.aborted_tags[c.aborted_count++ % Connection::kAbortedTagsKept] = task.initiator_task_tag;
  task.state = TaskState::aborted;
  retire(task);
  if (!task.queued) free_task(task);
}

bool Protocol::pump(Connection& c) noexcept {
  while (Task* task = c.ready_first) {
    if (task->state != TaskState::aborted && now_ < task->ready_at) return true;
    const TaskState state = task->state;
    const bool done = state == TaskState::aborted ||
                      (state == TaskState::asking ? send_r2ts(*task) : answer_task(*task));
    if (!done) {
      ++counters_.send_space_waits;
      return true;
    }
    c.ready_first = task->next_ready;
    if (c.ready_first == nullptr) c.ready_last = nullptr;
    task->queued = false;
    if (state == TaskState::asking)
      task->state = TaskState::receiving;
    else
      free_task(*task);
  }
  return false;
}

void Protocol::drop_tasks(Connection& c) noexcept {
  const bool has_tasks = c.open_tasks > 0 || c.ready_first != nullptr;
  c.ready_first = nullptr;
  c.ready_last = nullptr;
  c.data_task = nullptr;
  if (!has_tasks) return;
  for (Task& task : tasks_)
    if (task.state != TaskState::free && task.connection == &c) free_task(task);
}

}  // namespace pollux::target
