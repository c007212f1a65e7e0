// The congestion window's changes. A switch on the algorithm, no virtual call: every ACK comes by.
// Read first: RFC 5681 3.1 and 4.1, RFC 3465 2, RFC 9438 4.6 to 4.10, RFC 8257 3.4 and 3.5.
#include "dataplane/tcp/congestion.hpp"

#include <type_traits>

namespace pollux::tcp {

static_assert(std::is_trivially_copyable_v<Congestion>);

void Congestion::on_established(std::uint32_t mss, bool syn_was_lost) noexcept {
  // RFC 5681 3.1: after a lost SYN the first window is one segment.
  cwnd = syn_was_lost ? mss : initial_window(mss);
}

void Congestion::on_ack(std::uint32_t acked, std::uint32_t mss, Instant now,
                        Duration srtt) noexcept {
  if (in_slow_start()) {
    // RFC 3465 2.2 with L = 2, as peers acknowledge every second segment or less often: an ACK that
    // stretches over more adds no more than two segments. After a timeout (2.3) L is 1: the bytes
    // may have been with the peer long since.
    cwnd = std::min(cwnd + std::min(acked, (after_timeout ? 1 : 2) * mss), kCwndMax);
    return;
  }
  after_timeout = false;
  switch (algorithm) {
    case CongestionAlgorithm::cubic:
      cwnd = cubic.on_ack(cwnd, acked, mss, now, srtt);
      return;
    case CongestionAlgorithm::newreno:
    case CongestionAlgorithm::dctcp:
      // RFC 3465 2.1: a segment for every window acknowledged.
      avoided_bytes += std::min(acked, cwnd);
      if (avoided_bytes < cwnd) return;
      avoided_bytes -= cwnd;
      cwnd = std::min(cwnd + mss, kCwndMax);
      return;
  }
}

std::uint32_t Congestion::reduced(std::uint32_t flight, CongestionSignal signal) const noexcept {
  switch (algorithm) {
    case CongestionAlgorithm::cubic:
      return Cubic::reduced(flight);
    case CongestionAlgorithm::newreno:
      return flight / 2;  // RFC 5681 3.1, equation 4
    case CongestionAlgorithm::dctcp:
      // RFC 8257 3.5: a loss is answered as anybody else would.
      return signal == CongestionSignal::loss ? flight / 2 : dctcp.reduced(cwnd);
  }
  return flight / 2;
}

void Congestion::on_congestion(std::uint32_t flight, std::uint32_t mss,
                               CongestionSignal signal) noexcept {
  // A mark is never a mistake, and there is no way back beyond it.
  if (signal == CongestionSignal::ecn_echo)
    forget_undo();
  else
    save_undo();
  ssthresh = std::max(reduced(flight, signal), 2 * mss);
  avoided_bytes = 0;
  cubic.on_congestion(cwnd);
}

void Congestion::on_timeout(std::uint32_t flight, std::uint32_t mss, bool first_of_event) noexcept {
  // RFC 5681 3.1: the threshold falls once for one loss, however often the timer expires for it.
  if (first_of_event) {
    save_undo();
    ssthresh = std::max(reduced(flight, CongestionSignal::loss), 2 * mss);
    avoided_bytes = 0;
    cubic.on_timeout(cwnd);
  }
  cwnd = mss;
  after_timeout = true;
}

void Congestion::save_undo() noexcept {
  if (has_undo) return;
  has_undo = true;
  undo_ = {.cwnd = cwnd,
           .ssthresh = ssthresh,
           .avoided_bytes = avoided_bytes,
           .after_timeout = after_timeout,
           .cubic = cubic};
}

void Congestion::undo() noexcept {
  if (!has_undo) return;
  has_undo = false;
  // RFC 4015 3.2 and RFC 9438 4.9.
  cwnd = std::max(cwnd, undo_.cwnd);
  ssthresh = undo_.ssthresh;
  avoided_bytes = undo_.avoided_bytes;
  after_timeout = undo_.after_timeout;
  cubic = undo_.cubic;
}

void Congestion::on_idle(std::uint32_t mss) noexcept {
  // RFC 5681 4.1: the old window proves nothing any more. The threshold still says how far slow
  // start may go, and CUBIC's curve starts again from there.
  const std::uint32_t restart_window = initial_window(mss);
  if (cwnd <= restart_window) return;
  cwnd = restart_window;
  avoided_bytes = 0;
  cubic.restart();
}

}  // namespace pollux::tcp
