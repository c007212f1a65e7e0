// See interrupt.hpp.
#include "control/cli/interrupt.hpp"

#include <csignal>

namespace pollux::cli {
namespace {

volatile std::sig_atomic_t signal_seen = 0;
bool is_masked = false;

void on_signal(int) { signal_seen = 1; }

}  // namespace

void install_signal_handlers() noexcept {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  // Without SA_RESTART a read from a terminal or pipe returns, and its loop sees the flag. The
  // second signal meets the default action: whoever presses Ctrl-C twice means it.
  action.sa_flags = SA_RESETHAND;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, nullptr);
}

bool is_interrupted() noexcept { return signal_seen != 0 && !is_masked; }

UninterruptedScope::UninterruptedScope() noexcept { is_masked = true; }

UninterruptedScope::~UninterruptedScope() { is_masked = false; }

}  // namespace pollux::cli
