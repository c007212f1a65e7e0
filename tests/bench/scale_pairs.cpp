// What a second core adds: a worker with its target in one thread, turn by turn, one such pair
// alone against two at once. Beside it what the machine gives two cores for arithmetic and for
// copying: CPUs that share a core or a memory bus give less than twice, whatever runs on them.
#include <fmt/format.h>

#include <array>
#include <barrier>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>

#include "dataplane/platform/dpdk_runtime.hpp"
#include "tests/bench/quantile.hpp"
#include "tests/bench/scale.hpp"

namespace pollux::bench {
namespace {

constexpr std::size_t kPairs = 2;
/// Room for the second instance's pools and its target's: the EAL takes its memory once.
constexpr std::uint32_t kSpareMib = 512;

class Work {
 public:
  virtual ~Work() = default;
  /// On the thread that will do it.
  virtual bool prepare(std::string&) { return true; }
  /// A small piece; returns how much of it was done.
  virtual std::uint64_t piece() = 0;
};

class PairWork final : public Work {
 public:
  explicit PairWork(Rig& rig) : rig_(rig) {}
  ~PairWork() override {
    // The load waits for what is open, so that the target must turn.
    (void)rig_.target()->start();
    load_.reset();
  }
  bool prepare(std::string& error) override {
    LoadOptions options;
    options.working_set = 1u << 20;
    load_.emplace(options, rig_.instance(), 0u, rig_.sessions(), rig_.lun());
    if (!load_->open(error)) return false;
    rig_.target()->pause();
    pollux_worker_poll(&rig_.instance(), 0);
    turns_.emplace(rig_);
    load_->fill();
    turns_->run(*load_, 20'000);
    return true;
  }
  std::uint64_t piece() override { return turns_->run(*load_, 512).ios; }
  [[nodiscard]] std::uint64_t failed() const { return load_ ? load_->failed() : 0; }

 private:
  Rig& rig_;
  std::optional<Load> load_;
  std::optional<Turns> turns_;
};

class Arithmetic final : public Work {
 public:
  std::uint64_t piece() override {
    // Four chains, as much as a core can take at once.
    std::uint64_t a = state_, b = a + 1, c = a + 2, d = a + 3;
    for (int i = 0; i < 100'000; ++i) {
      a = a * 6364136223846793005u + 1;
      b = (b ^ (b >> 7)) + 3;
      c = (c << 1) + (c ^ a);
      d += b;
    }
    state_ = a ^ b ^ c ^ d;
    return 100'000;
  }

 private:
  std::uint64_t state_ = 1;
};

class Copy final : public Work {
 public:
  Copy() : from_(kBytes, 1), to_(kBytes, 2) {}
  std::uint64_t piece() override {
    for (std::size_t at = 0; at < kBytes; at += 4096) {
      std::memcpy(&to_[at], &from_[at], 4096);
      // Else nobody would see that the same is copied again and again.
      __asm__ volatile("" : : "r"(to_.data()) : "memory");
    }
    return kBytes;
  }

 private:
  static constexpr std::size_t kBytes = 1u << 20;
  std::vector<char> from_;
  std::vector<char> to_;
};

double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

struct Rate {
  double per_second = 0;      ///< of the time that passed
  double per_cpu_second = 0;  ///< of the time that the thread ran
};

Rate measure(Work& work, double seconds) {
  const double cpu = thread_seconds();
  const auto start = std::chrono::steady_clock::now();
  const auto end = start + std::chrono::duration<double>(seconds);
  std::uint64_t done = 0;
  auto now = start;
  for (; now < end; now = std::chrono::steady_clock::now()) done += work.piece();
  return {static_cast<double>(done) / std::chrono::duration<double>(now - start).count(),
          static_cast<double>(done) / (thread_seconds() - cpu)};
}

/// One kind of work on both CPUs: each alone, then both at once, in each round.
class Ratio {
 public:
  void add(const std::array<Rate, kPairs>& alone, const std::array<Rate, kPairs>& both) {
    // Twice the mean of the two alone is what two would give that do not disturb each other.
    const auto part = [&](auto of) {
      return 2 * (of(both[0]) + of(both[1])) / (of(alone[0]) + of(alone[1]));
    };
    wall_.push_back(part([](const Rate& r) { return r.per_second; }));
    cpu_.push_back(part([](const Rate& r) { return r.per_cpu_second; }));
    one_.push_back((alone[0].per_second + alone[1].per_second) / 2);
    two_.push_back(both[0].per_second + both[1].per_second);
  }
  double wall(double part) { return quantile(wall_, part); }
  double cpu(double part) { return quantile(cpu_, part); }
  double one() { return quantile(one_, 0.5); }
  double two() { return quantile(two_, 0.5); }

 private:
  std::vector<double> wall_;
  std::vector<double> cpu_;
  std::vector<double> one_;
  std::vector<double> two_;
};

struct Plan {
  int rounds;
  double seconds;
};

/// Both threads walk through the same steps; who has nothing to do in a step sleeps at the barrier.
class Pairs {
 public:
  using Kinds = std::vector<std::array<std::unique_ptr<Work>, kPairs>>;

  Pairs(Kinds& kinds, const Plan& plan, const std::array<int, kPairs>& cpus)
      : kinds_(kinds), plan_(plan), cpus_(cpus), ratios_(kinds.size()) {}

  bool run(std::string& error) {
    std::thread second([this] { walk(1); });
    walk(0);
    second.join();
    for (const std::string& each : errors_)
      if (!each.empty()) error = each;
    return error.empty();
  }
  std::vector<Ratio>& ratios() { return ratios_; }

 private:
  void walk(std::size_t me) {
    pin_to(cpus_[me]);
    // A thread without a cache of its own would share the pools' locks with the other.
    if (!platform::register_worker_thread(errors_[me])) return barrier_.arrive_and_drop();
    for (auto& kind : kinds_)
      if (!kind[me]->prepare(errors_[me])) break;
    barrier_.arrive_and_wait();
    if (!errors_[0].empty() || !errors_[1].empty()) return;
    for (int round = 0; round < plan_.rounds; ++round)
      for (std::size_t kind = 0; kind < kinds_.size(); ++kind) step(me, kind);
  }

  void step(std::size_t me, std::size_t kind) {
    Work& work = *kinds_[kind][me];
    for (std::size_t turn = 0; turn < kPairs; ++turn) {
      if (turn == me) alone_[me] = bench::measure(work, plan_.seconds);
      barrier_.arrive_and_wait();
    }
    both_[me] = bench::measure(work, plan_.seconds);
    barrier_.arrive_and_wait();
    if (me == 0) ratios_[kind].add(alone_, both_);
    barrier_.arrive_and_wait();
  }

  Kinds& kinds_;
  Plan plan_;
  std::array<int, kPairs> cpus_;
  std::vector<Ratio> ratios_;
  std::barrier<> barrier_{kPairs};
  std::array<Rate, kPairs> alone_;
  std::array<Rate, kPairs> both_;
  std::array<std::string, kPairs> errors_;
};

void print(const char* what, Ratio& ratio, Ratio& arithmetic) {
  fmt::print(
      "{{\"contender\": \"{}\", \"measure\": \"two_workers\", \"one\": {:.0f}, \"two\": {:.0f}, "
      "\"ratio\": {:.3f}, \"ratio_low\": {:.3f}, \"ratio_high\": {:.3f}, \"cpu_time_ratio\": "
      "{:.3f}, \"limit_ratio\": {:.3f}}}\n",
      what, ratio.one(), ratio.two(), ratio.wall(0.5), ratio.wall(0.1), ratio.wall(0.9),
      ratio.cpu(0.5), arithmetic.wall(0.5));
}

}  // namespace

int measure_two_workers(const ScaleOptions& options) {
  RigOptions rig_options;
  rig_options.spare_memory_mib = kSpareMib;
  std::string error;
  Rig first(rig_options);
  if (!first.open(error)) return fail(error);
  rig_options.spare_memory_mib = 0;
  Rig second(rig_options);
  if (!second.open(error)) return fail(error);

  Pairs::Kinds kinds(3);
  kinds[0] = {std::make_unique<PairWork>(first), std::make_unique<PairWork>(second)};
  kinds[1] = {std::make_unique<Arithmetic>(), std::make_unique<Arithmetic>()};
  kinds[2] = {std::make_unique<Copy>(), std::make_unique<Copy>()};
  const Plan plan =
      options.is_short ? Plan{.rounds = 3, .seconds = 0.1} : Plan{.rounds = 15, .seconds = 0.3};
  Pairs pairs(kinds, plan, {options.cpu, options.target_cpu});
  if (!pairs.run(error)) return fail(error);
  auto& ratios = pairs.ratios();
  print("pollux", ratios[0], ratios[1]);
  print("arithmetic", ratios[1], ratios[1]);
  print("memcpy", ratios[2], ratios[1]);
  kinds.clear();
  return first.target()->violations() + second.target()->violations() == 0
             ? 0
             : fail("the target saw violations of the protocol");
}

}  // namespace pollux::bench
