// How a session ends. Asked for: refuse new commands, let those in flight finish within the drain
// time, Logout Request with reason 0, abort what is still open, close (DESIGN 3.2). Not asked for:
// the session becomes `failed` and stays listed until somebody logs it out.
#include <fmt/format.h>
#include <pollux/iscsierr.h>

#include <utility>

#include "control/service/loss_text.hpp"
#include "control/service/session_manager.hpp"
#include "control/session/logout.hpp"
#include "dataplane/base/byte_order.hpp"

namespace pollux::service {
namespace {

Duration to_duration(Seconds seconds) { return std::chrono::duration_cast<Duration>(seconds); }

constexpr std::string_view kFailedAdvice =
    "; log out and log in again (this version does not reconnect by itself)";

}  // namespace

void SessionManager::logout(std::uint64_t id, Instant now, LogoutDone done) {
  now_ = now;
  const auto at = records_.find(id);
  if (at == records_.end() || !at->second.was_logged_in) {
    return done({ISDSC_INVALID_SESSION_ID, "there is no session with that id"});
  }
  SessionRecord& record = at->second;
  switch (record.step) {
    case SessionStep::failed:
      // DESIGN 3.2: the target knows nothing of this session any more, so there is nobody to ask.
      ++counters_.logouts;
      erase(record);
      return done({0, "the session had lost its connection and was removed"});
    case SessionStep::logged_in:
      record.logout_done = std::move(done);
      record.stays_listed = false;
      return begin_logout(record, now);
    default:
      if (record.logout_done)
        return done({ISDSC_SESSION_BUSY, "a logout of this session is under way"});
      // The target asked for the logout under way; now somebody waits for it.
      record.logout_done = std::move(done);
      record.stays_listed = false;
      return;
  }
}

void SessionManager::logout_all(Instant now) {
  now_ = now;
  std::vector<std::uint64_t> ids;
  for (const auto& [id, record] : records_) ids.push_back(id);
  for (const std::uint64_t id : ids) {
    const auto at = records_.find(id);
    if (at == records_.end()) continue;
    SessionRecord& record = at->second;
    record.stays_listed = false;
    if (record.step <= SessionStep::moving) {
      fail_login(record, {ISDSC_SERVICE_NOT_RUNNING, "the service is ending"}, now);
    } else if (record.step == SessionStep::logged_in) {
      begin_logout(record, now);
    } else if (record.step == SessionStep::failed) {
      erase(record);
    }
  }
}

void SessionManager::begin_logout(SessionRecord& record, Instant now) {
  record.logout_outcome = {};
  if (record.request.kind == SessionKind::discovery) {
    // RFC 7143 4.3: a discovery session has no SCSI commands to wait for.
    send_logout(record, now);
  } else {
    record.step = SessionStep::draining;
    record.state_text = "logging out: commands in flight may finish";
    channel(record).send(iscsi::ToWorkerKind::refuse_commands, record.connection);
    record.deadline = now + to_duration(config_.logout.drain);
    arm(record);
  }
  if (record.text) {
    end_text(record, {{ISDSC_NO_CONNECTION_AVAILABLE, "the session is logging out"}, {}, false});
  }
}

void SessionManager::send_logout(SessionRecord& record, Instant now) {
  record.step = SessionStep::logging_out;
  record.state_text = "logging out: waiting for the target";
  session::OutgoingPdu pdu;
  pdu.bhs = std::bit_cast<wire::Bhs>(
      session::build_logout_request(session::LogoutReason::close_session, 0));
  channel(record).send_pdu(record.connection, pdu, true);
  record.deadline = now + to_duration(config_.logout.timeout);
  arm(record);
}

void SessionManager::on_logout_pdu(SessionRecord& record, const iscsi::Slab& slab, Instant now) {
  if (record.step != SessionStep::logging_out) {
    ++counters_.unexpected_pdus;
    return drop_connection(record, "the target sent a Logout Response nobody asked for", now);
  }
  const session::LogoutOutcome outcome =
      session::interpret_logout_response(std::bit_cast<wire::LogoutResponse>(slab.bhs));
  record.logout_outcome = {outcome.isdsc, std::string(outcome.sentence)};
  close_connection(record, outcome.is_closed, now);
}

void SessionManager::close_connection(SessionRecord& record, bool orderly, Instant now) {
  // The task is known dead at the target or its connection goes now: every open command completes.
  if (record.was_logged_in)
    channel(record).send(iscsi::ToWorkerKind::abort_commands, record.connection);
  channel(record).send(orderly ? iscsi::ToWorkerKind::close : iscsi::ToWorkerKind::abort,
                       record.connection);
  record.step = SessionStep::closing;
  // An abort needs no answer of the peer: the worker's `ended` follows without a bound of ours.
  record.deadline = orderly ? now + kCloseTimeout : kNever;
  arm(record);
}

void SessionManager::on_logout_deadline(SessionRecord& record, Instant now) {
  switch (record.step) {
    case SessionStep::draining:
      return send_logout(record, now);
    case SessionStep::logging_out:
      record.logout_outcome = {ISDSC_NON_SPECIFIC_ERROR,
                               fmt::format("{} did not answer the logout within {:.3g} s; the "
                                           "connection was reset",
                                           portal_text(record), config_.logout.timeout.count())};
      return close_connection(record, false, now);
    case SessionStep::closing:
      channel(record).send(iscsi::ToWorkerKind::abort, record.connection);
      return;
    default:
      return;
  }
}

void SessionManager::on_established_connection_ended(SessionRecord& record,
                                                     const iscsi::ToControl& message) {
  const std::string reason = loss_sentence(message.reason, message.protocol_error);
  const bool was_asked_for = record.step == SessionStep::closing;
  if (!was_asked_for) ++counters_.connections_lost;
  if (record.step == SessionStep::logging_out) {
    record.logout_outcome = {
        ISDSC_TRANSPORT_ERROR,
        fmt::format("the connection to {} ended before the logout was answered: {}",
                    portal_text(record), reason)};
  }
  if (!record.was_logged_in) return erase(record);
  if (record.step == SessionStep::logged_in || record.stays_listed) {
    return become_failed(record, record.stays_listed ? record.end_reason
                                                     : fmt::format("connection lost: {}", reason));
  }
  ++counters_.logouts;
  note(fmt::format("session 0x{:016x} to {}: {}", record.id, portal_text(record),
                   record.logout_outcome.is_ok() ? "logged out" : record.logout_outcome.sentence));
  const LogoutDone done = std::exchange(record.logout_done, nullptr);
  Outcome outcome = record.logout_outcome;
  if (outcome.is_ok() && outcome.sentence.empty()) outcome.sentence = "logged out";
  erase(record);
  if (done) done(outcome);
}

void SessionManager::become_failed(SessionRecord& record, const std::string& why) {
  note(fmt::format("session 0x{:016x} to {}: {}", record.id, portal_text(record), why));
  record.kept.reset();
  record.step = SessionStep::failed;
  record.state_text = why + std::string(kFailedAdvice);
  record.deadline = kNever;
  record.stays_listed = false;
  release_resources(record);
  arm(record);
  // Last, since who waits for the text may log the session out at once.
  if (record.text) end_text(record, {{ISDSC_TRANSPORT_ERROR, why}, {}, false});
}

void SessionManager::drop_connection(SessionRecord& record, const std::string& why, Instant now) {
  record.stays_listed = record.logout_done == nullptr;
  record.end_reason = why;
  close_connection(record, false, now);
  if (record.text) end_text(record, {{ISDSC_TRANSPORT_ERROR, why}, {}, false});
}

}  // namespace pollux::service
