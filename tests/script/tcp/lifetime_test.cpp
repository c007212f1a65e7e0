// How long a connection and its tuple are believed in: R1 and R2, the timer profiles, TIME-WAIT and
// the ports that it blocks. Read first: RFC 9293 3.6 and 3.8.3, RFC 6298 2.4, RFC 6056, RFC 6191.
#include <gtest/gtest.h>

#include <set>

#include "dataplane/tcp/rtt.hpp"
#include "dataplane/tcp/time_wait.hpp"
#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::SentSegment;
using sim::TcpScript;
using tcp::EndReason;
using tcp::EngineTimers;
using tcp::State;

constexpr sim::PeerOffer kPlain{.mss = 1000, .sack = false, .timestamps = false};
constexpr sim::PeerOffer kStamped{.mss = 1012, .sack = false, .timestamps = true};

// --- R1 and R2
// -------------------------------------------------------------------------------------------

TEST(TcpLifetime, C63_TheThirdVainRetransmissionIsTold) {
  TcpScript s;
  s.establish(kPlain);
  s.events();
  s.send("lost");
  s.discard();
  s.advance(200ms + 400ms + 50ms);
  EXPECT_EQ(s.events(), 0u);
  s.advance(800ms);
  EXPECT_EQ(s.events(), tcp::kStruggling);
  EXPECT_EQ(s.counters().struggling.get(), 1u);
  EXPECT_EQ(s.state(), State::established);
  s.advance(10s);
  EXPECT_EQ(s.events(), 0u);  // once
  s.receive({.ack = 5});
  EXPECT_EQ(s.events(), tcp::kSendSpace);
  s.send("again");
  s.advance(100s);
  EXPECT_NE(s.events() & tcp::kStruggling, 0u);  // the next segment counts anew
  EXPECT_EQ(s.counters().struggling.get(), 2u);
}

TEST(TcpLifetime, C63_R2IsAHundredSecondsUnlessTheOwnerAsksForLess) {
  {
    TcpScript s;
    s.establish(kPlain);
    s.send("lost");
    s.advance(99s);
    EXPECT_EQ(s.state(), State::established);
    s.advance(1100ms);
    EXPECT_EQ(s.engine().end_reason(s.id), EndReason::user_timeout);
  }
  TcpScript s;
  tcp::OpenRequest request = s.request();
  request.user_timeout = 7s;
  s.open(request);
  s.receive_syn_ack(kPlain);
  s.send("lost");
  s.advance(6900ms);
  EXPECT_EQ(s.state(), State::established);
  s.advance(200ms);
  EXPECT_EQ(s.engine().end_reason(s.id), EndReason::user_timeout);
}

// --- Timer profiles
// --------------------------------------------------------------------------------------

sim::TcpHostOptions with_timers(const EngineTimers& timers) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.timers = timers;
  return options;
}

/// Sends `segments` of 1000 bytes after a sample of a few microseconds, and returns how long the
/// first copy of one takes.
Duration timeout_of(const EngineTimers& timers, const sim::PeerOffer& offer, int segments) {
  TcpScript s(with_timers(timers));
  s.establish(offer);
  s.send(pattern(1000));
  s.receive({.ack = 1001});
  s.discard();
  s.send(pattern(static_cast<std::size_t>(segments) * 1000));
  s.discard();
  const Instant sent = s.clock.now();
  while (s.waiting() == 0 && s.clock.now() < sent + 5s) s.advance(1ms);
  return s.clock.now() - sent;
}

TEST(TcpLifetime, C64_EachProfileHasItsClamp) {
  for (const EngineTimers& timers :
       {EngineTimers::strict(), EngineTimers::default_profile(), EngineTimers::san()}) {
    EXPECT_GE(timers.rto_max, 60s);  // RFC 6298 2.5
    EXPECT_EQ(timers.rto_initial, 1s);
    tcp::RttEstimator rtt;
    rtt.on_sample(50us, timers.rto_min, timers.rto_max);
    EXPECT_EQ(rtt.rto, timers.rto_min);
    rtt.on_sample(200s, timers.rto_min, timers.rto_max);
    EXPECT_EQ(rtt.rto, timers.rto_max);
  }
  EXPECT_EQ(EngineTimers::strict().rto_min, 1s);  // RFC 6298 2.4
  EXPECT_EQ(EngineTimers::default_profile().rto_min, 200ms);
  EXPECT_EQ(EngineTimers::san().rto_min, 10ms);
}

TEST(TcpLifetime, C64_TheClampIsWhatTheTimerWaits) {
  const auto about = [](Duration is, Duration want) {
    EXPECT_GE(is, want - 2ms);
    EXPECT_LE(is, want + 3ms);
  };
  about(timeout_of(EngineTimers::strict(), kStamped, 3), 1s);
  about(timeout_of(EngineTimers::default_profile(), kStamped, 3), 200ms);
  about(timeout_of(EngineTimers::default_profile(), kPlain, 1), 200ms);
  about(timeout_of(EngineTimers::san(), kStamped, 3), 10ms);
  // A lone segment may wait for the peer's delayed ACK.
  about(timeout_of(EngineTimers::san(), kStamped, 1), 70ms);
  // Without timestamps a timeout that was too early could not be undone.
  about(timeout_of(EngineTimers::san(), kPlain, 3), 200ms);
  about(timeout_of(EngineTimers::san(), kPlain, 1), 200ms);
}

// --- TIME-WAIT
// ----------------------------------------------------------------------------------------

/// The engine closes first; its tuple is in TIME-WAIT and the connection released.
void close_first(TcpScript& s, const sim::PeerOffer& offer = {}) {
  s.establish(offer);
  s.close();
  s.turn();
  s.expect({.flags = "FA", .seq = 1});
  s.receive({.flags = "FA", .ack = 2});
  s.expect({.flags = "A", .seq = 2, .ack = 2});
  EXPECT_EQ(s.state(), State::time_wait);
  s.engine().release(s.id);
  s.turn();
}

TEST(TcpLifetime, C92_ARecordOf32BytesReplacesTheConnection) {
  static_assert(sizeof(tcp::TimeWaitRecord) == 32);
  TcpScript s;
  const std::size_t buffers = s.host.memory.buffers_in_use();
  close_first(s);
  EXPECT_EQ(s.engine().open_connections(), 0u);
  EXPECT_EQ(s.engine().timers_armed(), 0u);
  EXPECT_EQ(s.engine().waiting_tuples(), 1u);
  s.advance(10ms);
  EXPECT_LE(s.host.memory.buffers_in_use(), buffers + 64u);  // the interface's cache
  s.receive({.flags = "FA", .ack = 2});
  s.expect({.flags = "A", .seq = 2, .ack = 2});
}

TEST(TcpLifetime, C92_TwiceTheSegmentLifetimeWithTheStrictProfile) {
  EXPECT_EQ(EngineTimers::strict().time_wait, std::chrono::minutes(4));
  TcpScript s(with_timers(EngineTimers::strict()));
  close_first(s);
  s.clock.advance(std::chrono::minutes(4) - 1s);
  s.turn();
  EXPECT_EQ(s.engine().waiting_tuples(), 1u);
  s.clock.advance(1100ms);
  s.turn();
  EXPECT_EQ(s.engine().waiting_tuples(), 0u);
}

TEST(TcpLifetime, C92_OnlyTheFinOfBeforeStartsTheTimeAgain) {
  TcpScript s;
  close_first(s);
  s.advance(900ms);
  s.receive({.flags = "FA", .seq = 500, .ack = 2});  // another FIN: answered, no more
  s.expect({.flags = "A", .seq = 2, .ack = 2});
  s.advance(200ms);
  EXPECT_EQ(s.engine().waiting_tuples(), 0u);
  close_first(s);
  s.advance(900ms);
  s.receive({.flags = "FA", .ack = 2});
  s.expect({.flags = "A", .seq = 2, .ack = 2});
  s.advance(900ms);
  EXPECT_EQ(s.engine().waiting_tuples(), 1u);
  s.advance(200ms);
  EXPECT_EQ(s.engine().waiting_tuples(), 0u);
}

TEST(TcpLifetime, C92_ResetsAndStrayDataDoNotEndIt) {
  TcpScript s;
  close_first(s);
  s.receive({.flags = "R", .seq = 2});
  s.receive({.flags = "RA", .seq = 2, .ack = 2});
  s.expect_silence();
  EXPECT_EQ(s.engine().waiting_tuples(), 1u);
  s.receive({.seq = 2, .ack = 2, .payload = "stray"});
  s.expect({.flags = "A", .seq = 2, .ack = 2, .length = 0});
  s.receive({.flags = "S", .seq = 70'000});  // nobody listens
  s.expect({.flags = "A", .seq = 2, .ack = 2});
  EXPECT_EQ(s.engine().waiting_tuples(), 1u);
}

TEST(TcpLifetime, C92_AFloodIsAnsweredWithinABound) {
  TcpScript s;
  close_first(s);
  for (int i = 0; i < 3000; ++i) {
    s.inject({.seq = 2, .ack = 2, .payload = "stray"});
    if (i % 100 == 0) s.turn();
  }
  s.turn();
  EXPECT_LE(s.counters().time_wait_acks.get(), 1001u);
  EXPECT_NE(s.counters().suppressed_time_wait_acks.get(), 0u);
}

TEST(TcpLifetime, C92_ThePortIsBlockedMeanwhile) {
  TcpScript s;
  close_first(s);
  tcp::OpenRequest again = s.request();
  again.local_port = s.local_port;
  tcp::ConnectionId other;
  EXPECT_EQ(s.engine().open(again, s.clock.now(), other), tcp::OpenError::no_free_port);
  // Another peer is another tuple.
  tcp::OpenRequest elsewhere = again;
  elsewhere.remote.port = 3261;
  EXPECT_EQ(s.engine().open(elsewhere, s.clock.now(), other), tcp::OpenError::none);
  s.engine().release(other);
  s.advance(1100ms);
  EXPECT_EQ(s.engine().open(again, s.clock.now(), other), tcp::OpenError::none);
}

TEST(TcpLifetime, C92_TheOldestGivesWayWhenTheTableIsFull) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.time_wait_records = 3;
  TcpScript s(options);
  std::vector<std::uint16_t> ports;
  for (int i = 0; i < 5; ++i) {
    close_first(s);
    ports.push_back(s.local_port);
    s.advance(10ms);
  }
  EXPECT_EQ(s.engine().waiting_tuples(), 3u);
  EXPECT_EQ(s.counters().time_wait_recycled.get(), 2u);
  for (std::size_t i = 0; i < ports.size(); ++i) {
    tcp::OpenRequest again = s.request();
    again.local_port = ports[i];
    tcp::ConnectionId other;
    EXPECT_EQ(s.engine().open(again, s.clock.now(), other),
              i < 2 ? tcp::OpenError::none : tcp::OpenError::no_free_port);
  }
}

TEST(TcpLifetime, C92_ANewSynIsTakenByRfc6191) {
  TcpScript s;
  close_first(s);
  const std::uint16_t port = s.local_port;
  sim::PortListener here(port);
  s.engine().set_listener(&here);
  // Not newer in either way: an old duplicate.
  s.receive({.flags = "S", .seq = 0, .tsval = s.peer_timestamp() - 1000});
  s.expect({.flags = "A", .seq = 2, .ack = 2});
  EXPECT_EQ(s.counters().accepted.get(), 0u);
  // The number lies beyond the last one: a new connection, above the numbers of the old.
  s.receive({.flags = "S", .seq = 100'000});
  const SentSegment answer = s.take();
  EXPECT_EQ(answer.flags, wire::kTcpSyn | wire::kTcpAck);
  EXPECT_TRUE(TcpSeq{s.iss + 2}.precedes(TcpSeq{answer.seq}));
  EXPECT_EQ(s.engine().waiting_tuples(), 0u);
  EXPECT_EQ(s.counters().time_wait_reused.get(), 1u);
  s.engine().set_listener(nullptr);
}

TEST(TcpLifetime, C92_TheTableForgetsInOrderAndFindsWhatItHas) {
  tcp::TimeWaitTable table(64, {1, 2});
  const Instant start{};
  const auto tuple = [&](std::uint16_t port) {
    return table.tuple({net::IpAddress::v4(10, 99, 0, 1), 3260}, port);
  };
  for (std::uint16_t port = 0; port < 64; ++port)
    EXPECT_FALSE(table.insert({.tuple = tuple(port)}, start + Duration(10ms) * (port + 1)));
  EXPECT_EQ(table.size(), 64u);
  EXPECT_TRUE(table.insert({.tuple = tuple(100)}, start + 2s));
  EXPECT_FALSE(table.contains(tuple(0)));
  EXPECT_FALSE(table.insert({.tuple = tuple(100)}, start + 2s));  // the same one again
  EXPECT_EQ(table.size(), 64u);
  table.restart(*table.find(tuple(1)), start + 3s);
  EXPECT_EQ(table.expire(start + 1s, 10), 10u);
  EXPECT_EQ(table.expire(start + 1s, 1000), 52u);
  EXPECT_TRUE(table.contains(tuple(1)));
  EXPECT_TRUE(table.contains(tuple(100)));
  EXPECT_GE(table.next_deadline(), start + 2s);
  EXPECT_LE(table.next_deadline(), start + 2s + 3ms);
  EXPECT_EQ(table.expire(start + 4s, 1000), 2u);
  EXPECT_EQ(table.next_deadline(), kNever);
}

// --- Ports
// ------------------------------------------------------------------------------------------------

TEST(TcpLifetime, PortsAreRandomAndPassByTimeWait) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.timers.time_wait = 100s;
  TcpScript s(options);
  std::set<std::uint16_t> used;
  int steps = 0;
  std::uint16_t before = 0;
  for (int i = 0; i < 1000; ++i) {
    close_first(s);
    EXPECT_GE(s.local_port, 32'768);
    EXPECT_TRUE(used.insert(s.local_port).second);  // RFC 6056: none of those in TIME-WAIT
    steps += s.local_port == before + 1 ? 1 : 0;
    before = s.local_port;
    s.advance(1ms);  // the port's ring empties
  }
  EXPECT_LE(steps, 3);
}

TEST(TcpLifetime, ThePortPolicyHasASayInEveryChoice) {
  TcpScript s;
  struct Seen {
    int asked = 0;
  } seen;
  // Refuses odd ports and moves the others to a multiple of four.
  s.engine().set_port_policy({.choose = [](void* context, const net::Endpoint& remote,
                                           std::uint16_t candidate) noexcept -> std::uint16_t {
                                ++static_cast<Seen*>(context)->asked;
                                if (remote.port != TcpScript::kPeerPort || candidate % 2 != 0)
                                  return 0;
                                return static_cast<std::uint16_t>(candidate & ~3u);
                              },
                              .context = &seen});
  for (int i = 0; i < 50; ++i) {
    close_first(s);
    EXPECT_EQ(s.local_port % 4, 0);
  }
  EXPECT_GT(seen.asked, 50);
  s.engine().set_port_policy({.choose = [](void*, const net::Endpoint&,
                                           std::uint16_t) noexcept -> std::uint16_t { return 0; }});
  tcp::ConnectionId other;
  EXPECT_EQ(s.engine().open(s.request(), s.clock.now(), other), tcp::OpenError::no_free_port);
}

}  // namespace
}  // namespace pollux
