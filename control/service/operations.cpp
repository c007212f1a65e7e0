#include "control/service/operations.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "control/ring/text.hpp"

namespace pollux::service {
namespace {

Duration to_duration(Seconds seconds) { return std::chrono::duration_cast<Duration>(seconds); }

/// How long a client that gave no deadline waits.
Duration default_deadline(const Config& config, std::uint32_t opcode) {
  switch (opcode) {
    case MSiSCSI_LoginToTarget: return to_duration(config.login.timeout) + 1s;
    case MSiSCSI_LogoutFromTarget:
      return to_duration(config.logout.drain) + to_duration(config.logout.timeout) + 2 * kCloseTimeout;
    case POLLUX_OP_BENCH: return std::chrono::seconds(kBenchSecondsMax) + 60s;
    default: return 60s;
  }
}

/// Size of the OUT structure of the operations that are only refused.
std::size_t refused_output_bytes(std::uint32_t opcode) {
  return opcode == MSiSCSI_AddConnectionToSession ? sizeof(AddConnectionToSession_OUT)
                                                  : sizeof(std::uint32_t);
}

}  // namespace

const Operations::Entry* Operations::find_entry(std::uint32_t opcode) noexcept {
  static constexpr std::array kEntries{
      Entry{MSiSCSI_SendTargets, &Operations::send_targets},
      Entry{MSiSCSI_LoginToTarget, &Operations::login},
      Entry{MSiSCSI_LogoutFromTarget, &Operations::logout},
      Entry{MSiSCSI_AddConnectionToSession, &Operations::refuse},
      Entry{MSiSCSI_RemovePersistentLogin, &Operations::refuse},
      Entry{MSiSCSI_RemoveConnectionFromSession, &Operations::refuse},
      Entry{MSiSCSI_ScsiInquiry, &Operations::inquiry},
      Entry{MSiSCSI_ScsiReadCapacity, &Operations::read_capacity_raw},
      Entry{MSiSCSI_ScsiReportLuns, &Operations::report_luns},
      Entry{MSiSCSI_SetCHAPSharedSecret, &Operations::refuse},
      Entry{MSiSCSI_SetRADIUSSharedSecret, &Operations::refuse},
      Entry{MSiSCSI_DeleteInitiatorNodeName, &Operations::refuse},
      Entry{MSiSCSI_SetInitiatorNodeName, &Operations::refuse},
      Entry{MSiSCSI_AddiSNSServer, &Operations::refuse},
      Entry{MSiSCSI_RemoveiSNSServer, &Operations::refuse},
      Entry{MSiSCSI_AddRADIUSServer, &Operations::refuse},
      Entry{MSiSCSI_RemoveRADIUSServer, &Operations::refuse},
      Entry{POLLUX_OP_STATUS, &Operations::status},
      Entry{POLLUX_OP_SESSION_LIST, &Operations::session_list},
      Entry{POLLUX_OP_STATS, &Operations::stats},
      Entry{POLLUX_OP_READ, &Operations::transfer},
      Entry{POLLUX_OP_WRITE, &Operations::transfer},
      Entry{POLLUX_OP_VERIFY, &Operations::transfer},
      Entry{POLLUX_OP_BENCH, &Operations::bench},
      Entry{POLLUX_OP_BENCH_PROGRESS, &Operations::bench_progress},
  };
  const auto at = std::find_if(kEntries.begin(), kEntries.end(),
                               [opcode](const Entry& entry) { return entry.opcode == opcode; });
  return at == kEntries.end() ? nullptr : &*at;
}

Operations::Operations(OperationsOptions options)
    : options_(std::move(options)), started_(options_.clock()) {}
Operations::~Operations() = default;

void Operations::on_command(const ring::Request& request, Instant now) {
  const Entry* entry = find_entry(request.opcode);
  if (entry == nullptr) return options_.complete(request.id, POLLUX_RING_UNKNOWN_OPCODE, {}, 0);
  if (is_stopping_) return options_.complete(request.id, POLLUX_RING_STOPPING, {}, 0);
  const Serial serial = next_serial_++;
  Pending& pending = pending_[serial];
  pending.id = request.id;
  pending.opcode = request.opcode;
  pending.output_capacity = request.output_capacity;
  pending.input = request.input;
  pending.deadline = now + (request.deadline_ms != 0 ? Duration(std::chrono::milliseconds(request.deadline_ms))
                                                     : default_deadline(options_.config, request.opcode));
  (this->*entry->handler)(serial, now);
}

void Operations::finish(Serial serial, std::uint32_t ring_status, std::span<const std::byte> output,
                        std::uint64_t needed) {
  const auto at = pending_.find(serial);
  if (at == pending_.end()) return;
  const ring::RequestId id = at->second.id;
  pending_.erase(at);
  options_.complete(id, ring_status, output, needed);
}

void Operations::answer_with_sentence(Serial serial, std::span<const std::byte> structure,
                                      std::string_view sentence) {
  if (!is_pending(serial)) return;
  std::vector<std::byte> output(structure.begin(), structure.end());
  const std::size_t capacity = pending_.at(serial).output_capacity;
  const std::size_t room = capacity > output.size() ? capacity - output.size() : 0;
  const auto text = std::as_bytes(std::span(sentence)).first(std::min(room, sentence.size()));
  output.insert(output.end(), text.begin(), text.end());
  finish(serial, POLLUX_RING_OK, output);
}

bool Operations::require_room(Serial serial, std::uint64_t needed) {
  if (pending_.at(serial).output_capacity >= needed) return true;
  finish(serial, POLLUX_RING_OUTPUT_TOO_SMALL, {}, needed);
  return false;
}

void Operations::set_deadline(Serial serial, Instant deadline) { pending_.at(serial).deadline = deadline; }

void Operations::end_abandoned(Serial serial, std::uint32_t ring_status) {
  const std::function<void()> abandon = std::move(pending_.at(serial).abandon);
  finish(serial, ring_status);
  if (abandon) abandon();
}

void Operations::on_cancel(ring::RequestId request, Instant) {
  const auto at = std::find_if(pending_.begin(), pending_.end(), [&](const auto& entry) {
    return entry.second.id.client == request.client && entry.second.id.ticket.slot == request.ticket.slot &&
           entry.second.id.ticket.sequence == request.ticket.sequence;
  });
  if (at != pending_.end()) end_abandoned(at->first, POLLUX_RING_CANCELLED);
}

void Operations::on_client_gone(ring::ClientId client, Instant) {
  std::vector<Serial> serials;
  for (const auto& [serial, pending] : pending_) {
    if (pending.id.client == client) serials.push_back(serial);
  }
  for (const Serial serial : serials) {
    if (is_pending(serial)) end_abandoned(serial, POLLUX_RING_CANCELLED);
  }
}

void Operations::on_time(Instant now) {
  std::vector<Serial> late;
  for (const auto& [serial, pending] : pending_) {
    if (pending.deadline <= now) late.push_back(serial);
  }
  for (const Serial serial : late) {
    if (is_pending(serial)) end_abandoned(serial, POLLUX_RING_DEADLINE_PASSED);
  }
}

Instant Operations::next_deadline() const noexcept {
  Instant next = kNever;
  for (const auto& [serial, pending] : pending_) next = std::min(next, pending.deadline);
  return next;
}

void Operations::stop(Instant) {
  is_stopping_ = true;
  for (BenchRun& run : benches_) run.bench->stop();
  while (!pending_.empty()) end_abandoned(pending_.begin()->first, POLLUX_RING_STOPPING);
}

void Operations::refuse(Serial serial, Instant) {
  const std::size_t bytes = refused_output_bytes(pending_.at(serial).opcode);
  AddConnectionToSession_OUT out{};  // the largest of them; all begin with Status
  out.Status = ISDSC_REQUEST_NOT_SUPPORTED;
  answer_failure(serial, out, "this version does not offer the operation", bytes);
}

void Operations::logout(Serial serial, Instant now) {
  const auto in = input<LogoutFromTarget_IN>(serial);
  options_.sessions.logout(in.UniqueSessionId, now, [this, serial](const Outcome& outcome) {
    LogoutFromTarget_OUT out{};
    out.Status = outcome.status;
    if (outcome.is_ok()) return answer(serial, out);
    answer_failure(serial, out, outcome.sentence);
  });
}

void Operations::send_targets(Serial serial, Instant now) {
  const auto in = input<SendTargets_IN>(serial);
  constexpr std::size_t kHead = offsetof(SendTargets_OUT, Response);
  const auto fail = [this, serial](std::uint32_t status, std::string_view sentence) {
    SendTargets_OUT out{};
    out.Status = status;
    answer_failure(serial, out, sentence, kHead);
  };
  const auto text = ring::decode_text(in.SendTargetsText);
  if (!text) return fail(ISDSC_INVALID_PARAMETER, "SendTargetsText is no counted UTF-16 text");
  // The exchange ends before the command's deadline, so that the reason reaches the client.
  const Instant command_deadline = pending_.at(serial).deadline;
  const Instant deadline =
      std::min(now + to_duration(options_.config.login.timeout), command_deadline - (command_deadline - now) / 20);
  const std::uint64_t session = in.UniqueSessionId;
  options_.sessions.send_targets(
      session, *text, now, deadline, [=, this, value = *text](const TextReply& reply) {
        if (!is_pending(serial)) return;
        if (!reply.is_ok()) return fail(reply.status, reply.sentence);
        const std::size_t needed = kHead + reply.text.size();
        SendTargets_OUT out{};
        out.ResponseSize = static_cast<std::uint32_t>(reply.text.size());
        if (pending_.at(serial).output_capacity < needed) {
          // The same request is never refused twice for its size: the second time it is told inside.
          if (reply.was_kept) {
            out.Status = ISDSC_BUFFER_TOO_SMALL;
            return answer(serial, out, kHead);
          }
          options_.sessions.keep_text(session, value, reply.text, options_.clock());
          return finish(serial, POLLUX_RING_OUTPUT_TOO_SMALL, {}, needed);
        }
        std::vector<std::byte> output(needed);
        std::memcpy(output.data(), &out, kHead);
        std::copy(reply.text.begin(), reply.text.end(), output.begin() + kHead);
        finish(serial, POLLUX_RING_OK, output);
      });
}

}  // namespace pollux::service
