#include "tests/sim/seed_hits.hpp"

#include "dataplane/net/counters.hpp"
#include "dataplane/tcp/counters.hpp"

namespace pollux::sim {
namespace {

using Record = const SeedRecord&;

template <auto Member>
std::uint64_t wire(Record r) {
  return r.wire_hits(Member);
}

template <IncidentKind Kind>
std::uint64_t incident(Record r) {
  return r.incidents[static_cast<std::size_t>(Kind)];
}

template <auto Member>
std::uint64_t peer(Record r) {
  return r.peer == nullptr ? 0 : r.peer->hits().*Member;
}

template <auto Member>
std::uint64_t port(Record r) {
  std::uint64_t sum = 0;
  for (const EngineSide* engine : r.engines) sum += engine->host.port.hits().*Member;
  return sum;
}

template <auto Member>
std::uint64_t seen(Record r) {
  std::uint64_t sum = 0;
  for (const EngineSide* engine : r.engines) sum += engine->checks.sightings().*Member;
  return sum;
}

/// Seeds in which an engine was in the state.
template <tcp::State State>
std::uint64_t state(Record r) {
  for (const EngineSide* engine : r.engines)
    if ((engine->checks.sightings().states >> static_cast<unsigned>(State) & 1) != 0) return 1;
  return 0;
}

std::uint64_t pool_empty(Record r) {
  std::uint64_t sum = 0;
  for (const EngineSide* engine : r.engines) sum += engine->host.memory.allocations_failed();
  return sum;
}

#define POLLUX_TCP(name) [](Record r) { return r.tcp("tcp_" name "_total"); }  // one line a row

// One line for each thing that must have happened.
constexpr HitRow kRows[] = {
    {"fault", "frames lost", wire<&WireHits::dropped>},
    {"fault", "lost in bursts (Gilbert-Elliott)", wire<&WireHits::burst_dropped>},
    {"fault", "lost by number", wire<&WireHits::nth_dropped>},
    {"fault", "queue full", wire<&WireHits::queue_dropped>},
    {"fault", "link down", wire<&WireHits::link_dropped>},
    {"fault", "duplicated", wire<&WireHits::duplicated>},
    {"fault", "reordered", wire<&WireHits::reordered>},
    {"fault", "jittered", wire<&WireHits::jittered>},
    {"fault", "corrupted", wire<&WireHits::corrupted>},
    {"fault", "truncated", wire<&WireHits::truncated>},
    {"fault", "held back", wire<&WireHits::paused>},
    {"fault", "hardware address changed", incident<IncidentKind::change_mac>},
    {"fault", "sent to a former address", wire<&WireHits::stale_mac>},
    {"fault", "late transmit completions", port<&SimPortHits::tx_late>},
    {"fault", "partial transmit", port<&SimPortHits::tx_refused>},
    {"port", "large segments cut by the port", port<&SimPortHits::tx_large>},
    {"fault", "receive ring without buffers", port<&SimPortHits::rx_no_buffer>},
    {"fault", "frames received in pieces", port<&SimPortHits::rx_scattered>},
    {"fault", "allocations refused", pool_empty},
    {"fault", "frames not built for want of a buffer", POLLUX_TCP("pool_empty")},
    {"fault", "slow readers", incident<IncidentKind::slow_reader>},
    {"fault", "idle periods", incident<IncidentKind::idle>},
    {"fault", "stalled workers", incident<IncidentKind::worker_stalls>},
    {"fault", "peer forgets what it reported", peer<&ReferencePeerHits::reneged>},
    {"fault", "peer splits ACKs", peer<&ReferencePeerHits::split_acks>},
    {"fault", "peer repeats ACKs", peer<&ReferencePeerHits::dup_acks>},
    {"fault", "peer sends old ACKs", peer<&ReferencePeerHits::old_acks>},
    {"fault", "forged RST, SYN and ACK", peer<&ReferencePeerHits::forged>},
    {"fault", "peer shrinks its window", peer<&ReferencePeerHits::shrunk>},
    {"fault", "peer sends overlapping segments", peer<&ReferencePeerHits::overlapped>},
    {"fault", "peer sends beyond the window", peer<&ReferencePeerHits::beyond>},
    {"fault", "aborts",
     [](Record r) { return std::uint64_t{r.plan->ending >= Ending::client_aborts}; }},

    {"recovery", "timeouts", POLLUX_TCP("timeouts")},
    {"recovery", "fast recoveries", POLLUX_TCP("fast_recoveries")},
    {"recovery", "turns in recovery with SACK", seen<&Sightings::sack>},
    {"recovery", "turns in recovery without (NewReno)", seen<&Sightings::newreno>},
    {"recovery", "turns in recovery after a timeout", seen<&Sightings::loss>},
    {"recovery", "limited transmit", seen<&Sightings::limited>},
    {"recovery", "segments sent again", POLLUX_TCP("segments_retransmitted")},
    {"recovery", "losses found by RACK's timer", POLLUX_TCP("reordering_timeouts")},
    {"recovery", "rescue retransmissions", POLLUX_TCP("rescue_retransmissions")},
    {"recovery", "tail loss probes", POLLUX_TCP("tail_probes_sent")},
    {"recovery", "tail losses repaired", POLLUX_TCP("tail_losses_repaired")},
    {"recovery", "recoveries taken back (undo)", POLLUX_TCP("spurious_recoveries")},
    {"recovery", "D-SACKs received", POLLUX_TCP("dsacks_received")},
    {"recovery", "peer reneged", POLLUX_TCP("sack_reneging")},
    {"recovery", "window probes", POLLUX_TCP("window_probes_sent")},
    {"recovery", "window updates", POLLUX_TCP("window_updates_sent")},
    {"recovery", "peer's window closed", seen<&Sightings::zero_windows>},
    {"recovery", "own window closed", seen<&Sightings::own_zero>},
    {"recovery", "probes by the peer", peer<&ReferencePeerHits::probes>},
    {"recovery", "challenge ACKs", POLLUX_TCP("challenge_acks")},
    {"recovery", "resets sent", POLLUX_TCP("resets_sent")},
    {"recovery", "dropped by PAWS", POLLUX_TCP("dropped_paws")},
    {"recovery", "duplicate segments (D-SACK)", POLLUX_TCP("duplicate_segments")},
    {"recovery", "segments out of order", POLLUX_TCP("out_of_order_segments")},
    {"recovery", "outside of the window", POLLUX_TCP("dropped_outside_window")},
    {"recovery", "bad ACKs dropped", POLLUX_TCP("dropped_bad_ack")},
    {"recovery", "bad RSTs dropped", POLLUX_TCP("dropped_bad_reset")},
    {"recovery", "SYNs in a connection dropped", POLLUX_TCP("dropped_syn_in_connection")},
    {"recovery", "receive queue full", POLLUX_TCP("dropped_receive_queue_full")},
    {"recovery", "reassembly queue full", POLLUX_TCP("dropped_out_of_order_full")},
    {"recovery", "TCP checksum wrong", [](Record r) { return r.net("drop_tcp_checksum"); }},
    {"recovery", "neighbour moved", [](Record r) { return r.net("arp_changed"); }},
    {"recovery", "simultaneous open", [](Record r) { return std::uint64_t{r.plan->both_open}; }},
    {"recovery", "simultaneous close", state<tcp::State::closing>},

    {"state", "SYN-SENT", state<tcp::State::syn_sent>},
    {"state", "SYN-RECEIVED", state<tcp::State::syn_received>},
    {"state", "ESTABLISHED", state<tcp::State::established>},
    {"state", "FIN-WAIT-1", state<tcp::State::fin_wait_1>},
    {"state", "FIN-WAIT-2", state<tcp::State::fin_wait_2>},
    {"state", "CLOSE-WAIT", state<tcp::State::close_wait>},
    {"state", "CLOSING", state<tcp::State::closing>},
    {"state", "LAST-ACK", state<tcp::State::last_ack>},
    {"state", "TIME-WAIT", state<tcp::State::time_wait>},
};

#undef POLLUX_TCP

}  // namespace

std::uint64_t SeedRecord::tcp(std::string_view name) const {
  std::uint64_t sum = 0;
  for (const tcp::CounterRow& row : tcp::kCounterRows) {
    if (row.name != name) continue;
    for (const EngineSide* engine : engines)
      sum += (engine->host.engine.counters().*row.member).get();
  }
  return sum;
}

std::uint64_t SeedRecord::net(std::string_view name) const {
  std::uint64_t sum = 0;
  for (const net::CounterDescription& row : net::kCounterDescriptions) {
    if (row.name != name) continue;
    for (const EngineSide* engine : engines)
      sum += (engine->host.interface.counters().*row.counter).get();
  }
  return sum;
}

std::span<const HitRow> hit_rows() { return kRows; }

std::uint64_t faults_of(const SeedRecord& record) {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : record.incidents) sum += count;
  for (const HitRow& row : kRows)
    if (row.group == "fault" && row.name != "jittered" && row.name != "late transmit completions" &&
        row.name != "frames received in pieces")
      sum += row.count(record);
  return sum;
}

}  // namespace pollux::sim
