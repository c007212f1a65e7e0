// A target that sends anything, to the production worker with commands of every kind open: no
// crash, at most one completion for each command and exactly one at the end, everything borrowed
// comes back.
//
// Input: flags, kinds of commands, size of the segments, then PDUs as they stand in the stream
// without digests. So that the fuzzer gets beyond the first checks, a task tag below 16 means the
// open command of that number, a StatSN or ExpCmdSN of zero means the right one, and digests are
// put in where agreed (right or, by a flag, missing).
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "control/library/queue.hpp"
#include "dataplane/net/counters.hpp"
#include "dataplane/platform/crc32c.hpp"
#include "dataplane/worker/worker.hpp"
#include "tests/support/tcp_host.hpp"

namespace {

using namespace pollux;
using Bytes = std::vector<std::byte>;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

enum Flag : std::uint8_t {
  kHeaderDigest = 1,
  kDataDigest = 2,
  kNoDigests = 4,  ///< agreed but not sent
  kLogin = 8,
  kDiscovery = 16,
  kInitialR2t = 32,
  kNoImmediateData = 64,
  kAborts = 128,  ///< commands are aborted under way: late responses are expected
};

constexpr iscsi::Limits kLimits{
    .connections = 1, .tasks = 32, .slabs = 4, .snapshot_small = 32, .snapshot_large = 8};
constexpr std::size_t kCommands = 8;

sim::SimPortOptions port(std::uint8_t last) {
  sim::SimPortOptions options;
  options.mac = {2, 0, 0, 0, 0, last};
  options.mtu = 9000;
  options.rx_checksum = sim::RxChecksum::assumed_good;
  return options;
}

struct World {
  World()
      : memory({.buffers = 1024,
                .buffer_bytes = 9216,
                .trackers = iscsi::Initiator::trackers_needed(kLimits)}),
        near(wire, 0, memory, port(2)),
        link(1),
        area(iscsi::SnapshotPool::bytes_needed(kLimits)),
        host(wire, 1,
             {.config = {.address = net::IpAddress::v4(10, 99, 0, 1)},
              .limits = {.connections = 4},
              .memory = {.buffers = 1024, .buffer_bytes = 9216, .trackers = 1},
              .port = port(1)}),
        listener(3260),
        queue(32, 64) {
    host.engine.set_listener(&listener);
    worker::WorkerSetup setup;
    setup.ports = {{.port = &near, .addressing = {.address = net::IpAddress::v4(10, 99, 0, 2)}}};
    setup.tcp_limits = {.connections = 4, .receive_window_bytes = 256 * 1024, .receive_views = 128};
    setup.iscsi = {
        .limits = kLimits, .timeouts = {}, .lent_budget_bytes = 4 * MiB, .snapshot_area = area};
    worker = std::make_unique<worker::Worker>(setup, memory, link, wire.now());
    queue.lent_read_bytes_max = 8192;
    tell(iscsi::ToWorkerKind::attach_queue, &queue.rings);
  }

  void tell(iscsi::ToWorkerKind kind, void* pointer = nullptr) {
    require(link.to_worker.push({.kind = kind,
                                 .connection = ref,
                                 .session_id = std::uint64_t{3} << 40,
                                 .remote = {net::IpAddress::v4(10, 99, 0, 1), 3260},
                                 .connect_timeout = 15s,
                                 .pointer = pointer}));
    settle();
  }

  bool turn() {
    bool busy = worker->poll_once(wire.now()) != 0;
    iscsi::ToControl message;
    while (link.to_control.pop(message)) {
      busy = true;
      if (message.kind == iscsi::ToControlKind::ended) ended = true;
      if (message.kind == iscsi::ToControlKind::connected) connected = true;
      if (message.kind != iscsi::ToControlKind::pdu) continue;
      require(link.to_worker.push({.kind = iscsi::ToWorkerKind::credit_return,
                                   .connection = message.connection,
                                   .pointer = message.pointer}));
      require(link.to_worker.push(
          {.kind = iscsi::ToWorkerKind::resume_reader, .connection = message.connection}));
    }
    std::array<pollux_completion, 16> done;
    const int count = pollux_queue_reap(&queue, done.data(), done.size());
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      auto& completions = *static_cast<int*>(done[i].context);
      require(++completions == 1);
      if (done[i].lent != nullptr) pollux_release(done[i].lent);
      busy = true;
    }
    busy |= host.turn(wire.now()) != 0;
    std::array<tcp::Event, 4> events;
    const std::size_t happened = host.engine.take_events(events);
    for (std::size_t i = 0; i < happened; ++i) {
      if ((events[i].bits & tcp::kEstablished) != 0) tcp = events[i].id;
      if ((events[i].bits & tcp::kEnded) != 0) host.engine.release(events[i].id);
    }
    take();
    busy |= host.send(wire.now()) != 0;
    return busy;
  }

  void take() {
    const std::uint32_t readable = host.engine.readable(tcp);
    if (readable == 0) return;
    const std::size_t at = received.size();
    received.resize(at + readable);
    host.engine.peek(tcp, std::span{received}.subspan(at));
    host.engine.consume(tcp, readable);
    const std::size_t head = 48 + (parameters.header_digest ? 4u : 0u);
    while (received.size() >= head) {
      const auto bhs = load<wire::Bhs>(received.data());
      const std::uint32_t length = bhs.data_segment_length.get();
      const std::size_t whole =
          head + wire::padded(length) + (parameters.data_digest && length != 0 ? 4u : 0u);
      if (received.size() < whole) return;
      if (bhs.op() == wire::Opcode::scsi_command) {
        tags.push_back(bhs.initiator_task_tag.get());
        ++next_cmd_sn;
      }
      received.erase(received.begin(), received.begin() + static_cast<std::ptrdiff_t>(whole));
    }
  }

  void settle(Duration quiet = 100us) {
    for (int idle = 0, turns = 0; turns < 20'000; ++turns) {
      idle = turn() ? 0 : idle + 1;
      if (idle < 2) continue;
      // To ask the timer wheels is slow, and short waits end before any timer.
      Instant next = wire.next_event();
      if (quiet > 1ms) next = std::min({next, worker->next_deadline(), host.next_deadline()});
      if (next > wire.now() + quiet) return;
      wire.advance(std::max(next, wire.now() + 1us));
    }
  }

  sim::SimWire wire{1, Instant{1000s}};
  sim::HeapPacketMemory memory;
  sim::SimPort near;
  worker::Link link;
  std::vector<std::byte> area;
  std::unique_ptr<worker::Worker> worker;
  sim::TcpHost host;
  sim::PortListener listener;
  pollux_queue queue;
  iscsi::ConnectionRef ref;
  iscsi::Parameters parameters;
  tcp::ConnectionId tcp;
  bool connected = false;
  bool ended = false;
  Bytes received;
  std::vector<std::uint32_t> tags;
  std::uint32_t next_cmd_sn = 0;
  std::uint32_t stat_sn = 0;
};

bool advances(const wire::DataIn& pdu) {
  switch (static_cast<wire::Opcode>(pdu.opcode & wire::kOpcodeMask)) {
    case wire::Opcode::data_in:
      return (pdu.flags & wire::DataIn::kStatus) != 0;
    case wire::Opcode::ready_to_transfer:
      return false;
    case wire::Opcode::nop_in:
      return pdu.initiator_task_tag.get() != wire::kReservedTag;
    default:
      return true;
  }
}

/// The input as the target's stream; see the head of this file.
Bytes make_stream(World& world, std::span<const std::byte> input, bool digests) {
  Bytes out;
  const auto digest = [&out](std::size_t from) {
    const platform::Crc32cWire crc =
        platform::crc32c_wire(platform::crc32c(std::span{out}.subspan(from)));
    out.insert(out.end(), crc.begin(), crc.end());
  };
  while (input.size() >= wire::kBhsBytes && out.size() < 64 * 1024) {
    auto pdu = load<wire::DataIn>(input.data());
    input = input.subspan(wire::kBhsBytes);
    if (const std::uint32_t tag = pdu.initiator_task_tag.get(); tag < world.tags.size() && tag < 16)
      pdu.initiator_task_tag.set(world.tags[tag]);
    if (pdu.stat_sn.get() == 0) {
      pdu.stat_sn.set(world.stat_sn);
      if (advances(pdu)) ++world.stat_sn;
    }
    if (pdu.exp_cmd_sn.get() == 0) {
      pdu.exp_cmd_sn.set(world.next_cmd_sn);
      pdu.max_cmd_sn.set(world.next_cmd_sn + 8);
    }
    std::size_t at = out.size();
    out.resize(at + wire::kBhsBytes);
    store(out.data() + at, pdu);
    if (digests && world.parameters.header_digest) digest(at);
    const std::size_t length =
        std::min<std::size_t>(wire::padded(pdu.data_segment_length.get()), input.size());
    at = out.size();
    out.insert(out.end(), input.begin(), input.begin() + static_cast<std::ptrdiff_t>(length));
    if (digests && world.parameters.data_digest && length != 0) digest(at);
    input = input.subspan(length);
  }
  out.insert(out.end(), input.begin(), input.end());
  return out;
}

void submit_commands(World& world, std::uint8_t kinds, std::array<int, kCommands>& completions,
                     std::array<iovec, kCommands>& iov, Bytes& buffers) {
  for (std::size_t i = 0; i < kCommands; ++i) {
    if ((kinds >> i & 1) == 0) {
      completions[i] = 1;  // not asked for
      continue;
    }
    pollux_command command{};
    command.opcode = i % 4 == 3 ? POLLUX_FLUSH : i % 2 == 0 ? POLLUX_READ : POLLUX_WRITE;
    command.session = std::uint64_t{3} << 40;
    command.context = &completions[i];
    if (command.opcode != POLLUX_FLUSH) {
      command.length = i < 4 ? 1024 : 8192;
      command.block_count = command.length / 512;
      iov[i] = {buffers.data() + i * 8192, command.length};
      command.iov = &iov[i];
      command.iov_count = 1;
      if (i == 5) command.flags = POLLUX_REGISTERED;
      if (i == 6) {
        command.flags = POLLUX_LENT;
        command.iov = nullptr;
        command.iov_count = 0;
      }
    }
    require(pollux_queue_submit(&world.queue, &command, 1) == 1);
  }
  world.settle();
}

void enter(World& world, iscsi::Gate& gate, bool discovery) {
  gate = {.phase = iscsi::Phase::full_feature,
          .discovery = discovery,
          .parameters = world.parameters,
          .cmd_sn = CmdSn{world.next_cmd_sn},
          .exp_cmd_sn = CmdSn{world.next_cmd_sn},
          .max_cmd_sn = CmdSn{world.next_cmd_sn + 5},
          .exp_stat_sn = StatSn{world.stat_sn}};
  world.tell(iscsi::ToWorkerKind::set_gate, &gate);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World& world = *new World;
  if (size < 3) return 0;
  const std::uint8_t flags = data[0];
  std::array<int, kCommands> completions{};
  std::array<iovec, kCommands> iov{};
  static Bytes buffers(kCommands * 8192);

  ++world.ref.epoch;
  world.connected = world.ended = false;
  world.received.clear();
  world.tags.clear();
  world.next_cmd_sn = 0xffff'fffd;
  world.stat_sn = 0xffff'fffe;
  world.parameters = {.header_digest = (flags & kHeaderDigest) != 0,
                      .data_digest = (flags & kDataDigest) != 0,
                      .initial_r2t = (flags & kInitialR2t) != 0,
                      .immediate_data = (flags & kNoImmediateData) == 0,
                      .max_outstanding_r2t = 2,
                      .max_recv_data_segment_length = 32 * 1024,
                      .target_max_recv_data_segment_length = 2048,
                      .first_burst_length = 4096};
  world.tell(iscsi::ToWorkerKind::open);
  for (int i = 0; i < 10 && !world.connected; ++i) world.settle(10ms);
  require(world.connected);
  iscsi::Gate gate;
  if ((flags & kLogin) == 0) enter(world, gate, (flags & kDiscovery) != 0);
  submit_commands(world, data[1], completions, iov, buffers);
  if ((flags & kAborts) != 0) world.tell(iscsi::ToWorkerKind::abort_commands);

  const auto input = std::as_bytes(std::span{data, size}).subspan(3);
  const Bytes stream = make_stream(world, input, (flags & kNoDigests) == 0);
  const std::size_t piece =
      data[2] == 0 ? 8192 : std::max<std::size_t>(data[2], stream.size() / 32);
  for (std::span<const std::byte> left = stream; !left.empty() && !world.ended;) {
    const tcp::SendSpace space = world.host.engine.send_space(world.tcp);
    const std::size_t part = std::min({piece, left.size(), std::size_t{space.inline_bytes}});
    if (part != 0 && space.descriptors != 0) {
      world.host.engine.send_inline(world.tcp, left.first(part));
      left = left.subspan(part);
    }
    const Instant before = world.wire.now();
    world.settle();
    if (part == 0) world.settle(20ms);
    if (part == 0 && world.wire.now() == before)
      break;  // the reader waits for a gate that does not come
  }
  if (!world.ended) world.tell(iscsi::ToWorkerKind::abort);
  require(world.ended);
  world.settle(20ms);
  for (const int count : completions) require(count == 1);
  const iscsi::Initiator& initiator = world.worker->initiator();
  require(initiator.tasks_in_use() == 0 && initiator.slabs_in_use() == 0 &&
          initiator.snapshots_in_use() == 0);
  require(initiator.lent_bytes_reserved() == 0 && initiator.timers_armed() == 0);
  require(world.memory.buffers_in_use() ==
          world.worker->interface(0).counters().buffers_cached.get());
  world.tell(iscsi::ToWorkerKind::free_slot);
  return 0;
}
