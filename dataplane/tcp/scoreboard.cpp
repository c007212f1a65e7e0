#include "dataplane/tcp/scoreboard.hpp"

#include <algorithm>

namespace pollux::tcp {

bool Scoreboard::add(wire::SackBlock block, TcpSeq snd_una, TcpSeq snd_nxt) noexcept {
  if (!block.left.precedes(block.right) || !snd_una.precedes(block.right) ||
      block.left.precedes(snd_una) || !block.right.precedes_or_is(snd_nxt))
    return false;
  // first .. last: the runs that touch the block.
  std::uint32_t first = 0;
  while (first < count_ && runs_[first].right.precedes(block.left)) ++first;
  std::uint32_t last = first;
  while (last < count_ && runs_[last].left.precedes_or_is(block.right)) ++last;
  if (first == last) {
    if (count_ == kRuns) return false;
    std::copy_backward(runs_.begin() + first, runs_.begin() + count_, runs_.begin() + count_ + 1);
    runs_[first] = block;
    ++count_;
    return true;
  }
  const wire::SackBlock merged{
      runs_[first].left.precedes(block.left) ? runs_[first].left : block.left,
      block.right.precedes(runs_[last - 1].right) ? runs_[last - 1].right : block.right};
  const bool is_new =
      last - first > 1 || merged.left != runs_[first].left || merged.right != runs_[first].right;
  runs_[first] = merged;
  std::copy(runs_.begin() + last, runs_.begin() + count_, runs_.begin() + first + 1);
  count_ -= last - first - 1;
  return is_new;
}

void Scoreboard::advance(TcpSeq snd_una) noexcept {
  std::uint32_t covered = 0;
  while (covered < count_ && runs_[covered].right.precedes_or_is(snd_una)) ++covered;
  if (covered != 0) {
    std::copy(runs_.begin() + covered, runs_.begin() + count_, runs_.begin());
    count_ -= covered;
  }
  if (count_ != 0 && runs_[0].left.precedes(snd_una)) runs_[0].left = snd_una;
}

std::uint32_t Scoreboard::bytes() const noexcept {
  std::uint32_t total = 0;
  for (std::uint32_t i = 0; i < count_; ++i) total += runs_[i].right.distance_from(runs_[i].left);
  return total;
}

bool Scoreboard::lost_below(std::uint32_t above, std::uint32_t mss) const noexcept {
  constexpr std::uint32_t kDupThresh = 3;
  if (count_ - above >= kDupThresh) return true;
  std::uint32_t total = 0;
  for (std::uint32_t i = above; i < count_; ++i)
    total += runs_[i].right.distance_from(runs_[i].left);
  return total > (kDupThresh - 1) * mss;
}

}  // namespace pollux::tcp
