// Names of session states. The table is in session_state.hpp.
#include "control/session/session_state.hpp"

namespace pollux::session {

std::string_view session_state_name(SessionState state) noexcept {
  switch (state) {
    case SessionState::free:
      return "FREE";
    case SessionState::logged_in:
      return "LOGGED IN";
    case SessionState::failed:
      return "FAILED";
  }
  return "";
}

}  // namespace pollux::session
