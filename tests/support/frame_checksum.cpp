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

}  // namespace

TcpFrame dissect(std::span<const std::byte> frame) noexcept {
  TcpFrame at;
  if (frame.size() < kEthernet + 40 || word_at(frame, 12) != 0x0800) return at;
  const std::size_t header = (byte_at(frame, kEthernet) & 15u) * 4;
  const std::size_t total = word_at(frame, kEthernet + 2);
  if (byte_at(frame, kEthernet) >> 4 != 4 || header < 20 || byte_at(frame, kEthernet + 9) != 6)
    return at;
  if (total < header + 20 || kEthernet + total > frame.size()) return at;
  at.ip = kEthernet;
  at.tcp = kEthernet + header;
  at.end = kEthernet + total;
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
  return naive_sum(frame.subspan(at.ip + 12, 8), 6 + static_cast<std::uint32_t>(at.end - at.tcp));
}

bool ip_checksum_good(std::span<const std::byte> frame) noexcept {
  if (frame.size() < kEthernet + 20) return false;
  const std::size_t header = (byte_at(frame, kEthernet) & 15u) * 4;
  if (header < 20 || frame.size() < kEthernet + header) return false;
  return naive_sum(frame.subspan(kEthernet, header)) == 0xffff;
}

bool tcp_checksum_good(std::span<const std::byte> frame, const TcpFrame& at) noexcept {
  return naive_sum(frame.subspan(at.tcp, at.end - at.tcp), pseudo_header_sum(frame, at)) == 0xffff;
}

void write_ip_checksum(std::span<std::byte> frame) noexcept {
  const std::size_t header = (byte_at(frame, kEthernet) & 15u) * 4;
  put_word(frame, kEthernet + 10, 0);
  put_word(frame, kEthernet + 10, 0xffffu ^ naive_sum(frame.subspan(kEthernet, header)));
}

void write_tcp_checksum(std::span<std::byte> frame, const TcpFrame& at) noexcept {
  put_word(frame, at.tcp + 16, 0);
  const std::uint16_t sum =
      naive_sum(frame.subspan(at.tcp, at.end - at.tcp), pseudo_header_sum(frame, at));
  put_word(frame, at.tcp + 16, 0xffffu ^ sum);
}

}  // namespace pollux::sim
