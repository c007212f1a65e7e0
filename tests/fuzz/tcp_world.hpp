// An engine whose peer is the fuzzer: the world is brought into a state, frames arrive, time moves,
// the owner acts, and after each step all invariants of EngineChecks must hold, each byte read must
// be the right one, and each frame that left must be well-formed. Nothing in it is random or reads
// a clock, so an input always does the same.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tests/fuzz/input.hpp"
#include "tests/support/engine_inspector.hpp"
#include "tests/support/tcp_host.hpp"

namespace pollux::fuzz {

struct WorldOptions {
  bool v6 = false;
  bool sack = true;
  bool timestamps = true;
  bool window_scale = true;
  bool ecn = false;
  bool rack = true;
  bool scatter = false;       ///< received frames come in pieces
  bool small_limits = false;  ///< a window of 8 KiB, few pieces
  bool keepalive = false;
  bool passive = false;  ///< the peer opens
  tcp::CongestionAlgorithm congestion = tcp::CongestionAlgorithm::cubic;

  /// From two bytes of input.
  static WorldOptions from(std::uint16_t bits);
};

/// What the peer has going on before it does its worst. Bits.
enum Situation : std::uint8_t {
  kInFlight = 1,
  kOutOfOrder = 2,   ///< received data behind two holes
  kZeroWindow = 4,   ///< of the peer, with data waiting
  kRecovery = 8,     ///< three duplicates (with SACK: reports) of what is in flight
  kTimeout = 16,     ///< the retransmission timer has fired
  kUnread = 32,      ///< received data unread and unacknowledged
  kReported = 64,    ///< one SACK block or duplicate only
  kOwnWindow = 128,  ///< received until our window is closed
};

struct PeerSegment {
  std::uint8_t flags = 0x10;  ///< as on the wire
  TcpSeq seq;
  TcpSeq ack;
  std::uint16_t window = 0xffff;
  std::vector<std::uint8_t> options;  ///< at most 40 bytes; padded
  std::uint32_t length = 0;           ///< of the payload, which follows from seq
  std::uint8_t ecn = 0;
};

class TcpWorld {
 public:
  static constexpr std::uint32_t kPeerIss = 0xffff'fc18;  ///< wraps after 1000 bytes
  static constexpr std::uint16_t kPeerPort = 3260;
  static constexpr std::uint16_t kListenPort = 860;

  explicit TcpWorld(const WorldOptions& options);
  /// finish() first.
  ~TcpWorld() = default;
  TcpWorld(const TcpWorld&) = delete;
  TcpWorld& operator=(const TcpWorld&) = delete;

  /// From nothing to `state`. What cannot be had together with `situation` is left out.
  void enter(tcp::State state, std::uint8_t situation);
  /// Everything ends; whatever was borrowed must be back.
  void finish();

  // --- The peer
  [[nodiscard]] sim::Frame make(const PeerSegment& segment) const;
  void inject(sim::Frame frame);
  void receive(const PeerSegment& segment) {
    inject(make(segment));
    turn();
  }
  /// The segment that an honest peer would send now.
  [[nodiscard]] PeerSegment honest() const;
  /// ICMP that net has let through, about the segment at snd_una + `at`.
  void path_error(net::PathErrorKind kind, std::uint16_t mtu, std::uint32_t at);
  [[nodiscard]] std::vector<std::uint8_t> timestamps(std::uint32_t tsval,
                                                     std::uint32_t tsecr) const;
  [[nodiscard]] std::vector<std::uint8_t> sack(const std::vector<wire::SackBlock>& blocks) const;
  [[nodiscard]] std::uint32_t peer_clock() const;
  [[nodiscard]] std::uint32_t echo() const { return tsval_seen_; }
  [[nodiscard]] net::IpAddress ours() const { return ours_; }
  [[nodiscard]] net::IpAddress peers() const { return peers_; }
  [[nodiscard]] std::uint16_t local_port() const { return local_port_; }

  // --- The owner
  void open();
  void send(std::uint32_t bytes, bool external);
  void read(std::uint32_t bytes);
  void take_view(std::uint32_t bytes);
  void close(bool altogether);
  void abort();
  void release();
  /// Only so many buffers may be out; 0xff: as many as there are.
  void starve(std::uint8_t frames);

  void turn();
  void advance(Duration by);
  [[nodiscard]] Instant now() const { return now_; }
  /// nullptr: there is none.
  [[nodiscard]] const tcp::Connection* connection() const;
  /// False: the bytes that arrive are not those of the peer's stream.
  void check_content(bool on) { check_content_ = on; }

  sim::SimWire wire;

 private:
  void connect();
  void peer_syn(bool with_ack);
  void peer_fin(bool acknowledges);
  void acknowledge_all();
  void set_up(std::uint8_t situation);
  void duplicates(unsigned count);
  void collect();
  void check_sent(std::span<const std::byte> frame);
  void answer(std::span<const std::byte> frame);
  void check(const std::string& sentence) const;
  [[nodiscard]] std::vector<std::uint8_t> syn_options() const;
  [[nodiscard]] tcp::ConnectionId id() const;
  [[nodiscard]] bool is_mine() const;
  void check_read(std::span<const std::byte> bytes);

  WorldOptions options_;
  Instant now_;
  net::IpAddress ours_;
  net::IpAddress peers_;
  sim::PortListener listener_{kListenPort};
  std::unique_ptr<sim::TcpHost> host_;
  std::unique_ptr<sim::EngineChecks> checks_;
  tcp::SendReference reference_;
  std::vector<void*> held_;       // views handed over and not released
  TcpSeq read_next_;              // of the peer's stream
  std::uint64_t sent_bytes_ = 0;  // by the owner, over this connection
  TcpSeq iss_;
  TcpSeq last_rcv_nxt_{kPeerIss + 1};
  TcpSeq last_snd_nxt_;
  std::uint16_t local_port_ = 0;
  std::uint32_t tsval_seen_ = 0;
  tcp::ConnectionId announced_;  // that the peer opened and the owner knows of
  tcp::ConnectionId sending_;    // that sent_bytes_ counts for
  tcp::ConnectionId reading_;    // that read_next_ is of
  bool check_content_ = true;
};

/// A whole frame of the peer to us: Ethernet, IP of the family of the addresses, `payload`.
[[nodiscard]] sim::Frame ip_frame(const net::IpAddress& from, const net::IpAddress& to,
                                  std::uint8_t protocol, std::uint8_t hop_limit,
                                  std::span<const std::byte> payload, std::uint8_t ecn = 0);

inline constexpr platform::MacAddress kOurMac{2, 0, 0, 0, 0, 1};
inline constexpr platform::MacAddress kPeerMac{2, 0, 0, 0, 0, 2};

}  // namespace pollux::fuzz
