#include "dataplane/tcp/scoreboard.hpp"

#include <algorithm>

namespace pollux::tcp {

void Scoreboard::clear() noexcept {
  ring_.head = ring_.tail;
  resend_cursor_ = ring_.head;
  sacked_bytes_ = sacked_runs_ = lost_bytes_ = resent_bytes_ = 0;
}

void Scoreboard::on_sent(TcpSeq start, TcpSeq end, Instant now) noexcept {
  const std::int64_t at_ns = now.time_since_epoch().count();
  if (ring_.space() <= kReserve) {
    // Many small segments share the last run; it counts as sent when the latest of them was.
    Transmission& last = ring_.back();
    if (!last.sacked && !last.lost && !last.resent && last.end == start.raw()) {
      last.end = end.raw();
      last.sent_at_ns = at_ns;
      return;
    }
  }
  ring_.push({at_ns, start.raw(), end.raw(), false, false, false, false});
}

void Scoreboard::on_resent(std::uint32_t i, std::uint32_t bytes, Instant now) noexcept {
  if (bytes < at(i).bytes()) split(i, bytes);
  Transmission& run = at(i);
  run.sent_at_ns = now.time_since_epoch().count();
  run.ever_resent = true;
  if (run.sacked || run.resent) return;
  run.resent = true;
  resent_bytes_ += run.bytes();
}

std::uint32_t Scoreboard::find(TcpSeq seq) const noexcept {
  std::uint32_t low = 0;
  std::uint32_t high = ring_.size();
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (TcpSeq{(*this)[middle].start}.precedes_or_is(seq))
      low = middle;
    else
      high = middle;
  }
  return low;
}

bool Scoreboard::cover(const wire::SackBlock& block, std::uint32_t& first,
                       std::uint32_t& end) noexcept {
  if (ring_.empty()) return false;
  first = find(block.left);
  if (TcpSeq{at(first).start}.precedes(block.left)) {
    if (block.left.precedes(TcpSeq{at(first).end}) && !at(first).sacked &&
        !split(first, block.left.raw() - at(first).start))
      return false;  // no place to note it: it may be reported again
    ++first;
  }
  end = first;
  while (end < size() && TcpSeq{at(end).end}.precedes_or_is(block.right)) ++end;
  if (end < size() && TcpSeq{at(end).start}.precedes(block.right) && !at(end).sacked &&
      split(end, block.right.raw() - at(end).start))
    ++end;
  return first < end;
}

bool Scoreboard::split(std::uint32_t i, std::uint32_t bytes) noexcept {
  if (ring_.space() == 0) return false;
  ring_.push(ring_.back());
  for (std::uint32_t j = size() - 1; j > i + 1; --j) at(j) = at(j - 1);
  at(i + 1) = at(i);
  at(i).end = at(i).start + bytes;
  at(i + 1).start = at(i).end;
  if (at(i).sacked) ++sacked_runs_;
  return true;
}

void Scoreboard::mark_sacked(Transmission& run) noexcept {
  if (run.lost) lost_bytes_ -= run.bytes();
  if (run.resent) resent_bytes_ -= run.bytes();
  run.lost = run.resent = false;
  run.sacked = true;
  if (sacked_bytes_ == 0 || TcpSeq{highest_sacked_}.precedes(TcpSeq{run.end}))
    highest_sacked_ = run.end;
  sacked_bytes_ += run.bytes();
  ++sacked_runs_;
}

void Scoreboard::mark_lost(std::uint32_t i) noexcept {
  Transmission& run = at(i);
  if (run.resent) {
    resent_bytes_ -= run.bytes();
    run.resent = false;
  }
  if (!run.lost) {
    run.lost = true;
    lost_bytes_ += run.bytes();
  }
  if (static_cast<std::int32_t>(ring_.head + i - resend_cursor_) < 0)
    resend_cursor_ = ring_.head + i;
}

std::uint32_t Scoreboard::mark_lost_by_threshold(std::uint32_t mss) noexcept {
  const std::uint32_t before = lost_bytes_;
  std::uint32_t bytes = 0;
  std::uint32_t islands = 0;
  bool was_sacked = false;
  for (std::uint32_t i = size(); i-- != 0;) {
    const Transmission& run = at(i);
    if (run.sacked) {
      bytes += run.bytes();
      if (!was_sacked) ++islands;
    } else if (!run.lost && (islands >= kDupThresh || bytes > (kDupThresh - 1) * mss)) {
      mark_lost(i);
    }
    was_sacked = run.sacked;
  }
  return lost_bytes_ - before;
}

void Scoreboard::mark_all_lost() noexcept {
  sacked_bytes_ = sacked_runs_ = resent_bytes_ = lost_bytes_ = 0;
  for (std::uint32_t i = 0; i < size(); ++i) {
    Transmission& run = at(i);
    run.sacked = run.resent = false;
    run.lost = true;
    lost_bytes_ += run.bytes();
  }
  resend_cursor_ = ring_.head;
}

void Scoreboard::forget_losses() noexcept {
  lost_bytes_ = resent_bytes_ = 0;
  for (std::uint32_t i = 0; i < size(); ++i) at(i).lost = at(i).resent = false;
}

std::uint32_t Scoreboard::tail(std::uint32_t bytes) noexcept {
  const std::uint32_t last = size() - 1;
  const std::uint32_t length = at(last).bytes();
  return length > bytes && split(last, length - bytes) ? last + 1 : last;
}

std::uint32_t Scoreboard::next_lost() noexcept {
  if (lost_bytes_ == 0) return size();
  while (resend_cursor_ != ring_.tail && !ring_.at(resend_cursor_).wants_resending())
    ++resend_cursor_;
  return resend_cursor_ - ring_.head;
}

std::uint32_t Scoreboard::next_unreported() const noexcept {
  if (sacked_bytes_ == 0) return size();
  for (std::uint32_t i = 0; i < size(); ++i) {
    const Transmission& run = (*this)[i];
    if (!TcpSeq{run.start}.precedes(highest_sacked())) break;
    if (!run.sacked && !run.resent) return i;
  }
  return size();
}

}  // namespace pollux::tcp
