// See scsi_calls.hpp; what INQUIRY data mean is in inquiry_text.cpp.
#include "control/cli/scsi_calls.hpp"

#include <fmt/format.h>

#include <cstring>

#include "control/cli/operation.hpp"
#include "control/url/lun.hpp"
#include "pollux/iscsierr.h"
#include "pollux/iscsiop.h"

namespace pollux::cli {
namespace {

constexpr std::size_t kInquiryOutputBytes = 1024;
constexpr std::size_t kCapacityOutputBytes = 128;
constexpr std::size_t kLunsOutputBytes = std::size_t{16} << 10;
constexpr std::size_t kCapacity10Bytes = 8;   // SBC-3 5.15
constexpr std::size_t kCapacity16Bytes = 16;  // SBC-3 5.16, as far as it is read here

std::uint64_t big_endian(std::span<const std::byte> bytes) noexcept {
  std::uint64_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | static_cast<std::uint8_t>(byte);
  return value;
}

/// The three SCSI outputs have one layout; ScsiInquiry_OUT stands for all.
static_assert(offsetof(ScsiReadCapacity_OUT, ResponseBuffer) ==
              offsetof(ScsiInquiry_OUT, ResponseBuffer));
static_assert(offsetof(ScsiReportLuns_OUT, ResponseBuffer) ==
              offsetof(ScsiInquiry_OUT, ResponseBuffer));

std::vector<std::byte> response_of(const std::string& what, const Answer& answer) {
  const std::uint32_t status = status_of(what, answer);
  const auto out = output_of<ScsiInquiry_OUT>(answer);
  if (status == ISDSC_SCSI_REQUEST_FAILED)
    throw failure_of_scsi(what, out.ScsiStatus, std::as_bytes(std::span(out.SenseBuffer)));
  if (status != 0) throw failure_of_status(what, status);
  const auto bytes =
      answer.bytes_at(offsetof(ScsiInquiry_OUT, ResponseBuffer), out.ResponseBufferSize);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

std::vector<std::byte> inquiry(Connection& connection, std::uint64_t session_id, std::uint64_t lun,
                               std::optional<std::uint8_t> vpd_page, std::uint32_t deadline_ms) {
  const std::string what =
      fmt::format("INQUIRY of LUN {} on session {}", url::format_lun(lun), format_id(session_id));
  ScsiInquiry_IN in{};
  in.UniqueSessionId = session_id;
  in.Lun = lun;
  in.InquiryFlags = vpd_page ? 1 : 0;
  in.PageCode = vpd_page.value_or(0);
  return response_of(what, connection.call(what, MSiSCSI_ScsiInquiry, input_of(in),
                                           kInquiryOutputBytes, deadline_ms));
}

Capacity read_capacity(Connection& connection, std::uint64_t session_id, std::uint64_t lun,
                       std::uint32_t deadline_ms) {
  const std::string what = fmt::format("READ CAPACITY of LUN {} on session {}",
                                       url::format_lun(lun), format_id(session_id));
  const ScsiReadCapacity_IN in{session_id, lun};
  const std::vector<std::byte> data =
      response_of(what, connection.call(what, MSiSCSI_ScsiReadCapacity, input_of(in),
                                        kCapacityOutputBytes, deadline_ms));
  const std::span<const std::byte> bytes(data);
  Capacity capacity;
  if (bytes.size() >= kCapacity16Bytes) {
    const std::uint64_t last = big_endian(bytes.first(8));
    capacity.block_count = last == UINT64_MAX ? last : last + 1;
    capacity.block_bytes = static_cast<std::uint32_t>(big_endian(bytes.subspan(8, 4)));
    const auto exponent = static_cast<unsigned>(bytes[13] & std::byte{0x0f});
    capacity.physical_block_bytes = capacity.block_bytes << exponent;
    capacity.thin = (bytes[14] & std::byte{0x80}) != std::byte{0};
  } else if (bytes.size() >= kCapacity10Bytes) {
    capacity.block_count = big_endian(bytes.first(4)) + 1;
    capacity.block_bytes = static_cast<std::uint32_t>(big_endian(bytes.subspan(4, 4)));
    capacity.physical_block_bytes = capacity.block_bytes;
  }
  if (capacity.block_bytes == 0)
    throw Failure(ExitCode::internal,
                  fmt::format("{} failed: the target's answer has no block size.", what));
  return capacity;
}

std::vector<std::uint64_t> report_luns(Connection& connection, std::uint64_t session_id,
                                       std::uint32_t deadline_ms) {
  const std::string what = fmt::format("REPORT LUNS on session {}", format_id(session_id));
  const ScsiReportLuns_IN in{session_id};
  const std::vector<std::byte> data = response_of(
      what,
      connection.call(what, MSiSCSI_ScsiReportLuns, input_of(in), kLunsOutputBytes, deadline_ms));
  const std::span<const std::byte> bytes(data);
  std::vector<std::uint64_t> luns;
  if (bytes.size() < 8) return luns;
  // SPC-4 6.33: LUN LIST LENGTH may say more than the allocation length let through.
  const std::size_t listed = std::min<std::size_t>(big_endian(bytes.first(4)), bytes.size() - 8);
  for (std::size_t offset = 8; offset + 8 <= 8 + listed; offset += 8)
    luns.push_back(big_endian(bytes.subspan(offset, 8)));
  return luns;
}

}  // namespace pollux::cli
