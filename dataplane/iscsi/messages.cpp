// Messages from control, and the connection's life from open to free_slot.
#include <algorithm>
#include <bit>
#include <utility>

#include "dataplane/iscsi/initiator.hpp"

namespace pollux::iscsi {

Initiator::Initiator(const InitiatorSetup& setup, std::span<const Path> paths,
                     platform::PacketMemory& memory, worker::Link& link, StageClock& stages,
                     Instant start)
    : setup_(setup),
      paths_(paths.begin(), paths.end()),
      memory_(memory),
      link_(link),
      stages_(stages),
      wheel_(start),
      tasks_(setup.limits.tasks, memory),
      snapshots_(setup.limits, setup.snapshot_area, memory, setup.limits.tasks),
      lent_budget_total_(setup.lent_budget_bytes),
      lent_budget_(setup.lent_budget_bytes),
      slab_count_(setup.limits.slabs),
      slabs_(new Slab[setup.limits.slabs]),
      free_slabs_(std::bit_ceil(setup.limits.slabs)),
      connections_(new Connection[setup.limits.connections]) {
  POLLUX_ASSERT(!paths_.empty());
  for (std::size_t i = 0; i < setup.limits.slabs; ++i) free_slabs_.push(&slabs_[i]);
  for (std::size_t i = 0; i < setup.limits.connections; ++i) {
    connections_[i].ref.slot = static_cast<std::uint16_t>(i);
    connections_[i].timer.owner_index = static_cast<std::uint32_t>(i);
  }
}

void Initiator::tell(const ToControl& message) noexcept {
  // The ring holds more than all connections together may have outstanding.
  const bool pushed = link_.to_control.push(message);
  POLLUX_ASSERT(pushed);
  pushed_to_control_ = true;
}

std::size_t Initiator::take_messages(Instant now) noexcept {
  const std::size_t count = link_.to_worker.pop(messages_);
  for (std::size_t i = 0; i < count; ++i) handle(messages_[i], now);
  // Slabs come back from control and from connections that were lost: who has waited longest takes
  // one.
  while (!free_slabs_.empty() && !starved_.empty()) {
    Connection& starved = *starved_.pop_front();
    starved.reader.waits_for_credit = false;
    read(starved, now);
  }
  return count;
}

void Initiator::handle(const ToWorker& message, Instant now) noexcept {
  switch (message.kind) {
    case ToWorkerKind::attach_queue:
      return attach(*static_cast<worker::CommandQueue*>(message.pointer));
    case ToWorkerKind::detach_queue:
      return detach(*static_cast<worker::CommandQueue*>(message.pointer));
    case ToWorkerKind::stop:
      stop_requested_ = true;
      return;
    default:
      break;
  }
  POLLUX_ASSERT(message.connection.slot < setup_.limits.connections);
  Connection& connection = connections_[message.connection.slot];

  // A slab or PDU changes hands whether or not its connection still exists.
  if (message.kind == ToWorkerKind::credit_return) {
    free_slabs_.push(static_cast<Slab*>(message.pointer));
    if (connection.ref == message.connection && connection.state != ConnectionState::free) {
      ++connection.credits;
      if (std::exchange(connection.reader.waits_for_credit, false)) {
        if (connection.starved_link.linked) starved_.remove(connection);
        read(connection, now);
      }
    }
    return;
  }
  if (message.kind == ToWorkerKind::open) return open(connection, message, now);

  const bool current = connection.ref == message.connection &&
                       connection.state != ConnectionState::free &&
                       connection.state != ConnectionState::ended;
  if (!current) counters_.late_messages_dropped.add();
  switch (message.kind) {
    case ToWorkerKind::send_pdu:
      if (current && !connection.control_pdus.full()) {
        connection.control_pdus.push(static_cast<ControlPdu*>(message.pointer));
        want_send(connection);
      } else {
        tell({.kind = ToControlKind::pdu_sent,
              .connection = message.connection,
              .pointer = message.pointer});
      }
      return;
    case ToWorkerKind::set_gate: {
      const auto* gate = static_cast<const Gate*>(message.pointer);
      if (current) set_gate(connection, *gate, now);
      tell({.kind = ToControlKind::gate_taken,
            .connection = message.connection,
            .pointer = message.pointer});
      if (current) read(connection, now);
      return;
    }
    case ToWorkerKind::resume_reader:
      if (current && std::exchange(connection.reader.waits_for_gate, false)) read(connection, now);
      return;
    case ToWorkerKind::close:
      if (current) {
        connection.state = ConnectionState::closing;
        connection.engine->close(connection.tcp, now);
      }
      return;
    case ToWorkerKind::abort:
      if (current) lose(connection, LossReason::requested, ProtocolError::none, now);
      return;
    case ToWorkerKind::refuse_commands:
      if (current) refuse_commands(connection);
      return;
    case ToWorkerKind::abort_commands:
      if (current) abort_commands(connection, now);
      return;
    case ToWorkerKind::free_slot:
      if (connection.ref == message.connection) free_slot(connection);
      return;
    case ToWorkerKind::open:
    case ToWorkerKind::credit_return:
    case ToWorkerKind::attach_queue:
    case ToWorkerKind::detach_queue:
    case ToWorkerKind::stop:
      return;
  }
}

const Path* Initiator::path_to(const net::IpAddress& address) const noexcept {
  // A port that is gone serves only to say so, when there is no other way.
  const Path* gone = nullptr;
  for (const bool direct : {true, false}) {
    for (const Path& path : paths_) {
      if (!(direct ? path.interface->on_link(address) : path.interface->has_gateway(address)))
        continue;
      if (!path.engine->is_port_removed()) return &path;
      if (gone == nullptr) gone = &path;
    }
  }
  return gone;
}

LossReason Initiator::no_way_to(const net::IpAddress& address,
                                const tcp::Engine& engine) const noexcept {
  for (const Path& path : paths_)
    if (path.engine == &engine && path.interface->is_refused_source(address))
      return LossReason::address_conflict;
  return LossReason::host_unreachable;
}

void Initiator::open(Connection& connection, const ToWorker& message, Instant now) noexcept {
  POLLUX_ASSERT(connection.state == ConnectionState::free);
  connection.ref = message.connection;
  connection.state = ConnectionState::connecting;
  connection.phase = Phase::login;
  connection.discovery = false;
  connection.peer_closed = false;
  connection.parameters = Parameters{};
  connection.credits = kCreditsPerConnection;
  connection.loss = LossReason::none;
  connection.loss_detail = ProtocolError::none;
  connection.session.id = message.session_id;
  connection.session.accepts_commands = false;
  connection.session.reports_drained = false;
  connection.session.expects_late_responses = false;
  connection.reader.stage = ReadStage::header;
  connection.reader.sink = DataSink::none;
  connection.reader.waits_for_gate = false;
  connection.reader.waits_for_credit = false;
  connection.ping_wanted = false;
  connection.last_received = now;

  const Path* path = path_to(message.remote.address);
  if (path == nullptr)
    return lose(connection, LossReason::host_unreachable, ProtocolError::none, now);
  connection.engine = path->engine;
  // The zone has chosen the link; on it, addresses have none.
  const net::Endpoint remote{message.remote.address.with_zone(0), message.remote.port};
  const tcp::OpenRequest request{
      .remote = remote, .owner = connection.ref.slot, .connect_timeout = message.connect_timeout};
  const tcp::OpenError error = connection.engine->open(request, now, connection.tcp);
  if (error == tcp::OpenError::none) return;
  connection.tcp = {};
  LossReason reason = LossReason::no_local_resources;
  if (error == tcp::OpenError::no_route) reason = no_way_to(remote.address, *connection.engine);
  if (error == tcp::OpenError::port_removed) reason = LossReason::port_removed;
  lose(connection, reason, ProtocolError::none, now);
}

void Initiator::set_gate(Connection& connection, const Gate& gate, Instant now) noexcept {
  connection.reader.waits_for_gate = false;
  const bool enters_full_feature =
      connection.phase == Phase::login && gate.phase == Phase::full_feature;
  connection.phase = gate.phase;
  connection.discovery = gate.discovery;
  connection.parameters = gate.parameters;
  if (!enters_full_feature) return;
  connection.session.window.start(gate.cmd_sn, gate.exp_cmd_sn, gate.max_cmd_sn);
  connection.session.accepts_commands = !gate.discovery;
  connection.exp_stat_sn = gate.exp_stat_sn;
  start_liveness(connection, now);
}

void Initiator::refuse_commands(Connection& connection) noexcept {
  connection.session.accepts_commands = false;
  connection.session.reports_drained = true;
  report_drained(connection);
}

void Initiator::abort_commands(Connection& connection, Instant now) noexcept {
  connection.session.accepts_commands = false;
  connection.session.expects_late_responses = true;
  end_tasks(connection, POLLUX_EABORTED, now);
  report_drained(connection);
}

void Initiator::free_slot(Connection& connection) noexcept {
  POLLUX_ASSERT(connection.state == ConnectionState::ended);
  connection.state = ConnectionState::free;
  connection.session.id = 0;
}

void Initiator::on_event(const tcp::Event& event, tcp::Engine& engine, Instant now) noexcept {
  POLLUX_ASSERT(event.owner < setup_.limits.connections);
  Connection& connection = connections_[event.owner];
  const bool current = connection.tcp == event.id && connection.engine == &engine &&
                       connection.state != ConnectionState::free &&
                       connection.state != ConnectionState::ended;
  if (!current) {
    // We aborted it earlier; TCP now says that it is over.
    if ((event.bits & tcp::kEnded) != 0) engine.release(event.id);
    return;
  }
  if ((event.bits & tcp::kEstablished) != 0 && connection.state == ConnectionState::connecting) {
    connection.state = ConnectionState::open;
    tell({.kind = ToControlKind::connected,
          .connection = connection.ref,
          .local_port = engine.local(event.id).port});
  }
  if ((event.bits & tcp::kReadable) != 0) {
    connection.last_received = now;
    read(connection, now);
    if (connection.state == ConnectionState::ended) return;
  }
  if ((event.bits & tcp::kSendSpace) != 0 && (event.bits & tcp::kEnded) == 0) {
    snapshots_.collect(connection.snapshots);
    want_send(connection);
  }
  if ((event.bits & tcp::kEnded) != 0) {
    LossReason reason = LossReason::requested;
    switch (engine.end_reason(event.id)) {
      case tcp::EndReason::refused:
        reason = LossReason::connect_refused;
        break;
      case tcp::EndReason::reset_by_peer:
        reason = LossReason::tcp_reset;
        break;
      case tcp::EndReason::connect_timeout:
        reason = LossReason::connect_timeout;
        break;
      case tcp::EndReason::user_timeout:
      case tcp::EndReason::keepalive_timeout:
        reason = LossReason::tcp_timeout;
        break;
      case tcp::EndReason::host_unreachable:
        reason = no_way_to(engine.remote(event.id).address, engine);
        break;
      case tcp::EndReason::port_removed:
        reason = LossReason::port_removed;
        break;
      case tcp::EndReason::none:
      case tcp::EndReason::closed:
      case tcp::EndReason::aborted:
        if (connection.state != ConnectionState::closing) reason = LossReason::tcp_closed_by_peer;
        break;
    }
    return lose(connection, reason, ProtocolError::none, now);
  }
  if ((event.bits & tcp::kPeerClosed) != 0) {
    connection.peer_closed = true;
    lose(connection,
         connection.state == ConnectionState::closing ? LossReason::requested
                                                      : LossReason::tcp_closed_by_peer,
         ProtocolError::none, now);
  }
}

}  // namespace pollux::iscsi
