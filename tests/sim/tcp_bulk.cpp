// Bulk transfers in virtual time: no retransmission timeout where RACK finds every loss, and a
// matrix of goodput that is compared with the one last reviewed. Without arguments a test;
// scripts/sim runs
//
//   tcp_bulk --bulk MIB SEEDS      at 0.1 % loss and 50 us round trip, MTU 1500 and 9000, RACK on
//   and off tcp_bulk --matrix FILE         exit 1 and the lines that differ tcp_bulk --update FILE
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "tests/sim/bulk_flow.hpp"

namespace pollux::sim {
namespace {

constexpr std::uint32_t kOneInAThousand = 1'000;
constexpr std::uint64_t kMatrixBytes = 4u << 20;

std::string matrix_line(const BulkOptions& options) {
  const BulkResult r = run_bulk(options);
  return fmt::format(
      "{:>6.1f} {:>8} {:>7} {:>4} {:>4} {:>12.1f} {:>7} {:>5}{}\n", options.loss_ppm / 1e4,
      std::chrono::duration_cast<std::chrono::microseconds>(options.round_trip).count(),
      options.buffer_bytes / 1024, options.sack ? "on" : "off", options.timestamps ? "on" : "off",
      r.megabits_per_second(options.bytes), r.retransmitted, r.timeouts,
      r.complete ? "" : " INCOMPLETE");
}

std::string matrix() {
  std::string text =
      "# Goodput of 4 MiB over 25 Gb/s at MTU 1500 in virtual time, CUBIC, RACK on, one seed.\n"
      "# Written by scripts/sim --matrix --update; a change of recovery shows here and is "
      "reviewed.\n"
      "# loss %  rtt us  buf KiB SACK  TS    goodput Mb/s  resent  RTOs\n";
  for (const bool sack : {true, false})
    for (const bool timestamps : {true, false})
      for (const std::uint32_t buffer : {64u * 1024, 1024u * 1024})
        for (const Duration rtt : {Duration(50us), Duration(1ms), Duration(20ms)})
          for (const std::uint32_t loss : {0u, 1'000u, 10'000u, 30'000u})
            text += matrix_line({.bytes = kMatrixBytes,
                                 .round_trip = rtt,
                                 .loss_ppm = loss,
                                 .buffer_bytes = buffer,
                                 .sack = sack,
                                 .timestamps = timestamps});
  return text;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Lines of `now` that `before` does not have at the same place.
std::string differences(const std::string& before, const std::string& now) {
  std::istringstream left(before);
  std::istringstream right(now);
  std::string text;
  std::string a;
  std::string b;
  while (true) {
    const bool more_left = static_cast<bool>(std::getline(left, a));
    const bool more_right = static_cast<bool>(std::getline(right, b));
    if (!more_left && !more_right) return text;
    if (!more_left) a.clear();
    if (!more_right) b.clear();
    if (a != b) text += "- " + a + "\n+ " + b + "\n";
  }
}

int compare_matrix(const std::string& path) {
  const std::string text = differences(read_file(path), matrix());
  fmt::print("{}{}\n", text, text.empty() ? "the matrix is as reviewed" : "the matrix has changed");
  return text.empty() ? 0 : 1;
}

int update_matrix(const std::string& path) {
  std::ofstream file(path);
  file << matrix();
  return file.good() ? 0 : 1;
}

int bulk(std::uint64_t mib, std::uint64_t seeds) {
  int failed = 0;
  for (const bool rack : {true, false})
    for (const std::uint16_t mtu : {std::uint16_t{1500}, std::uint16_t{9000}})
      for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const BulkOptions options{.seed = seed,
                                  .bytes = mib << 20,
                                  .mtu = mtu,
                                  .loss_ppm = kOneInAThousand,
                                  .rack = rack};
        const BulkResult r = run_bulk(options);
        const bool good =
            r.complete && (rack ? r.timeouts == 0 : r.timeouts <= r.lost_retransmissions);
        failed += good ? 0 : 1;
        fmt::print(
            "RACK {:3} MTU {} seed {:2}: {} MiB, {:.0f} Mb/s, {} frames lost ({} "
            "retransmissions), {} resent, {} tail probes, {} taken back, {} timeouts{}\n",
            rack ? "on" : "off", mtu, seed, mib, r.megabits_per_second(options.bytes), r.lost,
            r.lost_retransmissions, r.retransmitted, r.tail_probes, r.spurious, r.timeouts,
            good ? "" : "  FAILED");
      }
  return failed == 0 ? 0 : 1;
}

TEST(TcpBulk, WithRackNoTimeoutAtOneFrameInAThousandLost) {
  for (const std::uint16_t mtu : {std::uint16_t{1500}, std::uint16_t{9000}}) {
    const BulkResult r = run_bulk({.mtu = mtu, .loss_ppm = kOneInAThousand});
    EXPECT_TRUE(r.complete);
    EXPECT_NE(r.lost, 0u);
    EXPECT_EQ(r.timeouts, 0u) << "MTU " << mtu;
  }
}

TEST(TcpBulk, WithoutRackOnlyLostRetransmissionsTimeOut) {
  const BulkResult r = run_bulk({.loss_ppm = kOneInAThousand, .rack = false});
  EXPECT_TRUE(r.complete);
  EXPECT_LE(r.timeouts, r.lost_retransmissions);
}

TEST(TcpBulk, TheMatrixIsTheOneThatWasReviewed) {
  EXPECT_EQ(differences(read_file(POLLUX_THROUGHPUT_MATRIX), matrix()), "")
      << "if the change is meant: scripts/sim --matrix --update";
}

}  // namespace
}  // namespace pollux::sim

int main(int argc, char** argv) {
  using namespace pollux::sim;
  const std::string_view what = argc > 2 ? argv[1] : "";
  if (what == "--matrix") return compare_matrix(argv[2]);
  if (what == "--update") return update_matrix(argv[2]);
  if (what == "--bulk" && argc > 3)
    return bulk(std::strtoull(argv[2], nullptr, 10), std::strtoull(argv[3], nullptr, 10));
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
