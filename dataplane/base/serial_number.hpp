// Serial number arithmetic (RFC 1982, SERIAL_BITS = 32), used by TCP sequence numbers and by
// CmdSN, StatSN, DataSN and R2TSN (RFC 7143 section 4.2.2.1).
// There is deliberately no operator<: the order is not transitive and must never reach std::sort.
#pragma once

#include <cstdint>

namespace pollux {

template <class Tag>
class Serial {
 public:
  constexpr Serial() noexcept = default;
  constexpr explicit Serial(std::uint32_t raw) noexcept : raw_(raw) {}

  [[nodiscard]] constexpr std::uint32_t raw() const noexcept { return raw_; }
  friend constexpr bool operator==(Serial, Serial) noexcept = default;

  /// True when this comes before `later`. Values exactly 2^31 apart precede each other neither way.
  [[nodiscard]] constexpr bool precedes(Serial later) const noexcept {
    const std::uint32_t distance = later.raw_ - raw_;
    return distance != 0 && distance < 0x8000'0000u;
  }
  [[nodiscard]] constexpr bool precedes_or_is(Serial later) const noexcept {
    return later.raw_ - raw_ < 0x8000'0000u;
  }
  /// True when this lies in [first, first + size).
  [[nodiscard]] constexpr bool in_window(Serial first, std::uint32_t size) const noexcept {
    return raw_ - first.raw_ < size;
  }
  [[nodiscard]] constexpr std::uint32_t distance_from(Serial earlier) const noexcept {
    return raw_ - earlier.raw_;
  }
  constexpr Serial operator+(std::uint32_t n) const noexcept { return Serial{raw_ + n}; }
  constexpr Serial operator-(std::uint32_t n) const noexcept { return Serial{raw_ - n}; }
  constexpr Serial& operator+=(std::uint32_t n) noexcept {
    raw_ += n;
    return *this;
  }

 private:
  std::uint32_t raw_ = 0;
};

using TcpSeq = Serial<struct TcpSeqTag>;
using CmdSn = Serial<struct CmdSnTag>;
using StatSn = Serial<struct StatSnTag>;
using DataSn = Serial<struct DataSnTag>;
using R2tSn = Serial<struct R2tSnTag>;

static_assert(CmdSn{0xffff'ffff}.precedes(CmdSn{0}));
static_assert(!CmdSn{0}.precedes(CmdSn{0x8000'0000}) && !CmdSn{0x8000'0000}.precedes(CmdSn{0}));

}  // namespace pollux
