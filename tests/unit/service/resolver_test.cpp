// Names to addresses: numbers at once, names on the helper thread, refusals in words.
#include "control/service/resolver.hpp"

#include <gtest/gtest.h>
#include <pollux/iscsierr.h>

#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <thread>

namespace pollux::service {
namespace {

class ResolverTest : public ::testing::Test {
 protected:
  Resolution resolve(const std::string& host) {
    std::optional<Resolution> answer;
    resolver.resolve(host, 3260, [&](Resolution resolution) { answer = std::move(resolution); });
    was_inline = answer.has_value();
    for (int i = 0; i < 2000 && !answer; ++i) {
      helper.run_finished();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return answer.value_or(Resolution{});
  }
  HelperThread helper{[] {}};
  SystemResolver resolver{helper};
  bool was_inline = false;
};

TEST_F(ResolverTest, NumbersNeedNoThread) {
  const Resolution answer = resolve("10.99.0.1");
  EXPECT_TRUE(was_inline);
  ASSERT_EQ(answer.endpoints.size(), 1u);
  EXPECT_EQ(answer.endpoints[0], (net::Endpoint{net::IpAddress::v4(10, 99, 0, 1), 3260}));
  EXPECT_EQ(resolve("fd99::1").status, ISDSC_ADDRESS_TYPE_NOT_SUPPORTED);
  EXPECT_TRUE(was_inline);
}

TEST_F(ResolverTest, NamesAreResolvedElsewhere) {
  const Resolution answer = resolve("localhost");
  EXPECT_FALSE(was_inline);
  ASSERT_FALSE(answer.endpoints.empty()) << answer.sentence;
  EXPECT_EQ(answer.endpoints[0].address, net::IpAddress::v4(127, 0, 0, 1));
}

TEST(HelperThread, RefusesWhatItCannotQueueAndDropsResultsAtItsEnd) {
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<bool> is_running{false};
  bool was_done = false;
  {
    HelperThread helper([] {}, 1);
    ASSERT_TRUE(helper.post(
        [&is_running, released] {
          is_running = true;
          released.wait();
        },
        [&] { was_done = true; }));
    while (!is_running) std::this_thread::yield();
    EXPECT_TRUE(helper.post([] {}, [] {}));
    EXPECT_FALSE(helper.post([] {}, [] {}));
    helper.wait_until_idle(1);
  }
  release.set_value();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(was_done);
}

}  // namespace
}  // namespace pollux::service
