#include "tests/interop/differential/conversation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/support/frame_checksum.hpp"

namespace pollux::differential {
namespace {

constexpr std::size_t kTcpAt = 14 + 20;
constexpr std::string_view kFlagLetters = "FSRPAU";
constexpr std::uint16_t kStrayPort = 700;  // which no stack takes for a connection of its own
constexpr std::size_t kFillBytes = 500;
// An answer is there: only what belongs to it may still come.
constexpr Duration kMoreMayCome = 15ms;
constexpr Duration kStep = 3ms;
constexpr int kFillRounds = 400;

std::uint8_t flags_of(std::string_view letters) {
  unsigned flags = 0;
  for (const char letter : letters) flags |= 1U << kFlagLetters.find(letter);
  return static_cast<std::uint8_t>(flags);
}

std::string letters_of(std::uint8_t flags) {
  std::string letters;
  for (std::size_t bit = 0; bit < kFlagLetters.size(); ++bit)
    if ((flags >> bit & 1) != 0 && kFlagLetters[bit] != 'P') letters += kFlagLetters[bit];
  return letters;
}

void put32(std::vector<std::uint8_t>& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<std::uint8_t>(value >> shift));
}

sim::Frame make_frame(const Addresses& addresses, const wire::TcpHeader& header,
                      const std::vector<std::uint8_t>& options, std::string_view payload) {
  sim::Frame frame(kTcpAt + wire::kTcpHeaderBytes + options.size() + payload.size());
  std::memcpy(&frame[0], addresses.subject_mac.data(), 6);
  std::memcpy(&frame[6], addresses.peer_mac.data(), 6);
  store(&frame[12], Be16{0x0800});
  std::byte* ip = &frame[14];
  ip[0] = std::byte{0x45};
  store(ip + 2, Be16{static_cast<std::uint16_t>(frame.size() - 14)});
  ip[8] = std::byte{64};
  ip[9] = std::byte{6};
  std::memcpy(ip + 12, addresses.peer.bytes.data() + 12, 4);
  std::memcpy(ip + 16, addresses.subject.bytes.data() + 12, 4);
  store(&frame[kTcpAt], header);
  std::byte* behind = &frame[kTcpAt] + wire::kTcpHeaderBytes;
  if (!options.empty()) std::memcpy(behind, options.data(), options.size());
  if (!payload.empty()) std::memcpy(behind + options.size(), payload.data(), payload.size());
  sim::write_ip_checksum(frame);
  sim::write_tcp_checksum(frame, sim::dissect(frame));
  return frame;
}

}  // namespace

std::string Conversation::number(std::uint32_t relative) const {
  // From one byte before the edge, as a keepalive probe has it.
  const std::uint32_t behind = relative - (filled_ - 1);
  return filled_ == 1 || behind >= kFillBytes ? std::to_string(relative)
                                              : fmt::format("edge-1+{}", behind);
}

std::string Conversation::describe(const PeerSegment& segment) const {
  std::string text = fmt::format("{} seq {}", segment.flags, number(segment.seq));
  if (segment.flags.find('A') != std::string_view::npos)
    text += fmt::format(" ack {}", segment.ack);
  if (!segment.payload.empty()) text += fmt::format(" {} bytes", segment.payload.size());
  return text;
}

std::uint32_t Conversation::peer_clock() {
  return static_cast<std::uint32_t>(subject_.now() / 1ms) + 0xfff0'0000U;
}

void Conversation::send(const PeerSegment& segment, std::uint16_t from, std::uint16_t to,
                        bool raw) {
  wire::TcpHeader header;
  header.source_port.set(from);
  header.destination_port.set(to);
  header.sequence_number.set(segment.seq + (raw ? 0 : irs_));
  header.flags = flags_of(segment.flags);
  if ((header.flags & wire::kTcpAck) != 0)
    header.acknowledgment_number.set(segment.ack + (raw ? 0 : iss_));
  if ((header.flags & wire::kTcpUrg) != 0) header.urgent_pointer.set(1);
  header.window.set(segment.window);
  std::vector<std::uint8_t> options;
  if (segment.options) {
    options = *segment.options;
  } else if (timestamps_ && !raw) {
    options = {1, 1, 8, 10};
    put32(options, segment.tsval.value_or(peer_clock()));
    put32(options, segment.tsecr.value_or(tsval_seen_));
  }
  if (!segment.sack.empty()) {
    options.insert(options.end(),
                   {1, 1, 5, static_cast<std::uint8_t>(2 + 8 * segment.sack.size())});
    for (const wire::SackBlock& block : segment.sack) {
      put32(options, block.left.raw() + iss_);
      put32(options, block.right.raw() + iss_);
    }
  }
  while (options.size() % 4 != 0) options.push_back(0);
  header.set_header_bytes(wire::kTcpHeaderBytes + options.size());
  sim::Frame frame = make_frame(subject_.addresses(), header, options, segment.payload);
  if (segment.bad_checksum) frame[kTcpAt + 16] ^= std::byte{0x40};
  subject_.inject(std::move(frame));
}

std::string Conversation::describe(const sim::SentSegment& sent, bool raw) const {
  std::string text = letters_of(sent.flags);
  text += fmt::format(" seq {}", sent.seq - (raw ? 0 : iss_));
  if ((sent.flags & wire::kTcpAck) != 0)
    text += " ack " + (raw ? std::to_string(sent.ack) : number(sent.ack - irs_));
  if (!sent.payload.empty()) text += fmt::format(" {} bytes", sent.payload.size());
  if (sent.window == 0 && (sent.flags & wire::kTcpRst) == 0) text += " window 0";
  for (std::size_t i = 0; i < sent.options.sack_count; ++i)
    text += fmt::format(" sack {}-{}", sent.options.sack[i].left.raw() - irs_,
                        sent.options.sack[i].right.raw() - irs_);
  return text;
}

/// What came within `time`; the same answer several times in a row counts once, since how often a
/// delayed or repeated ACK is sent is nobody's error.
std::string Conversation::answers(Duration time, bool raw) {
  std::vector<sim::SentSegment> all;
  Duration until = subject_.now() + time;
  while (subject_.now() < until) {
    subject_.wait(kStep);
    const std::vector<sim::SentSegment> came = subject_.take();
    if (came.empty()) continue;
    all.insert(all.end(), came.begin(), came.end());
    until = std::min(until, subject_.now() + kMoreMayCome);
  }
  std::string text;
  std::string last;
  for (const sim::SentSegment& sent : all) {
    // A SYN sent again: when is a matter of timers, and the kernel's run in real time.
    if (sent.flags == wire::kTcpSyn) continue;
    if (sent.options.has_timestamps) tsval_seen_ = sent.options.tsval;
    if ((sent.flags & wire::kTcpAck) != 0) {
      const std::uint32_t window =
          (sent.flags & wire::kTcpSyn) != 0 ? sent.window : std::uint32_t{sent.window} << shift_;
      right_edge_ = sent.ack - irs_ + window;
    }
    std::string now = describe(sent, raw);
    if (now == last) continue;
    if (!text.empty()) text += ", ";
    text += now;
    last = std::move(now);
  }
  return text.empty() ? "silence" : text;
}

void Conversation::note(std::string what, std::string answer) {
  lines_.push_back(std::move(what) + " -> " + std::move(answer));
}

void Conversation::connect() {
  subject_.connect();
  const std::vector<sim::SentSegment> sent = subject_.take();
  if (sent.size() != 1 || sent[0].flags != wire::kTcpSyn) {
    note("connect", "no SYN");
    return;
  }
  iss_ = sent[0].seq;
  port_ = sent[0].source_port;
  shift_ = sent[0].options.window_scale;
  tsval_seen_ = sent[0].options.tsval;
}

void Conversation::syn_ack(const PeerOffer& offer, std::string_view payload) {
  std::vector<std::uint8_t> options;
  if (offer.mss)
    options = {2, 4, static_cast<std::uint8_t>(*offer.mss >> 8),
               static_cast<std::uint8_t>(*offer.mss)};
  if (offer.sack) options.insert(options.end(), {1, 1, 4, 2});
  if (offer.timestamps) {
    options.insert(options.end(), {1, 1, 8, 10});
    put32(options, peer_clock());
    put32(options, tsval_seen_);
  }
  if (offer.window_scale) options.insert(options.end(), {1, 3, 3, *offer.window_scale});
  if (!offer.window_scale) shift_ = 0;
  timestamps_ = offer.timestamps;
  peer({.flags = "SA",
        .seq = 0,
        .ack = 1,
        .window = offer.window,
        .payload = std::string(payload),
        .options = options});
}

void Conversation::establish(const PeerOffer& offer) {
  connect();
  syn_ack(offer);
}

void Conversation::peer(const PeerSegment& segment) {
  send(segment, kPeerPort, port_, false);
  note("peer " + describe(segment), answers(kSettle));
}

void Conversation::burst(const std::vector<PeerSegment>& segments) {
  std::string what = "peer";
  for (const PeerSegment& segment : segments) {
    send(segment, kPeerPort, port_, false);
    what += " " + describe(segment) + ";";
  }
  note(what, answers(kSettle));
}

void Conversation::stray(const PeerSegment& segment) {
  send(segment, kPeerPort, kStrayPort, true);
  note("stray " + describe(segment), answers(kSettle, true));
}

void Conversation::pass(Duration time) { note("time passes", answers(time)); }

void Conversation::app_sends(const std::string& bytes) {
  subject_.send(bytes);
  note(fmt::format("application sends {} bytes", bytes.size()), answers(kSettle));
}

void Conversation::app_reads() {
  const Outcome outcome = subject_.look();
  std::string got = fmt::format("'{}'", outcome.read);
  if (filled_ != 1 && outcome.read.size() == filled_ - 1)
    got = "the window's worth";
  else if (outcome.read.size() > 40)
    got = fmt::format("{} bytes", outcome.read.size());
  note("application reads", got + (outcome.eof ? ", end of stream" : "") +
                                (outcome.error.empty() ? "" : ", " + outcome.error));
  // Nothing is delayed here: a reader that made room says so at once or not at all.
  const std::string answer = answers(kMoreMayCome);
  if (answer != "silence") note("after reading", answer);
}

void Conversation::app_closes() {
  subject_.close();
  note("application closes", answers(kSettle));
}

void Conversation::app_aborts() {
  subject_.abort();
  note("application aborts", answers(kSettle));
}

void Conversation::app_drops() {
  subject_.drop();
  note("application is gone", answers(kSettle));
}

void Conversation::fill_window() {
  for (int round = 0; round < kFillRounds && filled_ != right_edge_; ++round) {
    const std::size_t length = std::min<std::size_t>(right_edge_ - filled_, kFillBytes);
    send({.seq = filled_, .ack = 1, .payload = std::string(length, 'f')}, kPeerPort, port_, false);
    filled_ += static_cast<std::uint32_t>(length);
    if (filled_ == right_edge_ || round % 4 == 3) answers(kSettle);
  }
}

void Conversation::conclude() {
  app_reads();
  note("state", subject_.state());
}

}  // namespace pollux::differential
