// RACK: a segment is lost when one that left sufficiently later has arrived. Works on the send
// times of the scoreboard, so it also finds lost retransmissions, and it waits out reordering.
// Read first: RFC 8985 6.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/base/serial_number.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/tcp/scoreboard.hpp"

namespace pollux::tcp {

/// RFC 8985 6.2 step 1 wants the minimum over some time: the smaller of two periods' minima.
class MinRtt {
 public:
  static constexpr Duration kPeriod = 10s;
  void on_sample(Duration rtt, Instant now) noexcept {
    if (now - since_ > kPeriod) {
      previous_ = current_;
      current_ = rtt;
      since_ = now;
    }
    current_ = std::min(current_, rtt);
  }
  /// Duration::max() before the first sample.
  [[nodiscard]] Duration get() const noexcept { return std::min(current_, previous_); }

 private:
  Duration current_ = Duration::max();
  Duration previous_ = Duration::max();
  Instant since_{};
};

class Rack {
 public:
  void on_established(TcpSeq snd_una) noexcept { forward_ack_ = forward_ack_before_ = snd_una; }

  /// Runs that one acknowledgment reports are not reordered among themselves.
  void begin_ack() noexcept { forward_ack_before_ = forward_ack_; }

  /// Something that left after it had been delivered before this acknowledgment.
  [[nodiscard]] bool was_overtaken(const Transmission& run) const noexcept {
    return TcpSeq{run.end}.precedes(forward_ack_before_);
  }

  /// A run was acknowledged or reported. `is_ambiguous`: it left more than once and the timestamp
  /// does not show that the last copy arrived. (Steps 1 to 3)
  void on_delivered(const Transmission& run, bool is_ambiguous, Instant now) noexcept;

  /// A duplicate was reported by D-SACK: the window was too small. (Step 4)
  void on_dsack(TcpSeq snd_una, TcpSeq snd_nxt) noexcept;
  void on_recovery_end() noexcept;

  struct Detection {
    Duration wait{};                ///< until what is in doubt becomes lost; zero when nothing is
    std::uint32_t copies_lost = 0;  ///< retransmissions found lost
    Instant last_copy_sent_at{};    ///< when the latest of them left
  };
  /// Marks what is lost (step 5).
  Detection detect(Scoreboard& scoreboard, bool in_recovery, Duration srtt, Instant now) noexcept;

  [[nodiscard]] Duration reordering_window(bool in_recovery, std::uint32_t sacked_runs,
                                           Duration srtt) const noexcept;
  [[nodiscard]] bool reordering_seen() const noexcept { return reordering_seen_; }
  [[nodiscard]] Duration min_rtt() const noexcept { return min_rtt_.get(); }
  [[nodiscard]] std::uint32_t window_multiplier() const noexcept { return window_multiplier_; }

 private:
  static constexpr std::uint8_t kPersist = 16;

  Instant sent_at_{};  ///< of the most recently sent run that has been delivered
  TcpSeq end_;         ///< its end
  Duration rtt_{};
  MinRtt min_rtt_;
  TcpSeq forward_ack_;         ///< highest end delivered
  TcpSeq forward_ack_before_;  ///< before this acknowledgment
  TcpSeq dsack_round_;
  bool has_delivered_ = false;
  bool in_dsack_round_ = false;
  bool reordering_seen_ = false;
  std::uint8_t window_multiplier_ = 1;
  std::uint8_t window_persists_ = 0;
};

}  // namespace pollux::tcp
