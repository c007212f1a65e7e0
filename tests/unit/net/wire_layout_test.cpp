// The layouts below TCP against golden bytes, in both directions.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "dataplane/wire/arp.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/icmp.hpp"
#include "dataplane/wire/ipv4.hpp"

namespace pollux::wire {
namespace {

template <std::size_t N>
using Golden = std::array<std::uint8_t, N>;

/// Stored bytes equal the golden ones and nothing behind them is touched; loading and storing again
/// gives the same bytes.
template <class T>
void expect_golden(const T& value, const Golden<sizeof(T)>& golden) {
  constexpr std::byte kFill{0xa5};
  std::vector<std::byte> buffer(sizeof(T) + 8, kFill);
  store(buffer.data(), value);
  for (std::size_t i = 0; i < sizeof(T); ++i)
    EXPECT_EQ(std::to_integer<int>(buffer[i]), golden[i]) << "byte " << i;
  EXPECT_TRUE(
      std::all_of(buffer.begin() + sizeof(T), buffer.end(), [](auto b) { return b == kFill; }));

  std::vector<std::byte> again(sizeof(T), kFill);
  store(again.data(), load<T>(buffer.data()));
  EXPECT_TRUE(std::equal(again.begin(), again.end(), buffer.begin()));
}

TEST(EthernetHeader, MatchesGoldenBytes) {
  const Golden<14> golden{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x08, 0x06};
  expect_golden(EthernetHeader{{1, 2, 3, 4, 5, 6}, {7, 8, 9, 10, 11, 12}, Be16(kEtherTypeArp)},
                golden);
  const auto loaded = load<EthernetHeader>(reinterpret_cast<const std::byte*>(golden.data()));
  EXPECT_EQ(loaded.destination[5], 6);
  EXPECT_EQ(loaded.source[0], 7);
  EXPECT_EQ(loaded.ether_type.get(), 0x0806);
}

TEST(ArpPacket, MatchesGoldenBytes) {
  const Golden<28> golden{0,  1,  8, 0, 6, 4, 0, 1, 0x02, 0, 0,  0,  0, 1,
                          10, 99, 0, 1, 0, 0, 0, 0, 0,    0, 10, 99, 0, 2};
  ArpPacket packet;
  packet.op.set(ArpPacket::kRequest);
  packet.sha = {2, 0, 0, 0, 0, 1};
  packet.spa.set(0x0a63'0001);
  packet.tpa.set(0x0a63'0002);
  expect_golden(packet, golden);
  const auto loaded = load<ArpPacket>(reinterpret_cast<const std::byte*>(golden.data()));
  EXPECT_EQ(loaded.op.get(), ArpPacket::kRequest);
  EXPECT_EQ(loaded.spa.get(), 0x0a63'0001u);
  EXPECT_EQ(loaded.tpa.get(), 0x0a63'0002u);
}

TEST(Ipv4Header, MatchesGoldenBytes) {
  const Golden<20> golden{0x45, 0x10, 0x00, 0x73, 0xab, 0xcd, 0x40, 0x00, 0x40, 0x06,
                          0xb8, 0x61, 192,  168,  0,    1,    192,  168,  0,    199};
  Ipv4Header header;
  header.type_of_service = 0x10;
  header.total_length.set(0x73);
  header.identification.set(0xabcd);
  header.flags_fragment_offset.set(Ipv4Header::kDontFragment);
  header.time_to_live = 64;
  header.protocol = kProtocolTcp;
  header.header_checksum.set(0xb861);
  header.source.set(0xc0a8'0001);
  header.destination.set(0xc0a8'00c7);
  expect_golden(header, golden);
  const auto loaded = load<Ipv4Header>(reinterpret_cast<const std::byte*>(golden.data()));
  EXPECT_EQ(loaded.version(), 4u);
  EXPECT_EQ(loaded.header_bytes(), 20u);
  EXPECT_EQ(loaded.total_length.get(), 0x73);
  EXPECT_FALSE(loaded.is_fragment());
  EXPECT_EQ(loaded.destination.get(), 0xc0a8'00c7u);
}

TEST(Ipv4Header, KnowsFragments) {
  Ipv4Header header;
  header.flags_fragment_offset.set(Ipv4Header::kMoreFragments);
  EXPECT_TRUE(header.is_fragment());
  header.flags_fragment_offset.set(1);
  EXPECT_TRUE(header.is_fragment());
}

TEST(IcmpHeader, MatchesGoldenBytes) {
  const Golden<8> golden{8, 0, 0x12, 0x34, 0xbe, 0xef, 0x00, 0x07};
  expect_golden(IcmpHeader{IcmpHeader::kEchoRequest, 0, Be16(0x1234), Be16(0xbeef), Be16(7)},
                golden);
  EXPECT_EQ(load<IcmpHeader>(reinterpret_cast<const std::byte*>(golden.data())).sequence.get(), 7);
}

}  // namespace
}  // namespace pollux::wire
