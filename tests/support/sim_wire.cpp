#include "tests/support/sim_wire.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/base/assert.hpp"
#include "tests/support/frame_checksum.hpp"
#include "tests/support/sim_port.hpp"

namespace pollux::sim {

namespace {

constexpr std::size_t kFrameBytesMin = 14;
constexpr std::size_t kArpBytesMin = 42;
constexpr std::size_t kWireOverheadBytes = 24;  // preamble, FCS, gap

void flip_bit(Frame& frame, std::size_t first, std::size_t end, Random& random) {
  const std::size_t at = first + random.below(static_cast<std::uint32_t>(end - first));
  frame[at] ^= static_cast<std::byte>(1u << random.below(8));
}

}  // namespace

SimWire::SimWire(std::uint64_t seed, Instant start)
    : seed_(seed), now_(start), directions_{Direction(seed * 2 + 1), Direction(seed * 2 + 2)} {}

SimWire::~SimWire() {
  for (SimPort* port : ports_) POLLUX_ASSERT(port == nullptr);
}

void SimWire::attach(std::size_t end, SimPort& port) noexcept {
  POLLUX_ASSERT(ports_[end] == nullptr);
  ports_[end] = &port;
}

void SimWire::detach(std::size_t end) noexcept { ports_[end] = nullptr; }

Instant SimWire::next_event() const noexcept {
  Instant next = kNever;
  for (const Direction& direction : directions_)
    if (!direction.under_way.empty()) next = std::min(next, direction.under_way.begin()->first);
  for (const SimPort* port : ports_)
    if (port != nullptr) next = std::min(next, port->next_completion());
  return next;
}

void SimWire::advance(Instant to) {
  POLLUX_ASSERT(to >= now_);
  for (Instant due = next_event(); due <= to && due != kNever; due = next_event()) {
    now_ = std::max(now_, due);
    for (std::size_t from = 0; from < 2; ++from) {
      auto& under_way = directions_[from].under_way;
      while (!under_way.empty() && under_way.begin()->first <= now_) {
        Frame frame = std::move(under_way.begin()->second);
        under_way.erase(under_way.begin());
        ++directions_[from].hits.delivered;
        arrive(1 - from, std::move(frame));
      }
    }
    for (SimPort* port : ports_)
      if (port != nullptr) port->complete(now_);
  }
  now_ = to;
}

void SimWire::arrive(std::size_t end, Frame frame) {
  if (ports_[end] != nullptr)
    ports_[end]->arrived(std::move(frame));
  else
    inbox_[end].push_back(std::move(frame));
}

std::optional<Frame> SimWire::take(std::size_t end) {
  if (inbox_[end].empty()) return std::nullopt;
  Frame frame = std::move(inbox_[end].front());
  inbox_[end].pop_front();
  return frame;
}

void SimWire::heal() noexcept {
  for (Direction& direction : directions_) {
    WireFaults healthy;
    healthy.delay = direction.faults.delay;
    healthy.jitter = direction.faults.jitter;
    healthy.bits_per_second = direction.faults.bits_per_second;
    healthy.queue_bytes = direction.faults.queue_bytes;
    healthy.mark_above_bytes = direction.faults.mark_above_bytes;
    direction.faults = healthy;
    direction.burst_bad = false;
    direction.drop_at.clear();
    direction.drop_if = nullptr;
  }
}

void SimWire::drop_nth(std::size_t from, std::uint64_t n) {
  directions_[from].drop_at.insert(directions_[from].hits.sent + n);
}

void SimWire::drop_if(std::size_t from, std::function<bool(std::span<const std::byte>)> predicate) {
  directions_[from].drop_if = std::move(predicate);
}

void SimWire::watch(std::function<void(std::size_t, Instant, std::span<const std::byte>)> watcher) {
  watcher_ = std::move(watcher);
}

bool SimWire::record(const std::string& path) {
  recorder_.emplace(path);
  return recorder_->open();
}

void SimWire::set_paused(std::size_t from, bool paused) {
  Direction& direction = directions_[from];
  direction.paused = paused;
  if (paused) return;
  std::deque<Frame> held = std::exchange(direction.held, {});
  for (Frame& frame : held) carry(from, std::move(frame));
}

bool SimWire::lost(Direction& direction, std::span<const std::byte> frame) {
  const WireFaults& faults = direction.faults;
  if (direction.drop_at.erase(direction.hits.sent) != 0) {
    ++direction.hits.nth_dropped;
    return true;
  }
  if (direction.drop_if && direction.drop_if(frame)) {
    ++direction.hits.predicate_dropped;
    return true;
  }
  // Bursts are counted in frames: one that met nothing but a handshake would outlast its patience.
  constexpr Duration kBurstMost = 500ms;
  if (now_ - std::exchange(direction.last_frame_at, now_) > kBurstMost) direction.burst_bad = false;
  const std::uint32_t turn = direction.burst_bad ? faults.burst_leave_ppm : faults.burst_enter_ppm;
  if (turn != 0 && direction.random.chance_ppm(turn)) direction.burst_bad = !direction.burst_bad;
  if (direction.burst_bad && direction.random.chance_ppm(faults.burst_drop_ppm)) {
    ++direction.hits.burst_dropped;
    return true;
  }
  if (faults.drop_ppm != 0 && direction.random.chance_ppm(faults.drop_ppm)) {
    ++direction.hits.dropped;
    return true;
  }
  return false;
}

void SimWire::damage(Direction& direction, Frame& frame) {
  const WireFaults& faults = direction.faults;
  Random& random = direction.random;
  if (faults.corrupt_ppm != 0 && random.chance_ppm(faults.corrupt_ppm)) {
    flip_bit(frame, 0, frame.size(), random);
    ++direction.hits.corrupted;
  }
  if (faults.corrupt_fixed_ppm != 0 && random.chance_ppm(faults.corrupt_fixed_ppm)) {
    const TcpFrame at = dissect(frame);
    if (at.valid && at.payload < at.end) {
      flip_bit(frame, at.payload, at.end, random);
      write_tcp_checksum(frame, at);
      ++direction.hits.corrupted_fixed;
    }
  }
  if (faults.truncate_ppm != 0 && frame.size() > kFrameBytesMin &&
      random.chance_ppm(faults.truncate_ppm)) {
    const auto range = static_cast<std::uint32_t>(frame.size() - kFrameBytesMin);
    frame.resize(kFrameBytesMin + random.below(range));
    ++direction.hits.truncated;
  }
}

void SimWire::send(std::size_t from, Frame frame) {
  Direction& direction = directions_[from];
  ++direction.hits.sent;
  if (!stripped_kinds_.empty()) strip(direction, frame);
  if (watcher_) watcher_(from, now_, frame);
  if (recorder_) recorder_->write(static_cast<std::uint32_t>(from), now_, frame);
  if (!link_up_) {
    ++direction.hits.link_dropped;
    return;
  }
  const Fate fate = decider_ ? decider_(from, frame) : Fate::pass;
  if (fate == Fate::drop) {
    ++direction.hits.predicate_dropped;
    return;
  }
  if (lost(direction, frame)) return;
  if (!translate(from, frame)) {
    ++direction.hits.stale_mac;
    return;
  }
  damage(direction, frame);
  const bool twice = direction.faults.duplicate_ppm != 0 &&
                     direction.random.chance_ppm(direction.faults.duplicate_ppm);
  if (twice || fate == Fate::duplicate) {
    ++direction.hits.duplicated;
    carry(from, frame);
  }
  carry(from, std::move(frame), fate == Fate::delay);
}

void SimWire::change_mac(std::size_t end, const std::array<std::uint8_t, 6>& own,
                         const std::array<std::uint8_t, 6>& shown,
                         std::span<const std::uint8_t, 4> address, bool announce) {
  aliases_[end] = {true, own, shown};
  if (!announce) return;
  // RFC 5227 3: a request whose sender and target are the same address.
  Frame frame(60);
  const auto put = [&frame](std::size_t at, std::span<const std::uint8_t> bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i) frame[at + i] = std::byte{bytes[i]};
  };
  constexpr std::array<std::uint8_t, 10> kHead{0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1};
  put(0, std::array<std::uint8_t, 6>{0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
  put(6, own);
  put(12, kHead);
  put(22, own);
  put(28, address);
  put(38, address);
  send(end, std::move(frame));
}

bool SimWire::translate(std::size_t from, Frame& frame) {
  const auto is = [&frame](std::size_t at, const std::array<std::uint8_t, 6>& mac) {
    return std::memcmp(&frame[at], mac.data(), mac.size()) == 0;
  };
  const auto put = [&frame](std::size_t at, const std::array<std::uint8_t, 6>& mac) {
    std::memcpy(&frame[at], mac.data(), mac.size());
  };
  if (frame.size() < kFrameBytesMin) return true;
  const bool is_arp =
      frame[12] == std::byte{8} && frame[13] == std::byte{6} && frame.size() >= kArpBytesMin;
  const Alias& sender = aliases_[from];
  if (sender.on && is(6, sender.own)) put(6, sender.shown);
  if (sender.on && is_arp && is(22, sender.own)) put(22, sender.shown);
  const Alias& receiver = aliases_[1 - from];
  if (!receiver.on) return true;
  if (is(0, receiver.own) && receiver.own != receiver.shown) return false;
  if (is(0, receiver.shown)) put(0, receiver.own);
  if (is_arp && is(32, receiver.shown)) put(32, receiver.own);
  return true;
}

void SimWire::strip(Direction& direction, Frame& frame) {
  const TcpFrame at = dissect(frame);
  if (!at.valid || (std::to_integer<unsigned>(frame[at.tcp + 13]) & 2u) == 0) return;
  for (std::size_t i = at.tcp + 20; i < at.payload;) {
    const auto kind = std::to_integer<std::uint8_t>(frame[i]);
    if (kind == 0) break;
    std::size_t length = 1;
    if (kind != 1) length = std::max<std::size_t>(std::to_integer<std::size_t>(frame[i + 1]), 2);
    if (std::find(stripped_kinds_.begin(), stripped_kinds_.end(), kind) != stripped_kinds_.end()) {
      for (std::size_t j = i; j < i + length && j < at.payload; ++j) frame[j] = std::byte{1};
      ++direction.hits.stripped;
    }
    i += length;
  }
  write_tcp_checksum(frame, at);
}

void SimWire::mark(Direction& direction, Frame& frame, std::uint64_t backlog_bytes) {
  const std::size_t threshold = direction.faults.mark_above_bytes;
  if (threshold == 0 || backlog_bytes <= threshold) return;
  const TcpFrame at = dissect(frame);
  if (!at.valid || (frame[at.ip + 1] & std::byte{3}) == std::byte{0}) return;
  frame[at.ip + 1] |= std::byte{3};
  write_ip_checksum(frame);
  ++direction.hits.marked;
}

void SimWire::carry(std::size_t from, Frame frame, bool late) {
  Direction& direction = directions_[from];
  const WireFaults& faults = direction.faults;
  if (direction.paused) {
    ++direction.hits.paused;
    direction.held.push_back(std::move(frame));
    return;
  }
  Instant leaves = now_;
  if (faults.bits_per_second != 0) {
    const std::uint64_t rate = faults.bits_per_second;
    const std::uint64_t bits = (frame.size() + kWireOverheadBytes) * 8;
    leaves = std::max(now_, direction.idle_at);
    const auto backlog = static_cast<std::uint64_t>((leaves - now_).count());
    const std::uint64_t waiting = backlog * (rate / 1000) / 8'000'000;
    if (waiting + frame.size() > faults.queue_bytes) {
      ++direction.hits.queue_dropped;
      return;
    }
    mark(direction, frame, waiting);
    leaves += Duration(static_cast<Duration::rep>(bits * 1'000'000'000 / rate));
    direction.idle_at = leaves;
  }
  Instant arrival = leaves + faults.delay;
  if (faults.jitter > Duration::zero()) {
    const auto most =
        static_cast<std::uint32_t>(std::min<Duration::rep>(faults.jitter.count(), 1 << 30));
    arrival += Duration(direction.random.below(most));
    ++direction.hits.jittered;
  }
  arrival = std::max(arrival, direction.last_arrival);
  direction.last_arrival = arrival;
  if (late || (faults.reorder_ppm != 0 && direction.random.chance_ppm(faults.reorder_ppm))) {
    arrival += faults.reorder_delay;
    ++direction.hits.reordered;
  }
  direction.under_way.emplace(arrival, std::move(frame));
}

}  // namespace pollux::sim
