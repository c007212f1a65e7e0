// Sense data in both formats to key, ASC and ASCQ (SPC-4 section 4.5). See scsi_sense.hpp.
#include "dataplane/wire/scsi_sense.hpp"

#include <algorithm>

#include "dataplane/base/byte_order.hpp"

namespace pollux::wire {
namespace {

constexpr std::size_t kHeaderBytes = 8;  // both formats, up to ADDITIONAL SENSE LENGTH
constexpr std::size_t kAdditionalLengthAt = 7;
constexpr std::uint8_t kKeyMask = 0x0f;
constexpr std::uint8_t kResponseCodeMask = 0x7f;
constexpr std::uint8_t kValid = 0x80;
constexpr std::uint8_t kInformationDescriptor = 0x00;
constexpr std::size_t kInformationDescriptorBytes = 12;

std::uint8_t byte_at(std::span<const std::byte> bytes, std::size_t at) noexcept {
  return at < bytes.size() ? std::to_integer<std::uint8_t>(bytes[at]) : std::uint8_t{0};
}

// The length field may only shorten what arrived.
std::span<const std::byte> bounded(std::span<const std::byte> sense) noexcept {
  if (sense.size() < kHeaderBytes) return sense;
  const std::size_t stated = kHeaderBytes + byte_at(sense, kAdditionalLengthAt);
  return sense.first(std::min(sense.size(), stated));
}

Sense parse_fixed(std::span<const std::byte> sense) noexcept {
  Sense result{.key = static_cast<SenseKey>(byte_at(sense, 2) & kKeyMask),
               .asc = byte_at(sense, 12),
               .ascq = byte_at(sense, 13)};
  if ((byte_at(sense, 0) & kValid) != 0 && sense.size() >= 7) {
    result.information = load<Be32>(sense.data() + 3).get();
  }
  return result;
}

std::optional<std::uint64_t> find_information(std::span<const std::byte> descriptors) noexcept {
  while (descriptors.size() >= 2) {
    const std::size_t bytes = std::size_t{2} + byte_at(descriptors, 1);
    if (bytes > descriptors.size()) return std::nullopt;
    const bool is_information = byte_at(descriptors, 0) == kInformationDescriptor;
    if (is_information && bytes >= kInformationDescriptorBytes &&
        (byte_at(descriptors, 2) & kValid) != 0) {
      return load<Be64>(descriptors.data() + 4).get();
    }
    descriptors = descriptors.subspan(bytes);
  }
  return std::nullopt;
}

Sense parse_descriptor(std::span<const std::byte> sense) noexcept {
  Sense result{.key = static_cast<SenseKey>(byte_at(sense, 1) & kKeyMask),
               .asc = byte_at(sense, 2),
               .ascq = byte_at(sense, 3)};
  if (sense.size() > kHeaderBytes)
    result.information = find_information(sense.subspan(kHeaderBytes));
  return result;
}

}  // namespace

std::span<const std::byte> sense_bytes(std::span<const std::byte> segment) noexcept {
  if (segment.size() < sizeof(Be16)) return {};
  const std::size_t stated = load<Be16>(segment.data()).get();
  const std::span<const std::byte> rest = segment.subspan(sizeof(Be16));
  return rest.first(std::min(rest.size(), stated));
}

std::optional<Sense> parse_sense(std::span<const std::byte> sense) noexcept {
  constexpr std::size_t kFixedKeyEnd = 3;
  constexpr std::size_t kDescriptorKeyEnd = 2;
  const std::span<const std::byte> bytes = bounded(sense);
  const std::uint8_t response_code = byte_at(bytes, 0) & kResponseCodeMask;
  const bool is_fixed = response_code == 0x70 || response_code == 0x71;
  const bool is_descriptor = response_code == 0x72 || response_code == 0x73;
  std::optional<Sense> result;
  if (is_fixed && bytes.size() >= kFixedKeyEnd) result = parse_fixed(bytes);
  if (is_descriptor && bytes.size() >= kDescriptorKeyEnd) result = parse_descriptor(bytes);
  if (result) result->is_deferred = (response_code & 1) != 0;
  return result;
}

}  // namespace pollux::wire
