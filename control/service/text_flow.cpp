// What arrives in full feature phase and is not the worker's business: answers to SendTargets, to
// the Logout Request, and what the target says unasked (RFC 7143 11.9, 11.11, 11.17).
#include <fmt/format.h>
#include <pollux/iscsierr.h>

#include <bit>
#include <utility>

#include "control/service/session_manager.hpp"
#include "dataplane/base/byte_order.hpp"

namespace pollux::service {
namespace {

/// RFC 7143 11.9.1.
enum class AsyncEvent : std::uint8_t {
  scsi = 0,
  logout_requested = 1,
  connection_drop = 2,
  session_drop = 3,
  negotiation_requested = 4,
};

session::SessionType type_of(const SessionRecord& record) {
  return record.request.kind == SessionKind::discovery ? session::SessionType::discovery
                                                       : session::SessionType::normal;
}

}  // namespace

void SessionManager::send_targets(std::uint64_t id, std::string_view text, Instant now,
                                  Instant deadline, TextDone done) {
  now_ = now;
  const auto at = records_.find(id);
  const auto refuse = [&](std::uint32_t status, std::string sentence) {
    done({{status, std::move(sentence)}, {}, false});
  };
  if (at == records_.end() || !at->second.was_logged_in) {
    return refuse(ISDSC_INVALID_SESSION_ID, "there is no session with that id");
  }
  SessionRecord& record = at->second;
  if (record.step == SessionStep::failed) {
    return refuse(ISDSC_NO_CONNECTION_AVAILABLE, record.state_text);
  }
  if (record.step != SessionStep::logged_in) {
    return refuse(ISDSC_NO_CONNECTION_AVAILABLE, "the session is logging out");
  }
  const session::SendTargetsKey key =
      session::send_targets_key(text, type_of(record), record.request.target_name);
  if (!key.value) return refuse(key.isdsc, key.sentence);
  if (record.kept && record.kept->value == *key.value && record.kept->expires > now) {
    TextReply reply{{0, "kept answer"}, std::move(record.kept->text), true};
    record.kept.reset();
    arm(record);
    return done(reply);
  }
  if (record.texts_waiting.size() >= kTextsWaitingMax) {
    return refuse(ISDSC_SESSION_BUSY, "too many SendTargets of this session are waiting");
  }
  record.texts_waiting.push_back(
      TextTask{session::TextExchange(*key.value), *key.value, deadline, std::move(done)});
  start_next_text(record);
}

void SessionManager::start_next_text(SessionRecord& record) {
  if (!record.text && !record.texts_waiting.empty()) {
    record.text.emplace(std::move(record.texts_waiting.front()));
    record.texts_waiting.pop_front();
    channel(record).send_pdu(record.connection, record.text->exchange.start(), false);
  }
  arm(record);
}

void SessionManager::keep_text(std::uint64_t id, std::string_view text,
                               std::vector<std::byte> answer, Instant now) {
  const auto at = records_.find(id);
  if (at == records_.end() || at->second.step != SessionStep::logged_in) return;
  SessionRecord& record = at->second;
  const session::SendTargetsKey key =
      session::send_targets_key(text, type_of(record), record.request.target_name);
  if (!key.value) return;
  record.kept.emplace(KeptText{*key.value, std::move(answer), now + kKeptTextLifetime});
  arm(record);
}

void SessionManager::on_full_feature_pdu(SessionRecord& record, const iscsi::Slab& slab,
                                         Instant now) {
  switch (slab.bhs.op()) {
    case wire::Opcode::text_response:
      if (!record.text) {
        ++counters_.unexpected_pdus;  // its exchange was ended by a logout
        return;
      }
      return on_text_step(
          record, record.text->exchange.on_pdu(slab.bhs, std::span(slab.data).first(slab.length)),
          now);
    case wire::Opcode::logout_response:
      return on_logout_pdu(record, slab, now);
    case wire::Opcode::async_message:
      return on_async_message(record, std::bit_cast<wire::AsyncMessage>(slab.bhs), now);
    case wire::Opcode::reject:
      return on_reject(record, slab, now);
    default:
      ++counters_.unexpected_pdus;
  }
}

void SessionManager::on_text_step(SessionRecord& record, session::TextStep step, Instant now) {
  if (auto* send = std::get_if<session::TextSend>(&step)) {
    return channel(record).send_pdu(record.connection, send->pdu, false);
  }
  if (auto* succeeded = std::get_if<session::TextSucceeded>(&step)) {
    return end_text(record, {{0, "answered"}, std::move(succeeded->text), false});
  }
  const session::TextFailure& failure = std::get<session::TextFailed>(step).failure;
  const std::string sentence =
      fmt::format("SendTargets at {}: {}", portal_text(record), failure.sentence);
  if (failure.is_connection_broken) {
    record.stays_listed = record.logout_done == nullptr;
    record.end_reason = sentence;
    close_connection(record, false, now);
  }
  end_text(record, {{failure.isdsc, sentence}, {}, false});
}

void SessionManager::end_text(SessionRecord& record, TextReply reply) {
  const TextDone done = std::move(record.text->done);
  std::list<TextTask> given_up;
  record.text.reset();
  if (record.step == SessionStep::logged_in) {
    start_next_text(record);
  } else {
    given_up.swap(record.texts_waiting);
    arm(record);
  }
  done(reply);  // from here on the record may be gone
  for (const TextTask& task : given_up) task.done({{reply.status, reply.sentence}, {}, false});
}

bool SessionManager::expire_waiting_texts(SessionRecord& record, Instant now) {
  std::list<TextTask> late;
  std::erase_if(record.texts_waiting, [&](TextTask& task) {
    if (task.deadline > now) return false;
    late.push_back(std::move(task));
    return true;
  });
  for (const TextTask& task : late) {
    task.done({{ISDSC_SESSION_BUSY, "other SendTargets of this session took until its deadline"},
               {},
               false});
  }
  return !late.empty();
}

void SessionManager::on_async_message(SessionRecord& record, const wire::AsyncMessage& message,
                                      Instant now) {
  ++counters_.async_messages;
  const auto event = static_cast<AsyncEvent>(message.async_event);
  switch (event) {
    case AsyncEvent::logout_requested:
    case AsyncEvent::negotiation_requested: {
      // 11.9.1: event 4 asks for a new negotiation of parameters; a session that ends orderly and
      // is logged in again has the same effect.
      if (record.step != SessionStep::logged_in) return;
      record.stays_listed = true;
      const std::string why = event == AsyncEvent::logout_requested
                                  ? "the target asked to be logged out"
                                  : "the target asked for a new negotiation and was logged out";
      note(fmt::format("session 0x{:016x} to {}: {}", record.id, portal_text(record), why));
      record.end_reason = why;
      return begin_logout(record, now);
    }
    case AsyncEvent::connection_drop:
    case AsyncEvent::session_drop:
      return drop_connection(record, "the target announced that it drops the connection", now);
    case AsyncEvent::scsi:
    default:
      note(fmt::format("session 0x{:016x} to {}: asynchronous event {}", record.id,
                       portal_text(record), message.async_event));
  }
}

void SessionManager::on_reject(SessionRecord& record, const iscsi::Slab& slab, Instant now) {
  ++counters_.rejects;
  const auto reject = std::bit_cast<wire::Reject>(slab.bhs);
  note(fmt::format("session 0x{:016x} to {}: the target rejected a request, reason 0x{:02x}",
                   record.id, portal_text(record), reject.reason));
  // 11.17.4: the data segment is the header of the rejected PDU.
  if (slab.length < wire::kBhsBytes) return;
  const auto opcode =
      static_cast<wire::Opcode>(static_cast<std::uint8_t>(slab.data[0]) & wire::kOpcodeMask);
  if (opcode == wire::Opcode::text_request && record.text) {
    on_text_step(record, record.text->exchange.on_reject(reject.reason), now);
  } else if (opcode == wire::Opcode::logout_request && record.step == SessionStep::logging_out) {
    record.logout_outcome = {ISDSC_TARGET_ERROR,
                             "the target rejected the logout; the connection was reset"};
    close_connection(record, false, now);
  }
}

}  // namespace pollux::service
