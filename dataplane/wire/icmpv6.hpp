// ICMPv6 messages a host meets and their fixed parts: echo and errors (RFC 4443), neighbour and
// router discovery with its options (RFC 4861 4).
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/ipv6.hpp"

namespace pollux::wire {

enum class Icmpv6Type : std::uint8_t {
  destination_unreachable = 1,
  packet_too_big = 2,
  time_exceeded = 3,
  parameter_problem = 4,
  echo_request = 128,
  echo_reply = 129,
  router_solicitation = 133,
  router_advertisement = 134,
  neighbor_solicitation = 135,
  neighbor_advertisement = 136,
  redirect = 137,
};

inline constexpr std::uint8_t kNdHopLimit = 255;  // RFC 4861 7.1: no router has been in between

/// The eight bytes in front of every message. `word` is the MTU of Packet Too Big, identifier and
/// sequence of echo, flags of advertisements.
struct Icmpv6Header {
  Icmpv6Type type{};
  std::uint8_t code = 0;
  Be16 checksum;
  Be32 word;
};
static_assert(WireLayout<Icmpv6Header> && sizeof(Icmpv6Header) == 8);

/// RFC 4861 4.3 and 4.4: Neighbor Solicitation and Advertisement without options.
struct NeighborMessage {
  static constexpr std::uint32_t kRouter = 0x8000'0000;  ///< in header.word of an Advertisement
  static constexpr std::uint32_t kSolicited = 0x4000'0000;
  static constexpr std::uint32_t kOverride = 0x2000'0000;

  Icmpv6Header header;
  Ipv6Bytes target{};
};
static_assert(WireLayout<NeighborMessage> && sizeof(NeighborMessage) == 24);

/// RFC 4861 4.2, without options.
struct RouterAdvertisement {
  Icmpv6Type type{};
  std::uint8_t code = 0;
  Be16 checksum;
  std::uint8_t cur_hop_limit = 0;
  std::uint8_t flags = 0;
  Be16 router_lifetime;  ///< seconds; 0: no default router
  Be32 reachable_time;   ///< milliseconds; 0: unspecified
  Be32 retrans_timer;    ///< milliseconds; 0: unspecified
};
static_assert(WireLayout<RouterAdvertisement> && sizeof(RouterAdvertisement) == 16);

enum NdOptionType : std::uint8_t {
  kNdSourceLinkLayer = 1,
  kNdTargetLinkLayer = 2,
  kNdPrefixInformation = 3,
  kNdMtu = 5,
};
inline constexpr std::size_t kNdOptionUnit = 8;  ///< lengths of options count in these

/// RFC 4861 4.6.1 over Ethernet (RFC 2464 6).
struct NdLinkLayerOption {
  std::uint8_t type = 0;
  std::uint8_t length = 1;
  EthernetAddress address{};
};
static_assert(WireLayout<NdLinkLayerOption> && sizeof(NdLinkLayerOption) == 8);

/// RFC 4861 4.6.2.
struct NdPrefixOption {
  static constexpr std::uint8_t kOnLink = 0x80;
  static constexpr std::uint8_t kAutonomous = 0x40;

  std::uint8_t type = kNdPrefixInformation;
  std::uint8_t length = 4;
  std::uint8_t prefix_length = 0;
  std::uint8_t flags = 0;
  Be32 valid_lifetime;  ///< seconds; all ones: for ever
  Be32 preferred_lifetime;
  Be32 reserved;
  Ipv6Bytes prefix{};
};
static_assert(WireLayout<NdPrefixOption> && sizeof(NdPrefixOption) == 32);

/// RFC 4861 4.6.4.
struct NdMtuOption {
  std::uint8_t type = kNdMtu;
  std::uint8_t length = 1;
  Be16 reserved;
  Be32 mtu;
};
static_assert(WireLayout<NdMtuOption> && sizeof(NdMtuOption) == 8);

}  // namespace pollux::wire
