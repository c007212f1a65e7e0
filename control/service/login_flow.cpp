// From a request to a session in full feature phase: resolve, connect, negotiate, follow redirections,
// all within one timer (RFC 7143 6.3, 7.11).
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <pollux/iscsierr.h>

#include "control/service/config_text.hpp"
#include "control/service/loss_text.hpp"
#include "control/service/session_manager.hpp"

namespace pollux::service {
namespace {

/// Of one Login Response. The target chooses how many it sends; we choose how many we try.
constexpr std::size_t kRedirectAddressesMax = 8;

Duration to_duration(Seconds seconds) { return std::chrono::duration_cast<Duration>(seconds); }

std::string target_words(const LoginRequest& request) {
  return request.kind == SessionKind::discovery ? std::string("discovery login")
                                                : fmt::format("login to {}", request.target_name);
}

iscsi::Parameters to_data_path(const session::OperationalParameters& agreed) {
  iscsi::Parameters parameters;
  parameters.header_digest = agreed.header_digest;
  parameters.data_digest = agreed.data_digest;
  parameters.initial_r2t = agreed.initial_r2t;
  parameters.immediate_data = agreed.immediate_data;
  parameters.data_pdu_in_order = agreed.data_pdu_in_order;
  parameters.data_sequence_in_order = agreed.data_sequence_in_order;
  parameters.max_outstanding_r2t = agreed.max_outstanding_r2t;
  parameters.max_recv_data_segment_length = agreed.max_recv_data_segment_length;
  parameters.target_max_recv_data_segment_length = agreed.target_max_recv_data_segment_length;
  parameters.max_burst_length = agreed.max_burst_length;
  parameters.first_burst_length = agreed.first_burst_length;
  return parameters;
}

}  // namespace

Outcome SessionManager::admit(const LoginRequest& request) const {
  if (request.worker >= workers_.size()) {
    return {ISDSC_INVALID_PORT_NUMBER,
            fmt::format("there is no worker {}; the service has {}", request.worker, workers_.size())};
  }
  if (request.portal.host.empty()) return {ISDSC_NO_PORTAL_SPECIFIED, "no portal was named"};
  if ((request.kind == SessionKind::discovery) != request.target_name.empty()) {
    return {ISDSC_INVALID_PARAMETER,
            "a discovery session names no target and every other session names one"};
  }
  if (workers_[request.worker]->free_slot_count() == 0) {
    return {ISDSC_TOO_MANY_SESSIONS,
            fmt::format("worker {} has its {} sessions; raise worker.sessions_max", request.worker,
                        workers_[request.worker]->slot_count())};
  }
  const bool is_duplicate =
      request.kind != SessionKind::discovery && !request.allows_several &&
      std::any_of(records_.begin(), records_.end(), [&](const auto& entry) {
        const SessionRecord& record = entry.second;
        return record.has_slot && record.step != SessionStep::closing &&
               record.request.target_name == request.target_name &&
               record.request.initiator_name == request.initiator_name;
      });
  if (is_duplicate) {
    return {ISDSC_TARGET_ALREADY_LOGGED_IN,
            fmt::format("there is a session to {} already; ask for several if that is meant",
                        request.target_name)};
  }
  return {};
}

std::uint64_t SessionManager::login(const LoginRequest& original, Instant now, LoginDone done) {
  now_ = now;
  LoginRequest request = original;
  if (request.initiator_name.empty()) request.initiator_name = initiator_name_;
  const auto refuse = [&](const Outcome& outcome) {
    ++counters_.logins_failed;
    const std::string sentence =
        fmt::format("{} at {} failed: {}", target_words(request), session::to_string(request.portal),
                    outcome.sentence);
    note(sentence);
    done({{outcome.status, sentence}, 0, 0});
    return std::uint64_t{0};
  };
  if (const Outcome outcome = admit(request); !outcome.is_ok()) return refuse(outcome);
  const auto lease = isids_.lease(request.initiator_name, request.target_name, request.isid_qualifier);
  if (!lease) {
    return refuse({ISDSC_SESSION_ALREADY_EXISTS, "a session with that ISID exists already"});
  }
  const std::uint16_t slot = workers_[request.worker]->take_slot().value();
  const auto id = ids_.next(slot);
  const auto connection_id = ids_.next(slot);
  if (!id || !connection_id) {
    workers_[request.worker]->release(slot);
    isids_.give_back(request.initiator_name, request.target_name, lease->index);
    return refuse({ISDSC_TOO_MANY_SESSIONS, "the session ids of this run are used up; restart the service"});
  }
  // Failed sessions hold no slot; without a bound a target that keeps dropping us would fill memory.
  std::size_t slots = 0;
  for (const auto& worker : workers_) slots += worker->slot_count();
  if (records_.size() >= 2 * slots) drop_oldest_failed();

  SessionRecord& record = records_[*id];
  record.id = *id;
  record.connection_id = *connection_id;
  record.worker = request.worker;
  record.slot = slot;
  record.has_slot = true;
  record.isid = lease->isid;
  record.isid_index = lease->index;
  record.request = std::move(request);
  record.login_done = std::move(done);
  by_slot_[record.worker][slot] = &record;
  const Duration timeout =
      record.request.timeout > Duration::zero() ? record.request.timeout : to_duration(config_.login.timeout);
  record.deadline = now + timeout;
  arm(record);
  const std::uint64_t name = record.id;
  try_portal(record, record.request.portal, now);
  return records_.contains(name) ? name : 0;
}

void SessionManager::try_portal(SessionRecord& record, const session::TargetAddress& portal, Instant) {
  record.step = SessionStep::resolving;
  const std::uint64_t id = record.id;
  const std::uint32_t resolution = ++record.resolution;
  resolver_.resolve(portal.host, portal.port, [this, id, resolution](Resolution answer) {
    on_resolved(id, resolution, std::move(answer));
  });
}

void SessionManager::on_resolved(std::uint64_t id, std::uint32_t resolution, Resolution answer) {
  const auto at = records_.find(id);
  if (at == records_.end()) return;
  SessionRecord& record = at->second;
  if (record.step != SessionStep::resolving || record.resolution != resolution) return;
  if (answer.endpoints.empty()) record.last_failure = {answer.status, std::move(answer.sentence)};
  record.candidates.assign(answer.endpoints.begin(), answer.endpoints.end());
  try_next_address(record, now_);
}

void SessionManager::try_next_address(SessionRecord& record, Instant now) {
  if (record.candidates.empty()) {
    if (record.next_portals.empty()) return fail_login(record, record.last_failure, now);
    const session::TargetAddress portal = record.next_portals.front();
    record.next_portals.pop_front();
    return try_portal(record, portal, now);
  }
  record.remote = record.candidates.front();
  record.candidates.pop_front();
  record.step = SessionStep::connecting;
  record.connection = channel(record).open(record.slot, record.id, record.remote,
                                           std::max<Duration>(record.deadline - now, 1ms));
  record.is_open = true;
}

void SessionManager::on_connected(SessionRecord& record, std::uint16_t local_port) {
  record.local_port = local_port;
  session::LoginOptions options;
  options.initiator_name = record.request.initiator_name;
  options.target_name = record.request.target_name;
  options.initiator_alias = record.request.initiator_alias;
  options.session_type = record.request.kind == SessionKind::discovery ? session::SessionType::discovery
                                                                       : session::SessionType::normal;
  options.isid = record.isid;
  options.cmd_sn = CmdSn{static_cast<std::uint32_t>(random_.next())};
  options.offer = record.request.offer;
  if (record.request.kind == SessionKind::discovery) {
    options.offer.max_recv_data_segment_length =
        static_cast<std::uint32_t>(iscsi::kControlDataBytesMax);
  }
  record.login = std::make_unique<session::Login>(std::move(options));
  record.step = SessionStep::negotiating;
  channel(record).send_pdu(record.connection, record.login->start(), true);
}

void SessionManager::on_login_pdu(SessionRecord& record, const iscsi::Slab& slab, Instant now) {
  session::LoginStep step = record.login->on_pdu(slab.bhs, std::span(slab.data).first(slab.length));
  if (auto* send = std::get_if<session::SendPdu>(&step)) {
    channel(record).send_pdu(record.connection, send->pdu, true);
    // DESIGN 5.1: the reader stopped behind the Login Response.
    channel(record).send(iscsi::ToWorkerKind::resume_reader, record.connection);
  } else if (auto* succeeded = std::get_if<session::LoginSucceeded>(&step)) {
    on_logged_in(record, std::move(succeeded->result), now);
  } else if (auto* redirected = std::get_if<session::LoginRedirected>(&step)) {
    on_redirected(record, std::move(*redirected), now);
  } else {
    const session::LoginFailure& failure = std::get<session::LoginFailed>(step).failure;
    fail_login(record, {failure.isdsc, failure.sentence}, now);
  }
}

void SessionManager::on_redirected(SessionRecord& record, session::LoginRedirected redirected,
                                   Instant now) {
  ++counters_.redirections;
  if (++record.hops > kRedirectHopsMax) {
    return fail_login(record,
                      {redirected.is_permanent ? ISDSC_TARGET_MOVED_PERMANENTLY
                                               : ISDSC_TARGET_MOVED_TEMPORARILY,
                       fmt::format("redirected more than {} times, last to {}", kRedirectHopsMax,
                                   session::to_string(redirected.addresses.front()))},
                      now);
  }
  note(fmt::format("{} at {}: redirected to {}", target_words(record.request),
                   to_text(record.remote), session::to_string(redirected.addresses.front())));
  record.candidates.clear();
  redirected.addresses.resize(std::min(redirected.addresses.size(), kRedirectAddressesMax));
  record.next_portals.assign(redirected.addresses.begin(), redirected.addresses.end());
  record.login.reset();
  record.step = SessionStep::moving;
  // The slot keeps its number, so the id stays; the worker must have ended its use of it first.
  channel(record).send(iscsi::ToWorkerKind::abort, record.connection);
}

void SessionManager::on_logged_in(SessionRecord& record, session::LoginResult result, Instant) {
  iscsi::Gate gate;
  gate.phase = iscsi::Phase::full_feature;
  gate.discovery = record.request.kind == SessionKind::discovery;
  gate.parameters = to_data_path(result.parameters);
  gate.cmd_sn = result.cmd_sn;
  gate.exp_cmd_sn = result.exp_cmd_sn;
  gate.max_cmd_sn = result.max_cmd_sn;
  gate.exp_stat_sn = result.exp_stat_sn;
  channel(record).send_gate(record.connection, gate);

  record.negotiated = std::move(result);
  record.login.reset();
  record.candidates.clear();
  record.next_portals.clear();
  record.step = SessionStep::logged_in;
  record.was_logged_in = true;
  record.state_text = "logged in";
  record.deadline = kNever;
  arm(record);
  ++counters_.logins_succeeded;
  const std::string sentence =
      fmt::format("{} at {}: logged in", target_words(record.request), to_text(record.remote));
  note(sentence);
  const LoginDone done = std::exchange(record.login_done, nullptr);
  if (done) done({{0, sentence}, record.id, record.connection_id});
}

void SessionManager::on_login_connection_ended(SessionRecord& record, const iscsi::ToControl& message,
                                               Instant now) {
  if (record.step == SessionStep::moving) return try_next_address(record, now);
  const std::string reason = loss_sentence(message.reason, message.protocol_error);
  if (record.login) {
    const session::LoginFailed failed = record.login->on_connection_lost(reason);
    record.last_failure = {failed.failure.isdsc, failed.failure.sentence};
    record.login.reset();
  } else {
    record.last_failure = {loss_status(message.reason), reason};
  }
  try_next_address(record, now);
}

void SessionManager::on_login_deadline(SessionRecord& record, Instant now) {
  Outcome outcome{ISDSC_TRANSPORT_ERROR, "the login did not finish in time"};
  switch (record.step) {
    case SessionStep::resolving:
      outcome = {ISDSC_DNS_NAME_UNRESOLVED,
                 fmt::format("the name \"{}\" was not resolved in time", record.request.portal.host)};
      break;
    case SessionStep::connecting:
      outcome = {ISDSC_CONNECTION_FAILED, "no answer to the connection attempt"};
      break;
    case SessionStep::negotiating:
      outcome.sentence = record.login->on_deadline().failure.sentence;
      break;
    default:
      break;
  }
  const Duration timeout =
      record.request.timeout > Duration::zero() ? record.request.timeout : to_duration(config_.login.timeout);
  outcome.sentence += fmt::format(" (within {:.3g} s)", Seconds(timeout).count());
  fail_login(record, std::move(outcome), now);
}

void SessionManager::fail_login(SessionRecord& record, Outcome outcome, Instant now) {
  ++counters_.logins_failed;
  std::string place = portal_text(record);
  if (record.hops > 0) place += fmt::format(" (redirected to {})", to_text(record.remote));
  const std::string sentence =
      fmt::format("{} at {} failed: {}", target_words(record.request), place, outcome.sentence);
  note(sentence);
  const LoginDone done = std::exchange(record.login_done, nullptr);
  record.login.reset();
  if (record.is_open) {
    // The answer need not wait for the end of the connection; the slot does.
    close_connection(record, false, now);
  } else {
    erase(record);
  }
  if (done) done({{outcome.status, sentence}, 0, 0});
}

void SessionManager::cancel_login(std::uint64_t id, Instant now) {
  now_ = now;
  const auto at = records_.find(id);
  if (at == records_.end() || at->second.was_logged_in || !at->second.login_done) return;
  at->second.login_done = nullptr;
  fail_login(at->second, {ISDSC_NON_SPECIFIC_ERROR, "canceled"}, now);
}

}  // namespace pollux::service
