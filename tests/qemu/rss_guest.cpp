// Runs inside the virtual machine of scripts/qemu-rss: two workers' TCP on two queues of a real
// driver, connections to the peer outside, and the question whether each reply came by the queue
// that was predicted for it. Then the same with a key uploaded behind everybody's back: that must
// be found out, or the first answer was worth nothing.
#include <rte_ethdev.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/net/counters.hpp"
#include "dataplane/net/interface.hpp"
#include "dataplane/platform/dpdk_port.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/tsc_clock.hpp"
#include "dataplane/tcp/counters.hpp"
#include "dataplane/tcp/engine.hpp"
#include "dataplane/worker/shared_port.hpp"
#include "dataplane/worker/steered_ports.hpp"

namespace pollux {
namespace {

constexpr std::size_t kWorkers = 2;
constexpr unsigned kConnectionsEach = 64;
constexpr net::IpAddress kOurs = net::IpAddress::v4(10, 99, 0, 2);
constexpr net::IpAddress kPeer = net::IpAddress::v4(10, 99, 0, 1);
constexpr std::uint16_t kPeerPort = 3260;
constexpr std::uint32_t kBytes = 3000;
constexpr Duration kLimit = 60s;

int failures = 0;

void check(bool good, const std::string& what) {
  std::printf("%s: %s\n", good ? "ok" : "FAILED", what.c_str());
  if (!good) ++failures;
}

/// Passes through to a queue and keeps count of what the device said of the frames' hashes.
class WatchedQueue final : public platform::Port {
 public:
  WatchedQueue(platform::DpdkPort& queue) : queue_(queue) {}
  [[nodiscard]] const platform::PortInfo& info() const noexcept override { return queue_.info(); }
  std::size_t receive(std::span<platform::RxSegment> segments) noexcept override {
    const std::size_t count = queue_.receive(segments);
    for (const platform::RxSegment& segment : segments.first(count))
      hashes += (segment.flags & platform::kRxHash) != 0 ? 1u : 0u;
    return count;
  }
  std::size_t transmit(std::span<const platform::TxSegment> segments) noexcept override {
    return queue_.transmit(segments);
  }
  void reclaim() noexcept override { queue_.reclaim(); }
  [[nodiscard]] platform::PortState check() noexcept override { return queue_.check(); }
  void shut() noexcept override { queue_.shut(); }
  std::uint64_t hashes = 0;

 private:
  platform::DpdkPort& queue_;
};

struct Host {
  Host(platform::Port& port, platform::PacketMemory& memory, const platform::Steering& steering,
       unsigned worker, Instant start)
      : interface({.address = kOurs, .prefix_length = 24, .gateway = {}}, port, memory, start),
        engine({.connections = 256, .send_inline_bytes = 4096}, {}, interface, memory,
               Random(static_cast<std::uint64_t>(start.time_since_epoch().count()) + worker),
               start),
        ports(steering, worker, interface,
              Random(~static_cast<std::uint64_t>(start.time_since_epoch().count()) + worker)) {
    engine.set_port_policy(ports.policy());
  }
  void turn(Instant now) {
    std::size_t frames = 0;
    const std::size_t count = interface.receive(now, datagrams, frames);
    for (std::size_t i = 0; i < count; ++i) engine.input(datagrams[i], now);
    interface.run_timers(now);
    engine.run_timers(now, 64);
    std::array<tcp::Event, 64> events;
    engine.take_events(events);
    engine.output(now);
    interface.flush();
  }

  net::Interface interface;
  tcp::Engine engine;
  worker::SteeredPorts ports;
  std::array<net::TcpDatagram, 64> datagrams;
};

struct Connection {
  tcp::ConnectionId id;
  bool sent = false;
  bool done = false;
};

class Machine {
 public:
  bool open(const char* device) {
    std::string error;
    std::array<platform::DpdkPacketMemory*, kWorkers> pools{};
    for (std::size_t i = 0; i < kWorkers; ++i) {
      memories_[i] = platform::DpdkPacketMemory::create({.rx_buffers = 4096}, error);
      pools[i] = memories_[i].get();
      if (pools[i] == nullptr) return refused(error);
    }
    platform::PortOptions options;
    options.name = device;
    options.rx_descriptors = 1024;  // see scripts/qemu-rss
    if (!platform::open_queues(options, pools, 0x706f'6c6c, opened, error)) return refused(error);
    std::printf("driver %s: %s\n", opened.queues.front()->driver().c_str(), opened.words.c_str());
    check(opened.queues.size() == kWorkers, "the device has a queue pair for each worker");
    check(opened.device_steers, "the device has taken key and table");
    return opened.queues.size() == kWorkers;
  }

  /// Connects, sends and reads back `kConnectionsEach` times per worker, on a fresh shared port.
  worker::SteeringVerdict run(const char* title) {
    std::printf("--- %s\n", title);
    std::vector<platform::Port*> queues;
    std::vector<platform::PacketMemory*> pools;
    std::array<std::uint64_t, kWorkers> frames_before{};
    std::vector<std::unique_ptr<WatchedQueue>> watched;
    for (std::size_t i = 0; i < kWorkers; ++i) {
      watched.push_back(std::make_unique<WatchedQueue>(*opened.queues[i]));
      queues.push_back(watched.back().get());
      pools.push_back(memories_[i].get());
      frames_before[i] = opened.queues[i]->counters().rx_frames.get();
    }
    worker::SharedPort shared({.queues = queues,
                               .memories = pools,
                               .steering = *opened.steering,
                               .device_steers = opened.device_steers,
                               .device_steers_ipv6 = opened.device_steers_ipv6});
    check(exchange(shared), "every byte of " + std::to_string(kConnectionsEach * kWorkers) +
                                " connections came back");
    for (std::size_t i = 0; i < kWorkers; ++i) {
      const worker::HandoverCounters& c = shared.counters(i);
      std::printf(
          "worker %zu: %lu frames on its queue, %lu with a hash, %lu first segments checked, "
          "%lu handed over, %lu wrong hashes, %lu on a wrong queue\n",
          i, opened.queues[i]->counters().rx_frames.get() - frames_before[i], watched[i]->hashes,
          c.hash_checked.get(), c.given.get(), c.hash_mismatches.get(), c.wrong_queue.get());
      given += c.given.get();
      checked += c.hash_checked.get();
      on_queue[i] = opened.queues[i]->counters().rx_frames.get() - frames_before[i];
    }
    return shared.verdict();
  }

  platform::OpenedQueues opened;
  std::uint64_t given = 0;
  std::uint64_t checked = 0;
  std::array<std::uint64_t, kWorkers> on_queue{};

 private:
  static bool refused(const std::string& error) {
    check(false, error);
    return false;
  }
  bool exchange(worker::SharedPort& shared) {
    std::vector<std::unique_ptr<Host>> hosts;
    for (unsigned i = 0; i < kWorkers; ++i)
      hosts.push_back(std::make_unique<Host>(shared.share(i), *memories_[i], *opened.steering, i,
                                             clock_.now()));
    std::vector<std::vector<Connection>> connections(kWorkers);
    for (std::size_t i = 0; i < kWorkers; ++i) {
      for (unsigned k = 0; k < kConnectionsEach; ++k) {
        tcp::OpenRequest request;
        request.remote = {kPeer, kPeerPort};
        Connection& connection = connections[i].emplace_back();
        if (hosts[i]->engine.open(request, clock_.now(), connection.id) != tcp::OpenError::none)
          return false;
      }
    }
    const Instant end = clock_.now() + kLimit;
    for (bool all = false; !all && clock_.now() < end;) {
      all = true;
      for (std::size_t i = 0; i < kWorkers; ++i) {
        hosts[i]->turn(clock_.now());
        for (Connection& connection : connections[i]) all &= step(hosts[i]->engine, connection);
      }
    }
    // The last resets leave, so that the peer has forgotten everything before the next run.
    const bool finished = clock_.now() < end;
    for (const Instant later = clock_.now() + 50ms; clock_.now() < later;)
      for (const auto& host : hosts) host->turn(clock_.now());
    if (finished) return true;
    for (std::size_t i = 0; i < kWorkers; ++i)
      explain(*hosts[i], connections[i], shared.counters(i));
    return false;
  }
  /// What is known of the connections that did not come to their end.
  static void explain(const Host& host, const std::vector<Connection>& connections,
                      const worker::HandoverCounters& handover) {
    for (const Connection& connection : connections)
      if (!connection.done)
        std::printf("worker's connection at port %u: state %u, ended for reason %u, %u readable\n",
                    host.engine.local(connection.id).port,
                    static_cast<unsigned>(host.engine.state(connection.id)),
                    static_cast<unsigned>(host.engine.end_reason(connection.id)),
                    host.engine.readable(connection.id));
    std::printf(
        "worker: %lu taken over, %lu dropped for a full ring, %lu without a buffer, %lu of "
        "unknown connections, %lu sent again\n",
        handover.taken.get(), handover.dropped_full.get(), handover.dropped_no_buffer.get(),
        host.engine.counters().dropped_no_connection.get(),
        host.engine.counters().segments_retransmitted.get());
  }
  bool step(tcp::Engine& engine, Connection& connection) {
    if (connection.done) return true;
    if (!connection.sent && engine.state(connection.id) == tcp::State::established) {
      const std::vector<std::byte> text(kBytes, std::byte{'p'});
      engine.send_inline(connection.id, text);
      connection.sent = true;
    }
    if (engine.readable(connection.id) < kBytes) return false;
    engine.consume(connection.id, kBytes);
    engine.abort(connection.id, clock_.now());
    engine.release(connection.id);
    connection.done = true;
    return true;
  }

  platform::TscClock clock_{platform::tsc_hz()};
  std::array<std::unique_ptr<platform::DpdkPacketMemory>, kWorkers> memories_;
};

/// Another key than everybody believes, as after a reset that lost ours.
bool upload_other_key(std::uint16_t port, std::size_t key_bytes) {
  std::array<std::uint8_t, 128> key{};
  for (std::size_t i = 0; i < key_bytes; ++i) key[i] = static_cast<std::uint8_t>(i * 37 + 11);
  rte_eth_rss_conf conf{};
  conf.rss_key = key.data();
  conf.rss_key_len = static_cast<std::uint8_t>(key_bytes);
  conf.rss_hf = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
  return rte_eth_dev_rss_hash_update(port, &conf) == 0;
}

int run(const char* device) {
  platform::EalOptions options;
  options.instance = "rss";
  options.memory_mib = 128;
  options.hugepages = true;
  options.pci_devices = {device};
  std::string error;
  if (!platform::start_eal(options, error)) {
    check(false, error);
    return 1;
  }
  {
    Machine machine;
    if (!machine.open(device)) return 1;
    const worker::SteeringVerdict verdict = machine.run("key and table as told");
    check(verdict == worker::SteeringVerdict::confirmed, "the first segments confirm the steering");
    check(machine.checked == kConnectionsEach * kWorkers,
          "a first segment of each connection was seen");
    check(machine.given == 0, "no frame had to be handed over");
    check(machine.on_queue[0] > kConnectionsEach && machine.on_queue[1] > kConnectionsEach,
          "both queues received");
    check(upload_other_key(0, machine.opened.steering->key().size()),
          "another key can be uploaded");
    const worker::SteeringVerdict wrong = machine.run("another key behind our back");
    check(wrong == worker::SteeringVerdict::wrong_queue ||
              wrong == worker::SteeringVerdict::wrong_hash,
          "that is found out");
    check(machine.given > 0, "and workers hand frames over instead");
  }
  platform::stop_eal();
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace pollux

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (argc != 2) {
    std::fprintf(stderr, "usage: rss_guest PCI-ADDRESS\n");
    return 2;
  }
  return pollux::run(argv[1]);
}
