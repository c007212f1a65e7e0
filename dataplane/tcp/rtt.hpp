// Round-trip time and the retransmission timeout that follows from it.
// Read first: RFC 6298 2 and 5.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/base/time.hpp"

namespace pollux::tcp {

struct RttEstimator {
  Duration srtt{0};
  Duration rttvar{0};
  Duration rto{1s};  ///< without back-off
  bool has_sample = false;
  std::uint8_t backoff = 0;  ///< doublings of rto since the last valid sample

  /// RFC 6298 2.2 and 2.3; granularity is that of the timer wheel.
  void on_sample(Duration r, Duration rto_min, Duration rto_max) noexcept {
    constexpr Duration kGranularity{1 << 17};
    if (!has_sample) {
      srtt = r;
      rttvar = r / 2;
      has_sample = true;
    } else {
      const Duration error = srtt > r ? srtt - r : r - srtt;
      rttvar = (3 * rttvar + error) / 4;
      srtt = (7 * srtt + r) / 8;
    }
    rto = std::clamp(srtt + std::max(kGranularity, 4 * rttvar), rto_min, rto_max);
    backoff = 0;  // RFC 6298 5.7, RFC 9293 3.8.1: a valid sample ends the back-off
  }

  /// RFC 6298 5.5: the timeout in force, doubled for every expiry.
  [[nodiscard]] Duration current(Duration rto_max) const noexcept {
    return std::min(rto * (std::int64_t{1} << std::min<int>(backoff, 16)), rto_max);
  }
  void back_off() noexcept {
    if (backoff < 16) ++backoff;
  }
};

}  // namespace pollux::tcp
