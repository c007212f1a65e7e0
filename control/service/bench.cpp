#include "control/service/bench.hpp"

#include <fmt/format.h>
#include <pollux/iscsierr.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "control/ratio.hpp"
#include "dataplane/base/random.hpp"

namespace pollux::service {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kPageBytes = 4096;
constexpr auto kPublishInterval = std::chrono::milliseconds(100);
constexpr unsigned kIdlePollsBeforeSleep = 256;
// A worker never gives its CPU away. A thread that yields beside it waits for the rest of its
// slice, milliseconds; one that wakes from a sleep is let in at once.
constexpr auto kIdleSleep = std::chrono::microseconds(10);
/// So many failures one after the other, and the run says why instead of counting on.
constexpr std::uint32_t kErrorsInARowMax = 64;

std::uint64_t nanoseconds(Clock::duration duration) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count());
}

struct FreeDeleter {
  void operator()(std::byte* memory) const noexcept { std::free(memory); }
};

std::string completion_sentence(const pollux_completion& completion) {
  if (completion.result != 0) return fmt::format("commands fail with code {}", completion.result);
  return fmt::format("the target answers with SCSI status 0x{:02x}, sense {:x}/{:02x}/{:02x}",
                     completion.scsi_status, completion.sense_key, completion.asc, completion.ascq);
}

bool is_mixed(std::uint32_t workload) {
  return workload == POLLUX_BENCH_RW || workload == POLLUX_BENCH_RANDRW;
}
bool is_random(std::uint32_t workload) {
  return workload == POLLUX_BENCH_RANDREAD || workload == POLLUX_BENCH_RANDWRITE ||
         workload == POLLUX_BENCH_RANDRW;
}

}  // namespace

std::string validate_bench(pollux_bench_in& in, std::uint64_t unit_blocks,
                           std::uint32_t block_bytes) {
  if (in.Workload > POLLUX_BENCH_RANDRW)
    return fmt::format("workload {} does not exist", in.Workload);
  if (in.IoSize == 0 || in.IoSize % block_bytes != 0 || in.IoSize > kBenchIoSizeMax) {
    return fmt::format("the I/O size must be a multiple of {} bytes and at most {}", block_bytes,
                       kBenchIoSizeMax);
  }
  if (in.QueueDepth == 0 || in.QueueDepth > kBenchDepthMax) {
    return fmt::format("the queue depth must be from 1 to {}", kBenchDepthMax);
  }
  if (std::uint64_t{in.IoSize} * in.QueueDepth > kBenchMemoryMax) {
    return fmt::format("I/O size times queue depth must be at most {} MiB", kBenchMemoryMax >> 20);
  }
  if (in.Seconds == 0 || in.Seconds > kBenchSecondsMax) {
    return fmt::format("the duration must be from 1 to {} seconds", kBenchSecondsMax);
  }
  if (in.ReadPercent > 100 || (in.ReadPercent != 0 && !is_mixed(in.Workload))) {
    return "the share of reads is a percentage and belongs to mixed workloads only";
  }
  if ((in.Flags & ~std::uint32_t{POLLUX_BENCH_FLAG_LENT | POLLUX_BENCH_FLAG_REGISTERED}) != 0) {
    return "unknown flags";
  }
  // Without additions that could wrap: each number is compared with what is left.
  if (in.FirstLba >= unit_blocks || in.BlockCount > unit_blocks - in.FirstLba) {
    return fmt::format("the range leaves the unit, which has {} blocks", unit_blocks);
  }
  if (in.BlockCount == 0) in.BlockCount = unit_blocks - in.FirstLba;
  if (in.BlockCount < in.IoSize / block_bytes) return "the range is smaller than one I/O";
  return {};
}

/// State of the run's thread.
class Bench::Runner {
 public:
  /// `memory` is page aligned, memory_bytes() long and outlives `queue`, which may register it.
  Runner(Bench& bench, Queue& queue, std::byte* memory)
      : bench_(bench), queue_(queue), memory_(memory), random_(seed()) {
    const pollux_bench_in& in = setup().in;
    blocks_per_io_ = in.IoSize / setup().block_bytes;
    io_count_ = in.BlockCount / blocks_per_io_;
    slots_.resize(in.QueueDepth);
  }

  static std::size_t memory_bytes(const pollux_bench_in& in) noexcept {
    return stride(in) * in.QueueDepth;
  }

  /// False when memory was to be registered and cannot be.
  bool prepare() {
    const std::size_t bytes = memory_bytes(setup().in);
    for (std::size_t i = 0; i + 8 <= bytes; i += 8) {
      const std::uint64_t word = random_.next();
      std::memcpy(memory_ + i, &word, sizeof(word));
    }
    if ((setup().in.Flags & POLLUX_BENCH_FLAG_REGISTERED) != 0) {
      is_registered_ = queue_.register_memory(std::span(memory_, bytes));
      if (!is_registered_) return false;
    }
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      slots_[i].iov = {memory_ + i * stride(setup().in), setup().in.IoSize};
      idle_.push_back(&slots_[i]);
    }
    return true;
  }

  void run() {
    // The sleeps below are shorter than the slack a timer has by default, 50 microseconds.
    prctl(PR_SET_TIMERSLACK, 1UL);
    start_ = Clock::now();
    const Clock::time_point end = start_ + std::chrono::seconds(setup().in.Seconds);
    Clock::time_point publish_at = start_ + kPublishInterval;
    unsigned idle_polls = 0;
    Clock::time_point now = start_;
    while (now < end && !bench_.stop_.load(std::memory_order_relaxed) &&
           errors_in_a_row_ < kErrorsInARowMax) {
      bool worked = submit(now);
      worked |= reap();
      now = Clock::now();
      idle_polls = worked ? 0 : idle_polls + 1;
      if (idle_polls >= kIdlePollsBeforeSleep) std::this_thread::sleep_for(kIdleSleep);
      if (now >= publish_at) {
        bench_.publish(latencies_, errors_, bytes_, nanoseconds(now - start_), false);
        publish_at = now + kPublishInterval;
      }
    }
    if (errors_in_a_row_ >= kErrorsInARowMax) {
      bench_.fail(ISDSC_SCSI_REQUEST_FAILED, completion_sentence(last_error_));
    }
    bench_.publish(latencies_, errors_, bytes_, nanoseconds(now - start_), true);
    bench_.wake_();
    // What is still open completes at the latest when its session ends: memory stays until then.
    while (idle_.size() < slots_.size()) {
      if (!reap()) std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }

 private:
  struct Slot {
    iovec iov{};
    Clock::time_point submitted;
  };

  static std::size_t stride(const pollux_bench_in& in) noexcept {
    return (in.IoSize + kPageBytes - 1) / kPageBytes * kPageBytes;
  }
  [[nodiscard]] const BenchSetup& setup() const noexcept { return bench_.setup_; }
  [[nodiscard]] std::uint64_t seed() const {
    return bench_.setup_.in.Seed != 0 ? bench_.setup_.in.Seed
                                      : nanoseconds(Clock::now().time_since_epoch());
  }

  bool next_is_read() noexcept {
    switch (setup().in.Workload) {
      case POLLUX_BENCH_READ:
      case POLLUX_BENCH_RANDREAD:
        return true;
      case POLLUX_BENCH_WRITE:
      case POLLUX_BENCH_RANDWRITE:
        return false;
      default:
        return random_.below(100) < setup().in.ReadPercent;
    }
  }
  std::uint64_t next_io() noexcept {
    if (!is_random(setup().in.Workload)) return position_++ % io_count_;
    // 64 random bits: the bias of the remainder is below io_count / 2^64.
    return random_.next() % io_count_;
  }

  bool submit(Clock::time_point now) {
    std::size_t count = 0;
    for (; count < batch_.size() && count < idle_.size(); ++count) {
      Slot* slot = idle_[idle_.size() - 1 - count];
      const bool is_read = next_is_read();
      const bool is_lent = is_read && (setup().in.Flags & POLLUX_BENCH_FLAG_LENT) != 0;
      pollux_command& command = batch_[count];
      command = {};
      command.opcode = is_read ? POLLUX_READ : POLLUX_WRITE;
      command.flags = static_cast<std::uint8_t>(
          (is_lent ? POLLUX_LENT : 0) | (!is_read && is_registered_ ? POLLUX_REGISTERED : 0));
      command.iov_count = is_lent ? 0 : 1;
      command.iov = is_lent ? nullptr : &slot->iov;
      command.length = setup().in.IoSize;
      command.block_count = blocks_per_io_;
      command.session = setup().in.UniqueSessionId;
      command.lun = setup().in.Lun;
      command.lba = setup().in.FirstLba + next_io() * blocks_per_io_;
      command.context = slot;
      slot->submitted = now;
    }
    if (count == 0) return false;
    const int taken = queue_.submit(std::span(batch_).first(count));
    if (taken < 0 && taken != POLLUX_EAGAIN) {
      ++errors_;
      ++errors_in_a_row_;
      last_error_ = {};
      last_error_.result = taken;
    }
    if (taken > 0) idle_.resize(idle_.size() - static_cast<std::size_t>(taken));
    return taken > 0;
  }

  bool reap() {
    const int count = queue_.reap(completions_);
    if (count <= 0) return false;
    const Clock::time_point now = Clock::now();
    for (int i = 0; i < count; ++i) {
      const pollux_completion& completion = completions_[static_cast<std::size_t>(i)];
      Slot* slot = static_cast<Slot*>(completion.context);
      if (completion.lent != nullptr) queue_.release(completion.lent);
      idle_.push_back(slot);
      if (completion.result == 0 && completion.scsi_status == 0) {
        latencies_.add(nanoseconds(now - slot->submitted));
        bytes_ += completion.transferred;
        errors_in_a_row_ = 0;
      } else {
        ++errors_;
        ++errors_in_a_row_;
        last_error_ = completion;
      }
    }
    return true;
  }

  Bench& bench_;
  Queue& queue_;
  std::byte* memory_;
  Random random_;
  std::vector<Slot> slots_;
  std::vector<Slot*> idle_;
  std::array<pollux_command, 32> batch_{};
  std::array<pollux_completion, 64> completions_{};
  LatencyHistogram latencies_;
  pollux_completion last_error_{};
  std::uint64_t io_count_ = 0;
  std::uint64_t position_ = 0;
  std::uint64_t errors_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint32_t blocks_per_io_ = 0;
  std::uint32_t errors_in_a_row_ = 0;
  bool is_registered_ = false;
  Clock::time_point start_;
};

Bench::Bench(const BenchSetup& setup, QueueSource& source, std::function<void()> wake)
    : setup_(setup), source_(source), wake_(std::move(wake)) {
  figures_.BenchId = setup_.in.BenchId;
  thread_ = std::thread([this] { run(); });
}

Bench::~Bench() {
  stop();
  thread_.join();
}

void Bench::run() {
  std::string error;
  std::uint32_t depth = 1;
  while (depth < setup_.in.QueueDepth) depth *= 2;
  const bool is_lent = (setup_.in.Flags & POLLUX_BENCH_FLAG_LENT) != 0;
  {
    // Outlives the queue, which ends its registration.
    const std::unique_ptr<std::byte, FreeDeleter> memory(
        static_cast<std::byte*>(std::aligned_alloc(kPageBytes, Runner::memory_bytes(setup_.in))));
    const std::unique_ptr<Queue> queue =
        source_.create(setup_.worker, depth, is_lent ? setup_.in.IoSize : 0, error);
    if (!memory) {
      fail(ISDSC_OUT_OF_RESOURCES, "no memory for the benchmark's buffers");
    } else if (!queue) {
      fail(ISDSC_OUT_OF_RESOURCES, fmt::format("no queue for the benchmark: {}", error));
    } else if (const auto runner = std::make_unique<Runner>(*this, *queue, memory.get());
               !runner->prepare()) {
      fail(ISDSC_OUT_OF_RESOURCES, "the benchmark's buffers cannot be registered");
    } else {
      source_.stats(setup_.worker, before_);
      runner->run();
    }
  }
  {
    const std::lock_guard lock(mutex_);
    figures_.Finished = 1;
  }
  ended_.store(true, std::memory_order_release);
  wake_();
}

void Bench::publish(const LatencyHistogram& latencies, std::uint64_t errors, std::uint64_t bytes,
                    std::uint64_t runtime_ns, bool is_final) {
  pollux_worker_stats now{};
  const bool has_stats = source_.stats(setup_.worker, now);
  const double seconds = static_cast<double>(std::max<std::uint64_t>(runtime_ns, 1)) / 1e9;
  const std::lock_guard lock(mutex_);
  figures_.Finished = is_final ? 1 : 0;
  figures_.TotalIos = latencies.count();
  figures_.Errors = errors;
  figures_.Bytes = bytes;
  figures_.RuntimeNs = runtime_ns;
  figures_.Iops = static_cast<double>(latencies.count()) / seconds;
  figures_.Mibps = mib_per_second(static_cast<double>(bytes), seconds);
  figures_.LatencyAverageNs = latencies.average();
  figures_.LatencyP50Ns = latencies.percentile(500);
  figures_.LatencyP99Ns = latencies.percentile(990);
  figures_.LatencyMaxNs = latencies.max();
  if (has_stats) {
    figures_.BusyCycles = now.busy_cycles - before_.busy_cycles;
    figures_.IdleCycles = now.idle_cycles - before_.idle_cycles;
    figures_.CopiedBytes = now.copied_bytes - before_.copied_bytes;
    figures_.CyclesPerSecond = now.tsc_hz;
  }
}

void Bench::fail(std::uint32_t status, std::string sentence) {
  const std::lock_guard lock(mutex_);
  figures_.Status = status;
  sentence_ = std::move(sentence);
}

pollux_bench_out Bench::figures() const {
  const std::lock_guard lock(mutex_);
  return figures_;
}

std::string Bench::sentence() const {
  const std::lock_guard lock(mutex_);
  return sentence_;
}

}  // namespace pollux::service
