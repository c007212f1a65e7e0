#include "tests/support/iscsi_pdu.hpp"

#include <cstdio>

namespace pollux::script {
namespace {

void append(Bytes& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

/// RFC 7143 A.4: the least significant byte of the value goes first.
void append_digest(Bytes& to, std::uint32_t value) {
  for (unsigned shift = 0; shift < 32; shift += 8)
    to.push_back(static_cast<std::byte>(value >> shift));
}

Pdu target_pdu(std::uint8_t opcode, std::uint32_t itt, Stat stat) {
  Pdu pdu;
  pdu.stat = stat;
  pdu.set8(0, opcode).final(true).itt(itt);
  return pdu;
}

}  // namespace

std::uint32_t slow_crc32c(std::span<const std::byte> bytes) {
  std::uint32_t state = 0xffff'ffff;
  for (const std::byte byte : bytes) {
    state ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) state = state >> 1 ^ (0x82f6'3b78u & (0u - (state & 1)));
  }
  return ~state;
}

Bytes pattern(std::size_t count, std::uint32_t salt, std::size_t offset) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = offset + i;
    bytes[i] = static_cast<std::byte>(at * 13 + (at >> 8) * 7 + salt * 31 + 1);
  }
  return bytes;
}

Bytes Pdu::bytes(bool header_digest, bool data_digest) const {
  Pdu sent = *this;
  if (fills_length)
    sent.set8(5, static_cast<std::uint32_t>(data.size() >> 16))
        .set16(6, static_cast<std::uint32_t>(data.size()));
  Bytes out;
  append(out, std::as_bytes(std::span{sent.bhs}));
  append(out, ahs);
  if (header_digest) append_digest(out, slow_crc32c(out) ^ (wrong_header_digest ? 1u : 0u));
  if (data.empty()) return out;
  Bytes segment = data;
  const std::uint32_t unpadded = slow_crc32c(segment);
  while (segment.size() % 4 != 0) segment.push_back(static_cast<std::byte>(pad));
  append(out, segment);
  if (data_digest)
    append_digest(out, (digest_without_pad ? unpadded : slow_crc32c(segment)) ^
                           (wrong_data_digest ? 0x100u : 0u));
  return out;
}

std::string Pdu::hex() const {
  std::string text;
  char digits[4];
  for (std::size_t i = 0; i < bhs.size(); ++i) {
    std::snprintf(digits, sizeof(digits), i % 4 == 3 ? "%02x " : "%02x", bhs[i]);
    text += digits;
  }
  return text + "+ " + std::to_string(data.size());
}

Pdu scsi_response(std::uint32_t itt) { return target_pdu(0x21, itt, Stat::advances); }

Pdu data_in(std::uint32_t itt, std::uint32_t data_sn, std::uint32_t offset, Bytes data) {
  return target_pdu(0x25, itt, Stat::left)
      .ttt(kReserved)
      .data_sn(data_sn)
      .offset(offset)
      .carries(std::move(data));
}

Pdu r2t(std::uint32_t itt, std::uint32_t ttt, std::uint32_t r2t_sn, std::uint32_t offset,
        std::uint32_t desired) {
  return target_pdu(0x31, itt, Stat::current)
      .ttt(ttt)
      .data_sn(r2t_sn)
      .offset(offset)
      .desired(desired);
}

Pdu nop_in(std::uint32_t itt, std::uint32_t ttt) {
  return target_pdu(0x20, itt, itt == kReserved ? Stat::current : Stat::advances).ttt(ttt);
}

Pdu async_message(std::uint8_t event, Bytes data) {
  return target_pdu(0x32, kReserved, Stat::advances).set8(36, event).carries(std::move(data));
}

Pdu reject(std::uint8_t reason, const Pdu& bad) {
  const auto header = std::as_bytes(std::span{bad.bhs});
  return target_pdu(0x3f, kReserved, Stat::advances)
      .set8(2, reason)
      .carries(Bytes(header.begin(), header.end()));
}

Pdu text_response(std::uint32_t itt, bool final) {
  return target_pdu(0x24, itt, Stat::advances).final(final).ttt(final ? kReserved : 0x77);
}

Pdu logout_response(std::uint32_t itt) { return target_pdu(0x26, itt, Stat::advances); }

Pdu login_response() { return target_pdu(0x23, 1, Stat::advances).set8(1, 0x87); }

Pdu task_management_response(std::uint32_t itt) { return target_pdu(0x22, itt, Stat::advances); }

Bytes sense_segment(const std::vector<std::uint8_t>& sense) {
  Bytes data;
  data.push_back(static_cast<std::byte>(sense.size() >> 8));
  data.push_back(static_cast<std::byte>(sense.size()));
  append(data, std::as_bytes(std::span{sense}));
  return data;
}

Bytes fixed_sense(std::uint8_t key, std::uint8_t asc, std::uint8_t ascq) {
  std::vector<std::uint8_t> sense(18);
  sense[0] = 0x70;
  sense[2] = key;
  sense[7] = 10;
  sense[12] = asc;
  sense[13] = ascq;
  return sense_segment(sense);
}

Pdu scsi_command(const std::vector<std::uint8_t>& cdb, std::uint64_t lun, std::uint32_t edtl,
                 std::uint8_t flags) {
  Pdu pdu;
  pdu.set8(0, 0x01).set8(1, flags).lun(lun).set32(20, edtl);
  for (std::size_t i = 0; i < cdb.size() && i < 16; ++i) pdu.set8(32 + i, cdb[i]);
  return pdu;
}

Pdu data_out(std::uint32_t itt, std::uint32_t ttt, std::uint32_t data_sn, std::uint32_t offset,
             Bytes data, bool final) {
  Pdu pdu;
  return pdu.set8(0, 0x05).final(final).itt(itt).ttt(ttt).data_sn(data_sn).offset(offset).carries(
      std::move(data));
}

Pdu nop_out(std::uint32_t itt, std::uint32_t ttt) {
  Pdu pdu;
  return pdu.set8(0, 0x40).final(true).itt(itt).ttt(ttt);
}

}  // namespace pollux::script
