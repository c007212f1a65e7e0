// The congestion window: slow start, CUBIC against a table worked out here in floating point, what
// losses do to it and how that is undone, and when a window that is not used may grow.
#include "dataplane/tcp/congestion.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/support/tcp_script.hpp"

namespace pollux {
namespace {

using sim::pattern;
using sim::TcpScript;
using tcp::Congestion;
using tcp::CongestionAlgorithm;

constexpr std::uint32_t kMss = 1000;
constexpr sim::PeerOffer kOffer{.mss = 1000, .sack = false, .timestamps = false};

Congestion make(CongestionAlgorithm algorithm, std::uint32_t cwnd, std::uint32_t ssthresh) {
  Congestion c;
  c.algorithm = algorithm;
  c.cwnd = cwnd;
  c.ssthresh = ssthresh;
  return c;
}

// --- Slow start
// ------------------------------------------------------------------------------------------

TEST(TcpCongestion, C70_InitialWindowForEverySegmentSize) {
  // RFC 6928 2: min(10 MSS, max(2 MSS, 14600)).
  EXPECT_EQ(Congestion::initial_window(536), 5360u);
  EXPECT_EQ(Congestion::initial_window(1460), 14'600u);
  EXPECT_EQ(Congestion::initial_window(4096), 14'600u);
  EXPECT_EQ(Congestion::initial_window(8960), 17'920u);
  Congestion c;
  c.on_established(1460, true);
  EXPECT_EQ(c.cwnd, 1460u);  // RFC 5681 3.1: the SYN was lost
}

TEST(TcpCongestion, C71_SlowStartCountsBytesAndAtMostTwoSegments) {
  for (const auto algorithm :
       {CongestionAlgorithm::cubic, CongestionAlgorithm::newreno, CongestionAlgorithm::dctcp}) {
    Congestion c = make(algorithm, 10 * kMss, 1'000'000);
    c.on_ack(1, kMss, Instant{1s}, 1ms);  // an ACK of one byte is worth one byte
    EXPECT_EQ(c.cwnd, 10'001u);
    c.on_ack(1500, kMss, Instant{1s}, 1ms);
    EXPECT_EQ(c.cwnd, 11'501u);
    c.on_ack(9000, kMss, Instant{1s}, 1ms);  // L = 2 whatever it stretches over
    EXPECT_EQ(c.cwnd, 13'501u);
    // RFC 3465 2.3: L = 1 on the way out of a timeout.
    c.on_timeout(10'000, kMss, true);
    EXPECT_EQ(c.cwnd, kMss);
    c.on_ack(5000, kMss, Instant{1s}, 1ms);
    EXPECT_EQ(c.cwnd, 2 * kMss);
  }
}

TEST(TcpCongestion, C71_AWindowOfAStreamDoublesInARoundTrip) {
  TcpScript s;
  s.establish(kOffer);
  s.send(pattern(60'000));
  ASSERT_EQ(s.waiting(), 10u);
  s.discard();
  s.advance(10ms);
  for (std::uint32_t i = 2; i <= 10; i += 2) s.receive({.ack = 1 + i * 1000});
  EXPECT_EQ(s.waiting(), 20u);
}

TEST(TcpCongestion, C71_AStretchAckAddsTwoSegments) {
  TcpScript s;
  s.establish(kOffer);
  s.send(pattern(60'000));
  s.discard();
  s.advance(10ms);
  s.receive({.ack = 10'001});
  EXPECT_EQ(s.waiting(), 12u);
}

/// Bytes that go out at once when more are queued than any window lets go.
std::uint32_t window_of(TcpScript& s) {
  s.discard();
  s.send(pattern(60'000));
  std::uint32_t bytes = 0;
  while (s.waiting() != 0) bytes += static_cast<std::uint32_t>(s.take().payload.size());
  return bytes;
}

TEST(TcpCongestion, C71_NoGrowthWhileTheApplicationIsTheLimit) {
  TcpScript s;
  s.establish(kOffer);
  std::uint32_t acked = 1;
  for (int i = 0; i < 50; ++i) {
    s.send(pattern(2000, acked));  // a fifth of the window at a time
    s.discard();
    s.advance(5ms);
    s.receive({.ack = acked += 2000});
  }
  EXPECT_EQ(window_of(s), 10'000u);
}

TEST(TcpCongestion, C71_AFullWindowProvesItselfThoughNoMoreIsQueued) {
  TcpScript s;
  s.establish(kOffer);
  s.send(pattern(10'000));  // exactly the window, and the application has nothing else to say
  s.discard();
  s.advance(5ms);
  for (std::uint32_t i = 1; i <= 10; ++i) s.receive({.ack = 1 + i * 1000});
  EXPECT_EQ(window_of(s), 20'000u);
}

// --- Reno
// ------------------------------------------------------------------------------------------------

TEST(TcpCongestion, NewRenoGrowsByASegmentForEachWindow) {
  Congestion c = make(CongestionAlgorithm::newreno, 20 * kMss, 20 * kMss);
  for (int i = 0; i < 19; ++i) c.on_ack(kMss, kMss, Instant{1s}, 1ms);
  EXPECT_EQ(c.cwnd, 20 * kMss);
  c.on_ack(kMss, kMss, Instant{1s}, 1ms);
  EXPECT_EQ(c.cwnd, 21 * kMss);
  c.on_ack(1u << 30, kMss, Instant{1s}, 1ms);  // one ACK for more than the window
  EXPECT_EQ(c.cwnd, 22 * kMss);
}

TEST(TcpCongestion, C74_NewRenoHalvesWhatIsInFlight) {
  Congestion c = make(CongestionAlgorithm::newreno, 20 * kMss, 1'000'000);
  c.on_congestion(16 * kMss, kMss);
  EXPECT_EQ(c.ssthresh, 8 * kMss);
  c.on_congestion(3 * kMss, kMss);
  EXPECT_EQ(c.ssthresh, 2 * kMss);
}

TEST(TcpCongestion, C67_ATimeoutLowersTheThresholdOnce) {
  Congestion c = make(CongestionAlgorithm::newreno, 20 * kMss, 1'000'000);
  c.on_timeout(20 * kMss, kMss, true);
  c.on_timeout(20 * kMss, kMss, false);
  EXPECT_EQ(c.ssthresh, 10 * kMss);
  EXPECT_EQ(c.cwnd, kMss);
}

TEST(TcpCongestion, ALossIsMeasuredByTheWindowThatWasInUse) {
  // An acknowledgment that covers half of a full window and reports a hole behind it: what is left
  // in flight then is not what congested the path.
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.congestion.algorithm = CongestionAlgorithm::newreno;
  options.limits.recovery.rack = false;  // three reports are enough, no timer
  TcpScript s(options);
  s.establish({.mss = 1000, .sack = true, .timestamps = false});
  s.send(pattern(60'000));
  ASSERT_EQ(s.waiting(), 10u);
  s.discard();
  s.receive({.ack = 6001, .sack = {{TcpSeq{7001}, TcpSeq{10'001}}}});
  s.expect({.seq = 6001, .length = 1000});
  EXPECT_EQ(s.counters().fast_recoveries.get(), 1u);
  std::uint32_t highest = 10'001;
  while (s.waiting() != 0) highest += static_cast<std::uint32_t>(s.take().payload.size());
  s.receive({.ack = highest});
  // Half of ten segments, and of the two that the acknowledgment itself earned.
  EXPECT_EQ(s.waiting(), 6u);
}

// --- Undo
// ------------------------------------------------------------------------------------------------

TEST(TcpCongestion, UndoRestoresWhatWasBeforeTheFirstReduction) {
  for (const auto algorithm :
       {CongestionAlgorithm::cubic, CongestionAlgorithm::newreno, CongestionAlgorithm::dctcp}) {
    Congestion c = make(algorithm, 50 * kMss, 50 * kMss);
    Instant now{1s};
    for (int i = 0; i < 500; ++i) c.on_ack(kMss, kMss, now += 1ms, 50ms);
    Congestion untouched = c;
    c.on_congestion(40 * kMss, kMss);
    c.cwnd = c.ssthresh;
    c.on_timeout(20 * kMss, kMss, true);
    c.on_timeout(20 * kMss, kMss, false);
    c.undo();
    EXPECT_EQ(c.cwnd, untouched.cwnd);
    EXPECT_EQ(c.ssthresh, untouched.ssthresh);
    // And both go on alike: W_max, the epoch and the parts of segments came back, too.
    for (int i = 0; i < 2000; ++i) {
      now += 1ms;
      c.on_ack(kMss, kMss, now, 50ms);
      untouched.on_ack(kMss, kMss, now, 50ms);
      ASSERT_EQ(c.cwnd, untouched.cwnd);
    }
    // A second undo finds nothing.
    c.cwnd = kMss;
    c.undo();
    EXPECT_EQ(c.cwnd, kMss);
  }
}

TEST(TcpCongestion, UndoReachesBackToTheLastEpisodeOnly) {
  Congestion c = make(CongestionAlgorithm::newreno, 40 * kMss, 100 * kMss);
  c.on_congestion(40 * kMss, kMss);
  c.cwnd = c.ssthresh;
  c.forget_undo();  // the loss was real
  c.undo();
  EXPECT_EQ(c.cwnd, 20 * kMss);
  c.on_congestion(20 * kMss, kMss);
  c.cwnd = c.ssthresh;
  c.undo();
  EXPECT_EQ(c.cwnd, 20 * kMss);
  EXPECT_EQ(c.ssthresh, 20 * kMss);
}

// --- CUBIC
// -----------------------------------------------------------------------------------------------

TEST(TcpCubic, CubeRootIsExact) {
  for (std::uint64_t root :
       {0ull, 1ull, 2ull, 3ull, 10ull, 1000ull, 65'536ull, 1'000'000ull, 2'642'245ull}) {
    const std::uint64_t cube = root * root * root;
    EXPECT_EQ(tcp::cube_root(cube), root);
    if (root < 2) continue;
    EXPECT_EQ(tcp::cube_root(cube - 1), root - 1);
    EXPECT_EQ(tcp::cube_root(cube + 1), root);
  }
  EXPECT_EQ(tcp::cube_root(~0ull), 2'642'245u);
}

/// RFC 9438 4.2 to 4.7 in segments and seconds, in floating point: the reference.
struct Reference {
  static constexpr double kC = 0.4;
  static constexpr double kBeta = 0.7;
  double cwnd = 0;
  double w_max = 0;
  double cwnd_prior = 0;
  double k = 0;
  double w_est = 0;
  double epoch = -1;

  void lose() {
    w_max = cwnd < w_max ? cwnd * (1 + kBeta) / 2 : cwnd;
    cwnd_prior = cwnd;
    cwnd = std::max(cwnd * kBeta, 2.0);
    epoch = -1;
  }
  void time_out() {
    cwnd_prior = cwnd;
    w_max = 0;
    epoch = -1;
  }
  [[nodiscard]] double at(double t) const { return kC * std::pow(t - k, 3) + w_max; }
  void on_ack(double segments, double now, double rtt) {
    if (epoch < 0) {
      epoch = now;
      w_est = cwnd;
      if (cwnd < w_max) {
        k = std::cbrt((w_max - cwnd) / kC);
      } else {
        k = 0;
        w_max = cwnd;
      }
    }
    const double alpha = w_est < cwnd_prior ? 3 * (1 - kBeta) / (1 + kBeta) : 1;
    w_est += alpha * segments / cwnd;
    const double t = now - epoch;
    if (at(t) < w_est) {
      cwnd = std::max(cwnd, w_est);
    } else {
      const double target = std::min(std::max(at(t + rtt), cwnd), 1.5 * cwnd);
      cwnd += (target - cwnd) / cwnd * segments;
    }
  }
};

struct Path {
  const char* name;
  std::uint32_t mss;
  std::uint32_t start;  ///< segments when the first loss is found
  double rtt;
  std::vector<double> losses;  ///< more of them, seconds after the first
  double until;
};

/// Runs both over one path, an acknowledgment for every second segment, and compares all along.
void compare(const Path& path) {
  SCOPED_TRACE(path.name);
  Congestion c = make(CongestionAlgorithm::cubic, path.start * path.mss, path.start * path.mss);
  Reference reference{.cwnd = static_cast<double>(path.start)};
  const auto lose = [&] {
    c.on_congestion(c.cwnd, path.mss);
    c.cwnd = c.ssthresh;
    c.forget_undo();
    reference.lose();
  };
  lose();
  const Duration rtt = std::chrono::nanoseconds(static_cast<std::int64_t>(path.rtt * 1e9));
  std::size_t next_loss = 0;
  double t = 0;
  std::uint32_t worst = 0;
  while (t < path.until) {
    const std::uint32_t window = c.cwnd / path.mss;
    for (std::uint32_t i = 0; i < window; i += 2) {
      const double at = t + path.rtt * i / window;
      const Instant now{100s + std::chrono::nanoseconds(static_cast<std::int64_t>(at * 1e9))};
      c.on_ack(2 * path.mss, path.mss, now, rtt);
      reference.on_ack(2, at, path.rtt);
    }
    t += path.rtt;
    const double bytes = reference.cwnd * path.mss;
    // cwnd moves in whole segments, and so does what Reno would have.
    ASSERT_NEAR(c.cwnd, bytes, path.mss * 1.5) << "after " << t << " s";
    worst = std::max(worst, static_cast<std::uint32_t>(std::abs(c.cwnd - bytes)));
    if (next_loss < path.losses.size() && t >= path.losses[next_loss]) {
      ++next_loss;
      lose();
    }
  }
  testing::Test::RecordProperty(path.name, static_cast<int>(worst));
}

TEST(TcpCubic, C85_TrajectoryEqualsTheReference) {
  // Concave towards W_max and convex beyond it; K is about 4.2, 9.1 and 19.6 s.
  compare({"long_fat", 1448, 1000, 0.1, {}, 30});
  compare({"very_fat", 1448, 10'000, 0.1, {}, 60});
  compare({"jumbo", 8948, 100, 0.05, {}, 20});
  compare({"least_segments", 36, 5000, 0.08, {}, 40});
}

TEST(TcpCubic, C85_RenoFriendlyRegion) {
  // On a short path Reno is faster than the curve, first at 9/17 of its pace and past the old
  // window at its own.
  compare({"short_path", 1448, 40, 0.001, {}, 1});
  compare({"short_path_losses", 1448, 60, 0.002, {0.4, 0.5, 1.2}, 2});
}

TEST(TcpCubic, C85_FastConvergence) {
  // The second loss comes before the old window is reached: W_max falls further than the window.
  compare({"early_second_loss", 1448, 1000, 0.1, {4, 8, 30}, 50});
  Congestion c = make(CongestionAlgorithm::cubic, 100 * kMss, 100 * kMss);
  c.on_congestion(100 * kMss, kMss);
  EXPECT_EQ(c.ssthresh, 70 * kMss);  // beta = 0.7
  EXPECT_EQ(c.cubic.w_max, 100 * kMss);
  c.cwnd = 80 * kMss;
  c.on_congestion(80 * kMss, kMss);
  EXPECT_EQ(c.ssthresh, 56 * kMss);
  EXPECT_EQ(c.cubic.w_max, 68 * kMss);  // 80 (1 + beta) / 2
  EXPECT_EQ(c.cubic.cwnd_prior, 80 * kMss);
  c.on_congestion(2500, kMss);
  EXPECT_EQ(c.ssthresh, 2 * kMss);  // never below two segments
}

TEST(TcpCubic, C85_AfterATimeoutTheCurveStartsAtItsPlateau) {
  // RFC 9438 4.8: K = 0 and W_max = cwnd at the start of the congestion avoidance.
  Congestion c = make(CongestionAlgorithm::cubic, 200 * kMss, 300 * kMss);
  c.on_timeout(200 * kMss, kMss, true);
  EXPECT_EQ(c.ssthresh, 140 * kMss);
  Instant now{1s};
  while (c.in_slow_start()) c.on_ack(kMss, kMss, now, 100ms);
  Reference reference{.cwnd = 200};
  reference.time_out();
  reference.cwnd = c.cwnd / double{kMss};
  for (int round = 0; round < 100; ++round) {
    const std::uint32_t window = c.cwnd / kMss;
    for (std::uint32_t i = 0; i < window; ++i) {
      const Instant at = now + i * 100ms / window;
      c.on_ack(kMss, kMss, at, 100ms);
      reference.on_ack(1, static_cast<double>((at - Instant{}).count()) / 1e9, 0.1);
    }
    now += 100ms;
    ASSERT_NEAR(c.cwnd, reference.cwnd * kMss, 1.5 * kMss);
  }
  EXPECT_GT(c.cwnd, 500 * kMss);
}

TEST(TcpCubic, TimeWithoutUseDoesNotMoveTheCurve) {
  // RFC 9438 5.8: a minute in which the application held the window unused is no reason to leap.
  Congestion c = make(CongestionAlgorithm::cubic, 100 * kMss, 100 * kMss);
  c.on_congestion(100 * kMss, kMss);
  c.cwnd = c.ssthresh;
  Congestion busy = c;
  Instant now{1s};
  for (int i = 0; i < 20; ++i) {
    c.on_ack(kMss, kMss, now, 10ms);
    busy.on_ack(kMss, kMss, now, 10ms);
    now += 10ms;
  }
  const Duration pause = 60s;
  for (int i = 0; i < 20; ++i) {
    c.on_ack(kMss, kMss, now + pause, 10ms);
    busy.on_ack(kMss, kMss, now, 10ms);
    now += 10ms;
  }
  EXPECT_NEAR(c.cwnd, busy.cwnd, kMss);
  EXPECT_LT(c.cwnd, 80 * kMss);
}

TEST(TcpCubic, HoursAndTheLargestWindowOverflowNothing) {
  for (const std::uint32_t mss : {36u, 1448u, 65'535u}) {
    Congestion c = make(CongestionAlgorithm::cubic, 1u << 30, 1u << 20);
    c.on_congestion(1u << 30, mss);
    c.cwnd = c.ssthresh;
    Instant now{1s};
    std::uint32_t before = c.cwnd;
    for (int i = 0; i < 100'000; ++i) {
      c.on_ack(1u << 20, mss, now, 2s);
      now += 1s;
      ASSERT_GE(c.cwnd, before);
      ASSERT_LE(c.cwnd, 1u << 30);
      before = c.cwnd;
    }
    EXPECT_EQ(c.cwnd, 1u << 30);
    for (const Duration t : {Duration{0}, Duration{1h}, Duration{24h * 365}})
      EXPECT_LE(c.cubic.window_at(t, mss), 1u << 30);
    EXPECT_EQ(c.cubic.window_at(24h, mss), 1u << 30);
  }
}

// --- Idleness
// --------------------------------------------------------------------------------------------

TcpScript make_script(const tcp::CongestionOptions& congestion) {
  sim::TcpHostOptions options = TcpScript::default_options();
  options.limits.congestion = congestion;
  return TcpScript(options);
}

/// Grows the window to twenty segments, and leaves nothing in flight.
void grow_to_twenty(TcpScript& s) {
  s.establish(kOffer);
  s.send(pattern(10'000));
  s.discard();
  s.advance(5ms);
  for (std::uint32_t i = 1; i <= 10; ++i) s.receive({.ack = 1 + i * 1000});
}

TEST(TcpCongestion, C86_AnIdleConnectionStartsWithTheRestartWindow) {
  TcpScript s = make_script({});
  grow_to_twenty(s);
  s.advance(1s);  // more than the timeout of 200 ms
  EXPECT_EQ(window_of(s), 10'000u);
}

TEST(TcpCongestion, C86_AShortPauseCostsNothing) {
  TcpScript s = make_script({});
  grow_to_twenty(s);
  s.advance(150ms);  // less than the timeout
  EXPECT_EQ(window_of(s), 20'000u);
}

TEST(TcpCongestion, C86_TheRestartCanBeSwitchedOff) {
  TcpScript s = make_script({.idle_restart = false});
  grow_to_twenty(s);
  s.advance(1s);
  EXPECT_EQ(window_of(s), 20'000u);
}

TEST(TcpCongestion, C86_ASmallerWindowStaysAsItIs) {
  Congestion c = make(CongestionAlgorithm::cubic, 4 * kMss, 4 * kMss);
  c.on_idle(kMss);
  EXPECT_EQ(c.cwnd, 4 * kMss);
}

}  // namespace
}  // namespace pollux
