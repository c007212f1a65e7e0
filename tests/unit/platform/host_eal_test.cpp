// A host program that has started the EAL itself: it is found and used, and not stopped.

#include <gtest/gtest.h>
#include <rte_eal.h>
#include <unistd.h>

#include <array>
#include <string>

#include "dataplane/platform/dpdk_memory.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"

namespace pollux::platform {
namespace {

TEST(HostEal, IsUsedAsItIs) {
  const std::string prefix = "--file-prefix=unit-host-" + std::to_string(::getpid());
  std::array<std::string, 10> words = {
      "host",         "--no-huge",     "-m",  "64", "--no-pci", "--no-shconf", "--no-telemetry",
      "--lcores=0@0", "--log-level=4", prefix};
  std::array<char*, 11> arguments{};
  for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
  ASSERT_GE(rte_eal_init(static_cast<int>(words.size()), arguments.data()), 0);
  std::string error;
  // These options would be refused if they were looked at.
  ASSERT_TRUE(start_eal({.instance = "../x"}, error)) << error;
  EXPECT_NE(DpdkPacketMemory::create({}, error), nullptr) << error;
  stop_eal();
  EXPECT_NE(DpdkPacketMemory::create({}, error), nullptr) << error;
  const std::string directory = rte_eal_get_runtime_dir();
  rte_eal_cleanup();
  ::rmdir(directory.c_str());
}

}  // namespace
}  // namespace pollux::platform
