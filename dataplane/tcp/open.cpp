// Opening: ports, SYN options and the handshake on either side.
// Read first: RFC 9293 3.5, 3.7.1 and 3.10.7.3, RFC 6056 3.3, RFC 7323 2 and 3.
#include <algorithm>

#include "dataplane/tcp/engine_impl.hpp"
#include "dataplane/tcp/listener.hpp"

namespace pollux::tcp {
namespace {

constexpr std::uint16_t kDefaultPeerMss = 536;    // RFC 9293 3.7.1 MUST-15, over IPv4
constexpr std::uint16_t kDefaultPeerMss6 = 1220;  // and over IPv6
constexpr std::uint16_t kPeerMssMin = 88;         // a smaller offer would make us send dust

constexpr std::uint32_t kFirstPort = 32768;  // RFC 6056 3.2 asks for a range as wide as can be had
constexpr std::uint32_t kPortCount = 65536 - kFirstPort;
constexpr std::uint16_t kLeastPort = 1024;  // below are the well-known ones

}  // namespace

Connection* Engine::Impl::lookup(const net::IpAddress& remote, std::uint16_t remote_port,
                                 std::uint16_t local_port) noexcept {
  const std::uint32_t hash = flows.hash(remote, remote_port, local_port);
  const std::uint32_t slot = flows.find(hash, [&](std::uint32_t candidate) {
    const Connection& c = connections[candidate];
    return c.local_port == local_port && c.remote.port == remote_port && c.remote.address == remote;
  });
  return slot == kNoSlot ? nullptr : &connections[slot];
}

/// No connection has the tuple, and none that had it is in TIME-WAIT.
bool Engine::Impl::is_port_free(const net::Endpoint& remote, std::uint16_t port) noexcept {
  if (lookup(remote.address, remote.port, port) != nullptr) return false;
  return time_wait.size() == 0 || !time_wait.contains(time_wait.tuple(remote, port));
}

/// `candidate`, or what the port policy makes of it; 0 when it cannot be had.
std::uint16_t Engine::Impl::judge_port(const net::Endpoint& remote,
                                       std::uint16_t candidate) noexcept {
  if (!is_port_free(remote, candidate)) return 0;
  if (port_policy.choose == nullptr) return candidate;
  const std::uint16_t port = port_policy.choose(port_policy.context, remote, candidate);
  return port == candidate || (port >= kLeastPort && is_port_free(remote, port)) ? port : 0;
}

std::uint16_t Engine::Impl::choose_port(const net::Endpoint& remote) noexcept {
  // RFC 6056 3.3.1: a random start, then onwards; every try is a fresh draw until luck runs out.
  for (int tries = 0; tries < 64; ++tries) {
    const auto candidate = static_cast<std::uint16_t>(kFirstPort + random.below(kPortCount));
    if (const std::uint16_t port = judge_port(remote, candidate); port != 0) return port;
  }
  const std::uint32_t start = random.below(kPortCount);
  for (std::uint32_t i = 0; i < kPortCount; ++i) {
    const auto candidate = static_cast<std::uint16_t>(kFirstPort + (start + i) % kPortCount);
    if (const std::uint16_t port = judge_port(remote, candidate); port != 0) return port;
  }
  return 0;
}

OpenError Engine::Impl::open(const OpenRequest& request, Instant now, ConnectionId& id) noexcept {
  net::Route route;
  if (interface.route(request.remote.address, now, route) == net::RouteState::unreachable)
    return OpenError::no_route;
  std::uint16_t port = request.local_port;
  if (port == 0) port = choose_port(request.remote);
  if (port == 0 || !is_port_free(request.remote, port)) return OpenError::no_free_port;
  Connection* c = take_slot();
  if (c == nullptr) return OpenError::no_free_connection;
  c->remote = request.remote;
  c->local_port = port;
  c->local = interface.source_for(request.remote.address);
  start(*c, request, now);
  c->state = State::syn_sent;
  counters.opened.add();
  id = {c->slot, c->generation};
  return OpenError::none;
}

void Engine::Impl::start(Connection& c, const OpenRequest& request, Instant now) noexcept {
  c.owner = request.owner;
  c.user_timeout = request.user_timeout;
  c.congestion.algorithm = limits.congestion.algorithm;
  c.keepalive = request.keepalive;
  set_iss(c, initial_sequence_number(isn_key, local_endpoint(c), c.remote, now));
  c.ts_offset = timestamp_offset(isn_key, local_endpoint(c), c.remote);
  c.rtt.rto = timers.rto_initial;
  c.progress_at = now;
  c.flow_hash = flows.hash(c.remote.address, c.remote.port, c.local_port);
  flows.insert(c.flow_hash, c.slot);
  c.in_flow_table = true;
  c.syn_pending = true;
  c.limit_at = now + request.connect_timeout;
  arm(c, c.limit_at);
  mark_dirty(c);
}

/// Before the SYN is out.
void Engine::Impl::set_iss(Connection& c, TcpSeq iss) noexcept {
  c.iss = c.snd_una = c.snd_nxt = iss;
  c.snd_end = iss + 1;
  c.recover = c.cwnd_limited_end = iss;
}

void Engine::Impl::set_mss(Connection& c) noexcept {
  // RFC 9293 3.7.1, RFC 6691: options are taken off what peer and path allow.
  const std::uint16_t path = static_cast<std::uint16_t>(c.path_mtu - c.header_bytes());
  const std::uint16_t options = c.ts_ok ? wire::kTimestampsBytes : 0;
  c.mss = static_cast<std::uint16_t>(std::min(c.peer_mss, path) - options);
  // The peer sends no larger segments than it takes: both ends have the same kind of link, as a
  // rule.
  c.rcv_mss = c.mss;
}

void Engine::Impl::take_syn_options(Connection& c, const Segment& segment, Instant now) noexcept {
  const wire::TcpOptions& options = segment.options;
  const std::uint16_t without = c.remote.address.is_v4() ? kDefaultPeerMss : kDefaultPeerMss6;
  c.peer_mss = options.has_mss ? options.mss : without;
  if (c.peer_mss < kPeerMssMin) {
    c.peer_mss = kPeerMssMin;
    counters.mss_clamped.add();
  }
  c.snd_wnd_shift = c.rcv_wnd_shift = 0;
  if (options.has_window_scale) {
    if (options.window_scale > wire::kWindowScaleMax) counters.window_scale_clamped.add();
    c.snd_wnd_shift = std::min(options.window_scale, wire::kWindowScaleMax);
    c.rcv_wnd_shift = window_shift;
  }
  c.sack_ok = options.sack_permitted;
  c.ts_ok = options.has_timestamps;
  if (c.ts_ok) {
    c.ts_recent = options.tsval;
    c.ts_recent_at = now;
  }
  negotiate_ecn(c, segment);
  c.irs = segment.seq;
  c.rcv_nxt = segment.seq + 1;
  c.last_ack_sent = c.rcv_nxt;
  // RFC 7323 2.2: the window of a SYN is never scaled, ours was no larger than 65535.
  c.rcv_edge = c.rcv_nxt + std::min(limits.receive_window_bytes, 0xffffu);
  c.snd_wnd = c.max_snd_wnd = segment.window;
  c.snd_wl1 = segment.seq;
  c.snd_wl2 = segment.ack;
}

bool Engine::Impl::accept_syn(const net::TcpDatagram& datagram, const net::Endpoint& remote,
                              std::uint16_t local_port, const Segment& segment,
                              Instant now) noexcept {
  OpenRequest request;
  if (!listener->on_syn({datagram.destination, local_port}, remote, request)) return false;
  Connection* c = take_slot();
  if (c == nullptr) {
    // Not refused: the peer asks again, and there may be room then.
    counters.dropped_no_slot.add();
    return true;
  }
  c->remote = remote;
  c->local_port = local_port;
  c->local = datagram.destination;
  c->is_passive = true;
  start(*c, request, now);
  c->state = State::syn_received;
  take_syn_options(*c, segment, now);
  counters.accepted.add();
  return true;
}

void Engine::Impl::input_syn_sent(Connection& c, Segment& segment, Instant now) noexcept {
  const bool ack_good =
      segment.has_ack() && c.snd_una.precedes(segment.ack) && segment.ack.precedes_or_is(c.snd_nxt);
  // RFC 9293 3.10.7.3, first step (an unacceptable ACK) was answered by the caller.
  // Second step: a RST counts only with an acceptable ACK.
  if (segment.rst()) {
    if (ack_good) return end(c, EndReason::refused);
    counters.dropped_bad_reset.add();
    return;
  }
  // Fourth step.
  if (!segment.syn()) {
    counters.dropped_unexpected_in_syn_sent.add();
    return;
  }
  take_syn_options(c, segment, now);
  if (!ack_good) {
    // RFC 9293 3.5, figure 7: both sides opened at once.
    c.state = State::syn_received;
    c.syn_pending = true;
    mark_dirty(c);
    return;
  }
  sample_rtt(c, {.ack = segment.ack, .tsecr = segment.options.tsecr, .has_timestamp = c.ts_ok},
             now);
  c.snd_una = segment.ack;
  c.snd_wl2 = segment.ack;
  on_established(c, now);
  request_ack(c);
  // Fifth step: data and FIN that came along are handled as in the synchronized states.
  segment.seq += 1;
  segment.flags = static_cast<std::uint8_t>(segment.flags & ~wire::kTcpSyn);
  if (segment.sequence_length() == 0 || !check_sequence(c, segment)) return;
  take_text(c, segment, now);
  take_fin(c, now);
}

void Engine::Impl::on_established(Connection& c, Instant now) noexcept {
  c.state = c.fin_queued ? State::fin_wait_1 : State::established;
  c.syn_pending = false;
  c.limit_at = kNever;
  c.progress_at = now;
  stop_timer(c);
  set_mss(c);
  c.rack.on_established(c.snd_una);
  c.congestion.on_established(c.mss, c.syn_lost);
  start_ecn(c);
  // RFC 6298 5.7: after a lost SYN the timer starts from 3 seconds, unless a sample was had.
  c.rtt.backoff = 0;
  if (c.syn_lost && !c.rtt.has_sample) c.rtt.rto = std::max<Duration>(c.rtt.rto, 3s);
  start_keepalive(c, now);
  counters.established.add();
  raise(c, kEstablished);
  mark_dirty(c);
}

}  // namespace pollux::tcp
