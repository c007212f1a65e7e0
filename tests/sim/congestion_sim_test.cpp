// Bulk transfers of two engines under each congestion control: over a wire that loses, and over a
// bottleneck that marks instead. The figures are properties in the runner's XML.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/support/tcp_host.hpp"

namespace pollux {
namespace {

using sim::TcpHost;
using tcp::CongestionAlgorithm;
using tcp::CongestionOptions;

constexpr std::uint16_t kPort = 3260;

sim::TcpHostOptions host_options(std::uint8_t number, const CongestionOptions& congestion) {
  sim::TcpHostOptions options;
  options.config.address = net::IpAddress::v4(10, 99, 0, number);
  options.port.mac = {2, 0, 0, 0, 0, number};
  options.limits.receive_window_bytes = 4 << 20;
  options.limits.receive_views = 4096;
  options.limits.congestion = congestion;
  options.memory.buffers = 16'384;
  return options;
}

struct Result {
  std::uint64_t bytes = 0;  ///< read by the receiver
  std::uint64_t retransmitted = 0;
  std::uint64_t timeouts = 0;
  std::uint64_t reductions = 0;  ///< for an echo
  std::uint64_t marked = 0;
  std::uint64_t queue_dropped = 0;
};

/// Sends from end 0 to end 1 for as long as `run` lasts.
Result transfer(sim::SimWire& wire, const CongestionOptions& congestion, Duration run) {
  sim::PortListener listener(kPort);
  TcpHost client(wire, 0, host_options(1, congestion));
  TcpHost server(wire, 1, host_options(2, congestion));
  server.engine.set_listener(&listener);
  tcp::ConnectionId id;
  tcp::ConnectionId accepted;
  const tcp::OpenRequest request{.remote = {net::IpAddress::v4(10, 99, 0, 2), kPort}};
  EXPECT_EQ(client.engine.open(request, wire.now(), id), tcp::OpenError::none);
  const std::vector<std::byte> data(64 * 1024);
  Result result;
  bool is_open = false;
  const Instant until = wire.now() + run;
  while (wire.now() < until) {
    std::size_t work = 0;
    for (TcpHost* host : {&client, &server}) {
      work += host->turn(wire.now());
      std::array<tcp::Event, 8> events;
      const std::size_t count = host->engine.take_events(events);
      for (std::size_t i = 0; i < count; ++i) {
        if ((events[i].bits & tcp::kEstablished) == 0) continue;
        if (host == &server) accepted = events[i].id;
        is_open = true;
      }
      if (host == &client && is_open && client.engine.send_space(id).descriptors > 512)
        client.engine.send_external(id, data.data(), static_cast<std::uint32_t>(data.size()),
                                    client.memory.tracker(0), nullptr);
      const std::uint32_t readable = server.engine.readable(accepted);
      result.bytes += readable;
      if (readable != 0) server.engine.consume(accepted, readable);
      work += host->send(wire.now());
    }
    if (work != 0) continue;
    const Instant next =
        std::min({wire.next_event(), client.next_deadline(), server.next_deadline(), until});
    wire.advance(std::max(next, wire.now() + Duration{1 << 14}));
  }
  const tcp::Counters& counters = client.engine.counters();
  result.retransmitted = counters.segments_retransmitted.get();
  result.timeouts = counters.timeouts.get();
  result.reductions = counters.ecn_reductions.get();
  result.marked = wire.hits(0).marked;
  result.queue_dropped = wire.hits(0).queue_dropped;
  return result;
}

double megabits(const Result& result, Duration run) {
  return static_cast<double>(result.bytes) * 8e3 / static_cast<double>(run.count());
}

void record(const std::string& name, const Result& result, Duration run) {
  testing::Test::RecordProperty(name + "_kbit_per_s",
                                static_cast<int>(megabits(result, run) * 1000));
  testing::Test::RecordProperty(name + "_retransmitted", static_cast<int>(result.retransmitted));
  testing::Test::RecordProperty(name + "_timeouts", static_cast<int>(result.timeouts));
  testing::Test::RecordProperty(name + "_marked", static_cast<int>(result.marked));
}

TEST(CongestionSim, CubicAndNewRenoBothGetOnOverALossyWire) {
  constexpr Duration kRun = 10s;
  const auto run = [&](const char* name, CongestionAlgorithm algorithm) {
    sim::SimWire wire(7, Instant{1000s});
    for (std::size_t from : {0u, 1u}) wire.faults(from).delay = 5ms;
    wire.faults(0).drop_ppm = 10'000;
    const Result result = transfer(wire, {.algorithm = algorithm}, kRun);
    record(name, result, kRun);
    EXPECT_GT(result.retransmitted, 0u);
    return megabits(result, kRun);
  };
  const double cubic = run("cubic", CongestionAlgorithm::cubic);
  const double newreno = run("newreno", CongestionAlgorithm::newreno);
  // MSS / RTT * sqrt(3/2) / sqrt(p): 14 Mbit/s for Reno at one loss in a hundred.
  EXPECT_GT(newreno, 7);
  EXPECT_GT(cubic, 7);
  EXPECT_GT(cubic, newreno * 0.8);
}

TEST(CongestionSim, OnALongFatPathCubicIsFarAheadOfReno) {
  constexpr Duration kRun = 60s;
  const auto run = [&](const char* name, CongestionAlgorithm algorithm) {
    sim::SimWire wire(11, Instant{1000s});
    for (std::size_t from : {0u, 1u}) wire.faults(from).delay = 50ms;
    wire.faults(0).drop_ppm = 100;
    const Result result = transfer(wire, {.algorithm = algorithm}, kRun);
    record(name, result, kRun);
    return megabits(result, kRun);
  };
  const double cubic = run("cubic", CongestionAlgorithm::cubic);
  const double newreno = run("newreno", CongestionAlgorithm::newreno);
  EXPECT_GT(cubic, newreno * 1.5);
}

TEST(CongestionSim, ABottleneckThatMarksIsFilledWithoutALoss) {
  constexpr Duration kRun = 2s;
  const auto run = [&](const char* name, const CongestionOptions& congestion) {
    sim::SimWire wire(3, Instant{1000s});
    for (std::size_t from : {0u, 1u}) wire.faults(from).delay = 100us;
    wire.faults(0).bits_per_second = 200'000'000;
    wire.faults(0).queue_bytes = 400'000;
    wire.faults(0).mark_above_bytes = 30'000;  // six times what the round trip holds
    const Result result = transfer(wire, congestion, kRun);
    record(name, result, kRun);
    EXPECT_EQ(result.retransmitted + result.timeouts + result.queue_dropped, 0u) << name;
    EXPECT_GT(result.reductions, 0u) << name;
    EXPECT_GT(megabits(result, kRun), 160) << name;
    return result;
  };
  run("dctcp", {.algorithm = CongestionAlgorithm::dctcp});
  run("cubic", {.algorithm = CongestionAlgorithm::cubic, .ecn = true});
  run("newreno", {.algorithm = CongestionAlgorithm::newreno, .ecn = true});
}

}  // namespace
}  // namespace pollux
