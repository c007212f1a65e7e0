// What tests of pollux.h share: an instance with the embedded target on a wire inside the process,
// polled by the library or by the test.
#pragma once

#include <gtest/gtest.h>
#include <pollux/pollux.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <thread>

#include "control/library/instance.hpp"
#include "tests/support/api_calls.hpp"
#include "tests/target/lab.hpp"

namespace pollux {

inline constexpr const char* kUrl = "iscsi://10.99.0.1/iqn.2026-01.org.pollux:disk/0";

/// An instance with a target; the EAL is started once for the process and kept between tests.
class PolluxApi : public testing::TestWithParam<pollux_poll_mode> {
 protected:
  void SetUp() override {
    library::OpenSetup setup;
    setup.config.instance = "api-test-" + std::to_string(getpid());
    setup.config.memory.hugepages = false;
    setup.config.worker.sessions_max = 16;
    setup.config.logout.drain = service::Seconds{0.2};
    // Nothing here waits for it, and a busy machine leaves the control thread seconds behind.
    setup.config.login.timeout = service::Seconds{30};
    setup.config.ports = {
        {.name = "wire",
         .device = "ring:wire",
         .interface = {.address = net::IpAddress::v4(10, 99, 0, 2),
                       .prefix_length = 24,
                       .gateway = {},
                       .address6 = {{0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}},
                       .dad_transmits = 0},
         .mtu = 9000}};
    setup.poll_mode = GetParam();
    setup.ring_ports = lab_.port_source();
    setup.ring_memory_mib = target::kLabMemoryMib;
    std::string error;
    ASSERT_EQ(library::open_instance(std::move(setup), instance_, error), POLLUX_OK) << error;
  }

  void TearDown() override {
    if (instance_ == nullptr) return;
    EXPECT_EQ(lab_.thread()->violations(), 0u);
    pollux_close(instance_);
  }

  pollux_session_id log_in(const char* url = kUrl) {
    pollux_session_id session = 0;
    std::uint64_t lun = 1;
    pollux_error error{};
    EXPECT_EQ(pollux_login(instance_, url, nullptr, &session, &lun, &error), POLLUX_OK)
        << error.message;
    EXPECT_EQ(lun, 0u);
    return session;
  }

  pollux_queue* make_queue(std::uint32_t depth = 32, std::uint32_t lent_bytes = 0) {
    pollux_queue_options options = test::queue_options();
    options.depth = depth;
    options.lent_read_bytes_max = lent_bytes;
    return test::make_queue(instance_, options);
  }

  void turn() {
    if (GetParam() == POLLUX_POLL_EMBEDDER) {
      pollux_worker_poll(instance_, 0);
    } else {
      std::this_thread::yield();
    }
  }

  pollux_completion wait(pollux_queue* queue) {
    pollux_completion completion{};
    for (int i = 0; i < 50'000'000; ++i) {
      if (pollux_queue_reap(queue, &completion, 1) == 1) return completion;
      turn();
    }
    completion.result = POLLUX_ETIMEDOUT;
    return completion;
  }

  /// Submits one command, which must be taken, and waits for its end.
  pollux_completion run(pollux_queue* queue, const pollux_command& command) {
    EXPECT_EQ(pollux_queue_submit(queue, &command, 1), 1);
    return wait(queue);
  }

  void destroy(pollux_queue* queue) {
    int result = POLLUX_EBUSY;
    for (int i = 0; i < 10'000'000 && (result = pollux_queue_destroy(queue)) == POLLUX_EBUSY; ++i)
      turn();
    EXPECT_EQ(result, POLLUX_OK);
  }

  target::Lab lab_{{}};
  pollux_instance* instance_ = nullptr;
};

inline std::string name_of_mode(const testing::TestParamInfo<pollux_poll_mode>& mode) {
  return mode.param == POLLUX_POLL_LIBRARY ? "library" : "embedder";
}

}  // namespace pollux
