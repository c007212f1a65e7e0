// Names of connection states. The table is in conn_state.hpp.
#include "control/session/conn_state.hpp"

namespace pollux::session {

std::string_view conn_state_name(ConnState state) noexcept {
  switch (state) {
    case ConnState::free:
      return "FREE";
    case ConnState::xpt_wait:
      return "TRANSPORT WAIT";
    case ConnState::in_login:
      return "IN LOGIN";
    case ConnState::logged_in:
      return "LOGGED IN";
    case ConnState::in_logout:
      return "IN LOGOUT";
    case ConnState::logout_requested:
      return "LOGOUT REQUESTED";
    case ConnState::cleanup_wait:
      return "CLEANUP WAIT";
    case ConnState::in_cleanup:
      return "IN CLEANUP";
  }
  return "";
}

}  // namespace pollux::session
