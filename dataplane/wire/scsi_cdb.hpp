// Command descriptor blocks the initiator sends, each in the 16-byte field of a SCSI Command PDU
// (RFC 7143 11.3.5), unused bytes zero. Layouts follow SPC-4 and SBC-3.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/byte_order.hpp"

namespace pollux::wire {

using Cdb = std::array<std::uint8_t, 16>;

/// SPC-4 and SBC-3 operation codes.
enum class ScsiOperation : std::uint8_t {
  test_unit_ready = 0x00,
  inquiry = 0x12,
  read_capacity_10 = 0x25,
  read_10 = 0x28,
  write_10 = 0x2a,
  synchronize_cache_10 = 0x35,
  read_16 = 0x88,
  write_16 = 0x8a,
  synchronize_cache_16 = 0x91,
  service_action_in_16 = 0x9e,
  report_luns = 0xa0,
};

inline constexpr std::uint8_t kForceUnitAccess = 0x08;        ///< READ and WRITE, byte 1
inline constexpr std::uint8_t kServiceReadCapacity16 = 0x10;  ///< of SERVICE ACTION IN(16)

/// READ(10), WRITE(10), SYNCHRONIZE CACHE(10), READ CAPACITY(10).
struct Cdb10 {
  ScsiOperation operation{};
  std::uint8_t flags = 0;
  Be32 lba;
  std::uint8_t group = 0;
  Be16 blocks;
  std::uint8_t control = 0;
};
static_assert(WireLayout<Cdb10> && sizeof(Cdb10) == 10 && offsetof(Cdb10, blocks) == 7);

/// READ(16), WRITE(16), SYNCHRONIZE CACHE(16).
struct Cdb16 {
  ScsiOperation operation{};
  std::uint8_t flags = 0;
  Be64 lba;
  Be32 blocks;
  std::uint8_t group = 0;
  std::uint8_t control = 0;
};
static_assert(WireLayout<Cdb16> && sizeof(Cdb16) == 16 && offsetof(Cdb16, blocks) == 10);

struct CdbInquiry {
  ScsiOperation operation = ScsiOperation::inquiry;
  std::uint8_t evpd = 0;  ///< 1: a vital product data page
  std::uint8_t page_code = 0;
  Be16 allocation_length;
  std::uint8_t control = 0;
};
static_assert(WireLayout<CdbInquiry> && sizeof(CdbInquiry) == 6);

struct CdbReadCapacity16 {
  ScsiOperation operation = ScsiOperation::service_action_in_16;
  std::uint8_t service_action = kServiceReadCapacity16;
  std::array<std::uint8_t, 8> obsolete{};
  Be32 allocation_length;
  std::uint8_t obsolete_2 = 0;
  std::uint8_t control = 0;
};
static_assert(WireLayout<CdbReadCapacity16> && sizeof(CdbReadCapacity16) == 16);

struct CdbReportLuns {
  ScsiOperation operation = ScsiOperation::report_luns;
  std::uint8_t reserved = 0;
  std::uint8_t select_report = 0;
  std::array<std::uint8_t, 3> reserved_2{};
  Be32 allocation_length;
  std::uint8_t reserved_3 = 0;
  std::uint8_t control = 0;
};
static_assert(WireLayout<CdbReportLuns> && sizeof(CdbReportLuns) == 12);

/// Any layout above, followed by zeros up to 16 bytes.
template <WireLayout T>
[[nodiscard]] constexpr Cdb to_cdb(const T& layout) noexcept {
  static_assert(sizeof(T) <= sizeof(Cdb));
  Cdb cdb{};
  const auto bytes = std::bit_cast<std::array<std::uint8_t, sizeof(T)>>(layout);
  std::copy(bytes.begin(), bytes.end(), cdb.begin());
  return cdb;
}

/// `operation` is one of the 10-byte read, write and synchronize operations.
[[nodiscard]] constexpr Cdb cdb_10(ScsiOperation operation, std::uint32_t lba, std::uint16_t blocks,
                                   std::uint8_t flags) noexcept {
  return to_cdb(
      Cdb10{.operation = operation, .flags = flags, .lba = Be32{lba}, .blocks = Be16{blocks}});
}
/// `operation` is one of the 16-byte read, write and synchronize operations.
[[nodiscard]] constexpr Cdb cdb_16(ScsiOperation operation, std::uint64_t lba, std::uint32_t blocks,
                                   std::uint8_t flags) noexcept {
  return to_cdb(
      Cdb16{.operation = operation, .flags = flags, .lba = Be64{lba}, .blocks = Be32{blocks}});
}

[[nodiscard]] constexpr Cdb cdb_read_10(std::uint32_t lba, std::uint16_t blocks) noexcept {
  return cdb_10(ScsiOperation::read_10, lba, blocks, 0);
}
[[nodiscard]] constexpr Cdb cdb_write_10(std::uint32_t lba, std::uint16_t blocks) noexcept {
  return cdb_10(ScsiOperation::write_10, lba, blocks, 0);
}
[[nodiscard]] constexpr Cdb cdb_read_16(std::uint64_t lba, std::uint32_t blocks) noexcept {
  return cdb_16(ScsiOperation::read_16, lba, blocks, 0);
}
[[nodiscard]] constexpr Cdb cdb_write_16(std::uint64_t lba, std::uint32_t blocks) noexcept {
  return cdb_16(ScsiOperation::write_16, lba, blocks, 0);
}
/// Zero blocks means up to the end of the medium.
[[nodiscard]] constexpr Cdb cdb_synchronize_cache_10(std::uint32_t lba,
                                                     std::uint16_t blocks) noexcept {
  return cdb_10(ScsiOperation::synchronize_cache_10, lba, blocks, 0);
}
[[nodiscard]] constexpr Cdb cdb_synchronize_cache_16(std::uint64_t lba,
                                                     std::uint32_t blocks) noexcept {
  return cdb_16(ScsiOperation::synchronize_cache_16, lba, blocks, 0);
}
[[nodiscard]] constexpr Cdb cdb_test_unit_ready() noexcept { return Cdb{}; }
[[nodiscard]] constexpr Cdb cdb_inquiry(std::uint16_t allocation_length) noexcept {
  return to_cdb(CdbInquiry{.allocation_length = Be16{allocation_length}});
}
[[nodiscard]] constexpr Cdb cdb_inquiry_page(std::uint8_t page_code,
                                             std::uint16_t allocation_length) noexcept {
  return to_cdb(
      CdbInquiry{.evpd = 1, .page_code = page_code, .allocation_length = Be16{allocation_length}});
}
[[nodiscard]] constexpr Cdb cdb_read_capacity_10() noexcept {
  return cdb_10(ScsiOperation::read_capacity_10, 0, 0, 0);
}
[[nodiscard]] constexpr Cdb cdb_read_capacity_16(std::uint32_t allocation_length) noexcept {
  return to_cdb(CdbReadCapacity16{.allocation_length = Be32{allocation_length}});
}
[[nodiscard]] constexpr Cdb cdb_report_luns(std::uint32_t allocation_length) noexcept {
  return to_cdb(CdbReportLuns{.allocation_length = Be32{allocation_length}});
}

}  // namespace pollux::wire
