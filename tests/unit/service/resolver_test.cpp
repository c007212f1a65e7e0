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

TEST_F(ResolverTest, Ipv6NeedsAPortThatHasItAndLinkLocalSaysWhich) {
  const auto ask = [this](std::vector<ResolverPort> ports, const std::string& host) {
    SystemResolver with_ports{helper, std::move(ports)};
    Resolution answer;
    with_ports.resolve(host, 860, [&](Resolution resolution) { answer = std::move(resolution); });
    return answer;
  };
  const std::vector<ResolverPort> two{{"old", true, false}, {"a", true, true}, {"b", false, true}};
  const net::IpAddress link_local{{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  net::IpAddress global = link_local;
  global.bytes[0] = 0xfd;
  global.bytes[1] = 0x99;
  ASSERT_EQ(ask(two, "fd99::1").endpoints.size(), 1u);
  EXPECT_EQ(ask(two, "fd99::1").endpoints[0], (net::Endpoint{global, 860}));
  EXPECT_EQ(ask(two, "fe80::1%b").endpoints.at(0).address, link_local.with_zone(3));
  EXPECT_EQ(ask(two, "fe80::1%2").endpoints.at(0).address, link_local.with_zone(2));
  EXPECT_EQ(ask({{"only", true, true}}, "fe80::1").endpoints.at(0).address,
            link_local.with_zone(1));
  // Each refusal says what to do.
  for (const auto& [host, word] : {std::pair{"fe80::1", "fe80::1%a"},
                                   {"fe80::1%old", "a, b"},
                                   {"fe80::1%c", "a, b"},
                                   {"fd99::1%a", "no link-local"},
                                   {"fd99:::1", "no IPv6 address"},
                                   {"::ffff:10.99.0.1", "no IPv6 address"}}) {
    const Resolution answer = ask(two, host);
    EXPECT_TRUE(answer.endpoints.empty()) << host;
    EXPECT_EQ(answer.status, ISDSC_INVALID_PARAMETER) << host;
    EXPECT_NE(answer.sentence.find(word), std::string::npos) << answer.sentence;
  }
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
