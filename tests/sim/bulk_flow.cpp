#include "tests/sim/bulk_flow.hpp"

#include <algorithm>

#include "tests/support/segment_audit.hpp"
#include "tests/support/stream_content.hpp"
#include "tests/support/tcp_host.hpp"

namespace pollux::sim {
namespace {

constexpr std::uint16_t kPort = 3260;
constexpr Duration kPoll = 2us;
constexpr Duration kTimerStep = 140us;
constexpr Duration kTimeMax = 4000s;

TcpHostOptions host_options(std::uint8_t number, const BulkOptions& bulk) {
  TcpHostOptions options;
  options.seed = bulk.seed * 2 + number;
  options.config.address = net::IpAddress::v4(10, 99, 0, number);
  options.port.mac = {2, 0, 0, 0, 0, number};
  options.port.mtu = bulk.mtu;
  options.port.tx_checksum = true;
  options.port.rx_checksum = RxChecksum::assumed_good;
  options.port.free_checksums = true;
  options.port.tx_ring_segments = 8192;
  options.port.rx_ring_frames = 4096;
  options.memory = {.buffers = 8192,
                    .buffer_bytes = bulk.mtu > 2000 ? 9216u : 2048u,
                    .trackers = 1,
                    .poison = false};
  options.limits.connections = 1;
  options.limits.receive_window_bytes = bulk.buffer_bytes;
  options.limits.receive_views = 4096;
  options.limits.out_of_order_views = 4096;
  options.limits.transmissions = 4096;
  options.limits.recovery = {.rack = bulk.rack, .tail_loss_probe = bulk.rack};
  return options;
}

class BulkFlow {
 public:
  explicit BulkFlow(const BulkOptions& options)
      : options_(options),
        random_(options.seed),
        wire_(options.seed, Instant{1000s}),
        listener_(kPort),
        client_(wire_, 0, host_options(1, options)),
        server_(wire_, 1, host_options(2, options)) {
    for (std::size_t from : {0u, 1u}) {
      wire_.faults(from).delay = options.round_trip / 2;
      wire_.faults(from).bits_per_second = options.bits_per_second;
      wire_.faults(from).queue_bytes = 8 << 20;
    }
    std::vector<std::uint8_t> stripped;
    if (!options.sack) stripped.push_back(4);
    if (!options.timestamps) stripped.push_back(8);
    wire_.strip_syn_options(stripped);
    wire_.decide(
        [this](std::size_t from, std::span<const std::byte> frame) { return decide(from, frame); });
    server_.engine.set_listener(&listener_);
  }

  BulkResult run() {
    const Instant start = wire_.now();
    if (client_.engine.open({.remote = {net::IpAddress::v4(10, 99, 0, 2), kPort},
                             .connect_timeout = kTimeMax,
                             .user_timeout = kTimeMax},
                            wire_.now(), id_) != tcp::OpenError::none)
      return {};
    while (received_ < options_.bytes && intact_ && wire_.now() - start < kTimeMax)
      if (!turn()) wait();
    result_.time = wire_.now() - begun_;
    result_.complete = received_ == options_.bytes && intact_;
    const tcp::Counters& counters = client_.engine.counters();
    result_.retransmitted = counters.segments_retransmitted.get();
    result_.timeouts = counters.timeouts.get();
    result_.tail_probes = counters.tail_probes_sent.get();
    result_.spurious = counters.spurious_recoveries.get();
    client_.engine.abort(id_, wire_.now());
    return result_;
  }

 private:
  /// The handshake is left alone: what is measured is the transfer.
  Fate decide(std::size_t from, std::span<const std::byte> frame) {
    if (sent_ == 0 || options_.loss_ppm == 0) return Fate::pass;
    const bool is_lost = random_.chance_ppm(options_.loss_ppm);
    if (is_lost) ++result_.lost;
    if (from != 0) return is_lost ? Fate::drop : Fate::pass;
    const TcpFrame at = dissect(frame);
    if (!at.valid || at.payload == at.end) return is_lost ? Fate::drop : Fate::pass;
    std::uint32_t seq = 0;
    for (std::size_t i = 0; i < 4; ++i)
      seq = seq << 8 | std::to_integer<std::uint32_t>(frame[at.tcp + 4 + i]);
    const auto end = static_cast<std::uint32_t>(seq + (at.end - at.payload));
    const bool is_new = !any_ || static_cast<std::int32_t>(end - highest_) > 0;
    if (is_new) highest_ = end;
    any_ = true;
    if (is_lost && !is_new) ++result_.lost_retransmissions;
    return is_lost ? Fate::drop : Fate::pass;
  }

  bool turn() {
    const Instant now = wire_.now();
    bool busy = client_.turn(now) != 0;
    take_events(client_);
    busy |= write();
    busy |= client_.send(now) != 0;
    busy |= server_.turn(now) != 0;
    take_events(server_);
    busy |= read();
    return busy | (server_.send(now) != 0);
  }

  void take_events(TcpHost& host) {
    std::array<tcp::Event, 2> events;
    const std::size_t count = host.engine.take_events(events);
    for (std::size_t i = 0; i < count; ++i) {
      if (&host == &server_) accepted_ = events[i].id;
      if (&host == &client_ && (events[i].bits & tcp::kEstablished) != 0) {
        established_ = true;
        begun_ = wire_.now();
      }
    }
  }

  bool write() {
    if (!established_) return false;
    const std::uint64_t before = sent_;
    // A buffer's worth is queued and not yet acknowledged, in pieces as large as writes are.
    while (sent_ < options_.bytes && sent_ - received_ < 2 * std::uint64_t{options_.buffer_bytes} &&
           client_.engine.send_space(id_).descriptors != 0) {
      const std::uint64_t n = std::min<std::uint64_t>(options_.bytes - sent_, 128 * 1024);
      client_.engine.send_external(id_, StreamContent::instance().at(0, sent_, n).data(),
                                   static_cast<std::uint32_t>(n), client_.memory.tracker(0),
                                   &reference_);
      sent_ += n;
    }
    return sent_ != before;
  }

  bool read() {
    const std::uint64_t before = received_;
    while (server_.engine.readable(accepted_) != 0) {
      const std::span<std::byte> bytes = server_.engine.front(accepted_);
      intact_ &= StreamContent::instance().matches(0, received_, bytes);
      received_ += bytes.size();
      server_.engine.consume(accepted_, static_cast<std::uint32_t>(bytes.size()));
    }
    return received_ != before;
  }

  void wait() {
    Instant next = wire_.next_event();
    if (next > wire_.now() + kPoll) {
      next = std::min({next, client_.next_deadline(), server_.next_deadline()});
      if (next <= wire_.now()) next = wire_.now() + kTimerStep;
    }
    wire_.advance(std::max(next, wire_.now() + kPoll));
  }

  BulkOptions options_;
  Random random_;
  SimWire wire_;
  PortListener listener_;
  TcpHost client_, server_;
  tcp::ConnectionId id_, accepted_;
  tcp::SendReference reference_;
  Instant begun_{};
  std::uint64_t sent_ = 0, received_ = 0;
  std::uint32_t highest_ = 0;
  bool established_ = false, intact_ = true, any_ = false;
  BulkResult result_;
};

}  // namespace

BulkResult run_bulk(const BulkOptions& options) { return BulkFlow(options).run(); }

}  // namespace pollux::sim
