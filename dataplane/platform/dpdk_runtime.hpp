// The environment abstraction layer (EAL) of DPDK, once per process. A library cannot start it
// twice, so it is kept until the process ends, and one that the host program has started is used as
// it is. Start-up only: everything here may allocate and block.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pollux::platform {

/// Receives one line of DPDK's log without its newline. Called by any thread. `level` counts from
/// 1 (emergency) to 8 (debug); 4 is an error, 5 a warning.
using EalLogFunction = void (*)(void* context, unsigned level, std::string_view line);

struct EalOptions {
  std::string instance =
      "pollux";  ///< letters, digits, '.', '_', '-'; one process at a time owns it
  std::uint32_t memory_mib = 256;  ///< what memory_plan() says
  bool hugepages = false;          ///< false: ordinary pages, no root, no real NIC
  bool telemetry = false;      ///< a socket in the instance's directory, and DPDK's thread for it
  std::vector<unsigned> cpus;  ///< of the EAL's main core; empty: those of the calling thread
  std::vector<std::string> pci_devices;      ///< addresses; empty: the PCI bus is not even scanned
  std::vector<std::string> extra_arguments;  ///< for what the above cannot say; appended last
  unsigned log_level = 4;                    ///< messages above it are dropped
  EalLogFunction log = nullptr;              ///< nullptr: standard error
  void* log_context = nullptr;
};

/// Starts the EAL, or finds it running (then the options are not looked at). False: `error` is one
/// sentence that says what to do. The calling thread keeps its CPU affinity and becomes an EAL
/// thread. Call after every fork. Thread: any, serialised.
[[nodiscard]] bool start_eal(const EalOptions& options, std::string& error);

/// Gives back what start_eal took, at the end of a program; ports and memories are gone by then.
/// The EAL cannot be started again. Does nothing for an EAL that the host program started.
void stop_eal();

/// Makes the calling thread known to DPDK, so that it has a cache in every pool. Once per worker
/// thread, before the first packet; an EAL thread passes. At most 127 at a time.
[[nodiscard]] bool register_worker_thread(std::string& error);
void unregister_worker_thread();

/// Cycles per second of the time stamp counter, as the EAL measured it.
[[nodiscard]] std::uint64_t tsc_hz();

/// The latest error line of DPDK's log, to explain a failure; empty when there was none.
[[nodiscard]] std::string last_eal_error();

}  // namespace pollux::platform
