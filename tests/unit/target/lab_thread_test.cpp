// The target on its own thread over the in-process wire, against a bare TCP engine that keeps 32
// reads of 4 KiB in flight: every byte comes, nothing is wrong, and the target's thread allocates
// nothing.
#include "tests/target/lab_thread.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <string>

#include "dataplane/platform/ring_wire.hpp"
#include "tests/unit/platform/eal.hpp"
#include "tests/unit/target/buffer_channel.hpp"

namespace {

thread_local bool counts_allocations = false;
std::atomic<std::uint64_t> allocations{0};

}  // namespace

void* operator new(std::size_t bytes) {
  if (counts_allocations) allocations.fetch_add(1);
  if (void* memory = std::malloc(bytes)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace pollux::target {
namespace {

constexpr std::uint64_t kReads = 4000;
constexpr std::uint64_t kDepth = 32;
constexpr std::uint64_t kReadBytes = wire::kBhsBytes + 4096;

platform::DpdkMemoryOptions memory_options() {
  platform::DpdkMemoryOptions options;
  options.rx_buffer_bytes = options.frame_bytes = 9216;
  options.external_buffers = 4096;
  return options;
}

/// The test's end: an interface and an engine, polled by the calls themselves.
class RingChannel final : public Channel {
 public:
  RingChannel(platform::Port& port, platform::PacketMemory& memory, platform::TscClock clock)
      : clock_(clock),
        interface_({.address = net::IpAddress::v4(10, 99, 0, 1)}, port, memory, clock.now()),
        engine_({.connections = 8}, {}, interface_, memory, Random(3), clock.now()) {
    tcp::OpenRequest request;
    request.remote = {net::IpAddress::v4(10, 99, 0, 2), 3260};
    EXPECT_EQ(engine_.open(request, clock_.now(), id_), tcp::OpenError::none);
    wait_for([this] { return engine_.state(id_) == tcp::State::established; });
  }
  /// False when `condition` does not come true in time.
  template <class Condition>
  bool wait_for(Condition condition) {
    const Instant end = clock_.now() + 10s;
    while (!condition()) {
      poll();
      if (clock_.now() > end) return false;
    }
    return true;
  }
  void send(const Bytes& bytes) override {
    ASSERT_TRUE(wait_for([&] { return engine_.send_space(id_).inline_bytes >= bytes.size(); }));
    engine_.send_inline(id_, bytes);
  }
  void run(Bytes& received) override {
    wait_for([this] { return engine_.readable(id_) >= wire::kBhsBytes; });
    const std::size_t at = received.size();
    received.resize(at + engine_.readable(id_));
    engine_.peek(id_, std::span{received}.subspan(at));
    engine_.consume(id_, engine_.readable(id_));
  }
  /// Drops whole reads; returns how many.
  std::uint64_t drop_reads() {
    poll();
    const auto reads = static_cast<std::uint32_t>(engine_.readable(id_) / kReadBytes);
    engine_.consume(id_, static_cast<std::uint32_t>(reads * kReadBytes));
    return reads;
  }
  /// Until the target's resets are in and all of its memory is given back.
  void drain() {
    engine_.release(id_);
    const Instant end = clock_.now() + 100ms;
    while (clock_.now() < end) poll();
  }

 private:
  void poll() {
    const Instant now = clock_.now();
    std::array<net::TcpDatagram, 64> datagrams;
    std::size_t frames = 0;
    const std::size_t count = interface_.receive(now, datagrams, frames);
    for (std::size_t i = 0; i < count; ++i) engine_.input(datagrams[i], now);
    interface_.run_timers(now);
    engine_.run_timers(now, 64);
    std::array<tcp::Event, 8> events;
    engine_.take_events(events);
    engine_.output(now);
    interface_.flush();
  }

  platform::TscClock clock_;
  net::Interface interface_;
  tcp::Engine engine_;
  tcp::ConnectionId id_;
};

TEST(LabThread, ServesReadsOverTheRingWithoutAllocating) {
  std::string error;
  const auto near = platform::test::make_memory(memory_options());
  const auto far = platform::test::make_memory(memory_options());
  const auto ring = platform::RingWire::create({}, *near, *far, error);
  ASSERT_NE(ring, nullptr) << error;
  const platform::TscClock clock{platform::tsc_hz()};

  LabThreadOptions options;
  options.target.target.luns = {{LunKind::null, 1 * GiB, 512}};
  options.target.interface.address = net::IpAddress::v4(10, 99, 0, 2);
  options.on_start = [] {
    std::string reason;
    EXPECT_TRUE(platform::register_worker_thread(reason)) << reason;
    counts_allocations = true;
  };
  options.on_stop = [] {
    counts_allocations = false;
    platform::unregister_worker_thread();
  };
  LabThread lab{options, ring->right(), *far, clock};
  ASSERT_TRUE(lab.start());
  {
    RingChannel channel{ring->left(), *near, clock};
    InitiatorScript script{channel};
    script.login();
    const std::uint64_t busy_before = lab.busy_cycles();
    const Instant end = clock.now() + 30s;
    std::uint64_t sent = 0;
    std::uint64_t done = 0;
    while (done < kReads && clock.now() < end) {
      for (; sent < kReads && sent - done < kDepth; ++sent)
        script.send(script.read_10(static_cast<std::uint32_t>(sent * 8 % 1024), 8));
      const std::uint64_t reads = channel.drop_reads();
      done += reads;
      script.exp_stat_sn += static_cast<std::uint32_t>(reads);
    }
    EXPECT_EQ(done, kReads);
    const std::uint64_t cycles = (lab.busy_cycles() - busy_before) / kReads;
    RecordProperty("target_busy_cycles_per_read", static_cast<int>(cycles));
    script.logout();
    channel.drain();
  }
  lab.stop();
  EXPECT_EQ(allocations.load(), 0u);
  EXPECT_EQ(lab.target().checks().total(), 0u) << lab.target().checks().first_text();
  EXPECT_EQ(lab.target().counters().reads, kReads);
  EXPECT_EQ(lab.target().open_connections(), 0u);
  EXPECT_TRUE(lab.target().quiet());
  EXPECT_GT(lab.turns(), 0u);
}

}  // namespace
}  // namespace pollux::target

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::AddGlobalTestEnvironment(new pollux::platform::test::EalEnvironment);
  return RUN_ALL_TESTS();
}
