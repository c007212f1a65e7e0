#include "control/selftest/prober.hpp"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/icmp.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/tcp.hpp"

namespace pollux::selftest {
namespace {

constexpr std::size_t kEthernet = net::kEthernetHeaderBytes;
constexpr std::size_t kIpAt = kEthernet;
constexpr std::size_t kDataAt = kEthernet + sizeof(wire::Ipv4Header);
constexpr std::uint8_t kTimeToLive = 64;
constexpr Duration kPortCheckInterval = 10ms;

wire::Ipv4Header ip_header(const net::IpAddress& source, const net::IpAddress& destination,
                           std::uint8_t protocol, std::size_t total) {
  wire::Ipv4Header ip;
  ip.total_length.set(static_cast<std::uint16_t>(total));
  ip.flags_fragment_offset.set(wire::Ipv4Header::kDontFragment);
  ip.time_to_live = kTimeToLive;
  ip.protocol = protocol;
  ip.source.set(source.v4_host());
  ip.destination.set(destination.v4_host());
  return ip;
}

}  // namespace

Prober::Prober(SpyPort& port, platform::PacketMemory& memory, const net::InterfaceConfig& config,
               std::span<std::byte> store, std::function<Instant()> clock)
    : port_(port),
      memory_(memory),
      config_(config),
      store_(store),
      clock_(std::move(clock)),
      interface_(config, port, memory, clock_()) {
  std::random_device random;
  identifier_ = static_cast<std::uint16_t>(random());
  local_port_ = static_cast<std::uint16_t>(32768 + random() % 28000);
  probe_sequence_ = random();
  for (std::size_t i = 0; i < store_.size(); ++i) store_[i] = static_cast<std::byte>(i * 151 + 7);
}

bool Prober::turn() {
  std::array<net::TcpDatagram, 32> datagrams;
  std::size_t frames = 0;
  const Instant now = clock_();
  const std::size_t count = interface_.receive(now, datagrams, frames);
  for (std::size_t i = 0; i < count; ++i) {
    on_segment(datagrams[i]);
    for (const platform::RxSegment& piece : datagrams[i].payload) {
      void* handle = piece.handle;
      memory_.release({&handle, 1});
    }
  }
  if (now >= next_port_check_) {
    port_state_ = interface_.check_port(now);
    next_port_check_ = now + kPortCheckInterval;
  }
  interface_.run_timers(now);
  interface_.flush();
  return frames != 0;
}

bool Prober::run(const std::function<bool()>& done, Duration limit) {
  const Instant end = clock_() + limit;
  while (!done()) {
    if (clock_() >= end) return false;
    turn();
  }
  return true;
}

std::optional<net::Route> Prober::route_to(const net::IpAddress& target) {
  net::Route route;
  if (interface_.route(target, clock_(), route) != net::RouteState::resolved) return std::nullopt;
  return route;
}

bool Prober::resolve(const net::IpAddress& target, Duration limit) {
  return run([&] { return route_to(target).has_value(); }, limit);
}

bool Prober::ping(const net::IpAddress& target, std::size_t ip_bytes, Duration limit) {
  const auto route = route_to(target);
  if (!route || !run([this] { return interface_.can_send(1); }, limit)) return false;
  // Of the interface, as all that is sent through it: there is room for a VLAN tag in front.
  const platform::FrameBuffer buffer = interface_.take_buffer();
  if (buffer.data == nullptr) return false;
  const std::size_t bytes = kEthernet + ip_bytes;
  if (buffer.capacity < bytes) {
    interface_.give_back(buffer);
    return false;
  }
  std::memcpy(buffer.data, route->ethernet.data(), kEthernet);
  wire::Ipv4Header ip = ip_header(config_.address, target, wire::kProtocolIcmp, ip_bytes);
  pollux::store(buffer.data + kIpAt, ip);
  wire::InternetSum ip_sum;
  ip_sum.add({buffer.data + kIpAt, sizeof(ip)});
  ip.header_checksum = ip_sum.checksum();
  pollux::store(buffer.data + kIpAt, ip);

  wire::IcmpHeader icmp;
  icmp.type = wire::IcmpHeader::kEchoRequest;
  icmp.identifier.set(identifier_);
  icmp.sequence.set(++sequence_);
  for (std::size_t i = kDataAt + sizeof(icmp); i < bytes; ++i)
    buffer.data[i] = static_cast<std::byte>(i);
  pollux::store(buffer.data + kDataAt, icmp);
  wire::InternetSum sum;
  sum.add({buffer.data + kDataAt, bytes - kDataAt});
  icmp.checksum = sum.checksum();
  pollux::store(buffer.data + kDataAt, icmp);

  platform::TxSegment frame{
      .data = buffer.data, .length = static_cast<std::uint32_t>(bytes), .handle = buffer.handle};
  interface_.send({&frame, 1});
  return run(
      [&] {
        const auto& replies = port_.replies();
        return std::any_of(replies.begin(), replies.end(), [&](const EchoReply& reply) {
          return reply.identifier == identifier_ && reply.sequence == sequence_ &&
                 reply.ip_bytes == ip_bytes;
        });
      },
      limit);
}

bool Prober::send_segment(const net::Endpoint& target, std::uint8_t flags, std::uint32_t sequence,
                          std::span<const std::uint32_t> pieces) {
  const auto route = route_to(target.address);
  if (!route || !interface_.can_send(pieces.size() + 1)) return false;
  const platform::FrameBuffer buffer = interface_.take_buffer();
  if (buffer.data == nullptr) return false;
  std::size_t total = sizeof(wire::Ipv4Header) + wire::kTcpHeaderBytes;
  for (const std::uint32_t piece : pieces) total += piece;
  std::memcpy(buffer.data, route->ethernet.data(), kEthernet);
  pollux::store(buffer.data + kIpAt,
                ip_header(config_.address, target.address, wire::kProtocolTcp, total));
  wire::TcpHeader tcp;
  tcp.source_port.set(local_port_);
  tcp.destination_port.set(target.port);
  tcp.sequence_number.set(sequence);
  tcp.set_header_bytes(wire::kTcpHeaderBytes);
  tcp.flags = flags;
  tcp.window.set(1024);
  pollux::store(buffer.data + kDataAt, tcp);
  std::vector<platform::TxSegment> frame = {
      {.data = buffer.data,
       .length = static_cast<std::uint32_t>(kDataAt + wire::kTcpHeaderBytes),
       .handle = buffer.handle}};
  std::size_t at = 0;
  for (const std::uint32_t piece : pieces) {
    frame.push_back({.data = store_.data() + at, .length = piece, .tracker = memory_.tracker(0)});
    at += piece;
  }
  interface_.send_tcp(frame, wire::kTcpHeaderBytes);
  return true;
}

TcpAnswer Prober::tcp(const net::Endpoint& target, std::span<const std::uint32_t> pieces,
                      Duration limit) {
  ++local_port_;
  probe_target_ = target;
  probe_sequence_ += 0x1'0001;
  probe_bytes_ = 0;
  for (const std::uint32_t piece : pieces) probe_bytes_ += piece;
  answer_ = TcpAnswer::none;
  if (!send_segment(target, wire::kTcpSyn, probe_sequence_, pieces)) return TcpAnswer::none;
  run([&] { return answer_ != TcpAnswer::none; }, limit);
  // RFC 9293 3.5.2: the other end keeps nothing of it.
  if (answer_ == TcpAnswer::accepted) send_segment(target, wire::kTcpRst, probe_sequence_ + 1, {});
  turn();
  return answer_;
}

void Prober::on_segment(const net::TcpDatagram& datagram) {
  const auto tcp = load<wire::TcpHeader>(datagram.header.data());
  const std::uint32_t taken = tcp.acknowledgment_number.get() - probe_sequence_;
  const bool is_ours =
      datagram.source == probe_target_.address && tcp.source_port.get() == probe_target_.port &&
      tcp.destination_port.get() == local_port_ && (taken == 1 || taken == 1 + probe_bytes_);
  if (!is_ours || (tcp.flags & wire::kTcpAck) == 0) return;
  if ((tcp.flags & wire::kTcpRst) != 0) answer_ = TcpAnswer::refused;
  if ((tcp.flags & wire::kTcpSyn) != 0) answer_ = TcpAnswer::accepted;
}

std::uint32_t Prober::in_flight() const noexcept { return memory_.in_flight(*memory_.tracker(0)); }

}  // namespace pollux::selftest
