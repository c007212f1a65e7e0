#include "tests/support/engine_inspector.hpp"

#include <fmt/format.h>

namespace pollux::sim {
namespace {

using tcp::Connection;
using tcp::State;
using tcp::TimerKind;

/// A long queue is looked through in one of so many checks.
constexpr std::uint64_t kThorough = 64;

bool timer_runs(const Connection& c) {
  return c.timer_kind != TimerKind::none && c.timer_at != kNever && c.timer.armed() &&
         c.timer.deadline <= c.timer_at;
}

bool deadline_runs(const Connection& c, Instant at) {
  return at != kNever && c.timer.armed() && c.timer.deadline <= at;
}

}  // namespace

EngineChecks::EngineChecks(const tcp::Engine& engine)
    : engine_(engine), impl_(tcp::EngineInspector::of(engine)), memory_(impl_.limits.connections) {}

std::string EngineChecks::after_input() {
  ++checks_;
  connections_ = engine_.open_connections();
  std::size_t views = 0;
  for (std::uint32_t slot = 0; slot < impl_.limits.connections; ++slot) {
    const Connection& c = impl_.connections[slot];
    if (!c.in_use) continue;
    for (std::uint32_t i = c.received.head; i != c.received.tail; ++i)
      views += impl_.copies.owns(c.received.at(i).handle) ? 0u : 1u;
    for (std::uint32_t i = 0; i < c.reassembly.count(); ++i)
      views += impl_.copies.owns(c.reassembly[i].handle) ? 0u : 1u;
    if (c.state == State::closed) continue;
    see(c);
    if (std::string what = check(c, memory_[slot]); !what.empty())
      return fmt::format("slot {} in state {}: {}", slot, static_cast<int>(c.state), what);
  }
  if (views != impl_.views_held)
    return fmt::format("views_held is {}, the queues hold {} buffers", impl_.views_held, views);
  return {};
}

std::string EngineChecks::after_output() {
  // RFC 8257 3.2 wants one more for every change of the CE mark.
  const std::uint64_t pure =
      impl_.counters.pure_acks_sent.get() - impl_.counters.ecn_change_acks.get();
  const std::uint64_t sent = pure - pure_acks_;
  pure_acks_ = pure;
  // Some may have been let go since, with their last acknowledgment.
  const std::size_t connections = std::max(connections_, engine_.open_connections());
  if (sent > connections + 1)
    return fmt::format("{} pure ACKs in one burst for {} connections", sent, connections);
  for (std::uint32_t slot = 0; slot < impl_.limits.connections; ++slot) {
    const Connection& c = impl_.connections[slot];
    if (!c.in_use || c.state == State::closed || c.dirty) continue;
    if (std::string what = check_no_stall(c); !what.empty())
      return fmt::format("slot {} in state {} stalls: {}", slot, static_cast<int>(c.state), what);
  }
  return {};
}

void EngineChecks::see(const Connection& c) {
  sightings_.states |= 1u << static_cast<unsigned>(c.state);
  if (!tcp::is_synchronized(c.state)) return;
  if (c.phase == tcp::Phase::fast_recovery) ++(c.sack_ok ? sightings_.sack : sightings_.newreno);
  if (c.phase == tcp::Phase::loss) ++sightings_.loss;
  if (c.phase == tcp::Phase::open && c.dupacks != 0 && c.dupacks < 3) ++sightings_.limited;
  if (c.snd_wnd == 0) ++sightings_.zero_windows;
  if (c.rcv_wnd() == 0 && tcp::may_receive(c.state)) ++sightings_.own_zero;
}

std::string EngineChecks::check(const Connection& c, Memory& memory) {
  if (!tcp::is_synchronized(c.state)) {
    memory.synchronized = false;
    return {};
  }
  if (!memory.synchronized || memory.generation != c.generation) {
    memory = {c.generation, c.rcv_edge, c.snd_una + c.snd_wnd, true};
  }
  // RFC 9293 3.8.6 SHLD-14.
  if (c.rcv_edge.precedes(memory.rcv_edge))
    return fmt::format("the right edge moved left by {}",
                       memory.rcv_edge.distance_from(c.rcv_edge));
  memory.rcv_edge = c.rcv_edge;
  const std::uint32_t unit = 1u << c.rcv_wnd_shift;
  const std::uint32_t most = std::max(impl_.limits.receive_window_bytes, 0xffffu) + unit;
  if (c.rcv_wnd() > most)
    return fmt::format("the window of {} is wider than {}", c.rcv_wnd(), most);
  if (!c.snd_una.precedes_or_is(c.snd_nxt)) return "snd_una is above snd_nxt";
  const TcpSeq edge = c.snd_una + c.snd_wnd;
  if (memory.snd_edge.precedes(edge)) memory.snd_edge = edge;
  const bool has_fin = c.fin_sent;
  const TcpSeq allowed = memory.snd_edge + (has_fin ? 1u : 0u);
  if (!c.snd_nxt.precedes_or_is(allowed))
    return fmt::format("snd_nxt is {} beyond the window", c.snd_nxt.distance_from(allowed));
  if (c.congestion.cwnd == 0) return "cwnd is zero";
  if (c.scoreboard.size() < 64 || checks_ % kThorough == 0)
    if (std::string what = check_scoreboard(c); !what.empty()) return what;
  if (c.received.size() < 64 || checks_ % kThorough == 0) return check_queues(c);
  return {};
}

/// RFC 2018 and 6675: the runs lie side by side from snd_una to snd_nxt and the sums are theirs.
std::string EngineChecks::check_scoreboard(const Connection& c) const {
  const tcp::Scoreboard& board = c.scoreboard;
  if (board.empty()) return {};
  std::uint64_t sacked = 0;
  std::uint64_t lost = 0;
  std::uint64_t resent = 0;
  std::uint32_t at = c.snd_una.raw();
  for (std::uint32_t i = 0; i < board.size(); ++i) {
    const tcp::Transmission& run = board[i];
    if (run.start != at || run.end == run.start || run.bytes() > c.flight())
      return fmt::format("run {} of {} of the scoreboard lies wrong", i, board.size());
    if (run.sacked && (run.lost || run.resent)) return "a reported run is lost or resent as well";
    at = run.end;
    if (run.sacked) sacked += run.bytes();
    if (run.lost) lost += run.bytes();
    if (run.resent) resent += run.bytes();
  }
  if (at != c.snd_nxt.raw()) return "the scoreboard does not end at snd_nxt";
  if (sacked != board.sacked_bytes() || lost != board.lost_bytes() ||
      resent != board.resent_bytes())
    return "the sums of the scoreboard are wrong";
  return {};
}

std::string EngineChecks::check_queues(const Connection& c) const {
  std::uint64_t readable = 0;
  for (std::uint32_t i = c.received.head; i != c.received.tail; ++i)
    readable += c.received.at(i).length;
  if (readable != c.readable) return "readable is not the sum of the views";
  // RFC 7323 2.4: each ACK may round the edge up to a whole unit.
  const std::uint64_t rounding = std::uint64_t{impl_.limits.receive_views + 1} << c.rcv_wnd_shift;
  if (c.readable > std::max(impl_.limits.receive_window_bytes, 0xffffu) + rounding)
    return fmt::format("{} bytes are kept, more than was ever offered", c.readable);
  const std::uint32_t wnd = c.rcv_wnd();
  std::uint32_t at = 0;
  for (std::uint32_t i = 0; i < c.reassembly.count(); ++i) {
    const std::uint32_t from = c.reassembly[i].start - c.rcv_nxt.raw();
    if (from < at || c.reassembly[i].length == 0 || from + c.reassembly[i].length > wnd)
      return fmt::format(
          "piece {} of {} of the reassembly queue lies wrong: {} bytes at {}, {} free", i,
          c.reassembly.count(), c.reassembly[i].length, static_cast<std::int32_t>(from), wnd);
    at = from + c.reassembly[i].length;
  }
  if (c.inline_bytes.space() > impl_.limits.send_inline_bytes) return "inline ring overrun";
  if (c.queue.empty() || !tcp::may_send(c.state)) return {};
  TcpSeq next{c.queue.at(c.queue.head).start};
  if (!next.precedes_or_is(c.snd_una)) return "the send queue starts above snd_una";
  for (std::uint32_t i = c.queue.head; i != c.queue.tail; ++i) {
    if (TcpSeq{c.queue.at(i).start} != next) return "the send queue has a gap";
    next += c.queue.at(i).length;
  }
  if (next != c.snd_end) return "the send queue does not end at snd_end";
  return {};
}

std::string EngineChecks::check_no_stall(const Connection& c) const {
  if (c.events_queued == false && c.event_bits != 0 && !c.released) return "an event is not queued";
  if (!tcp::is_synchronized(c.state))
    return timer_runs(c) || deadline_runs(c, c.limit_at) ? "" : "no timer of the handshake";
  if (c.state == State::time_wait) return {};  // its record has the time
  const bool is_held = c.ack_held && c.dirty;
  if (c.ack_held && !c.dirty) return "a held acknowledgment that no output pass will look at";
  if (c.ack_pending_bytes != 0 && !c.ack_now && !is_held && !deadline_runs(c, c.ack_at))
    return "received bytes wait for an acknowledgment that no timer sends";
  if (c.ack_now) return "an acknowledgment is due";
  // RFC 9293 3.8.6.2.2: a reader that has made half of the buffer free has told the peer so.
  const std::uint32_t buffer = impl_.limits.receive_window_bytes;
  const std::uint32_t could_offer = std::min(impl_.free_window(c), 0xffffu << c.rcv_wnd_shift);
  // Without a neighbour to send it to the timer tries again (RFC 1122 4.2.3.9).
  const bool has_route =
      c.route_known && c.route_generation == impl_.interface.neighbour_generation();
  if (tcp::may_receive(c.state) && engine_.open_connections() == 1 && c.rcv_wnd() < c.rcv_mss &&
      has_route && could_offer >= c.rcv_wnd() + std::max<std::uint32_t>(buffer / 2, 2u * c.rcv_mss))
    return "the window stays closed although there is room";
  if (!tcp::may_send(c.state)) return {};
  if (c.flight() != 0 && !timer_runs(c)) return "data in flight and no timer";
  const bool waits = c.unsent() != 0 || (c.fin_queued && !c.fin_sent);
  if (waits && c.flight() == 0 && !timer_runs(c)) return "data to send, none in flight, no timer";
  if (waits && c.snd_wnd == 0 && c.flight() == 0 && c.timer_kind != TimerKind::persist)
    return "a closed window and no persist timer";
  // RFC 9293 3.8.6.2.1: a whole segment that window and congestion window take must have gone.
  const std::uint32_t room = c.snd_wnd > c.flight() ? c.snd_wnd - c.flight() : 0;
  const bool has_place = c.scoreboard.size() + 128 < impl_.limits.transmissions;
  if (c.phase == tcp::Phase::open && c.unsent() >= c.mss && room >= c.mss && has_place &&
      has_route && c.congestion.cwnd >= c.pipe() + c.mss && c.timer_kind != TimerKind::persist)
    return "a whole segment could go and does not";
  return {};
}

}  // namespace pollux::sim
