// The embedded iSCSI target on one port: interface, TCP with passive open, PDU layer, logical
// units. Driven like a worker: poll_once() with the time of the turn, from a simulation or from a
// thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/base/fixed_ring.hpp"
#include "dataplane/base/random.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/tcp/counters.hpp"
#include "dataplane/tcp/engine.hpp"
#include "dataplane/tcp/listener.hpp"
#include "tests/target/protocol.hpp"

namespace pollux::target {

struct TargetOptions {
  TargetConfig target;
  net::InterfaceConfig interface;
  /// connections is taken from `target`; send_inline_bytes at least kSendInlineBytesMin.
  tcp::EngineLimits limits;
  tcp::EngineTimers timers;
  std::uint64_t seed = 1;
};

/// The answer to any one request must fit an empty send queue.
inline constexpr std::uint32_t kSendInlineBytesMin = 16 * KiB;

/// One thread. After construction nothing is allocated. Frames under way point into its logical
/// units: before destruction the port has given back what it took (see quiet()).
class Target final : private tcp::Listener {
 public:
  Target(const TargetOptions& options, platform::Port& port, platform::PacketMemory& memory,
         Instant start);
  ~Target() = default;
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  /// One turn. True when it received, sent, or had anything else to do.
  bool poll_once(Instant now) noexcept;
  /// Earliest instant with something to do that no frame announces. Slow: for simulation.
  [[nodiscard]] Instant next_deadline() const noexcept;
  /// RST to every connection, and no new ones. Poll on until open_connections() is zero.
  void shut_down(Instant now) noexcept;
  /// True when no frame points into a logical unit any more. Makes the driver give back what it
  /// sent.
  bool quiet() noexcept;

  /// PDU checks; total() is zero as long as the initiator does everything right.
  [[nodiscard]] Checks& checks() noexcept { return protocol_.checks(); }
  [[nodiscard]] FaultPlan& faults() noexcept { return protocol_.faults(); }
  [[nodiscard]] const ProtocolCounters& counters() const noexcept { return protocol_.counters(); }
  [[nodiscard]] const tcp::Counters& tcp_counters() const noexcept { return engine_.counters(); }
  [[nodiscard]] Protocol& protocol() noexcept { return protocol_; }
  [[nodiscard]] net::Interface& interface() noexcept { return interface_; }
  [[nodiscard]] std::size_t open_connections() const noexcept { return engine_.open_connections(); }
  [[nodiscard]] std::size_t sessions() const noexcept { return protocol_.sessions(); }
  [[nodiscard]] std::size_t open_tasks() const noexcept { return protocol_.open_tasks(); }
  /// A NOP-In to every session, at the next turn.
  void ping_all() noexcept;
  /// Turns FaultPlan::close_window off and tells every session by a NOP-In.
  void reopen_window() noexcept;

 private:
  class EngineStream;
  struct Link {
    tcp::ConnectionId id;
    tcp::SendReference reference;
    bool in_use = false;
    bool waiting = false;  ///< in work_
    bool peer_closed = false;
  };

  bool on_syn(const net::Endpoint& local, const net::Endpoint& remote,
              tcp::OpenRequest& fill) noexcept override;
  void take_event(const tcp::Event& event) noexcept;
  void want_service(std::uint32_t index) noexcept;
  std::size_t serve(Instant now) noexcept;
  void run_own_timers(Instant now) noexcept;

  Protocol protocol_;
  net::Interface interface_;
  tcp::Engine engine_;
  platform::PacketMemory& memory_;
  std::vector<Link> links_;
  FixedRing<std::uint32_t> work_;  ///< connections to be served, each at most once
  Instant next_ping_ = kNever;
  bool accepts_ = true;
  std::array<net::TcpDatagram, 64> datagrams_;
  std::array<tcp::Event, 64> events_;
};

}  // namespace pollux::target
