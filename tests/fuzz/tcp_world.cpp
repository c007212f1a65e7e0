#include "tests/fuzz/tcp_world.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/net/counters.hpp"
#include "dataplane/wire/tcp.hpp"
#include "dataplane/wire/tcp_options.hpp"
#include "tests/support/frame_checksum.hpp"
#include "tests/support/stream_content.hpp"

namespace pollux::fuzz {
namespace {

using tcp::State;

constexpr std::uint64_t kOurStream = 1;
constexpr std::uint64_t kPeerStream = 2;
constexpr Instant kStart{1000s};
/// More frames than this in one turn are a storm: cwnd and the limits are far below.
constexpr std::size_t kFramesPerTurn = 256;

void put32(std::vector<std::uint8_t>& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<std::uint8_t>(value >> shift));
}

sim::TcpHostOptions host_options(const WorldOptions& world) {
  sim::TcpHostOptions options;
  if (world.v6) {
    options.config.address6 = {{0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
    options.config.dad_transmits = 0;
  } else {
    options.config.address = net::IpAddress::v4(10, 99, 0, 1);
  }
  options.config.announce = false;
  options.port.mac = kOurMac;
  options.port.scatter = world.scatter;
  // Whether a checksum is right is for fuzz_frame and fuzz_checksum; here nothing may stop at it.
  options.port.rx_checksum = sim::RxChecksum::assumed_good;
  options.port.tx_segments_max = 16;
  options.memory = {.buffers = 256, .buffer_bytes = 2048, .trackers = 1};
  options.limits = {.connections = 2,
                    .receive_window_bytes = world.small_limits ? 8u * 1024 : 64u * 1024,
                    .receive_views = world.small_limits ? 16u : 64u,
                    .receive_views_total = world.small_limits ? 20u : 0xffff'ffffu,
                    .receive_views_least = 8,
                    .receive_window_least = 4096,
                    .out_of_order_views = world.small_limits ? 8u : 32u,
                    .send_descriptors = 32,
                    .transmissions = 128,
                    .send_inline_bytes = 16 * 1024,
                    .congestion = {.algorithm = world.congestion, .ecn = world.ecn},
                    .recovery = {.rack = world.rack, .tail_loss_probe = world.rack},
                    .burst_bytes = 16 * 1024,
                    .copy_cells = world.small_limits ? 4u : 64u,
                    .time_wait_records = 4};
  return options;
}

}  // namespace

WorldOptions WorldOptions::from(std::uint16_t bits) {
  const auto bit = [bits](unsigned n) { return (bits >> n & 1) != 0; };
  WorldOptions options;
  options.v6 = bit(0);
  options.sack = !bit(1);
  options.timestamps = !bit(2);
  options.window_scale = !bit(3);
  options.scatter = bit(4);
  options.small_limits = bit(5);
  options.rack = !bit(6);
  options.ecn = bit(7);
  options.keepalive = bit(8);
  options.passive = bit(9);
  options.congestion = bit(10)   ? tcp::CongestionAlgorithm::dctcp
                       : bit(11) ? tcp::CongestionAlgorithm::newreno
                                 : tcp::CongestionAlgorithm::cubic;
  return options;
}

sim::Frame ip_frame(const net::IpAddress& from, const net::IpAddress& to, std::uint8_t protocol,
                    std::uint8_t hop_limit, std::span<const std::byte> payload, std::uint8_t ecn) {
  const bool v4 = from.is_v4();
  const std::size_t ip_bytes = v4 ? net::kIpv4HeaderBytes : net::kIpv6HeaderBytes;
  sim::Frame frame(net::kEthernetHeaderBytes + ip_bytes + payload.size());
  std::memcpy(&frame[0], kOurMac.data(), 6);
  std::memcpy(&frame[6], kPeerMac.data(), 6);
  store(&frame[12], Be16{static_cast<std::uint16_t>(v4 ? 0x0800 : 0x86dd)});
  std::byte* ip = &frame[net::kEthernetHeaderBytes];
  ip[0] = std::byte{static_cast<std::uint8_t>(v4 ? 0x45 : 0x60)};
  if (v4) {
    ip[1] = std::byte{ecn};
    store(ip + 2, Be16{static_cast<std::uint16_t>(ip_bytes + payload.size())});
    ip[8] = std::byte{hop_limit};
    ip[9] = std::byte{protocol};
    std::memcpy(ip + 12, from.bytes.data() + 12, 4);
    std::memcpy(ip + 16, to.bytes.data() + 12, 4);
  } else {
    ip[1] = std::byte{static_cast<std::uint8_t>(ecn << 4)};
    store(ip + 4, Be16{static_cast<std::uint16_t>(payload.size())});
    ip[6] = std::byte{protocol};
    ip[7] = std::byte{hop_limit};
    std::memcpy(ip + 8, from.bytes.data(), 16);
    std::memcpy(ip + 24, to.bytes.data(), 16);
  }
  std::copy(payload.begin(), payload.end(),
            frame.end() - static_cast<std::ptrdiff_t>(payload.size()));
  if (v4) sim::write_ip_checksum(frame);
  return frame;
}

TcpWorld::TcpWorld(const WorldOptions& options) : wire(1, kStart), options_(options), now_(kStart) {
  for (std::size_t from : {0u, 1u}) wire.faults(from) = {.delay = Duration::zero()};
  const sim::TcpHostOptions host = host_options(options);
  ours_ = options.v6 ? host.config.address6 : host.config.address;
  peers_ = ours_;
  peers_.bytes[15] = 2;
  host_ = std::make_unique<sim::TcpHost>(wire, 0, host);
  host_->engine.set_listener(&listener_);
  checks_ = std::make_unique<sim::EngineChecks>(host_->engine);
}

const tcp::Connection* TcpWorld::connection() const {
  const auto& impl = tcp::EngineInspector::of(host_->engine);
  for (std::uint32_t slot = 0; slot < impl.limits.connections; ++slot)
    if (impl.connections[slot].in_use) return &impl.connections[slot];
  return nullptr;
}

tcp::ConnectionId TcpWorld::id() const {
  const tcp::Connection* c = connection();
  return c == nullptr ? tcp::ConnectionId{} : tcp::ConnectionId{c->slot, c->generation};
}

/// The owner may call the engine: it has opened the connection or was told of it.
bool TcpWorld::is_mine() const {
  const tcp::Connection* c = connection();
  return c != nullptr && !c->released && (!c->is_passive || id() == announced_);
}

void TcpWorld::check(const std::string& sentence) const {
  if (!sentence.empty()) fail(sentence.c_str());
}

// --- The peer

std::uint32_t TcpWorld::peer_clock() const {
  return static_cast<std::uint32_t>(now_.time_since_epoch() / 1ms) + 0xfff0'0000u;
}

std::vector<std::uint8_t> TcpWorld::timestamps(std::uint32_t tsval, std::uint32_t tsecr) const {
  std::vector<std::uint8_t> out{1, 1, 8, 10};
  put32(out, tsval);
  put32(out, tsecr);
  return out;
}

std::vector<std::uint8_t> TcpWorld::sack(const std::vector<wire::SackBlock>& blocks) const {
  std::vector<std::uint8_t> out{1, 1, 5, static_cast<std::uint8_t>(2 + 8 * blocks.size())};
  for (const wire::SackBlock& block : blocks) {
    put32(out, block.left.raw());
    put32(out, block.right.raw());
  }
  return out;
}

std::vector<std::uint8_t> TcpWorld::syn_options() const {
  std::vector<std::uint8_t> out{2, 4, 1460 >> 8, 1460 & 0xff};
  if (options_.sack) out.insert(out.end(), {1, 1, 4, 2});
  if (options_.timestamps) {
    const auto stamps = timestamps(peer_clock(), tsval_seen_);
    out.insert(out.end(), stamps.begin(), stamps.end());
  }
  if (options_.window_scale) out.insert(out.end(), {1, 3, 3, 7});
  return out;
}

sim::Frame TcpWorld::make(const PeerSegment& segment) const {
  std::vector<std::uint8_t> options = segment.options;
  options.resize(std::min<std::size_t>(options.size(), 40));
  while (options.size() % 4 != 0) options.push_back(0);
  wire::TcpHeader header;
  header.source_port.set(kPeerPort);
  header.destination_port.set(local_port_);
  header.sequence_number.set(segment.seq.raw());
  header.acknowledgment_number.set(segment.ack.raw());
  header.flags = segment.flags;
  header.window.set(segment.window);
  header.set_header_bytes(wire::kTcpHeaderBytes + options.size());
  sim::Frame tcp(wire::kTcpHeaderBytes + options.size() + segment.length);
  store(tcp.data(), header);
  if (!options.empty()) std::memcpy(&tcp[wire::kTcpHeaderBytes], options.data(), options.size());
  if (segment.length != 0) {
    const std::uint32_t position = segment.seq.distance_from(TcpSeq{kPeerIss + 1}) +
                                   ((segment.flags & wire::kTcpSyn) != 0 ? 1u : 0u);
    const auto content = sim::StreamContent::instance().at(kPeerStream, position, segment.length);
    std::memcpy(&tcp[wire::kTcpHeaderBytes + options.size()], content.data(), content.size());
  }
  return ip_frame(peers_, ours_, 6, 64, tcp, segment.ecn);
}

void TcpWorld::inject(sim::Frame frame) {
  wire.send(1, std::move(frame));
  wire.advance(now_);
}

PeerSegment TcpWorld::honest() const {
  PeerSegment segment{.seq = last_rcv_nxt_, .ack = last_snd_nxt_};
  if (const tcp::Connection* c = connection(); c != nullptr && c->state == State::syn_sent)
    segment.seq = TcpSeq{kPeerIss};
  if (options_.timestamps) segment.options = timestamps(peer_clock(), tsval_seen_);
  return segment;
}

void TcpWorld::peer_syn(bool with_ack) {
  constexpr unsigned kAck = wire::kTcpAck;
  receive({.flags = static_cast<std::uint8_t>(wire::kTcpSyn | (with_ack ? kAck : 0u) |
                                              (options_.ecn ? (with_ack ? 0x40u : 0xc0u) : 0u)),
           .seq = TcpSeq{kPeerIss},
           .ack = with_ack ? last_snd_nxt_ : TcpSeq{},
           .options = syn_options()});
}

void TcpWorld::peer_fin(bool acknowledges) {
  PeerSegment fin = honest();
  fin.flags = wire::kTcpAck | wire::kTcpFin;
  if (const tcp::Connection* c = connection(); c != nullptr && !acknowledges) fin.ack = c->snd_una;
  receive(fin);
}

void TcpWorld::acknowledge_all() {
  for (int i = 0; i < 8; ++i) {
    const tcp::Connection* c = connection();
    if (c == nullptr || (c->flight() == 0 && c->unsent() == 0 && (!c->fin_queued || c->fin_sent)))
      return;
    receive(honest());
  }
}

/// Reports that bytes behind a hole of 1000 bytes have arrived, so many times.
void TcpWorld::duplicates(unsigned count) {
  for (unsigned i = 1; i <= count; ++i) {
    const tcp::Connection* c = connection();
    if (c == nullptr || c->flight() < 2000) return;
    PeerSegment duplicate = honest();
    duplicate.ack = c->snd_una;
    if (options_.sack) {
      const std::uint32_t end = std::min(c->flight(), 1000 + 1448 * i);
      const auto blocks = sack({{c->snd_una + 1000, c->snd_una + end}});
      duplicate.options.insert(duplicate.options.end(), blocks.begin(), blocks.end());
    }
    receive(duplicate);
  }
}

void TcpWorld::set_up(std::uint8_t situation) {
  const auto has = [situation](Situation bit) { return (situation & bit) != 0; };
  if (has(kUnread)) {
    PeerSegment data = honest();
    data.length = 700;
    receive(data);
  }
  if (has(kOwnWindow)) {
    for (int i = 0; i < 70; ++i) {
      const tcp::Connection* c = connection();
      if (c == nullptr || c->rcv_wnd() == 0) break;
      PeerSegment data = honest();
      data.length = std::min<std::uint32_t>(c->rcv_wnd(), 1400);
      receive(data);
    }
  }
  if (has(kInFlight) || has(kRecovery) || has(kReported) || has(kTimeout)) send(10'000, true);
  if (has(kRecovery)) duplicates(3);
  if (has(kReported)) duplicates(1);
  if (has(kZeroWindow)) {
    PeerSegment closed = honest();
    closed.window = 0;
    receive(closed);
    send(3000, false);
  }
  if (has(kTimeout)) advance(1500ms);
  if (has(kOutOfOrder)) {
    for (const std::uint32_t at : {300u, 900u}) {
      PeerSegment data = honest();
      data.seq += at;
      data.length = 200;
      receive(data);
    }
  }
}

void TcpWorld::connect() {
  if (options_.passive) {
    local_port_ = kListenPort;
    peer_syn(false);
  } else {
    open();
  }
}

void TcpWorld::enter(State state, std::uint8_t situation) {
  if (state == State::closed) return;
  if (state == State::listen) {
    local_port_ = kListenPort;
    return;
  }
  connect();
  if (state == State::syn_sent) return;
  if (state == State::syn_received) {
    if (!options_.passive) peer_syn(false);
    return;
  }
  if (options_.passive)
    receive(honest());
  else
    peer_syn(true);
  set_up(situation);
  const bool peer_first = state == State::close_wait || state == State::last_ack;
  if (peer_first) peer_fin(true);
  if (state == State::established || state == State::close_wait) return;
  if (is_mine()) host_->engine.end_sending(id(), now_);
  turn();
  if (state == State::fin_wait_1 || state == State::last_ack) return;
  if (state == State::closing) return peer_fin(false);
  acknowledge_all();
  if (state == State::time_wait) peer_fin(true);
}

void TcpWorld::path_error(net::PathErrorKind kind, std::uint16_t mtu, std::uint32_t at) {
  const tcp::Connection* c = connection();
  if (c == nullptr) return;
  host_->engine.on_path_error({.kind = kind,
                               .mtu = mtu,
                               .quoted_bytes = static_cast<std::uint16_t>(c->mss + 40),
                               .source = ours_,
                               .destination = peers_,
                               .source_port = local_port_,
                               .destination_port = kPeerPort,
                               .sequence = (c->snd_una + at).raw()},
                              now_);
}

// --- The owner

void TcpWorld::open() {
  if (connection() != nullptr) return;
  tcp::OpenRequest request{.remote = {peers_, kPeerPort}, .owner = 7};
  request.user_timeout = 100s;
  if (options_.keepalive)
    request.keepalive = {.enabled = true, .idle = 1s, .interval = 1s, .count = 3};
  tcp::ConnectionId opened;
  if (host_->engine.open(request, now_, opened) != tcp::OpenError::none) return;
  local_port_ = host_->engine.local(opened).port;
  for (int i = 0; i < 3; ++i) turn();  // the neighbour is asked first
}

void TcpWorld::send(std::uint32_t bytes, bool external) {
  if (!is_mine()) return;
  const tcp::Connection* c = connection();
  if (c->fin_queued || c->state == State::closed) return;
  tcp::Engine& engine = host_->engine;
  const tcp::SendSpace space = engine.send_space(id());
  bytes = std::min<std::uint32_t>(bytes, external ? 64 * 1024 : space.inline_bytes);
  if (bytes == 0 || space.descriptors == 0) return;
  const auto content = sim::StreamContent::instance().at(kOurStream, sent_bytes_, bytes);
  if (external)
    engine.send_external(id(), content.data(), bytes, host_->memory.tracker(0), &reference_);
  else
    engine.send_inline(id(), content);
  sent_bytes_ += bytes;
  turn();
}

void TcpWorld::check_read(std::span<const std::byte> bytes) {
  if (!check_content_) return;
  require(sim::StreamContent::instance().matches(
              kPeerStream, read_next_.distance_from(TcpSeq{kPeerIss + 1}), bytes),
          "a byte was read that the peer did not send there");
  read_next_ += static_cast<std::uint32_t>(bytes.size());
}

void TcpWorld::read(std::uint32_t bytes) {
  if (!is_mine()) return;
  tcp::Engine& engine = host_->engine;
  const std::uint32_t count = std::min(bytes, engine.readable(id()));
  if (count == 0) return;
  std::vector<std::byte> out(count);
  require(engine.peek(id(), out) == count, "peek() gave less than readable()");
  check_read(out);
  engine.consume(id(), count);
}

void TcpWorld::take_view(std::uint32_t bytes) {
  if (!is_mine() || bytes == 0) return;
  tcp::RxView view;
  const std::uint32_t taken = host_->engine.take_front(id(), bytes, view);
  if (taken == 0) return;
  require(taken <= bytes && taken == view.length, "take_front() gave more than was asked for");
  check_read({view.data, view.length});
  held_.push_back(view.handle);
  if (held_.size() > 8) {
    host_->memory.release(held_.front());
    held_.erase(held_.begin());
  }
}

void TcpWorld::close(bool altogether) {
  if (!is_mine()) return;
  altogether ? host_->engine.close(id(), now_) : host_->engine.end_sending(id(), now_);
}

void TcpWorld::abort() {
  if (is_mine()) host_->engine.abort(id(), now_);
}

void TcpWorld::release() {
  const tcp::Connection* c = connection();
  if (is_mine() && c->end_reason != tcp::EndReason::none) host_->engine.release(id());
}

void TcpWorld::starve(std::uint8_t frames) {
  host_->memory.set_frames_limit(frames == 0xff ? SIZE_MAX : frames);
}

// --- One turn

void TcpWorld::turn() {
  wire.advance(now_);
  host_->turn(now_);
  check(checks_->after_input());
  std::array<tcp::Event, 4> events;
  const std::size_t count = host_->engine.take_events(events);
  for (const tcp::Event& event : std::span(events).first(count))
    if ((event.bits & tcp::kEstablished) != 0) announced_ = event.id;
  host_->send(now_);
  check(checks_->after_output());
  wire.advance(now_);
  collect();
  const tcp::Connection* c = connection();
  if (c == nullptr) return;
  if (id() != sending_) {
    sending_ = id();
    sent_bytes_ = 0;
  }
  if (!tcp::is_synchronized(c->state)) {
    last_snd_nxt_ = c->iss + 1;
    if (c->state == State::syn_received) last_rcv_nxt_ = c->rcv_nxt;
    return;
  }
  last_rcv_nxt_ = c->rcv_nxt;
  last_snd_nxt_ = c->snd_nxt;
  if (id() != reading_) {
    reading_ = id();
    read_next_ = c->irs + 1;
  }
}

void TcpWorld::advance(Duration by) {
  constexpr int kStopsMax = 24;
  const Instant until = now_ + by;
  for (int i = 0; i < kStopsMax; ++i) {
    const Instant next = std::min(host_->next_deadline(), wire.next_event());
    if (next >= until) break;
    now_ = std::max(now_, next);
    turn();
  }
  now_ = until;
  turn();
}

void TcpWorld::collect() {
  std::size_t frames = 0;
  while (const std::optional<sim::Frame> frame = wire.take(1)) {
    require(++frames <= kFramesPerTurn, "a storm of frames in one turn");
    if (sim::dissect(*frame).valid)
      check_sent(*frame);
    else
      answer(*frame);
  }
}

void TcpWorld::check_sent(std::span<const std::byte> frame) {
  const sim::TcpFrame at = sim::dissect(frame);
  require(frame.size() <= net::kEthernetHeaderBytes + 1500u, "a frame above the MTU was sent");
  require(sim::ip_checksum_good(frame) && sim::tcp_checksum_good(frame, at),
          "a wrong checksum was sent");
  const auto header = load<wire::TcpHeader>(&frame[at.tcp]);
  wire::TcpOptions options;
  require(parse_tcp_options(frame.subspan(at.tcp + wire::kTcpHeaderBytes,
                                          header.header_bytes() - wire::kTcpHeaderBytes),
                            options) == wire::OptionsVerdict::good,
          "options were sent that nobody can read");
  const TcpSeq seq{header.sequence_number.get()};
  const auto payload = frame.subspan(at.payload, at.end - at.payload);
  if ((header.flags & wire::kTcpRst) != 0) {
    require(payload.empty(), "a RST with data was sent");
    return;
  }
  // A SYN of the input may have come from somebody else.
  const std::size_t to = at.ip + (at.is_v6 ? 24u : 16u);
  const std::size_t in_address = at.is_v6 ? 0 : 12;
  if (header.destination_port.get() != kPeerPort || header.source_port.get() != local_port_ ||
      std::memcmp(&frame[to], &peers_.bytes[in_address], 16 - in_address) != 0)
    return;
  if (options.has_timestamps) tsval_seen_ = options.tsval;
  if ((header.flags & wire::kTcpSyn) != 0) {
    require(payload.empty(), "a SYN with data was sent");
    iss_ = seq;
    return;
  }
  if (payload.empty()) return;
  const std::uint32_t position = seq.distance_from(iss_ + 1);
  // A keepalive may carry the byte before the stream's next one; it is in the stream like others.
  require(std::uint64_t{position} + payload.size() <= sent_bytes_,
          "bytes were sent that the owner did not give");
  require(sim::StreamContent::instance().matches(kOurStream, position, payload),
          "a byte was sent that is not the owner's");
}

/// Neighbour resolution.
void TcpWorld::answer(std::span<const std::byte> frame) {
  constexpr std::size_t kIcmpAt = net::kEthernetHeaderBytes + net::kIpv6HeaderBytes;
  if (frame.size() >= 42 && frame[12] == std::byte{0x08} && frame[13] == std::byte{0x06}) {
    if (frame[21] != std::byte{1} || std::equal(&frame[28], &frame[32], &frame[38])) return;
    sim::Frame reply(frame.begin(), frame.end());
    std::memcpy(&reply[0], kOurMac.data(), 6);
    std::memcpy(&reply[6], kPeerMac.data(), 6);
    reply[21] = std::byte{2};
    std::memcpy(&reply[32], &frame[22], 10);  // their sender becomes our target
    std::memcpy(&reply[22], kPeerMac.data(), 6);
    std::memcpy(&reply[28], &frame[38], 4);
    return inject(std::move(reply));
  }
  if (frame.size() < kIcmpAt + 24 || frame[12] != std::byte{0x86} ||
      frame[kIcmpAt] != std::byte{135} ||
      std::memcmp(&frame[kIcmpAt + 8], peers_.bytes.data(), 16) != 0)
    return;
  std::array<std::byte, 32> message{};
  message[0] = std::byte{136};
  message[4] = std::byte{0x60};  // solicited, override
  std::memcpy(&message[8], peers_.bytes.data(), 16);
  message[24] = std::byte{2};
  message[25] = std::byte{1};
  std::memcpy(&message[26], kPeerMac.data(), 6);
  sim::Frame reply = ip_frame(peers_, ours_, 58, 255, message);
  const std::span<const std::byte> bytes = reply;
  const std::uint16_t sum =
      sim::naive_sum(bytes.subspan(kIcmpAt), sim::naive_sum(bytes.subspan(22, 32), 58 + 32));
  store(&reply[kIcmpAt + 2], Be16{static_cast<std::uint16_t>(~sum)});
  inject(std::move(reply));
}

void TcpWorld::finish() {
  // A SYN of the peer at one in TIME-WAIT may have made another.
  for (int connections = 0; connections < 2; ++connections) {
    abort();
    turn();
    release();
    turn();
  }
  for (void* handle : held_) host_->memory.release(handle);
  held_.clear();
  const tcp::Connection* c = connection();
  // One that the peer opened and the owner was never told of ends with the engine.
  require(c == nullptr || (c->is_passive && id() != announced_), "a connection does not end");
  if (c == nullptr) {
    require(reference_.count == 0, "memory of the owner was not given back");
    require(host_->engine.copied_pieces() == 0, "cells of copies are lost");
  }
  checks_.reset();
  host_.reset();
  require(sim::HeapPacketMemory::leaked() == 0, "packet buffers are lost");
}

}  // namespace pollux::fuzz
