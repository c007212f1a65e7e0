#include "tests/interop/tap_host.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <array>

#include "dataplane/net/interface_config.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/tcp/counters.hpp"

namespace pollux::interop {
namespace {

constexpr std::size_t kTimersPerTurn = 64;
constexpr std::size_t kBurstsPerTurn = 64;
constexpr std::uint32_t kMemoryMib = 256;
// A worker never sleeps, but it has a core of its own; here the other end of the wire needs one
// too.
constexpr unsigned kTurnsBeforeSleep = 64;
constexpr long kNapNanoseconds = 20'000;

}  // namespace

std::unique_ptr<TapHost> TapHost::create(const TapHostOptions& options, std::string& error) {
  const std::string instance = "wire-" + std::to_string(::getpid());
  if (!platform::start_eal({.instance = instance, .memory_mib = kMemoryMib}, error)) return nullptr;
  std::unique_ptr<TapHost> host(new TapHost);
  host->memory_ = platform::DpdkPacketMemory::create(options.memory, error);
  if (!host->memory_) return nullptr;
  host->port_ =
      platform::open_port({.name = "net_tap0,iface=" + options.tap}, *host->memory_, error);
  if (!host->port_) return nullptr;
  ::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  const sched_param lowest{.sched_priority = 1};
  if (options.realtime && ::sched_setscheduler(0, SCHED_FIFO, &lowest) != 0)
    fmt::print(stderr, "not real-time\n");
  host->baseline_ = host->memory_->buffers_in_use();
  host->clock_.emplace(platform::tsc_hz());
  net::InterfaceConfig config;
  config.address = options.address;
  const Instant start = host->now();
  host->interface_ = std::make_unique<net::Interface>(config, *host->port_, *host->memory_, start);
  host->engine_ =
      std::make_unique<tcp::Engine>(options.limits, tcp::EngineTimers{}, *host->interface_,
                                    *host->memory_, Random(options.seed), start);
  return host;
}

TapHost::~TapHost() {
  engine_.reset();
  interface_.reset();
  port_.reset();
  memory_.reset();
  platform::stop_eal();
}

std::size_t TapHost::turn(const std::function<void(const tcp::Event&, Instant)>& on_event,
                          const std::function<void(Instant)>& application) {
  const Instant now = this->now();
  std::array<net::TcpDatagram, 32> datagrams;
  std::size_t work = 0;
  // All that waits goes before the timers: after a time off the CPU the answers to what would
  // otherwise be sent again are there, but not all in the first burst.
  for (std::size_t burst = 0; burst < kBurstsPerTurn; ++burst) {
    std::size_t frames = 0;
    const std::size_t count = interface_->receive(now, datagrams, frames);
    for (std::size_t i = 0; i < count; ++i) engine_->input(datagrams[i], now);
    work += frames;
    if (frames == 0) break;
  }
  interface_->run_timers(now);
  work += engine_->run_timers(now, kTimersPerTurn);
  std::array<tcp::Event, 64> events;
  const std::size_t happened = engine_->take_events(events);
  for (std::size_t i = 0; i < happened; ++i) on_event(events[i], now);
  application(now);
  work += happened + engine_->output(now);
  interface_->flush();
  idle_turns_ = work == 0 ? idle_turns_ + 1 : 0;
  if (work == 0) interface_->reclaim();
  if (idle_turns_ > kTurnsBeforeSleep) {
    const timespec nap{.tv_sec = 0, .tv_nsec = kNapNanoseconds};
    ::nanosleep(&nap, nullptr);
  }
  return work;
}

long TapHost::stop() {
  engine_.reset();
  interface_.reset();
  port_->reclaim();
  return static_cast<long>(memory_->buffers_in_use()) - static_cast<long>(baseline_);
}

std::string TapHost::counters_json() const {
  std::string text;
  for (const tcp::CounterRow& row : tcp::kCounterRows)
    if (const std::uint64_t value = (engine_->counters().*row.member).get(); value != 0)
      text += fmt::format("\"{}\": {}, ", row.name, value);
  const platform::PortCounters& port = port_->counters();
  text += fmt::format("\"port_rx_frames\": {}, \"port_tx_frames\": {}, \"port_tx_deferred\": {}",
                      port.rx_frames.get(), port.tx_frames.get(), port.tx_deferred.get());
  return text;
}

}  // namespace pollux::interop
