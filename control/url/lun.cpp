// See lun.hpp.
#include "control/url/lun.hpp"

#include <fmt/format.h>

#include <charconv>

#include "pollux/errors.h"

namespace pollux::url {
namespace {

constexpr std::uint32_t kPeripheralMax = 255;
constexpr std::uint64_t kFlatMethod = 0x4000;  // SAM-5 4.7.7.3: address method 01b
constexpr unsigned kFirstLevelShift = 48;
constexpr std::size_t kRawDigits = 16;

}  // namespace

std::uint64_t encode_lun(std::uint32_t number) noexcept {
  const std::uint64_t first_level = number <= kPeripheralMax ? number : kFlatMethod | number;
  return first_level << kFirstLevelShift;
}

Result<std::uint64_t> parse_lun(std::string_view text) {
  const bool is_raw = text.starts_with("0x") || text.starts_with("0X");
  const std::string_view digits = is_raw ? text.substr(2) : text;
  std::uint64_t value = 0;
  const auto [end, failure] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, is_raw ? 16 : 10);
  const bool is_number = !digits.empty() && failure == std::errc{} && end == digits.end();
  if (is_number && is_raw && digits.size() == kRawDigits) return value;
  if (is_number && !is_raw && value <= kLunNumberMax)
    return encode_lun(static_cast<std::uint32_t>(value));
  return Error{POLLUX_EINVAL,
               fmt::format("'{}' is not a LUN: give a number from 0 to {}, or 0x and the sixteen "
                           "hexadecimal digits of its eight bytes",
                           text, kLunNumberMax)};
}

std::string format_lun(std::uint64_t lun) {
  const std::uint64_t first_level = lun >> kFirstLevelShift;
  if (lun == first_level << kFirstLevelShift) {
    if (first_level <= kPeripheralMax) return fmt::format("{}", first_level);
    const std::uint64_t number = first_level & ~kFlatMethod;
    if ((first_level & 0xc000) == kFlatMethod && number > kPeripheralMax)
      return fmt::format("{}", number);
  }
  return fmt::format("0x{:016x}", lun);
}

}  // namespace pollux::url
