// Pings and time limits: no wait on a target is without a bound. One lazy timer for each
// connection.
#include "dataplane/iscsi/initiator.hpp"

namespace pollux::iscsi {
namespace {

/// Often enough for limits of seconds, and cheap with thousands of sessions.
constexpr Duration kLivenessPeriod = 1s;

}  // namespace

std::size_t Initiator::run_timers(Instant now) noexcept {
  return wheel_.expire(now, setup_.limits.connections, [&](TimerNode& node) {
    check_liveness(connections_[node.owner_index], now);
  });
}

void Initiator::start_liveness(Connection& connection, Instant now) noexcept {
  connection.last_received = now;
  wheel_.arm(connection.timer, now + kLivenessPeriod);
}

void Initiator::check_liveness(Connection& connection, Instant now) noexcept {
  if (connection.state == ConnectionState::ended || connection.state == ConnectionState::free)
    return;
  wheel_.arm(connection.timer, now + kLivenessPeriod);
  // What our own side holds up is not the target's silence: a reader that waits for control.
  if (connection.reader.waits_for_credit || connection.reader.waits_for_gate)
    connection.last_received = now;
  const Duration silence = now - connection.last_received;
  const Timeouts& timeouts = setup_.timeouts;
  // The oldest that was sent; or, when none is, one that a command window holds back for ever.
  // While commands are answered those behind them only wait their turn.
  const Session& session = connection.session;
  const Task* oldest = session.active.empty() ? session.pending.front() : session.active.front();
  if (oldest != nullptr && now - oldest->started > timeouts.command)
    return lose(connection, LossReason::command_timeout, ProtocolError::none, now);
  // RFC 7143 4.3: a discovery session carries nothing but Text and Logout.
  if (connection.discovery || silence < timeouts.ping_interval) return;
  if (silence > timeouts.ping_interval + timeouts.ping_timeout)
    return lose(connection, LossReason::ping_timeout, ProtocolError::none, now);
  if (connection.ping == nullptr) {
    connection.ping_wanted = true;
    want_send(connection);
  }
}

}  // namespace pollux::iscsi
