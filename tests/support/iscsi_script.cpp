#include "tests/support/iscsi_script.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "dataplane/net/counters.hpp"

namespace pollux::script {
namespace {

/// Which verdicts any conversation of this program has ended with.
struct Provoked {
  std::array<bool, static_cast<std::size_t>(iscsi::ProtocolError::count_)> errors{};
  std::array<bool, 32> reasons{};
};
Provoked provoked;

/// Every verdict has a test, or the program fails.
class EveryVerdict final : public testing::Environment {
  void TearDown() override {
    if (testing::GTEST_FLAG(filter) != "*") return;
    for (std::size_t i = 1; i < provoked.errors.size(); ++i)
      EXPECT_TRUE(provoked.errors[i])
          << "no test provokes: " << to_text(static_cast<iscsi::ProtocolError>(i));
    for (std::size_t i = 1; i <= static_cast<std::size_t>(iscsi::LossReason::port_removed); ++i)
      EXPECT_TRUE(provoked.reasons[i])
          << "no test provokes: " << to_text(static_cast<iscsi::LossReason>(i));
  }
};
[[maybe_unused]] const testing::Environment* const every_verdict =
    testing::AddGlobalTestEnvironment(new EveryVerdict);

sim::SimPortOptions port_options(std::uint8_t last) {
  sim::SimPortOptions options;
  options.mac = {0x02, 0, 0, 0, 0, last};
  options.mtu = 9000;
  return options;
}

sim::TcpHostOptions host_options() {
  sim::TcpHostOptions options;
  options.config = {.address = Script::kPortal.address, .prefix_length = 24, .gateway = {}};
  options.limits = {.connections = 8,
                    .receive_window_bytes = 1 << 20,
                    .send_descriptors = 4096,
                    .send_inline_bytes = 1 << 20};
  options.memory = {.buffers = 2048, .buffer_bytes = 9216, .trackers = 8};
  options.port = port_options(1);
  return options;
}

}  // namespace

struct Script::Accepts final : tcp::Listener {
  bool on_syn(const net::Endpoint& local, const net::Endpoint&,
              tcp::OpenRequest& fill) noexcept override {
    if (local.port != kPortal.port) return false;
    fill.owner = next_slot;
    fill.connect_timeout = fill.user_timeout = 10000s;
    return true;
  }
  std::uint32_t next_slot = 0;
};

Request read(std::uint32_t bytes) {
  return {
      .opcode = POLLUX_READ, .bytes = bytes, .flags = POLLUX_FROM_DEVICE, .cdb = {}, .pieces = {}};
}
Request lent_read(std::uint32_t bytes) {
  return {.opcode = POLLUX_READ,
          .bytes = bytes,
          .flags = POLLUX_FROM_DEVICE | POLLUX_LENT,
          .cdb = {},
          .pieces = {}};
}
Request write(std::uint32_t bytes) {
  return {
      .opcode = POLLUX_WRITE, .bytes = bytes, .flags = POLLUX_TO_DEVICE, .cdb = {}, .pieces = {}};
}
Request registered_write(std::uint32_t bytes) {
  return {.opcode = POLLUX_WRITE,
          .bytes = bytes,
          .flags = POLLUX_TO_DEVICE | POLLUX_REGISTERED,
          .cdb = {},
          .pieces = {}};
}
Request scsi(std::vector<std::uint8_t> cdb, std::uint8_t direction, std::uint32_t bytes) {
  return {.opcode = POLLUX_SCSI,
          .bytes = bytes,
          .flags = direction,
          .cdb = std::move(cdb),
          .pieces = {}};
}
Request test_unit_ready() { return scsi({0, 0, 0, 0, 0, 0}); }

std::vector<std::uint8_t> cdb_of(const Request& request) {
  if (request.opcode == POLLUX_SCSI) return request.cdb;
  std::vector<std::uint8_t> cdb(16);
  cdb[0] = request.opcode == POLLUX_READ ? 0x88 : 0x8a;
  const std::uint32_t blocks = std::max(1u, request.bytes / 512);
  for (std::size_t i = 0; i < 4; ++i)
    cdb[10 + i] = static_cast<std::uint8_t>(blocks >> (24 - 8 * i));
  return cdb;
}

std::uint8_t command_flags(const Request& request) {
  std::uint8_t flags = 0x01;
  if ((request.flags & POLLUX_FROM_DEVICE) != 0) flags |= 0x40;
  if ((request.flags & POLLUX_TO_DEVICE) != 0) flags |= 0x20;
  return flags;
}

Script::Script(const Options& options)
    : options_(options),
      wire_(1, Instant{1000s}),
      memory_({.buffers = 2048,
               .buffer_bytes = 9216,
               .trackers = iscsi::Initiator::trackers_needed(options.limits)}),
      port_(wire_, 0, memory_, port_options(2)),
      link_(options.limits.connections),
      snapshot_area_(iscsi::SnapshotPool::bytes_needed(options.limits)),
      host_(wire_, 1, host_options()),
      listener_(std::make_unique<Accepts>()),
      peers_(options.limits.connections) {
  host_.engine.set_listener(listener_.get());
  worker::WorkerSetup setup;
  setup.ports = {
      {.port = &port_,
       .addressing = {
           .address = net::IpAddress::v4(10, 99, 0, 2), .prefix_length = 24, .gateway = {}}}};
  setup.tcp_limits.connections = options.engine_connections;
  setup.iscsi = {.limits = options.limits,
                 .timeouts = options.timeouts,
                 .lent_budget_bytes = 8 * MiB,
                 .snapshot_area = snapshot_area_};
  setup.random_seed = 1;
  worker_ = std::make_unique<worker::Worker>(setup, memory_, link_, wire_.now());
  queue_ = std::make_unique<pollux_queue>(
      options.queue_depth, options.lent_bytes_max == 0 ? 0 : options.lent_bytes_max / 256 + 8);
  queue_->lent_read_bytes_max = options.lent_bytes_max;
  control(iscsi::ToWorkerKind::attach_queue, &queue_->rings);
  if (!options.connects) return;
  for (std::uint16_t slot = 0; slot < options.slots; ++slot) {
    on(slot).open(slot);
    for (int i = 0; i < 100 && !peer().connected; ++i) run_for(1ms);
    EXPECT_TRUE(peer().connected);
    if (options.phase == iscsi::Phase::full_feature) enter();
  }
  on(0);
}

Script::~Script() { finish(); }

void Script::open(std::uint16_t slot, const iscsi::ConnectionRef* ref, net::Endpoint remote) {
  Peer& fresh = peers_[slot];
  const std::uint32_t epoch = fresh.ref.epoch + 1;
  fresh = Peer{};
  fresh.ref =
      ref != nullptr ? *ref : iscsi::ConnectionRef{.slot = slot, .reserved = 0, .epoch = epoch};
  fresh.parameters = options_.parameters;
  fresh.stat_sn = fresh.last_exp_stat_sn = options_.stat_sn;
  fresh.next_cmd_sn = options_.cmd_sn;
  fresh.window = options_.window;
  listener_->next_slot = slot;
  EXPECT_TRUE(link_.to_worker.push({.kind = iscsi::ToWorkerKind::open,
                                    .connection = fresh.ref,
                                    .session_id = session_id(slot),
                                    .remote = remote,
                                    .connect_timeout = 15s}));
}

iscsi::Gate Script::gate() const {
  const Peer& peer = peers_[peer_];
  return {.phase = iscsi::Phase::full_feature,
          .discovery = options_.discovery,
          .parameters = peer.parameters,
          .cmd_sn = CmdSn{peer.next_cmd_sn},
          .exp_cmd_sn = CmdSn{peer.next_cmd_sn},
          .max_cmd_sn = CmdSn{peer.next_cmd_sn + peer.window - 1},
          .exp_stat_sn = StatSn{peer.stat_sn}};
}

void Script::set_gate(const iscsi::Gate& gate) {
  gates_.push_back(gate);
  ++gates_out_;
  control(iscsi::ToWorkerKind::set_gate, &gates_.back());
}

void Script::enter() {
  peer().entered = true;
  set_gate(gate());
}

void Script::control(iscsi::ToWorkerKind kind, void* pointer) {
  EXPECT_TRUE(link_.to_worker.push({.kind = kind, .connection = peer().ref, .pointer = pointer}));
  settle();
}

void Script::send_control_pdu(const Pdu& pdu, bool closes_reader) {
  auto out = std::make_unique<iscsi::ControlPdu>();
  std::memcpy(&out->bhs, pdu.bhs.data(), pdu.bhs.size());
  out->length = static_cast<std::uint32_t>(pdu.data.size());
  out->closes_reader = closes_reader;
  std::copy(pdu.data.begin(), pdu.data.end(), out->data.begin());
  control_pdus_.push_back(std::move(out));
  control(iscsi::ToWorkerKind::send_pdu, control_pdus_.back().get());
}

void Script::hold_credits(bool yes) {
  holds_credits_ = yes;
  if (yes) return;
  for (const iscsi::ToWorker& message : std::exchange(held_credits_, {})) {
    EXPECT_TRUE(link_.to_worker.push(message));
    settle();
  }
}

void Script::handle(const iscsi::ToControl& message) {
  messages_.push_back(message);
  Peer& about = peers_[message.connection.slot];
  switch (message.kind) {
    case iscsi::ToControlKind::connected:
      about.connected = true;
      return;
    case iscsi::ToControlKind::pdu: {
      auto* slab = static_cast<iscsi::Slab*>(message.pointer);
      for_control_.push_back(*slab);
      const iscsi::ToWorker back{.kind = iscsi::ToWorkerKind::credit_return,
                                 .connection = message.connection,
                                 .pointer = slab};
      if (holds_credits_) {
        held_credits_.push_back(back);
      } else {
        EXPECT_TRUE(link_.to_worker.push(back));
      }
      return;
    }
    case iscsi::ToControlKind::pdu_sent: {
      const auto erased = std::erase_if(
          control_pdus_, [&](const auto& pdu) { return pdu.get() == message.pointer; });
      EXPECT_EQ(erased, 1u) << "a control PDU came back twice";
      return;
    }
    case iscsi::ToControlKind::gate_taken:
      --gates_out_;
      return;
    case iscsi::ToControlKind::ended:
      EXPECT_FALSE(about.ended.has_value()) << "ended twice";
      about.ended = message;
      provoked.reasons[static_cast<std::size_t>(message.reason)] = true;
      provoked.errors[static_cast<std::size_t>(message.protocol_error)] = true;
      return;
    case iscsi::ToControlKind::commands_drained:
    case iscsi::ToControlKind::queue_detached:
      return;
  }
}

std::vector<iscsi::Slab> Script::pdus_for_control() { return std::exchange(for_control_, {}); }

std::size_t Script::messages(iscsi::ToControlKind kind) const {
  return static_cast<std::size_t>(
      std::count_if(messages_.begin(), messages_.end(),
                    [&](const auto& message) { return message.kind == kind; }));
}

void Script::host_events() {
  std::array<tcp::Event, 16> events;
  const std::size_t count = host_.engine.take_events(events);
  for (std::size_t i = 0; i < count; ++i) {
    Peer& from = peers_[events[i].owner];
    if ((events[i].bits & tcp::kEstablished) != 0) from.tcp = events[i].id;
    if ((events[i].bits & tcp::kEnded) != 0) host_.engine.release(events[i].id);
  }
  for (Peer& from : peers_) {
    const std::uint32_t readable = from.stopped ? 0 : host_.engine.readable(from.tcp);
    if (readable == 0) continue;
    const std::size_t at = from.stream.size();
    from.stream.resize(at + readable);
    host_.engine.peek(from.tcp, std::span{from.stream}.subspan(at));
    host_.engine.consume(from.tcp, readable);
    parse(from);
  }
}

bool Script::turn() {
  bool busy = worker_->poll_once(wire_.now()) != 0;
  iscsi::ToControl message;
  while (link_.to_control.pop(message)) {
    handle(message);
    busy = true;
  }
  reap();
  busy |= host_.turn(wire_.now()) != 0;
  host_events();
  busy |= host_.send(wire_.now()) != 0;
  return busy;
}

/// Turns until `limit` has passed; if `quiet` is not zero, only until nothing is due for so long.
void Script::play(Duration limit, Duration quiet) {
  const Instant end = wire_.now() + limit;
  for (std::size_t idle = 0;;) {
    idle = turn() ? 0 : idle + 1;
    if (idle < 2) continue;
    const Instant next =
        std::min({wire_.next_event(), worker_->next_deadline(), host_.next_deadline()});
    if (next > end) break;
    if (quiet != Duration::zero() && next > wire_.now() + quiet) return;
    wire_.advance(std::max(next, wire_.now() + 1us));
  }
  wire_.advance(std::max(end, wire_.now()));
  turn();
}

// Delayed acknowledgements (10 ms) belong to the present, retransmissions do not.
void Script::settle() { play(1s, 12ms); }
void Script::run_for(Duration duration) { play(duration, Duration::zero()); }

Bytes Script::stream_of(std::vector<Pdu> pdus) {
  Peer& to = peer();
  Bytes stream;
  for (Pdu& pdu : pdus) {
    if (pdu.stat != Stat::left) {
      const bool advances = pdu.stat == Stat::advances;
      pdu.stat_sn(to.stat_sn);
      if (advances) ++to.stat_sn;
    }
    if (pdu.fills_window) pdu.window(to.next_cmd_sn, to.next_cmd_sn + to.window - 1);
    const Bytes bytes = pdu.bytes(to.entered && to.parameters.header_digest,
                                  to.entered && to.parameters.data_digest);
    stream.insert(stream.end(), bytes.begin(), bytes.end());
  }
  return stream;
}

void Script::receive(std::vector<Pdu> pdus) {
  pour(stream_of(std::move(pdus)));
  settle();
}

void Script::pour(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const tcp::SendSpace space = host_.engine.send_space(peer().tcp);
    const std::size_t part =
        space.descriptors == 0 ? 0 : std::min<std::size_t>(bytes.size(), space.inline_bytes);
    if (part == 0) {
      if (host_.engine.state(peer().tcp) == tcp::State::closed)
        return;  // the worker has ended it meanwhile
      run_for(1ms);
      continue;
    }
    host_.engine.send_inline(peer().tcp, bytes.first(part));
    bytes = bytes.subspan(part);
  }
}

void Script::close_from_target(bool reset) {
  reset ? host_.engine.abort(peer().tcp, wire_.now()) : host_.engine.close(peer().tcp, wire_.now());
  settle();
}

}  // namespace pollux::script
