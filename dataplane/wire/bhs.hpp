// Layouts of the iSCSI Basic Header Segments, one struct for each PDU, in the field order and with
// the names of RFC 7143 section 11. Reserved fields are named so and are sent as zero. Lengths,
// flags and opcodes only: what the fields mean is decided in dataplane/iscsi and control/session.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/byte_order.hpp"

namespace pollux::wire {

inline constexpr std::size_t kBhsBytes = 48;
inline constexpr std::uint32_t kReservedTag = 0xffff'ffff;  ///< RFC 7143 11.2.1.8, 11.7.4
inline constexpr std::size_t kDigestBytes = 4;
inline constexpr std::uint32_t kDataSegmentLengthMax = 0xff'ffff;  ///< 24 bits

/// RFC 7143 11.2.1.2.
enum class Opcode : std::uint8_t {
  nop_out = 0x00,
  scsi_command = 0x01,
  task_management_request = 0x02,
  login_request = 0x03,
  text_request = 0x04,
  data_out = 0x05,
  logout_request = 0x06,
  snack_request = 0x10,
  nop_in = 0x20,
  scsi_response = 0x21,
  task_management_response = 0x22,
  login_response = 0x23,
  text_response = 0x24,
  data_in = 0x25,
  logout_response = 0x26,
  ready_to_transfer = 0x31,
  async_message = 0x32,
  reject = 0x3f,
};

inline constexpr std::uint8_t kOpcodeMask = 0x3f;
inline constexpr std::uint8_t kImmediate = 0x40;  ///< byte 0, requests only (11.2.1.1)
inline constexpr std::uint8_t kFinal = 0x80;      ///< byte 1, most PDUs

/// Bytes of padding behind a segment of `length` bytes (11.1).
constexpr std::uint32_t padding_bytes(std::uint32_t length) noexcept {
  return (4 - length % 4) % 4;
}
constexpr std::uint32_t padded(std::uint32_t length) noexcept {
  return length + padding_bytes(length);
}

/// The fields every PDU has in the same place (11.2.1).
struct Bhs {
  std::uint8_t opcode = 0;  ///< with kImmediate
  std::uint8_t flags = 0;
  std::array<std::uint8_t, 2> opcode_specific{};
  std::uint8_t total_ahs_length = 0;  ///< in words of four bytes
  Be24 data_segment_length;
  Be64 lun;  ///< or opcode specific
  Be32 initiator_task_tag;
  std::array<std::uint8_t, 28> opcode_specific_2{};

  [[nodiscard]] constexpr Opcode op() const noexcept {
    return static_cast<Opcode>(opcode & kOpcodeMask);
  }
};
static_assert(WireLayout<Bhs> && sizeof(Bhs) == kBhsBytes);
static_assert(offsetof(Bhs, data_segment_length) == 5 && offsetof(Bhs, initiator_task_tag) == 16);

/// 11.3
struct ScsiCommand {
  static constexpr std::uint8_t kRead = 0x40;
  static constexpr std::uint8_t kWrite = 0x20;
  static constexpr std::uint8_t kAttributeSimple = 0x01;

  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::scsi_command);
  std::uint8_t flags = 0;
  std::array<std::uint8_t, 2> reserved{};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 expected_data_transfer_length;
  Be32 cmd_sn;
  Be32 exp_stat_sn;
  std::array<std::uint8_t, 16> cdb{};
};
static_assert(WireLayout<ScsiCommand> && sizeof(ScsiCommand) == kBhsBytes);
static_assert(offsetof(ScsiCommand, expected_data_transfer_length) == 20 &&
              offsetof(ScsiCommand, cdb) == 32);

/// 11.4
struct ScsiResponse {
  static constexpr std::uint8_t kBidiReadOverflow = 0x10;
  static constexpr std::uint8_t kBidiReadUnderflow = 0x08;
  static constexpr std::uint8_t kOverflow = 0x04;
  static constexpr std::uint8_t kUnderflow = 0x02;

  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::scsi_response);
  std::uint8_t flags = kFinal;
  std::uint8_t response = 0;
  std::uint8_t status = 0;
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  std::array<std::uint8_t, 8> reserved{};
  Be32 initiator_task_tag;
  Be32 snack_tag;
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  Be32 exp_data_sn;
  Be32 bidirectional_read_residual_count;
  Be32 residual_count;
};
static_assert(WireLayout<ScsiResponse> && sizeof(ScsiResponse) == kBhsBytes);
static_assert(offsetof(ScsiResponse, exp_data_sn) == 36 &&
              offsetof(ScsiResponse, residual_count) == 44);

/// 11.5
struct TaskManagementRequest {
  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::task_management_request);
  std::uint8_t function = kFinal;  ///< 0x80 | function
  std::array<std::uint8_t, 2> reserved{};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 referenced_task_tag;
  Be32 cmd_sn;
  Be32 exp_stat_sn;
  Be32 ref_cmd_sn;
  Be32 exp_data_sn;
  std::array<std::uint8_t, 8> reserved_2{};
};
static_assert(WireLayout<TaskManagementRequest> && sizeof(TaskManagementRequest) == kBhsBytes);

/// 11.6
struct TaskManagementResponse {
  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::task_management_response);
  std::uint8_t flags = kFinal;
  std::uint8_t response = 0;
  std::uint8_t reserved = 0;
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  std::array<std::uint8_t, 8> reserved_2{};
  Be32 initiator_task_tag;
  std::array<std::uint8_t, 4> reserved_3{};
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  std::array<std::uint8_t, 12> reserved_4{};
};
static_assert(WireLayout<TaskManagementResponse> && sizeof(TaskManagementResponse) == kBhsBytes);

/// 11.7, SCSI Data-Out.
struct DataOut {
  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::data_out);
  std::uint8_t flags = 0;
  std::array<std::uint8_t, 2> reserved{};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 target_transfer_tag;
  std::array<std::uint8_t, 4> reserved_2{};
  Be32 exp_stat_sn;
  std::array<std::uint8_t, 4> reserved_3{};
  Be32 data_sn;
  Be32 buffer_offset;
  std::array<std::uint8_t, 4> reserved_4{};
};
static_assert(WireLayout<DataOut> && sizeof(DataOut) == kBhsBytes);
static_assert(offsetof(DataOut, data_sn) == 36 && offsetof(DataOut, buffer_offset) == 40);

/// 11.7, SCSI Data-In.
struct DataIn {
  static constexpr std::uint8_t kAcknowledge = 0x40;
  static constexpr std::uint8_t kOverflow = 0x04;
  static constexpr std::uint8_t kUnderflow = 0x02;
  static constexpr std::uint8_t kStatus = 0x01;

  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::data_in);
  std::uint8_t flags = 0;
  std::uint8_t reserved = 0;
  std::uint8_t status = 0;
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 target_transfer_tag;
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  Be32 data_sn;
  Be32 buffer_offset;
  Be32 residual_count;
};
static_assert(WireLayout<DataIn> && sizeof(DataIn) == kBhsBytes);
static_assert(offsetof(DataIn, data_sn) == 36 && offsetof(DataIn, residual_count) == 44);

/// 11.8, Ready To Transfer.
struct R2t {
  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::ready_to_transfer);
  std::uint8_t flags = kFinal;
  std::array<std::uint8_t, 2> reserved{};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 target_transfer_tag;
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  Be32 r2t_sn;
  Be32 buffer_offset;
  Be32 desired_data_transfer_length;
};
static_assert(WireLayout<R2t> && sizeof(R2t) == kBhsBytes);
static_assert(offsetof(R2t, r2t_sn) == 36 && offsetof(R2t, desired_data_transfer_length) == 44);

/// 11.9
struct AsyncMessage {
  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::async_message);
  std::uint8_t flags = kFinal;
  std::array<std::uint8_t, 2> reserved{};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 reserved_tag{kReservedTag};
  std::array<std::uint8_t, 4> reserved_2{};
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  std::uint8_t async_event = 0;
  std::uint8_t async_vcode = 0;
  Be16 parameter1;
  Be16 parameter2;
  Be16 parameter3;
  std::array<std::uint8_t, 4> reserved_3{};
};
static_assert(WireLayout<AsyncMessage> && sizeof(AsyncMessage) == kBhsBytes);
static_assert(offsetof(AsyncMessage, async_event) == 36);

/// 11.10
struct TextRequest {
  static constexpr std::uint8_t kContinue = 0x40;

  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::text_request);
  std::uint8_t flags = 0;
  std::array<std::uint8_t, 2> reserved{};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 target_transfer_tag{kReservedTag};
  Be32 cmd_sn;
  Be32 exp_stat_sn;
  std::array<std::uint8_t, 16> reserved_2{};
};
static_assert(WireLayout<TextRequest> && sizeof(TextRequest) == kBhsBytes);

/// 11.11
struct TextResponse {
  static constexpr std::uint8_t kContinue = 0x40;

  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::text_response);
  std::uint8_t flags = 0;
  std::array<std::uint8_t, 2> reserved{};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag;
  Be32 target_transfer_tag{kReservedTag};
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  std::array<std::uint8_t, 12> reserved_2{};
};
static_assert(WireLayout<TextResponse> && sizeof(TextResponse) == kBhsBytes);

using Isid = std::array<std::uint8_t, 6>;  ///< 11.12.5

/// Flags of byte 1 of Login Request and Login Response (11.12).
struct LoginFlags {
  static constexpr std::uint8_t kTransit = 0x80;
  static constexpr std::uint8_t kContinue = 0x40;
  static constexpr unsigned kCsgShift = 2;
  static constexpr std::uint8_t kStageMask = 0x03;
};

/// 11.12
struct LoginRequest {
  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::login_request) | kImmediate;
  std::uint8_t flags = 0;
  std::uint8_t version_max = 0;
  std::uint8_t version_min = 0;
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Isid isid{};
  Be16 tsih;
  Be32 initiator_task_tag;
  Be16 cid;
  std::array<std::uint8_t, 2> reserved{};
  Be32 cmd_sn;
  Be32 exp_stat_sn;
  std::array<std::uint8_t, 16> reserved_2{};
};
static_assert(WireLayout<LoginRequest> && sizeof(LoginRequest) == kBhsBytes);
static_assert(offsetof(LoginRequest, tsih) == 14 && offsetof(LoginRequest, cid) == 20);

/// 11.13
struct LoginResponse {
  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::login_response);
  std::uint8_t flags = 0;
  std::uint8_t version_max = 0;
  std::uint8_t version_active = 0;
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Isid isid{};
  Be16 tsih;
  Be32 initiator_task_tag;
  std::array<std::uint8_t, 4> reserved{};
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  std::uint8_t status_class = 0;
  std::uint8_t status_detail = 0;
  std::array<std::uint8_t, 10> reserved_2{};
};
static_assert(WireLayout<LoginResponse> && sizeof(LoginResponse) == kBhsBytes);
static_assert(offsetof(LoginResponse, status_class) == 36);

/// 11.14
struct LogoutRequest {
  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::logout_request);
  std::uint8_t reason = kFinal;  ///< 0x80 | reason code
  std::array<std::uint8_t, 2> reserved{};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  std::array<std::uint8_t, 8> reserved_2{};
  Be32 initiator_task_tag;
  Be16 cid;
  std::array<std::uint8_t, 2> reserved_3{};
  Be32 cmd_sn;
  Be32 exp_stat_sn;
  std::array<std::uint8_t, 16> reserved_4{};
};
static_assert(WireLayout<LogoutRequest> && sizeof(LogoutRequest) == kBhsBytes);

/// 11.15
struct LogoutResponse {
  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::logout_response);
  std::uint8_t flags = kFinal;
  std::uint8_t response = 0;
  std::uint8_t reserved = 0;
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  std::array<std::uint8_t, 8> reserved_2{};
  Be32 initiator_task_tag;
  std::array<std::uint8_t, 4> reserved_3{};
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  std::array<std::uint8_t, 4> reserved_4{};
  Be16 time2wait;
  Be16 time2retain;
  std::array<std::uint8_t, 4> reserved_5{};
};
static_assert(WireLayout<LogoutResponse> && sizeof(LogoutResponse) == kBhsBytes);
static_assert(offsetof(LogoutResponse, time2wait) == 40);

/// 11.17
struct Reject {
  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::reject);
  std::uint8_t flags = kFinal;
  std::uint8_t reason = 0;
  std::uint8_t reserved = 0;
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  std::array<std::uint8_t, 8> reserved_2{};
  Be32 reserved_tag{kReservedTag};
  std::array<std::uint8_t, 4> reserved_3{};
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  Be32 data_sn;
  std::array<std::uint8_t, 8> reserved_4{};
};
static_assert(WireLayout<Reject> && sizeof(Reject) == kBhsBytes);

/// 11.18
struct NopOut {
  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::nop_out);
  std::uint8_t flags = kFinal;
  std::array<std::uint8_t, 2> reserved{};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag{kReservedTag};
  Be32 target_transfer_tag{kReservedTag};
  Be32 cmd_sn;
  Be32 exp_stat_sn;
  std::array<std::uint8_t, 16> reserved_2{};
};
static_assert(WireLayout<NopOut> && sizeof(NopOut) == kBhsBytes);

/// 11.19
struct NopIn {
  std::uint8_t opcode = static_cast<std::uint8_t>(Opcode::nop_in);
  std::uint8_t flags = kFinal;
  std::array<std::uint8_t, 2> reserved{};
  std::uint8_t total_ahs_length = 0;
  Be24 data_segment_length;
  Be64 lun;
  Be32 initiator_task_tag{kReservedTag};
  Be32 target_transfer_tag{kReservedTag};
  Be32 stat_sn;
  Be32 exp_cmd_sn;
  Be32 max_cmd_sn;
  std::array<std::uint8_t, 12> reserved_2{};
};
static_assert(WireLayout<NopIn> && sizeof(NopIn) == kBhsBytes);

}  // namespace pollux::wire
