// Proportional rate reduction: during a recovery the window follows what arrives at the peer, so
// that sending neither stops for half a round trip nor bursts. Read first: RFC 6937 3 and 3.1,
// RFC 9937 6.
#pragma once

#include <algorithm>
#include <cstdint>

namespace pollux::tcp {

/// Bytes throughout. One recovery.
class ProportionalRateReduction {
 public:
  void start(std::uint32_t flight) noexcept {
    recover_flight_ = std::max(flight, 1u);
    delivered_ = 0;
    out_ = 0;
  }
  void on_sent(std::uint32_t bytes) noexcept { out_ += bytes; }

  /// The congestion window after an acknowledgment that says that `delivered` bytes more arrived.
  /// Below the threshold as many bytes leave as arrive, and a segment more (the slow start
  /// reduction bound of 3.1) when the acknowledgment `is_safe`: it moves snd_una and shows no
  /// further loss. Otherwise the network drops what it is given, and more would only be dropped as
  /// well.
  [[nodiscard]] std::uint32_t on_ack(std::uint32_t delivered, std::uint32_t pipe,
                                     std::uint32_t ssthresh, std::uint32_t mss,
                                     bool is_safe) noexcept {
    delivered_ += delivered;
    std::uint64_t may_send = 0;
    if (pipe > ssthresh) {
      const std::uint64_t share = (delivered_ * ssthresh + recover_flight_ - 1) / recover_flight_;
      may_send = share > out_ ? share - out_ : 0;
    } else {
      const std::uint64_t owed = delivered_ > out_ ? delivered_ - out_ : 0;
      const std::uint64_t limit = std::max<std::uint64_t>(owed, delivered) + (is_safe ? mss : 0);
      may_send = std::min<std::uint64_t>(ssthresh - pipe, limit);
    }
    // RFC 9937 6.2: the first of a recovery is always sent. So is one into an empty network, which
    // no acknowledgment would clock any more.
    if (may_send == 0 && (out_ == 0 || pipe == 0)) may_send = mss;
    return pipe + static_cast<std::uint32_t>(may_send);
  }

 private:
  std::uint64_t delivered_ = 0;
  std::uint64_t out_ = 0;
  std::uint32_t recover_flight_ = 1;
};

}  // namespace pollux::tcp
