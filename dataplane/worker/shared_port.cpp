#include "dataplane/worker/shared_port.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/base/assert.hpp"
#include "dataplane/worker/frame_flow.hpp"

namespace pollux::worker {
namespace {

constexpr std::size_t kBurst = 64;
// In one call, while all of them are others' frames: more than most receive rings hold.
constexpr std::size_t kBurstsOfOthers = 16;

}  // namespace

class SharedPort::Share final : public platform::Port {
 public:
  Share(SharedPort& port, std::size_t worker, platform::Port& queue,
        const SharedPortSetup& setup) noexcept
      : port_(port),
        steering_(setup.steering),
        memory_(*setup.memories[worker]),
        queue_(worker < setup.queues.size() ? &queue : nullptr),
        info_(queue.info()),
        worker_(worker) {
    if (queue_ != nullptr) return;
    // A relayed frame is copied into one buffer of another worker.
    info_.tso_bytes_max = 0;
    info_.tso_segments_max = 0;
  }
  ~Share() { drop_relayed(); }

  [[nodiscard]] const platform::PortInfo& info() const noexcept override { return info_; }
  std::size_t receive(std::span<platform::RxSegment> segments) noexcept override;
  std::size_t take_passed_on() noexcept override { return std::exchange(passed_on_, 0); }
  std::size_t transmit(std::span<const platform::TxSegment> segments) noexcept override;
  void reclaim() noexcept override;
  [[nodiscard]] platform::PortState check() noexcept override;
  void shut() noexcept override;
  [[nodiscard]] const platform::Capabilities* capabilities() const noexcept override {
    return port_.capabilities_;
  }

  HandoverCounters counters;

 private:
  std::size_t receive_queue(std::span<platform::RxSegment> segments) noexcept;
  std::size_t sort_burst(std::size_t count, std::span<platform::RxSegment> segments) noexcept;
  std::size_t receive_lanes(std::span<platform::RxSegment> segments) noexcept;
  [[nodiscard]] platform::PortState check_without_queue() noexcept;
  bool is_ours(std::span<const platform::RxSegment> frame) noexcept;
  [[nodiscard]] std::span<const std::byte> head_of(
      std::span<const platform::RxSegment> frame) noexcept;
  void check_way(const FrameFlow& flow, const platform::RxSegment& first) noexcept;
  void spread(std::span<const platform::RxSegment> frame, std::size_t spared = 0) noexcept;
  bool give(std::size_t worker, std::span<const platform::RxSegment> frame) noexcept;
  void release(std::span<const platform::RxSegment> frame) noexcept;
  void collect() noexcept;
  void send_relayed() noexcept;
  void drop_relayed() noexcept;
  std::size_t relay(std::span<const platform::TxSegment> segments) noexcept;

  SharedPort& port_;
  const platform::Steering& steering_;
  platform::PacketMemory& memory_;
  platform::Port* queue_;  ///< nullptr: this worker lives on hand-over alone
  platform::PortInfo info_;
  std::size_t worker_;
  bool is_shut_ = false;
  bool lanes_first_ = false;
  std::size_t next_lane_ = 0;
  std::uint32_t seen_downs_ = 0;
  std::size_t passed_on_ = 0;  ///< frames, given or dropped, that nobody has been told of
  std::array<platform::RxSegment, kBurst> burst_;
  std::array<std::byte, kClassifyBytes> scratch_;
  std::array<platform::TxSegment, kBurst> relayed_;  ///< of others, not yet taken by the queue
  std::size_t relayed_count_ = 0;
};

// --- Receiving

std::size_t SharedPort::Share::receive(std::span<platform::RxSegment> segments) noexcept {
  collect();
  send_relayed();
  // A port drops what finds no room, so it is always given all of it: one source in a call, and
  // neither source can starve the other.
  lanes_first_ = !lanes_first_;
  if (lanes_first_) {
    const std::size_t used = receive_lanes(segments);
    return used != 0 ? used : receive_queue(segments);
  }
  const std::size_t used = receive_queue(segments);
  return used != 0 ? used : receive_lanes(segments);
}

std::size_t SharedPort::Share::receive_lanes(std::span<platform::RxSegment> segments) noexcept {
  std::size_t used = 0;
  for (std::size_t i = 0; i < port_.workers_; ++i) {
    const std::size_t from = (next_lane_ + i) % port_.workers_;
    if (from == worker_) continue;
    used += take_frames(port_.lane(from, worker_), memory_, segments.subspan(used), counters);
  }
  next_lane_ = (next_lane_ + 1) % port_.workers_;
  return used;
}

std::size_t SharedPort::Share::receive_queue(std::span<platform::RxSegment> segments) noexcept {
  if (queue_ == nullptr) return 0;
  const std::size_t most = std::min(segments.size(), burst_.size());
  // Others' frames in front of ours must not look like an empty queue: whoever was held up reads
  // until it is empty before it believes a timer.
  for (std::size_t bursts = 0; bursts < kBurstsOfOthers; ++bursts) {
    const std::size_t count = queue_->receive(std::span(burst_).first(most));
    if (count == 0) return 0;
    if (const std::size_t used = sort_burst(count, segments); used != 0) return used;
    collect();
  }
  return 0;
}

/// Our frames out of the first `count` segments of the burst; the others are passed on.
std::size_t SharedPort::Share::sort_burst(std::size_t count,
                                          std::span<platform::RxSegment> segments) noexcept {
  std::size_t used = 0;
  for (std::size_t first = 0, end = 0; first < count; first = end) {
    while (end < count && (burst_[end].flags & platform::kRxMore) != 0) ++end;
    end = std::min(end + 1, count);
    const std::span frame = std::span(burst_).subspan(first, end - first);
    if (!is_ours(frame)) continue;
    std::copy(frame.begin(), frame.end(), segments.begin() + static_cast<std::ptrdiff_t>(used));
    used += frame.size();
  }
  return used;
}

std::span<const std::byte> SharedPort::Share::head_of(
    std::span<const platform::RxSegment> frame) noexcept {
  if (frame.size() == 1 || frame.front().length >= kClassifyBytes) [[likely]]
    return {frame.front().data, frame.front().length};
  std::size_t filled = 0;
  for (const platform::RxSegment& segment : frame) {
    const std::size_t n = std::min<std::size_t>(segment.length, scratch_.size() - filled);
    if (n != 0) std::memcpy(scratch_.data() + filled, segment.data, n);
    filled += n;
  }
  return std::span(scratch_).first(filled);
}

/// False: the frame has been handed over or dropped.
bool SharedPort::Share::is_ours(std::span<const platform::RxSegment> frame) noexcept {
  FrameFlow flow;
  classify(head_of(frame), flow);
  if (flow.kind == FrameKind::other) return true;
  if (flow.kind == FrameKind::notice) {
    spread(frame);
    return true;
  }
  if (flow.kind == FrameKind::question) {
    spread(frame, port_.ring_segments_ / 2);
    return true;
  }
  if (flow.is_syn_ack && flow.is_plain) check_way(flow, frame.front());
  const std::size_t owner = steering_.owner(flow.tuple);
  if (owner == worker_) return true;
  ++passed_on_;
  if (give(owner, frame)) {
    (flow.kind == FrameKind::flow ? counters.given : counters.errors_given).add();
  } else {
    counters.dropped_full.add();
    release(frame);
  }
  return false;
}

/// Whether the port does what it was told, by the first segment of each connection.
void SharedPort::Share::check_way(const FrameFlow& flow,
                                  const platform::RxSegment& first) noexcept {
  const SteeringVerdict before = port_.verdict();
  if (flow.is_ipv6 && !port_.steers_ipv6_) return;
  if (before != SteeringVerdict::unproved && before != SteeringVerdict::confirmed) return;
  SteeringVerdict now = SteeringVerdict::confirmed;
  counters.hash_checked.add();
  const bool has_hash = (first.flags & platform::kRxHash) != 0;
  if (has_hash && steering_.rule() == platform::SteeringRule::toeplitz &&
      first.rss_hash != steering_.hash(flow.tuple)) {
    counters.hash_mismatches.add();
    now = SteeringVerdict::wrong_hash;
  } else if (steering_.owner(flow.tuple) % port_.queues_ != worker_) {
    counters.wrong_queue.add();
    now = SteeringVerdict::wrong_queue;
  }
  if (now != before) port_.verdict_.store(now, std::memory_order_relaxed);
}

/// A copy for every other worker; the frame itself stays. Leaves room for `spared` segments in each
/// lane: anybody may ask without end, and connections live on the same lanes.
void SharedPort::Share::spread(std::span<const platform::RxSegment> frame,
                               std::size_t spared) noexcept {
  // It is in burst_, and nobody else's yet.
  platform::RxSegment& head = burst_[static_cast<std::size_t>(frame.data() - burst_.data())];
  const std::uint16_t flags = head.flags;
  head.flags = static_cast<std::uint16_t>(flags | platform::kRxCopy);
  for (std::size_t to = 0; to < port_.workers_; ++to) {
    if (to == worker_) continue;
    if (!port_.lane(worker_, to).has_room(frame.size() + spared)) {
      counters.dropped_full.add();
      continue;
    }
    // The reference comes first: the other side may give it back at once.
    for (const platform::RxSegment& segment : frame) memory_.retain(segment.handle);
    const bool is_given = give(to, frame);
    POLLUX_ASSERT(is_given);
    counters.notices_given.add();
  }
  head.flags = flags;
}

bool SharedPort::Share::give(std::size_t worker,
                             std::span<const platform::RxSegment> frame) noexcept {
  return port_.lane(worker_, worker).give(frame);
}

void SharedPort::Share::release(std::span<const platform::RxSegment> frame) noexcept {
  for (const platform::RxSegment& segment : frame) memory_.release({&segment.handle, 1});
}

void SharedPort::Share::collect() noexcept {
  for (std::size_t to = 0; to < port_.workers_; ++to)
    if (to != worker_) port_.lane(worker_, to).collect(memory_);
  if (queue_ == nullptr) port_.relays_[worker_]->collect(memory_);
}

// --- Transmitting

std::size_t SharedPort::Share::transmit(std::span<const platform::TxSegment> segments) noexcept {
  if (queue_ == nullptr) return relay(segments);
  send_relayed();
  return queue_->transmit(segments);
}

/// Frames of the workers that this one serves: worker i without a queue sends by queue i modulo
/// queues.
void SharedPort::Share::send_relayed() noexcept {
  if (queue_ == nullptr) return;
  for (std::size_t from = port_.queues_ + worker_; from < port_.workers_; from += port_.queues_) {
    const std::span room = std::span(relayed_).subspan(relayed_count_);
    relayed_count_ += take_relayed(*port_.relays_[from], memory_, room, counters);
  }
  if (relayed_count_ == 0) return;
  // Whoever gave them wants their memory back, and nothing leaves any more.
  if (is_shut_) return drop_relayed();
  const std::span waiting = std::span(relayed_).first(relayed_count_);
  const std::size_t sent = queue_->transmit(waiting);
  std::copy(waiting.begin() + static_cast<std::ptrdiff_t>(sent), waiting.end(), waiting.begin());
  relayed_count_ -= sent;
}

void SharedPort::Share::drop_relayed() noexcept {
  for (const platform::TxSegment& frame : std::span(relayed_).first(relayed_count_))
    memory_.release({&frame.handle, 1});
  relayed_count_ = 0;
}

std::size_t SharedPort::Share::relay(std::span<const platform::TxSegment> segments) noexcept {
  std::size_t taken = 0;
  while (taken < segments.size()) {
    std::size_t count = 1;
    while ((segments[taken + count - 1].flags & platform::kTxMore) != 0) ++count;
    if (!relay_frame(*port_.relays_[worker_], memory_, segments.subspan(taken, count), counters)) {
      counters.relay_waits.add();
      break;
    }
    taken += count;
  }
  return taken;
}

void SharedPort::Share::reclaim() noexcept {
  collect();
  if (queue_ != nullptr) queue_->reclaim();
}

platform::PortState SharedPort::Share::check() noexcept {
  if (queue_ == nullptr) return check_without_queue();
  const platform::PortState state = queue_->check();
  if (worker_ != 0) return state;
  const platform::PortState before = port_.state_.load(std::memory_order_relaxed);
  if (state == platform::PortState::down && state != before)
    port_.downs_.fetch_add(1, std::memory_order_relaxed);
  port_.state_.store(state, std::memory_order_relaxed);
  return state;
}

/// Looks rarely, and must not miss a link that was down in between.
platform::PortState SharedPort::Share::check_without_queue() noexcept {
  const platform::PortState state = port_.state_.load(std::memory_order_relaxed);
  const std::uint32_t downs = port_.downs_.load(std::memory_order_relaxed);
  const bool was_down = std::exchange(seen_downs_, downs) != downs;
  return was_down && state == platform::PortState::up ? platform::PortState::down : state;
}

void SharedPort::Share::shut() noexcept {
  is_shut_ = true;
  drop_relayed();
  if (queue_ != nullptr) queue_->shut();
}

// --- The port

SharedPort::SharedPort(const SharedPortSetup& setup)
    : workers_(setup.memories.size()),
      queues_(setup.queues.size()),
      ring_segments_(setup.ring_segments),
      relays_(workers_),
      memories_(setup.memories.begin(), setup.memories.end()),
      capabilities_(setup.queues.front()->capabilities()),
      steers_ipv6_(setup.device_steers_ipv6),
      verdict_(setup.device_steers ? SteeringVerdict::unproved : SteeringVerdict::software) {
  POLLUX_ASSERT(queues_ > 0 && queues_ <= workers_ && setup.steering.workers() == workers_);
  for (std::size_t from = 0; from < workers_; ++from) {
    for (std::size_t to = 0; to < workers_; ++to)
      lanes_.push_back(from == to ? nullptr : std::make_unique<Lane>(setup.ring_segments));
    if (from >= queues_) relays_[from] = std::make_unique<Relay>(setup.ring_segments);
    shares_.push_back(std::make_unique<Share>(*this, from, *setup.queues[from % queues_], setup));
  }
}

SharedPort::~SharedPort() {
  shares_.clear();
  for (std::size_t from = 0; from < workers_; ++from) {
    for (std::size_t to = 0; to < workers_; ++to)
      if (from != to) lane(from, to).drain(*memories_[from]);
    if (relays_[from] != nullptr) relays_[from]->drain(*memories_[from]);
  }
}

platform::Port& SharedPort::share(std::size_t worker) noexcept { return *shares_[worker]; }

const HandoverCounters& SharedPort::counters(std::size_t worker) const noexcept {
  return shares_[worker]->counters;
}

}  // namespace pollux::worker
