// Building blocks of IPv6 tests, from bytes of their own: packets, extension headers, ICMPv6 and
// neighbour discovery with right checksums, and an interface that has IPv6 addresses.
#pragma once

#include "dataplane/base/byte_order.hpp"
#include "tests/unit/net/net_fixture.hpp"

namespace pollux::net::test {

inline Frame address_bytes(const IpAddress& address) {
  Frame out;
  for (const std::uint8_t b : address.bytes) out.push_back(static_cast<std::byte>(b));
  return out;
}
/// The address with these 16-bit words; the words of `tail` are the last ones.
inline IpAddress ip6(std::uint32_t first, std::initializer_list<std::uint32_t> tail,
                     std::uint32_t second = 0) {
  IpAddress out;
  const auto put = [&out](std::size_t word, std::uint32_t v) {
    out.bytes[2 * word] = static_cast<std::uint8_t>(v >> 8);
    out.bytes[2 * word + 1] = static_cast<std::uint8_t>(v);
  };
  put(0, first);
  put(1, second);
  std::size_t word = 8 - tail.size();
  for (const std::uint32_t v : tail) put(word++, v);
  return out;
}

inline const IpAddress kOur6 = ip6(0xfd99, {1});
inline const IpAddress kPeer6 = ip6(0xfd99, {2});
inline const IpAddress kGateway6 = ip6(0xfd99, {0xfe});
inline const IpAddress kFar6 = ip6(0x2001, {7}, 0xdb8);
inline const IpAddress kOurLinkLocal = ip6(0xfe80, {0, 0xff, 0xfe00, 1});  // of 02:00:00:00:00:01
inline const IpAddress kPeerLinkLocal = ip6(0xfe80, {0, 0xff, 0xfe00, 2});
inline const IpAddress kAllNodes = ip6(0xff02, {1});
inline const IpAddress kAllRouters = ip6(0xff02, {2});
inline const IpAddress kOurGroup = ip6(0xff02, {1, 0xff00, 1});
inline const IpAddress kNobody{};
inline const Frame kAllNodesMac = bytes({0x33, 0x33, 0, 0, 0, 1});
inline const Frame kOtherMac = bytes({2, 0, 0, 0, 0, 9});

struct Ip6 {
  IpAddress source = kPeer6;
  IpAddress destination = kOur6;
  int next_header = 6;
  int version = 6;
  int hop_limit = 64;
  int payload_length = -1;  ///< -1: right
  int traffic_class = 0;
};
inline Frame ipv6(const Ip6& ip, const Frame& payload) {
  const std::size_t length =
      ip.payload_length >= 0 ? static_cast<std::size_t>(ip.payload_length) : payload.size();
  return be32(static_cast<std::uint32_t>(ip.version << 28 | ip.traffic_class << 20)) +
         be16(static_cast<std::uint32_t>(length)) + bytes({ip.next_header, ip.hop_limit}) +
         address_bytes(ip.source) + address_bytes(ip.destination) + payload;
}
/// Writes the checksum of `message` at `at`.
inline Frame with_sum6(const Ip6& ip, int protocol, Frame message, std::size_t at) {
  const Frame pseudo = address_bytes(ip.source) + address_bytes(ip.destination) +
                       be32(static_cast<std::uint32_t>(message.size())) +
                       be32(static_cast<std::uint32_t>(protocol));
  put16(message, at, 0xffffu ^ sim::naive_sum(message, sim::naive_sum(pseudo)));
  return message;
}
inline Frame tcp6(const Ip6& ip, const Frame& data) {
  const Frame segment = be16(3260) + be16(50000) + be32(0x01020304) + be32(0x05060708) +
                        bytes({5 << 4, 0x18}) + be16(1000) + be16(0) + be16(0) + data;
  return with_sum6(ip, 6, segment, 16);
}
inline Frame icmp6(const Ip6& ip, int type, int code, std::uint32_t word, const Frame& body) {
  return with_sum6(ip, 58, bytes({type, code}) + be16(0) + be32(word) + body, 2);
}
inline Frame link_option(int type, const Frame& mac) { return bytes({type, 1}) + mac; }
inline Frame to_us6(const Frame& packet, const Frame& from = kPeerMac) {
  return ethernet(kOurMac, from, 0x86dd, packet);
}
inline Frame group_mac(const IpAddress& group) {
  const Frame b = address_bytes(group);
  return bytes({0x33, 0x33}) + Frame(b.begin() + 12, b.end());
}

/// One message of discovery; every field that a rule looks at can be set wrong.
struct Nd {
  IpAddress source = kPeer6;
  IpAddress destination = kOur6;
  IpAddress target = kPeer6;
  std::uint32_t flags = 0;
  Frame options;
  int hop_limit = 255;
  int code = 0;
  Frame mac = kPeerMac;  ///< the frame's source
};
inline Frame nd_frame(const Nd& nd, int type) {
  Ip6 ip{.source = nd.source,
         .destination = nd.destination,
         .next_header = 58,
         .hop_limit = nd.hop_limit};
  const Frame packet =
      ipv6(ip, icmp6(ip, type, nd.code, nd.flags, address_bytes(nd.target) + nd.options));
  const bool group = nd.destination.bytes[0] == 0xff;
  return ethernet(group ? group_mac(nd.destination) : kOurMac, nd.mac, 0x86dd, packet);
}
inline Frame solicitation(const Nd& nd) { return nd_frame(nd, 135); }
inline Frame advertisement(const Nd& nd) { return nd_frame(nd, 136); }
inline constexpr std::uint32_t kRouterFlag = 0x8000'0000;
inline constexpr std::uint32_t kSolicitedFlag = 0x4000'0000;
inline constexpr std::uint32_t kOverrideFlag = 0x2000'0000;

/// A message that the interface has sent.
struct Sent6 {
  Frame destination_mac;
  IpAddress source, destination;
  int next_header = 0, hop_limit = 0, traffic_class = 0;
  Frame body;  ///< behind the IPv6 header
  [[nodiscard]] int type() const { return body.empty() ? -1 : std::to_integer<int>(body[0]); }
  [[nodiscard]] std::uint32_t word() const { return load<Be32>(body.data() + 4).get(); }
  [[nodiscard]] IpAddress target() const {
    IpAddress out;
    if (body.size() >= 24) std::memcpy(out.bytes.data(), body.data() + 8, 16);
    return out;
  }
  [[nodiscard]] Frame option() const {
    return body.size() > 24 ? Frame(body.begin() + 24, body.end()) : Frame{};
  }
};

class Net6Test : public NetTest {
 protected:
  static InterfaceConfig config6() {
    InterfaceConfig config;
    config.address6 = kOur6;
    config.dad_transmits = 0;
    return config;
  }
  void start6(InterfaceConfig config = config6(), sim::SimPortOptions options = {}) {
    port.emplace(wire, 0, memory, options);
    interface.emplace(config, *port, memory, wire.now());
  }
  /// The next frame sent, taken apart; its checksum must be right.
  std::optional<Sent6> sent6() {
    const std::optional<Frame> frame = sent();
    if (!frame) return std::nullopt;
    Sent6 out;
    if (frame->size() < 54 || (*frame)[12] != std::byte{0x86}) {
      ADD_FAILURE() << "no IPv6 frame";
      return std::nullopt;
    }
    const auto at = [&](std::size_t i) { return frame->begin() + static_cast<std::ptrdiff_t>(i); };
    out.destination_mac = Frame(at(0), at(6));
    std::memcpy(out.source.bytes.data(), &(*frame)[22], 16);
    std::memcpy(out.destination.bytes.data(), &(*frame)[38], 16);
    out.traffic_class = static_cast<int>(load<Be32>(&(*frame)[14]).get() >> 20 & 0xff);
    out.next_header = std::to_integer<int>((*frame)[20]);
    out.hop_limit = std::to_integer<int>((*frame)[21]);
    out.body = Frame(at(54), frame->end());
    const Frame pseudo = address_bytes(out.source) + address_bytes(out.destination) +
                         be32(static_cast<std::uint32_t>(out.body.size())) + be32(58);
    EXPECT_EQ(sim::naive_sum(out.body, sim::naive_sum(pseudo)), 0xffff);
    return out;
  }
  RouteState ask(const IpAddress& host) { return interface->route(host, wire.now(), route); }
  Frame route_mac() const { return Frame(route.ethernet.begin(), route.ethernet.begin() + 6); }
  /// Resolves `host` to the peer's hardware address.
  void learn(const IpAddress& host, std::uint32_t flags = kSolicitedFlag | kOverrideFlag) {
    EXPECT_EQ(ask(host), RouteState::pending);
    EXPECT_EQ(sent6()->type(), 135);
    deliver(advertisement(
        {.source = host, .target = host, .flags = flags, .options = link_option(2, kPeerMac)}));
    EXPECT_EQ(ask(host), RouteState::resolved);
  }

  Route route;
};

}  // namespace pollux::net::test
