// PDUs as a scripted target writes and reads them: 48 bytes with setters at the offsets of RFC 7143
// section 11, the segments behind them, and every way to get them wrong. Nothing here is taken from
// dataplane/wire or dataplane/iscsi, so an error there cannot hide.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pollux::script {

using Bytes = std::vector<std::byte>;
inline constexpr std::uint32_t kReserved = 0xffff'ffff;

/// CRC32C bit by bit (RFC 7143 13.1).
std::uint32_t slow_crc32c(std::span<const std::byte> bytes);

/// `count` bytes that tell their offset and `salt`.
Bytes pattern(std::size_t count, std::uint32_t salt, std::size_t offset = 0);

/// What the script fills in for StatSN.
enum class Stat : std::uint8_t {
  left,      ///< as the builder has it
  current,   ///< the next value, not used up (R2T, NOP-In with the reserved tag)
  advances,  ///< the next value, used up
};

struct Pdu {
  std::array<std::uint8_t, 48> bhs{};
  Bytes ahs;
  Bytes data;

  // How the script sends it.
  Stat stat = Stat::left;
  bool fills_window = true;
  bool fills_length = true;
  std::uint8_t pad = 0;
  bool wrong_header_digest = false;
  bool wrong_data_digest = false;
  bool digest_without_pad = false;

  [[nodiscard]] std::uint8_t opcode() const { return bhs[0] & 0x3f; }
  [[nodiscard]] bool immediate() const { return (bhs[0] & 0x40) != 0; }
  [[nodiscard]] bool has_final() const { return (bhs[1] & 0x80) != 0; }
  [[nodiscard]] std::uint32_t u24(std::size_t at) const {
    return std::uint32_t{bhs[at]} << 16 | std::uint32_t{bhs[at + 1]} << 8 | bhs[at + 2];
  }
  [[nodiscard]] std::uint32_t u32(std::size_t at) const {
    return std::uint32_t{bhs[at]} << 24 | u24(at + 1);
  }
  [[nodiscard]] std::uint64_t u64(std::size_t at) const {
    return std::uint64_t{u32(at)} << 32 | u32(at + 4);
  }
  [[nodiscard]] std::uint32_t itt() const { return u32(16); }
  [[nodiscard]] std::uint32_t ttt() const { return u32(20); }
  [[nodiscard]] std::uint32_t cmd_sn() const { return u32(24); }
  [[nodiscard]] std::uint32_t exp_stat_sn() const { return u32(28); }
  [[nodiscard]] std::uint32_t length() const { return u24(5); }

  Pdu& set8(std::size_t at, std::uint32_t value) {
    bhs[at] = static_cast<std::uint8_t>(value);
    return *this;
  }
  Pdu& set16(std::size_t at, std::uint32_t value) {
    return set8(at, value >> 8).set8(at + 1, value);
  }
  Pdu& set32(std::size_t at, std::uint32_t value) {
    return set16(at, value >> 16).set16(at + 2, value);
  }
  Pdu& set64(std::size_t at, std::uint64_t value) {
    return set32(at, static_cast<std::uint32_t>(value >> 32))
        .set32(at + 4, static_cast<std::uint32_t>(value));
  }
  Pdu& or8(std::size_t at, std::uint32_t bits) { return set8(at, bhs[at] | bits); }
  Pdu& final(bool yes) { return set8(1, yes ? bhs[1] | 0x80u : bhs[1] & 0x7fu); }
  Pdu& lun(std::uint64_t value) { return set64(8, value); }
  Pdu& itt(std::uint32_t value) { return set32(16, value); }
  Pdu& ttt(std::uint32_t value) { return set32(20, value); }
  /// StatSN by hand.
  Pdu& stat_sn(std::uint32_t value) {
    stat = Stat::left;
    return set32(24, value);
  }
  /// ExpCmdSN and MaxCmdSN by hand.
  Pdu& window(std::uint32_t exp_cmd_sn, std::uint32_t max_cmd_sn) {
    fills_window = false;
    return set32(28, exp_cmd_sn).set32(32, max_cmd_sn);
  }
  Pdu& data_sn(std::uint32_t value) { return set32(36, value); }  ///< also R2TSN, ExpDataSN
  Pdu& offset(std::uint32_t value) { return set32(40, value); }
  Pdu& desired(std::uint32_t value) { return set32(44, value); }
  Pdu& residual(std::uint32_t value) { return set32(44, value); }
  Pdu& carries(Bytes bytes) {
    data = std::move(bytes);
    return *this;
  }
  /// A DataSegmentLength that need not be true.
  Pdu& claims_length(std::uint32_t value) {
    fills_length = false;
    return set8(5, value >> 16).set16(6, value);
  }
  Pdu& padded_with(std::uint8_t value) {
    pad = value;
    return *this;
  }
  /// Data-In with the status in it (RFC 7143 11.7.3).
  Pdu& status(std::uint8_t value) {
    stat = Stat::advances;
    return or8(1, 0x01).set8(3, value);
  }

  /// Everything in order on the stream. Digests as told.
  [[nodiscard]] Bytes bytes(bool header_digest, bool data_digest) const;
  [[nodiscard]] std::string hex() const;
};

// From the target (3.2 of the conformance page). Each is valid as it is.
Pdu scsi_response(std::uint32_t itt);
Pdu data_in(std::uint32_t itt, std::uint32_t data_sn, std::uint32_t offset, Bytes data);
Pdu r2t(std::uint32_t itt, std::uint32_t ttt, std::uint32_t r2t_sn, std::uint32_t offset,
        std::uint32_t desired);
Pdu nop_in(std::uint32_t itt, std::uint32_t ttt);
Pdu async_message(std::uint8_t event, Bytes data = {});
Pdu reject(std::uint8_t reason, const Pdu& bad);
Pdu text_response(std::uint32_t itt, bool final = true);
Pdu logout_response(std::uint32_t itt);
Pdu login_response();
Pdu task_management_response(std::uint32_t itt);
/// A data segment of SCSI Response: SenseLength and the sense data.
Bytes sense_segment(const std::vector<std::uint8_t>& sense);
Bytes fixed_sense(std::uint8_t key, std::uint8_t asc, std::uint8_t ascq);

// As the initiator must send them (3.1). CmdSN and ExpStatSN are the script's to compare.
Pdu scsi_command(const std::vector<std::uint8_t>& cdb, std::uint64_t lun, std::uint32_t edtl,
                 std::uint8_t flags);
Pdu data_out(std::uint32_t itt, std::uint32_t ttt, std::uint32_t data_sn, std::uint32_t offset,
             Bytes data, bool final);
Pdu nop_out(std::uint32_t itt, std::uint32_t ttt);

}  // namespace pollux::script
