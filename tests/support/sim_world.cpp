#include "tests/support/sim_world.hpp"

#include <algorithm>
#include <bit>

#include "control/session/logout.hpp"

namespace pollux::sim {
namespace {

constexpr net::IpAddress kTargetAddress = net::IpAddress::v4(10, 99, 0, 1);

SimPortOptions with_mac(SimPortOptions options, std::uint8_t last) {
  options.mac = {0x02, 0, 0, 0, 0, last};
  return options;
}

HeapPacketMemoryOptions memory_for(const SimPortOptions& port, std::size_t trackers) {
  return {.buffers = 16384, .buffer_bytes = port.mtu + 200u, .trackers = trackers};
}

iscsi::Parameters to_parameters(const session::OperationalParameters& agreed) {
  return {.header_digest = agreed.header_digest,
          .data_digest = agreed.data_digest,
          .initial_r2t = agreed.initial_r2t,
          .immediate_data = agreed.immediate_data,
          .data_pdu_in_order = agreed.data_pdu_in_order,
          .data_sequence_in_order = agreed.data_sequence_in_order,
          .max_outstanding_r2t = agreed.max_outstanding_r2t,
          .max_recv_data_segment_length = agreed.max_recv_data_segment_length,
          .target_max_recv_data_segment_length = agreed.target_max_recv_data_segment_length,
          .max_burst_length = agreed.max_burst_length,
          .first_burst_length = agreed.first_burst_length};
}

}  // namespace

SimWorld::SimWorld(const WorldOptions& options)
    : wire(options.seed, Instant{1000s}),
      initiator_memory(
          memory_for(options.initiator_port, iscsi::Initiator::trackers_needed(options.limits))),
      target_memory(memory_for(options.target_port, 4096)),
      initiator_port(wire, 0, initiator_memory, with_mac(options.initiator_port, 2)),
      target_port(wire, 1, target_memory, with_mac(options.target_port, 1)),
      link(options.limits.connections),
      snapshot_area(iscsi::SnapshotPool::bytes_needed(options.limits)),
      logins_(options.limits.connections) {
  worker::WorkerSetup setup;
  setup.ports = {{.port = &initiator_port, .addressing = options.addressing}};
  setup.tcp_limits.connections =
      static_cast<std::uint32_t>(std::bit_ceil(options.limits.connections * 2));
  setup.iscsi = {.limits = options.limits,
                 .timeouts = options.timeouts,
                 .lent_budget_bytes = options.lent_budget_bytes,
                 .snapshot_area = snapshot_area};
  setup.random_seed = options.seed;
  worker = std::make_unique<worker::Worker>(setup, initiator_memory, link, wire.now());

  target::TargetOptions target_options;
  target_options.target = options.target;
  target_options.interface.address = kTargetAddress;
  target_options.seed = options.seed + 1;
  target = std::make_unique<target::Target>(target_options, target_port, target_memory, wire.now());
}

SimWorld::~SimWorld() {
  wire.heal();
  target->shut_down(wire.now());
  run_for(1s);
  worker.reset();
  target.reset();
}

bool SimWorld::turn() {
  bool busy = worker->poll_once(wire.now()) != 0;
  iscsi::ToControl message;
  while (link.to_control.pop(message)) {
    handle(message);
    busy = true;
  }
  busy |= target->poll_once(wire.now());
  return busy;
}

bool SimWorld::run_until(const std::function<bool()>& done, Duration limit) {
  const Instant end = wire.now() + limit;
  for (std::size_t idle = 0; !done();) {
    idle = turn() ? 0 : idle + 1;
    if (idle < 2) continue;
    const Instant next =
        std::min({wire.next_event(), worker->next_deadline(), target->next_deadline()});
    if (next >= end) {
      wire.advance(std::max(end, wire.now()));  // a late timer may have stepped beyond it
      turn();
      return done();
    }
    wire.advance(std::max(next, wire.now() + 1us));
  }
  return true;
}

void SimWorld::run_for(Duration duration) {
  run_until([] { return false; }, duration);
}

void SimWorld::send(const iscsi::ToWorker& message) { POLLUX_ASSERT(link.to_worker.push(message)); }

std::optional<iscsi::ToControl> SimWorld::take_message() {
  if (messages_.empty()) return std::nullopt;
  const iscsi::ToControl message = messages_.front();
  messages_.erase(messages_.begin());
  return message;
}

void SimWorld::send_pdu(std::uint16_t slot, const session::OutgoingPdu& pdu, bool closes_reader) {
  auto out = std::make_unique<iscsi::ControlPdu>();
  out->bhs = pdu.bhs;
  out->length = static_cast<std::uint32_t>(pdu.data.size());
  out->closes_reader = closes_reader;
  std::copy(pdu.data.begin(), pdu.data.end(), out->data.begin());
  send({.kind = iscsi::ToWorkerKind::send_pdu,
        .connection = logins_[slot].connection,
        .pointer = out.get()});
  pdus_.push_back(std::move(out));
}

void SimWorld::handle(const iscsi::ToControl& message) {
  if (message.kind == iscsi::ToControlKind::pdu_sent) {
    std::erase_if(pdus_, [&](const auto& pdu) { return pdu.get() == message.pointer; });
    return;
  }
  LoginState& state = logins_[message.connection.slot];
  if (message.kind == iscsi::ToControlKind::connected && state.login != nullptr) {
    return send_pdu(message.connection.slot, state.login->start());
  }
  if (message.kind == iscsi::ToControlKind::pdu) {
    auto* slab = static_cast<iscsi::Slab*>(message.pointer);
    on_pdu(state, *slab);
    return send({.kind = iscsi::ToWorkerKind::credit_return,
                 .connection = message.connection,
                 .pointer = slab});
  }
  if (message.kind == iscsi::ToControlKind::gate_taken) return;
  if (message.kind == iscsi::ToControlKind::ended) {
    state.ended = true;
    send({.kind = iscsi::ToWorkerKind::free_slot, .connection = message.connection});
  }
  messages_.push_back(message);
}

void SimWorld::on_pdu(LoginState& state, iscsi::Slab& slab) {
  if (slab.bhs.op() == wire::Opcode::logout_response) {
    state.logged_out = true;
    return send({.kind = iscsi::ToWorkerKind::close, .connection = state.connection});
  }
  if (slab.bhs.op() != wire::Opcode::login_response || state.login == nullptr) return;
  const session::LoginStep step = state.login->on_pdu(slab.bhs, {slab.data.data(), slab.length});
  if (const auto* next = std::get_if<session::SendPdu>(&step)) {
    send_pdu(state.connection.slot, next->pdu);
    return send({.kind = iscsi::ToWorkerKind::resume_reader, .connection = state.connection});
  }
  if (const auto* success = std::get_if<session::LoginSucceeded>(&step)) {
    state.gate = {.phase = iscsi::Phase::full_feature,
                  .discovery = false,
                  .parameters = to_parameters(success->result.parameters),
                  .cmd_sn = success->result.cmd_sn,
                  .exp_cmd_sn = success->result.exp_cmd_sn,
                  .max_cmd_sn = success->result.max_cmd_sn,
                  .exp_stat_sn = success->result.exp_stat_sn};
    send({.kind = iscsi::ToWorkerKind::set_gate,
          .connection = state.connection,
          .pointer = &state.gate});
    state.logged_in = true;
  }
  state.login.reset();
}

bool SimWorld::log_in(std::uint16_t slot, const session::Offer& offer, session::SessionType type) {
  LoginState& state = logins_[slot];
  const std::uint32_t epoch = state.connection.epoch + 1;
  state = LoginState{};
  state.connection = {.slot = slot, .reserved = 0, .epoch = epoch};
  session::LoginOptions options;
  options.initiator_name = "iqn.2026-11.io.pollux:sim";
  if (type == session::SessionType::normal) options.target_name = "iqn.2026-01.org.pollux:disk";
  options.session_type = type;
  options.isid = {0x80, 0, 0, 0, 0, static_cast<std::uint8_t>(slot)};
  options.initiator_task_tag = 1;
  options.cmd_sn = CmdSn{0xffff'fffa};  // the wrap is exercised every day
  options.offer = offer;
  state.login = std::make_unique<session::Login>(options);
  send({.kind = iscsi::ToWorkerKind::open,
        .connection = state.connection,
        .session_id = session_id(slot),
        .remote = {kTargetAddress, 3260},
        .connect_timeout = 15s});
  return run_until([&] { return state.logged_in || state.ended; }) && state.logged_in;
}

bool SimWorld::log_out(std::uint16_t slot) {
  LoginState& state = logins_[slot];
  const auto request = session::build_logout_request(session::LogoutReason::close_session, 0);
  send_pdu(slot, {.bhs = std::bit_cast<wire::Bhs>(request), .data = {}}, true);
  return run_until([&] { return state.ended; }) && state.logged_out;
}

}  // namespace pollux::sim
