// Several workers' TCP on one simulated NIC, and a peer behind a wire that echoes what it is sent.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/net/counters.hpp"
#include "dataplane/worker/shared_port.hpp"
#include "dataplane/worker/steered_ports.hpp"
#include "tests/support/sim_nic.hpp"
#include "tests/support/tcp_host.hpp"
#include "tests/unit/platform/eal.hpp"

namespace pollux::worker::test {

inline constexpr net::IpAddress kOurs = net::IpAddress::v4(10, 99, 0, 2);
inline constexpr net::IpAddress kPeer = net::IpAddress::v4(10, 99, 0, 1);
inline constexpr std::uint16_t kPeerPort = 3260;

/// What the NIC makes of what it was told.
enum class Nic {
  obeys,
  obeys_silently,  ///< and does not report its hash, as virtio
  other_key,       ///< hashes with another key and reports that
  ignores_table,   ///< reports the right hash and uses one queue
  cannot_hash,     ///< everything on queue 0, and it never said otherwise
};

struct RigOptions {
  std::size_t workers = 2;
  std::size_t queues = 2;
  Nic nic = Nic::obeys;
  bool hashes_ipv6 = true;
  bool scatter = false;
  std::size_t ring_segments = 1024;
  std::uint32_t connections = 64;  ///< of each worker; a power of two
  Duration time_wait = 1s;
  net::InterfaceConfig addressing{.address = kOurs, .prefix_length = 24, .gateway = {}};
};

/// One worker's share of everything.
struct WorkerHost {
  WorkerHost(platform::Port& port, sim::HeapPacketMemory& packet_memory,
             const platform::Steering& steering, unsigned worker, const RigOptions& options,
             Instant start)
      : memory(packet_memory),
        interface(options.addressing, port, memory, start),
        engine({.connections = options.connections}, {.time_wait = options.time_wait}, interface,
               memory, Random(100 + worker), start),
        ports(steering, worker, interface, Random(200 + worker)) {
    engine.set_port_policy(ports.policy());
  }
  std::size_t turn(Instant now) {
    std::array<net::TcpDatagram, 64> datagrams;
    std::size_t frames = 0;
    const std::size_t count = interface.receive(now, datagrams, frames);
    for (std::size_t i = 0; i < count; ++i) engine.input(datagrams[i], now);
    interface.run_timers(now);
    std::size_t work = frames + engine.run_timers(now, 64);
    std::array<tcp::Event, 64> events;
    work += engine.take_events(events);
    work += engine.output(now);
    return work + interface.flush();
  }

  sim::HeapPacketMemory& memory;
  net::Interface interface;
  tcp::Engine engine;
  SteeredPorts ports;
};

class Rig {
 public:
  explicit Rig(const RigOptions& options_in)
      : options(options_in), wire(7, Instant{1000s}), peer(wire, 1, peer_options(options_in)) {
    platform::SteeringOptions steering_options{.workers = static_cast<unsigned>(options.workers),
                                               .seed = 99};
    if (options.nic != Nic::cannot_hash) steering_options.rule = platform::SteeringRule::toeplitz;
    std::string error;
    steering = platform::Steering::create(steering_options, error);
    EXPECT_NE(steering, nullptr) << error;
    for (std::size_t i = 0; i < options.workers; ++i)
      memories.push_back(std::make_unique<sim::HeapPacketMemory>(
          sim::HeapPacketMemoryOptions{.buffers = 4096, .trackers = 64}));
    make_nic();
    make_port();
    peer.engine.set_listener(&listener_);
  }
  ~Rig() {
    hosts.clear();
    port.reset();
    nic.reset();
    for (const auto& memory : memories) EXPECT_EQ(memory->buffers_in_use(), 0u);
  }

  /// Everybody's turns and time, until `done` or for as long as `limit`.
  bool run_until(const std::function<bool()>& done, Duration limit = 30s) {
    const Instant end = wire.now() + limit;
    while (!done()) {
      std::size_t work = echo();
      for (std::size_t i = 0; i < hosts.size(); ++i)
        if (i != stopped) work += hosts[i]->turn(wire.now());
      if (work != 0) continue;
      Instant next = std::min({wire.next_event(), peer.next_deadline(), wire.now() + 5ms});
      for (std::size_t i = 0; i < hosts.size(); ++i)
        if (i != stopped)
          next = std::min(
              {next, hosts[i]->engine.next_deadline(), hosts[i]->interface.next_deadline()});
      if (next >= end) {
        wire.advance(std::max(end, wire.now()));
        return done();
      }
      wire.advance(std::max(next, wire.now() + 1us));
    }
    return true;
  }
  void run_for(Duration duration) {
    run_until([] { return false; }, duration);
  }

  [[nodiscard]] std::uint64_t sum(Counter HandoverCounters::*counter) const {
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < options.workers; ++i) total += (port->counters(i).*counter).get();
    return total;
  }
  /// When nothing is open any more, a worker holds what its interface has put by and nothing else.
  void expect_at_rest() {
    run_for(5s);
    for (std::size_t i = 0; i < options.workers; ++i) {
      EXPECT_EQ(hosts[i]->engine.open_connections(), 0u) << i;
      EXPECT_EQ(memories[i]->buffers_in_use(), hosts[i]->interface.counters().buffers_cached.get())
          << i;
    }
  }

  RigOptions options;
  sim::SimWire wire;
  sim::TcpHost peer;
  std::vector<std::unique_ptr<sim::HeapPacketMemory>> memories;
  std::unique_ptr<const platform::Steering> steering;
  std::unique_ptr<sim::SimNic> nic;
  std::unique_ptr<SharedPort> port;
  std::vector<std::unique_ptr<WorkerHost>> hosts;
  std::size_t stopped = SIZE_MAX;  ///< this worker does not turn

 private:
  static sim::TcpHostOptions peer_options(const RigOptions& options) {
    sim::TcpHostOptions peer;
    peer.config = {.address = kPeer, .prefix_length = 24, .gateway = {}};
    peer.limits.connections = options.connections * 4;
    peer.limits.send_inline_bytes = 16 * 1024;
    peer.memory.buffers = 8192;
    peer.port.mac = {0x02, 0, 0, 0, 0, 9};
    return peer;
  }
  void make_nic() {
    sim::SimNicOptions nic_options;
    nic_options.scatter = options.scatter;
    nic_options.reports_hash = options.nic != Nic::obeys_silently;
    if (options.nic != Nic::cannot_hash)
      nic_options.key.assign(steering->key().begin(), steering->key().end());
    if (options.nic == Nic::other_key) std::reverse(nic_options.key.begin(), nic_options.key.end());
    for (unsigned i = 0; i < steering->table_entries(); ++i) {
      const auto queue = static_cast<std::uint16_t>(i % options.workers % options.queues);
      nic_options.table.push_back(options.nic == Nic::ignores_table ? 0 : queue);
    }
    std::vector<sim::HeapPacketMemory*> of_queues;
    for (std::size_t i = 0; i < options.queues; ++i) of_queues.push_back(memories[i].get());
    nic = std::make_unique<sim::SimNic>(wire, 0, of_queues, nic_options);
  }
  void make_port() {
    std::vector<platform::Port*> queues;
    for (std::size_t i = 0; i < options.queues; ++i) queues.push_back(&nic->queue(i));
    std::vector<platform::PacketMemory*> of_workers;
    for (const auto& memory : memories) of_workers.push_back(memory.get());
    port = std::make_unique<SharedPort>(SharedPortSetup{
        .queues = queues,
        .memories = of_workers,
        .steering = *steering,
        .device_steers = options.nic != Nic::cannot_hash,
        .device_steers_ipv6 = options.nic != Nic::cannot_hash && options.hashes_ipv6,
        .ring_segments = options.ring_segments});
    for (unsigned i = 0; i < options.workers; ++i)
      hosts.push_back(std::make_unique<WorkerHost>(port->share(i), *memories[i], *steering, i,
                                                   options, wire.now()));
  }
  /// The peer's application: sends back what it reads, closes when the other side does.
  std::size_t echo() {
    std::size_t work = peer.turn(wire.now());
    std::array<tcp::Event, 64> events;
    const std::size_t count = peer.engine.take_events(events);
    for (const tcp::Event& event : std::span(events).first(count)) {
      std::vector<std::byte> bytes(peer.engine.readable(event.id));
      peer.engine.peek(event.id, bytes);
      peer.engine.consume(event.id, static_cast<std::uint32_t>(bytes.size()));
      if (!bytes.empty()) peer.engine.send_inline(event.id, bytes);
      if ((event.bits & tcp::kPeerClosed) != 0) peer.engine.close(event.id, wire.now());
      if ((event.bits & tcp::kEnded) != 0) peer.engine.release(event.id);
    }
    return work + count + peer.send(wire.now());
  }

  sim::PortListener listener_{kPeerPort};
};

/// A connection of one worker that sends a text out of registered memory and wants it back.
class Caller {
 public:
  Caller(Rig& rig, std::size_t worker, unsigned number)
      : rig_(rig), host_(*rig.hosts[worker]), number_(number), text_(4000 + number) {
    for (std::size_t i = 0; i < text_.size(); ++i)
      text_[i] = static_cast<std::byte>(i * 31 + number * 7 + worker);
    tcp::OpenRequest request;
    request.remote = {kPeer, kPeerPort};
    EXPECT_EQ(host_.engine.open(request, rig.wire.now(), id_), tcp::OpenError::none);
    port_ = host_.engine.local(id_).port;
  }
  /// True when all is over.
  bool step() {
    if (done_) return true;
    const tcp::State state = host_.engine.state(id_);
    if (!sent_ && state == tcp::State::established) {
      host_.engine.send_external(id_, text_.data(), static_cast<std::uint32_t>(text_.size()),
                                 host_.memory.tracker(number_ % 64), &reference_);
      sent_ = true;
    }
    const std::uint32_t readable = host_.engine.readable(id_);
    if (readable != 0) {
      back_.resize(back_.size() + readable);
      host_.engine.peek(id_, std::span(back_).last(readable));
      host_.engine.consume(id_, readable);
    }
    if (sent_ && !closed_ && back_.size() == text_.size()) {
      host_.engine.close(id_, rig_.wire.now());
      closed_ = true;
    }
    if (closed_ && (state == tcp::State::time_wait || state == tcp::State::closed)) {
      host_.engine.release(id_);
      done_ = true;
    }
    return done_;
  }
  [[nodiscard]] bool is_right() const { return back_ == text_ && reference_.count == 0; }
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  Rig& rig_;
  WorkerHost& host_;
  unsigned number_;
  tcp::ConnectionId id_;
  std::uint16_t port_ = 0;
  std::vector<std::byte> text_;
  std::vector<std::byte> back_;
  tcp::SendReference reference_;
  bool sent_ = false;
  bool closed_ = false;
  bool done_ = false;
};

/// `each` connections of every worker at once, to their end.
inline void exchange(Rig& rig, unsigned each) {
  std::vector<std::unique_ptr<Caller>> callers;
  for (std::size_t worker = 0; worker < rig.options.workers; ++worker)
    for (unsigned i = 0; i < each; ++i) callers.push_back(std::make_unique<Caller>(rig, worker, i));
  EXPECT_TRUE(rig.run_until([&] {
    bool all = true;
    for (const auto& caller : callers) all &= caller->step();
    return all;
  }));
  for (const auto& caller : callers) EXPECT_TRUE(caller->is_right());
}

}  // namespace pollux::worker::test
