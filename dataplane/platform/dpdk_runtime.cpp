// Starting the EAL. All refusals that can be foreseen are made before rte_eal_init, because DPDK
// explains itself in its log only and a failed start cannot always be repeated.

#include "dataplane/platform/dpdk_runtime.hpp"

#include <pthread.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_memory.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>

#include "dataplane/platform/instance_lock.hpp"

namespace pollux::platform {
namespace {

enum class Owner : std::uint8_t { nobody, ours, host, stopped };

std::mutex start_mutex;  // NOLINT: the EAL is process-wide, and so is what guards its start
Owner owner = Owner::nobody;
bool has_telemetry = false;  // under start_mutex

/// Lives as long as the process: DPDK may log until the very end.
struct LogSink {
  EalLogFunction log = nullptr;
  void* context = nullptr;
  std::mutex mutex;
  std::string last_error;
};

LogSink& log_sink() {
  static LogSink* const sink = new LogSink;
  return *sink;
}

InstanceLock& instance_lock() {
  static InstanceLock* const lock = new InstanceLock;
  return *lock;
}

ssize_t write_log(void*, const char* text, size_t length) {
  LogSink& sink = log_sink();
  const int current = rte_log_cur_msg_loglevel();
  const auto level = static_cast<unsigned>(std::max(current, 0));
  std::string_view rest{text, length};
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    if (line.empty()) continue;
    if (level <= RTE_LOG_ERR) {
      const std::lock_guard guard(sink.mutex);
      sink.last_error = line;
    }
    if (sink.log != nullptr) {
      sink.log(sink.context, level, line);
    } else {
      std::fprintf(stderr, "dpdk: %.*s\n", static_cast<int>(line.size()), line.data());
    }
  }
  return static_cast<ssize_t>(length);
}

void redirect_log(const EalOptions& options) {
  LogSink& sink = log_sink();
  sink.log = options.log;
  sink.context = options.log_context;
  cookie_io_functions_t functions{};
  functions.write = write_log;
  std::FILE* stream = ::fopencookie(nullptr, "w", functions);
  if (stream != nullptr) rte_openlog_stream(stream);
}

bool eal_is_running() { return rte_lcore_count() > 0 && rte_eal_get_physmem_size() > 0; }

bool instance_name_ok(const std::string& name) {
  constexpr std::size_t kLongest = 40;
  return !name.empty() && name.size() <= kLongest && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' ||
                  c == '-';
         });
}

std::uint64_t read_number(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  file >> value;
  return file ? value : 0;
}

bool enough_hugepages(const EalOptions& options, std::string& error) {
  const std::string root = "/sys/kernel/mm/hugepages/";
  const std::string pages = root + "hugepages-2048kB/";
  const std::uint64_t large_mib = read_number(root + "hugepages-1048576kB/free_hugepages") * 1024;
  const std::uint64_t free_pages = read_number(pages + "free_hugepages");
  const std::uint64_t needed = (options.memory_mib + 1) / 2;
  if (large_mib + free_pages * 2 >= options.memory_mib) return true;
  const std::uint64_t total = read_number(pages + "nr_hugepages") + needed - free_pages;
  error = std::to_string(needed) + " free hugepages of 2 MiB are needed and there are " +
          std::to_string(free_pages) + ": as root run 'echo " + std::to_string(total) + " > " +
          pages + "nr_hugepages', or run without hugepages";
  return false;
}

bool options_ok(const EalOptions& options, std::string& error) {
  if (!instance_name_ok(options.instance)) {
    error = "'" + options.instance +
            "' is no instance name: use up to 40 letters, digits, '.', '_' and '-'";
    return false;
  }
  if (!options.pci_devices.empty() && !options.hugepages) {
    error =
        "a NIC on the PCI bus needs hugepages: turn them on, or use a virtual port such as net_tap";
    return false;
  }
  return !options.hugepages || enough_hugepages(options, error);
}

std::string main_core_argument(const EalOptions& options, const cpu_set_t& current) {
  // One EAL core whatever the machine has: otherwise the EAL starts a thread on every CPU.
  std::string list;
  const auto append = [&list](unsigned cpu) {
    if (!list.empty()) list += ',';
    list += std::to_string(cpu);
  };
  for (const unsigned cpu : options.cpus) append(cpu);
  for (unsigned cpu = 0; options.cpus.empty() && cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &current)) append(cpu);
  }
  return "--lcores=0@(" + list + ")";
}

std::vector<std::string> arguments_of(const EalOptions& options, const cpu_set_t& current) {
  std::vector<std::string> arguments = {"pollux",
                                        "--file-prefix=" + options.instance,
                                        options.telemetry ? "--telemetry" : "--no-telemetry",
                                        "--iova-mode=va",
                                        main_core_argument(options, current),
                                        "--log-level=" + std::to_string(options.log_level),
                                        "-m",
                                        std::to_string(options.memory_mib)};
  if (options.hugepages) {
    // Nothing on a file system: no mount needed, nothing left behind by kill -9.
    arguments.emplace_back("--in-memory");
  } else {
    arguments.emplace_back("--no-huge");
    arguments.emplace_back("--no-shconf");
  }
  if (options.pci_devices.empty()) arguments.emplace_back("--no-pci");
  for (const std::string& device : options.pci_devices) {
    arguments.emplace_back("-a");
    arguments.push_back(device);
  }
  arguments.insert(arguments.end(), options.extra_arguments.begin(), options.extra_arguments.end());
  return arguments;
}

std::string explain_failure(int code) {
  std::string text = "the EAL did not start";
  if (const std::string line = last_eal_error(); !line.empty()) text += " (" + line + ")";
  if (code == EACCES || code == EPERM)
    return text + ": run as root, or without hugepages and PCI devices";
  if (code == ENOMEM) return text + ": lower the memory or make more available";
  return text + ": " + rte_strerror(code);
}

/// DPDK makes a directory for the instance even when it puts nothing there.
void remove_directory() { ::rmdir(rte_eal_get_runtime_dir()); }

/// The telemetry library removes its socket when the process ends and not before. Until then the
/// directory is not empty, and whoever started as the same instance would lose the socket of its
/// own.
void leave_at_exit() {
  remove_directory();
  instance_lock().release();
}

int initialise(std::vector<std::string> arguments) {
  std::vector<char*> pointers;
  pointers.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  return rte_eal_init(static_cast<int>(arguments.size()), pointers.data()) < 0 ? rte_errno : 0;
}

}  // namespace

bool start_eal(const EalOptions& options, std::string& error) {
  const std::lock_guard guard(start_mutex);
  if (owner == Owner::ours || owner == Owner::host) return true;
  if (owner == Owner::stopped) {
    error = "DPDK was stopped in this process and cannot start again: start a new process";
    return false;
  }
  if (eal_is_running()) {
    owner = Owner::host;
    return true;
  }
  if (!options_ok(options, error) || !instance_lock().acquire(options.instance, error))
    return false;

  cpu_set_t affinity;
  CPU_ZERO(&affinity);
  pthread_getaffinity_np(pthread_self(), sizeof(affinity), &affinity);
  redirect_log(options);
  // Before DPDK's own: what is registered first runs last.
  has_telemetry = options.telemetry && std::atexit(&leave_at_exit) == 0;
  const int code = initialise(arguments_of(options, affinity));
  // The EAL pins its caller; the thread that called a library is not ours to pin.
  pthread_setaffinity_np(pthread_self(), sizeof(affinity), &affinity);
  if (code != 0) {
    instance_lock().release();
    error = explain_failure(code);
    return false;
  }
  owner = Owner::ours;
  return true;
}

void stop_eal() {
  const std::lock_guard guard(start_mutex);
  if (owner != Owner::ours) return;
  rte_eal_cleanup();
  owner = Owner::stopped;
  if (has_telemetry) return;
  remove_directory();
  instance_lock().release();
}

bool register_worker_thread(std::string& error) {
  if (rte_lcore_id() != LCORE_ID_ANY) return true;
  if (rte_thread_register() == 0) return true;
  error = std::string("this thread cannot become a worker (") + rte_strerror(rte_errno) +
          "): start DPDK first, and use at most " + std::to_string(RTE_MAX_LCORE - 1) + " workers";
  return false;
}

void unregister_worker_thread() {
  const unsigned id = rte_lcore_id();
  if (id != LCORE_ID_ANY && rte_eal_lcore_role(id) == ROLE_NON_EAL) rte_thread_unregister();
}

std::uint64_t tsc_hz() { return rte_get_tsc_hz(); }

std::string last_eal_error() {
  LogSink& sink = log_sink();
  const std::lock_guard guard(sink.mutex);
  return sink.last_error;
}

}  // namespace pollux::platform
