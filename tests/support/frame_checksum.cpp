#include "tests/support/frame_checksum.hpp"

namespace pollux::sim {

namespace {

constexpr std::size_t kEthernet = 14;

std::uint32_t byte_at(std::span<const std::byte> bytes, std::size_t i) noexcept {
  return std::to_integer<std::uint32_t>(bytes[i]);
}
std::uint32_t word_at(std::span<const std::byte> bytes, std::size_t i) noexcept {
  return byte_at(bytes, i) << 8 | byte_at(bytes, i + 1);
}
void put_word(std::span<std::byte> bytes, std::size_t i, std::uint32_t value) noexcept {
  bytes[i] = static_cast<std::byte>(value >> 8);
  bytes[i + 1] = static_cast<std::byte>(value);
}

/// Offset of the IP header.
std::size_t ip_at(std::span<const std::byte> frame) noexcept {
  return kEthernet + (vlan_tag_at(frame) ? kVlanTagBytes : 0);
}
bool is_ipv6(std::span<const std::byte> frame, std::size_t ip) noexcept {
  return word_at(frame, ip - 2) == 0x86dd;
}

}  // namespace

bool vlan_tag_at(std::span<const std::byte> frame) noexcept {
  return frame.size() >= kEthernet + kVlanTagBytes && word_at(frame, 12) == 0x8100;
}

std::uint16_t take_vlan_tag(std::vector<std::byte>& frame) {
  const auto control = static_cast<std::uint16_t>(word_at(frame, 14));
  frame.erase(frame.begin() + 12, frame.begin() + 12 + kVlanTagBytes);
  return control;
}

void put_vlan_tag(std::vector<std::byte>& frame, std::uint16_t control) {
  frame.insert(frame.begin() + 12, kVlanTagBytes, std::byte{0});
  put_word(frame, 12, 0x8100);
  put_word(frame, 14, control);
}

TcpFrame dissect(std::span<const std::byte> frame) noexcept {
  TcpFrame at;
  at.ip = ip_at(frame);
  if (frame.size() < at.ip + 40) return at;
  at.is_v6 = is_ipv6(frame, at.ip);
  if (!at.is_v6 && word_at(frame, at.ip - 2) != 0x0800) return at;
  const std::size_t header = at.is_v6 ? 40 : (byte_at(frame, at.ip) & 15u) * 4;
  const std::size_t total =
      at.is_v6 ? header + word_at(frame, at.ip + 4) : word_at(frame, at.ip + 2);
  const std::uint32_t protocol = byte_at(frame, at.ip + (at.is_v6 ? 6 : 9));
  if (byte_at(frame, at.ip) >> 4 != (at.is_v6 ? 6u : 4u) || header < 20 || protocol != 6) return at;
  if (total < header + 20 || at.ip + total > frame.size()) return at;
  at.tcp = at.ip + header;
  at.end = at.ip + total;
  at.payload = at.tcp + (byte_at(frame, at.tcp + 12) >> 4) * 4;
  at.valid = at.payload >= at.tcp + 20 && at.payload <= at.end;
  return at;
}

std::uint16_t naive_sum(std::span<const std::byte> bytes, std::uint32_t start) noexcept {
  std::uint64_t sum = start;
  std::size_t i = 0;
  for (; i + 1 < bytes.size(); i += 2) sum += word_at(bytes, i);
  if (i < bytes.size()) sum += byte_at(bytes, i) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

std::uint16_t pseudo_header_sum(std::span<const std::byte> frame, const TcpFrame& at) noexcept {
  const auto addresses = at.is_v6 ? frame.subspan(at.ip + 8, 32) : frame.subspan(at.ip + 12, 8);
  return naive_sum(addresses, 6 + static_cast<std::uint32_t>(at.end - at.tcp));
}

bool ip_checksum_good(std::span<const std::byte> frame) noexcept {
  const std::size_t ip = ip_at(frame);
  if (frame.size() < ip + 20) return false;
  if (is_ipv6(frame, ip)) return true;
  const std::size_t header = (byte_at(frame, ip) & 15u) * 4;
  if (header < 20 || frame.size() < ip + header) return false;
  return naive_sum(frame.subspan(ip, header)) == 0xffff;
}

bool tcp_checksum_good(std::span<const std::byte> frame, const TcpFrame& at) noexcept {
  return naive_sum(frame.subspan(at.tcp, at.end - at.tcp), pseudo_header_sum(frame, at)) == 0xffff;
}

void write_ip_checksum(std::span<std::byte> frame) noexcept {
  const std::size_t ip = ip_at(frame);
  if (is_ipv6(frame, ip)) return;
  const std::size_t header = (byte_at(frame, ip) & 15u) * 4;
  put_word(frame, ip + 10, 0);
  put_word(frame, ip + 10, 0xffffu ^ naive_sum(frame.subspan(ip, header)));
}

void write_tcp_checksum(std::span<std::byte> frame, const TcpFrame& at) noexcept {
  put_word(frame, at.tcp + 16, 0);
  const std::uint16_t sum =
      naive_sum(frame.subspan(at.tcp, at.end - at.tcp), pseudo_header_sum(frame, at));
  put_word(frame, at.tcp + 16, 0xffffu ^ sum);
}

}  // namespace pollux::sim
