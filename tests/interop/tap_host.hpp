// pollux's TCP on a net_tap port and real time, with the turn of a worker but no iSCSI above: what
// the programs that talk to a kernel stand on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "dataplane/net/interface.hpp"
#include "dataplane/platform/dpdk_memory.hpp"
#include "dataplane/platform/dpdk_port.hpp"
#include "dataplane/platform/tsc_clock.hpp"
#include "dataplane/tcp/engine.hpp"

namespace pollux::interop {

struct TapHostOptions {
  std::string tap;  ///< name of the kernel's interface, made in the caller's network namespace
  net::IpAddress address = net::IpAddress::v4(10, 99, 0, 2);
  tcp::EngineLimits limits;
  platform::DpdkMemoryOptions memory;
  std::uint64_t seed = 1;
  /// Scheduled as soon as there is something to do, as a worker on its own core and the kernel's
  /// softirq are.
  bool realtime = false;
};

/// Thread: one, that which constructs it. The end of the process gives DPDK's files back.
class TapHost {
 public:
  /// nullptr: `error` is one sentence.
  static std::unique_ptr<TapHost> create(const TapHostOptions& options, std::string& error);
  ~TapHost();
  TapHost(const TapHost&) = delete;
  TapHost& operator=(const TapHost&) = delete;

  [[nodiscard]] Instant now() const { return clock_->now(); }
  /// One turn in a worker's order; `application` runs where iSCSI would. Returns how much happened.
  /// Sleeps for moments when that is nothing for a while.
  std::size_t turn(const std::function<void(const tcp::Event&, Instant)>& on_event,
                   const std::function<void(Instant)>& application);

  [[nodiscard]] tcp::Engine& engine() { return *engine_; }
  [[nodiscard]] platform::DpdkPort& port() { return *port_; }
  [[nodiscard]] platform::DpdkPacketMemory& memory() { return *memory_; }
  [[nodiscard]] net::Interface& interface() { return *interface_; }
  /// Ends TCP and the interface, with the buffers they keep at hand; the port goes on. Returns how
  /// many packet buffers are in use then over those at the start, which the receive ring holds.
  [[nodiscard]] long stop();
  /// Every counter of TCP and the port that is not zero, as the inside of a JSON object.
  [[nodiscard]] std::string counters_json() const;

 private:
  TapHost() = default;

  std::optional<platform::TscClock> clock_;
  std::unique_ptr<platform::DpdkPacketMemory> memory_;
  std::unique_ptr<platform::DpdkPort> port_;
  std::unique_ptr<net::Interface> interface_;
  std::unique_ptr<tcp::Engine> engine_;
  std::size_t baseline_ = 0;
  unsigned idle_turns_ = 0;
};

}  // namespace pollux::interop
