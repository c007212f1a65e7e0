// A conversation with one engine, segment by segment: the test plays the peer, the clock stands
// still unless told to move, and what the engine sends is compared field by field. Sequence numbers
// are relative: seq counts from the sender's initial sequence number, ack from the other side's.
// The peer's ISN lies 1000 below the wrap, so that wrapping happens in every longer test.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/wire/tcp.hpp"
#include "dataplane/wire/tcp_options.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/tcp_host.hpp"

namespace pollux::sim {

/// A segment of the peer. Flags are letters of "SAFRPUEC" (E: ECE, C: CWR).
struct PeerSegment {
  std::string_view flags = "A";
  std::uint32_t seq = 1;
  std::uint32_t ack = 1;
  std::uint16_t window = 0xffff;  ///< as on the wire
  std::string payload;
  std::optional<std::uint32_t> tsval{};  ///< default: the peer's clock, when timestamps are on
  std::optional<std::uint32_t> tsecr{};  ///< default: the newest TSval seen
  std::vector<wire::SackBlock> sack{};   ///< relative
  std::optional<std::vector<std::uint8_t>> options{};  ///< instead of everything above
  bool bad_checksum = false;
  std::uint8_t ecn = 0;  ///< wire::EcnCodepoint
  std::uint16_t urgent = 0;
};

/// What a segment of the engine is compared with; an empty field is not looked at, nor is PSH when
/// it is not named.
struct Expected {
  std::string_view flags = "A";
  std::optional<std::uint32_t> seq{};
  std::optional<std::uint32_t> ack{};
  std::optional<std::uint32_t> length{};
  std::optional<std::uint32_t> window{};
  std::optional<std::string_view> payload{};
};

struct SentSegment {
  Instant at;
  std::uint8_t flags = 0;
  std::uint8_t ecn = 0;   ///< wire::EcnCodepoint
  std::uint32_t seq = 0;  ///< raw
  std::uint32_t ack = 0;  ///< raw
  std::uint16_t window = 0;
  std::uint16_t source_port = 0;
  std::size_t option_bytes = 0;
  wire::TcpOptions options;
  std::string payload;
};

/// What the peer offers in its SYN or SYN-ACK.
struct PeerOffer {
  std::optional<std::uint16_t> mss = 1460;
  std::optional<std::uint8_t> window_scale = 7;
  bool sack = true;
  bool timestamps = true;
  std::uint16_t window = 0xffff;
  bool ecn = false;  ///< an ECN-setup SYN-ACK
};

class TcpScript {
 public:
  /// The line of the test that a failure is reported at. (clang 14 has no std::source_location.)
  struct Where {
    const char* file;
    int line;
    static constexpr Where current(const char* file_ = __builtin_FILE(),
                                   int line_ = __builtin_LINE()) {
      return {file_, line_};
    }
  };
  static constexpr std::uint16_t kPeerPort = 3260;

  explicit TcpScript(const TcpHostOptions& options = default_options());
  [[nodiscard]] static TcpHostOptions default_options();
  /// The same conversation over IPv6: nothing but the addresses differs.
  [[nodiscard]] static TcpHostOptions ipv6_options();
  /// Without RACK and tail loss probes: what RFC 6675 and the retransmission timer do by
  /// themselves.
  [[nodiscard]] static TcpHostOptions options_without_rack();

  // --- Openings
  // ---------------------------------------------------------------------------------------
  tcp::OpenRequest request() const;
  /// Opens and hands out the SYN.
  SentSegment open(Where where = Where::current());
  SentSegment open(const tcp::OpenRequest& asked, Where where = Where::current());
  /// Opens and completes the handshake.
  void establish(const PeerOffer& offer = {}, Where where = Where::current());
  /// The peer's SYN-ACK to the SYN that was sent.
  void receive_syn_ack(const PeerOffer& offer = {}, std::string_view payload = {});
  [[nodiscard]] std::vector<std::uint8_t> syn_options(const PeerOffer& offer, bool with_echo) const;

  // --- Conversation
  // -----------------------------------------------------------------------------------
  /// Injects one segment and lets the engine have a turn.
  void receive(const PeerSegment& segment);
  /// Injects without a turn: several of these arrive in one burst.
  void inject(const PeerSegment& segment);
  /// From another address or port than the peer's.
  void inject_from(const net::Endpoint& remote, std::uint16_t local_port,
                   const PeerSegment& segment, bool raw_numbers);
  void turn();
  /// Lets time pass in steps of one millisecond with a turn after each.
  void advance(Duration by);

  SentSegment expect(const Expected& expected, Where where = Where::current());
  void expect_silence(Where where = Where::current());
  /// The next segment, whatever it is; fails when there is none.
  SentSegment take(Where where = Where::current());
  [[nodiscard]] std::size_t waiting() const { return sent_.size(); }
  void discard() { sent_.clear(); }

  // --- The owner's side
  // -------------------------------------------------------------------------------
  void send(std::string_view bytes);
  void send_external(std::span<const std::byte> bytes, tcp::SendReference* reference);
  std::string read(std::uint32_t bytes = 0xffff'ffff);
  void close() { engine().close(id, clock.now()); }
  /// Event bits since the last call.
  std::uint32_t events();
  [[nodiscard]] tcp::State state() { return engine().state(id); }
  [[nodiscard]] tcp::Engine& engine() { return host.engine; }
  [[nodiscard]] const tcp::Counters& counters() { return host.engine.counters(); }

  [[nodiscard]] std::uint32_t peer_timestamp() const;

  /// POLLUX_SCRIPT_WRAP is set: the first connection of each script starts up to 3000 below the
  /// wrap of the engine's numbers as well, which takes another moment of the clock and a port.
  [[nodiscard]] static bool wraps();
  /// Scripts of this program whose connection began so.
  [[nodiscard]] static std::size_t wrapped();
  bool places_iss = wraps();

  ManualClock clock;
  SimWire wire;
  TcpHost host;
  tcp::ConnectionId id;
  std::uint32_t iss = 0;            ///< of the engine
  std::uint32_t irs = 0xffff'fc18;  ///< of the peer
  std::uint16_t local_port = 0;
  std::uint32_t tsval_seen = 0;
  bool timestamps_on = false;
  bool peer_answers_arp = true;  ///< and Neighbor Solicitations
  net::IpAddress ours;
  net::IpAddress peers;
  std::uint32_t owner_events = 0;

 private:
  void collect();
  void place_iss(tcp::OpenRequest& request);
  void answer_arp(std::span<const std::byte> frame);
  void answer_solicitation(std::span<const std::byte> frame);

  std::deque<SentSegment> sent_;
};

/// `length` bytes that do not repeat.
[[nodiscard]] std::string pattern(std::size_t length, std::uint32_t start = 0);

}  // namespace pollux::sim
