// Adds up the buffers of one worker pool by pool, then bytes and hugepages.

#include "dataplane/platform/memory_plan.hpp"

#include <algorithm>

#include "dataplane/base/units.hpp"

namespace pollux::platform {
namespace {

constexpr std::uint64_t kBurst = 64;          // frames a port holds between driver and stack
constexpr std::uint64_t kEgressFrames = 256;  // built, waiting in an interface for the port
/// What a turn may build is bounded by the interface's queue (net::Egress), not by the sessions:
/// who finds no room in it is asked again in the next turn.
constexpr std::uint64_t kCommandFrames = 1024;
/// Connections that have data lying unread at once: in an initiator, or in the peer of an
/// in-process wire. Readers look in every turn, so it is few whatever the sessions.
constexpr std::uint64_t kHoldingConnections = 256;
constexpr std::uint64_t kReserveFrames =
    256;  // acknowledgements and resets when all else is used up
constexpr std::uint64_t kHandoverSegments = 1024;  // of each ring between two workers of a port
constexpr std::uint64_t kSegmentsOfFrame = 8;      // PortInfo::tx_segments_max
constexpr std::uint32_t kCache = 256;              // per thread and pool
constexpr std::uint64_t kCacheSlack = 512;  // what one thread's cache can hold (1.5 x and a burst)
constexpr std::uint64_t kThreads = 2;       // that put buffers back: worker, and the peer of a ring
constexpr std::uint32_t kBufferBytes = 2048;  // received frames longer than this take a chain
constexpr std::uint32_t kDriverRoom = 256;    // DriverQuirks::rx_room_lost at most
constexpr std::uint32_t kFrameSlack = 64;     // Ethernet header, VLAN tag, alignment
constexpr std::uint32_t kHeaders = 60 + 12;   // of a segment with timestamps
constexpr std::uint32_t kMbufBytes = 256;     // mbuf, pool header and cache line rounding
constexpr std::uint32_t kHeadroom = 128;
constexpr std::uint64_t kRxMost = 4'000'000;     // per worker; beyond it a number was mistyped
constexpr std::uint64_t kExternalMost = 60'000;  // 16-bit reference counts
// EAL tables, device state, pool bookkeeping; and one part in eight for what allocation wastes.
constexpr std::uint64_t kDpdkBytes = 48 * MiB;  // with one worker's pools
// Caches for every thread that there might be, and what is lost between pools: two workers were
// seen to fail with 12 MiB and to start with 26.
constexpr std::uint64_t kPoolsOfAnotherWorker = 32 * MiB;
constexpr std::uint64_t kWasteDivisor = 8;
constexpr std::uint64_t kHugepage = 2 * MiB;

constexpr std::uint64_t divide_up(std::uint64_t value, std::uint64_t by) {
  return (value + by - 1) / by;
}

std::uint64_t sum(const MemoryPlan& plan, PlanPool pool) {
  std::uint64_t total = 0;
  for (const MemoryPlanLine& line : plan.lines) total += line.pool == pool ? line.buffers : 0;
  return total;
}

/// Received segments: each pins whole buffers whatever its length, and small ones are copied out,
/// so a byte of window costs at most two bytes' worth of full segments.
std::uint64_t buffers_for(std::uint64_t payload, std::uint64_t segment_bytes, std::uint64_t chain) {
  return divide_up(payload, segment_bytes) * chain * 2;
}

std::uint64_t smallest_windows(const MemoryPlanInput& in, std::uint64_t connections,
                               std::uint64_t segment_bytes, std::uint64_t chain) {
  return std::min(connections, kHoldingConnections) *
         buffers_for(in.window_bytes_min, segment_bytes, chain);
}

void add_receive(const MemoryPlanInput& in, std::uint64_t connections, std::uint64_t chain,
                 std::uint64_t segment_bytes, MemoryPlan& plan) {
  const auto add = [&plan](const char* place, std::uint64_t n) {
    plan.lines.push_back({PlanPool::rx, place, n});
  };
  // Posted to the NIC; a descriptor takes one buffer.
  add("receive descriptors", std::uint64_t{in.ports} * in.rx_descriptors);
  // Taken from the driver, not yet from the port.
  add("bursts in hand", in.ports * kBurst * chain);
  // What connections may have been sent and nobody has read.
  add("smallest windows", smallest_windows(in, connections, segment_bytes, chain));
  // The part of windows that grows where it is used.
  add("window growth", buffers_for(in.window_bytes_budget, segment_bytes, chain));
  // Reads in the application's hands.
  add("lent reads", buffers_for(in.lent_bytes_budget, segment_bytes, chain));
  // Refills the NIC when all budgets are spent.
  add("reserve of the receive ring", std::uint64_t{in.ports} * in.rx_descriptors);
  // Frames of other workers' connections, until those have copied them.
  if (in.workers > 1) add("handed over", in.ports * (in.workers - 1) * kHandoverSegments);
  // Free, but in a thread's cache where others cannot get them.
  add("caches", kThreads * kCacheSlack);
}

void add_transmit(const MemoryPlanInput& in, std::uint64_t connections, std::uint64_t sessions,
                  std::uint64_t segment_bytes, MemoryPlan& plan) {
  const auto frames = [&plan](const char* place, std::uint64_t n) {
    plan.lines.push_back({PlanPool::frames, place, n});
  };
  const auto external = [&plan](const char* place, std::uint64_t n) {
    plan.lines.push_back({PlanPool::external, place, n});
  };
  // Headers and copied (retransmitted, inline) frames that the NIC has not sent, or has not given
  // back.
  frames("transmit descriptors", std::uint64_t{in.ports} * in.tx_descriptors);
  // Refused by the driver, kept in the port.
  frames("deferred bursts", in.ports * kBurst);
  // Built by TCP, waiting for the port.
  frames("egress queues", in.ports * kEgressFrames);
  // On their way to a worker that has a queue, and copied there.
  if (in.workers > 1) frames("relayed", in.ports * (kHandoverSegments + kBurst));
  // One for each command that starts in the same turn.
  frames("commands", std::min(sessions * std::min<std::uint64_t>(in.queue_depth, kBurst),
                              in.ports * kCommandFrames));
  frames("caches", kThreads * kCacheSlack);

  // Attached memory: a frame has a header of its own and up to seven pieces.
  const std::uint64_t pieces = kSegmentsOfFrame - 1;
  const std::uint64_t in_nic = std::uint64_t{in.ports} * in.tx_descriptors;
  external("transmit descriptors", in.in_process_wire ? in_nic * pieces : in_nic);
  external("deferred bursts", in.ports * kBurst * pieces);
  external("caches", kThreads * kCacheSlack);

  if (in.in_process_wire) {
    // What the peer has received and not read is still ours: its windows, out of our pools.
    const std::uint64_t held =
        std::min(connections, kHoldingConnections) * divide_up(in.window_bytes_min, segment_bytes) +
        divide_up(in.window_bytes_budget, segment_bytes);
    frames("held by the peer of the wire", held);
    external("held by the peer of the wire", held * 2);
  }
  // Beside the main pool: acknowledgements and resets must go out when it is empty.
  plan.lines.push_back({PlanPool::reserve, "acknowledgements and resets", kReserveFrames});
}

/// What TCP may keep, so that the lines of windows hold: each connection has two queues.
void set_receive_views(const MemoryPlanInput& in, std::uint64_t connections, std::uint64_t chain,
                       std::uint64_t segment_bytes, MemoryPlan& plan) {
  const std::uint64_t least = buffers_for(in.window_bytes_min, segment_bytes, chain) / 2;
  // Over the in-process wire two pieces of the peer's external memory make a segment.
  const std::uint64_t growth = in.in_process_wire
                                   ? divide_up(in.window_bytes_budget, segment_bytes) * 2
                                   : buffers_for(in.window_bytes_budget, segment_bytes, chain);
  plan.receive_views_least = static_cast<std::uint32_t>(least);
  plan.receive_views_total = static_cast<std::uint32_t>(growth / in.ports);
  const std::uint64_t floors = smallest_windows(in, connections, segment_bytes, chain);
  plan.receive_views_most = static_cast<std::uint32_t>((growth + floors) / in.ports);
}

bool input_ok(const MemoryPlanInput& in, std::string& error) {
  if (in.workers == 0 || in.workers > 64) {
    error = "workers must be 1 to 64, not " + std::to_string(in.workers);
  } else if (in.ports == 0 || in.ports > 16) {
    error = "a worker serves 1 to 16 ports, not " + std::to_string(in.ports);
  } else if (in.mtu < 576 || in.mtu > 9216) {
    error = "mtu must be 576 to 9216, not " + std::to_string(in.mtu);
  } else if (in.sessions == 0 || in.sessions > 65'536 || in.connections == 0 ||
             in.connections > 64) {
    error = "sessions must be 1 to 65536 and connections of each 1 to 64";
  } else if (in.rx_descriptors < 64 || in.rx_descriptors > 16'384 || in.tx_descriptors < 64 ||
             in.tx_descriptors > 16'384) {
    error = "rx_descriptors and tx_descriptors must be 64 to 16384";
  } else {
    return true;
  }
  return false;
}

void add_bytes(const MemoryPlanInput& in, MemoryPlan& plan) {
  const DpdkMemoryOptions& options = plan.options;
  const std::uint64_t overhead = kMbufBytes + kHeadroom;
  plan.bytes_per_worker = options.rx_buffers * (overhead + options.rx_buffer_bytes) +
                          (std::uint64_t{options.frame_buffers} + options.reserve_buffers) *
                              (overhead + options.frame_bytes) +
                          std::uint64_t{options.external_buffers} * kMbufBytes;
  const std::uint64_t pools = plan.bytes_per_worker * in.workers;
  plan.total_bytes =
      pools + pools / kWasteDivisor + kDpdkBytes + (in.workers - 1) * kPoolsOfAnotherWorker;
  plan.hugepages = static_cast<std::uint32_t>(divide_up(plan.total_bytes, kHugepage));
  plan.memory_mib = plan.hugepages * 2;
}

std::uint32_t receive_buffer_bytes(const MemoryPlanInput& in) {
  if (!in.one_buffer_frames) return kBufferBytes;
  return std::max(kBufferBytes, (in.mtu + kFrameSlack + kDriverRoom + 63) / 64 * 64);
}

}  // namespace

bool plan_memory(const MemoryPlanInput& input, MemoryPlan& plan, std::string& error) {
  if (!input_ok(input, error)) return false;
  plan = MemoryPlan{};
  const std::uint64_t sessions = divide_up(input.sessions, input.workers);
  const std::uint64_t connections = sessions * input.connections;
  const std::uint32_t buffer_bytes = receive_buffer_bytes(input);
  const std::uint64_t chain = divide_up(input.mtu + kFrameSlack, buffer_bytes);
  const std::uint64_t segment_bytes = input.mtu - kHeaders;
  add_receive(input, connections, chain, segment_bytes, plan);
  add_transmit(input, connections, sessions, segment_bytes, plan);

  const std::uint64_t rx = sum(plan, PlanPool::rx);
  const std::uint64_t frames = sum(plan, PlanPool::frames);
  const std::uint64_t external = sum(plan, PlanPool::external);
  if (rx > kRxMost || frames > kRxMost) {
    error = std::to_string(std::max(rx, frames)) + " buffers per worker are needed and " +
            std::to_string(kRxMost) + " are possible: lower sessions, windows or the lent budget";
    return false;
  }
  if (external > kExternalMost) {
    error = std::to_string(external) + " segments of external memory per worker are needed and " +
            std::to_string(kExternalMost) + " are possible: lower tx_descriptors or windows";
    return false;
  }
  DpdkMemoryOptions& options = plan.options;
  options.rx_buffers = static_cast<std::uint32_t>(rx);
  options.rx_buffer_bytes = buffer_bytes;
  options.frame_buffers = static_cast<std::uint32_t>(frames);
  // A retransmission is copied into one buffer.
  options.frame_bytes = std::max(kBufferBytes, (input.mtu + kFrameSlack + 63) / 64 * 64);
  options.reserve_buffers = static_cast<std::uint32_t>(sum(plan, PlanPool::reserve));
  options.external_buffers = static_cast<std::uint32_t>(external);
  set_receive_views(input, connections, chain, segment_bytes, plan);
  options.trackers = input.trackers;
  options.cache_buffers = kCache;
  add_bytes(input, plan);
  return true;
}

}  // namespace pollux::platform
