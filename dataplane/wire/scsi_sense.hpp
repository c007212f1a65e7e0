// SCSI status codes and sense data (SAM-5, SPC-4 section 4.5), as carried by the data segment of a
// SCSI Response (RFC 7143 11.4.7). Every length is bounded by the bytes received, never by a field
// alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace pollux::wire {

/// SAM-5 table of status codes.
enum class ScsiStatus : std::uint8_t {
  good = 0x00,
  check_condition = 0x02,
  condition_met = 0x04,
  busy = 0x08,
  reservation_conflict = 0x18,
  task_set_full = 0x28,
  aca_active = 0x30,
  task_aborted = 0x40,
};

/// SPC-4 sense keys. A peer may send values that are not listed.
enum class SenseKey : std::uint8_t {
  no_sense = 0x0,
  recovered_error = 0x1,
  not_ready = 0x2,
  medium_error = 0x3,
  hardware_error = 0x4,
  illegal_request = 0x5,
  unit_attention = 0x6,
  data_protect = 0x7,
  blank_check = 0x8,
  vendor_specific = 0x9,
  copy_aborted = 0xa,
  aborted_command = 0xb,
  volume_overflow = 0xd,
  miscompare = 0xe,
  completed = 0xf,
};

struct Sense {
  SenseKey key = SenseKey::no_sense;
  std::uint8_t asc = 0;
  std::uint8_t ascq = 0;
  bool is_deferred = false;  ///< about an earlier command (response codes 71h and 73h)
  std::optional<std::uint64_t> information;
};

/// The sense bytes of a SCSI Response's data segment: SenseLength, cut to what arrived.
[[nodiscard]] std::span<const std::byte> sense_bytes(std::span<const std::byte> segment) noexcept;

/// Fixed (70h, 71h) or descriptor (72h, 73h) format. Nothing when the response code is another one
/// or the bytes end before the sense key. A code that was cut off reads as 00/00.
[[nodiscard]] std::optional<Sense> parse_sense(std::span<const std::byte> sense) noexcept;

}  // namespace pollux::wire
