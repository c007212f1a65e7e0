// The object behind pollux_instance: the process around the data path and the control thread. It
// brings up the EAL, the ports and the workers, runs their threads (or lets the embedder poll), and
// turns the blocking calls of pollux.h into work for the control thread.
#pragma once

#include <pollux/pollux.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "control/library/instance_ports.hpp"
#include "control/library/napping_worker.hpp"
#include "control/library/queue.hpp"
#include "control/service/config.hpp"
#include "control/service/pollux_queue_source.hpp"
#include "control/service/service.hpp"
#include "dataplane/platform/dpdk_memory.hpp"
#include "dataplane/platform/dpdk_port.hpp"
#include "dataplane/platform/memory_plan.hpp"
#include "dataplane/platform/tsc_clock.hpp"
#include "dataplane/worker/worker.hpp"

namespace pollux::library {

/// Gives the port for a device named "ring:NAME", an end of a wire inside the process. Production
/// has none; pollux-lab and the benchmarks bring theirs. The instance drops the port after its
/// worker has stopped and before `memory` goes.
using RingPortSource = std::function<std::shared_ptr<platform::Port>(
    const std::string& name, const service::PortConfig& port, platform::DpdkPacketMemory& memory,
    std::string& error)>;

struct OpenSetup {
  service::Config config;
  pollux_poll_mode poll_mode = POLLUX_POLL_LIBRARY;
  bool open_ring = false;
  pollux_log_fn log = nullptr;
  void* log_context = nullptr;
  RingPortSource ring_ports;
  std::uint32_t ring_memory_mib =
      0;  ///< EAL memory that the far ends of those take, on top of the plan
};

/// POLLUX_OK or the code and the sentence of what failed; everything taken so far is given back.
[[nodiscard]] int open_instance(OpenSetup setup, pollux_instance*& instance, std::string& error);

}  // namespace pollux::library

/// A place in the instance's table, never freed before the instance: threads that submit look at
/// all places while another thread unregisters one.
struct pollux_region {
  pollux_instance* instance = nullptr;
  std::atomic<std::byte*> begin{nullptr};
  std::atomic<std::byte*> end{nullptr};  ///< null: the place is free
};

/// Everything a worker owns, in order of construction.
struct pollux_worker_unit {
  explicit pollux_worker_unit(std::size_t connections) : link(connections) {}

  std::unique_ptr<pollux::platform::DpdkPacketMemory> memory;
  std::unique_ptr<std::byte, decltype(&std::free)> snapshot_area{nullptr, &std::free};
  std::size_t snapshot_bytes = 0;
  bool snapshot_registered = false;
  pollux::worker::Link link;
  std::unique_ptr<pollux::worker::Worker> worker;
  std::thread thread;
  bool registered_with_dpdk = false;  ///< embedder mode: the polling thread has been made known
  std::atomic<bool> in_turn{false};   ///< embedder mode: a thread is inside a turn
  std::atomic<std::thread::id>
      poller{};  ///< embedder mode: the thread that polled last; none: nobody yet
  std::optional<std::uint32_t> cpu;
};

struct pollux_instance {
  pollux_instance(pollux::library::OpenSetup setup_);
  ~pollux_instance();
  pollux_instance(const pollux_instance&) = delete;
  pollux_instance& operator=(const pollux_instance&) = delete;

  int start(std::string& error);
  /// Runs `work` on the control thread and waits until it has called the function it was given. In
  /// embedder mode the caller meanwhile polls the workers that it polls anyway, and `worker` if
  /// nobody has polled that one yet. False: the service has ended.
  bool wait_for(const std::function<void(std::function<void()>)>& work);
  [[nodiscard]] bool lies_in_region(const iovec& piece) const noexcept;
  [[nodiscard]] bool registered_memory_in_use() noexcept;
  /// Whoever brings them work rings the bells of their links. Never in embedder mode.
  [[nodiscard]] bool workers_may_nap() const noexcept {
    return setup.poll_mode == POLLUX_POLL_LIBRARY && setup.config.worker.idle_sleep_max_us != 0;
  }

  pollux::library::OpenSetup setup;
  std::optional<pollux::platform::TscClock> clock;
  std::uint64_t tsc_hz = 0;
  std::vector<std::unique_ptr<pollux_worker_unit>> units;
  std::vector<std::unique_ptr<pollux::library::PortUnit>> ports;
  std::vector<pollux::service::PortReport> port_reports;  ///< until the service has them
  /// Of workers that may nap.
  pollux::library::NapGroup nap_group{[this] { return pollux::library::hand_over(ports); }};
  std::unique_ptr<pollux::service::PolluxQueueSource> queue_source;
  std::unique_ptr<pollux::service::Service> service;
  std::thread control_thread;
  std::atomic<bool> control_ended{false};

  mutable std::mutex regions_mutex;  ///< registration is rare; submission reads without it
  static constexpr std::size_t kRegionsMax = 64;
  std::array<pollux_region, kRegionsMax> regions;
  std::mutex queues_mutex;
  std::vector<pollux_queue*> queues;

 private:
  int start_eal(const pollux::platform::MemoryPlan& plan, std::string& error);
  int make_unit(std::size_t index, const pollux::platform::MemoryPlan& plan, std::string& error);
  int make_port(const pollux::service::PortConfig& config, std::string& error);
  bool open_port(const pollux::service::PortConfig& config, pollux::library::PortUnit& port,
                 std::string& error);
  /// What was negotiated, for the log and for control. Of the port that was opened last.
  void report_port(pollux::library::PortUnit& port);
  int make_worker(std::size_t index, std::string& error);
  [[nodiscard]] std::vector<std::string> steering_events();
  [[nodiscard]] std::vector<pollux::service::SteeringReport> steering_reports() const;
  [[nodiscard]] std::vector<pollux::service::CounterReport> queue_counters() const;
  [[nodiscard]] std::vector<pollux::service::CounterReport> protocol_counters() const;
  void run_worker(pollux_worker_unit& unit);
  void log(const std::string& line) const;
  void poll_idle_workers(std::vector<std::uint64_t>& turns);
  void stop();
};
