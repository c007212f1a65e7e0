// Memory of an idle, logged-in connection: what a process holds that is built for 4,096 sessions
// and has them logged in, less what one holds that is built for a single session and has none, by
// 4,096. What is configured but not used counts as far as it takes memory: all packet buffers, and
// every page that was written. Each of the two runs in a process of its own. The embedded target's
// memory is kept apart and left out.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <functional>
#include <optional>

#include "control/service/memory_check.hpp"
#include "control/service/worker_sizes.hpp"
#include "tests/bench/heap_books.hpp"
#include "tests/bench/scale.hpp"
#include "tests/support/heap_packet_memory.hpp"
#include "tests/support/sim_port.hpp"

namespace pollux::bench {
namespace {

enum Part : std::size_t { kTcp, kIscsi, kRings, kControl, kRest, kPackets, kParts };
constexpr std::array<const char*, kParts> kNames = {"tcp",     "iscsi", "rings",
                                                    "control", "rest",  "packet_buffers"};

/// Trivial: goes through a pipe.
struct Use {
  bool ok = false;
  std::uint64_t bytes[kParts]{};     ///< that take memory
  std::uint64_t reserved[kParts]{};  ///< address space as well
  std::uint64_t target_bytes = 0;
  std::uint64_t process_bytes = 0;  ///< resident set of the process, the target in it
  double login_seconds = 0;
};

std::uint64_t process_resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t pages = 0;
  file >> pages >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// Sizes of the large blocks that building something takes.
std::vector<std::size_t> blocks_of(const std::function<void(const std::function<void()>&)>& build) {
  std::vector<std::size_t> sizes;
  const std::size_t before = large_heap_blocks(HeapOwner::other).size();
  build([&] {
    const auto blocks = large_heap_blocks(HeapOwner::other);
    for (std::size_t i = before; i < blocks.size(); ++i) sizes.push_back(blocks[i].bytes);
  });
  return sizes;
}

/// Which layer takes a block is told from its size: each is built alone to learn them.
class Sizes {
 public:
  explicit Sizes(const service::Config& config) {
    const iscsi::Limits iscsi = service::iscsi_limits(config);
    const tcp::EngineLimits tcp = service::tcp_limits(config);
    sim::HeapPacketMemory memory({.buffers = 64, .trackers = service::trackers_needed(config)});
    sim::SimWire wire(1, Instant{});
    sim::SimPort port(wire, 0, memory);
    net::Interface interface(config.ports.front().interface, port, memory, Instant{});
    sizes_[kTcp] = blocks_of([&](const auto& look) {
      const tcp::Engine engine(tcp, {}, interface, memory, Random(1), Instant{});
      look();
    });
    tcp::Engine few({}, {}, interface, memory, Random(1), Instant{});
    const iscsi::Path path{&interface, &few};
    std::vector<std::byte> area(iscsi::SnapshotPool::bytes_needed(iscsi));
    worker::Link link(16);
    StageClock stages;
    sizes_[kIscsi] = blocks_of([&](const auto& look) {
      const iscsi::Initiator initiator({.limits = iscsi, .timeouts = {}, .snapshot_area = area},
                                       {&path, 1}, memory, link, stages, Instant{});
      look();
    });
    sizes_[kRings] = blocks_of([&](const auto& look) {
      const worker::Link own(config.worker.sessions_max);
      look();
    });
  }

  [[nodiscard]] Part part_of(std::size_t bytes) const {
    for (const Part part : {kTcp, kIscsi, kRings})
      if (std::find(sizes_[part].begin(), sizes_[part].end(), bytes) != sizes_[part].end())
        return part;
    return kRest;
  }

 private:
  std::array<std::vector<std::size_t>, 3> sizes_;
};

void note_target(bool begins) { set_heap_owner(begins ? HeapOwner::target : HeapOwner::other); }

Use use_of(std::uint32_t sessions_max, std::uint32_t sessions, const ScaleOptions& options,
           std::string& error) {
  Use use;
  RigOptions rig_options;
  rig_options.sessions = sessions;
  rig_options.sessions_max = sessions_max;
  rig_options.target_cpu = options.target_cpu;
  rig_options.note_target = &note_target;
  Rig rig(rig_options);
  const std::uint64_t start = platform::TscClock::cycles();
  if (!rig.open(error)) return use;
  use.login_seconds = static_cast<double>(platform::TscClock::cycles() - start) /
                      static_cast<double>(rig.stats(0).tsc_hz);
  const service::Config& config = rig.instance().setup.config;
  const Sizes sizes(config);
  for (const HeapBlock& block : large_heap_blocks(HeapOwner::other)) {
    const Part part = sizes.part_of(block.bytes);
    use.bytes[part] += block.resident_bytes;
    use.reserved[part] += block.bytes;
  }
  for (const HeapBlock& block : large_heap_blocks(HeapOwner::control)) {
    use.bytes[kControl] += block.resident_bytes;
    use.reserved[kControl] += block.bytes;
  }
  use.bytes[kControl] += small_heap_bytes(HeapOwner::control);
  // Blocks per connection that a layer takes one by one; of the caller's, what this program holds.
  use.bytes[kIscsi] += small_heap_bytes(HeapOwner::other);
  for (const HeapBlock& block : large_heap_blocks(HeapOwner::target))
    use.target_bytes += block.resident_bytes;
  use.target_bytes += small_heap_bytes(HeapOwner::target);
  platform::MemoryPlan plan;
  if (!service::check_memory(config, service::free_hugepages(), plan, error)) return use;
  use.bytes[kPackets] = plan.bytes_per_worker;
  for (std::size_t part = 0; part < kParts; ++part)
    use.reserved[part] = std::max(use.reserved[part], use.bytes[part]);
  use.process_bytes = process_resident_bytes();
  use.ok = rig.target()->violations() == 0;
  return use;
}

/// In a process of its own: the EAL can be started once, and takes what the first asks for.
Use use_apart(std::uint32_t sessions_max, std::uint32_t sessions, const ScaleOptions& options) {
  Use use;
  int ends[2];
  if (::pipe(ends) != 0) return use;
  const pid_t child = ::fork();
  if (child == 0) {
    std::string error;
    const Use own = use_of(sessions_max, sessions, options, error);
    if (!own.ok) fail(error);
    const bool written = ::write(ends[1], &own, sizeof(own)) == sizeof(own);
    std::fflush(nullptr);
    ::_exit(written ? 0 : 1);
  }
  ::close(ends[1]);
  if (child > 0 && ::read(ends[0], &use, sizeof(use)) != sizeof(use)) use = {};
  ::close(ends[0]);
  if (child > 0) ::waitpid(child, nullptr, 0);
  return use;
}

}  // namespace

int measure_memory_per_connection(const ScaleOptions& options) {
  const std::uint32_t sessions = options.sessions != 0 ? options.sessions
                                 : options.is_short    ? 256
                                                       : 4096;
  const Use none = use_apart(1, 0, options);
  const Use all = use_apart(sessions, sessions, options);
  if (!none.ok || !all.ok) return fail("the memory could not be measured");
  const auto each = [&](std::uint64_t more, std::uint64_t less) {
    return (static_cast<double>(more) - static_cast<double>(less)) / sessions;
  };
  double sum = 0;
  std::string parts;
  for (std::size_t part = 0; part < kParts; ++part) {
    sum += each(all.bytes[part], none.bytes[part]);
    parts += fmt::format("\"{0}_bytes\": {1:.0f}, \"{0}_reserved_bytes\": {2:.0f}, ", kNames[part],
                         each(all.bytes[part], none.bytes[part]),
                         each(all.reserved[part], none.reserved[part]));
  }
  fmt::print(
      "{{\"contender\": \"pollux\", \"measure\": \"memory_per_connection\", \"sessions\": {}, "
      "\"bytes_per_connection\": {:.0f}, {}\"target_bytes\": {:.0f}, "
      "\"process_bytes_per_connection\": {:.0f}, \"login_seconds\": {:.2f}}}\n",
      sessions, sum, parts, each(all.target_bytes, none.target_bytes),
      each(all.process_bytes, none.process_bytes), all.login_seconds);
  return 0;
}

}  // namespace pollux::bench
