// What start_eal refuses before it touches DPDK: no EAL is running in this program.

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "dataplane/platform/dpdk_memory.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/instance_lock.hpp"

namespace pollux::platform {
namespace {

std::string refusal(const EalOptions& options) {
  std::string error;
  EXPECT_FALSE(start_eal(options, error));
  return error;
}

TEST(Refusal, NameThatIsNoFileName) {
  EXPECT_NE(refusal({.instance = "../x"}).find("is no instance name"), std::string::npos);
  EXPECT_NE(refusal({.instance = ""}).find("is no instance name"), std::string::npos);
}

TEST(Refusal, PciWithoutHugepages) {
  EXPECT_NE(refusal({.pci_devices = {"0000:00:05.0"}}).find("needs hugepages"), std::string::npos);
}

TEST(Refusal, HugepagesNamesTheCommand) {
  const std::string error = refusal({.memory_mib = 0x4000'0000, .hugepages = true});
  EXPECT_NE(error.find("/nr_hugepages'"), std::string::npos) << error;
  EXPECT_NE(error.find("536870912 free hugepages"), std::string::npos) << error;
}

TEST(Refusal, InstanceOfAnotherOwner) {
  const std::string name = "unit-refusal-" + std::to_string(::getpid());
  InstanceLock lock;
  std::string error;
  ASSERT_TRUE(lock.acquire(name, error)) << error;
  EXPECT_NE(refusal({.instance = name}).find("is owned by process"), std::string::npos);
}

}  // namespace
}  // namespace pollux::platform
