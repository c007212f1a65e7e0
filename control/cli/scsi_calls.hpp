// INQUIRY, READ CAPACITY and REPORT LUNS through the ring, decoded into plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/cli/connection.hpp"
#include "control/cli/render.hpp"

namespace pollux::cli {

struct Capacity {
  std::uint64_t block_count = 0;
  std::uint32_t block_bytes = 0;
  std::uint32_t physical_block_bytes = 0;  ///< the logical size when the target does not say
  bool thin = false;                       ///< LBPME of READ CAPACITY(16)

  [[nodiscard]] std::uint64_t bytes() const noexcept { return block_count * block_bytes; }
};

/// Standard INQUIRY data without a page, else that vital product data page.
[[nodiscard]] std::vector<std::byte> inquiry(Connection& connection, std::uint64_t session_id,
                                             std::uint64_t lun,
                                             std::optional<std::uint8_t> vpd_page,
                                             std::uint32_t deadline_ms);
/// Failure internal when the answer has neither the 8 bytes of READ CAPACITY(10) nor the 32 of
/// (16).
[[nodiscard]] Capacity read_capacity(Connection& connection, std::uint64_t session_id,
                                     std::uint64_t lun, std::uint32_t deadline_ms);
[[nodiscard]] std::vector<std::uint64_t> report_luns(Connection& connection,
                                                     std::uint64_t session_id,
                                                     std::uint32_t deadline_ms);

/// "disk", "CD/DVD", ... of a peripheral device type (SPC-4 6.6.2).
[[nodiscard]] std::string device_type_text(std::uint8_t type);
/// What a standard INQUIRY or a known VPD page says, as members to print; an unknown page gets its
/// bytes as hexadecimal digits.
[[nodiscard]] Json inquiry_json(const std::vector<std::byte>& data,
                                std::optional<std::uint8_t> vpd_page);

}  // namespace pollux::cli
