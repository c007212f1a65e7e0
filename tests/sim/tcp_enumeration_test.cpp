// Every way to lose, double or delay up to three of all frames of a short transfer (data, copies of
// data, acknowledgments, FINs), for 1 to 6 segments, with and without SACK and timestamps: the
// bytes arrive, nothing stalls, nothing is left over. Random testing misses such corners for long.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>

#include "tests/support/engine_inspector.hpp"
#include "tests/support/segment_audit.hpp"
#include "tests/support/stream_content.hpp"
#include "tests/support/tcp_host.hpp"

namespace pollux::sim {
namespace {

constexpr std::uint16_t kPort = 3260;
constexpr std::uint32_t kSegmentBytes = 500;
constexpr Duration kTimeMax = 60s;

struct Decision {
  std::uint32_t frame = 0xffff'ffff;
  Fate fate = Fate::pass;
};
struct Case {
  std::uint32_t segments = 1;
  bool sack = true;
  bool timestamps = true;
  bool rack = true;
  std::array<Decision, 3> decisions{};
};

TcpHostOptions host_options(std::uint8_t number, bool rack) {
  TcpHostOptions options;
  options.config.address = net::IpAddress::v4(10, 99, 0, number);
  options.port.mac = {2, 0, 0, 0, 0, number};
  options.port.mtu = kSegmentBytes + 52;
  options.memory = {.buffers = 64, .buffer_bytes = 640, .trackers = 1};
  options.limits.connections = 1;
  options.limits.recovery = {.rack = rack, .tail_loss_probe = rack};
  options.limits.receive_window_bytes = 16 * 1024;
  options.limits.receive_views = 32;
  options.limits.out_of_order_views = 32;
  options.limits.send_descriptors = 8;
  options.limits.transmissions = 128;
  options.limits.send_inline_bytes = 1024;
  options.timers = {.rto_initial = 100ms, .rto_min = 20ms, .rto_max = 2s, .delayed_ack = 5ms};
  options.timers.time_wait = 10s;
  return options;
}

class Enumerated {
 public:
  explicit Enumerated(const Case& what)
      : case_(what),
        wire_(1, Instant{1000s}),
        listener_(kPort),
        client_(wire_, 0, host_options(1, what.rack)),
        server_(wire_, 1, host_options(2, what.rack)),
        checks_{EngineChecks(client_.engine), EngineChecks(server_.engine)} {
    wire_.watch([this](std::size_t from, Instant, std::span<const std::byte> frame) {
      audit_.on_sent(from, frame);
    });
    wire_.decide([this](std::size_t, std::span<const std::byte>) {
      if (!counting_) return Fate::pass;
      const std::uint32_t number = frames_++;
      for (const Decision& decision : case_.decisions)
        if (decision.frame == number) return decision.fate;
      return Fate::pass;
    });
    std::vector<std::uint8_t> stripped;
    if (!what.sack) stripped.push_back(4);
    if (!what.timestamps) stripped.push_back(8);
    wire_.strip_syn_options(stripped);
    server_.engine.set_listener(&listener_);
  }

  /// Empty when all went well. `frames` gets how many frames followed the handshake.
  std::string run(std::uint32_t& frames) {
    const tcp::OpenRequest request{.remote = {net::IpAddress::v4(10, 99, 0, 2), kPort}};
    if (client_.engine.open(request, wire_.now(), id_) != tcp::OpenError::none) return "no open";
    const std::uint64_t total = std::uint64_t{case_.segments} * kSegmentBytes;
    const Instant limit = wire_.now() + kTimeMax;
    while (what_.empty() && !(ended_[0] && ended_[1])) {
      if (turn()) continue;
      const Instant next =
          std::min({wire_.next_event(), client_.next_deadline(), server_.next_deadline()});
      if (next > limit) return "a stall";
      wire_.advance(std::max(next, wire_.now() + 140us));
    }
    frames = frames_;
    if (!what_.empty()) return what_;
    if (!audit_.complaint().empty()) return audit_.complaint();
    if (received_ != total) return fmt::format("{} of {} bytes arrived", received_, total);
    return reference_.count == 0 ? "" : "a reference is kept";
  }

 private:
  bool turn() {
    bool busy = false;
    for (std::size_t end : {0u, 1u}) {
      TcpHost& host = end == 0 ? client_ : server_;
      busy |= host.turn(wire_.now()) != 0;
      std::array<tcp::Event, 2> events;
      const std::size_t count = host.engine.take_events(events);
      for (std::size_t i = 0; i < count; ++i) on_event(end, events[i]);
      if (end == 1) read();
      note(checks_[end].after_input());
      busy |= host.send(wire_.now()) != 0;
      note(checks_[end].after_output());
    }
    return busy;
  }

  void on_event(std::size_t end, const tcp::Event& event) {
    if ((event.bits & tcp::kEstablished) != 0) {
      if (end == 1) accepted_ = event.id;
      if (end == 0) start();
    }
    if (end == 1 && (event.bits & tcp::kPeerClosed) != 0) peer_closed_ = true;
    if ((event.bits & tcp::kEnded) == 0) return;
    ended_[end] = true;
    TcpHost& host = end == 0 ? client_ : server_;
    if (host.engine.end_reason(event.id) != tcp::EndReason::closed) note("an end by error");
  }

  void start() {
    counting_ = true;
    const std::uint32_t bytes = case_.segments * kSegmentBytes;
    client_.engine.send_external(id_, StreamContent::instance().at(0, 0, bytes).data(), bytes,
                                 client_.memory.tracker(0), &reference_);
    client_.engine.end_sending(id_, wire_.now());
  }

  void read() {
    while (server_.engine.readable(accepted_) != 0) {
      const std::span<std::byte> bytes = server_.engine.front(accepted_);
      if (!StreamContent::instance().matches(0, received_, bytes)) note("wrong bytes");
      received_ += bytes.size();
      server_.engine.consume(accepted_, static_cast<std::uint32_t>(bytes.size()));
    }
    if (peer_closed_) server_.engine.end_sending(accepted_, wire_.now());
  }

  void note(std::string what) {
    if (what_.empty()) what_ = std::move(what);
  }

  Case case_;
  SimWire wire_;
  PortListener listener_;
  TcpHost client_, server_;
  std::array<EngineChecks, 2> checks_;
  SegmentAudit audit_{{true, true}};
  tcp::ConnectionId id_, accepted_;
  tcp::SendReference reference_;
  std::uint64_t received_ = 0;
  std::uint32_t frames_ = 0;
  bool counting_ = false, peer_closed_ = false;
  std::array<bool, 2> ended_{};
  std::string what_;
};

constexpr std::array kFates{Fate::drop, Fate::duplicate, Fate::delay};

std::string describe(const Case& what) {
  std::string text = fmt::format("{} segments, SACK {}, timestamps {}, RACK {}", what.segments,
                                 what.sack, what.timestamps, what.rack);
  for (const Decision& decision : what.decisions)
    if (decision.fate != Fate::pass)
      text += fmt::format(", frame {} fate {}", decision.frame, static_cast<int>(decision.fate));
  return text;
}

/// Runs one case and everything that follows from it with decisions more. Returns the runs.
std::uint64_t run_all(Case what, std::size_t decided) {
  std::uint32_t frames = 0;
  const std::string problem = Enumerated(what).run(frames);
  EXPECT_EQ(problem, "") << describe(what);
  std::uint64_t runs = 1;
  if (decided == what.decisions.size() || testing::Test::HasFailure()) return runs;
  // The next decision comes after the last: what follows from that is numbered anew.
  const std::uint32_t from = decided == 0 ? 0 : what.decisions[decided - 1].frame + 1;
  for (std::uint32_t frame = from; frame < frames; ++frame)
    for (const Fate fate : kFates) {
      what.decisions[decided] = {frame, fate};
      runs += run_all(what, decided + 1);
    }
  return runs;
}

TEST(TcpEnumeration, UpToThreeMisfortunesOfAnyFrameOfUpToSixSegments) {
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t runs = 0;
  for (std::uint32_t segments = 1; segments <= 6; ++segments)
    for (const bool sack : {true, false})
      for (const bool timestamps : {true, false})
        for (const bool rack : {true, false}) {
          if (rack && !sack) continue;  // it needs SACK
          runs += run_all(
              {.segments = segments, .sack = sack, .timestamps = timestamps, .rack = rack}, 0);
          if (HasFailure()) return;
        }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  fmt::print("{} runs in {:.1f} s\n", runs, seconds.count());
  EXPECT_GT(runs, 10'000u);
}

}  // namespace
}  // namespace pollux::sim
