// UniqueSessionId and UniqueConnectionId: bits 63..40 boot epoch, 39..16 sequence, 15..0 the connection
// slot on the worker. The epoch rises with every start of the service and the sequence with every id,
// so no id is given twice, also not after a restart; the worker finds its slot without a table.
#pragma once

#include <cstdint>
#include <optional>

namespace pollux::service {

inline constexpr std::uint32_t kBootEpochMax = (1u << 24) - 1;
inline constexpr std::uint32_t kSessionSequenceMax = (1u << 24) - 1;

class SessionIds {
 public:
  /// 1..kBootEpochMax.
  explicit SessionIds(std::uint32_t boot_epoch) noexcept : boot_epoch_(boot_epoch & kBootEpochMax) {}

  /// Nothing once the sequence is used up: better no session than a second one with an old name.
  [[nodiscard]] std::optional<std::uint64_t> next(std::uint16_t slot) noexcept {
    if (sequence_ == kSessionSequenceMax) return std::nullopt;
    ++sequence_;
    return std::uint64_t{boot_epoch_} << 40 | std::uint64_t{sequence_} << 16 | slot;
  }

 private:
  std::uint32_t boot_epoch_;
  std::uint32_t sequence_ = 0;  ///< the first id has 1, so that no id is ever 0
};

}  // namespace pollux::service
