// Ctrl-C as a flag that loops look at, so that a command on the ring is cancelled and a temporary
// session is logged out before the program ends.
#pragma once

namespace pollux::cli {

/// SIGINT and SIGTERM raise the flag; SIGPIPE is ignored (a closed pipe is a write error).
void install_signal_handlers() noexcept;

[[nodiscard]] bool is_interrupted() noexcept;

/// While one lives, is_interrupted() is false: for what must be done on the way out.
class UninterruptedScope {
 public:
  UninterruptedScope() noexcept;
  ~UninterruptedScope();
  UninterruptedScope(const UninterruptedScope&) = delete;
  UninterruptedScope& operator=(const UninterruptedScope&) = delete;
};

}  // namespace pollux::cli
