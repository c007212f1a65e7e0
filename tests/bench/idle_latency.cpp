// What idle sleep costs and saves: the latency of a 4 KiB read back to back and after pauses, that
// of an unasked frame (a target's ping), and the CPU share of the worker's thread, with sleep off
// and with two settings of idle_sleep_max_us. A library-run worker has one CPU; the application and
// the target share the other, as one thread, so that nobody waits for a scheduler but the sleeper.
// Settings alternate; prints each measurement as a line of JSON, then medians and spread.
#include <fmt/format.h>
#include <pollux/pollux.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "control/library/instance.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/tsc_clock.hpp"
#include "tests/target/lab.hpp"
#include "tests/target/lab_wire.hpp"

namespace {

using namespace pollux;

constexpr std::uint32_t kReadBytes = 4096;
constexpr std::uint64_t kLunBytes = 64 * MiB;

struct Flags {
  std::vector<std::uint32_t> settings{0, 100, 1000};
  unsigned rounds = 5;
  double seconds = 0.5;  ///< of each measurement
  int cpu = 0;
  int application_cpu = 1;
  bool realtime = false;  ///< while measuring
};

/// The wire and the target behind it, which whoever calls turn() drives.
class Peer {
 public:
  library::RingPortSource port_source() {
    return [this](const std::string&, const service::PortConfig& port,
                  platform::DpdkPacketMemory& left,
                  std::string& error) -> std::shared_ptr<platform::Port> {
      platform::DpdkMemoryOptions memory;
      memory.frame_bytes = port.mtu + 128u;
      memory.frame_buffers = 4096;
      memory.rx_buffers = 8192;
      memory.external_buffers = 16384;
      memory.trackers = 4096;
      clock_.emplace(platform::tsc_hz());  // known once the EAL runs
      state_ = std::make_shared<State>();
      state_->memory = platform::DpdkPacketMemory::create(memory, error);
      if (state_->memory == nullptr) return nullptr;
      target::LabWireOptions wire;
      wire.ring.mtu = port.mtu;
      wire.ring.frames = 1024;
      wire.ring.emulate_checksum_offload = true;
      wire.left.mtu = port.mtu;
      state_->wire = target::LabWire::open(wire, left, *state_->memory, error);
      if (state_->wire == nullptr) return nullptr;
      target::TargetOptions options;
      options.target.luns = {
          {.kind = target::LunKind::null, .bytes = kLunBytes, .block_bytes = 512}};
      options.interface = {
          .address = net::IpAddress::v4(10, 99, 0, 1), .prefix_length = 24, .gateway = {}};
      state_->target = std::make_unique<target::Target>(options, state_->wire->right(),
                                                        *state_->memory, clock_->now());
      return {state_, &state_->wire->left()};
    };
  }
  void turn() { state_->target->poll_once(clock_->now()); }
  target::Target& target() { return *state_->target; }

  /// Runs a blocking call of the library beside the target.
  void serve(const std::function<void()>& call) {
    std::atomic<bool> is_done{false};
    std::thread caller([&] {
      call();
      is_done.store(true, std::memory_order_release);
    });
    while (!is_done.load(std::memory_order_acquire)) turn();
    caller.join();
  }
  /// Before the instance is closed, without which frames would not come back.
  void close() {
    target().shut_down(clock_->now());
    const Instant end = clock_->now() + 500ms;
    while (clock_->now() < end && (target().open_connections() != 0 || !target().quiet())) turn();
    state_.reset();
  }

 private:
  struct State {
    std::unique_ptr<platform::DpdkPacketMemory> memory;
    std::unique_ptr<target::LabWire> wire;
    std::unique_ptr<target::Target> target;
    ~State() {
      target.reset();
      wire.reset();
    }
  };
  std::shared_ptr<State> state_;
  std::optional<platform::TscClock> clock_;
};

struct Figures {
  double p50_us = 0;
  double p99_us = 0;
  double cpu_share = 0;
};

class Bench {
 public:
  Bench(const Flags& flags, std::uint32_t sleep_us) : flags_(flags), sleep_us_(sleep_us) {}

  bool open(std::string& error);
  Figures reads(Duration pause);
  Figures pings(Duration pause);
  Figures idle();
  void close();
  [[nodiscard]] std::uint64_t failed() const { return failed_; }

 private:
  [[nodiscard]] Instant now() const { return instance_->clock->now(); }
  void wait(Duration length) {
    for (const Instant end = now() + length; now() < end;) peer_.turn();
  }
  [[nodiscard]] Duration read();
  [[nodiscard]] Duration cpu_time() const;
  /// Others that run on the machine then take nothing from the two threads that are measured.
  void set_realtime(bool is_on);
  /// Repeats `sample` until the time is up.
  Figures measure(Duration pause, const std::function<Duration()>& sample);

  const Flags& flags_;
  std::uint32_t sleep_us_;
  Peer peer_;
  pollux_instance* instance_ = nullptr;
  pollux_session_id session_ = 0;
  pollux_queue* queue_ = nullptr;
  std::uint64_t failed_ = 0;
  std::vector<std::byte> memory_ = std::vector<std::byte>(kReadBytes);
};

bool Bench::open(std::string& error) {
  library::OpenSetup setup;
  setup.config.instance = fmt::format("idle{}", getpid());
  setup.config.memory.hugepages = false;
  setup.config.worker.sessions_max = 16;
  setup.config.worker.cpus = {static_cast<std::uint32_t>(flags_.cpu)};
  setup.config.worker.idle_sleep_max_us = sleep_us_;
  setup.config.ports = {{.name = "wire",
                         .device = "ring:wire",
                         .interface = {.address = net::IpAddress::v4(10, 99, 0, 2),
                                       .prefix_length = 24,
                                       .gateway = {}},
                         .mtu = 9000}};
  setup.ring_ports = peer_.port_source();
  setup.ring_memory_mib = target::kLabMemoryMib;
  if (library::open_instance(std::move(setup), instance_, error) != POLLUX_OK) return false;
  pollux_error reason{};
  int result = POLLUX_OK;
  peer_.serve([&] {
    result = pollux_login(instance_, "iscsi://10.99.0.1/iqn.2026-01.org.pollux:disk/0", nullptr,
                          &session_, nullptr, &reason);
  });
  pollux_queue_options options;
  pollux_queue_options_init(&options);
  if (result == POLLUX_OK) result = pollux_queue_create(instance_, &options, &queue_, &reason);
  error = reason.message;
  wait(20ms);
  return result == POLLUX_OK;
}

void Bench::close() {
  if (instance_ == nullptr) return;
  if (queue_ != nullptr) peer_.serve([&] { pollux_queue_destroy(queue_); });
  if (session_ != 0) peer_.serve([&] { pollux_logout(instance_, session_, nullptr); });
  peer_.close();
  pollux_close(instance_);
}

Duration Bench::read() {
  const iovec iov{memory_.data(), memory_.size()};
  pollux_command command{};
  command.opcode = POLLUX_READ;
  command.session = session_;
  command.iov = &iov;
  command.iov_count = 1;
  command.length = kReadBytes;
  command.block_count = kReadBytes / 512;
  const Instant start = now();
  if (pollux_queue_submit(queue_, &command, 1) != 1) {
    ++failed_;
    return Duration::zero();
  }
  pollux_completion done{};
  while (pollux_queue_reap(queue_, &done, 1) == 0) peer_.turn();
  if (done.result != POLLUX_OK) ++failed_;
  return now() - start;
}

Duration Bench::cpu_time() const {
  clockid_t clock{};
  timespec used{};
  pthread_getcpuclockid(instance_->units[0]->thread.native_handle(), &clock);
  clock_gettime(clock, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

void Bench::set_realtime(bool is_on) {
  const sched_param priority{.sched_priority = is_on ? 1 : 0};
  for (const pthread_t thread : {pthread_self(), instance_->units[0]->thread.native_handle()})
    if (pthread_setschedparam(thread, is_on ? SCHED_FIFO : SCHED_OTHER, &priority) != 0) {
      fmt::print(stderr, "idle_latency: no real-time priority, which takes CAP_SYS_NICE\n");
      std::exit(1);
    }
}

Figures Bench::measure(Duration pause, const std::function<Duration()>& sample) {
  std::vector<Duration> latencies;
  if (flags_.realtime) set_realtime(true);
  const Duration cpu_before = cpu_time();
  const Instant start = now();
  const auto length =
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(flags_.seconds));
  while (now() < start + length) {
    // The pauses differ, so that no rhythm meets the naps'.
    if (pause != Duration::zero()) wait(pause + pause / 7 * static_cast<int>(latencies.size() % 7));
    latencies.push_back(sample());
  }
  const Duration cpu = cpu_time() - cpu_before;
  const double elapsed = static_cast<double>((now() - start).count());
  if (flags_.realtime) set_realtime(false);
  std::sort(latencies.begin(), latencies.end());
  const auto microseconds = [&](std::size_t percent) {
    const Duration value = latencies[(latencies.size() - 1) * percent / 100];
    return std::chrono::duration<double, std::micro>(value).count();
  };
  return {microseconds(50), microseconds(99), static_cast<double>(cpu.count()) / elapsed};
}

Figures Bench::reads(Duration pause) {
  return measure(pause, [this] { return read(); });
}

Figures Bench::pings(Duration pause) {
  return measure(pause, [this] {
    const std::uint64_t before = peer_.target().counters().pings_answered;
    const Instant start = now();
    peer_.target().ping_all();
    while (peer_.target().counters().pings_answered == before && now() < start + 1s) peer_.turn();
    return now() - start;
  });
}

Figures Bench::idle() {
  return measure(100ms, [] { return Duration::zero(); });
}

/// Pattern and setting; the digit before the pattern's name puts the table in order.
using Key = std::pair<std::string, std::uint32_t>;
constexpr const char* kIdle = "5 idle";

int run_round(const Flags& flags, unsigned round, std::uint32_t setting,
              std::map<Key, std::vector<Figures>>& all) {
  Bench bench(flags, setting);
  std::string error;
  if (!bench.open(error)) {
    fmt::print(stderr, "idle_latency: {}\n", error);
    bench.close();
    return 1;
  }
  const auto keep = [&](const std::string& pattern, const Figures& figures) {
    fmt::print(
        "{{\"pattern\": \"{}\", \"idle_sleep_max_us\": {}, \"round\": {}, \"io_size\": {}, "
        "\"queue_depth\": 1, \"p50_latency_us\": {:.2f}, \"p99_latency_us\": {:.2f}, "
        "\"worker_cpu_share\": {:.3f}}}\n",
        pattern.substr(2), setting, round, kReadBytes, figures.p50_us, figures.p99_us,
        figures.cpu_share);
    all[{pattern, setting}].push_back(figures);
  };
  keep("1 read back to back", bench.reads(0ms));
  keep("2 read after 1 ms", bench.reads(1ms));
  keep("3 read after 10 ms", bench.reads(10ms));
  keep("4 unasked ping after 10 ms", bench.pings(10ms));
  keep(kIdle, bench.idle());
  bench.close();
  if (bench.failed() != 0) fmt::print(stderr, "idle_latency: {} reads failed\n", bench.failed());
  return bench.failed() == 0 ? 0 : 1;
}

std::string spread(std::vector<Figures>& rounds, double Figures::*field, int digits) {
  std::sort(rounds.begin(), rounds.end(),
            [&](const Figures& a, const Figures& b) { return a.*field < b.*field; });
  return fmt::format("{:.{}f} ({:.{}f} to {:.{}f})", rounds[rounds.size() / 2].*field, digits,
                     rounds.front().*field, digits, rounds.back().*field, digits);
}

void print_table(std::map<Key, std::vector<Figures>>& all) {
  fmt::print("\n{:<28} {:>9}  {:<28} {:<30} {}\n", "median (least to most)", "sleep us", "p50 us",
             "p99 us", "worker's CPU share");
  for (auto& [key, rounds] : all) {
    const bool has_latency = key.first != kIdle;
    fmt::print("{:<28} {:>9}  {:<28} {:<30} {}\n", key.first.substr(2),
               key.second == 0 ? "off" : std::to_string(key.second),
               has_latency ? spread(rounds, &Figures::p50_us, 1) : "-",
               has_latency ? spread(rounds, &Figures::p99_us, 1) : "-",
               spread(rounds, &Figures::cpu_share, 3));
  }
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app{"idle_latency: what idle sleep costs and saves"};
  app.add_option("--settings", flags.settings, "values of idle_sleep_max_us; 0: off")
      ->delimiter(',');
  app.add_option("--rounds", flags.rounds)->check(CLI::PositiveNumber);
  app.add_option("-t,--seconds", flags.seconds, "of each measurement")->check(CLI::PositiveNumber);
  app.add_option("--cpu", flags.cpu, "of the worker");
  app.add_option("--application-cpu", flags.application_cpu, "of application and target");
  app.add_flag("--realtime", flags.realtime, "measure with real-time priority");
  CLI11_PARSE(app, argc, argv);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(flags.application_cpu), &set);
  sched_setaffinity(0, sizeof(set), &set);
  std::map<Key, std::vector<Figures>> all;
  for (unsigned round = 0; round < flags.rounds; ++round)
    for (const std::uint32_t setting : flags.settings)
      if (run_round(flags, round, setting, all) != 0) return 1;
  print_table(all);
  platform::stop_eal();
  return 0;
}
