// The turn of the embedded target: frames in, TCP, PDUs, TCP, frames out. See target.hpp.
#include "tests/target/target.hpp"

#include <algorithm>
#include <cstdio>
#include <string>

#include "dataplane/base/assert.hpp"

namespace pollux::target {
namespace {

constexpr std::size_t kTimersPerTurn = 64;
constexpr int kEventBatchesPerTurn = 4;

std::string portal_text(const net::IpAddress& address, std::uint16_t port) {
  std::array<char, 64> text;
  const std::uint32_t host = address.v4_host();
  std::snprintf(text.data(), text.size(), "%u.%u.%u.%u:%u,1", host >> 24, host >> 16 & 0xff,
                host >> 8 & 0xff, host & 0xff, unsigned{port});
  return text.data();
}

tcp::EngineLimits engine_limits(const TargetOptions& options) {
  tcp::EngineLimits limits = options.limits;
  limits.connections = options.target.connections;
  POLLUX_ASSERT(limits.send_inline_bytes >= kSendInlineBytesMin);
  return limits;
}

}  // namespace

/// One connection of the engine as the PDU layer sees it, for the length of one service().
class Target::EngineStream final : public Stream {
 public:
  EngineStream(Target& target, Link& link, Instant now) noexcept
      : engine_(target.engine_), link_(link), now_(now) {
    // Trackers are dealt out by connection, so that none of their small counts overflows.
    const std::size_t count = target.memory_.tracker_count();
    tracker_ = target.memory_.tracker(link.id.slot % count);
  }
  [[nodiscard]] std::uint32_t readable() const noexcept override {
    return engine_.readable(link_.id);
  }
  [[nodiscard]] std::span<std::byte> front() noexcept override { return engine_.front(link_.id); }
  std::size_t peek(std::span<std::byte> out) const noexcept override {
    return engine_.peek(link_.id, out);
  }
  void consume(std::uint32_t bytes) noexcept override { engine_.consume(link_.id, bytes); }
  [[nodiscard]] tcp::SendSpace send_space() const noexcept override {
    return engine_.send_space(link_.id);
  }
  void send_inline(std::span<const std::byte> bytes) noexcept override {
    engine_.send_inline(link_.id, bytes);
  }
  void send_external(const std::byte* data, std::uint32_t length) noexcept override {
    engine_.send_external(link_.id, data, length, tracker_, &link_.reference);
  }
  void close() noexcept override { engine_.close(link_.id, now_); }
  void abort() noexcept override { engine_.abort(link_.id, now_); }

 private:
  tcp::Engine& engine_;
  Link& link_;
  Instant now_;
  platform::TxTracker* tracker_;
};

Target::Target(const TargetOptions& options, platform::Port& port, platform::PacketMemory& memory,
               Instant start)
    : protocol_(options.target),
      interface_(options.interface, port, memory, start),
      engine_(engine_limits(options), options.timers, interface_, memory, Random(options.seed),
              start),
      memory_(memory),
      links_(options.target.connections),
      work_(options.target.connections) {
  POLLUX_ASSERT(memory.tracker_count() > 0);
  if (options.target.portal.empty())
    protocol_.set_portal(portal_text(options.interface.address, options.target.port));
  if (options.target.nop_in_interval > Duration::zero())
    next_ping_ = start + options.target.nop_in_interval;
  engine_.set_listener(this);
}

bool Target::on_syn(const net::Endpoint& local, const net::Endpoint&, tcp::OpenRequest&) noexcept {
  return accepts_ && local.port == protocol_.config().port;
}

bool Target::poll_once(Instant now) noexcept {
  std::size_t frames = 0;
  const std::size_t count = interface_.receive(now, datagrams_, frames);
  for (std::size_t i = 0; i < count; ++i) engine_.input(datagrams_[i], now);
  interface_.run_timers(now);
  std::size_t work = frames + engine_.run_timers(now, kTimersPerTurn);
  for (int batch = 0; batch < kEventBatchesPerTurn; ++batch) {
    const std::size_t taken = engine_.take_events(events_);
    for (std::size_t i = 0; i < taken; ++i) take_event(events_[i]);
    work += taken;
    if (taken < events_.size()) break;
  }
  run_own_timers(now);
  work += serve(now);
  work += engine_.output(now);
  work += interface_.flush();
  return work > 0;
}

void Target::want_service(std::uint32_t index) noexcept {
  Link& link = links_[index];
  if (link.waiting || !link.in_use) return;
  link.waiting = true;
  work_.push(index);
}

void Target::take_event(const tcp::Event& event) noexcept {
  const std::uint32_t index = event.id.slot;
  Link& link = links_[index];
  if ((event.bits & tcp::kEstablished) != 0) {
    link.id = event.id;
    link.in_use = true;
    link.peer_closed = false;
    protocol_.connected(index);
  }
  if ((event.bits & tcp::kEnded) != 0) {
    if (link.in_use && link.id == event.id) {
      protocol_.disconnected(index);
      link.in_use = false;
    }
    engine_.release(event.id);
    return;
  }
  if (!link.in_use || !(link.id == event.id)) return;
  want_service(index);
  if ((event.bits & tcp::kPeerClosed) != 0) link.peer_closed = true;
}

std::size_t Target::serve(Instant now) noexcept {
  const std::size_t count = work_.size();  // what is asked for meanwhile waits for the next turn
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t index = work_.front();
    work_.pop();
    Link& link = links_[index];
    link.waiting = false;
    if (!link.in_use) continue;
    EngineStream stream{*this, link, now};
    if (protocol_.service(index, stream, now))
      want_service(index);
    else if (link.peer_closed)
      engine_.close(link.id, now);  // what came before the FIN has been served; so ends the session
    std::uint32_t other = 0;
    while (protocol_.take_reset(other))
      if (links_[other].in_use) engine_.abort(links_[other].id, now);
  }
  return count;
}

void Target::run_own_timers(Instant now) noexcept {
  if (now >= next_ping_) {
    next_ping_ = now + protocol_.config().nop_in_interval;
    ping_all();
  }
  // Only a plan with delays lets an answer wait for time; nobody else pays for the walk.
  if (protocol_.config().faults.response_delay == Duration::zero()) return;
  for (std::uint32_t i = 0; i < links_.size(); ++i)
    if (links_[i].in_use && protocol_.deadline(i) <= now) want_service(i);
}

void Target::ping_all() noexcept {
  for (std::uint32_t i = 0; i < links_.size(); ++i) {
    if (!links_[i].in_use || !protocol_.in_full_feature(i)) continue;
    protocol_.want_ping(i);
    want_service(i);
  }
}

void Target::reopen_window() noexcept {
  faults().close_window = false;
  ping_all();
}

Instant Target::next_deadline() const noexcept {
  Instant next = std::min({engine_.next_deadline(), interface_.next_deadline(), next_ping_});
  if (!work_.empty()) return Instant{};
  if (protocol_.config().faults.response_delay == Duration::zero()) return next;
  for (std::uint32_t i = 0; i < links_.size(); ++i)
    if (links_[i].in_use) next = std::min(next, protocol_.deadline(i));
  return next;
}

void Target::shut_down(Instant now) noexcept {
  accepts_ = false;
  for (const Link& link : links_)
    if (link.in_use) engine_.abort(link.id, now);
}

bool Target::quiet() noexcept {
  interface_.reclaim();
  for (std::size_t i = 0; i < memory_.tracker_count(); ++i)
    if (memory_.in_flight(*memory_.tracker(i)) != 0) return false;
  return interface_.queued() == 0;
}

}  // namespace pollux::target
