// What an operator chooses about congestion: the algorithm, ECN, and the restart after idleness.
// Read first: RFC 9438 (CUBIC), RFC 5681 (Reno), RFC 8257 (DCTCP), RFC 3168 (ECN).
#pragma once

#include <cstdint>

namespace pollux::tcp {

enum class CongestionAlgorithm : std::uint8_t {
  cubic,    ///< RFC 9438
  newreno,  ///< RFC 5681
  dctcp,    ///< RFC 8257, for fabrics whose switches mark early; without ECN it is newreno
};

struct CongestionOptions {
  CongestionAlgorithm algorithm = CongestionAlgorithm::cubic;
  bool ecn = false;          ///< offered and accepted (RFC 3168); dctcp implies it
  bool idle_restart = true;  ///< RFC 5681 4.1: the initial window again after an idle timeout

  [[nodiscard]] constexpr bool uses_ecn() const noexcept {
    return ecn || algorithm == CongestionAlgorithm::dctcp;
  }
};

}  // namespace pollux::tcp
