#include "dataplane/platform/pinned_memory.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string_view>

namespace pollux::platform {
namespace {

/// CAP_IPC_LOCK, with which the kernel's XDP sockets look at no limit.
bool may_pin_anything() {
  constexpr unsigned kCapIpcLock = 14;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    constexpr std::string_view kKey = "CapEff:";
    if (line.starts_with(kKey))
      return (std::strtoull(line.c_str() + kKey.size(), nullptr, 16) >> kCapIpcLock & 1) != 0;
  }
  return false;
}

}  // namespace

bool allow_pinned_memory(std::uint64_t bytes, std::string& error) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return true;  // the driver will tell
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= bytes) return true;
  rlimit wanted = limit;
  wanted.rlim_cur = bytes;
  if (wanted.rlim_max != RLIM_INFINITY) wanted.rlim_max = std::max<rlim_t>(wanted.rlim_max, bytes);
  if (::setrlimit(RLIMIT_MEMLOCK, &wanted) == 0 || may_pin_anything()) return true;
  error = "it needs " + std::to_string((bytes + (1 << 20) - 1) >> 20) +
          " MiB of pinned memory and the limit is " +
          std::to_string(static_cast<std::uint64_t>(limit.rlim_cur) >> 20) +
          " MiB: run as root, or raise it with 'ulimit -l' (LimitMEMLOCK= in a systemd unit)";
  return false;
}

}  // namespace pollux::platform
