// One measurement of pollux on the in-process wire, through the public queue API alone: the
// embedder's thread submits, polls the worker and reaps; the embedded target runs on the other CPU.
// Prints one JSON object in the field names of scripts/bench.
#include <fmt/format.h>
#include <pollux/pollux.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "control/library/instance.hpp"
#include "control/service/latency_histogram.hpp"
#include "dataplane/base/random.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/tsc_clock.hpp"
#include "tests/target/lab.hpp"

namespace {

using namespace pollux;

struct Flags {
  std::string workload = "randread";
  std::string lun = "null";
  std::string digests = "none";
  std::string memory = "placed";
  std::uint32_t io_size = 4096;
  std::uint32_t depth = 32;
  std::uint32_t sessions = 1;
  double seconds = 2;
  double warm_up = 0.5;
  std::uint16_t mtu = 9000;
  int target_cpu = 1;
  int cpu = 0;
  bool software_checksums = false;
};

constexpr std::uint64_t kLunBytes = 256 * MiB;

struct Slot {
  std::uint64_t started = 0;
  iovec iov{};
};

class Run {
 public:
  Run(const Flags& flags, pollux_instance* instance) : flags_(flags), instance_(instance) {}

  int open(std::string& error) {
    pollux_error reason{};
    for (std::uint32_t i = 0; i < flags_.sessions; ++i) {
      const std::string url = fmt::format(
          "iscsi://10.99.0.1/iqn.2026-01.org.pollux:disk/0?header_digest={}&data_digest={}",
          flags_.digests == "none" ? "none" : "crc32c",
          flags_.digests == "both" ? "crc32c" : "none");
      pollux_session_id session = 0;
      if (pollux_login(instance_, url.c_str(), nullptr, &session, nullptr, &reason) != POLLUX_OK) {
        error = reason.message;
        return 1;
      }
      sessions_.push_back(session);
    }
    pollux_queue_options options;
    pollux_queue_options_init(&options);
    options.depth = std::max(16u, flags_.depth * flags_.sessions);
    options.lent_read_bytes_max = flags_.memory == "lent" ? flags_.io_size : 0;
    if (pollux_queue_create(instance_, &options, &queue_, &reason) != POLLUX_OK) {
      error = reason.message;
      return 1;
    }
    const std::size_t slots = std::size_t{flags_.depth} * flags_.sessions;
    const std::size_t bytes = (slots * flags_.io_size + 4095) / 4096 * 4096;
    memory_ = static_cast<std::byte*>(std::aligned_alloc(4096, bytes));
    std::fill_n(memory_, bytes, std::byte{0x5a});
    if (flags_.memory == "registered" &&
        pollux_memory_register(instance_, memory_, bytes, &region_, &reason) != POLLUX_OK) {
      error = reason.message;
      return 1;
    }
    slots_.resize(slots);
    for (std::size_t i = 0; i < slots; ++i)
      slots_[i].iov = {memory_ + i * flags_.io_size, flags_.io_size};
    return 0;
  }

  void run(double seconds, std::uint64_t hz) {
    latencies_ = {};
    completed_ = failed_ = 0;
    const std::uint64_t start = platform::TscClock::cycles();
    const std::uint64_t end = start + static_cast<std::uint64_t>(seconds * static_cast<double>(hz));
    for (Slot& slot : slots_) submit(slot);
    std::uint64_t now = start;
    while (now < end || in_flight_ != 0) {
      pollux_worker_poll(instance_, 0);
      pollux_completion done[32];
      const int count = pollux_queue_reap(queue_, done, 32);
      if (count == 0) {
        now = platform::TscClock::cycles();
        continue;
      }
      now = platform::TscClock::cycles();
      for (int i = 0; i < count; ++i) finish(done[i], now, now < end);
    }
    elapsed_cycles_ = platform::TscClock::cycles() - start;
  }

  void close() {
    while (pollux_queue_destroy(queue_) == POLLUX_EBUSY) pollux_worker_poll(instance_, 0);
    for (const auto session : sessions_) pollux_logout(instance_, session, nullptr);
    while (region_ != nullptr && pollux_memory_unregister(region_) == POLLUX_EBUSY)
      pollux_worker_poll(instance_, 0);
    std::free(memory_);
  }

  [[nodiscard]] std::uint64_t completed() const { return completed_; }
  [[nodiscard]] std::uint64_t failed() const { return failed_; }
  [[nodiscard]] std::uint64_t elapsed_cycles() const { return elapsed_cycles_; }
  [[nodiscard]] const service::LatencyHistogram& latencies() const { return latencies_; }

 private:
  void submit(Slot& slot) {
    const std::uint64_t blocks = kLunBytes / 512;
    const std::uint32_t count = flags_.io_size / 512;
    pollux_command command{};
    const bool writes = flags_.workload.find("write") != std::string::npos;
    command.opcode = writes ? POLLUX_WRITE : POLLUX_READ;
    command.session = sessions_[static_cast<std::size_t>(&slot - slots_.data()) % sessions_.size()];
    command.lba =
        flags_.workload.starts_with("rand")
            ? random_.below(static_cast<std::uint32_t>(blocks / count)) * std::uint64_t{count}
            : next_lba_;
    next_lba_ = (next_lba_ + count) % (blocks - count);
    command.block_count = count;
    command.length = flags_.io_size;
    command.context = &slot;
    if (flags_.memory == "lent" && !writes) {
      command.flags = POLLUX_LENT;
    } else {
      command.iov = &slot.iov;
      command.iov_count = 1;
      if (flags_.memory == "registered" && writes) command.flags = POLLUX_REGISTERED;
    }
    slot.started = platform::TscClock::cycles();
    if (pollux_queue_submit(queue_, &command, 1) != 1) {
      ++failed_;
      return;
    }
    ++in_flight_;
  }

  void finish(const pollux_completion& done, std::uint64_t now, bool again) {
    auto& slot = *static_cast<Slot*>(done.context);
    --in_flight_;
    ++completed_;
    if (done.result != 0 || done.scsi_status != 0) ++failed_;
    if (done.lent != nullptr) pollux_release(done.lent);
    latencies_.add(now - slot.started);
    if (again) submit(slot);
  }

  const Flags& flags_;
  pollux_instance* instance_;
  pollux_queue* queue_ = nullptr;
  pollux_region* region_ = nullptr;
  std::byte* memory_ = nullptr;
  std::vector<pollux_session_id> sessions_;
  std::vector<Slot> slots_;
  Random random_{42};
  std::uint64_t next_lba_ = 0;
  std::uint64_t in_flight_ = 0;
  std::uint64_t completed_ = 0;
  std::uint64_t failed_ = 0;
  std::uint64_t elapsed_cycles_ = 0;
  service::LatencyHistogram latencies_;
};

/// CPU time of this thread: what is missing to the time that passed was taken by others.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

int measure(const Flags& flags) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(flags.cpu), &set);
  target::LabOptions lab_options;
  lab_options.cpu = flags.target_cpu;
  lab_options.emulate_checksum_offload = !flags.software_checksums;
  lab_options.target.connections = 1024;
  lab_options.target.luns = {
      {.kind = flags.lun == "ram" ? target::LunKind::ram : target::LunKind::null,
       .bytes = kLunBytes,
       .block_bytes = 512}};
  target::Lab lab(lab_options);
  library::OpenSetup setup;
  setup.config.instance = fmt::format("bench{}", getpid());
  setup.config.memory.hugepages = false;
  setup.config.worker.sessions_max = std::max(16u, flags.sessions);
  setup.config.ports = {{.name = "wire",
                         .device = "ring:wire",
                         .interface = {.address = net::IpAddress::v4(10, 99, 0, 2),
                                       .prefix_length = 24,
                                       .gateway = {}},
                         .mtu = flags.mtu}};
  setup.poll_mode = POLLUX_POLL_EMBEDDER;
  setup.ring_ports = lab.port_source();
  setup.ring_memory_mib = target::kLabMemoryMib;
  pollux_instance* instance = nullptr;
  std::string error;
  if (library::open_instance(std::move(setup), instance, error) != POLLUX_OK) {
    fmt::print(stderr, "bench_ring: {}\n", error);
    return 1;
  }
  // After the control thread was made: it stays on the other CPU's side.
  sched_setaffinity(0, sizeof(set), &set);
  Run run(flags, instance);
  if (run.open(error) != 0) {
    fmt::print(stderr, "bench_ring: {}\n", error);
    pollux_close(instance);
    return 1;
  }
  pollux_worker_stats before{};
  before.size = sizeof(before);
  pollux_worker_stats after = before;
  pollux_worker_stats_get(instance, 0, &before);
  const std::uint64_t hz = before.tsc_hz;
  run.run(flags.warm_up, hz);
  pollux_worker_stats_get(instance, 0, &before);
  const std::uint64_t target_busy = lab.thread()->busy_cycles();
  const std::uint64_t target_idle = lab.thread()->idle_cycles();
  const double thread_before = thread_seconds();
  run.run(flags.seconds, hz);
  const double thread_share = (thread_seconds() - thread_before) * static_cast<double>(hz) /
                              static_cast<double>(run.elapsed_cycles());
  pollux_worker_stats_get(instance, 0, &after);
  const double target_busy_cycles = static_cast<double>(lab.thread()->busy_cycles() - target_busy);
  const double target_idle_cycles = static_cast<double>(lab.thread()->idle_cycles() - target_idle);
  const std::uint64_t violations = lab.thread()->violations();
  run.close();
  pollux_close(instance);
  platform::stop_eal();

  const double ios = static_cast<double>(std::max<std::uint64_t>(run.completed(), 1));
  const double seconds = static_cast<double>(run.elapsed_cycles()) / static_cast<double>(hz);
  const double busy = static_cast<double>(after.busy_cycles - before.busy_cycles);
  const auto microseconds = [&](std::uint32_t fraction) {
    return static_cast<double>(run.latencies().percentile(fraction)) * 1e6 /
           static_cast<double>(hz);
  };
  fmt::print(
      "{{\"contender\": \"pollux\", \"wire\": \"ring{}\", \"workload\": \"{}\", \"io_size\": {}, "
      "\"queue_depth\": {}, "
      "\"sessions\": {}, \"digests\": \"{}\", \"iops\": {:.0f}, \"mibps\": {:.1f}, "
      "\"p50_latency_us\": {:.2f}, "
      "\"p99_latency_us\": {:.2f}, \"cpu_ns_per_io\": {:.1f}, \"busy_cycles_per_io\": {:.1f}, "
      "\"copied_bytes_per_io\": {:.1f}, \"loop_cycles_per_io\": {:.1f}, "
      "\"target_busy_cycles_per_io\": {:.1f}, "
      "\"target_busy_share\": {:.3f}, \"lun\": \"{}\", \"memory\": \"{}\", \"mtu\": {}, "
      "\"tsc_hz\": {}, "
      "\"cpu_share\": {:.3f}, \"failed\": {}, \"violations\": {}}}\n",
      flags.software_checksums ? "-software-checksums" : "", flags.workload, flags.io_size,
      flags.depth, flags.sessions, flags.digests, ios / seconds,
      ios * flags.io_size / seconds / 1048576.0, microseconds(500), microseconds(990),
      busy / ios * 1e9 / static_cast<double>(hz), busy / ios,
      static_cast<double>(after.copied_bytes - before.copied_bytes) / ios,
      static_cast<double>(run.elapsed_cycles()) / ios, target_busy_cycles / ios,
      target_busy_cycles / (target_busy_cycles + target_idle_cycles), flags.lun, flags.memory,
      flags.mtu, hz, thread_share, run.failed(), violations);
  return run.failed() == 0 && violations == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app{"bench_ring: pollux on the wire inside the process"};
  app.add_option("-w,--workload", flags.workload)
      ->check(CLI::IsMember({"read", "randread", "write", "randwrite"}));
  app.add_option("--lun", flags.lun)->check(CLI::IsMember({"null", "ram"}));
  app.add_option("--digests", flags.digests)->check(CLI::IsMember({"none", "header", "both"}));
  app.add_option("--memory", flags.memory)
      ->check(CLI::IsMember({"placed", "lent", "plain", "registered"}));
  app.add_option("-o,--io-size", flags.io_size);
  app.add_option("-q,--depth", flags.depth);
  app.add_option("--sessions", flags.sessions);
  app.add_option("-t,--seconds", flags.seconds);
  app.add_option("--mtu", flags.mtu);
  app.add_option("--cpu", flags.cpu);
  app.add_option("--target-cpu", flags.target_cpu);
  app.add_flag("--software-checksums", flags.software_checksums);
  CLI11_PARSE(app, argc, argv);
  return measure(flags);
}
