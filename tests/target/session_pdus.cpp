// NOP, Logout, task management, Reject and Async Message (RFC 7143 11.5, 11.6, 11.14 to 11.19).
#include <algorithm>

#include "tests/target/protocol.hpp"

namespace pollux::target {
namespace {

// RFC 7143 11.5.1 and 11.6.1.
constexpr std::uint8_t kAbortTask = 1;
constexpr std::uint8_t kAbortTaskSet = 2;
constexpr std::uint8_t kClearTaskSet = 4;
constexpr std::uint8_t kLogicalUnitReset = 5;
constexpr std::uint8_t kTargetWarmReset = 6;
constexpr std::uint8_t kFunctionComplete = 0;
constexpr std::uint8_t kTaskDoesNotExist = 1;
constexpr std::uint8_t kFunctionNotSupported = 5;

constexpr std::uint8_t kAsyncLogoutRequest = 1;  // RFC 7143 11.9.1
constexpr std::uint8_t kCidNotFound = 1;         // RFC 7143 11.15.1
constexpr std::uint8_t kRecoveryNotSupported = 2;

}  // namespace

void Protocol::end_nop_out(Connection& c) noexcept {
  const auto request = c.input.header<wire::NopOut>();
  checks_.require(request.flags == wire::kFinal, Violation::final_bit, "NOP-Out byte 1",
                  request.flags, wire::kFinal);
  const std::uint32_t tag = request.target_transfer_tag.get();
  if (tag != wire::kReservedTag) {
    checks_.require(tag == c.ping_transfer_tag, Violation::target_transfer_tag,
                    "Target Transfer Tag of a NOP-Out", tag, c.ping_transfer_tag);
    if (tag == c.ping_transfer_tag) ++counters_.pings_answered;
    c.ping_transfer_tag = wire::kReservedTag;
  }
  if (request.initiator_task_tag.get() == wire::kReservedTag) {
    // RFC 7143 11.18.1: without a task tag no answer is wanted, and it is immediate.
    checks_.require((request.opcode & wire::kImmediate) != 0, Violation::immediate_bit,
                    "I bit of a NOP-Out without task tag");
    checks_.require(c.input.data_length() == 0, Violation::nop, "data in an answer to a ping",
                    c.input.data_length());
    return;
  }
  checks_.require(tag == wire::kReservedTag, Violation::nop, "both tags of a NOP-Out valid", tag);
  ++counters_.echoes;
  wire::NopIn response;
  response.initiator_task_tag = request.initiator_task_tag;
  stamp(c, response, true);
  const std::size_t length =
      std::min<std::size_t>({c.input.data_length(), c.negotiated.initiator_segment_length,
                             kReplyDataMax, Connection::kTextBytes - c.text_bytes});
  out_.pdu(response, std::span{c.text.get() + c.text_bytes, length}, c.negotiated.digests);
}

void Protocol::send_ping(Connection& c) noexcept {
  if (c.ping_transfer_tag != wire::kReservedTag) ++counters_.pings_unanswered;
  ++counters_.pings_sent;
  c.ping_transfer_tag = c.next_transfer_tag++ & 0x7fff'ffff;
  wire::NopIn ping;
  ping.target_transfer_tag.set(c.ping_transfer_tag);
  stamp(c, ping, false);  // RFC 7143 11.19: StatSN is not advanced when ITT is reserved
  out_.pdu(ping, {}, c.negotiated.digests);
}

void Protocol::end_logout(Connection& c) noexcept {
  const auto request = c.input.header<wire::LogoutRequest>();
  checks_.require((request.reason & wire::kFinal) != 0, Violation::final_bit,
                  "Logout Request byte 1", request.reason);
  const unsigned reason = request.reason & 0x7fu;
  checks_.require(reason <= 2, Violation::logout, "reason of a Logout Request", reason);
  checks_.require(!(c.is_discovery && reason != 0), Violation::logout,
                  "reason in a discovery session", reason);
  wire::LogoutResponse response;
  response.initiator_task_tag = request.initiator_task_tag;
  if (reason == 1 && request.cid.get() != c.cid) response.response = kCidNotFound;
  if (reason == 2) response.response = kRecoveryNotSupported;
  pump(c);  // what is complete goes first
  stamp(c, response, true);
  out_.pdu(response, {}, c.negotiated.digests);
  if (response.response != 0) return;
  ++counters_.logouts;
  c.must_close = true;
}

void Protocol::end_task_management(Connection& c) noexcept {
  const auto request = c.input.header<wire::TaskManagementRequest>();
  ++counters_.task_management;
  checks_.require((request.function & wire::kFinal) != 0, Violation::final_bit,
                  "Task Management Request byte 1", request.function);
  const bool is_abort = (request.function & 0x7f) == kAbortTask;
  checks_.require(is_abort || request.referenced_task_tag.get() == wire::kReservedTag,
                  Violation::task_management, "Referenced Task Tag of a function without one",
                  request.referenced_task_tag.get(), wire::kReservedTag);
  checks_.require(request.initiator_task_tag.get() != wire::kReservedTag &&
                      find_task(c, request.initiator_task_tag.get()) == nullptr,
                  Violation::itt, "ITT of a task management request",
                  request.initiator_task_tag.get());
  wire::TaskManagementResponse response;
  response.initiator_task_tag = request.initiator_task_tag;
  response.response = manage_tasks(c, request);
  stamp(c, response, true);
  out_.pdu(response, {}, c.negotiated.digests);
}

std::uint8_t Protocol::manage_tasks(Connection& c,
                                    const wire::TaskManagementRequest& request) noexcept {
  const unsigned function = request.function & 0x7fu;
  if (function == kAbortTask) {
    Task* task = find_task(c, request.referenced_task_tag.get());
    if (task == nullptr) return kTaskDoesNotExist;
    abort_task(*task);
    return kFunctionComplete;
  }
  const bool one_unit =
      function == kAbortTaskSet || function == kClearTaskSet || function == kLogicalUnitReset;
  if (!one_unit && function != kTargetWarmReset) return kFunctionNotSupported;
  for (Task& task : tasks_) {
    const bool open = task.state != TaskState::free && task.state != TaskState::aborted;
    if (open && task.connection == &c && (!one_unit || task.lun_field == request.lun))
      abort_task(task);
  }
  return kFunctionComplete;
}

void Protocol::send_reject(Connection& c, std::uint8_t reason) noexcept {
  ++counters_.rejects;
  wire::Reject reject;
  reject.reason = reason;
  stamp(c, reject, true);
  out_.pdu(reject, c.input.header_bytes(), c.negotiated.digests);
}

void Protocol::send_async_logout(Connection& c) noexcept {
  wire::AsyncMessage message;
  message.async_event = kAsyncLogoutRequest;
  message.parameter3.set(config_.faults.async_logout_seconds);
  stamp(c, message, true);
  out_.pdu(message, {}, c.negotiated.digests);
}

}  // namespace pollux::target
