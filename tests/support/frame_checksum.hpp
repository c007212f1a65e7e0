// Checksums of whole frames in the slowest and plainest way, for the simulated port and wire. It
// shares no code with dataplane/wire/checksum, so each shows the mistakes of the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pollux::sim {

/// Where the parts of an Ethernet/IP/TCP frame lie, of IPv4 or of IPv6 without extension headers,
/// with or without a VLAN tag; valid is false for any other frame.
struct TcpFrame {
  bool valid = false;
  bool is_v6 = false;
  std::size_t ip = 0;       ///< offset of the IP header
  std::size_t tcp = 0;      ///< offset of the TCP header
  std::size_t payload = 0;  ///< offset of the data
  std::size_t end = 0;      ///< offset behind the IP packet
};

[[nodiscard]] TcpFrame dissect(std::span<const std::byte> frame) noexcept;
/// Folded one's complement sum of the bytes (not inverted), odd last byte padded with zero.
[[nodiscard]] std::uint16_t naive_sum(std::span<const std::byte> bytes,
                                      std::uint32_t start = 0) noexcept;
[[nodiscard]] std::uint16_t pseudo_header_sum(std::span<const std::byte> frame,
                                              const TcpFrame& at) noexcept;
/// True for IPv6, which has none.
[[nodiscard]] bool ip_checksum_good(std::span<const std::byte> frame) noexcept;
[[nodiscard]] bool tcp_checksum_good(std::span<const std::byte> frame, const TcpFrame& at) noexcept;
/// Computes and writes both checksums of a valid TCP frame.
void write_ip_checksum(std::span<std::byte> frame) noexcept;
void write_tcp_checksum(std::span<std::byte> frame, const TcpFrame& at) noexcept;

inline constexpr std::size_t kVlanTagBytes = 4;
[[nodiscard]] bool vlan_tag_at(std::span<const std::byte> frame) noexcept;
/// Takes the tag out and returns its control information.
std::uint16_t take_vlan_tag(std::vector<std::byte>& frame);
void put_vlan_tag(std::vector<std::byte>& frame, std::uint16_t control);

}  // namespace pollux::sim
