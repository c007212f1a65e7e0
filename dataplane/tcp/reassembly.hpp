// Bytes that came before their turn: sorted, disjoint pieces behind a hole, bounded in number.
// Read first: RFC 9293 3.10.7.4, RFC 2018 3 and 4.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/base/serial_number.hpp"
#include "dataplane/platform/packet_memory.hpp"
#include "dataplane/tcp/copy_store.hpp"
#include "dataplane/wire/tcp_options.hpp"

namespace pollux::tcp {

/// Trivial, so that the storage of idle connections is never touched.
struct OutOfOrderPiece {
  std::byte* data;
  void* handle;  ///< one reference is held, or a cell of the CopyStore
  std::uint32_t start;
  std::uint32_t length;
};

class Reassembly {
 public:
  void attach(OutOfOrderPiece* storage, std::uint32_t capacity) noexcept {
    pieces_ = storage;
    capacity_ = capacity;
  }

  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  [[nodiscard]] const OutOfOrderPiece& front() const noexcept { return pieces_[0]; }
  [[nodiscard]] const OutOfOrderPiece& operator[](std::uint32_t i) const noexcept {
    return pieces_[i];
  }

  struct Filed {
    bool handle_kept = false;  ///< the reference of the handle now belongs to the queue
    bool full = false;         ///< some bytes found no place
    std::uint32_t copied = 0;  ///< pieces that went to a cell
    std::uint32_t kept = 0;    ///< pieces that keep the packet buffer
  };
  /// Files those of `length` bytes that no earlier piece covers: what came first stays. All starts
  /// are compared by their distance from rcv_nxt. Small pieces are copied to `store` while it has
  /// room.
  Filed insert(TcpSeq rcv_nxt, const OutOfOrderPiece& piece, platform::PacketMemory& memory,
               CopyStore& store) noexcept;

  /// The first run of bytes among `length` from `start` that is here already. False: none is.
  [[nodiscard]] bool first_overlap(TcpSeq rcv_nxt, TcpSeq start, std::uint32_t length,
                                   wire::SackBlock& run) const noexcept;

  /// Cuts off what lies at or behind `end`; `dropped(handle)` takes the handles of whole pieces.
  template <class Dropped>
  std::uint32_t drop_from(TcpSeq rcv_nxt, TcpSeq end, Dropped&& dropped) noexcept {
    const std::uint32_t limit = end.distance_from(rcv_nxt);
    std::uint32_t bytes = 0;
    while (count_ != 0) {
      OutOfOrderPiece& last = pieces_[count_ - 1];
      const std::uint32_t begin = last.start - rcv_nxt.raw();
      if (begin + last.length <= limit) break;
      const std::uint32_t keep = begin < limit ? limit - begin : 0;
      bytes += last.length - keep;
      last.length = keep;
      if (keep != 0) break;
      dropped(last.handle);
      --count_;
    }
    if (count_ == 0) recent_count_ = 0;
    return bytes;
  }

  /// Removes the first `n` pieces; their references have passed to the caller.
  void drop_front(std::uint32_t n) noexcept;
  void clear() noexcept {
    count_ = 0;
    recent_count_ = 0;
  }

  /// RFC 2883 4: the run that holds all of `block` comes first in sack_blocks(). False: none does.
  [[nodiscard]] bool tell_first(TcpSeq rcv_nxt, const wire::SackBlock& block) noexcept;

  /// RFC 2018 4: the run holding the newest bytes first, then others most recent first.
  std::size_t sack_blocks(TcpSeq rcv_nxt, std::span<wire::SackBlock> out) noexcept;

 private:
  void remember(TcpSeq start) noexcept;
  [[nodiscard]] bool run_of(TcpSeq rcv_nxt, TcpSeq byte, wire::SackBlock& run) const noexcept;

  OutOfOrderPiece* pieces_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint32_t count_ = 0;
  std::array<TcpSeq, 4> recent_{};  // one byte of each of the runs that grew last, newest first
  std::uint32_t recent_count_ = 0;
};

}  // namespace pollux::tcp
