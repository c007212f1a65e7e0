// A judge on the wire: follows both ends of TCP connections with 64-bit sequence numbers and says
// what one of them sent that the RFCs forbid. Written from RFC 9293, 7323, 2018, 2883 and 6864, and
// shares no code with the engine. Slow and simple.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "tests/support/frame_checksum.hpp"
#include "tests/support/stream_content.hpp"

namespace pollux::sim {

/// The fields of one segment, and where its options say what they say.
struct WireSegment {
  std::uint16_t source_port = 0, destination_port = 0;
  std::uint32_t seq = 0, ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0, urgent = 0;
  bool has_mss = false, has_scale = false, has_sack_permitted = false, has_timestamps = false;
  std::uint16_t mss = 0;
  std::uint8_t scale = 0;
  std::uint32_t tsval = 0, tsecr = 0;
  std::size_t sack_count = 0;
  std::array<std::array<std::uint32_t, 2>, 4> sack{};
  std::size_t option_bytes = 0;
  std::span<const std::byte> payload;

  static constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32;
  [[nodiscard]] bool is(std::uint8_t flag) const { return (flags & flag) != 0; }
};

/// Reads a frame that dissect() calls valid. Returns what is wrong with its options, or nothing.
std::string read_segment(std::span<const std::byte> frame, const TcpFrame& at, WireSegment& out);

class SegmentAudit {
 public:
  /// `strict[end]`: what that end does wrong is reported; otherwise it is only followed.
  explicit SegmentAudit(std::array<bool, 2> strict) : strict_(strict) {}

  /// The bytes that end `from` sends in the connection with these ports at end 0 and end 1.
  void expect_stream(std::size_t from, std::uint16_t port0, std::uint16_t port1,
                     std::uint64_t stream) {
    pairs_[key(port0, port1)].half[from].stream = stream;
  }
  /// A frame that end `from` puts on the wire.
  void on_sent(std::size_t from, std::span<const std::byte> frame);
  /// The first thing that was wrong; empty when nothing was.
  [[nodiscard]] const std::string& complaint() const { return complaint_; }
  /// The next frames of `from` are no part of any connection (a forgery for a test).
  void ignore(std::size_t from, bool on) { ignored_[from] = on; }

  [[nodiscard]] std::uint64_t resets() const { return resets_; }

 private:
  static constexpr std::uint64_t kNoStream = ~std::uint64_t{0};
  /// One end of one connection. Numbers count from its initial sequence number (SYN is 0).
  struct Half {
    bool syn_seen = false;
    bool syn_acked = false;  ///< its SYN carried an ACK
    bool fin_seen = false;
    bool rst_sent = false;
    bool ack_any = false;
    std::uint32_t iss = 0;
    std::uint64_t max = 0;    ///< one past the highest number sent
    std::uint64_t fin = 0;    ///< number of its FIN
    std::uint64_t acked = 0;  ///< highest acknowledgment it sent, in the other's numbers
    std::uint64_t edge = 0;   ///< right edge of the window it offered, in the other's numbers
    std::uint16_t mss = 536;
    bool scale_offered = false, sack_offered = false, timestamps_offered = false;
    std::uint8_t scale = 0;
    bool tsval_any = false;
    std::uint32_t tsval = 0;
    std::uint64_t stream = kNoStream;  ///< what it sends
  };
  struct Pair {
    std::array<Half, 2> half;
  };

  std::string check_ip(std::span<const std::byte> frame, const TcpFrame& at) const;
  static std::uint32_t key(std::uint16_t port0, std::uint16_t port1) {
    return std::uint32_t{port0} << 16 | port1;
  }
  static void follow(Half& own, const Half& other, const WireSegment& segment);
  static void take_syn_options(Half& own, const WireSegment& segment);
  std::string check(std::size_t from, Pair& pair, const WireSegment& segment);
  std::string check_syn(Half& own, const Half& other, const WireSegment& segment);
  std::string check_options(Half& own, const Half& other, const WireSegment& segment);
  std::string check_sack(const Half& own, const Half& other, const WireSegment& segment);
  std::string check_ack(Half& own, const Half& other, const WireSegment& segment);
  std::string check_text(Half& own, const Half& other, const WireSegment& segment);

  std::array<bool, 2> strict_;
  std::array<bool, 2> ignored_{};
  std::map<std::uint32_t, Pair> pairs_;  // by both ports, end 0 first
  std::string complaint_;
  std::uint64_t resets_ = 0;
};

}  // namespace pollux::sim
