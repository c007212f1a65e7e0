// What is in flight, run by run: when each run left, whether the peer has reported it by SACK, and
// whether it is held to be lost. A run is what left as one segment; it is cut in two when a SACK or
// a retransmission covers a part of it. Sums are kept along, so that asking for the pipe costs
// nothing. Read first: RFC 2018 5 and 8, RFC 6675 2 to 4, RFC 8985 4.
#pragma once

#include <cstdint>

#include "dataplane/base/serial_number.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/tcp/slab_ring.hpp"
#include "dataplane/wire/tcp_options.hpp"

namespace pollux::tcp {

/// Sequence numbers [start, end) that were last sent at one instant. Trivial, so that unused
/// storage is never touched.
struct Transmission {
  std::int64_t sent_at_ns;  ///< protocol time of the last transmission
  std::uint32_t start;
  std::uint32_t end;
  bool sacked;
  bool lost;
  bool resent;       ///< a copy is in flight (never set when sacked)
  bool ever_resent;  ///< Karn: an acknowledgment does not tell which copy arrived

  [[nodiscard]] std::uint32_t bytes() const noexcept { return end - start; }
  [[nodiscard]] Instant sent_at() const noexcept { return Instant{Duration{sent_at_ns}}; }
  [[nodiscard]] bool wants_resending() const noexcept { return lost && !resent; }
};

class Scoreboard {
 public:
  static constexpr std::uint32_t kDupThresh = 3;  // RFC 6675 2

  using Slab = RingSlab<Transmission>;

  Scoreboard() = default;
  /// The slab of the ring outlives the scoreboard.
  explicit Scoreboard(const Slab::Ring& ring) noexcept : ring_(ring) {}
  void clear() noexcept;

  [[nodiscard]] bool empty() const noexcept { return ring_.empty(); }
  /// No place is left for a run more: nothing new may be sent before something is acknowledged.
  [[nodiscard]] bool full() const noexcept { return ring_.space() == 0; }
  [[nodiscard]] std::uint32_t size() const noexcept { return ring_.size(); }
  /// In the order of sequence numbers, 0 being the oldest.
  [[nodiscard]] const Transmission& operator[](std::uint32_t i) const noexcept {
    return ring_.at(ring_.head + i);
  }
  [[nodiscard]] std::uint32_t sacked_bytes() const noexcept { return sacked_bytes_; }
  [[nodiscard]] std::uint32_t sacked_runs() const noexcept { return sacked_runs_; }
  [[nodiscard]] std::uint32_t lost_bytes() const noexcept { return lost_bytes_; }
  [[nodiscard]] std::uint32_t resent_bytes() const noexcept { return resent_bytes_; }
  /// RFC 6675 4 SetPipe for `flight` bytes in flight: what is thought to be in the network.
  [[nodiscard]] std::uint32_t pipe(std::uint32_t flight) const noexcept {
    return flight - sacked_bytes_ - lost_bytes_ + resent_bytes_;
  }
  /// One past the highest sequence number ever reported; only when sacked_bytes() is not 0.
  [[nodiscard]] TcpSeq highest_sacked() const noexcept { return TcpSeq{highest_sacked_}; }

  /// [start, end) leaves for the first time; start is where the last run ended. Not when full().
  void on_sent(TcpSeq start, TcpSeq end, Instant now) noexcept;
  /// The first `bytes` of run `i` leave again. The rest of the run becomes a run of its own.
  void on_resent(std::uint32_t i, std::uint32_t bytes, Instant now) noexcept;

  /// Takes off what the cumulative acknowledgment covers; `acked(const Transmission&)` sees every
  /// run that is wholly covered and was not reported before; it stays readable until the next is
  /// sent.
  template <class Acked>
  void advance(TcpSeq snd_una, Acked&& acked) noexcept {
    const bool has_marks = (sacked_bytes_ | lost_bytes_ | resent_bytes_) != 0;
    for (; ring_.head != ring_.tail; ++ring_.head) {
      Transmission& run = ring_.front();
      if (snd_una.precedes(TcpSeq{run.end})) {
        if (!TcpSeq{run.start}.precedes(snd_una)) break;
        if (has_marks) forget(run, snd_una.raw() - run.start);
        run.start = snd_una.raw();
        break;
      }
      if (!has_marks) {
        acked(run);
        continue;
      }
      if (!run.sacked) acked(run);
      if (run.sacked) --sacked_runs_;
      forget(run, run.bytes());
    }
    if (static_cast<std::int32_t>(resend_cursor_ - ring_.head) < 0) resend_cursor_ = ring_.head;
    if (ring_.empty()) {
      ring_.rewind();
      resend_cursor_ = 0;
    }
  }

  /// Takes in one block and returns how many bytes it newly reports. A block that is not inside
  /// [snd_una, snd_nxt] is left out: RFC 2883 duplicates and forgeries end here.
  /// `sacked(const Transmission&)` sees every newly reported run.
  template <class Sacked>
  std::uint32_t add(const wire::SackBlock& block, TcpSeq snd_una, TcpSeq snd_nxt,
                    Sacked&& sacked) noexcept {
    if (!block.left.precedes(block.right) || block.left.precedes(snd_una) ||
        !snd_una.precedes(block.right) || !block.right.precedes_or_is(snd_nxt))
      return 0;
    std::uint32_t i = 0;
    std::uint32_t end = 0;
    if (!cover(block, i, end)) return 0;
    const std::uint32_t before = sacked_bytes_;
    for (; i < end; ++i) {
      Transmission& run = at(i);
      if (run.sacked) continue;
      sacked(run);
      mark_sacked(run);
    }
    return sacked_bytes_ - before;
  }

  /// RFC 6675 4 IsLost: marks every run above which enough was reported. `mss` in bytes.
  /// Returns how many bytes are newly lost.
  std::uint32_t mark_lost_by_threshold(std::uint32_t mss) noexcept;
  void mark_lost(std::uint32_t i) noexcept;
  /// After a timeout: nothing that was reported is believed any more (RFC 2018 8) and all is lost.
  void mark_all_lost() noexcept;
  /// A recovery turned out to be needless: what is not reported is in flight, once.
  void forget_losses() noexcept;
  /// The last run, cut so that it has at most `bytes`; only when not empty.
  [[nodiscard]] std::uint32_t tail(std::uint32_t bytes) noexcept;
  /// The lowest run that is lost and not under way again; size() when there is none.
  [[nodiscard]] std::uint32_t next_lost() noexcept;
  /// RFC 6675 4 NextSeg (3): the lowest run below the highest report that is neither reported nor
  /// under way again; size() when there is none.
  [[nodiscard]] std::uint32_t next_unreported() const noexcept;

 private:
  /// Places kept free of new runs, for cuts. Where none is left, a run is told and sent again as a
  /// whole: what that leaves out is found by RACK or the timer.
  static constexpr std::uint32_t kReserve = 64;

  Transmission& at(std::uint32_t i) noexcept { return ring_.at(ring_.head + i); }
  /// The run that holds `seq`: the last one that starts at or before it.
  [[nodiscard]] std::uint32_t find(TcpSeq seq) const noexcept;
  /// Finds (and cuts out) the runs [first, end) that lie inside the block; false when there are
  /// none.
  bool cover(const wire::SackBlock& block, std::uint32_t& first, std::uint32_t& end) noexcept;
  bool split(std::uint32_t i, std::uint32_t bytes) noexcept;
  void mark_sacked(Transmission& run) noexcept;
  /// `bytes` of the run leave the sums.
  void forget(const Transmission& run, std::uint32_t bytes) noexcept {
    if (run.sacked) sacked_bytes_ -= bytes;
    if (run.lost) lost_bytes_ -= bytes;
    if (run.resent) resent_bytes_ -= bytes;
  }

  Slab::Ring ring_;
  std::uint32_t sacked_bytes_ = 0;
  std::uint32_t sacked_runs_ = 0;
  std::uint32_t lost_bytes_ = 0;
  std::uint32_t resent_bytes_ = 0;
  std::uint32_t highest_sacked_ = 0;
  std::uint32_t resend_cursor_ = 0;  ///< free-running: no run below it wants resending
};

}  // namespace pollux::tcp
