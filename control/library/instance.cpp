#include "control/library/instance.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/random.h>

#include <algorithm>
#include <cstdlib>

#include "control/library/telemetry.hpp"
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
  if (setup.config.ports.size() > worker::kPortsMost) {
    error = fmt::format("{} ports are configured: at most {} are possible",
                        setup.config.ports.size(), worker::kPortsMost);
    return POLLUX_ECONFIG;
  }
  const std::size_t workers = service::worker_count(setup.config);
  if (const int result = start_eal(plan, error); result != POLLUX_OK) return result;
  tsc_hz = platform::tsc_hz();
  clock.emplace(tsc_hz);
  for (std::size_t i = 0; i < workers; ++i)
    if (const int result = make_unit(i, plan, error); result != POLLUX_OK) return result;
  for (const service::PortConfig& port : setup.config.ports)
    if (const int result = make_port(port, error); result != POLLUX_OK) return result;
  // Memory can be made known to devices only once all of them are open.
  for (std::size_t i = 0; i < workers; ++i)
    if (const int result = make_worker(i, error); result != POLLUX_OK) return result;

  service::SavedState saved;
  if (!service::load_state(setup.config, saved, error)) return POLLUX_ECONFIG;
  std::unique_ptr<ring::Server> server;
  if (setup.open_ring) {
    server = service::listen(setup.config, error);
    if (server == nullptr) return POLLUX_ESERVICE;
  }
  std::vector<worker::Link*> links;
  for (auto& unit : units) links.push_back(&unit->link);
  queue_source = std::make_unique<service::PolluxQueueSource>(this);
  service = std::make_unique<service::Service>(
      service::ServiceOptions{.config = setup.config,
                              .links = links,
                              .server = std::move(server),
                              .clock = [this] { return clock->now(); },
                              .queues = *queue_source,
                              .ports = std::move(port_reports),
                              .saved = std::move(saved),
                              .random_seed = kernel_random(),
                              .log = [this](const std::string& line) { log(line); },
                              .steering_events = [this] { return steering_events(); },
                              .steering_reports = [this] { return steering_reports(); },
                              .queue_counters = [this] { return queue_counters(); },
                              .protocol_counters = [this] { return protocol_counters(); }});

  for (auto& unit : units) nap_group.add(unit->link.nap_bell);
  if (setup.poll_mode == POLLUX_POLL_LIBRARY)
    for (auto& unit : units)
      unit->thread = std::thread([this, &unit = *unit] { run_worker(unit); });
  control_thread = std::thread([this] {
    pthread_setname_np(pthread_self(), "pollux-control");
    service->run();
    control_ended.store(true, std::memory_order_release);
  });
  if (setup.config.telemetry.enabled) library::attach_telemetry(*this);
  return POLLUX_OK;
}

int pollux_instance::start_eal(const platform::MemoryPlan& plan, std::string& error) {
  platform::EalOptions options = service::eal_options(setup.config, plan, setup.ring_memory_mib);
  options.log = &eal_log;
  eal_log_attach(*this);
  return platform::start_eal(options, error) ? POLLUX_OK : POLLUX_ECONFIG;
}

int pollux_instance::make_unit(std::size_t index, const platform::MemoryPlan& plan,
                               std::string& error) {
  auto& unit =
      *units.emplace_back(std::make_unique<pollux_worker_unit>(setup.config.worker.sessions_max));
  if (index < setup.config.worker.cpus.size()) unit.cpu = setup.config.worker.cpus[index];
  unit.memory = platform::DpdkPacketMemory::create(plan.options, error);
  return unit.memory != nullptr ? POLLUX_OK : POLLUX_ENOMEM;
}

int pollux_instance::make_port(const service::PortConfig& config, std::string& error) {
  auto& port = *ports.emplace_back(std::make_unique<library::PortUnit>());
  port.name = config.name;
  std::vector<platform::PacketMemory*> memories;
  for (auto& unit : units) memories.push_back(unit->memory.get());
  if (!open_port(config, port, error) || !library::share_port(port, memories, error)) {
    error = fmt::format("port {}: {}", config.name, error);
    return POLLUX_ECONFIG;
  }
  report_port(port);
  if (units.size() > 1) log(fmt::format("port {}: {}", config.name, port.opened.words));
  return POLLUX_OK;
}

bool pollux_instance::open_port(const service::PortConfig& config, library::PortUnit& port,
                                std::string& error) {
  if (config.device.starts_with(kRingDevice)) {
    if (!setup.ring_ports) {
      error = fmt::format("device {} is a wire inside the process, which only pollux-lab has",
                          config.device);
      return false;
    }
    port.ring = setup.ring_ports(config.device.substr(kRingDevice.size()), config,
                                 *units.front()->memory, error);
    return port.ring != nullptr;
  }
  std::vector<platform::DpdkPacketMemory*> memories;
  for (auto& unit : units) memories.push_back(unit->memory.get());
  return platform::open_queues(service::port_options(config), memories, kernel_random(),
                               port.opened, error);
}

void pollux_instance::report_port(library::PortUnit& port) {
  const auto index = static_cast<std::uint32_t>(ports.size() - 1);
  for (std::uint32_t worker = 0; worker < units.size(); ++worker) {
    service::PortReport& report = port_reports.emplace_back(
        service::PortReport{.name = port.name,
                            .worker = worker,
                            .index = index,
                            .address = setup.config.ports[index].interface.address,
                            .capabilities = {}});
    const platform::Capabilities* table = port.of(worker).capabilities();
    if (table == nullptr) continue;
    report.capabilities = *table;
    if (worker != 0) continue;
    for (const std::string& line : service::describe(report)) log(line);
  }
}

int pollux_instance::make_worker(std::size_t index, std::string& error) {
  pollux_worker_unit& unit = *units[index];
  worker::WorkerSetup worker_setup;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    library::PortUnit& port = *ports[i];
    net::InterfaceConfig addressing = setup.config.ports[i].interface;
    addressing.zone = static_cast<std::uint8_t>(i + 1);
    worker_setup.ports.push_back(
        {.port = &port.of(index),
         .addressing = addressing,
         .steering = port.shared != nullptr ? port.opened.steering.get() : nullptr,
         .index = static_cast<unsigned>(index)});
  }
  worker_setup.tcp_limits = service::tcp_limits(setup.config);
  worker_setup.tcp_timers = service::tcp_timers(setup.config);
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

std::vector<std::string> pollux_instance::steering_events() {
  std::vector<std::string> events;
  for (auto& port : ports)
    if (std::string event = library::steering_event(*port); !event.empty())
      events.push_back(std::move(event));
  return events;
}

std::vector<service::SteeringReport> pollux_instance::steering_reports() const {
  std::vector<service::SteeringReport> reports;
  for (const auto& port : ports) reports.push_back(library::report(*port, units.size()));
  return reports;
}

std::vector<service::CounterReport> pollux_instance::queue_counters() const {
  std::vector<service::CounterReport> counters;
  for (const auto& port : ports)
    for (auto& queue : library::queue_counters(*port)) counters.push_back(std::move(queue));
  return counters;
}

std::vector<service::CounterReport> pollux_instance::protocol_counters() const {
  std::vector<service::CounterReport> reports;
  for (std::size_t i = 0; i < units.size(); ++i)
    for (auto& report :
         library::protocol_counters(*units[i]->worker, static_cast<std::uint32_t>(i), ports))
      reports.push_back(std::move(report));
  return reports;
}

void pollux_instance::run_worker(pollux_worker_unit& unit) {
  pthread_setname_np(pthread_self(), "pollux-worker");
  if (unit.cpu && !pin_to(*unit.cpu))
    log(fmt::format("a worker cannot be pinned to CPU {}: it runs unpinned", *unit.cpu));
  std::string error;
  if (!platform::register_worker_thread(error)) log("a worker runs without a pool cache: " + error);
  if (workers_may_nap()) {
    const service::WorkerConfig& config = setup.config.worker;
    library::NappingWorker(*unit.worker, unit.link.nap_bell, nap_group, *clock, tsc_hz,
                           {.spin = std::chrono::microseconds(config.idle_spin_us),
                            .nap_max = std::chrono::microseconds(config.idle_sleep_max_us)})
        .run();
  }
  // A worker that has napped until it was told to stop makes no further turn here.
  std::uint64_t cycles = platform::TscClock::cycles();
  while (!unit.worker->stop_requested()) {
    unit.worker->poll_counted(clock->at(cycles), cycles, &platform::TscClock::cycles);
    cycles = unit.worker->turn_ended();
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
  library::detach_telemetry(*this);
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
  for (auto& unit : units) unit->worker.reset();
  ports.clear();
  for (auto& unit : units) {
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
