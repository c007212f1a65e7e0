// What one simulation seed will do, drawn before it starts: ends, wire, misfortunes, traffic.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tests/support/reference_peer.hpp"
#include "tests/support/tcp_host.hpp"

namespace pollux::sim {

/// One request and its response, as an iSCSI command is: 48 bytes and perhaps data, both ways.
struct Exchange {
  std::uint32_t request_bytes = 48;
  std::uint32_t response_bytes = 48;
};

enum class Ending : std::uint8_t {
  client_first,
  server_first,
  both,        ///< both close at the same instant
  half_close,  ///< the client closes as soon as it has asked for everything
  client_aborts,
  server_aborts,
};

enum class IncidentKind : std::uint8_t {
  lose_next,     ///< the next few frames of one direction
  pause,         ///< frames are held back, then go on
  link_down,     ///< everything is lost for a while
  change_mac,    ///< the other end is found at a new hardware address
  empty_pool,    ///< an engine gets no buffers
  slow_reader,   ///< an end does not read
  idle,          ///< nobody writes
  worker_stalls  ///< an engine is not polled
};
inline constexpr std::size_t kIncidentKinds = 8;

struct Incident {
  std::uint64_t at_bytes = 0;  ///< once both clients and servers have received so much in total
  IncidentKind kind = IncidentKind::lose_next;
  std::size_t end = 0;
  Duration lasts{};
  std::uint32_t count = 1;
  bool announced = true;
};

struct SeedPlan {
  std::uint64_t seed = 0;
  bool against_peer = false;  ///< end 1 is the reference peer
  bool end1_opens = false;
  bool both_open = false;
  std::size_t connections = 1;
  std::uint16_t port = 3260;
  std::array<TcpHostOptions, 2> host;
  ReferencePeerOptions peer;
  std::array<WireFaults, 2> faults;
  std::vector<std::vector<Exchange>> exchanges;  ///< for each connection
  std::uint32_t depth = 2;                       ///< requests in flight
  std::vector<Incident> incidents;               ///< in order of at_bytes
  Ending ending = Ending::client_first;
  Duration poll = 16us;  ///< time that a turn takes
  std::uint64_t total_bytes = 0;

  [[nodiscard]] std::uint16_t client_port(std::size_t connection) const {
    return static_cast<std::uint16_t>(both_open && against_peer ? port : 40'000 + connection);
  }
};

/// At least 1 MiB of traffic and five misfortunes.
[[nodiscard]] SeedPlan draw_plan(std::uint64_t seed);

}  // namespace pollux::sim
