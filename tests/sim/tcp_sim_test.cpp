// Two engines over a wire that loses, doubles, delays and damages frames: whatever the seed, each
// byte arrives exactly once and in order, everything borrowed is given back, and nothing stalls.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/tcp_host.hpp"

namespace pollux {
namespace {

using sim::TcpHost;

constexpr std::uint16_t kPort = 3260;

/// Byte `i` of a stream: no shift or repetition of it looks like another part.
std::byte content(std::uint64_t stream, std::uint64_t i) {
  std::uint64_t z = (i / 8 + 1) * 0x9e37'79b9'7f4a'7c15u + stream * 0xd1b5'4a32'd192'ed03u;
  z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9u;
  z ^= z >> 27;
  return static_cast<std::byte>(z >> (i % 8 * 8));
}

/// Writes a stream into a connection and checks the one that comes back.
class Talker {
 public:
  Talker(TcpHost& host, std::uint64_t stream, std::uint64_t total, Random random)
      : host_(host), stream_(stream), total_(total), random_(random) {
    memory_.resize(total);
    for (std::uint64_t i = 0; i < total; ++i) memory_[i] = content(stream, i);
  }

  void on_event(const tcp::Event& event) {
    if (!connected_ && (event.bits & tcp::kEstablished) != 0) {
      id_ = event.id;
      connected_ = true;
    }
    if (!(event.id == id_)) return;
    if ((event.bits & tcp::kPeerClosed) != 0) peer_closed_ = true;
    if ((event.bits & tcp::kEnded) != 0) ended_ = true;
  }

  /// Does a bit of what an owner does; true when something changed.
  bool step(Instant now) {
    if (!connected_ || released_) return false;
    const bool wrote = write();
    const bool read_some = read();
    if (sent_ == total_ && !closed_) {
      closed_ = true;
      host_.engine.end_sending(id_, now);
    }
    if (ended_ && host_.engine.readable(id_) == 0) {
      reason_ = host_.engine.end_reason(id_);
      host_.engine.release(id_);
      released_ = true;
      return true;
    }
    return wrote || read_some;
  }

  [[nodiscard]] bool done() const { return released_; }
  [[nodiscard]] tcp::EndReason reason() const { return reason_; }
  [[nodiscard]] std::uint64_t received() const { return received_; }
  [[nodiscard]] bool peer_closed() const { return peer_closed_; }
  [[nodiscard]] std::uint32_t references() const { return reference_.count; }
  [[nodiscard]] std::uint64_t mismatches() const { return mismatches_; }

 private:
  bool write() {
    const tcp::SendSpace space = host_.engine.send_space(id_);
    if (sent_ == total_ || space.descriptors == 0) return false;
    std::uint64_t length = std::min<std::uint64_t>(1 + random_.below(20'000), total_ - sent_);
    if (random_.below(2) == 0) {
      length = std::min<std::uint64_t>({length, space.inline_bytes, 1 + random_.below(200)});
      if (length == 0) return false;
      host_.engine.send_inline(id_, std::span(memory_).subspan(sent_, length));
    } else {
      host_.engine.send_external(id_, &memory_[sent_], static_cast<std::uint32_t>(length),
                                 host_.memory.tracker(0), &reference_);
    }
    sent_ += length;
    return true;
  }

  bool read() {
    bool any = false;
    while (host_.engine.readable(id_) != 0 && random_.below(8) != 0) {
      any = true;
      const std::uint32_t readable = host_.engine.readable(id_);
      if (random_.below(2) == 0) {
        const std::span<std::byte> bytes = host_.engine.front(id_);
        const std::uint32_t n = 1 + random_.below(static_cast<std::uint32_t>(bytes.size()));
        check(bytes.first(n));
        host_.engine.consume(id_, n);
      } else {
        tcp::RxView view;
        const std::uint32_t n = host_.engine.take_front(id_, 1 + random_.below(readable), view);
        if (n == 0) break;  // no buffer is free to hand it over in
        check({view.data, n});
        host_.memory.release(view.handle);
      }
    }
    return any;
  }

  void check(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes)
      if (byte != content(stream_ ^ 1, received_++)) ++mismatches_;
  }

  TcpHost& host_;
  std::uint64_t stream_;
  std::uint64_t total_;
  Random random_;
  std::vector<std::byte> memory_;
  tcp::ConnectionId id_;
  tcp::SendReference reference_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t mismatches_ = 0;
  bool connected_ = false;
  bool closed_ = false;
  bool peer_closed_ = false;
  bool ended_ = false;
  bool released_ = false;
  tcp::EndReason reason_ = tcp::EndReason::none;
};

/// A narrow host drops for want of places, which its peer sees as loss.
sim::TcpHostOptions host_options(std::uint8_t number, bool narrow, Random& random) {
  sim::TcpHostOptions options;
  options.config.address = net::IpAddress::v4(10, 99, 0, number);
  options.port.mac = {2, 0, 0, 0, 0, number};
  options.port.tx_checksum = random.below(2) == 0;
  options.port.scatter = random.below(2) == 0;
  options.port.tx_segments_max = static_cast<std::uint8_t>(2 + random.below(7));
  options.port.transmit_most = random.below(4) == 0 ? 9 : SIZE_MAX;  // a frame at least
  options.limits.receive_window_bytes = 1u << (13 + random.below(8));
  options.limits.receive_views = narrow && random.below(3) == 0 ? 16 : 4096;
  options.limits.out_of_order_views = narrow && random.below(3) == 0 ? 4 : 256;
  options.limits.send_descriptors = random.below(3) == 0 ? 8 : 1024;
  options.timers.time_wait = 120s;  // a peer that repeats its FIN for that long is answered
  options.seed = random.next();
  return options;
}

/// Every counter that is not zero, for the report of a failing seed.
std::string describe(const TcpHost& host) {
  std::string text;
  for (const tcp::CounterRow& row : tcp::kCounterRows) {
    const std::uint64_t value = (host.engine.counters().*row.member).get();
    if (value != 0) text += "  " + std::string(row.name) + " " + std::to_string(value) + "\n";
  }
  return text;
}

struct Outcome {
  std::uint64_t timeouts = 0;
  std::uint64_t fast_recoveries = 0;
  bool ipv6 = false;  ///< in: both hosts speak IPv6 in a VLAN
};

/// As host_options() leaves them, in the other family and with the tag put in here or by the port.
void switch_to_ipv6(sim::TcpHostOptions& options, std::uint8_t number, Random& random) {
  options.config.address = {};
  options.config.address6 = {{0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number}};
  options.config.vlan_id = 7;
  options.config.priority = static_cast<std::uint8_t>(random.below(8));
  // A server that comes up while it is asked for answers too few of the three solicitations.
  options.config.dad_transmits = static_cast<std::uint8_t>(number == 1 ? random.below(2) : 0);
  options.port.vlan_offload = random.below(2) == 0;
}

void drain_events(TcpHost& host, Talker& talker) {
  std::array<tcp::Event, 8> events;
  const std::size_t count = host.engine.take_events(events);
  for (std::size_t i = 0; i < count; ++i) talker.on_event(events[i]);
}

void run_seed(std::uint64_t seed, const std::function<void(sim::SimWire&, Random&)>& spoil,
              std::uint64_t total, bool narrow, Outcome& outcome) {
  Random random(seed);
  sim::SimWire wire(random.next(), Instant{1000s});
  if (const char* path = std::getenv("POLLUX_SIM_PCAPNG")) wire.record(path);
  sim::TcpHostOptions client_options = host_options(1, narrow, random);
  sim::TcpHostOptions server_options = host_options(2, narrow, random);
  if (outcome.ipv6) {
    switch_to_ipv6(client_options, 1, random);
    switch_to_ipv6(server_options, 2, random);
  }
  sim::PortListener listener(kPort);
  TcpHost client(wire, 0, client_options);
  TcpHost server(wire, 1, server_options);
  server.engine.set_listener(&listener);
  Talker left(client, 2 * seed, 1 + random.below(static_cast<std::uint32_t>(total)),
              Random(random.next()));
  Talker right(server, 2 * seed + 1, 1 + random.below(static_cast<std::uint32_t>(total)),
               Random(random.next()));
  spoil(wire, random);
  tcp::ConnectionId id;
  const tcp::OpenRequest request{
      .remote = {outcome.ipv6 ? server_options.config.address6 : server_options.config.address,
                 kPort},
      .connect_timeout = 1000s,  // a damaged ARP reply costs a minute
      .user_timeout = 1000s};
  ASSERT_EQ(client.engine.open(request, wire.now(), id), tcp::OpenError::none);
  const Instant limit = wire.now() + 3000s;
  std::uint64_t turns = 0;
  while (!(left.done() && right.done())) {
    ASSERT_LT(++turns, 2'000'000u) << "livelock";
    bool busy = false;
    for (TcpHost* host : {&client, &server}) {
      Talker& talker = host == &client ? left : right;
      busy |= host->turn(wire.now()) != 0;
      drain_events(*host, talker);
      busy |= talker.step(wire.now());
      busy |= host->send(wire.now()) != 0;
    }
    if (busy) continue;
    const Instant next =
        std::min({wire.next_event(), client.next_deadline(), server.next_deadline()});
    ASSERT_LT(next, limit) << "stall";
    // A timer may be as late as one tick of the wheel.
    wire.advance(std::max(next, wire.now() + Duration{1 << 14}));
  }
  EXPECT_EQ(left.mismatches() + right.mismatches(), 0u);
  EXPECT_EQ(left.reason(), tcp::EndReason::closed);
  EXPECT_EQ(right.reason(), tcp::EndReason::closed);
  EXPECT_TRUE(left.peer_closed() && right.peer_closed());
  // TIME-WAIT runs out, frames under way complete.
  for (int i = 0; i < 130; ++i) {
    wire.advance(wire.now() + 1s);
    for (TcpHost* host : {&client, &server}) {
      host->turn(wire.now());
      std::array<tcp::Event, 8> events;
      host->engine.take_events(events);
      host->send(wire.now());
    }
  }
  EXPECT_EQ(left.references() + right.references(), 0u);
  EXPECT_EQ(client.engine.open_connections() + server.engine.open_connections(), 0u);
  for (TcpHost* host : {&client, &server}) {
    outcome.timeouts += host->engine.counters().timeouts.get();
    outcome.fast_recoveries += host->engine.counters().fast_recoveries.get();
    EXPECT_EQ(host->memory.in_flight(*host->memory.tracker(0)), 0u);
    // What the interface keeps in hand is not lost: at most one cache of buffers and one burst.
    EXPECT_LE(host->memory.buffers_in_use(), 32u + 64u);
  }
  if (testing::Test::HasFailure())
    ADD_FAILURE() << "client:\n" << describe(client) << "server:\n" << describe(server);
}

void run_seeds(std::uint64_t first, std::uint64_t count, std::uint64_t total, bool narrow,
               const std::function<void(sim::SimWire&, Random&)>& spoil, Outcome& outcome) {
  // More seeds, or one again: POLLUX_SIM_COUNT, POLLUX_SIM_SEED (with POLLUX_SIM_PCAPNG for a
  // capture).
  if (const char* more = std::getenv("POLLUX_SIM_COUNT")) count = std::strtoull(more, nullptr, 10);
  if (const char* only = std::getenv("POLLUX_SIM_SEED")) {
    first = std::strtoull(only, nullptr, 10);
    count = 1;
  }
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    run_seed(seed, spoil, total, narrow, outcome);
    if (testing::Test::HasFatalFailure() || testing::Test::HasNonfatalFailure()) return;
  }
}

TEST(TcpSim, CleanWireNeedsNoRetransmission) {
  Outcome outcome;
  run_seeds(
      1, 20, 2'000'000, false, [](sim::SimWire&, Random&) {}, outcome);
  EXPECT_EQ(outcome.fast_recoveries, 0u);
}

TEST(TcpSim, BytesArriveOnceAndInOrderOverABadWire) {
  Outcome outcome;
  run_seeds(
      1000, 200, 300'000, true,
      [](sim::SimWire& wire, Random& random) {
        for (std::size_t from : {0u, 1u}) {
          sim::WireFaults& faults = wire.faults(from);
          faults.drop_ppm = random.below(80'000);
          faults.duplicate_ppm = random.below(40'000);
          faults.reorder_ppm = random.below(80'000);
          faults.corrupt_ppm = random.below(20'000);
          faults.truncate_ppm = random.below(10'000);
          faults.delay = Duration{1000 + random.below(2'000'000)};
          faults.jitter = Duration{random.below(100'000)};
        }
      },
      outcome);
  EXPECT_NE(outcome.timeouts, 0u);
  EXPECT_NE(outcome.fast_recoveries, 0u);
}

TEST(TcpSim, BytesArriveOnceAndInOrderOverABadWireOfIpv6InAVlan) {
  Outcome outcome;
  outcome.ipv6 = true;
  run_seeds(
      7000, 60, 300'000, true,
      [](sim::SimWire& wire, Random& random) {
        for (std::size_t from : {0u, 1u}) {
          sim::WireFaults& faults = wire.faults(from);
          faults.drop_ppm = random.below(40'000);
          faults.duplicate_ppm = random.below(40'000);
          faults.reorder_ppm = random.below(40'000);
          faults.corrupt_ppm = random.below(20'000);
          faults.truncate_ppm = random.below(10'000);
          faults.delay = Duration{1000 + random.below(2'000'000)};
        }
      },
      outcome);
  EXPECT_NE(outcome.timeouts, 0u);
  EXPECT_NE(outcome.fast_recoveries, 0u);
}

TEST(TcpSim, ASlowLinkWithAShortQueueIsShared) {
  Outcome outcome;
  run_seeds(
      5000, 20, 2'000'000, false,
      [](sim::SimWire& wire, Random& random) {
        for (std::size_t from : {0u, 1u}) {
          sim::WireFaults& faults = wire.faults(from);
          faults.bits_per_second = 100'000'000;
          faults.queue_bytes = 20'000 + random.below(60'000);
          faults.delay = 1ms;
        }
      },
      outcome);
}

}  // namespace
}  // namespace pollux
