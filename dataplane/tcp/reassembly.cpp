#include "dataplane/tcp/reassembly.hpp"

#include <algorithm>

namespace pollux::tcp {

Reassembly::Filed Reassembly::insert(TcpSeq rcv_nxt, const OutOfOrderPiece& piece,
                                     platform::PacketMemory& memory, CopyStore& store) noexcept {
  Filed filed;
  const std::uint32_t base = rcv_nxt.raw();
  const std::uint32_t origin = piece.start - base;
  const std::uint32_t end = origin + piece.length;
  std::uint32_t begin = origin;
  // From the back: the usual newcomer belongs at the end.
  std::uint32_t i = count_;
  while (i > 0 && pieces_[i - 1].start - base + pieces_[i - 1].length > begin) --i;
  while (begin < end) {
    if (i < count_ && pieces_[i].start - base <= begin) {
      begin = std::max(begin, pieces_[i].start - base + pieces_[i].length);
      ++i;
      continue;
    }
    const std::uint32_t gap_end = i < count_ ? std::min(end, pieces_[i].start - base) : end;
    if (count_ == capacity_) {
      filed.full = true;
      break;
    }
    std::copy_backward(pieces_ + i, pieces_ + count_, pieces_ + count_ + 1);
    std::byte* const from = piece.data + (begin - origin);
    if (std::byte* const cell = store.copy(from, gap_end - begin)) {
      pieces_[i] = {cell, cell, base + begin, gap_end - begin};
      ++filed.copied;
    } else {
      pieces_[i] = {from, piece.handle, base + begin, gap_end - begin};
      if (filed.handle_kept) memory.retain(piece.handle);
      filed.handle_kept = true;
      ++filed.kept;
    }
    ++count_;
    begin = gap_end;
    ++i;
  }
  // RFC 2018 4 and RFC 2883 4: what came last is told first, also when all of it came twice.
  remember(TcpSeq{piece.start});
  return filed;
}

bool Reassembly::first_overlap(TcpSeq rcv_nxt, TcpSeq start, std::uint32_t length,
                               wire::SackBlock& run) const noexcept {
  const std::uint32_t base = rcv_nxt.raw();
  const std::uint32_t from = start.raw() - base;
  const std::uint32_t until = from + length;
  const auto begin_of = [&](std::uint32_t i) { return pieces_[i].start - base; };
  const auto end_of = [&](std::uint32_t i) { return begin_of(i) + pieces_[i].length; };
  // The usual newcomer lies behind all that is here.
  if (count_ == 0 || end_of(count_ - 1) <= from) return false;
  std::uint32_t i = 0;
  while (end_of(i) <= from) ++i;
  if (begin_of(i) >= until) return false;
  const std::uint32_t begin = std::max(begin_of(i), from);
  std::uint32_t end = end_of(i);
  for (++i; i < count_ && begin_of(i) == end; ++i) end = end_of(i);
  run = {TcpSeq{base + begin}, TcpSeq{base + std::min(end, until)}};
  return true;
}

bool Reassembly::tell_first(TcpSeq rcv_nxt, const wire::SackBlock& block) noexcept {
  wire::SackBlock run;
  if (!run_of(rcv_nxt, block.left, run) || !block.right.precedes_or_is(run.right)) return false;
  remember(block.left);
  return true;
}

void Reassembly::drop_front(std::uint32_t n) noexcept {
  std::copy(pieces_ + n, pieces_ + count_, pieces_);
  count_ -= n;
  if (count_ == 0) recent_count_ = 0;
}

void Reassembly::remember(TcpSeq start) noexcept {
  if (recent_count_ < recent_.size()) ++recent_count_;
  std::copy_backward(recent_.begin(), recent_.begin() + recent_count_ - 1,
                     recent_.begin() + recent_count_);
  recent_[0] = start;
}

bool Reassembly::run_of(TcpSeq rcv_nxt, TcpSeq byte, wire::SackBlock& run) const noexcept {
  if (byte.precedes(rcv_nxt)) return false;
  const std::uint32_t base = rcv_nxt.raw();
  const std::uint32_t at = byte.raw() - base;
  std::uint32_t i = 0;
  while (i < count_) {
    const std::uint32_t begin = pieces_[i].start - base;
    std::uint32_t end = begin + pieces_[i].length;
    for (++i; i < count_ && pieces_[i].start - base == end; ++i) end += pieces_[i].length;
    if (at < begin) return false;
    if (at < end) {
      run = {TcpSeq{base + begin}, TcpSeq{base + end}};
      return true;
    }
  }
  return false;
}

std::size_t Reassembly::sack_blocks(TcpSeq rcv_nxt, std::span<wire::SackBlock> out) noexcept {
  std::size_t n = 0;
  std::uint32_t kept = 0;
  for (std::uint32_t r = 0; r < recent_count_; ++r) {
    wire::SackBlock run;
    if (!run_of(rcv_nxt, recent_[r], run)) continue;
    const auto same = [&run](const wire::SackBlock& block) { return block.left == run.left; };
    if (std::any_of(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(n), same)) continue;
    recent_[kept++] = recent_[r];
    if (n < out.size()) out[n++] = run;
  }
  recent_count_ = kept;
  return n;
}

}  // namespace pollux::tcp
