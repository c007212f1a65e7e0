// Nothing but packets on the wires that bench_pollux uses, with the same CPUs, buffers and ports:
// the limit that scripts/bench puts beside pollux. Either one end sends frames without rest, or
// the other asks for each with a short frame, as a read does. Prints one JSON object; cycles are
// of the end that receives (that asks), in turns that moved something.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "control/ratio.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/tsc_clock.hpp"
#include "tests/bench/thread_time.hpp"
#include "tests/target/lab_wire.hpp"

namespace {

using namespace pollux;
using platform::TscClock;

constexpr std::size_t kBurst = 32;
constexpr std::size_t kEthernetBytes = 14;
constexpr std::uint32_t kMemoryMib = 256;

struct Flags {
  std::string wire = "ring";
  std::uint32_t frame_bytes = 9014;  ///< with the Ethernet header
  std::uint32_t request_bytes = 0;   ///< 0: nobody asks, frames come without end
  std::uint32_t depth = 32;          ///< requests in flight
  std::uint16_t mtu = 9000;
  double seconds = 1;
  double warm_up = 0.3;
  int cpu = 0;
  int peer_cpu = 1;
};

/// One end of the wire. Thread: the one that polls it.
class End {
 public:
  End(platform::DpdkPort& port, platform::DpdkPacketMemory& memory,
      const platform::MacAddress& peer)
      : port_(port), memory_(memory) {
    std::memcpy(header_.data(), peer.data(), peer.size());
    std::memcpy(header_.data() + 6, port.info().mac.data(), 6);
    header_[12] = std::byte{0x88};  // IEEE 802: local experimental EtherType 1
    header_[13] = std::byte{0xb5};
  }

  /// Sends up to `frames` of `length` bytes; what the port does not take is offered again first.
  /// Returns how many it took.
  std::size_t send(std::size_t frames, std::uint32_t length) {
    if (held_ == 0) build(std::min(frames, kBurst), length);
    const std::size_t taken = port_.transmit({segments_.data(), held_});
    std::copy(segments_.begin() + static_cast<std::ptrdiff_t>(taken),
              segments_.begin() + static_cast<std::ptrdiff_t>(held_), segments_.begin());
    held_ -= taken;
    if (taken == 0) port_.reclaim();
    return taken;
  }

  struct Received {
    std::size_t frames = 0;
    std::size_t bytes = 0;
  };
  Received receive() {
    std::array<platform::RxSegment, 2 * kBurst> segments;
    std::array<void*, 2 * kBurst> handles;
    Received received;
    const std::size_t count = port_.receive(segments);
    for (std::size_t i = 0; i < count; ++i) {
      handles[i] = segments[i].handle;
      received.bytes += segments[i].length;
      received.frames += (segments[i].flags & platform::kRxMore) == 0;
    }
    if (count != 0) memory_.release({handles.data(), count});
    return received;
  }

 private:
  void build(std::size_t frames, std::uint32_t length) {
    std::array<platform::FrameBuffer, kBurst> buffers;
    held_ = memory_.allocate({buffers.data(), frames});
    for (std::size_t i = 0; i < held_; ++i) {
      std::memcpy(buffers[i].data, header_.data(), header_.size());
      segments_[i] = {.data = buffers[i].data, .length = length, .handle = buffers[i].handle};
    }
  }

  platform::DpdkPort& port_;
  platform::DpdkPacketMemory& memory_;
  std::array<std::byte, kEthernetBytes> header_{};
  std::array<platform::TxSegment, kBurst> segments_;
  std::size_t held_ = 0;
};

struct Counts {
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::uint64_t busy_cycles = 0;
  std::uint64_t elapsed_cycles = 0;
  double cpu_seconds = 0;
};

class Measurement {
 public:
  explicit Measurement(const Flags& flags) : flags_(flags) {}

  bool open(std::string& error) {
    platform::EalOptions eal;
    eal.instance = fmt::format("packets{}", getpid());
    eal.memory_mib = kMemoryMib;
    if (!platform::start_eal(eal, error)) return false;
    platform::DpdkMemoryOptions memory;  // as the embedded target's
    memory.frame_bytes = flags_.mtu + 128u;
    memory.frame_buffers = 4096;
    memory.rx_buffers = 8192;
    left_memory_ = platform::DpdkPacketMemory::create(memory, error);
    right_memory_ = platform::DpdkPacketMemory::create(memory, error);
    if (left_memory_ == nullptr || right_memory_ == nullptr) return false;
    target::LabWireOptions options;
    options.kind = flags_.wire;
    options.ring.mtu = flags_.mtu;
    options.left.mtu = flags_.mtu;
    wire_ = target::LabWire::open(options, *left_memory_, *right_memory_, error);
    return wire_ != nullptr;
  }

  void run() {
    std::thread peer([this] { run_peer(); });
    End end(wire_->left(), *left_memory_, wire_->right().info().mac);
    counts(end, flags_.warm_up);
    const Counts found = counts(end, flags_.seconds);
    stop_ = true;
    peer.join();
    while (end.receive().frames != 0) {
    }
    print(found);
  }

  ~Measurement() {
    wire_.reset();
    left_memory_.reset();
    right_memory_.reset();
    platform::stop_eal();
  }

 private:
  void run_peer() {
    bench::pin_to(flags_.peer_cpu);
    std::string ignored;
    (void)platform::register_worker_thread(ignored);
    End end(wire_->right(), *right_memory_, wire_->left().info().mac);
    std::size_t owed = 0;
    while (!stop_) {
      if (flags_.request_bytes == 0) {
        end.send(kBurst, flags_.frame_bytes);
        continue;
      }
      owed += end.receive().frames;
      if (owed != 0) owed -= end.send(owed, flags_.frame_bytes);
    }
    platform::unregister_worker_thread();
  }

  Counts counts(End& end, double seconds) {
    Counts counts;
    const auto hz = static_cast<double>(platform::tsc_hz());
    const double cpu_before = bench::thread_seconds();
    const std::uint64_t start = TscClock::cycles();
    const std::uint64_t until = start + static_cast<std::uint64_t>(seconds * hz);
    for (std::uint64_t before = start; before < until;) {
      const End::Received received = end.receive();
      in_flight_ -= std::min(received.frames, in_flight_);
      std::size_t sent = 0;
      if (flags_.request_bytes != 0 && in_flight_ < flags_.depth)
        sent = end.send(flags_.depth - in_flight_, flags_.request_bytes);
      in_flight_ += sent;
      counts.frames += received.frames;
      counts.bytes += received.bytes;
      const std::uint64_t now = TscClock::cycles();
      if (received.frames + sent != 0) counts.busy_cycles += now - before;
      before = now;
    }
    counts.elapsed_cycles = TscClock::cycles() - start;
    counts.cpu_seconds = bench::thread_seconds() - cpu_before;
    return counts;
  }

  void print(const Counts& found) const {
    const auto hz = static_cast<double>(platform::tsc_hz());
    const double seconds = static_cast<double>(found.elapsed_cycles) / hz;
    const double frames = static_cast<double>(std::max<std::uint64_t>(found.frames, 1));
    fmt::print(
        "{{\"contender\": \"packets\", \"wire\": \"{}\", \"workload\": \"{}\", "
        "\"frame_bytes\": {}, \"request_bytes\": {}, \"queue_depth\": {}, \"mtu\": {}, "
        "\"frames_per_second\": {:.0f}, \"mibps\": {:.1f}, \"busy_cycles_per_frame\": {:.1f}, "
        "\"tsc_hz\": {:.0f}, \"cpu_share\": {:.3f}}}\n",
        flags_.wire, flags_.request_bytes == 0 ? "stream" : "ask-and-answer", flags_.frame_bytes,
        flags_.request_bytes, flags_.request_bytes == 0 ? 0 : flags_.depth, flags_.mtu,
        frames / seconds, mib_per_second(static_cast<double>(found.bytes), seconds),
        static_cast<double>(found.busy_cycles) / frames, hz, found.cpu_seconds / seconds);
  }

  const Flags flags_;
  std::unique_ptr<platform::DpdkPacketMemory> left_memory_;
  std::unique_ptr<platform::DpdkPacketMemory> right_memory_;
  std::unique_ptr<target::LabWire> wire_;
  std::atomic<bool> stop_{false};
  std::size_t in_flight_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app{"bench_packets: nothing but packets on a wire inside the process"};
  app.add_option("--wire", flags.wire)->check(CLI::IsMember({"ring", "virtio_user", "memif"}));
  app.add_option("--frame-bytes", flags.frame_bytes, "with the Ethernet header")
      ->check(CLI::Range(60, 9014));
  app.add_option("--request-bytes", flags.request_bytes, "ask for each frame with one of this size")
      ->check(CLI::Range(0, 9014));
  app.add_option("-q,--depth", flags.depth)->check(CLI::Range(1, 512));
  app.add_option("-t,--seconds", flags.seconds);
  app.add_option("--warm-up", flags.warm_up, "seconds");
  app.add_option("--cpu", flags.cpu);
  app.add_option("--peer-cpu", flags.peer_cpu);
  CLI11_PARSE(app, argc, argv);
  Measurement measurement(flags);
  std::string error;
  if (!bench::pin_to(flags.cpu)) error = fmt::format("there is no CPU {} to run on", flags.cpu);
  if (!error.empty() || !measurement.open(error)) {
    fmt::print(stderr, "bench_packets: {}\n", error);
    return 1;
  }
  measurement.run();
  return 0;
}
