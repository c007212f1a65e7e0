// What the peer has reported by SACK: sorted, disjoint runs between snd_una and snd_nxt.
// Read first: RFC 2018 5 and 8, RFC 6675 2 to 4.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/base/serial_number.hpp"
#include "dataplane/wire/tcp_options.hpp"

namespace pollux::tcp {

class Scoreboard {
 public:
  /// Runs that are remembered; a report that would need more is left out (and may come again).
  static constexpr std::uint32_t kRuns = 32;

  void clear() noexcept { count_ = 0; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  [[nodiscard]] const wire::SackBlock& operator[](std::uint32_t i) const noexcept {
    return runs_[i];
  }
  /// One past the highest reported byte; only when not empty.
  [[nodiscard]] TcpSeq highest() const noexcept { return runs_[count_ - 1].right; }

  /// Takes in one block. Returns true when it told something new. A block that is not inside
  /// (snd_una, snd_nxt] is left out: RFC 2883 duplicates and forgeries end here.
  bool add(wire::SackBlock block, TcpSeq snd_una, TcpSeq snd_nxt) noexcept;
  /// Forgets what the cumulative acknowledgment covers.
  void advance(TcpSeq snd_una) noexcept;

  [[nodiscard]] std::uint32_t bytes() const noexcept;

  /// RFC 6675 4 IsLost for a byte that lies just below run `above`: enough was reported above it.
  [[nodiscard]] bool lost_below(std::uint32_t above, std::uint32_t mss) const noexcept;

 private:
  std::array<wire::SackBlock, kRuns> runs_{};
  std::uint32_t count_ = 0;
};

}  // namespace pollux::tcp
