// One interface on a simulated port; the test itself is the station at the other end of the wire.
// It builds frames from bytes of its own, so no code under test is used to judge it.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "dataplane/net/counters.hpp"
#include "dataplane/net/interface.hpp"
#include "tests/support/frame_checksum.hpp"
#include "tests/support/heap_packet_memory.hpp"
#include "tests/support/sim_port.hpp"
#include "tests/support/sim_wire.hpp"

namespace pollux::net::test {

using sim::Frame;

inline Frame bytes(std::initializer_list<int> values) {
  Frame out;
  for (int v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}
inline Frame operator+(Frame a, const Frame& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline Frame be16(std::uint32_t v) {
  return bytes({static_cast<int>(v >> 8 & 255), static_cast<int>(v & 255)});
}
inline Frame be32(std::uint32_t v) { return be16(v >> 16) + be16(v & 0xffff); }
inline void put16(Frame& frame, std::size_t at, std::uint32_t v) {
  frame[at] = static_cast<std::byte>(v >> 8);
  frame[at + 1] = static_cast<std::byte>(v);
}
/// Bytes that differ from place to place.
inline Frame pattern(std::size_t size, unsigned seed = 1) {
  Frame out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>(i * 7 + (i >> 8) + seed);
  return out;
}

inline const Frame kOurMac = bytes({2, 0, 0, 0, 0, 1});
inline const Frame kPeerMac = bytes({2, 0, 0, 0, 0, 2});
inline const Frame kBroadcastMac = bytes({255, 255, 255, 255, 255, 255});
inline constexpr std::uint32_t kOurIp = 0x0a63'0001;  // 10.99.0.1/24
inline constexpr std::uint32_t kPeerIp = 0x0a63'0002;
inline constexpr std::uint32_t kGatewayIp = 0x0a63'00fe;

inline Frame ethernet(const Frame& to, const Frame& from, std::uint32_t type, const Frame& body) {
  return to + from + be16(type) + body;
}
inline Frame arp(std::uint32_t op, const Frame& sha, std::uint32_t spa, const Frame& tha,
                 std::uint32_t tpa) {
  return be16(1) + be16(0x0800) + bytes({6, 4}) + be16(op) + sha + be32(spa) + tha + be32(tpa);
}

struct Ip {
  std::uint32_t source = kPeerIp;
  std::uint32_t destination = kOurIp;
  std::uint32_t protocol = 6;
  int version = 4;
  int ihl = -1;           ///< -1: as the options say
  int total_length = -1;  ///< -1: right
  std::uint32_t fragment = 0x4000;
  int ttl = 64;
  Frame options;
  bool good_checksum = true;
};
inline Frame ipv4(const Ip& ip, const Frame& payload) {
  const auto words = ip.ihl >= 0 ? ip.ihl : static_cast<int>(5 + ip.options.size() / 4);
  const std::size_t total = ip.total_length >= 0 ? static_cast<std::size_t>(ip.total_length)
                                                 : 20 + ip.options.size() + payload.size();
  Frame header = bytes({ip.version << 4 | words, 0}) + be16(static_cast<std::uint32_t>(total)) +
                 be16(7) + be16(ip.fragment) + bytes({ip.ttl, static_cast<int>(ip.protocol)}) +
                 be16(0) + be32(ip.source) + be32(ip.destination) + ip.options;
  put16(header, 10, 0xffffu ^ sim::naive_sum(header) ^ (ip.good_checksum ? 0u : 0x0100u));
  return header + payload;
}
/// A TCP segment with `option_words` words of NOPs and a right checksum.
inline Frame tcp(const Ip& ip, const Frame& data, std::size_t option_words = 0) {
  Frame segment = be16(3260) + be16(50000) + be32(0x01020304) + be32(0x05060708) +
                  bytes({static_cast<int>((5 + option_words) << 4), 0x18}) + be16(1000) + be16(0) +
                  be16(0) + Frame(option_words * 4, std::byte{1}) + data;
  const Frame pseudo = be32(ip.source) + be32(ip.destination) + be16(6) +
                       be16(static_cast<std::uint32_t>(segment.size()));
  put16(segment, 16, 0xffffu ^ sim::naive_sum(segment, sim::naive_sum(pseudo)));
  return segment;
}
inline Frame echo_request(const Frame& data, int type = 8) {
  Frame message = bytes({type, 0}) + be16(0) + be16(0x1234) + be16(9) + data;
  put16(message, 2, 0xffffu ^ sim::naive_sum(message));
  return message;
}
inline Frame to_us(const Frame& packet) { return ethernet(kOurMac, kPeerMac, 0x0800, packet); }

/// What TCP was given, copied out.
struct Segment {
  IpAddress source, destination;
  Frame header, data;
  std::size_t pieces = 0;
  std::uint8_t ecn = 0;
};

class NetTest : public ::testing::Test {
 protected:
  void start(sim::SimPortOptions options = {}, InterfaceConfig config = {}) {
    if (!config.address.is_v4()) config.address = IpAddress::from_v4_host(kOurIp);
    config.announce = announce;
    port.emplace(wire, 0, memory, options);
    interface.emplace(config, *port, memory, wire.now());
  }
  void TearDown() override {
    interface.reset();
    port.reset();
    EXPECT_EQ(memory.buffers_in_use(), 0u);
  }

  std::vector<Segment> receive(std::size_t room = 32) {
    std::vector<TcpDatagram> datagrams(room);
    std::vector<Segment> out;
    std::size_t frames = 0;
    const std::size_t n = interface->receive(wire.now(), datagrams, frames);
    for (std::size_t i = 0; i < n; ++i) {
      const TcpDatagram& in = datagrams[i];
      Segment segment{in.source, in.destination,    {in.header.begin(), in.header.end()},
                      {},        in.payload.size(), in.ecn};
      for (const auto& piece : in.payload) {
        EXPECT_GT(piece.length, 0u);
        EXPECT_EQ((piece.flags & platform::kRxMore) != 0, &piece != &in.payload.back());
        segment.data.insert(segment.data.end(), piece.data, piece.data + piece.length);
      }
      EXPECT_EQ(segment.data.size(), in.payload_bytes);
      out.push_back(segment);
    }
    for (std::size_t i = 0; i < n; ++i)
      for (const auto& piece : datagrams[i].payload) memory.release(piece.handle);
    frames_seen += frames;
    return out;
  }
  /// Sends frames to the interface and returns what TCP gets of them.
  std::vector<Segment> deliver(const Frame& frame) {
    wire.send(1, frame);
    wire.advance(wire.now() + 10us);
    return receive();
  }
  /// The next frame the interface has sent.
  std::optional<Frame> sent() {
    interface->flush();
    wire.advance(wire.now() + 10us);
    return wire.take(1);
  }
  void run(Duration time) {
    wire.advance(wire.now() + time);
    interface->check_port(wire.now());
    interface->run_timers(wire.now());
  }
  std::uint64_t count(Counter Counters::*counter) const {
    return (interface->counters().*counter).get();
  }

  sim::HeapPacketMemory memory;
  sim::SimWire wire{7, Instant{1000s}};
  std::optional<sim::SimPort> port;
  std::optional<Interface> interface;
  std::size_t frames_seen = 0;
  bool announce = false;  ///< of start(): announcements would stand between a test and its answer
};

}  // namespace pollux::net::test
