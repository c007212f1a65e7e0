#include "dataplane/base/timer_wheel.hpp"

#include <algorithm>

namespace pollux {
namespace {

void make_empty(TimerNode& head) noexcept { head.next = head.previous = &head; }

}  // namespace

TimerWheel::TimerWheel(Instant start) noexcept
    : tick_(static_cast<std::uint64_t>(start.time_since_epoch().count()) >> kTickShift) {
  for (auto& level : heads_) std::for_each(level.begin(), level.end(), make_empty);
  make_empty(due_);
}

void TimerWheel::link_before(TimerNode& head, TimerNode& node) noexcept {
  node.next = &head;
  node.previous = head.previous;
  head.previous->next = &node;
  head.previous = &node;
}

void TimerWheel::unlink(TimerNode& node) noexcept {
  node.previous->next = node.next;
  node.next->previous = node.previous;
  node.next = node.previous = nullptr;
  --armed_;
}

void TimerWheel::file(TimerNode& node) noexcept {
  const auto ns = static_cast<std::uint64_t>(
      std::max<std::int64_t>(node.deadline.time_since_epoch().count(), 0));
  // Rounded up: a node is due when its whole tick has passed, so it never fires early.
  const std::uint64_t tick = (ns >> kTickShift) + 1;
  if (tick <= tick_) return link_before(due_, node);
  const std::uint64_t ahead = tick - tick_;
  if (ahead < kSlots) return link_before(heads_[0][tick % kSlots], node);
  if (ahead < kSlots * kSlots) return link_before(heads_[1][(tick >> kLevelBits) % kSlots], node);
  const std::uint64_t farthest = tick_ + kSlots * kSlots * (kSlots - 1);
  const std::uint64_t slot_tick = std::min(tick, farthest);
  link_before(heads_[2][(slot_tick >> (2 * kLevelBits)) % kSlots], node);
}

void TimerWheel::arm(TimerNode& node, Instant deadline) noexcept {
  if (node.armed()) unlink(node);
  node.deadline = deadline;
  ++armed_;
  file(node);
}

void TimerWheel::cancel(TimerNode& node) noexcept {
  if (node.armed()) unlink(node);
}

void TimerWheel::cascade(std::size_t level) noexcept {
  TimerNode& head = heads_[level][(tick_ >> (level * kLevelBits)) % kSlots];
  TimerNode moved;
  make_empty(moved);
  while (head.next != &head) {
    TimerNode& node = *head.next;
    unlink(node);
    ++armed_;
    link_before(moved, node);
  }
  while (moved.next != &moved) {
    TimerNode& node = *moved.next;
    unlink(node);
    ++armed_;
    file(node);
  }
}

void TimerWheel::advance(Instant now) noexcept {
  const auto target = static_cast<std::uint64_t>(now.time_since_epoch().count()) >> kTickShift;
  if (armed_ == 0) {
    tick_ = std::max(tick_, target);
    return;
  }
  if (target > tick_ && target - tick_ > kJumpTicks) return jump(target);
  while (tick_ < target) {
    ++tick_;
    if (tick_ % kSlots == 0) {
      if ((tick_ >> kLevelBits) % kSlots == 0) cascade(2);
      cascade(1);
    }
    TimerNode& head = heads_[0][tick_ % kSlots];
    while (head.next != &head) {
      TimerNode& node = *head.next;
      unlink(node);
      ++armed_;
      link_before(due_, node);
    }
  }
}

/// A long sleep, or a machine that was suspended: the work is bounded by slots and nodes, not by
/// time.
void TimerWheel::jump(std::uint64_t target) noexcept {
  TimerNode moved;
  make_empty(moved);
  for (std::size_t level = 0; level < kLevels; ++level) {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      TimerNode& head = heads_[level][((tick_ >> (level * kLevelBits)) + slot) % kSlots];
      while (head.next != &head) {
        TimerNode& node = *head.next;
        unlink(node);
        ++armed_;
        link_before(moved, node);
      }
    }
  }
  tick_ = target;
  while (moved.next != &moved) {
    TimerNode& node = *moved.next;
    unlink(node);
    ++armed_;
    file(node);
  }
}

Instant TimerWheel::next_deadline() const noexcept {
  Instant earliest = kNever;
  const auto scan = [&earliest](const TimerNode& head) {
    for (const TimerNode* node = head.next; node != &head; node = node->next)
      earliest = std::min(earliest, node->deadline);
  };
  scan(due_);
  for (const auto& level : heads_)
    for (const auto& head : level) scan(head);
  return earliest;
}

}  // namespace pollux
