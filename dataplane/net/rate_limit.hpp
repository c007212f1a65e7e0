// A bound on what others can make us send: so many answers at once, so many a second.
#pragma once

#include <algorithm>

#include "dataplane/base/time.hpp"

namespace pollux::net {

class RateLimit {
 public:
  /// One answer costs `cost`; at most `credit` is saved up.
  constexpr RateLimit(Duration cost, Duration credit, Instant start) noexcept
      : cost_(cost), most_(credit), credit_(credit), credited_at_(start) {}

  /// False: not now.
  bool spend(Instant now) noexcept {
    if (now > credited_at_) {
      const Duration since = std::min(most_, now - credited_at_);
      credit_ = std::min(most_, credit_ + since);
      credited_at_ = now;
    }
    if (credit_ < cost_) return false;
    credit_ -= cost_;
    return true;
  }

 private:
  Duration cost_;
  Duration most_;
  Duration credit_;
  Instant credited_at_;
};

}  // namespace pollux::net
