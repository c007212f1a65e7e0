// One EAL for the tests of this folder: no root, no hugepages, nothing left behind.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "dataplane/platform/dpdk_memory.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"

namespace pollux::platform::test {

class EalEnvironment : public ::testing::Environment {
 public:
  void SetUp() override {
    EalOptions options;
    options.instance = "unit-test-" + std::to_string(::getpid());
    std::string error;
    ASSERT_TRUE(start_eal(options, error)) << error;
  }
  void TearDown() override { stop_eal(); }
};

inline std::unique_ptr<DpdkPacketMemory> make_memory(const DpdkMemoryOptions& options = {}) {
  std::string error;
  auto memory = DpdkPacketMemory::create(options, error);
  EXPECT_NE(memory, nullptr) << error;
  return memory;
}

}  // namespace pollux::platform::test
