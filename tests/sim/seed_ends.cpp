#include "tests/sim/seed_ends.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "dataplane/net/counters.hpp"

namespace pollux::sim {
namespace {

constexpr std::byte kReused{0xe5};
constexpr Duration kPatience = 10'000s;  // liveness is the run's business, not a timeout's

}  // namespace

// --- EngineStream

EngineStream::EngineStream(EngineSide& side, std::uint64_t sent, std::uint64_t received,
                           Random random)
    : side_(side), sent_stream_(sent), received_stream_(received), random_(random) {
  for (Buffer& buffer : buffers_) buffer.bytes.resize(kBufferBytes, kReused);
}

void EngineStream::on_event(const tcp::Event& event) {
  id = event.id;
  established_ |= (event.bits & tcp::kEstablished) != 0;
  peer_closed_ |= (event.bits & tcp::kPeerClosed) != 0;
  if ((event.bits & tcp::kEnded) != 0) {
    ended_ = true;
    reason_ = side_.host.engine.end_reason(id);
  }
}

bool EngineStream::was_aborted() const {
  return reason_ != tcp::EndReason::none && reason_ != tcp::EndReason::closed;
}

std::uint64_t EngineStream::write(std::uint64_t position, std::uint64_t length) {
  std::uint64_t done = 0;
  while (done < length) {
    const std::uint64_t n = write_piece(position + done, length - done);
    if (n == 0) break;
    done += n;
  }
  return done;
}

std::uint64_t EngineStream::write_piece(std::uint64_t position, std::uint64_t length) {
  tcp::Engine& engine = side_.host.engine;
  const tcp::SendSpace space = engine.send_space(id);
  if (space.descriptors == 0) return 0;
  const StreamContent& content = StreamContent::instance();
  if (length <= 48 || random_.below(8) == 0) {
    const std::uint64_t n = std::min<std::uint64_t>({length, space.inline_bytes, 200});
    if (n != 0) engine.send_inline(id, content.at(sent_stream_, position, n));
    return n;
  }
  const std::uint64_t most = random_.below(3) == 0 ? 1 + random_.below(5'000) : 65'536;
  std::uint64_t n = std::min(length, most);
  Buffer& buffer = buffers_[random_.below(kBuffers)];
  if (!buffer.busy && random_.below(2) == 0) {
    n = std::min<std::uint64_t>(n, kBufferBytes);
    std::memcpy(buffer.bytes.data(), content.at(sent_stream_, position, n).data(), n);
    buffer.tracker = 1 + random_.below(60);
    buffer.busy = true;
    engine.send_external(id, buffer.bytes.data(), static_cast<std::uint32_t>(n),
                         side_.host.memory.tracker(buffer.tracker), &buffer.reference);
  } else {
    engine.send_external(id, content.at(sent_stream_, position, n).data(),
                         static_cast<std::uint32_t>(n), side_.host.memory.tracker(0), &reference_);
  }
  return n;
}

std::uint64_t EngineStream::read(std::uint64_t position) {
  tcp::Engine& engine = side_.host.engine;
  std::uint64_t done = 0;
  while (engine.readable(id) != 0) {
    if (random_.below(2) == 0) {
      const std::span<std::byte> bytes = engine.front(id);
      const auto size = static_cast<std::uint32_t>(bytes.size());
      const std::uint32_t n = random_.below(4) == 0 ? 1 + random_.below(size) : size;
      check(position + done, bytes.first(n));
      engine.consume(id, n);
      done += n;
    } else {
      tcp::RxView view;
      const std::uint32_t n = engine.take_front(id, 1 + random_.below(20'000), view);
      if (n == 0) break;  // no buffer is free to hand it over in
      check(position + done, {view.data, n});
      side_.host.memory.release(view.handle);
      done += n;
    }
    if (random_.below(64) == 0) break;
  }
  return done;
}

void EngineStream::check(std::uint64_t position, std::span<const std::byte> bytes) {
  if (!side_.complaint.empty()) return;
  if (!StreamContent::instance().matches(received_stream_, position, bytes))
    side_.complaint = fmt::format("the reader got wrong bytes at {} of the stream", position);
}

void EngineStream::close(Instant now) { side_.host.engine.end_sending(id, now); }

void EngineStream::abort(Instant now) { side_.host.engine.abort(id, now); }

void EngineStream::release_if_ended() {
  if (!ended_ || released_ || side_.host.engine.readable(id) != 0) return;
  side_.host.engine.release(id);
  released_ = true;
}

void EngineStream::reuse_buffers() {
  // As iscsi/completion.cpp has it: what an abort gives back may still wait in the transmit queue.
  if (side_.host.interface.queued() != 0) return;
  for (Buffer& buffer : buffers_) {
    if (!buffer.busy || buffer.reference.count != 0) continue;
    if (side_.host.memory.in_flight(*side_.host.memory.tracker(buffer.tracker)) != 0) continue;
    std::fill(buffer.bytes.begin(), buffer.bytes.end(), kReused);
    buffer.busy = false;
  }
}

std::uint32_t EngineStream::references() const {
  std::uint32_t count = reference_.count;
  for (const Buffer& buffer : buffers_) count += buffer.reference.count;
  return count;
}

// --- EngineSide

EngineSide::EngineSide(SimWire& wire, std::size_t end, const SeedPlan& plan)
    : host(wire, end, plan.host[end]), checks(host.engine), end_(end), plan_(plan) {
  Random random(plan.seed ^ (0xe4d0 + end));
  for (std::size_t i = 0; i < plan.connections; ++i)
    streams_.push_back(
        std::make_unique<EngineStream>(*this, 2 * i + end, 2 * i + 1 - end, Random(random.next())));
  host.engine.set_listener(this);
}

bool EngineSide::on_syn(const net::Endpoint& local, const net::Endpoint& remote,
                        tcp::OpenRequest& fill) noexcept {
  const bool opens = plan_.both_open || (end_ == 1) == plan_.end1_opens;
  if (opens || local.port != plan_.port) return false;
  for (std::size_t i = 0; i < plan_.connections; ++i) {
    // A SYN that comes when the connection is over is late or forged.
    if (remote.port != plan_.client_port(i) || streams_[i]->established()) continue;
    fill.owner = static_cast<std::uint32_t>(i);
    fill.connect_timeout = fill.user_timeout = kPatience;
    return true;
  }
  return false;
}

void EngineSide::open(std::size_t connection, Instant now) {
  tcp::OpenRequest request;
  const bool second = plan_.both_open && end_ == 1;
  request.remote = {net::IpAddress::v4(10, 99, 0, static_cast<std::uint8_t>(2 - end_)),
                    second ? plan_.client_port(connection) : plan_.port};
  request.local_port = second ? plan_.port : plan_.client_port(connection);
  request.owner = static_cast<std::uint32_t>(connection);
  request.connect_timeout = request.user_timeout = kPatience;
  if (host.engine.open(request, now, streams_[connection]->id) != tcp::OpenError::none)
    complaint = "open() refused";
}

std::size_t EngineSide::turn(Instant now) {
  if (now < stalled_until) return 0;
  const std::size_t work = host.turn(now);
  std::array<tcp::Event, 8> events;
  const std::size_t count = host.engine.take_events(events);
  for (std::size_t i = 0; i < count; ++i) streams_[events[i].owner]->on_event(events[i]);
  for (auto& stream : streams_) {
    stream->reuse_buffers();
    stream->release_if_ended();
  }
  if (complaint.empty()) complaint = checks.after_input();
  return work + count;
}

std::size_t EngineSide::send(Instant now) {
  if (now < stalled_until) return 0;
  const std::size_t frames = host.send(now);
  if (complaint.empty()) complaint = checks.after_output();
  return frames;
}

Instant EngineSide::next_deadline() const { return std::max(host.next_deadline(), stalled_until); }

void EngineSide::set_pool_empty(bool empty) { host.memory.set_limit(empty ? 0 : SIZE_MAX); }

bool EngineSide::quiet() const {
  return host.engine.open_connections() == 0 && host.port.in_flight() == 0 &&
         host.interface.queued() == 0;
}

std::string EngineSide::leftovers() const {
  for (const auto& stream : streams_)
    if (stream->references() != 0)
      return fmt::format("{} send references are not given back", stream->references());
  for (std::size_t i = 0; i < host.memory.tracker_count(); ++i) {
    auto& memory = const_cast<HeapPacketMemory&>(host.memory);
    if (memory.in_flight(*memory.tracker(i)) != 0) return fmt::format("tracker {} is in flight", i);
  }
  const std::size_t cached = host.interface.counters().buffers_cached.get();
  if (host.memory.buffers_in_use() != cached)
    return fmt::format("{} buffers in use, {} of them cached", host.memory.buffers_in_use(),
                       cached);
  if (host.engine.timers_armed() != 0) return "a timer is armed";
  return {};
}

// --- PeerSide

PeerSide::PeerSide(SimWire& wire, const SeedPlan& plan, SegmentAudit& audit)
    : peer(wire, 1, plan.peer), plan_(plan) {
  peer.set_streams(1, 0);
  peer.set_audit(&audit);
  if (!plan.end1_opens && !plan.both_open) peer.listen(plan.port);
}

void PeerSide::open(std::size_t connection, Instant now) {
  if (plan_.both_open)
    peer.open(plan_.port, plan_.client_port(connection), now);
  else
    peer.open(plan_.client_port(connection), plan_.port, now);
}

std::size_t PeerSide::turn(Instant now) {
  const std::size_t work = peer.turn(now);
  if (complaint.empty() && !peer.complaint().empty())
    complaint = "the peer received " + peer.complaint();
  return work;
}

bool PeerSide::quiet() const { return peer.state() == ReferencePeer::State::closed; }

bool PeerSide::over() const {
  return peer.state() == ReferencePeer::State::closed &&
         (peer.was_established() || peer.was_reset()) && peer.readable() == 0;
}

std::uint64_t PeerSide::write(std::uint64_t, std::uint64_t length) {
  peer.write(length);
  return length;
}

std::uint64_t PeerSide::read(std::uint64_t) {
  const std::uint64_t n = peer.readable();
  peer.read(n);
  return n;
}

void PeerSide::close(Instant) { peer.close(); }

void PeerSide::abort(Instant) {
  aborted_ = true;
  peer.abort();
}

}  // namespace pollux::sim
