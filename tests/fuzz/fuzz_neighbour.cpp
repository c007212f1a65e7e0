// ARP, neighbour and router discovery, ICMP and ICMPv6 of any shape, with time, routes and a link
// that goes down in between. What an interface sends must be right to the last bit, a resolved
// route must lead to one station, each frame must leave a trace in a counter, timers must move on,
// and all buffers come back.
//
// Input: two bytes of configuration, then steps of one byte and what each takes.
#include <array>
#include <cstring>
#include <optional>

#include "dataplane/net/counters.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/net/path_error.hpp"
#include "dataplane/wire/arp.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "tests/fuzz/neighbour_frames.hpp"

namespace {

using namespace pollux;
using fuzz::require;

constexpr std::uint16_t kVlan = 5;
constexpr std::size_t kFramesPerStep = 16;
/// All timers of both tables may end in one turn.
constexpr std::size_t kFramesPerTurnOfTime = 600;

net::InterfaceConfig configuration(std::uint16_t bits) {
  const auto bit = [bits](unsigned n) { return (bits >> n & 1) != 0; };
  net::InterfaceConfig config;
  if (!bit(0)) config.address = net::IpAddress::v4(10, 99, 0, 1);
  if (!bit(1)) config.address6 = {{0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  config.link_local = bit(0);  // no address at all is nobody's configuration
  config.accept_ra = !bit(2);
  config.dad_transmits = bit(3) ? 1 : 0;
  config.detect_conflicts = bit(4);
  config.announce = bit(5);
  if (bit(6)) config.vlan_id = kVlan;
  if (bit(7)) config.gateway = net::IpAddress::v4(10, 99, 0, 14);
  if (bit(8)) config.gateway6 = {{0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14}};
  if (bit(9)) config.prefix_length = 31;
  return config;
}

sim::SimPortOptions port_options(std::uint16_t bits) {
  sim::SimPortOptions options;
  options.mac = fuzz::kOurMac;
  options.scatter = (bits >> 10 & 1) != 0;
  options.rx_checksum =
      (bits >> 11 & 1) != 0 ? sim::RxChecksum::unknown : sim::RxChecksum::assumed_good;
  options.vlan_offload = (bits >> 12 & 1) != 0;
  if ((bits >> 13 & 1) != 0) options.mtu = 1280;
  return options;
}

class Station {
 public:
  Station(std::uint16_t bits, fuzz::Input& input)
      : input_(input),
        wire_(bits, Instant{1000s}),
        memory_({.buffers = 128, .buffer_bytes = 2048, .trackers = 1}),
        port_(wire_, 0, memory_, port_options(bits)),
        config_(configuration(bits)),
        interface_(std::make_unique<net::Interface>(config_, port_, memory_, wire_.now())),
        frames_(input, config_.vlan_id) {
    for (std::size_t from : {0u, 1u}) wire_.faults(from) = {.delay = Duration::zero()};
    turn(kFramesPerStep);
  }

  void step() {
    const std::uint8_t what = input_.u8();
    switch (what % 16) {
      case 0:
      case 1:
        return receive(frames_.arp());
      case 2:
        return receive(frames_.solicitation());
      case 3:
      case 4:
        return receive(frames_.advertisement());
      case 5:
        return receive(frames_.router());
      case 6:
        return receive(frames_.other_icmp6());
      case 7:
        return receive(frames_.icmp4());
      case 8:
        return receive(frames_.extended());
      case 9:
        return receive(frames_.tcp());
      case 10:
        return receive(frames_.anything());
      case 11:
        return route(frames_.address4());
      case 12:
        return route(frames_.address6());
      case 13:
        return doubt((what & 16) != 0 ? frames_.address4() : frames_.address6(), what);
      case 14:  // 1 us to 1 day
        return advance(Duration(std::uint64_t{1000} << (input_.u8() % 37u)));
      default:
        change(what);
    }
  }

  void finish() {
    interface_.reset();
    port_.reclaim();
    wire_.advance(wire_.now() + 1s);
    port_.reclaim();
    require(memory_.buffers_in_use() == 0, "packet buffers are lost");
  }

 private:
  void receive(sim::Frame frame) {
    if (frame.empty()) return;
    const std::uint64_t before = traces();
    const std::uint64_t frames = interface_->counters().rx_frames.get();
    wire_.send(1, std::move(frame));
    turn(kFramesPerStep);
    if (interface_->counters().rx_frames.get() != frames)
      require(traces() != before, "a frame left no trace in any counter");
  }

  /// All counters of what was received but for those that name no cause.
  std::uint64_t traces() const {
    const net::Counters& all = interface_->counters();
    std::uint64_t sum = 0;
    for (const net::CounterDescription& row : net::kCounterDescriptions) {
      const bool names_none = row.counter == &net::Counters::rx_frames ||
                              row.counter == &net::Counters::rx_pulled_up ||
                              row.counter == &net::Counters::rx_vlan_tagged ||
                              row.counter == &net::Counters::address_state ||
                              row.counter == &net::Counters::buffers_cached;
      if (!names_none) sum += (all.*row.counter).get();
    }
    return sum;
  }

  void turn(std::size_t frames_max) {
    wire_.advance(wire_.now());
    const Instant now = wire_.now();
    std::array<net::TcpDatagram, 8> datagrams;
    std::size_t frames = 0;
    const std::size_t count = interface_->receive(now, datagrams, frames);
    for (const net::TcpDatagram& datagram : std::span(datagrams).first(count)) take(datagram);
    std::array<net::PathError, 4> errors;
    while (const std::size_t n = interface_->take_path_errors(errors))
      for (const net::PathError& error : std::span(errors).first(n)) take(error);
    interface_->run_timers(now);
    require(interface_->next_deadline() > now, "a timer does not move on");
    interface_->flush();
    port_.reclaim();
    wire_.advance(now);
    std::size_t sent = 0;
    while (const std::optional<sim::Frame> frame = wire_.take(1)) {
      require(++sent <= frames_max, "a storm of frames");
      check_sent(*frame);
    }
  }

  void take(const net::TcpDatagram& datagram) {
    std::size_t bytes = 0;
    for (const platform::RxSegment& piece : datagram.payload) bytes += piece.length;
    require(bytes == datagram.payload_bytes, "a datagram's pieces are not its payload");
    require(datagram.header.size() >= 20 && datagram.header.size() <= 60,
            "a TCP header of a wrong length was let through");
    require(interface_->is_own(datagram.destination), "a datagram for another was let through");
    require(!interface_->is_own(datagram.source), "a datagram from ourselves was let through");
    for (const platform::RxSegment& piece : datagram.payload) memory_.release(piece.handle);
  }
  void take(const net::PathError& error) {
    require(interface_->is_own(error.source), "an error about what is not ours was let through");
    require(error.source.is_v4() == error.destination.is_v4(), "an error of two families");
  }

  void route(const net::IpAddress& destination) {
    net::Route route;
    const net::RouteState state = interface_->route(destination, wire_.now(), route);
    turn(kFramesPerStep);
    if (state != net::RouteState::resolved) return;
    const auto ethernet = load<wire::EthernetHeader>(route.ethernet.data());
    require(!wire::is_group_address(ethernet.destination) &&
                ethernet.destination != wire::EthernetAddress{},
            "a route leads to a group or to nobody");
    require(ethernet.source == fuzz::kOurMac && interface_->is_own(route.source) &&
                route.source.is_v4() == destination.is_v4(),
            "a route does not start here");
    require(route.mtu <= interface_->port_info().mtu && route.mtu >= 1280,
            "a route of a wrong MTU");
    require(route.hop_limit != 0, "a route of no hops");
  }

  void doubt(const net::IpAddress& neighbour, std::uint8_t what) {
    if ((what & 32) != 0)
      interface_->suspect(neighbour, wire_.now());
    else
      interface_->confirm_reachable(neighbour, wire_.now());
    turn(kFramesPerStep);
  }

  void change(std::uint8_t what) {
    switch (what >> 4 & 3) {
      case 0:
        wire_.set_link(false);
        break;
      case 1:
        wire_.set_link(true);
        break;
      case 2:
        memory_.set_frames_limit(0);
        break;
      default:
        memory_.set_frames_limit(SIZE_MAX);
    }
    turn(kFramesPerStep);
  }

  void advance(Duration by) {
    constexpr int kStopsMax = 16;
    const Instant until = wire_.now() + by;
    for (int i = 0; i < kStopsMax && interface_->next_deadline() < until; ++i) {
      wire_.advance(std::max(wire_.now(), interface_->next_deadline()));
      turn(kFramesPerTurnOfTime);
    }
    wire_.advance(until);
    turn(kFramesPerTurnOfTime);
  }

  // --- What leaves

  void check_sent(sim::Frame frame) {
    require(frame.size() >= net::kEthernetHeaderBytes, "half a header was sent");
    require(sim::vlan_tag_at(frame) == config_.tagged(), "a tag is missing, or is there");
    if (config_.tagged())
      require(sim::take_vlan_tag(frame) == kVlan, "a frame was sent to another VLAN");
    const auto ethernet = load<wire::EthernetHeader>(frame.data());
    require(ethernet.source == fuzz::kOurMac, "a frame was sent as somebody else");
    require(ethernet.destination != wire::EthernetAddress{}, "a frame was sent to nobody");
    const auto packet = std::span<const std::byte>(frame).subspan(net::kEthernetHeaderBytes);
    switch (ethernet.ether_type.get()) {
      case wire::kEtherTypeArp:
        return check_arp(packet);
      case wire::kEtherTypeIpv4:
        return check_icmp4(frame, packet);
      case wire::kEtherTypeIpv6:
        require(wire::is_group_address(ethernet.destination) ==
                    (packet.size() > 24 && packet[24] == std::byte{0xff}),
                "IPv6 was sent to a group that is none, or to one as to a station");
        return check_icmp6(packet);
      default:
        fuzz::fail("a frame of an unknown type was sent");
    }
  }
  void check_arp(std::span<const std::byte> packet) {
    require(packet.size() == sizeof(wire::ArpPacket), "ARP of a wrong size was sent");
    const auto arp = load<wire::ArpPacket>(packet.data());
    const bool is_reply = arp.op.get() == wire::ArpPacket::kReply;
    const bool is_request = arp.op.get() == wire::ArpPacket::kRequest;
    const std::uint32_t ours = config_.address.v4_host();
    require(config_.has_ipv4() && arp.hrd.get() == 1 && arp.pro.get() == wire::kEtherTypeIpv4 &&
                arp.hln == 6 && arp.pln == 4 && (is_reply || is_request),
            "malformed ARP was sent");
    require(
        arp.sha == fuzz::kOurMac && (arp.spa.get() == ours || (is_request && arp.spa.get() == 0)),
        "ARP for another was sent");
  }
  void check_icmp4(const sim::Frame& frame, std::span<const std::byte> packet) {
    require(packet.size() >= 28 && sim::ip_checksum_good(frame), "a wrong IPv4 header was sent");
    const auto ip = load<wire::Ipv4Header>(packet.data());
    require(ip.total_length.get() == packet.size() && ip.protocol == 1 &&
                ip.source.get() == config_.address.v4_host(),
            "a wrong IPv4 packet was sent");
    require(!wire::is_group_address(load<wire::EthernetHeader>(frame.data()).destination),
            "an echo reply was sent to a group");
    require(packet[20] == std::byte{0} && sim::naive_sum(packet.subspan(20)) == 0xffff,
            "a wrong echo reply was sent");
  }
  void check_icmp6(std::span<const std::byte> packet) {
    require(packet.size() >= 48, "a short IPv6 packet was sent");
    const auto ip = load<wire::Ipv6Header>(packet.data());
    require(
        ip.version() == 6 && ip.payload_length.get() + 40u == packet.size() && ip.next_header == 58,
        "a wrong IPv6 header was sent");
    const auto type = load<wire::Icmpv6Header>(&packet[40]).type;
    const std::uint32_t pseudo = 58 + ip.payload_length.get();
    require(
        sim::naive_sum(packet.subspan(40), sim::naive_sum(packet.subspan(8, 32), pseudo)) == 0xffff,
        "a wrong checksum of ICMPv6 was sent");
    const bool is_discovery = type >= wire::Icmpv6Type::router_solicitation;
    require(!is_discovery || ip.hop_limit == wire::kNdHopLimit, "discovery of few hops was sent");
    require(is_discovery || type == wire::Icmpv6Type::echo_reply, "unknown ICMPv6 was sent");
    const bool is_probe =
        wire::is_ipv6_unspecified(ip.source) && type == wire::Icmpv6Type::neighbor_solicitation;
    require(is_probe || interface_->is_own({ip.source}), "ICMPv6 of another was sent");
  }

  fuzz::Input& input_;
  sim::SimWire wire_;
  sim::HeapPacketMemory memory_;
  sim::SimPort port_;
  net::InterfaceConfig config_;
  std::unique_ptr<net::Interface> interface_;
  fuzz::NeighbourFrames frames_;
};

void run(const std::uint8_t* data, std::size_t size) {
  constexpr int kStepsMax = 96;
  fuzz::Input input(data, size);
  Station station(input.u16(), input);
  for (int i = 0; i < kStepsMax && !input.empty(); ++i) station.step();
  station.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::within_budget([=] { run(data, size); });
}
