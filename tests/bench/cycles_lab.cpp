#include "tests/bench/cycles_lab.hpp"

#include <algorithm>
#include <cstring>

#include "dataplane/base/assert.hpp"
#include "dataplane/wire/arp.hpp"
#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/ethernet.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/tcp.hpp"
#include "dataplane/wire/tcp_options.hpp"

namespace pollux::bench {
namespace {

constexpr net::IpAddress kOurs = net::IpAddress::v4(10, 99, 0, 1);
constexpr net::IpAddress kTheirs = net::IpAddress::v4(10, 99, 0, 2);
constexpr platform::MacAddress kOurMac{2, 0, 0, 0, 0, 1};
constexpr platform::MacAddress kTheirMac{2, 0, 0, 0, 0, 2};
constexpr std::uint16_t kPort = 3260;
constexpr std::uint8_t kWindowShift = 7;
constexpr std::size_t kSlots = 64;
constexpr std::size_t kSlotBytes = 10240;
constexpr std::size_t kIpAt = net::kEthernetHeaderBytes;
constexpr std::size_t kTcpAt = kIpAt + net::kIpv4HeaderBytes;
constexpr std::size_t kPayloadBytesMax = std::size_t{8} << 20;
constexpr Duration kTurn = std::chrono::microseconds(20);

}  // namespace

FlatMemory::FlatMemory(std::size_t buffers)
    : buffers_(buffers), bytes_(new std::byte[buffers * kBufferBytes]()) {
  free_.reserve(buffers);
  for (std::size_t i = buffers; i-- != 0;) free_.push_back(bytes_.get() + i * kBufferBytes);
}

std::size_t FlatMemory::allocate(std::span<platform::FrameBuffer> buffers) noexcept {
  const std::size_t n = std::min(buffers.size(), free_.size());
  for (std::size_t i = 0; i < n; ++i) {
    std::byte* const at = free_.back();
    free_.pop_back();
    buffers[i] = {at, kBufferBytes, at};
  }
  return n;
}

void FlatMemory::release(std::span<void* const> handles) noexcept {
  for (void* handle : handles) {
    auto* const at = static_cast<std::byte*>(handle);
    if (at >= bytes_.get() && at < bytes_.get() + buffers_ * kBufferBytes)
      free_.push_back(at);
    else
      ++received_back_;
  }
}

std::size_t MemoryPort::receive(std::span<platform::RxSegment> segments) noexcept {
  if (next_ == ready_.size()) return 0;
  const std::uint64_t start = __rdtsc();
  const std::size_t n = std::min(segments.size(), ready_.size() - next_);
  std::copy_n(ready_.begin() + static_cast<std::ptrdiff_t>(next_), n, segments.begin());
  next_ += n;
  if (next_ == ready_.size()) {
    ready_.clear();
    next_ = 0;
  }
  cycles_ += __rdtsc() - start;
  return n;
}

std::size_t MemoryPort::transmit(std::span<const platform::TxSegment> segments) noexcept {
  const std::uint64_t start = __rdtsc();
  sent_.insert(sent_.end(), segments.begin(), segments.end());
  cycles_ += __rdtsc() - start;
  return segments.size();
}

Lab::Lab(const LabOptions& options)
    : options_(options),
      memory_(std::make_unique<FlatMemory>(4096)),
      ends_(options.connections),
      end_of_port_(65536),
      frames_(kSlots * kSlotBytes),
      payload_(kPayloadBytesMax) {
  platform::PortInfo info;
  info.mac = kOurMac;
  info.mtu = options.mtu;
  info.tx_ip_checksum = info.tx_l4_checksum = options.tx_sums_offloaded;
  port_ = std::make_unique<MemoryPort>(info);
  net::InterfaceConfig config;
  config.address = kOurs;
  config.prefix_length = 24;
  interface_ = std::make_unique<net::Interface>(config, *port_, *memory_, now_);
  tcp::EngineLimits limits;
  limits.connections = options.connections;
  engine_ = std::make_unique<tcp::Engine>(limits, tcp::EngineTimers{}, *interface_, *memory_,
                                          Random{1}, now_);
  for (std::uint32_t c = 0; c < options.connections; ++c) open(c);
  run_until_still();
}

std::uint32_t Lab::segment_bytes() const noexcept { return engine_->segment_bytes(ends_[0].id); }

std::uint32_t Lab::time_ms() const noexcept {
  return static_cast<std::uint32_t>(now_.time_since_epoch() / 1ms);
}

void Lab::open(std::uint32_t c) {
  FarEnd& end = ends_[c];
  tcp::OpenRequest request;
  request.remote = {kTheirs, kPort};
  request.owner = c;
  POLLUX_ASSERT(engine_->open(request, now_, end.id) == tcp::OpenError::none);
  end.port = engine_->local(end.id).port;
  end_of_port_[end.port] = c;
  end.snd_nxt = 0x1000'0000 + c;
  syn_came_ = false;
  for (int tries = 0; tries < 8 && !syn_came_; ++tries) run_until_still();
  POLLUX_ASSERT(syn_came_);
  std::array<std::byte, 40> bytes;
  const std::size_t n =
      wire::write_syn_options(bytes.data(), {.mss = static_cast<std::uint16_t>(options_.mtu - 40),
                                             .window_scale_offered = true,
                                             .sack_permitted = true,
                                             .timestamps = true,
                                             .window_scale = kWindowShift,
                                             .tsval = time_ms(),
                                             .tsecr = end.tsecr});
  lay(c, wire::kTcpSyn | wire::kTcpAck, 0, {bytes.data(), n});
  end.snd_nxt += 1;
  run_until_still();
  POLLUX_ASSERT(engine_->state(end.id) == tcp::State::established);
}

void Lab::lay(std::uint32_t c, std::uint8_t flags, std::uint32_t payload_bytes,
              std::span<const std::byte> options) {
  FarEnd& end = ends_[c];
  std::byte* const at = frames_.data() + next_slot_ * kSlotBytes;
  next_slot_ = (next_slot_ + 1) % kSlots;
  const std::size_t tcp_bytes = wire::kTcpHeaderBytes + options.size() + payload_bytes;
  POLLUX_ASSERT(kTcpAt + tcp_bytes <= kSlotBytes);
  wire::EthernetHeader ethernet{.destination = kOurMac, .source = kTheirMac};
  ethernet.ether_type.set(wire::kEtherTypeIpv4);
  store(at, ethernet);
  wire::Ipv4Header ip;
  ip.total_length.set(static_cast<std::uint16_t>(net::kIpv4HeaderBytes + tcp_bytes));
  ip.flags_fragment_offset.set(wire::Ipv4Header::kDontFragment);
  ip.time_to_live = 64;
  ip.protocol = wire::kProtocolTcp;
  ip.source.set(kTheirs.v4_host());
  ip.destination.set(kOurs.v4_host());
  wire::InternetSum ip_sum;
  std::array<std::byte, sizeof ip> ip_bytes;
  store(ip_bytes.data(), ip);
  ip_sum.add(ip_bytes);
  ip.header_checksum = ip_sum.checksum();
  store(at + kIpAt, ip);
  wire::TcpHeader tcp;
  tcp.source_port.set(kPort);
  tcp.destination_port.set(end.port);
  tcp.sequence_number.set(end.snd_nxt);
  tcp.acknowledgment_number.set(end.acked);
  tcp.set_header_bytes(wire::kTcpHeaderBytes + options.size());
  tcp.flags = flags;
  tcp.window.set(0xffff);
  store(at + kTcpAt, tcp);
  std::memcpy(at + kTcpAt + wire::kTcpHeaderBytes, options.data(), options.size());
  std::uint16_t rx_flags = platform::kRxIpChecksumGood | platform::kRxL4ChecksumGood;
  if (!options_.rx_sums_checked) {
    rx_flags = 0;
    auto sum = wire::InternetSum::pseudo_header(ip.source, ip.destination, wire::kProtocolTcp,
                                                static_cast<std::uint16_t>(tcp_bytes));
    sum.add({at + kTcpAt, tcp_bytes});
    tcp.checksum = sum.checksum();
    store(at + kTcpAt, tcp);
  }
  port_->ready().push_back({.data = at,
                            .length = static_cast<std::uint32_t>(kTcpAt + tcp_bytes),
                            .flags = rx_flags,
                            .handle = at});
  ++frames_laid_;
}

void Lab::lay_segment(std::uint32_t c, std::uint32_t payload_bytes) {
  std::array<std::byte, wire::kTimestampsBytes> options;
  wire::write_timestamps(options.data(), time_ms(), ends_[c].tsecr);
  lay(c, wire::kTcpAck, payload_bytes, options);
  ends_[c].snd_nxt += payload_bytes;
}

void Lab::lay_ack(std::uint32_t c, std::uint32_t bytes) {
  ends_[c].acked += bytes;
  lay_segment(c, 0);
}

void Lab::answer_arp(const platform::TxSegment& request) {
  const auto asked = load<wire::ArpPacket>(request.data + kIpAt);
  if (asked.op.get() != wire::ArpPacket::kRequest || asked.tpa.get() != kTheirs.v4_host()) return;
  std::byte* const at = frames_.data() + next_slot_ * kSlotBytes;
  next_slot_ = (next_slot_ + 1) % kSlots;
  wire::EthernetHeader ethernet{.destination = kOurMac, .source = kTheirMac};
  ethernet.ether_type.set(wire::kEtherTypeArp);
  store(at, ethernet);
  wire::ArpPacket reply;
  reply.op.set(wire::ArpPacket::kReply);
  reply.sha = kTheirMac;
  reply.spa.set(kTheirs.v4_host());
  reply.tha = kOurMac;
  reply.tpa.set(kOurs.v4_host());
  store(at + kIpAt, reply);
  port_->ready().push_back({.data = at, .length = 60, .handle = at});
  ++frames_laid_;
}

void Lab::read_frame(std::span<const platform::TxSegment> frame) {
  const platform::TxSegment& head = frame.front();
  if (load<wire::EthernetHeader>(head.data).ether_type.get() == wire::kEtherTypeArp)
    return answer_arp(head);
  const auto ip = load<wire::Ipv4Header>(head.data + kIpAt);
  const auto tcp = load<wire::TcpHeader>(head.data + kTcpAt);
  FarEnd& end = ends_[end_of_port_[tcp.source_port.get()]];
  const std::size_t header = tcp.header_bytes();
  wire::TcpOptions options;
  POLLUX_ASSERT(wire::parse_tcp_options(
                    {head.data + kTcpAt + wire::kTcpHeaderBytes, header - wire::kTcpHeaderBytes},
                    options) == wire::OptionsVerdict::good);
  const bool is_syn = (tcp.flags & wire::kTcpSyn) != 0;
  const auto payload =
      static_cast<std::uint32_t>(ip.total_length.get() - net::kIpv4HeaderBytes - header);
  end.rcv_nxt = tcp.sequence_number.get() + payload + (is_syn ? 1u : 0u);
  if (is_syn) end.acked = end.rcv_nxt;
  syn_came_ |= is_syn;
  end.tsecr = options.tsval;
}

std::size_t Lab::collect() {
  std::vector<platform::TxSegment>& sent = port_->sent();
  std::size_t frames = 0;
  for (std::size_t first = 0; first < sent.size(); ++frames) {
    std::size_t end = first;
    while ((sent[end].flags & platform::kTxMore) != 0) ++end;
    read_frame({&sent[first], end + 1 - first});
    first = end + 1;
  }
  segments_sent_ += sent.size();
  for (platform::TxSegment& segment : sent)
    if (segment.handle != nullptr) memory_->release({&segment.handle, 1});
  sent.clear();
  return frames;
}

void Lab::run_until_still() {
  for (int i = 0; i < 64; ++i) {
    turn();
    if (collect() == 0 && port_->ready().empty()) return;
  }
}

void Lab::send_untimed(std::uint32_t c, std::uint32_t bytes, std::uint32_t pieces) {
  send(c, bytes, pieces);
  collect();
}

void Lab::acknowledge_all(std::uint32_t c) {
  ends_[c].acked = ends_[c].rcv_nxt;
  lay_segment(c, 0);
  run_until_still();
}

/// The order of Worker::poll_once() on one path.
void Lab::run_turn() noexcept {
  std::size_t frames = 0;
  const std::size_t count = interface_->receive(now_, datagrams_, frames);
  engine_->input(std::span(datagrams_).first(count), now_);
  interface_->run_timers(now_);
  engine_->run_timers(now_, 64);
  const std::size_t events = engine_->take_events(events_);
  for (std::size_t i = 0; i < events; ++i)
    if ((events_[i].bits & tcp::kReadable) != 0)
      engine_->consume(events_[i].id, engine_->readable(events_[i].id));
  engine_->output(now_);
  interface_->flush();
}

std::uint64_t Lab::turn() {
  now_ += kTurn;
  const std::uint64_t port_before = port_->cycles();
  const std::uint64_t start = __rdtsc();
  run_turn();
  const std::uint64_t spent = __rdtsc() - start;
  return spent - (port_->cycles() - port_before);
}

std::uint64_t Lab::idle_turns(int count) {
  const std::uint64_t start = __rdtsc();
  for (int i = 0; i < count; ++i) {
    now_ += 1us;
    run_turn();
  }
  return __rdtsc() - start;
}

std::uint64_t Lab::send(std::uint32_t c, std::uint32_t bytes, std::uint32_t pieces) {
  POLLUX_ASSERT(std::size_t{bytes} * pieces <= payload_.size());
  now_ += kTurn;
  const std::uint64_t port_before = port_->cycles();
  const std::uint64_t start = __rdtsc();
  for (std::uint32_t i = 0; i < pieces; ++i)
    engine_->send_external(ends_[c].id, payload_.data() + std::size_t{i} * bytes, bytes, nullptr,
                           &reference_);
  while (engine_->output(now_) != 0) interface_->flush();
  const std::uint64_t spent = __rdtsc() - start;
  return spent - (port_->cycles() - port_before);
}

}  // namespace pollux::bench
