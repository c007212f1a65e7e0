// One end of a simulated wire with everything a worker has below iSCSI: memory, port, interface,
// TCP. The test calls turn() where a worker would poll.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/net/interface.hpp"
#include "dataplane/net/path_error.hpp"
#include "dataplane/tcp/counters.hpp"
#include "dataplane/tcp/engine.hpp"
#include "dataplane/tcp/listener.hpp"
#include "tests/support/heap_packet_memory.hpp"
#include "tests/support/sim_port.hpp"

namespace pollux::sim {

struct TcpHostOptions {
  net::InterfaceConfig config;
  tcp::EngineLimits limits{.connections = 8};
  tcp::EngineTimers timers;
  HeapPacketMemoryOptions memory;
  SimPortOptions port;
  std::uint64_t seed = 1;
};

class TcpHost {
 public:
  TcpHost(SimWire& wire, std::size_t end, const TcpHostOptions& options)
      : memory(options.memory),
        port(wire, end, memory, options.port),
        interface(options.config, port, memory, wire.now()),
        engine(options.limits, options.timers, interface, memory, Random(options.seed),
               wire.now()) {}

  /// What a worker does in one turn, in its order. Returns how much happened.
  std::size_t turn(Instant now) {
    std::size_t work = 0;
    for (int bursts = 0; bursts < 8; ++bursts) {
      std::array<net::TcpDatagram, 32> datagrams;
      std::size_t frames = 0;
      const std::size_t count = interface.receive(now, datagrams, frames);
      for (std::size_t i = 0; i < count; ++i) engine.input(datagrams[i], now);
      work += frames;
      if (frames == 0) break;
    }
    std::array<net::PathError, 4> errors;
    while (const std::size_t count = interface.take_path_errors(errors))
      for (std::size_t i = 0; i < count; ++i) engine.on_path_error(errors[i], now);
    interface.run_timers(now);
    work += engine.run_timers(now, 64);
    return work;
  }
  std::size_t send(Instant now) {
    const std::size_t frames = engine.output(now);
    return frames + interface.flush();
  }
  [[nodiscard]] Instant next_deadline() const {
    return std::min(engine.next_deadline(), interface.next_deadline());
  }

  HeapPacketMemory memory;
  SimPort port;
  net::Interface interface;
  tcp::Engine engine;
};

/// Takes every SYN to one port.
class PortListener final : public tcp::Listener {
 public:
  explicit PortListener(std::uint16_t port, std::uint32_t owner = 1) : port_(port), owner_(owner) {}
  bool on_syn(const net::Endpoint& local, const net::Endpoint&,
              tcp::OpenRequest& fill) noexcept override {
    if (local.port != port_) return false;
    fill.owner = owner_;
    fill.connect_timeout = fill.user_timeout = 1000s;
    return true;
  }

 private:
  std::uint16_t port_;
  std::uint32_t owner_;
};

}  // namespace pollux::sim
