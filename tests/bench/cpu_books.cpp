#include "tests/bench/cpu_books.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>

#include "control/ratio.hpp"

namespace pollux::bench {
namespace {

namespace fs = std::filesystem;

/// Nanoseconds that all threads of `pid` have run: the first number of schedstat.
std::uint64_t run_time(pid_t pid) {
  std::uint64_t sum = 0;
  std::error_code gone;
  for (const auto& task : fs::directory_iterator(fmt::format("/proc/{}/task", pid), gone)) {
    std::uint64_t nanoseconds = 0;
    std::ifstream(task.path() / "schedstat") >> nanoseconds;
    sum += nanoseconds;
  }
  return sum;
}

std::vector<pid_t> find_softirq_threads() {
  std::vector<pid_t> found;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator("/proc", gone)) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc{}) continue;
    std::string command;
    std::ifstream(entry.path() / "comm") >> command;
    if (command.starts_with("ksoftirqd/")) found.push_back(pid);
  }
  return found;
}

}  // namespace

void run_before_others() {
  sched_param priority{};
  priority.sched_priority = 1;
  pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
}

CpuBooks::CpuBooks(pid_t target) : target_(target), softirq_threads_(find_softirq_threads()) {}

CpuBooks::Reading CpuBooks::read() const {
  Reading reading;
  std::ifstream stat("/proc/stat");
  std::string line;
  std::getline(stat, line);  // the sum of all CPUs
  for (Cpu& cpu : reading.cpus) {
    std::string name;
    stat >> name;
    if (!name.starts_with("cpu")) break;  // fewer than two
    std::uint64_t user = 0, nice = 0, system = 0, idle = 0, io = 0, irq = 0, softirq = 0, steal = 0;
    stat >> user >> nice >> system >> idle >> io >> irq >> softirq >> steal;
    std::getline(stat, line);
    cpu.busy_ticks = user + nice + system + irq + softirq;
    cpu.softirq_ticks = irq + softirq;
    cpu.all_ticks = cpu.busy_ticks + idle + io + steal;
  }
  reading.process_ns = run_time(getpid());
  if (target_ != 0) reading.target_ns = run_time(target_);
  for (const pid_t thread : softirq_threads_) reading.softirq_threads_ns += run_time(thread);
  return reading;
}

double CpuBooks::process_seconds() const {
  return static_cast<double>(after_.process_ns - before_.process_ns) / 1e9;
}

std::string CpuBooks::cpu_json(std::size_t cpu) const {
  const Cpu& before = before_.cpus[cpu];
  const Cpu& after = after_.cpus[cpu];
  const auto all = static_cast<double>(after.all_ticks - before.all_ticks);
  const auto share = [all](std::uint64_t ticks) { return ratio(static_cast<double>(ticks), all); };
  return fmt::format("\"cpu{}_busy\": {:.3f}, \"cpu{}_softirq\": {:.3f}", cpu,
                     share(after.busy_ticks - before.busy_ticks), cpu,
                     share(after.softirq_ticks - before.softirq_ticks));
}

std::string CpuBooks::json(double seconds, double ios) const {
  const auto target = static_cast<double>(after_.target_ns - before_.target_ns);
  const auto softirq = static_cast<double>(after_.softirq_threads_ns - before_.softirq_threads_ns);
  return fmt::format(
      "{}, {}, \"process_cpu_ns_per_io\": {:.1f}, \"target_cpu_ns_per_io\": {:.1f}, "
      "\"target_cpu_share\": {:.3f}, \"softirq_threads_ns_per_io\": {:.1f}",
      cpu_json(0), cpu_json(1), process_seconds() * 1e9 / ios, target / ios, target / 1e9 / seconds,
      softirq / ios);
}

}  // namespace pollux::bench
