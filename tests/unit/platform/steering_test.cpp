// Whose a connection is: the hash against an implementation of its own, bit by bit, that knows the
// published test values; ports that land where they were wanted; shares of ports without a hash.
#include "dataplane/platform/steering.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "dataplane/base/random.hpp"
#include "tests/support/toeplitz.hpp"
#include "tests/unit/platform/eal.hpp"

namespace pollux::platform {
namespace {

std::unique_ptr<const Steering> make(const SteeringOptions& options) {
  std::string error;
  auto steering = Steering::create(options, error);
  EXPECT_NE(steering, nullptr) << error;
  return steering;
}

std::array<std::uint8_t, 16> v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d};
}

FlowTuple random_tuple(Random& random, bool is_v6) {
  FlowTuple tuple;
  if (is_v6) {
    for (auto* address : {&tuple.remote, &tuple.local})
      for (std::uint8_t& byte : *address) byte = static_cast<std::uint8_t>(random.next());
  } else {
    tuple.remote = v4(10, 99, static_cast<std::uint8_t>(random.next()), 1);
    tuple.local = v4(10, 99, 0, static_cast<std::uint8_t>(random.next()));
  }
  tuple.remote_port = static_cast<std::uint16_t>(random.next());
  tuple.local_port = static_cast<std::uint16_t>(random.next());
  return tuple;
}

TEST(Toeplitz, TheTestsOwnImplementationGivesThePublishedValues) {
  // "Verifying the RSS Hash Calculation", Microsoft, with its key: source, destination, hash.
  EXPECT_EQ(
      sim::toeplitz(sim::kPublishedKey, v4(66, 9, 149, 187), v4(161, 142, 100, 80), 2794, 1766),
      0x51cc'c178u);
  EXPECT_EQ(
      sim::toeplitz(sim::kPublishedKey, v4(199, 92, 111, 2), v4(65, 69, 140, 83), 14230, 4739),
      0xc626'b0eau);
  // 3ffe:2501:200:1fff::7 to 3ffe:2501:200:3::1.
  EXPECT_EQ(sim::toeplitz(sim::kPublishedKey,
                          {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7},
                          {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x00, 0x03, 0, 0, 0, 0, 0, 0, 0, 1},
                          2794, 1766),
            0x4020'7d3du);
}

TEST(Steering, HashIsToeplitzOverTheReceivedTuple) {
  for (const unsigned key_bytes : {40u, 52u}) {
    const auto steering = make({.rule = SteeringRule::toeplitz,
                                .workers = 4,
                                .key_bytes = key_bytes,
                                .table_entries = 128,
                                .seed = key_bytes});
    ASSERT_EQ(steering->key().size(), key_bytes);
    Random random(7);
    for (int i = 0; i < 2000; ++i) {
      const FlowTuple tuple = random_tuple(random, i % 2 == 0);
      const std::uint32_t expected = sim::toeplitz(steering->key(), tuple.remote, tuple.local,
                                                   tuple.remote_port, tuple.local_port);
      ASSERT_EQ(steering->hash(tuple), expected);
      ASSERT_EQ(steering->owner(tuple), (expected & 127) % 4);
      ASSERT_EQ(steering->owner_of_hash(expected), steering->owner(tuple));
    }
  }
}

TEST(Steering, PortsLandOnTheWantedWorkerAndStayWithinTheirLowBits) {
  for (const unsigned entries : {64u, 128u, 512u, 2048u}) {
    for (const unsigned workers : {2u, 3u, 8u}) {
      const auto steering = make({.rule = SteeringRule::toeplitz,
                                  .workers = workers,
                                  .table_entries = entries,
                                  .seed = entries + workers});
      Random random(3);
      for (int i = 0; i < 500; ++i) {
        FlowTuple tuple = random_tuple(random, i % 2 == 0);
        const unsigned worker = random.below(workers);
        const std::uint16_t before = tuple.local_port;
        const std::uint16_t port =
            steering->port_for(tuple, worker, static_cast<std::uint32_t>(random.next()));
        tuple.local_port = port;
        const std::uint32_t hash =
            sim::toeplitz(steering->key(), tuple.remote, tuple.local, tuple.remote_port, port);
        ASSERT_EQ((hash & (entries - 1)) % workers, worker) << entries << " " << workers;
        ASSERT_EQ(port / entries, before / entries);
      }
    }
  }
}

TEST(Steering, AWorkersPortsAreSpreadOverItsWholeShare) {
  // RFC 6056 3.3: of the ports that a worker may use none is preferred, whatever was drawn.
  const auto steering = make({.rule = SteeringRule::toeplitz, .workers = 2, .seed = 5});
  FlowTuple tuple{.remote = v4(10, 99, 0, 1), .local = v4(10, 99, 0, 2), .remote_port = 3260};
  std::map<std::uint16_t, unsigned> hits;
  Random random(11);
  constexpr unsigned kDraws = 64 * 1000;
  for (unsigned i = 0; i < kDraws; ++i) {
    tuple.local_port = 40'000;
    ++hits[steering->port_for(tuple, 1, static_cast<std::uint32_t>(random.next()))];
  }
  // 128 ports share the high bits of 40,000; half of them are this worker's.
  EXPECT_EQ(hits.size(), 64u);
  for (const auto& [port, count] : hits) EXPECT_NEAR(count, kDraws / 64, 250) << port;
}

TEST(Steering, WithoutAHashPortsAreSharedOutByTheirNumber) {
  for (const unsigned workers : {1u, 2u, 3u, 7u}) {
    const auto steering = make({.rule = SteeringRule::port_bits, .workers = workers});
    Random random(1);
    for (int i = 0; i < 1000; ++i) {
      FlowTuple tuple = random_tuple(random, i % 2 == 0);
      if (i < 8) tuple.local_port = static_cast<std::uint16_t>(65'535 - i);
      const unsigned worker = random.below(workers);
      tuple.local_port = steering->port_for(tuple, worker, 0);
      ASSERT_NE(tuple.local_port, 0u);
      ASSERT_EQ(steering->owner(tuple), worker);
    }
  }
}

TEST(Steering, KeysDifferBetweenSeedsAndShapesThatCannotBeSteeredAreRefused) {
  const auto one = make({.rule = SteeringRule::toeplitz, .workers = 2, .seed = 1});
  const auto two = make({.rule = SteeringRule::toeplitz, .workers = 2, .seed = 2});
  EXPECT_FALSE(std::equal(one->key().begin(), one->key().end(), two->key().begin()));
  std::string error;
  for (const SteeringOptions& bad :
       {SteeringOptions{.rule = SteeringRule::toeplitz, .workers = 0},
        SteeringOptions{.rule = SteeringRule::toeplitz, .workers = 2, .key_bytes = 16},
        SteeringOptions{.rule = SteeringRule::toeplitz, .workers = 2, .table_entries = 100},
        SteeringOptions{.rule = SteeringRule::toeplitz, .workers = 200, .table_entries = 128}}) {
    error.clear();
    EXPECT_EQ(Steering::create(bad, error), nullptr);
    EXPECT_FALSE(error.empty());
  }
}

}  // namespace
}  // namespace pollux::platform
