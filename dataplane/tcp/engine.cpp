// Glue: slots and their memory, the lists of connections with something to do, the public face.
#include "dataplane/tcp/engine.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "dataplane/base/assert.hpp"
#include "dataplane/tcp/engine_impl.hpp"

namespace pollux::tcp {
namespace {

HashKey draw_key(Random& random) noexcept { return {random.next(), random.next()}; }

}  // namespace

Engine::Impl::Impl(const EngineLimits& limits_in, const EngineTimers& timers_in,
                   net::Interface& interface_in, platform::PacketMemory& memory_in,
                   Random random_in, Instant start)
    : limits(limits_in),
      timers(timers_in),
      interface(interface_in),
      memory(memory_in),
      random(random_in),
      start_time(start),
      wheel(start),
      isn_key(draw_key(random)),
      flows(limits.connections, draw_key(random)),
      time_wait(limits.time_wait_records, draw_key(random)),
      copies(limits.copy_cells),
      connections(new Connection[limits.connections]),
      free_slots(new std::uint32_t[limits.connections]),
      view_rings(limits.connections, limits.receive_views),
      piece_storage(
          new OutOfOrderPiece[std::size_t{limits.connections} * limits.out_of_order_views]),
      descriptor_rings(limits.connections, limits.send_descriptors),
      transmission_rings(limits.connections, limits.transmissions),
      inline_rings(limits.connections, limits.send_inline_bytes),
      reset_tokens_at(start) {
  POLLUX_ASSERT(limits.transmissions > 64);
  while (limits.receive_window_bytes >> window_shift > 0xffff) ++window_shift;
  POLLUX_ASSERT(window_shift <= wire::kWindowScaleMax);
  for (std::uint32_t slot = 0; slot < limits.connections; ++slot) {
    Connection& c = connections[slot];
    c.slot = slot;
    c.timer.owner_index = slot;
    c.reassembly.attach(&piece_storage[std::size_t{slot} * limits.out_of_order_views],
                        limits.out_of_order_views);
    free_slots[limits.connections - 1 - slot] = slot;
  }
  free_count = limits.connections;
}

Engine::Impl::~Impl() {
  for (std::uint32_t slot = 0; slot < limits.connections; ++slot) {
    Connection& c = connections[slot];
    wheel.cancel(c.timer);
    // Send references are left alone: their owners may be gone already.
    drop_received(c);
    drop_reassembly(c);
  }
  flush_releases();
}

Connection* Engine::Impl::find(ConnectionId id) noexcept {
  if (id.slot >= limits.connections) return nullptr;
  Connection& c = connections[id.slot];
  return c.in_use && !c.released && c.generation == id.generation ? &c : nullptr;
}

Connection* Engine::Impl::take_slot() noexcept {
  if (free_count == 0) return nullptr;
  Connection& c = connections[free_slots[--free_count]];
  POLLUX_ASSERT(!c.in_use && !c.dirty && !c.events_queued && !c.timer.armed());
  // Everything starts from its default again, except what belongs to the slot.
  Connection fresh;
  fresh.slot = c.slot;
  fresh.generation = c.generation;
  fresh.timer.owner_index = c.slot;
  fresh.received = view_rings.ring(c.slot);
  fresh.queue = descriptor_rings.ring(c.slot);
  fresh.inline_bytes = InlineRing(inline_rings.ring(c.slot));
  fresh.scoreboard = Scoreboard(transmission_rings.ring(c.slot));
  fresh.reassembly = c.reassembly;
  fresh.reassembly.clear();
  c = fresh;
  c.in_use = true;
  return &c;
}

void Engine::Impl::free_slot(Connection& c) noexcept {
  wheel.cancel(c.timer);
  c.in_use = false;
  free_slots[free_count++] = c.slot;
}

void Engine::Impl::free_if_done(Connection& c) noexcept {
  const bool is_over = c.state == State::closed || c.state == State::time_wait;
  if (c.in_use && c.released && is_over && !c.rst_pending && !c.dirty && !c.events_queued)
    free_slot(c);
}

void Engine::Impl::raise(Connection& c, std::uint32_t bits) noexcept {
  c.event_bits |= bits;
  if (c.events_queued || c.released) return;
  c.events_queued = true;
  with_events.push(c);
}

void Engine::Impl::flush_releases() noexcept {
  if (release_count == 0) return;
  memory.release(std::span<void* const>(release_batch.data(), release_count));
  release_count = 0;
}

void Engine::Impl::drop_payload(const Segment& segment) noexcept {
  if (segment.payload_taken) return;
  for (const platform::RxSegment& piece : segment.payload) give_back(piece.handle);
}

std::uint32_t Engine::Impl::timestamp(const Connection& c, Instant now) const noexcept {
  // RFC 7323 4.1: a clock of 1 ms, shifted for each connection so that it tells nothing of the
  // host.
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now - start_time).count();
  return static_cast<std::uint32_t>(ms) + c.ts_offset;
}

net::Endpoint Engine::Impl::local_endpoint(const Connection& c) const noexcept {
  return {c.local, c.local_port};
}

Engine::Engine(const EngineLimits& limits, const EngineTimers& timers, net::Interface& interface,
               platform::PacketMemory& memory, Random random, Instant start)
    : impl_(std::make_unique<Impl>(limits, timers, interface, memory, random, start)) {}

Engine::~Engine() = default;

void Engine::input(const net::TcpDatagram& datagram, Instant now) noexcept {
  impl_->input(datagram, now);
}

void Engine::input(std::span<const net::TcpDatagram> burst, Instant now) noexcept {
  constexpr std::size_t kAhead = 4;
  std::size_t next = 1;
  for (std::size_t i = 0; i < burst.size(); ++i) {
    for (; next <= i + kAhead && next < burst.size(); ++next)
      impl_->prefetch(burst[next], burst[next - 1]);
    impl_->input(burst[i], now);
  }
}

std::size_t Engine::run_timers(Instant now, std::size_t limit) noexcept {
  impl_->time_wait.expire(now, limit);
  return impl_->wheel.expire(now, limit, [this, now](TimerNode& node) {
    impl_->on_timer(impl_->connections[node.owner_index], now);
  });
}

std::size_t Engine::output(Instant now) noexcept { return impl_->output(now); }

std::size_t Engine::take_events(std::span<Event> events) noexcept {
  std::size_t count = 0;
  while (count < events.size() && impl_->with_events.head != nullptr) {
    Connection& c = *impl_->with_events.pop();
    c.events_queued = false;
    if (c.released) {
      impl_->free_if_done(c);
      continue;
    }
    events[count++] = {{c.slot, c.generation}, c.event_bits, c.owner};
    c.event_bits = 0;
  }
  return count;
}

Instant Engine::next_deadline() const noexcept {
  Instant earliest = std::min(impl_->wheel.next_deadline(), impl_->time_wait.next_deadline());
  for (const Connection* c = impl_->dirty.head; c != nullptr; c = c->next_dirty)
    if (c->ack_held) earliest = std::min(earliest, c->ack_held_until);
  return earliest;
}

void Engine::link_restored(Instant now) noexcept { impl_->link_restored(now); }

void Engine::port_removed() noexcept { impl_->port_removed(); }

bool Engine::is_port_removed() const noexcept { return impl_->is_port_gone; }

OpenError Engine::open(const OpenRequest& request, Instant now, ConnectionId& id) noexcept {
  if (impl_->is_port_gone) return OpenError::port_removed;
  return impl_->open(request, now, id);
}

void Engine::end_sending(ConnectionId id, Instant now) noexcept {
  if (Connection* c = impl_->find(id)) impl_->end_sending(*c, now);
}

void Engine::close(ConnectionId id, Instant now) noexcept {
  if (Connection* c = impl_->find(id)) impl_->close(*c, now);
}

void Engine::abort(ConnectionId id, Instant) noexcept {
  if (Connection* c = impl_->find(id)) impl_->abort(*c, EndReason::aborted);
}

void Engine::release(ConnectionId id) noexcept {
  if (Connection* c = impl_->find(id)) impl_->release(*c);
}

State Engine::state(ConnectionId id) const noexcept {
  const Connection* c = impl_->find(id);
  if (c == nullptr) return State::closed;
  // The record outlives or ends before the connection: it knows whether TIME-WAIT is over.
  const auto& records = impl_->time_wait;
  if (c->state == State::time_wait && !records.contains(records.tuple(c->remote, c->local_port)))
    return State::closed;
  return c->state;
}

EndReason Engine::end_reason(ConnectionId id) const noexcept {
  const Connection* c = impl_->find(id);
  return c == nullptr ? EndReason::none : c->end_reason;
}

net::Endpoint Engine::local(ConnectionId id) const noexcept {
  const Connection* c = impl_->find(id);
  return c == nullptr ? net::Endpoint{} : impl_->local_endpoint(*c);
}

net::Endpoint Engine::remote(ConnectionId id) const noexcept {
  const Connection* c = impl_->find(id);
  return c == nullptr ? net::Endpoint{} : c->remote;
}

std::uint32_t Engine::readable(ConnectionId id) const noexcept {
  const Connection* c = impl_->find(id);
  return c == nullptr ? 0 : c->readable;
}

std::span<std::byte> Engine::front(ConnectionId id) noexcept {
  Connection* c = impl_->find(id);
  if (c == nullptr || c->received.empty()) return {};
  return {c->received.front().data, c->received.front().length};
}

std::size_t Engine::peek(ConnectionId id, std::span<std::byte> out) const noexcept {
  const Connection* c = impl_->find(id);
  if (c == nullptr) return 0;
  std::size_t copied = 0;
  for (std::uint32_t i = c->received.head; i != c->received.tail && copied < out.size(); ++i) {
    const ReceivedView& view = c->received.at(i);
    const std::size_t n = std::min<std::size_t>(view.length, out.size() - copied);
    std::memcpy(&out[copied], view.data, n);
    copied += n;
  }
  return copied;
}

void Engine::consume(ConnectionId id, std::uint32_t bytes) noexcept {
  Connection* c = impl_->find(id);
  if (c == nullptr) return;
  POLLUX_ASSERT(bytes <= c->readable);
  c->readable -= bytes;
  while (bytes != 0) {
    ReceivedView& view = c->received.front();
    const std::uint32_t n = std::min(bytes, view.length);
    bytes -= n;
    view.data += n;
    view.length -= n;
    if (view.length != 0) break;
    impl_->drop_piece(view.handle);
    c->received.pop();
  }
  if (c->received.empty()) c->received.rewind();
  c->was_read = true;
  impl_->mark_dirty(*c);
}

std::uint32_t Engine::take_front(ConnectionId id, std::uint32_t bytes, RxView& out) noexcept {
  Connection* c = impl_->find(id);
  if (c == nullptr || c->received.empty() || bytes == 0) return 0;
  ReceivedView& view = c->received.front();
  if (impl_->copies.owns(view.handle) && !impl_->move_to_buffer(view)) {
    impl_->raise(*c, kReadable);  // asked again when there may be a buffer
    return 0;
  }
  const std::uint32_t n = std::min(bytes, view.length);
  out = {view.data, n, view.handle};
  c->readable -= n;
  view.data += n;
  view.length -= n;
  if (view.length == 0) {
    c->received.pop();
    if (c->received.empty()) c->received.rewind();
    --impl_->views_held;
  } else {
    impl_->memory.retain(view.handle);  // what is left in the queue keeps the reference it had
  }
  c->was_read = true;
  impl_->mark_dirty(*c);
  return n;
}

SendSpace Engine::Impl::send_space(const Connection* c) const noexcept {
  if (c == nullptr || c->fin_queued || c->state == State::closed || c->state == State::time_wait)
    return {};
  return {c->queue.space(), c->inline_bytes.space()};
}

SendSpace Engine::send_space(ConnectionId id) const noexcept {
  return impl_->send_space(impl_->find(id));
}

void Engine::send_inline(ConnectionId id, std::span<const std::byte> bytes) noexcept {
  Connection* c = impl_->find(id);
  if (c == nullptr || bytes.empty()) return;
  const SendSpace space = impl_->send_space(c);
  if (space.descriptors == 0 && space.inline_bytes == 0) return;  // it ended meanwhile
  POLLUX_ASSERT(space.descriptors != 0 && bytes.size() <= space.inline_bytes);
  const auto length = static_cast<std::uint32_t>(bytes.size());
  // A neighbour in the ring that is not wholly sent grows instead of taking a descriptor more.
  if (c->send_cursor != c->queue.tail && c->queue.back().data == nullptr)
    c->queue.back().length += length;
  else
    c->queue.push({nullptr, nullptr, nullptr, c->snd_end.raw(), length, c->inline_bytes.tail()});
  c->inline_bytes.append(bytes);
  c->snd_end += length;
  impl_->mark_dirty(*c);
}

void Engine::send_external(ConnectionId id, const std::byte* data, std::uint32_t length,
                           platform::TxTracker* tracker, SendReference* reference) noexcept {
  Connection* c = impl_->find(id);
  if (c == nullptr) return;
  const SendSpace space = impl_->send_space(c);
  if (space.descriptors == 0 && space.inline_bytes == 0) return;
  POLLUX_ASSERT(space.descriptors != 0 && length != 0);
  if (reference != nullptr) ++reference->count;
  c->queue.push({data, tracker, reference, c->snd_end.raw(), length, 0});
  c->snd_end += length;
  impl_->mark_dirty(*c);
}

std::size_t Engine::waiting_tuples() const noexcept { return impl_->time_wait.size(); }

std::size_t Engine::copied_pieces() const noexcept { return impl_->copies.in_use(); }

void Engine::set_listener(Listener* listener) noexcept { impl_->listener = listener; }
void Engine::set_port_policy(const PortPolicy& policy) noexcept { impl_->port_policy = policy; }

const Counters& Engine::counters() const noexcept { return impl_->counters; }

std::size_t Engine::open_connections() const noexcept {
  return impl_->limits.connections - impl_->free_count;
}

std::size_t Engine::timers_armed() const noexcept { return impl_->wheel.armed_count(); }

std::uint32_t Engine::segment_bytes(ConnectionId id) const noexcept {
  const Connection* c = impl_->find(id);
  return c == nullptr ? 1 : std::max<std::uint32_t>(c->mss, 1);
}

}  // namespace pollux::tcp
