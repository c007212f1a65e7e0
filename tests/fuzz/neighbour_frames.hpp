// Frames of ARP, neighbour discovery and ICMP as a neighbour sends them, with addresses, fields and
// damage taken from the fuzzer's input.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "dataplane/wire/icmpv6.hpp"
#include "tests/fuzz/tcp_world.hpp"
#include "tests/support/frame_checksum.hpp"

namespace pollux::fuzz {

using Bytes = std::vector<std::byte>;

inline void append(Bytes& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
template <class T>
void append_value(Bytes& out, const T& value) {
  append(out, std::as_bytes(std::span(&value, 1)));
}

/// Makes the frames of one input. `vlan` 0: untagged.
class NeighbourFrames {
 public:
  NeighbourFrames(Input& input, std::uint16_t vlan) : input_(input), vlan_(vlan) {}

  /// A byte chooses; half of the values are ours.
  net::IpAddress address4() {
    const std::uint8_t host = input_.u8();
    if (host < 0x80) return net::IpAddress::v4(10, 99, 0, 1);
    if (host < 0xf0) return net::IpAddress::v4(10, 99, 0, host & 0x0fu);
    if (host < 0xf8) return net::IpAddress::v4(10, 98, 0, host);
    return net::IpAddress::from_v4_host(input_.u32());
  }
  net::IpAddress address6() {
    const std::uint8_t which = input_.u8();
    net::IpAddress out{{0xfd, 0x99}};
    out.bytes[15] = which & 15;
    switch (which >> 4) {
      case 0:
        return {};
      case 1:
      case 2:  // link-local, 1: ours
        out = {{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, which}};
        if (which >> 4 == 1) out.bytes = wire::with_interface_id(out.bytes, kOurMac);
        return out;
      case 3:
        return {wire::kIpv6AllNodes};
      case 4:
        return {wire::solicited_node(out.bytes)};
      case 5:  // formed from an advertised prefix
        out.bytes[3] = which & 15;
        return {wire::with_interface_id(out.bytes, kOurMac)};
      case 6:
        out.bytes[3] = which & 15;
        return out;
      case 7:
        for (std::uint8_t& byte : out.bytes) byte = input_.u8();
        return out;
      default:
        if (which >= 0xc0) out.bytes[15] = 1;
        return out;
    }
  }
  platform::MacAddress mac() {
    const std::uint8_t which = input_.u8();
    switch (which & 7) {
      case 0:
        return kOurMac;
      case 1:
        return {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
      case 2:
        return {};
      default:
        return {2, 0, 0, 0, 0, static_cast<std::uint8_t>(which >> 3)};
    }
  }

  sim::Frame arp() {
    Bytes packet;
    const std::uint8_t op = input_.u8();
    append_value(packet, Be16{1});
    append_value(packet, Be16{0x0800});
    append_value(packet, Be16{0x0604});
    append_value(packet, Be16{static_cast<std::uint16_t>(op & 3)});
    append_value(packet, mac());
    append_value(packet, Be32{address4().v4_host()});
    append_value(packet, mac());
    append_value(packet, Be32{address4().v4_host()});
    damage(packet);
    sim::Frame frame = ip_frame(address4(), address4(), 0, 0, {});
    frame.resize(net::kEthernetHeaderBytes);
    store(&frame[12], Be16{0x0806});
    append(frame, packet);
    return finish(std::move(frame));
  }

  sim::Frame solicitation() {
    Bytes message = head6(135, 0);
    append_value(message, address6().bytes);
    options(message);
    return icmp6(std::move(message), 255);
  }
  sim::Frame advertisement() {
    Bytes message = head6(136, std::uint32_t{input_.u8()} << 24);
    append_value(message, address6().bytes);
    options(message);
    return icmp6(std::move(message), 255);
  }
  sim::Frame router() {
    const std::uint8_t hops = input_.u8();
    const std::uint32_t lifetime = input_.u8();
    Bytes message = head6(134, std::uint32_t{hops} << 24 | lifetime);
    append_value(message, Be32{input_.u8() * 1000u});
    append_value(message, Be32{input_.u8() * 1000u});
    options(message);
    return icmp6(std::move(message), 255);
  }
  sim::Frame other_icmp6() {
    const std::uint8_t which = input_.u8();
    constexpr std::array<std::uint8_t, 8> kTypes{128, 1, 2, 3, 4, 137, 129, 133};
    const std::uint8_t type = kTypes[which & 7];
    Bytes message = head6(type, input_.u16());
    message[1] = std::byte{static_cast<std::uint8_t>(which >> 5)};
    if (type >= 1 && type <= 4) append(message, quote6());
    append(message, std::as_bytes(input_.bytes(input_.u8())));
    message.resize(message.size() + input_.u8() % 8u * 250u);
    return icmp6(std::move(message), 64);
  }
  sim::Frame icmp4() {
    const std::uint8_t which = input_.u8();
    constexpr std::array<std::uint8_t, 8> kTypes{8, 3, 11, 12, 4, 5, 0, 13};
    const std::uint8_t type = kTypes[which & 7];
    Bytes message{std::byte{type}, std::byte{static_cast<std::uint8_t>(which >> 5)}};
    append_value(message, Be16{});
    append_value(message, Be32{input_.u16()});
    if (type != 8) append(message, quote4());
    append(message, std::as_bytes(input_.bytes(input_.u8())));
    message.resize(message.size() + input_.u8() % 8u * 250u);
    damage(message);
    if (message.size() >= 4) {
      store(&message[2], Be16{});
      store(&message[2], Be16{static_cast<std::uint16_t>(~sim::naive_sum(message))});
    }
    const net::IpAddress from = address4(), to = address4();
    return finish(ip_frame(from, to, 1, 64, message));
  }
  /// Extension headers in front of whatever the input says.
  sim::Frame extended() {
    const std::uint8_t first = input_.u8();
    Bytes payload;
    std::uint8_t next = first;
    for (unsigned i = 0; i < 8 && is_extension(next) && !input_.empty(); ++i) {
      next = input_.u8();
      const std::uint8_t units = input_.u8() & 3;
      append_value(payload, next);
      append_value(payload, units);
      const auto body = input_.bytes(units * 8u + 6u);
      append(payload, std::as_bytes(body));
      payload.resize(payload.size() + units * 8u + 6u - body.size());
    }
    if (next == 58) {
      append(payload, head6(128, 1));
    } else if (next == 6) {
      payload.resize(payload.size() + 32);
      payload[payload.size() - 20] = std::byte{0x80};
    }
    damage(payload);
    const net::IpAddress from = address6(), to = address6();
    return finish(ip_frame(from, to, first, 64, payload));
  }
  sim::Frame tcp() {
    Bytes segment(20 + input_.u8());
    segment[12] = std::byte{input_.u8()};
    damage(segment);
    if ((input_.u8() & 1) != 0) {
      const net::IpAddress from = address6(), to = address6();
      return finish(ip_frame(from, to, 6, 64, segment));
    }
    const net::IpAddress from = address4(), to = address4();
    return finish(ip_frame(from, to, 6, 64, segment));
  }
  sim::Frame anything() {
    const auto bytes = std::as_bytes(input_.bytes(input_.u8()));
    return {bytes.begin(), bytes.end()};
  }

 private:
  static bool is_extension(std::uint8_t next) { return next == 0 || next == 43 || next == 60; }

  static Bytes head6(std::uint8_t type, std::uint32_t word) {
    Bytes out{std::byte{type}, std::byte{0}};
    append_value(out, Be16{});
    append_value(out, Be32{word});
    return out;
  }
  void options(Bytes& out) {
    const std::uint8_t count = input_.u8() % 10;
    for (unsigned i = 0; i < count && !input_.empty(); ++i) {
      const std::uint8_t kind = input_.u8();
      switch (kind & 7) {
        case 0:
        case 1:
          append_value(out, Be16{static_cast<std::uint16_t>((kind & 1u) << 8 | 0x101u)});
          append_value(out, mac());
          break;
        case 2:
        case 3:
        case 4: {
          append_value(out, Be16{0x0304});
          const std::uint8_t length = input_.u8();
          append_value(out, length < 0xc0 ? std::uint8_t{64} : length);
          append_value(out, input_.u8());
          append_value(out, Be32{lifetime()});
          append_value(out, Be32{lifetime()});
          append_value(out, Be32{});
          net::IpAddress prefix{{0xfd, 0x99, 0, input_.u8()}};
          append_value(out, prefix.bytes);
          break;
        }
        case 5:
          append_value(out, Be32{0x0501'0000});
          append_value(out, Be32{input_.u16()});
          break;
        default:
          append_value(out, Be16{input_.u16()});
          append(out, std::as_bytes(input_.bytes(6)));
      }
    }
  }
  std::uint32_t lifetime() {
    const std::uint8_t value = input_.u8();
    return value == 0xff ? 0xffff'ffffu : value * 60u;
  }
  Bytes quote4() {
    const net::IpAddress from = address4(), to = address4();
    Bytes tcp(8);
    const Bytes packet = ip_frame(from, to, 6, 64, tcp);
    return {packet.begin() + net::kEthernetHeaderBytes, packet.end()};
  }
  Bytes quote6() {
    const net::IpAddress from = address6(), to = address6();
    Bytes tcp(20);
    const Bytes packet = ip_frame(from, to, 6, 64, tcp);
    return {packet.begin() + net::kEthernetHeaderBytes, packet.end()};
  }
  /// Once in four: up to three bytes changed, the end cut off or moved.
  void damage(Bytes& message) {
    const std::uint8_t how = input_.u8();
    if ((how & 0x30) != 0x30) return;
    for (unsigned i = 0; i < (how & 3u) && !message.empty(); ++i)
      message[input_.u8() % message.size()] ^= std::byte{input_.u8()};
    if ((how & 0xc0) == 0xc0) message.resize(input_.u8() % (message.size() + 1));
    if ((how & 0xc0) == 0x80) message.resize(message.size() + input_.u8());
  }
  sim::Frame icmp6(Bytes message, std::uint8_t hop_limit) {
    damage(message);
    const std::uint8_t other = input_.u8();
    const net::IpAddress from = address6(), to = address6();
    if ((other & 0xf0) == 0xf0) hop_limit = other;
    sim::Frame frame = ip_frame(from, to, 58, hop_limit, message);
    if (message.size() >= 4) {
      Bytes pseudo;
      append_value(pseudo, from.bytes);
      append_value(pseudo, to.bytes);
      append_value(pseudo, Be32{static_cast<std::uint32_t>(message.size())});
      append_value(pseudo, Be32{58});
      std::byte* sum = &frame[frame.size() - message.size() + 2];
      store(sum, Be16{});
      store(&message[2], Be16{});
      store(sum,
            Be16{static_cast<std::uint16_t>(~sim::naive_sum(message, sim::naive_sum(pseudo)))});
    }
    if (wire::is_ipv6_multicast(to.bytes)) store(frame.data(), wire::multicast_mac(to.bytes));
    return finish(std::move(frame));
  }
  /// The link layer, and damage that no checksum hides.
  sim::Frame finish(sim::Frame frame) {
    const std::uint8_t how = input_.u8();
    if ((how & 7) == 1) store(&frame[6], mac());
    if ((how & 7) == 2) store(&frame[0], mac());
    if ((how & 7) == 3) frame[input_.u8() % frame.size()] ^= std::byte{input_.u8()};
    if ((how & 7) == 4) frame.resize(input_.u8() % frame.size() + 1);
    const bool other_tag = (how & 0x38) == 0x38;
    const std::uint16_t tag = other_tag ? input_.u16() : vlan_;
    if (frame.size() >= net::kEthernetHeaderBytes && tag != 0) sim::put_vlan_tag(frame, tag);
    return frame;
  }

  Input& input_;
  std::uint16_t vlan_;
};

}  // namespace pollux::fuzz
