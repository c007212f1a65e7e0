// Registration of foreign memory with the EAL and, for devices that do DMA, with the IOMMU.

#include "dataplane/platform/external_memory.hpp"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_memory.h>

#include <cerrno>
#include <cstdint>
#include <vector>

#include "dataplane/base/units.hpp"

namespace pollux::platform {
namespace {

constexpr std::size_t kPage = 4 * KiB;

/// Calls `function` for the device of each port; virtual ones have nothing to map and say so.
template <class Function>
int for_each_device(Function function) {
  for (std::uint16_t id = rte_eth_find_next(0); id < RTE_MAX_ETHPORTS;
       id = rte_eth_find_next(static_cast<std::uint16_t>(id + 1))) {
    rte_eth_dev_info info{};
    if (rte_eth_dev_info_get(id, &info) != 0 || info.device == nullptr) continue;
    const int code = function(info.device);
    if (code != 0 && rte_errno != ENOTSUP && rte_errno != EEXIST) return rte_errno;
  }
  return 0;
}

}  // namespace

bool register_external_memory(void* base, std::size_t length, std::string& error) {
  const auto address = reinterpret_cast<std::uintptr_t>(base);
  if (length == 0 || address % kPage != 0 || length % kPage != 0) {
    error = "memory to register must begin and end on a page of 4096 bytes";
    return false;
  }
  std::vector<rte_iova_t> pages(length / kPage);
  for (std::size_t i = 0; i < pages.size(); ++i) pages[i] = address + i * kPage;
  if (rte_extmem_register(base, length, pages.data(), static_cast<unsigned>(pages.size()), kPage) !=
      0) {
    error = std::string("DPDK does not take the memory: ") + rte_strerror(rte_errno);
    return false;
  }
  const int code = for_each_device(
      [&](rte_device* device) { return rte_dev_dma_map(device, base, address, length); });
  if (code == 0) return true;
  error = std::string("a device cannot map the memory (") + rte_strerror(code) +
          "): raise the limit of locked memory (ulimit -l)";
  unregister_external_memory(base, length);
  return false;
}

void unregister_external_memory(void* base, std::size_t length) {
  const auto address = reinterpret_cast<std::uintptr_t>(base);
  static_cast<void>(for_each_device([&](rte_device* device) {
    static_cast<void>(rte_dev_dma_unmap(device, base, address, length));
    return 0;
  }));
  rte_extmem_unregister(base, length);
}

}  // namespace pollux::platform
