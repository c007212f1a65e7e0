// A wire with misfortunes between two interfaces of two network namespaces. What happens to a frame
// is decided by the same seeded code as in simulation (tests/support/sim_wire); here its time is
// the machine's clock and its ends are taps and packet sockets, so that kernels and pollux can be
// put on one wire side by side. Ends on SIGTERM or SIGINT and prints what happened as one line of
// JSON.
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "tests/bridge/wire_end.hpp"
#include "tests/interop/arguments.hpp"
#include "tests/support/sim_wire.hpp"

namespace {

using namespace pollux;
using bridge::WireEnd;

constexpr std::size_t kBurst = 64;

const char* const kHelp =
    R"(bridge --a END --b END [options]
  END is tap:NAME@NETNS (made here) or packet:NAME@NETNS (an interface that is there).
  Options take one value for both directions, or two as "A-to-B,B-to-A":
  --loss PERCENT       --duplicate PERCENT   --corrupt PERCENT
  --reorder PERCENT    --reorder-us TIME     a frame that is TIME late while others overtake it
  --delay-us TIME      --jitter-us TIME      order is kept
  --rate-mbit RATE     --queue-kib SIZE      0: no limit; the queue drops its tail
  and one value for all:
  --seed NUMBER        of every decision
  --device-queue N     frames that an interface holds for the bridge (8192)
  --spin-us TIME       wait for the last TIME before an event without sleeping (0)
  --realtime           SCHED_FIFO, when the machine lets us
  --record FILE        pcapng of every frame before its fate
)";

Instant read_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return Instant{std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec)};
}

/// How late the bridge itself was: what a reader of its figures must know.
class Lateness {
 public:
  void add(Duration late) {
    const auto us = static_cast<std::size_t>(late / 1us);
    ++counts_[std::min(us, counts_.size() - 1)];
    ++total_;
    most_ = std::max(most_, us);
  }
  [[nodiscard]] std::size_t percentile(double part) const {
    auto left = static_cast<std::uint64_t>(static_cast<double>(total_) * part);
    for (std::size_t us = 0; us < counts_.size(); ++us) {
      if (counts_[us] > left) return us;
      left -= counts_[us];
    }
    return most_;
  }
  [[nodiscard]] std::string json() const {
    return fmt::format(R"({{"events": {}, "p50_us": {}, "p99_us": {}, "max_us": {}}})", total_,
                       percentile(0.5), percentile(0.99), most_);
  }

 private:
  std::array<std::uint64_t, 20'000> counts_{};
  std::uint64_t total_ = 0;
  std::size_t most_ = 0;
};

/// "X" or "X,Y": the value of one direction.
double of_direction(const interop::Arguments& arguments, const char* name, std::size_t from,
                    double otherwise) {
  const std::string text = arguments.text(name, "");
  if (text.empty()) return otherwise;
  const std::size_t comma = text.find(',');
  return std::atof(from == 1 && comma != std::string::npos ? text.c_str() + comma + 1
                                                           : text.c_str());
}

sim::WireFaults faults_of(const interop::Arguments& arguments, std::size_t from) {
  const auto ppm = [&](const char* name) {
    return static_cast<std::uint32_t>(of_direction(arguments, name, from, 0) * 10'000);
  };
  const auto us = [&](const char* name, double otherwise) {
    return Duration(
        static_cast<Duration::rep>(of_direction(arguments, name, from, otherwise) * 1000));
  };
  sim::WireFaults faults;
  faults.drop_ppm = ppm("loss");
  faults.duplicate_ppm = ppm("duplicate");
  faults.corrupt_ppm = ppm("corrupt");
  faults.reorder_ppm = ppm("reorder");
  faults.reorder_delay = us("reorder-us", 500);
  faults.delay = us("delay-us", 0);
  faults.jitter = us("jitter-us", 0);
  faults.bits_per_second =
      static_cast<std::uint64_t>(of_direction(arguments, "rate-mbit", from, 0) * 1'000'000);
  faults.queue_bytes =
      static_cast<std::size_t>(of_direction(arguments, "queue-kib", from, 256) * 1024);
  return faults;
}

class Bridge {
 public:
  Bridge(std::unique_ptr<WireEnd> a, std::unique_ptr<WireEnd> b,
         const interop::Arguments& arguments)
      : ends_{std::move(a), std::move(b)},
        wire_(arguments.number("seed", 1), read_clock()),
        spin_(std::chrono::microseconds(arguments.number("spin-us", 0))) {
    for (const std::size_t from : {0U, 1U}) wire_.faults(from) = faults_of(arguments, from);
  }
  ~Bridge() {
    for (const int fd : {poll_, timer_, signals_})
      if (fd >= 0) ::close(fd);
  }
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  bool prepare(const std::string& record) {
    if (!record.empty() && !wire_.record(record)) return false;
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    ::sigprocmask(SIG_BLOCK, &ending, nullptr);
    signals_ = ::signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
    timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    poll_ = ::epoll_create1(EPOLL_CLOEXEC);
    for (const int fd : {signals_, timer_, ends_[0]->fd(), ends_[1]->fd()}) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = fd;
      if (::epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &event) != 0) return false;
    }
    return true;
  }

  void run() {
    while (!ended_) {
      wait();
      carry();
    }
  }

  void print() {
    std::string text = "{";
    for (const std::size_t from : {0U, 1U}) {
      const sim::WireHits& hits = wire_.hits(from);
      const bridge::EndLosses losses = ends_[from]->losses();
      text += fmt::format(
          R"("{}": {{"sent": {}, "delivered": {}, "dropped": {}, "queue_dropped": {}, "duplicated": {}, )"
          R"("reordered": {}, "corrupted": {}}}, )"
          R"("end_{}": {{"read_overflow": {}, "write_refused": {}, "device_dropped": {}}}, )",
          from == 0 ? "a_to_b" : "b_to_a", hits.sent, hits.delivered, hits.dropped,
          hits.queue_dropped, hits.duplicated, hits.reordered, hits.corrupted,
          from == 0 ? "a" : "b", losses.read_overflow, losses.write_refused, losses.device_dropped);
    }
    fmt::print("{}\"late\": {}}}\n", text, lateness_.json());
    std::fflush(stdout);
  }

 private:
  /// Sleeps until a frame is there, the next one on the wire is due, or a signal came.
  void wait() {
    const Instant next = wire_.next_event();
    int patience = -1;
    if (next != kNever) {
      const Duration left = next - read_clock();
      if (left <= spin_) {
        patience = 0;
      } else {
        const auto at = (next - spin_).time_since_epoch();
        const auto whole = std::chrono::duration_cast<std::chrono::seconds>(at);
        itimerspec when{};
        when.it_value.tv_sec = whole.count();
        when.it_value.tv_nsec = (at - whole).count();
        ::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
      }
    }
    std::array<epoll_event, 4> events;
    const int count = ::epoll_wait(poll_, events.data(), static_cast<int>(events.size()), patience);
    readable_[0] = readable_[1] = false;
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == signals_) ended_ = true;
      if (fd == timer_) {
        std::uint64_t expiries = 0;
        if (::read(timer_, &expiries, sizeof(expiries)) < 0) continue;
      }
      for (const std::size_t end : {0U, 1U})
        if (fd == ends_[end]->fd()) readable_[end] = true;
    }
  }

  void carry() {
    const Instant now = read_clock();
    const Instant due = wire_.next_event();
    if (due > now && !readable_[0] && !readable_[1]) return;
    if (due <= now) lateness_.add(now - due);
    wire_.advance(now);
    for (const std::size_t end : {0U, 1U})
      if (readable_[end])
        ends_[end]->receive(kBurst, [&](std::span<const std::byte> frame) {
          wire_.send(end, sim::Frame(frame.begin(), frame.end()));
        });
    // With no delay and no rate a frame is due at once.
    wire_.advance(now);
    for (const std::size_t end : {0U, 1U})
      while (const std::optional<sim::Frame> frame = wire_.take(end)) ends_[end]->send(*frame);
  }

  std::array<std::unique_ptr<WireEnd>, 2> ends_;
  sim::SimWire wire_;
  Duration spin_;
  Lateness lateness_;
  std::array<bool, 2> readable_{};
  bool ended_ = false;
  int poll_ = -1;
  int timer_ = -1;
  int signals_ = -1;
};

}  // namespace

int main(int count, char** values) {
  const interop::Arguments arguments(count, values);
  if (!arguments.has("a") || !arguments.has("b")) {
    std::fputs(kHelp, stderr);
    return 2;
  }
  std::string error;
  const auto queue = static_cast<unsigned>(arguments.number("device-queue", 8192));
  auto a = WireEnd::open(arguments.text("a", ""), queue, error);
  auto b = a ? WireEnd::open(arguments.text("b", ""), queue, error) : nullptr;
  if (!b) {
    fmt::print(stderr, "{}\n", error);
    return 1;
  }
  ::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  if (arguments.has("realtime")) {
    const sched_param above_the_stacks{.sched_priority = 2};
    if (::sched_setscheduler(0, SCHED_FIFO, &above_the_stacks) != 0)
      fmt::print(stderr, "not real-time\n");
  }
  const auto bridge = std::make_unique<Bridge>(std::move(a), std::move(b), arguments);
  if (!bridge->prepare(arguments.text("record", ""))) {
    fmt::print(stderr, "the bridge cannot be prepared\n");
    return 1;
  }
  fmt::print(stderr, "bridge: ready\n");
  bridge->run();
  bridge->print();
  return 0;
}
