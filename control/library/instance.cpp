#include "control/library/instance.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/random.h>

#include <algorithm>
#include <cstdlib>

#include "control/service/eal_setup.hpp"
#include "control/service/memory_check.hpp"
#include "control/service/worker_sizes.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/external_memory.hpp"

namespace {

using namespace pollux;

constexpr std::size_t kPageBytes = 4096;
constexpr std::string_view kRingDevice = "ring:";

std::uint64_t kernel_random() {
  std::uint64_t value = 0;
  // Cannot fail for 8 bytes once the system is up; then the clock is better than a constant.
  if (getrandom(&value, sizeof(value), 0) != sizeof(value)) value = platform::TscClock::cycles();
  return value;
}

/// DPDK's log belongs to the process and outlives an instance: its lines go to the instance that is
/// open, the latest if there are several, and nowhere between two.
std::mutex eal_log_mutex;
const pollux_instance* eal_log_instance = nullptr;  // under eal_log_mutex

constexpr unsigned kEalLogLevelMost = 4;  // errors

void eal_log(void*, unsigned level, std::string_view line) {
  const std::scoped_lock lock(eal_log_mutex);
  if (eal_log_instance == nullptr || level > kEalLogLevelMost) return;
  const library::OpenSetup& setup = eal_log_instance->setup;
  if (setup.log != nullptr)
    setup.log(setup.log_context, static_cast<int>(level), fmt::format("dpdk: {}", line).c_str());
}

void eal_log_attach(const pollux_instance& instance) {
  const std::scoped_lock lock(eal_log_mutex);
  eal_log_instance = &instance;
}

void eal_log_detach(const pollux_instance& instance) {
  const std::scoped_lock lock(eal_log_mutex);
  if (eal_log_instance == &instance) eal_log_instance = nullptr;
}

bool pin_to(std::uint32_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0;
}

}  // namespace

namespace pollux::library {

int open_instance(OpenSetup setup, pollux_instance*& instance, std::string& error) {
  auto opened = std::make_unique<pollux_instance>(std::move(setup));
  const int result = opened->start(error);
  if (result == POLLUX_OK) instance = opened.release();
  return result;
}

}  // namespace pollux::library

pollux_instance::pollux_instance(library::OpenSetup setup_) : setup(std::move(setup_)) {}

pollux_instance::~pollux_instance() { stop(); }

void pollux_instance::log(const std::string& line) const {
  if (setup.log != nullptr) setup.log(setup.log_context, 6, line.c_str());
}

int pollux_instance::start(std::string& error) {
  platform::MemoryPlan plan;
  if (!service::check_memory(setup.config, service::free_hugepages(), plan, error))
    return POLLUX_ENOMEM;
  if (setup.config.ports.empty()) {
    error = "no port is configured: add a [[port]] with device and address, or use --port";
    return POLLUX_ECONFIG;
  }
  const std::size_t workers = service::worker_count(setup.config);
  if (setup.config.ports.size() < workers) {
    error = fmt::format(
        "{} workers share {} port(s); each worker needs a port of its own: remove CPUs from "
        "worker.cpus or add ports",
        workers, setup.config.ports.size());
    return POLLUX_ECONFIG;
  }
  if (const int result = start_eal(plan, error); result != POLLUX_OK) return result;
  tsc_hz = platform::tsc_hz();
  clock.emplace(tsc_hz);
  for (std::size_t i = 0; i < workers; ++i)
    if (const int result = make_unit(i, workers, plan, error); result != POLLUX_OK) return result;
  // Memory can be made known to devices only once all of them are open.
  for (auto& unit : units)
    if (const int result = make_worker(*unit, error); result != POLLUX_OK) return result;

  service::SavedState saved;
  if (!service::load_state(setup.config, saved, error)) return POLLUX_ECONFIG;
  std::unique_ptr<ring::Server> server;
  if (setup.open_ring) {
    server = service::listen(setup.config, error);
    if (server == nullptr) return POLLUX_ESERVICE;
  }
  std::vector<worker::Link*> links;
  std::vector<service::PortReport> reports;
  for (auto& unit : units) {
    links.push_back(&unit->link);
    reports.insert(reports.end(), unit->port_reports.begin(), unit->port_reports.end());
  }
  queue_source = std::make_unique<service::PolluxQueueSource>(this);
  service = std::make_unique<service::Service>(
      service::ServiceOptions{.config = setup.config,
                              .links = links,
                              .server = std::move(server),
                              .clock = [this] { return clock->now(); },
                              .queues = *queue_source,
                              .ports = std::move(reports),
                              .saved = std::move(saved),
                              .random_seed = kernel_random(),
                              .log = [this](const std::string& line) { log(line); }});

  if (setup.poll_mode == POLLUX_POLL_LIBRARY)
    for (auto& unit : units)
      unit->thread = std::thread([this, &unit = *unit] { run_worker(unit); });
  control_thread = std::thread([this] {
    pthread_setname_np(pthread_self(), "pollux-control");
    service->run();
    control_ended.store(true, std::memory_order_release);
  });
  return POLLUX_OK;
}

int pollux_instance::start_eal(const platform::MemoryPlan& plan, std::string& error) {
  platform::EalOptions options = service::eal_options(setup.config, plan, setup.ring_memory_mib);
  options.log = &eal_log;
  eal_log_attach(*this);
  return platform::start_eal(options, error) ? POLLUX_OK : POLLUX_ECONFIG;
}

int pollux_instance::make_unit(std::size_t index, std::size_t count,
                               const platform::MemoryPlan& plan, std::string& error) {
  auto& unit =
      *units.emplace_back(std::make_unique<pollux_worker_unit>(setup.config.worker.sessions_max));
  if (index < setup.config.worker.cpus.size()) unit.cpu = setup.config.worker.cpus[index];
  unit.memory = platform::DpdkPacketMemory::create(plan.options, error);
  if (unit.memory == nullptr) return POLLUX_ENOMEM;
  for (std::size_t p = index; p < setup.config.ports.size(); p += count) {
    const service::PortConfig& port = setup.config.ports[p];
    platform::Port* opened = nullptr;
    if (port.device.starts_with(kRingDevice)) {
      if (!setup.ring_ports) {
        error = fmt::format(
            "port {}: device {} is a wire inside the process, which only pollux-lab has", port.name,
            port.device);
        return POLLUX_ECONFIG;
      }
      auto shared =
          setup.ring_ports(port.device.substr(kRingDevice.size()), port, *unit.memory, error);
      opened = shared.get();
      if (shared != nullptr) unit.ring_ports.push_back(std::move(shared));
    } else {
      auto owned = platform::open_port(service::port_options(port), *unit.memory, error);
      opened = owned.get();
      if (owned != nullptr) unit.ports.push_back(std::move(owned));
    }
    if (opened == nullptr) {
      error = fmt::format("port {}: {}", port.name, error);
      return POLLUX_ECONFIG;
    }
    report_port(unit, index, port.name, opened->capabilities());
    unit.worker_ports.push_back({.port = opened, .addressing = port.interface});
  }
  return POLLUX_OK;
}

void pollux_instance::report_port(pollux_worker_unit& unit, std::size_t worker,
                                  const std::string& name,
                                  const platform::Capabilities* capabilities) {
  unit.port_reports.push_back({.name = name,
                               .worker = static_cast<std::uint32_t>(worker),
                               .index = static_cast<std::uint32_t>(unit.worker_ports.size()),
                               .capabilities = {}});
  if (capabilities == nullptr) return;
  unit.port_reports.back().capabilities = *capabilities;
  for (const std::string& line : service::describe(unit.port_reports.back())) log(line);
}

int pollux_instance::make_worker(pollux_worker_unit& unit, std::string& error) {
  worker::WorkerSetup worker_setup;
  worker_setup.ports = unit.worker_ports;
  worker_setup.tcp_limits = service::tcp_limits(setup.config);
  worker_setup.iscsi.limits = service::iscsi_limits(setup.config);
  worker_setup.random_seed = kernel_random();

  const std::size_t wanted = iscsi::SnapshotPool::bytes_needed(worker_setup.iscsi.limits);
  unit.snapshot_bytes = (wanted + kPageBytes - 1) / kPageBytes * kPageBytes;
  unit.snapshot_area.reset(
      static_cast<std::byte*>(std::aligned_alloc(kPageBytes, unit.snapshot_bytes)));
  if (unit.snapshot_area == nullptr) {
    error = fmt::format("no memory for {} MiB of write snapshots", unit.snapshot_bytes >> 20);
    return POLLUX_ENOMEM;
  }
  if (!platform::register_external_memory(unit.snapshot_area.get(), unit.snapshot_bytes, error))
    return POLLUX_ENOMEM;
  unit.snapshot_registered = true;
  worker_setup.iscsi.snapshot_area = {unit.snapshot_area.get(), unit.snapshot_bytes};
  unit.worker =
      std::make_unique<worker::Worker>(worker_setup, *unit.memory, unit.link, clock->now());
  return POLLUX_OK;
}

void pollux_instance::run_worker(pollux_worker_unit& unit) {
  pthread_setname_np(pthread_self(), "pollux-worker");
  if (unit.cpu && !pin_to(*unit.cpu))
    log(fmt::format("a worker cannot be pinned to CPU {}: it runs unpinned", *unit.cpu));
  std::string error;
  if (!platform::register_worker_thread(error)) log("a worker runs without a pool cache: " + error);
  std::uint64_t cycles = platform::TscClock::cycles();
  while (!unit.worker->stop_requested()) {
    unit.worker->poll_counted(clock->at(cycles), cycles, &platform::TscClock::cycles);
    cycles = platform::TscClock::cycles();
  }
  platform::unregister_worker_thread();
}

void pollux_instance::poll_idle_workers(std::vector<std::uint64_t>& turns) {
  turns.resize(units.size());
  bool polled = false;
  for (std::uint32_t i = 0; i < units.size(); ++i) {
    // A worker that another thread turns is left to it; one that nobody turns any more is not.
    const bool is_ours =
        units[i]->poller.load(std::memory_order_relaxed) == std::this_thread::get_id();
    const std::uint64_t now = units[i]->worker->counters().turns.get();
    if (is_ours || now == std::exchange(turns[i], now)) {
      pollux_worker_poll(this, i);
      turns[i] = units[i]->worker->counters().turns.get();
      polled = true;
    }
  }
  if (!polled) std::this_thread::yield();
}

bool pollux_instance::wait_for(const std::function<void(std::function<void()>)>& work) {
  // Shared: the control thread may still be inside `finished` when the waiter has seen it.
  auto done = std::make_shared<std::atomic<bool>>(false);
  const auto finished = [done] {
    done->store(true, std::memory_order_release);
    done->notify_all();
  };
  if (!service->post([work, finished] { work(finished); })) return false;
  std::vector<std::uint64_t> turns;
  while (!done->load(std::memory_order_acquire)) {
    if (setup.poll_mode == POLLUX_POLL_EMBEDDER) {
      poll_idle_workers(turns);
    } else {
      done->wait(false, std::memory_order_acquire);
    }
  }
  return true;
}

bool pollux_instance::lies_in_region(const iovec& piece) const noexcept {
  const auto* first = static_cast<const std::byte*>(piece.iov_base);
  for (const pollux_region& region : regions) {
    // Pairs with the release store in pollux_memory_register(): `begin` is at least as new as
    // `end`.
    const std::byte* end = region.end.load(std::memory_order_acquire);
    if (end == nullptr || first < region.begin.load(std::memory_order_relaxed) || first > end)
      continue;
    if (piece.iov_len <= static_cast<std::size_t>(end - first)) return true;
  }
  return false;
}

bool pollux_instance::registered_memory_in_use() noexcept {
  const std::scoped_lock lock(queues_mutex);
  for (const pollux_queue* queue : queues)
    if (queue->registered_in_flight != 0) return true;
  // The trackers of tasks come first; those behind them are of snapshots, which never point into a
  // region.
  const std::size_t tasks = service::iscsi_limits(setup.config).tasks;
  for (auto& unit : units)
    for (std::size_t i = 0; i < tasks; ++i)
      if (unit->memory->in_flight(*unit->memory->tracker(i)) != 0) return true;
  return false;
}

void pollux_instance::stop() {
  if (control_thread.joinable()) {
    service->request_stop();
    // In embedder mode the log-outs need the workers to turn, and nobody else turns them any more.
    while (setup.poll_mode == POLLUX_POLL_EMBEDDER &&
           !control_ended.load(std::memory_order_acquire))
      for (std::uint32_t i = 0; i < units.size(); ++i) pollux_worker_poll(this, i);
    control_thread.join();
  }
  for (auto& unit : units)
    if (unit->thread.joinable()) unit->thread.join();
  service.reset();
  for (auto& unit : units) {
    unit->worker.reset();
    unit->ports.clear();
    unit->ring_ports.clear();
    if (unit->snapshot_registered)
      platform::unregister_external_memory(unit->snapshot_area.get(), unit->snapshot_bytes);
  }
  // The ports are closed: nothing reads the caller's memory any more, and the EAL must forget it.
  for (const pollux_region& region : regions)
    if (std::byte* end = region.end; end != nullptr)
      platform::unregister_external_memory(region.begin,
                                           static_cast<std::size_t>(end - region.begin));
  units.clear();
  // The EAL stays: it cannot be started twice in one process, and the next instance finds it
  // running.
  eal_log_detach(*this);
}
