// A hand-made initiator: builds each PDU from its layout, stamps what the test has not set itself,
// and cuts the answers into PDUs. It shares no code with pollux's own initiator.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/wire/bhs.hpp"
#include "tests/target/digest.hpp"

namespace pollux::target {

using Bytes = std::vector<std::byte>;
using Keys = std::vector<std::pair<std::string, std::string>>;

inline Bytes text_of(const Keys& keys) {
  std::string text;
  for (const auto& [key, value] : keys) text += key + "=" + value + std::string(1, '\0');
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

struct Pdu {
  Bytes header = Bytes(wire::kBhsBytes);
  Bytes data;
  bool digests_good = true;

  template <WireLayout T>
  [[nodiscard]] T as() const {
    return load<T>(header.data());
  }
  [[nodiscard]] wire::Opcode op() const { return as<wire::Bhs>().op(); }
  /// The value of a key of a text answer; nothing when it is not there.
  [[nodiscard]] std::optional<std::string> key(std::string_view name) const {
    const std::string_view text{reinterpret_cast<const char*>(data.data()), data.size()};
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\0', at), text.size());
      const std::string_view pair = text.substr(at, end - at);
      if (pair.starts_with(name) && pair.substr(name.size()).starts_with('='))
        return std::string{pair.substr(name.size() + 1)};
      at = end + 1;
    }
    return std::nullopt;
  }
};

/// What carries bytes to the target and back.
class Channel {
 public:
  virtual ~Channel() = default;
  virtual void send(const Bytes& bytes) = 0;
  /// Lets the target work until nothing moves any more; what it sent is appended to `received`.
  virtual void run(Bytes& received) = 0;
};

class InitiatorScript {
 public:
  static constexpr const char* kInitiator = "iqn.2026-01.org.pollux:script";
  static constexpr const char* kTarget = "iqn.2026-01.org.pollux:disk";

  explicit InitiatorScript(Channel& channel) : channel_(channel) {}

  bool header_digest = false;
  bool data_digest = false;
  std::uint32_t cmd_sn = 100;
  std::uint32_t exp_stat_sn = 0;
  std::uint32_t next_tag = 1;
  wire::Isid isid{0x80, 1, 2, 3, 0, 1};
  Bytes sense;  ///< data segment of the last SCSI Response

  template <WireLayout T>
  void send(T header, const Bytes& data = {}, bool spoil_data_digest = false) {
    header.data_segment_length.set(static_cast<std::uint32_t>(data.size()));
    Bytes bytes(sizeof(T));
    store(bytes.data(), header);
    if (header_digest) append_digest(bytes, Bytes(bytes));
    if (!data.empty()) {
      Bytes segment = data;
      segment.resize(wire::padded(static_cast<std::uint32_t>(data.size())));
      bytes.insert(bytes.end(), segment.begin(), segment.end());
      if (data_digest) append_digest(bytes, segment);
      if (spoil_data_digest) bytes.back() ^= std::byte{1};
    }
    channel_.send(bytes);
  }

  /// The next PDU of the target; none when it stays silent.
  std::optional<Pdu> receive() {
    if (auto pdu = cut()) return pdu;
    channel_.run(received_);
    return cut();
  }
  Pdu expect(wire::Opcode opcode) {
    const auto pdu = receive();
    EXPECT_TRUE(pdu.has_value()) << "nothing came";
    if (!pdu) return Pdu{};
    EXPECT_EQ(pdu->op(), opcode);
    EXPECT_TRUE(pdu->digests_good);
    return *pdu;
  }
  void expect_silence() { EXPECT_FALSE(receive().has_value()); }

  Pdu login_step(std::uint8_t flags, const Keys& keys) { return login_step(flags, text_of(keys)); }
  Pdu login_step(std::uint8_t flags, const Bytes& text) {
    wire::LoginRequest request;
    request.flags = flags;
    request.isid = isid;
    request.initiator_task_tag.set(0x7777);
    request.cid.set(1);
    request.cmd_sn.set(cmd_sn);
    request.exp_stat_sn.set(exp_stat_sn);
    send(request, text);
    const Pdu answer = expect(wire::Opcode::login_response);
    exp_stat_sn = answer.as<wire::LoginResponse>().stat_sn.get() + 1;
    return answer;
  }
  /// Straight from the operational stage to full feature.
  Pdu login(Keys keys = {}) {
    keys.insert(keys.begin(), {{"InitiatorName", kInitiator}, {"TargetName", kTarget}});
    const Pdu answer = login_step(0x87, keys);
    EXPECT_EQ(answer.as<wire::LoginResponse>().status_class, 0);
    header_digest = answer.key("HeaderDigest") == "CRC32C";
    data_digest = answer.key("DataDigest") == "CRC32C";
    return answer;
  }

  wire::ScsiCommand command(std::initializer_list<std::uint8_t> cdb, unsigned flags,
                            std::uint32_t expected_length) {
    wire::ScsiCommand header;
    header.flags = static_cast<std::uint8_t>(flags | wire::ScsiCommand::kAttributeSimple);
    header.initiator_task_tag.set(next_tag++);
    header.expected_data_transfer_length.set(expected_length);
    header.cmd_sn.set(cmd_sn++);
    header.exp_stat_sn.set(exp_stat_sn);
    std::copy(cdb.begin(), cdb.end(), header.cdb.begin());
    return header;
  }
  wire::ScsiCommand read_10(std::uint32_t lba, std::uint16_t blocks) {
    return medium(0x28, wire::kFinal | wire::ScsiCommand::kRead, lba, blocks);
  }
  wire::ScsiCommand write_10(std::uint32_t lba, std::uint16_t blocks, bool final = true) {
    return medium(0x2a, wire::ScsiCommand::kWrite | (final ? wire::kFinal : 0u), lba, blocks);
  }
  wire::DataOut data_out(const wire::ScsiCommand& of, std::uint32_t tag, std::uint32_t data_sn,
                         std::uint32_t offset, bool final) {
    wire::DataOut header;
    header.flags = final ? wire::kFinal : std::uint8_t{0};
    if (tag != wire::kReservedTag) header.lun = of.lun;
    header.initiator_task_tag = of.initiator_task_tag;
    header.target_transfer_tag.set(tag);
    header.exp_stat_sn.set(exp_stat_sn);
    header.data_sn.set(data_sn);
    header.buffer_offset.set(offset);
    return header;
  }

  /// All Data-In of one command, put together; checks numbering, offsets and the status at the end.
  Bytes read_data(const wire::ScsiCommand& command) {
    Bytes data;
    for (std::uint32_t data_sn = 0;; ++data_sn) {
      const Pdu pdu = expect(wire::Opcode::data_in);
      if (pdu.op() != wire::Opcode::data_in) return data;
      const auto header = pdu.as<wire::DataIn>();
      EXPECT_EQ(header.initiator_task_tag, command.initiator_task_tag);
      EXPECT_EQ(header.data_sn.get(), data_sn);
      EXPECT_EQ(header.buffer_offset.get(), data.size());
      data.insert(data.end(), pdu.data.begin(), pdu.data.end());
      if ((header.flags & wire::DataIn::kStatus) == 0) continue;
      EXPECT_EQ(header.status, 0);
      EXPECT_NE(header.flags & wire::kFinal, 0);
      EXPECT_EQ(header.stat_sn.get(), exp_stat_sn);
      ++exp_stat_sn;
      return data;
    }
  }
  wire::ScsiResponse expect_status(const wire::ScsiCommand& command, std::uint8_t status = 0) {
    const Pdu pdu = expect(wire::Opcode::scsi_response);
    const auto header = pdu.as<wire::ScsiResponse>();
    EXPECT_EQ(header.initiator_task_tag, command.initiator_task_tag);
    EXPECT_EQ(header.status, status);
    EXPECT_EQ(header.stat_sn.get(), exp_stat_sn);
    exp_stat_sn = header.stat_sn.get() + 1;
    sense = pdu.data;
    return header;
  }
  /// Key, ASC and ASCQ of the last status as one number.
  [[nodiscard]] unsigned sense_code() const {
    if (sense.size() < 20) return 0;
    const auto at = [&](std::size_t i) { return std::to_integer<unsigned>(sense[2 + i]); };
    return (at(2) & 0xf) << 16 | at(12) << 8 | at(13);
  }
  /// Fields that requests outside SCSI share.
  template <class Request>
  Request stamped(Request request) {
    request.initiator_task_tag.set(next_tag++);
    request.cmd_sn.set(cmd_sn);
    if ((request.opcode & wire::kImmediate) == 0) ++cmd_sn;
    request.exp_stat_sn.set(exp_stat_sn);
    return request;
  }
  void logout() {
    wire::LogoutRequest request;
    request.cid.set(1);
    send(stamped(request));
    const auto answer = expect(wire::Opcode::logout_response).as<wire::LogoutResponse>();
    EXPECT_EQ(answer.response, 0);
    EXPECT_EQ(answer.stat_sn.get(), exp_stat_sn);
  }

 private:
  wire::ScsiCommand medium(std::uint8_t operation, unsigned flags, std::uint32_t lba,
                           std::uint16_t blocks) {
    const auto byte = [](std::uint32_t value, unsigned shift) {
      return static_cast<std::uint8_t>(value >> shift);
    };
    return command({operation, 0, byte(lba, 24), byte(lba, 16), byte(lba, 8), byte(lba, 0), 0,
                    byte(blocks, 8), byte(blocks, 0)},
                   flags, std::uint32_t{blocks} * 512);
  }
  static void append_digest(Bytes& bytes, const Bytes& covered) {
    Digest digest;
    digest.extend(covered);
    const std::uint32_t value = digest.value();
    const auto* at = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), at, at + sizeof(value));
  }
  std::optional<Pdu> cut() {
    const std::size_t header_bytes = wire::kBhsBytes + (header_digest ? 4u : 0u);
    if (received_.size() < header_bytes) return std::nullopt;
    const std::uint32_t length = load<wire::Bhs>(received_.data()).data_segment_length.get();
    const std::uint32_t segment = wire::padded(length);
    const std::size_t total = header_bytes + segment + (data_digest && length > 0 ? 4u : 0u);
    if (received_.size() < total) return std::nullopt;
    const auto part = [&](std::size_t from, std::size_t to) {
      return Bytes(received_.data() + from, received_.data() + to);
    };
    Pdu pdu{part(0, wire::kBhsBytes), part(header_bytes, header_bytes + length)};
    Bytes expected;
    if (header_digest) append_digest(expected, pdu.header);
    if (data_digest && length > 0)
      append_digest(expected, part(header_bytes, header_bytes + segment));
    Bytes seen = part(wire::kBhsBytes, header_bytes);
    const Bytes tail = part(header_bytes + segment, total);
    seen.insert(seen.end(), tail.begin(), tail.end());
    pdu.digests_good = expected == seen;
    received_.erase(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(total));
    return pdu;
  }

  Channel& channel_;
  Bytes received_;
};

}  // namespace pollux::target
