#include "tests/sim/seed_plan.hpp"

#include <algorithm>

namespace pollux::sim {
namespace {

constexpr std::array<std::uint8_t, 4> kAddress0{10, 99, 0, 1};
constexpr std::uint32_t kIscsiHeader = 48;

bool one_in(Random& random, std::uint32_t n) { return random.below(n) == 0; }

Duration between(Random& random, Duration least, Duration most) {
  const auto range = static_cast<std::uint64_t>((most - least).count()) + 1;
  return least + Duration(static_cast<Duration::rep>(random.next() % range));
}

std::uint16_t draw_mtu(Random& random) {
  constexpr std::array<std::uint16_t, 10> kMtus{576,  1280, 1500, 1500, 1500,
                                                1500, 4000, 9000, 9000, 9000};
  return kMtus[random.below(kMtus.size())];
}

/// Ports that cut large segments, or cannot read what is not the stack's own. From numbers of its
/// own: what was drawn for a seed before stays.
void draw_offloads(SimPortOptions& port, Random random) {
  port.tx_external = !one_in(random, 8);
  if (!port.tx_checksum || one_in(random, 3)) return;
  port.tso_bytes_max = one_in(random, 2) ? 65'415 : 3'000 + random.below(20'000);
  // A port takes whole frames: one that it could never take would stand in the way for ever.
  const std::size_t pieces = port.tx_segments_max + random.below(9);
  port.tso_segments_max = static_cast<std::uint8_t>(std::min(pieces, port.transmit_most));
}

TcpHostOptions draw_host(std::uint8_t number, std::uint16_t mtu, Random& random) {
  TcpHostOptions options;
  options.seed = random.next();
  options.config.address = net::IpAddress::v4(10, 99, 0, number);
  SimPortOptions& port = options.port;
  port.mac = {2, 0, 0, 0, 0, number};
  port.mtu = mtu;
  port.tx_checksum = one_in(random, 2);
  port.rx_checksum = one_in(random, 2) ? RxChecksum::unknown : RxChecksum::verified;
  port.scatter = one_in(random, 3);
  port.tx_segments_max = static_cast<std::uint8_t>(2 + random.below(7));
  port.transmit_most = one_in(random, 4) ? 9 : SIZE_MAX;
  port.tx_ring_segments = one_in(random, 4) ? 16 : 1024;
  port.watch_memory = true;
  port.completion_max = one_in(random, 3) ? Duration(2ms) : Duration(50us);
  draw_offloads(port, Random(~options.seed));
  options.memory.buffers = 1024;
  options.memory.buffer_bytes = mtu > 4000 && one_in(random, 2) ? 9216 : 2048;
  options.memory.trackers = 64;
  tcp::EngineLimits& limits = options.limits;
  limits.connections = 4;
  limits.receive_window_bytes = 1u << (14 + random.below(7));
  limits.receive_views = one_in(random, 6) ? 16 : 1024;
  limits.receive_views_total = 512;
  limits.receive_views_most = 640;
  limits.out_of_order_views = one_in(random, 6) ? 4 : 256;
  limits.send_descriptors = one_in(random, 4) ? 8 : 256;
  limits.send_inline_bytes = one_in(random, 4) ? 1024 : 16 * 1024;
  limits.transmissions = one_in(random, 6) ? 128 : 1024;
  limits.congestion.algorithm = static_cast<tcp::CongestionAlgorithm>(random.below(3));
  limits.congestion.ecn = one_in(random, 2);
  limits.congestion.idle_restart = one_in(random, 2);
  limits.recovery.rack = !one_in(random, 4);
  limits.recovery.tail_loss_probe = !one_in(random, 4);
  tcp::EngineTimers& timers = options.timers;
  timers.rto_initial = between(random, 20ms, 1s);
  timers.rto_min = between(random, 2ms, 200ms);
  timers.rto_max = between(random, 1s, 10s);
  timers.delayed_ack = between(random, 200us, 20ms);
  if (one_in(random, 2)) timers.ack_hold = between(random, 1us, 50us);
  // Longer than the other end's longest timeout: its FIN is answered for as long as it may come.
  timers.time_wait = between(random, 25s, 60s);
  return options;
}

ReferencePeerOptions draw_peer(std::uint16_t mtu, Random& random) {
  ReferencePeerOptions peer;
  peer.seed = random.next();
  peer.mss = static_cast<std::uint16_t>(mtu - 40);
  peer.mss_option = !one_in(random, 10);
  if (!peer.mss_option) peer.mss = 536;
  peer.window_scale = !one_in(random, 3);
  peer.scale = static_cast<std::uint8_t>(random.below(9));
  peer.sack = !one_in(random, 2);
  peer.timestamps = !one_in(random, 3);
  peer.buffer_bytes = 1u << (12 + random.below(8));
  peer.send_window_bytes = 1u << (13 + random.below(5));
  peer.timeout = between(random, 20ms, 200ms);
  peer.ack_every = 1 + random.below(4);
  peer.ack_delay = between(random, 100us, 40ms);
  peer.time_wait = between(random, 25s, 60s);
  peer.push = !one_in(random, 4);
  const auto perhaps = [&random](std::uint32_t most) {
    return one_in(random, 3) ? random.below(most) : 0;
  };
  peer.renege_ppm = peer.sack ? perhaps(60'000) : 0;
  peer.split_ack_ppm = perhaps(20'000);
  peer.dup_ack_ppm = perhaps(20'000);
  peer.old_ack_ppm = perhaps(20'000);
  peer.forge_ppm = perhaps(10'000);
  peer.shrink_ppm = perhaps(5'000);
  peer.overlap_ppm = perhaps(50'000);
  peer.beyond_ppm = perhaps(10'000);
  return peer;
}

WireFaults draw_faults(Random& random) {
  WireFaults faults;
  const auto perhaps = [&random](std::uint32_t most) {
    return one_in(random, 3) ? random.below(most) : 0;
  };
  faults.drop_ppm = perhaps(50'000);
  if (one_in(random, 4)) {
    faults.burst_enter_ppm = 500 + random.below(3'000);
    faults.burst_leave_ppm = 50'000 + random.below(400'000);
    faults.burst_drop_ppm = 300'000 + random.below(600'000);
  }
  faults.duplicate_ppm = perhaps(30'000);
  faults.reorder_ppm = perhaps(50'000);
  faults.reorder_delay = one_in(random, 4) ? between(random, 1ms, 30ms) : between(random, 1us, 1ms);
  faults.corrupt_ppm = perhaps(10'000);
  faults.truncate_ppm = perhaps(10'000);
  faults.delay = one_in(random, 5) ? between(random, 1ms, 20ms) : between(random, 1us, 300us);
  if (one_in(random, 3)) faults.jitter = between(random, 1us, 200us);
  if (one_in(random, 4)) {
    faults.bits_per_second = 50'000'000 + random.below(2'000'000'000);
    faults.queue_bytes = 20'000 + random.below(200'000);
    if (one_in(random, 2)) faults.mark_above_bytes = faults.queue_bytes / 4;
  }
  return faults;
}

std::uint32_t draw_length(Random& random) {
  constexpr std::array<std::uint32_t, 10> kLengths{512,   512,    4096,   4096,    8192,
                                                   16384, 65'536, 65'536, 131'072, 262'144};
  return one_in(random, 8) ? 1 + random.below(70'000) : kLengths[random.below(kLengths.size())];
}

void draw_exchanges(SeedPlan& plan, Random& random) {
  constexpr std::uint64_t kLeast = 1u << 20;
  plan.exchanges.resize(plan.connections);
  plan.depth = 2 + random.below(31);
  const std::uint32_t write_share = random.below(101);
  for (std::size_t i = 0; plan.total_bytes < kLeast; ++i) {
    Exchange exchange;
    const std::uint32_t length = draw_length(random);
    if (random.below(100) < write_share)
      exchange.request_bytes = kIscsiHeader + length;
    else
      exchange.response_bytes = kIscsiHeader + length;
    plan.exchanges[i % plan.connections].push_back(exchange);
    plan.total_bytes += exchange.request_bytes + exchange.response_bytes;
  }
}

void draw_incidents(SeedPlan& plan, Random& random) {
  const std::uint32_t count = 5 + random.below(4);
  for (std::uint32_t i = 0; i < count; ++i) {
    Incident incident;
    incident.at_bytes = plan.total_bytes * (i + 1) / (count + 2);
    incident.kind = static_cast<IncidentKind>(random.below(kIncidentKinds));
    incident.end = random.below(2);
    incident.lasts = one_in(random, 3) ? between(random, 50ms, 2s) : between(random, 50us, 20ms);
    incident.count = 1 + random.below(6);
    incident.announced = !one_in(random, 10);
    // The peer has no pool, and its turns are no worker's.
    const bool is_engines =
        incident.kind == IncidentKind::empty_pool || incident.kind == IncidentKind::worker_stalls;
    if (plan.against_peer && is_engines) incident.end = 0;
    plan.incidents.push_back(incident);
  }
}

}  // namespace

SeedPlan draw_plan(std::uint64_t seed) {
  Random random(seed * 0x9e37'79b9'7f4a'7c15u + 1);
  SeedPlan plan;
  plan.seed = seed;
  plan.against_peer = one_in(random, 2);
  plan.end1_opens = one_in(random, 4);
  plan.both_open = one_in(random, 10);
  if (plan.both_open) plan.end1_opens = false;
  if (!plan.against_peer && !plan.both_open && one_in(random, 4))
    plan.connections = 2 + random.below(2);
  const std::uint16_t mtu = draw_mtu(random);
  for (const std::uint8_t end : std::array<std::uint8_t, 2>{0, 1}) {
    // One end may take less than the other.
    const std::uint16_t own = one_in(random, 8) ? std::min(mtu, draw_mtu(random)) : mtu;
    plan.host[end] = draw_host(static_cast<std::uint8_t>(end + 1), own, random);
    plan.faults[end] = draw_faults(random);
  }
  plan.peer = draw_peer(mtu, random);
  plan.peer.remote = kAddress0;
  plan.poll = one_in(random, 4) ? between(random, 50us, 500us) : between(random, 1us, 50us);
  plan.ending = static_cast<Ending>(random.below(6));
  draw_exchanges(plan, random);
  draw_incidents(plan, random);
  return plan;
}

}  // namespace pollux::sim
