// stats for people and for collectors: cycles by stage and bursts as tables, Prometheus' format.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/cli/stats_text.hpp"
#include "tests/unit/cli/fake_service.hpp"

namespace pollux::cli::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(StatsText, StagesAndBurstsAreTables) {
  const Json stats = Json::parse(R"({"workers": [
      {"busy_cycles": 2000, "commands": 10, "sampled_cycles": {"tcp": 5, "copy": 15},
       "received_bursts": {"1": 7, "3-4": 2}, "sent_bursts": {"1": 9, "3-4": 0}},
      {"busy_cycles": 0, "commands": 0, "sampled_cycles": {"tcp": 0, "copy": 0}}]})");
  EXPECT_EQ(stats_text(stats),
            "workers.0.busy_cycles  2000\n"
            "workers.0.commands     10\n"
            "workers.1.busy_cycles  0\n"
            "workers.1.commands     0\n"
            "\n"
            "WORKER  STAGE  CYCLES  % OF BUSY  CYCLES/COMMAND\n"
            "0       tcp    500     25.0       50.0\n"
            "0       copy   1500    75.0       150.0\n"
            "1       tcp    0       -          -\n"
            "1       copy   0       -          -\n"
            "\n"
            "WORKER  FRAMES IN A BURST  RECEIVED  SENT\n"
            "0       1                  7         9\n"
            "0       3-4                2         0\n");
}

TEST(StatsText, AnOlderServiceHasNoTables) {
  EXPECT_EQ(stats_text(Json::parse(R"({"workers": [{"turns": 3}]})")), "workers.0.turns  3\n");
}

TEST(StatsText, MalformedDocumentsAreNoReasonToDie) {
  for (const char* text :
       {R"({"workers": 3, "protocols": []})", R"({"workers": [1, "x", null]})",
        R"({"workers": [{"sampled_cycles": 4}, {"sampled_cycles": [1]}]})",
        R"({"workers": [{"sampled_cycles": {"tcp": -1, "copy": "x"}}]})",
        R"({"workers": [{"received_bursts": 1, "sent_bursts": "x"}]})",
        R"({"protocols": [7], "queues": {"a": 1}, "sessions": []})", R"({"protocols": 4})"}) {
    const Json json = Json::parse(text);
    (void)stats_text(json);
    (void)prometheus_text(json);
  }
}

TEST_F(CliTest, StatsForPeopleLeaveOutWhatIsZero) {
  const Outcome run = pollux({"stats"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("protocols.0.rx_frames"));
  EXPECT_THAT(run.out, Not(HasSubstr("drop_short_frame")));
  EXPECT_THAT(run.out, HasSubstr("0       copy   599997  100.0      1200.0\n"));
}

TEST_F(CliTest, StatsForPrometheus) {
  const Outcome run = pollux({"stats", "--prometheus"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("# TYPE pollux_worker_busy_cycles_total counter\n"
                                 "pollux_worker_busy_cycles_total{worker=\"0\"} 600000\n"));
  EXPECT_THAT(run.out, HasSubstr("# TYPE pollux_worker_buffers_in_use gauge\n"
                                 "pollux_worker_buffers_in_use{worker=\"0\"} 77\n"));
  EXPECT_THAT(
      run.out,
      HasSubstr("# TYPE pollux_worker_sampled_cycles_total counter\n"
                "pollux_worker_sampled_cycles_total{worker=\"0\",stage=\"tcp\"} 25\n"
                "pollux_worker_sampled_cycles_total{worker=\"0\",stage=\"copy\"} 5000075\n"));
  EXPECT_THAT(run.out,
              HasSubstr("pollux_worker_received_bursts_total{worker=\"0\",frames=\"3-4\"} 100\n"));
  EXPECT_THAT(run.out, HasSubstr("pollux_rx_frames_total{port=\"lan\\\"0\",worker=\"0\"} 9\n"));
  EXPECT_THAT(run.out, HasSubstr("pollux_address_state{port=\"lan\\\"0\",worker=\"0\"} 2\n"));
  EXPECT_THAT(run.out, HasSubstr("pollux_iscsi_pdus_sent_total{worker=\"0\"} 6\n"));
  EXPECT_EQ(pollux({"stats", "--prometheus", "--json"}).exit_code, 7);
}

}  // namespace
}  // namespace pollux::cli::testing
