// The contender of bench_pollux: the same load through libiscsi's asynchronous interface over
// kernel TCP, with the latencies that iscsi-perf does not print. One thread, poll(2) and
// iscsi_service(), as libiscsi's own tools and QEMU do; --spin never sleeps. Prints one JSON
// object.
#include <fmt/format.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <poll.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "control/ratio.hpp"
#include "control/service/latency_histogram.hpp"
#include "dataplane/base/random.hpp"
#include "tests/bench/cpu_books.hpp"
#include "tests/bench/thread_time.hpp"

namespace {

using namespace pollux;

struct Flags {
  std::string portal = "10.99.0.1";
  std::string target_name;
  int lun = 1;
  std::string workload = "randread";
  std::uint32_t io_size = 4096;
  std::uint32_t depth = 32;
  double seconds = 2;
  double warm_up = 0.5;
  int cpu = 0;
  int target_pid = 0;
  bool spin = false;
  bool realtime = false;
};

std::uint64_t now() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

class Load {
 public:
  explicit Load(const Flags& flags) : flags_(flags), slots_(flags.depth) {
    memory_.resize(std::size_t{flags.depth} * flags.io_size, 0x5a);
    for (std::size_t i = 0; i < slots_.size(); ++i)
      slots_[i] = {this, 0, {memory_.data() + i * flags.io_size, flags.io_size}};
  }

  bool log_in(std::string& error) {
    if (iscsi_ == nullptr) return fail("no context", error);
    iscsi_set_targetname(iscsi_.get(), flags_.target_name.c_str());
    iscsi_set_session_type(iscsi_.get(), ISCSI_SESSION_NORMAL);
    iscsi_set_header_digest(iscsi_.get(), ISCSI_HEADER_DIGEST_NONE);
    return iscsi_full_connect_sync(iscsi_.get(), flags_.portal.c_str(), flags_.lun) == 0 ||
           fail("no login", error);
  }

  void log_out() { iscsi_logout_sync(iscsi_.get()); }

  /// Keeps `depth` commands in flight for so long, then waits for the last of them.
  bool run(double seconds, std::string& error) {
    completed_ = failed_ = 0;
    latencies_ = {};
    started_ = now();
    end_ = started_ + static_cast<std::uint64_t>(seconds * 1e9);
    for (Slot& slot : slots_) submit(slot);
    while (in_flight_ != 0) {
      if (now() > end_ + kPatience) return fail("commands never ended", error);
      pollfd descriptor{iscsi_get_fd(iscsi_.get()),
                        static_cast<short>(iscsi_which_events(iscsi_.get())), 0};
      if (poll(&descriptor, 1, flags_.spin ? 0 : 1000) < 0) return fail("poll failed", error);
      if (iscsi_service(iscsi_.get(), descriptor.revents) < 0) return fail("no session", error);
    }
    elapsed_ = static_cast<double>(now() - started_) / 1e9;
    return true;
  }

  void print(const bench::CpuBooks& books) const {
    const auto ios = static_cast<double>(std::max<std::uint64_t>(completed_, 1));
    const double iops = ios / elapsed_;
    fmt::print(
        "{{\"contender\": \"libiscsi\", \"wire\": \"veth\", \"workload\": \"{}\", "
        "\"io_size\": {}, \"queue_depth\": {}, \"sessions\": 1, \"digests\": \"none\", "
        "\"iops\": {:.0f}, \"mibps\": {:.1f}, \"avg_latency_us\": {:.2f}, "
        "\"p50_latency_us\": {:.2f}, \"p99_latency_us\": {:.2f}, \"cpu_ns_per_io\": {:.1f}, "
        "\"failed\": {}, \"polling\": {}, {}}}\n",
        flags_.workload, flags_.io_size, flags_.depth, iops,
        mib_per_second(ios * flags_.io_size, elapsed_),
        static_cast<double>(latencies_.average()) / 1e3,
        static_cast<double>(latencies_.percentile(500)) / 1e3,
        static_cast<double>(latencies_.percentile(990)) / 1e3, books.process_seconds() * 1e9 / ios,
        failed_, flags_.spin, books.json(elapsed_, ios));
  }

  [[nodiscard]] std::uint64_t failed() const { return failed_; }

 private:
  static constexpr std::uint64_t kPatience = 10'000'000'000;
  static constexpr std::uint64_t kLunBytes = 256u << 20;
  static constexpr std::uint32_t kBlockBytes = 512;

  struct Slot {
    Load* load = nullptr;
    std::uint64_t started = 0;
    scsi_iovec iov{};
  };
  struct Destroy {
    void operator()(iscsi_context* context) const { iscsi_destroy_context(context); }
  };

  bool fail(const char* what, std::string& error) {
    error = fmt::format("{}: {}", what, iscsi_ ? iscsi_get_error(iscsi_.get()) : "");
    return false;
  }

  void submit(Slot& slot) {
    const std::uint64_t blocks = kLunBytes / kBlockBytes;
    const std::uint32_t count = flags_.io_size / kBlockBytes;
    const std::uint64_t lba =
        flags_.workload.starts_with("rand")
            ? random_.below(static_cast<std::uint32_t>(blocks / count)) * std::uint64_t{count}
            : next_lba_;
    next_lba_ = next_lba_ + 2 * count > blocks ? 0 : next_lba_ + count;
    slot.started = now();
    const bool writes = flags_.workload.ends_with("write");
    scsi_task* const task =
        writes ? iscsi_write16_iov_task(iscsi_.get(), flags_.lun, lba, nullptr, flags_.io_size,
                                        kBlockBytes, 0, 0, 0, 0, 0, ended, &slot, &slot.iov, 1)
               : iscsi_read16_iov_task(iscsi_.get(), flags_.lun, lba, flags_.io_size, kBlockBytes,
                                       0, 0, 0, 0, 0, ended, &slot, &slot.iov, 1);
    if (task == nullptr) {
      ++failed_;
      return;
    }
    ++in_flight_;
  }

  static void ended(iscsi_context*, int status, void* data, void* context) {
    auto& slot = *static_cast<Slot*>(context);
    Load& load = *slot.load;
    scsi_free_scsi_task(static_cast<scsi_task*>(data));
    const std::uint64_t time = now();
    load.latencies_.add(time - slot.started);
    ++load.completed_;
    --load.in_flight_;
    if (status != SCSI_STATUS_GOOD) ++load.failed_;
    if (status == SCSI_STATUS_GOOD && time < load.end_) load.submit(slot);
  }

  const Flags& flags_;
  std::unique_ptr<iscsi_context, Destroy> iscsi_{
      iscsi_create_context("iqn.2026-01.org.pollux:libiscsi-latency")};
  std::vector<unsigned char> memory_;
  std::vector<Slot> slots_;
  Random random_{42};
  std::uint64_t next_lba_ = 0;
  std::uint64_t started_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t in_flight_ = 0;
  std::uint64_t completed_ = 0;
  std::uint64_t failed_ = 0;
  double elapsed_ = 0;
  service::LatencyHistogram latencies_;
};

int measure(const Flags& flags) {
  if (!bench::pin_to(flags.cpu)) {
    fmt::print(stderr, "libiscsi_latency: there is no CPU {} to run on\n", flags.cpu);
    return 1;
  }
  if (flags.realtime) bench::run_before_others();
  Load load(flags);
  bench::CpuBooks books(flags.target_pid);
  std::string error;
  bool good = load.log_in(error) && load.run(flags.warm_up, error);
  if (good) {
    books.start();
    good = load.run(flags.seconds, error);
    books.stop();
  }
  if (!good) {
    fmt::print(stderr, "libiscsi_latency: {}\n", error);
    return 1;
  }
  load.print(books);
  load.log_out();
  return load.failed() == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app{"libiscsi_latency: one measurement of libiscsi"};
  app.add_option("-w,--workload", flags.workload)
      ->check(CLI::IsMember({"read", "randread", "write", "randwrite"}));
  app.add_option("--portal", flags.portal);
  app.add_option("--target-name", flags.target_name)->required();
  app.add_option("--target-lun", flags.lun);
  app.add_option("--target-pid", flags.target_pid, "whose CPU time is printed too");
  app.add_option("-o,--io-size", flags.io_size);
  app.add_option("-q,--depth", flags.depth)->check(CLI::Range(1, 4096));
  app.add_option("-t,--seconds", flags.seconds);
  app.add_option("--cpu", flags.cpu);
  app.add_flag("--spin", flags.spin, "polls without sleeping");
  app.add_flag("--realtime", flags.realtime, "before all other threads of its CPU");
  CLI11_PARSE(app, argc, argv);
  return measure(flags);
}
