#include "dataplane/tcp/rack.hpp"

namespace pollux::tcp {
namespace {

/// RFC 8985 4: among runs that left at one instant the higher sequence number counts as later.
bool left_after(Instant at, TcpSeq end, const Transmission& run) noexcept {
  return at > run.sent_at() || (at == run.sent_at() && TcpSeq{run.end}.precedes(end));
}

}  // namespace

void Rack::on_delivered(const Transmission& run, bool is_ambiguous, Instant now) noexcept {
  const Duration rtt = now - run.sent_at();
  // Step 2: an answer too early for the copy answers an earlier one.
  const bool counts = !run.ever_resent || (!is_ambiguous && rtt >= min_rtt_.get());
  if (counts) {
    if (!run.ever_resent) min_rtt_.on_sample(rtt, now);
    // The round trip of the latest one: SACK reports do not come in the order of sending.
    if (!has_delivered_ || !left_after(sent_at_, end_, run)) {
      rtt_ = rtt;
      sent_at_ = run.sent_at();
      end_ = TcpSeq{run.end};
      has_delivered_ = true;
    }
  }
  // Step 3.
  const TcpSeq end{run.end};
  if (forward_ack_.precedes(end)) forward_ack_ = end;
  if (was_overtaken(run) && !run.ever_resent) reordering_seen_ = true;
}

void Rack::on_dsack(TcpSeq snd_una, TcpSeq snd_nxt) noexcept {
  if (in_dsack_round_ && dsack_round_.precedes_or_is(snd_una)) in_dsack_round_ = false;
  if (in_dsack_round_) return;
  // Step 4: once a round trip.
  in_dsack_round_ = true;
  dsack_round_ = snd_nxt;
  if (window_multiplier_ < 255) ++window_multiplier_;
  window_persists_ = kPersist;
}

void Rack::on_recovery_end() noexcept {
  if (window_persists_ == 0) return;
  if (--window_persists_ == 0) window_multiplier_ = 1;
}

Duration Rack::reordering_window(bool in_recovery, std::uint32_t sacked_runs,
                                 Duration srtt) const noexcept {
  if (!reordering_seen_ && (in_recovery || sacked_runs >= Scoreboard::kDupThresh))
    return Duration::zero();
  if (min_rtt_.get() == Duration::max()) return srtt / 4;
  return std::min<Duration>(window_multiplier_ * (min_rtt_.get() / 4), srtt);
}

Rack::Detection Rack::detect(Scoreboard& scoreboard, bool in_recovery, Duration srtt,
                             Instant now) noexcept {
  Detection found;
  if (!has_delivered_) return found;
  const Duration window = reordering_window(in_recovery, scoreboard.sacked_runs(), srtt);
  for (std::uint32_t i = 0; i < scoreboard.size(); ++i) {
    const Transmission& run = scoreboard[i];
    if (run.sacked || run.wants_resending() || !left_after(sent_at_, end_, run)) continue;
    const Duration left = run.sent_at() + rtt_ + window - now;
    if (left > Duration::zero()) {
      found.wait = std::max(found.wait, left);
      continue;
    }
    if (run.resent) {
      ++found.copies_lost;
      found.last_copy_sent_at = std::max(found.last_copy_sent_at, run.sent_at());
    }
    scoreboard.mark_lost(i);
  }
  return found;
}

}  // namespace pollux::tcp
