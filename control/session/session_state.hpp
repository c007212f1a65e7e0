// Session states of the initiator, RFC 7143 8.3.1 (Q1, Q3 and Q4; N1 and N3 to N6).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "control/session/transition_table.hpp"

namespace pollux::session {

enum class SessionState : std::uint8_t {
  free,       ///< Q1
  logged_in,  ///< Q3
  failed,     ///< Q4
};
inline constexpr std::size_t kSessionStateCount = 3;

enum class SessionEvent : std::uint8_t {
  first_connection_logged_in,
  logged_out,       ///< the last connection was closed in order
  session_failed,   ///< the last connection is in cleanup
  state_timed_out,  ///< Time2Retain is over, or the session was reinstated from scratch
  continued,        ///< a connection was logged in again in time
};
inline constexpr std::size_t kSessionEventCount = 5;

inline constexpr auto kSessionTransitionRows = [] {
  using S = SessionState;
  using E = SessionEvent;
  return std::to_array<Transition<S, E>>({
      {S::free, E::first_connection_logged_in, S::logged_in, "N1"},
      {S::logged_in, E::logged_out, S::free, "N3"},
      {S::failed, E::continued, S::logged_in, "N4"},
      {S::logged_in, E::session_failed, S::failed, "N5"},
      {S::failed, E::state_timed_out, S::free, "N6"},
  });
}();
inline constexpr TransitionTable<SessionState, SessionEvent, kSessionStateCount, kSessionEventCount,
                                 kSessionTransitionRows.size()>
    kSessionTransitions{kSessionTransitionRows};

static_assert(kSessionTransitions.handles(SessionState::logged_in, SessionEvent::session_failed));
static_assert(kSessionTransitions.handles(SessionState::failed, SessionEvent::state_timed_out));

[[nodiscard]] std::string_view session_state_name(SessionState state) noexcept;

}  // namespace pollux::session
