#include "tests/support/tcp_script.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "dataplane/tcp/isn.hpp"
#include "tests/support/engine_inspector.hpp"
#include "tests/support/frame_checksum.hpp"

namespace pollux::sim {
namespace {

const net::IpAddress kOurs = net::IpAddress::v4(10, 99, 0, 1);
const net::IpAddress kPeers = net::IpAddress::v4(10, 99, 0, 2);
const net::IpAddress kOurs6{{0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
const net::IpAddress kPeers6{{0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}};
constexpr platform::MacAddress kOurMac{2, 0, 0, 0, 0, 1};
constexpr platform::MacAddress kPeerMac{2, 0, 0, 0, 0, 2};

std::size_t wrapped_scripts = 0;

constexpr std::string_view kFlagLetters = "FSRPAUEC";

std::uint8_t flags_of(std::string_view letters) {
  unsigned flags = 0;
  for (const char letter : letters) flags |= 1u << kFlagLetters.find(letter);
  return static_cast<std::uint8_t>(flags);
}

std::string letters_of(std::uint8_t flags) {
  std::string letters;
  for (std::size_t bit = 0; bit < kFlagLetters.size(); ++bit)
    if ((flags >> bit & 1) != 0) letters += kFlagLetters[bit];
  return letters;
}

void put32(std::vector<std::uint8_t>& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<std::uint8_t>(value >> shift));
}

Frame make_frame(const net::Endpoint& remote, const net::Endpoint& local,
                 const wire::TcpHeader& header, std::span<const std::uint8_t> options,
                 std::string_view payload, std::uint8_t ecn) {
  const bool is_v4 = remote.address.is_v4();
  const std::size_t ip_bytes = is_v4 ? net::kIpv4HeaderBytes : net::kIpv6HeaderBytes;
  const std::size_t tcp_at = net::kEthernetHeaderBytes + ip_bytes;
  Frame frame(tcp_at + wire::kTcpHeaderBytes + options.size() + payload.size());
  std::memcpy(&frame[0], kOurMac.data(), 6);
  std::memcpy(&frame[6], kPeerMac.data(), 6);
  store(&frame[12], Be16{static_cast<std::uint16_t>(is_v4 ? 0x0800 : 0x86dd)});
  std::byte* ip = &frame[net::kEthernetHeaderBytes];
  ip[0] = std::byte{is_v4 ? std::uint8_t{0x45} : std::uint8_t{0x60}};
  if (is_v4) {
    ip[1] = std::byte{ecn};
    store(ip + 2, Be16{static_cast<std::uint16_t>(frame.size() - net::kEthernetHeaderBytes)});
    ip[8] = std::byte{64};
    ip[9] = std::byte{6};
    std::memcpy(ip + 12, remote.address.bytes.data() + 12, 4);
    std::memcpy(ip + 16, local.address.bytes.data() + 12, 4);
  } else {
    ip[1] = std::byte{static_cast<std::uint8_t>(ecn << 4)};
    store(ip + 4, Be16{static_cast<std::uint16_t>(frame.size() - tcp_at)});
    ip[6] = std::byte{6};
    ip[7] = std::byte{64};
    std::memcpy(ip + 8, remote.address.bytes.data(), 16);
    std::memcpy(ip + 24, local.address.bytes.data(), 16);
  }
  wire::TcpHeader tcp = header;
  tcp.source_port.set(remote.port);
  tcp.destination_port.set(local.port);
  tcp.set_header_bytes(wire::kTcpHeaderBytes + options.size());
  store(&frame[tcp_at], tcp);
  if (!options.empty()) std::memcpy(&frame[tcp_at + 20], options.data(), options.size());
  if (!payload.empty())
    std::memcpy(&frame[tcp_at + 20 + options.size()], payload.data(), payload.size());
  write_ip_checksum(frame);
  write_tcp_checksum(frame, dissect(frame));
  return frame;
}

}  // namespace

TcpHostOptions TcpScript::default_options() {
  TcpHostOptions options;
  options.config.address = kOurs;
  options.port.mac = kOurMac;
  options.limits = {.connections = 16};
  return options;
}

TcpHostOptions TcpScript::options_without_rack() {
  TcpHostOptions options = default_options();
  options.limits.recovery = {.rack = false, .tail_loss_probe = false};
  return options;
}

TcpHostOptions TcpScript::ipv6_options() {
  TcpHostOptions options = default_options();
  options.config.address = {};
  options.config.address6 = kOurs6;
  options.config.dad_transmits = 0;
  return options;
}

TcpScript::TcpScript(const TcpHostOptions& options)
    : wire(1, clock.now()),
      host(wire, 0, options),
      ours(options.config.has_ipv4() ? options.config.address : options.config.address6),
      peers(options.config.has_ipv4() ? kPeers : kPeers6) {
  for (std::size_t from : {0u, 1u}) wire.faults(from) = {.delay = Duration::zero()};
}

tcp::OpenRequest TcpScript::request() const { return {.remote = {peers, kPeerPort}, .owner = 7}; }

SentSegment TcpScript::open(Where where) { return open(request(), where); }

bool TcpScript::wraps() { return std::getenv("POLLUX_SCRIPT_WRAP") != nullptr; }

std::size_t TcpScript::wrapped() { return wrapped_scripts; }

/// The initial number grows by one every 4 microseconds: waits until it has the distance to the
/// wrap that the name of the test stands for.
void TcpScript::place_iss(tcp::OpenRequest& request) {
  const auto* const test = ::testing::UnitTest::GetInstance()->current_test_info();
  std::uint32_t below = 17;
  for (const char* letter = test->name(); *letter != '\0'; ++letter)
    below = below * 31 + static_cast<unsigned char>(*letter);
  below = 1 + below % 3000;
  if (request.local_port == 0) request.local_port = static_cast<std::uint16_t>(50'000 + below);
  const TcpSeq now =
      tcp::initial_sequence_number(tcp::EngineInspector::of(engine()).isn_key,
                                   {ours, request.local_port}, request.remote, clock.now());
  clock.advance(Duration{std::int64_t{(TcpSeq{0u - below} - now.raw()).raw()} * 4000});
  turn();
  ++wrapped_scripts;
}

SentSegment TcpScript::open(const tcp::OpenRequest& asked, Where where) {
  tcp::OpenRequest request = asked;
  if (std::exchange(places_iss, false)) place_iss(request);
  EXPECT_EQ(engine().open(request, clock.now(), id), tcp::OpenError::none);
  for (int i = 0; i < 3; ++i) turn();  // ARP goes first
  local_port = engine().local(id).port;
  SentSegment syn = take(where);
  constexpr unsigned kEcnSetup = wire::kTcpEce | wire::kTcpCwr;
  if ((syn.flags & ~kEcnSetup) != wire::kTcpSyn) ADD_FAILURE_AT(where.file, where.line) << "no SYN";
  iss = syn.seq;
  return syn;
}

void TcpScript::establish(const PeerOffer& offer, Where where) {
  open(where);
  receive_syn_ack(offer);
  expect({.flags = "A", .seq = 1, .ack = 1, .length = 0}, where);
  expect_silence(where);
}

std::vector<std::uint8_t> TcpScript::syn_options(const PeerOffer& offer, bool with_echo) const {
  std::vector<std::uint8_t> out;
  if (offer.mss) {
    out.insert(out.end(), {2, 4});
    out.insert(out.end(),
               {static_cast<std::uint8_t>(*offer.mss >> 8), static_cast<std::uint8_t>(*offer.mss)});
  }
  if (offer.sack) out.insert(out.end(), {1, 1, 4, 2});
  if (offer.timestamps) {
    out.insert(out.end(), {1, 1, 8, 10});
    put32(out, peer_timestamp());
    put32(out, with_echo ? tsval_seen : 0);
  }
  if (offer.window_scale) out.insert(out.end(), {1, 3, 3, *offer.window_scale});
  return out;
}

void TcpScript::receive_syn_ack(const PeerOffer& offer, std::string_view payload) {
  receive({.flags = offer.ecn ? "SAE" : "SA",
           .seq = 0,
           .ack = 1,
           .window = offer.window,
           .payload = std::string(payload),
           .options = syn_options(offer, true)});
  timestamps_on = offer.timestamps;
}

std::uint32_t TcpScript::peer_timestamp() const {
  return static_cast<std::uint32_t>(clock.now().time_since_epoch() / 1ms) + 0xfff0'0000u;
}

void TcpScript::inject(const PeerSegment& segment) {
  inject_from({peers, kPeerPort}, local_port, segment, false);
}

void TcpScript::inject_from(const net::Endpoint& remote, std::uint16_t port,
                            const PeerSegment& segment, bool raw_numbers) {
  wire::TcpHeader header;
  header.sequence_number.set(segment.seq + (raw_numbers ? 0 : irs));
  header.flags = flags_of(segment.flags);
  if ((header.flags & wire::kTcpAck) != 0)
    header.acknowledgment_number.set(segment.ack + (raw_numbers ? 0 : iss));
  header.window.set(segment.window);
  header.urgent_pointer.set(segment.urgent);
  std::vector<std::uint8_t> options;
  if (segment.options) {
    options = *segment.options;
  } else {
    if (timestamps_on) {
      options = {1, 1, 8, 10};
      put32(options, segment.tsval.value_or(peer_timestamp()));
      put32(options, segment.tsecr.value_or(tsval_seen));
    }
    if (!segment.sack.empty()) {
      options.insert(options.end(),
                     {1, 1, 5, static_cast<std::uint8_t>(2 + 8 * segment.sack.size())});
      for (const wire::SackBlock& block : segment.sack) {
        put32(options, block.left.raw() + iss);
        put32(options, block.right.raw() + iss);
      }
    }
  }
  while (options.size() % 4 != 0) options.push_back(0);
  Frame frame = make_frame(remote, {ours, port}, header, options, segment.payload, segment.ecn);
  if (segment.bad_checksum) frame[dissect(frame).tcp + 16] ^= std::byte{0x40};
  wire.send(1, std::move(frame));
  wire.advance(clock.now());
}

void TcpScript::receive(const PeerSegment& segment) {
  inject(segment);
  turn();
}

void TcpScript::turn() {
  wire.advance(clock.now());
  host.turn(clock.now());
  std::array<tcp::Event, 16> events;
  const std::size_t count = engine().take_events(events);
  for (std::size_t i = 0; i < count; ++i) {
    owner_events |= events[i].bits;
    id = events[i].id;
  }
  host.send(clock.now());
  wire.advance(clock.now());
  collect();
}

void TcpScript::advance(Duration by) {
  const Instant until = clock.now() + by;
  while (clock.now() < until) {
    clock.advance(std::min<Duration>(1ms, until - clock.now()));
    turn();
  }
}

void TcpScript::answer_solicitation(std::span<const std::byte> frame) {
  constexpr std::size_t kIcmpAt = net::kEthernetHeaderBytes + net::kIpv6HeaderBytes;
  constexpr std::size_t kTargetAt = kIcmpAt + 8;
  if (!peer_answers_arp || frame.size() < kIcmpAt + 32 || frame[kIcmpAt] != std::byte{135}) return;
  if (std::memcmp(&frame[kTargetAt], peers.bytes.data(), 16) != 0) return;
  Frame reply(frame.begin(), frame.begin() + kIcmpAt + 32);
  std::memcpy(&reply[0], kOurMac.data(), 6);
  std::memcpy(&reply[6], kPeerMac.data(), 6);
  std::memcpy(&reply[38], &frame[22], 16);
  std::memcpy(&reply[22], peers.bytes.data(), 16);
  reply[kIcmpAt] = std::byte{136};
  reply[kIcmpAt + 4] = std::byte{0x60};  // solicited, override
  reply[kIcmpAt + 24] = std::byte{2};    // target's address
  std::memcpy(&reply[kIcmpAt + 26], kPeerMac.data(), 6);
  store(&reply[kIcmpAt + 2], Be16{0});
  const std::span<const std::byte> bytes = reply;
  const std::uint16_t sum =
      naive_sum(bytes.subspan(kIcmpAt), naive_sum(bytes.subspan(22, 32), 58 + 32));
  store(&reply[kIcmpAt + 2], Be16{static_cast<std::uint16_t>(~sum)});
  wire.send(1, std::move(reply));
  wire.advance(clock.now());
}

void TcpScript::answer_arp(std::span<const std::byte> frame) {
  if (frame.size() > 14 && frame[12] == std::byte{0x86}) return answer_solicitation(frame);
  if (!peer_answers_arp || frame.size() < 42 || frame[21] != std::byte{1}) return;
  if (std::equal(&frame[28], &frame[32], &frame[38])) return;  // announces itself
  Frame reply(frame.begin(), frame.end());
  std::memcpy(&reply[0], kOurMac.data(), 6);
  std::memcpy(&reply[6], kPeerMac.data(), 6);
  reply[21] = std::byte{2};
  std::memcpy(&reply[32], &frame[22], 10);  // their sender becomes our target
  std::memcpy(&reply[22], kPeerMac.data(), 6);
  std::memcpy(&reply[28], &frame[38], 4);
  wire.send(1, std::move(reply));
  wire.advance(clock.now());
}

void TcpScript::collect() {
  while (std::optional<Frame> frame = wire.take(1)) {
    const TcpFrame at = dissect(*frame);
    if (!at.valid) {
      answer_arp(*frame);
      continue;
    }
    EXPECT_TRUE(ip_checksum_good(*frame) && tcp_checksum_good(*frame, at));
    const auto header = load<wire::TcpHeader>(&(*frame)[at.tcp]);
    SentSegment sent{.at = clock.now(),
                     .flags = header.flags,
                     .ecn = std::to_integer<std::uint8_t>((*frame)[at.ip + 1] & std::byte{3}),
                     .seq = header.sequence_number.get(),
                     .ack = header.acknowledgment_number.get(),
                     .window = header.window.get(),
                     .source_port = header.source_port.get(),
                     .option_bytes = header.header_bytes() - wire::kTcpHeaderBytes};
    EXPECT_EQ(parse_tcp_options(
                  std::span<const std::byte>(*frame).subspan(at.tcp + 20, sent.option_bytes),
                  sent.options),
              wire::OptionsVerdict::good);
    if (sent.options.has_timestamps) tsval_seen = sent.options.tsval;
    sent.payload.assign(reinterpret_cast<const char*>(&(*frame)[0]) + at.payload,
                        at.end - at.payload);
    sent_.push_back(std::move(sent));
  }
}

SentSegment TcpScript::take(Where where) {
  if (sent_.empty()) {
    ADD_FAILURE_AT(where.file, where.line) << "the engine sent nothing";
    return {};
  }
  SentSegment sent = std::move(sent_.front());
  sent_.pop_front();
  return sent;
}

SentSegment TcpScript::expect(const Expected& expected, Where where) {
  if (sent_.empty()) {
    ADD_FAILURE_AT(where.file, where.line)
        << "expected " << expected.flags << ", the engine sent nothing";
    return {};
  }
  SentSegment sent = take(where);
  std::string wrong;
  const auto compare = [&wrong](std::string_view name, auto want, auto got) {
    if (want && *want != got)
      wrong += " " + std::string(name) + " " + std::to_string(*want) + " wanted, " +
               std::to_string(got) + " sent;";
  };
  const std::uint8_t wanted = flags_of(expected.flags);
  const auto looked_at =
      static_cast<std::uint8_t>((wanted & wire::kTcpPsh) != 0 ? 0xff : ~wire::kTcpPsh);
  if ((sent.flags & looked_at) != wanted)
    wrong +=
        " flags " + std::string(expected.flags) + " wanted, " + letters_of(sent.flags) + " sent;";
  compare("seq", expected.seq, sent.seq - iss);
  compare("ack", expected.ack, sent.ack - irs);
  compare("length", expected.length, static_cast<std::uint32_t>(sent.payload.size()));
  compare("window", expected.window, std::uint32_t{sent.window});
  if (expected.payload && *expected.payload != sent.payload) wrong += " payload differs;";
  if (!wrong.empty())
    ADD_FAILURE_AT(where.file, where.line)
        << wrong << " (" << letters_of(sent.flags) << " seq " << sent.seq - iss << " ack "
        << sent.ack - irs << " length " << sent.payload.size() << " window " << sent.window << ")";
  return sent;
}

void TcpScript::expect_silence(Where where) {
  if (sent_.empty()) return;
  const SentSegment& sent = sent_.front();
  ADD_FAILURE_AT(where.file, where.line)
      << sent_.size() << " segments where none should be, first: " << letters_of(sent.flags)
      << " seq " << sent.seq - iss << " ack " << sent.ack - irs << " length "
      << sent.payload.size();
}

void TcpScript::send(std::string_view bytes) {
  engine().send_inline(id, std::as_bytes(std::span(bytes.data(), bytes.size())));
  turn();
}

void TcpScript::send_external(std::span<const std::byte> bytes, tcp::SendReference* reference) {
  engine().send_external(id, bytes.data(), static_cast<std::uint32_t>(bytes.size()),
                         host.memory.tracker(0), reference);
  turn();
}

std::string TcpScript::read(std::uint32_t bytes) {
  std::string out(std::min(bytes, engine().readable(id)), '\0');
  engine().peek(id, std::as_writable_bytes(std::span(out.data(), out.size())));
  engine().consume(id, static_cast<std::uint32_t>(out.size()));
  return out;
}

std::uint32_t TcpScript::events() { return std::exchange(owner_events, 0); }

std::string pattern(std::size_t length, std::uint32_t start) {
  std::string out(length, '\0');
  for (std::size_t i = 0; i < length; ++i) {
    const std::uint32_t at = start + static_cast<std::uint32_t>(i);
    out[i] = static_cast<char>(at * 7 + (at >> 8) * 31);
  }
  return out;
}

}  // namespace pollux::sim
