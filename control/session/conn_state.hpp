// Connection states of the initiator: RFC 7143 8.1.3 (T rows) and the cleanup states of 8.2 (M
// rows). Which PDU or timer causes an event is decided by the caller; this is the table and nothing
// else.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "control/session/transition_table.hpp"

namespace pollux::session {

enum class ConnState : std::uint8_t {
  free,
  xpt_wait,
  in_login,
  logged_in,
  in_logout,
  logout_requested,
  cleanup_wait,
  in_cleanup,
};
inline constexpr std::size_t kConnStateCount = 8;

enum class ConnEvent : std::uint8_t {
  connect_issued,
  connect_failed,
  connected,
  login_succeeded,
  login_failed,  ///< any reason, the login timer included
  logout_sent,
  logout_succeeded,
  logout_failed,       ///< response 2 or 3, or the logout timer
  logout_requested,    ///< Async Message, event 1
  drop_announced,      ///< Async Message, event 2 or 3
  transport_lost,      ///< FIN, RST, or our own decision to drop the connection
  session_logged_out,  ///< "close the session" answered on another connection
  cleanup_started,     ///< recovery logout or reinstatement under way
  cleanup_succeeded,
  cleanup_failed,
  cleanup_timed_out,  ///< Time2Wait + Time2Retain are over
};
inline constexpr std::size_t kConnEventCount = 16;

inline constexpr auto kConnTransitionRows = [] {
  using S = ConnState;
  using E = ConnEvent;
  return std::to_array<Transition<S, E>>({
      {S::free, E::connect_issued, S::xpt_wait, "T1"},
      {S::xpt_wait, E::connect_failed, S::free, "T2"},
      {S::xpt_wait, E::transport_lost, S::free, "T2"},
      {S::xpt_wait, E::connected, S::in_login, "T4"},
      {S::in_login, E::login_succeeded, S::logged_in, "T5"},
      {S::in_login, E::login_failed, S::free, "T7"},
      {S::in_login, E::transport_lost, S::free, "T7"},
      {S::logged_in, E::session_logged_out, S::free, "T8"},
      {S::logged_in, E::logout_sent, S::in_logout, "T9"},
      {S::logout_requested, E::logout_sent, S::in_logout, "T10"},
      {S::logged_in, E::logout_requested, S::logout_requested, "T11"},
      {S::logout_requested, E::logout_requested, S::logout_requested, "T12"},
      {S::in_logout, E::logout_succeeded, S::free, "T13"},
      {S::in_logout, E::session_logged_out, S::free, "T13"},
      {S::in_logout, E::logout_requested, S::in_logout, "T14"},
      {S::logged_in, E::transport_lost, S::cleanup_wait, "T15"},
      {S::logged_in, E::drop_announced, S::cleanup_wait, "T15"},
      {S::logout_requested, E::transport_lost, S::cleanup_wait, "T16"},
      {S::logout_requested, E::drop_announced, S::cleanup_wait, "T16"},
      {S::in_logout, E::transport_lost, S::cleanup_wait, "T17"},
      {S::in_logout, E::drop_announced, S::cleanup_wait, "T17"},
      {S::in_logout, E::logout_failed, S::cleanup_wait, "T17"},
      {S::logout_requested, E::session_logged_out, S::free, "T18"},
      {S::cleanup_wait, E::cleanup_timed_out, S::free, "M1"},
      {S::cleanup_wait, E::session_logged_out, S::free, "M1"},
      {S::cleanup_wait, E::cleanup_started, S::in_cleanup, "M2"},
      {S::in_cleanup, E::cleanup_failed, S::cleanup_wait, "M3"},
      {S::in_cleanup, E::cleanup_succeeded, S::free, "M4"},
      {S::in_cleanup, E::session_logged_out, S::free, "M4"},
  });
}();
inline constexpr TransitionTable<ConnState, ConnEvent, kConnStateCount, kConnEventCount,
                                 kConnTransitionRows.size()>
    kConnTransitions{kConnTransitionRows};

// Every state with a live transport must know what to do when it is lost.
static_assert(kConnTransitions.handles(ConnState::xpt_wait, ConnEvent::transport_lost));
static_assert(kConnTransitions.handles(ConnState::in_login, ConnEvent::transport_lost));
static_assert(kConnTransitions.handles(ConnState::logged_in, ConnEvent::transport_lost));
static_assert(kConnTransitions.handles(ConnState::logout_requested, ConnEvent::transport_lost));
static_assert(kConnTransitions.handles(ConnState::in_logout, ConnEvent::transport_lost));

/// As iscsiadm prints them ("TRANSPORT WAIT", "IN LOGIN", ...).
[[nodiscard]] std::string_view conn_state_name(ConnState state) noexcept;

}  // namespace pollux::session
