// top: rates out of two looks, one object a line for scripts, looks one below the other in a file,
// a screen that is drawn over on a terminal; how it ends.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <sstream>
#include <thread>

#include "control/cli/top_view.hpp"
#include "tests/unit/cli/fake_service.hpp"

namespace pollux::cli::testing {
namespace {

using std::chrono::steady_clock;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::vector<nlohmann::json> lines_of(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(TopRates, AreOfTheTimeBetweenTwoLooks) {
  WorkerSnapshot before;
  before.busy_cycles = 1'000'000'000;
  before.idle_cycles = 7'000'000'000;
  before.commands = 1'000'000;
  before.received_bursts = 10;
  before.frames_received = 10;
  before.stages = {"tcp", "copy"};
  before.sampled_cycles = {1'000'000, 50};
  WorkerSnapshot after = before;
  after.busy_cycles += 600;
  after.idle_cycles += 300;
  after.away_cycles += 100;
  after.commands += 3;
  after.read_bytes += 2u << 20;
  after.written_bytes += 1u << 20;
  after.received_bursts += 2;
  after.frames_received += 9;
  after.retransmitted_segments += 8;
  after.tasks_in_use = 4;
  after.sampled_cycles = {1'000'030, 60};
  const WorkerRates rates = rates_between(before, after, 2.0);
  EXPECT_DOUBLE_EQ(rates.iops, 1.5);
  EXPECT_DOUBLE_EQ(rates.read_mib, 1.0);
  EXPECT_DOUBLE_EQ(rates.written_mib, 0.5);
  EXPECT_DOUBLE_EQ(rates.busy_percent, 60.0);
  EXPECT_DOUBLE_EQ(rates.cycles_per_io, 200.0);
  EXPECT_DOUBLE_EQ(rates.received_burst, 4.5);
  EXPECT_DOUBLE_EQ(rates.sent_burst, 0.0);
  EXPECT_DOUBLE_EQ(rates.retransmissions, 4.0);
  EXPECT_EQ(rates.tasks_in_use, 4u);
  ASSERT_EQ(rates.stage_percent.size(), 2u);
  EXPECT_DOUBLE_EQ(rates.stage_percent[0].second, 75.0);
  EXPECT_DOUBLE_EQ(rates.stage_percent[1].second, 25.0);
}

TEST(TopRates, ACounterThatWentBackHasNotMoved) {
  WorkerSnapshot before;
  before.commands = 10;
  before.busy_cycles = 10;
  before.stages = {"tcp"};
  before.sampled_cycles = {5};
  WorkerSnapshot after;
  after.stages = {"tcp"};
  after.sampled_cycles = {1};
  const WorkerRates rates = rates_between(before, after, 0.0);
  EXPECT_DOUBLE_EQ(rates.iops, 0.0);
  EXPECT_DOUBLE_EQ(rates.cycles_per_io, 0.0);
  EXPECT_DOUBLE_EQ(rates.stage_percent.at(0).second, 0.0);
}

TEST(TopView, Text) {
  TopView view{
      .instance = "san", .pid = 7, .uptime_s = 3723, .seconds = 1, .workers = {}, .sessions = {}};
  WorkerRates& rates = view.workers.emplace_back();
  rates.iops = 512345.4;
  rates.read_mib = 2001.25;
  rates.busy_percent = 73.21;
  rates.cycles_per_io = 1298;
  rates.stage_percent = {{"receive", 12.34}, {"completion", 87.66}};
  view.sessions = {{"0x5e1f000000000001", "logged in", 0, "10.0.0.1:3260", "iqn.x:disk"}};
  EXPECT_EQ(top_text(view),
            "pollux san  pid 7  up 1:02:03  over 1.00 s\n"
            "\n"
            "WORKER    IOPS  READ MiB/s  WRITE MiB/s  BUSY %  CYCLES/IO  RX BURST  TX BURST  "
            "RETRANS/s  BUFFERS   TASKS\n"
            "     0  512345      2001.2          0.0    73.2       1298       0.0       0.0  "
            "      0.0        0       0\n"
            "\n"
            "% OF BUSY  receive  completion\n"
            "        0     12.3        87.7\n"
            "\n"
            "SESSION             STATE      WORKER  PORTAL         TARGET\n"
            "0x5e1f000000000001  logged in  0       10.0.0.1:3260  iqn.x:disk\n");
}

TEST(TopView, RedrawnStaysOnTheScreen) {
  EXPECT_EQ(redrawn("abcdef\ng\nh\n", {.rows = 3, .columns = 4}),
            "\033[Habcd\033[K\ng\033[K\n\033[J");
  EXPECT_EQ(redrawn("ab\xc3\xa9z\n", {.rows = 9, .columns = 3}), "\033[Hab\033[K\n\033[J");
  EXPECT_EQ(redrawn("", {.rows = 3, .columns = 4}), "\033[H\033[J");
}

TEST_F(CliTest, TopWritesOneObjectALine) {
  const std::string id = logged_in();
  const Outcome run = pollux({"top", "--interval", "0.2", "--count", "2", "--json"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  const auto looks = lines_of(run.out);
  ASSERT_EQ(looks.size(), 2u) << run.out;
  for (const auto& look : looks) {
    EXPECT_EQ(look["schema"], "pollux.top/1");
    EXPECT_GE(look["seconds"], 0.2);
    const auto& worker = look["workers"][0];
    const double seconds = look["seconds"];
    EXPECT_NEAR(worker["iops"].get<double>(), 500 / seconds, 0.01);
    EXPECT_NEAR(worker["read_mib_per_second"].get<double>(), 3.90625 / seconds, 0.001);
    EXPECT_EQ(worker["busy_percent"], 60.0);
    EXPECT_EQ(worker["cycles_per_io"], 1200.0);
    EXPECT_EQ(worker["stage_percent"]["tcp"], 25.0);
    EXPECT_EQ(worker["stage_percent"]["copy"], 75.0);
    EXPECT_EQ(worker["frames_per_received_burst"], 5.0);
    EXPECT_EQ(worker["frames_per_sent_burst"], 3.0);
    EXPECT_EQ(worker["buffers_in_use"], 77);
    EXPECT_EQ(look["sessions"][0]["session_id"], id);
    EXPECT_EQ(look["sessions"][0]["state"], "logged in");
    EXPECT_EQ(look["sessions"][0]["worker"], 3);
  }
}

TEST_F(CliTest, TopInAFileIsPlainText) {
  const Outcome run = pollux({"top", "--interval", "0.1", "--count", "2"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, StartsWith("pollux "));
  EXPECT_THAT(run.out, Not(HasSubstr("\033")));
  EXPECT_THAT(run.out, HasSubstr("\n\npollux ")) << "the second look stands below the first";
  EXPECT_THAT(run.out, HasSubstr("no sessions"));
}

TEST_F(CliTest, TopEndsWellOnCtrlC) {
  Child child = start({"top", "--interval", "0.1"});
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
  child.interrupt();
  const Outcome run = child.wait();
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.err, "");
  EXPECT_THAT(run.out, HasSubstr("WORKER"));
}

TEST_F(CliTest, TopThatWasToGoOnSaysThatItWasInterrupted) {
  Child child = start({"top", "--interval", "30", "--count", "2"});
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const auto start = steady_clock::now();
  child.interrupt();
  const Outcome run = child.wait();
  EXPECT_EQ(run.exit_code, 130);
  EXPECT_THAT(run.err, HasSubstr("interrupted"));
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(CliTest, TopNoticesThatTheServiceHasGone) {
  service_->dies_at_stats = 3;
  const Outcome run = pollux({"top", "--interval", "0.1", "--json"});
  EXPECT_EQ(run.exit_code, 20);
  EXPECT_THAT(run.err, HasSubstr("Start it again with 'polluxd'"));
  const auto lines = lines_of(run.out);
  ASSERT_EQ(lines.size(), 2u) << run.out;
  EXPECT_EQ(lines[0]["schema"], "pollux.top/1");
  EXPECT_EQ(lines[1]["schema"], "pollux.error/1");
  EXPECT_EQ(lines[1]["exit_code"], 20);
}

TEST_F(CliTest, TopNoticesInThePauseThatTheServiceHasGone) {
  Child child = start({"top", "--interval", "600"});
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const auto start = steady_clock::now();
  service_.reset();
  EXPECT_EQ(child.wait().exit_code, 20);
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(CliTest, TopRefusesIntervalsThatMakeNoSense) {
  EXPECT_EQ(pollux({"top", "--interval", "0"}).exit_code, 7);
  EXPECT_EQ(pollux({"top", "--interval", "x"}).exit_code, 7);
  EXPECT_EQ(pollux({"top", "--count", "0"}).exit_code, 7);
}

/// Runs the program on a terminal of its own and returns what it wrote there.
std::string on_terminal(std::vector<std::string> arguments, int& exit_code) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  EXPECT_GE(master, 0);
  EXPECT_EQ(::grantpt(master), 0);
  EXPECT_EQ(::unlockpt(master), 0);
  const winsize window{.ws_row = 6, .ws_col = 40, .ws_xpixel = 0, .ws_ypixel = 0};
  EXPECT_EQ(::ioctl(master, TIOCSWINSZ, &window), 0);
  const std::string name = ::ptsname(master);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const int slave = ::open(name.c_str(), O_RDWR | O_NOCTTY);
    ::dup2(slave, STDOUT_FILENO);
    ::setenv("TERM", "xterm", 1);
    ::execv(argv[0], argv.data());
    ::_exit(126);
  }
  std::string out;
  const auto end = steady_clock::now() + std::chrono::seconds(20);
  int status = 0;
  bool has_ended = false;
  pollfd readable{master, POLLIN, 0};
  while (steady_clock::now() < end) {
    std::array<char, 4096> bytes;
    if (::poll(&readable, 1, 50) > 0 && (readable.revents & POLLIN) != 0) {
      const ssize_t got = ::read(master, bytes.data(), bytes.size());
      if (got > 0) out.append(bytes.data(), static_cast<std::size_t>(got));
    } else if (has_ended) {
      break;
    }
    has_ended = has_ended || ::waitpid(pid, &status, WNOHANG) == pid;
  }
  if (!has_ended) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, &status, 0);
  }
  ::close(master);
  exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return out;
}

TEST_F(CliTest, TopDrawsOverATerminalAndGivesItBack) {
  int exit_code = -1;
  const std::string out = on_terminal(
      {POLLUX_CLI, "--socket", path("service.sock"), "top", "--interval", "0.1", "--count", "2"},
      exit_code);
  EXPECT_EQ(exit_code, 0);
  EXPECT_THAT(out, StartsWith("\033[2J\033[?25l\033[Hpollux "));
  std::size_t looks = 0;
  for (std::size_t at = 0; (at = out.find("\033[H", at)) != std::string::npos; ++at) ++looks;
  EXPECT_EQ(looks, 2u);
  EXPECT_THAT(out, Not(HasSubstr("CYCLES/IO"))) << "lines are cut where the terminal ends";
  EXPECT_THAT(out, EndsWith("\033[J\033[?25h"));
}

}  // namespace
}  // namespace pollux::cli::testing
