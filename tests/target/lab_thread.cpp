// The polling thread of the embedded target. See lab_thread.hpp.
#include "tests/target/lab_thread.hpp"

#include <pthread.h>
#include <sched.h>

#include <utility>

namespace pollux::target {
namespace {

// Resets leave within a turn; the rest is for the other end to give borrowed frames back.
constexpr Duration kWindDown = 500ms;

}  // namespace

LabThread::LabThread(LabThreadOptions options, platform::Port& port, platform::PacketMemory& memory,
                     platform::TscClock clock)
    : options_(std::move(options)),
      clock_(clock),
      target_(options_.target, port, memory, clock.now()) {}

LabThread::~LabThread() { stop(); }

bool LabThread::start() {
  stop_.store(false, std::memory_order_relaxed);
  pause_.store(false, std::memory_order_relaxed);
  thread_ = std::thread([this] { run(); });
  if (options_.cpu < 0) return true;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<unsigned>(options_.cpu), &cpus);
  if (pthread_setaffinity_np(thread_.native_handle(), sizeof(cpus), &cpus) == 0) return true;
  stop();
  return false;
}

void LabThread::stop() {
  if (!thread_.joinable()) return;
  stop_.store(true, std::memory_order_relaxed);
  thread_.join();
}

void LabThread::pause() {
  pause_.store(true, std::memory_order_relaxed);
  stop();
}

void LabThread::run() noexcept {
  if (options_.on_start) options_.on_start();
  std::uint64_t before = platform::TscClock::cycles();
  while (!stop_.load(std::memory_order_relaxed)) {
    const bool busy = target_.poll_once(clock_.at(before));
    const std::uint64_t after = platform::TscClock::cycles();
    (busy ? busy_cycles_ : idle_cycles_).add(after - before);
    turns_.add();
    if (busy) violations_.set(target_.checks().total());
    before = after;
  }
  if (!pause_.load(std::memory_order_relaxed)) wind_down();
  if (options_.on_stop) options_.on_stop();
}

void LabThread::wind_down() noexcept {
  const Instant end = clock_.now() + kWindDown;
  target_.shut_down(clock_.now());
  for (Instant now = clock_.now(); now < end; now = clock_.now()) {
    target_.poll_once(now);
    if (target_.open_connections() == 0 && target_.quiet()) return;
  }
}

}  // namespace pollux::target
