#include "dataplane/worker/worker.hpp"

#include <algorithm>
#include <bit>

#include "dataplane/base/assert.hpp"
#include "dataplane/net/path_error.hpp"
#include "dataplane/worker/doorbell.hpp"

namespace pollux::worker {
namespace {

std::vector<iscsi::Path> make_paths(const WorkerSetup& setup, platform::PacketMemory& memory,
                                    Instant start,
                                    std::vector<std::unique_ptr<net::Interface>>& interfaces,
                                    std::vector<std::unique_ptr<tcp::Engine>>& engines) {
  std::vector<iscsi::Path> paths;
  Random seeds(setup.random_seed);
  for (const PortSetup& port : setup.ports) {
    interfaces.push_back(
        std::make_unique<net::Interface>(port.addressing, *port.port, memory, start));
    engines.push_back(std::make_unique<tcp::Engine>(setup.tcp_limits, setup.tcp_timers,
                                                    *interfaces.back(), memory,
                                                    Random(seeds.next()), start));
    paths.push_back({interfaces.back().get(), engines.back().get()});
  }
  return paths;
}

/// Of WorkerCounters::kBurstSizes.
std::size_t burst_size(std::size_t frames) noexcept {
  const auto size = static_cast<std::size_t>(std::bit_width(frames - 1));
  return std::min(size, WorkerCounters::kBurstSizes - 1);
}

}  // namespace

Worker::Worker(const WorkerSetup& setup, platform::PacketMemory& memory, Link& link, Instant start)
    : paths_(make_paths(setup, memory, start, interfaces_, engines_)),
      reclaims_(paths_.size()),
      memory_(memory),
      link_(link),
      initiator_(setup.iscsi, paths_, memory, link, stages_, start),
      next_port_check_(start),
      last_turn_at_(start) {
  POLLUX_ASSERT(paths_.size() <= kPortsMost);
  steer(setup);
  check_addresses(start);
}

void Worker::steer(const WorkerSetup& setup) {
  // Other numbers than the engines draw.
  Random seeds(~setup.random_seed);
  for (std::size_t i = 0; i < setup.ports.size(); ++i) {
    const PortSetup& port = setup.ports[i];
    if (port.steering == nullptr) continue;
    steered_ports_.push_back(std::make_unique<SteeredPorts>(*port.steering, port.index,
                                                            *interfaces_[i], Random(seeds.next())));
    engines_[i]->set_port_policy(steered_ports_.back()->policy());
  }
}

Worker::~Worker() = default;

std::size_t Worker::receive(iscsi::Path& path, Instant now) noexcept {
  std::size_t frames = 0;
  stages_.enter(Stage::receive);
  const std::size_t count = path.interface->receive(now, datagrams_, frames);
  if (frames == 0) return path.interface->take_passed_on();
  stages_.enter(Stage::tcp);
  path.engine->input(std::span(datagrams_).first(count), now);
  take_path_errors(path, now);
  // Whoever has our address says so in a frame that is no segment.
  if (frames != count) [[unlikely]]
    check_addresses(now);
  counters_.frames_received.add(frames);
  counters_.received_bursts[burst_size(frames)].add();
  return frames + path.interface->take_passed_on();
}

void Worker::take_path_errors(iscsi::Path& path, Instant now) noexcept {
  std::array<net::PathError, 4> errors;
  while (const std::size_t count = path.interface->take_path_errors(errors))
    for (std::size_t i = 0; i < count; ++i) path.engine->on_path_error(errors[i], now);
}

/// Nothing is built for a port that nothing leaves by.
std::size_t Worker::send(std::size_t path, Instant now) noexcept {
  net::Interface& interface = *paths_[path].interface;
  if (port_states_[path] != platform::PortState::up) [[unlikely]] {
    interface.drop_queued();
    return 0;
  }
  stages_.enter(Stage::tcp);
  const std::size_t frames = paths_[path].engine->output(now);
  stages_.enter(Stage::transmit);
  if (interface.flush() != 0) reclaims_[path].on_sent(now);
  if (frames != 0) {
    counters_.frames_sent.add(frames);
    counters_.sent_bursts[burst_size(frames)].add();
  }
  return frames;
}

std::size_t Worker::hand_on_events(iscsi::Path& path, Instant now) noexcept {
  stages_.enter(Stage::pdu);
  const std::size_t count = path.engine->take_events(events_);
  for (std::size_t i = 0; i < count; ++i) {
    if (i + 1 < count) initiator_.prefetch(events_[i + 1]);
    initiator_.on_event(events_[i], *path.engine, now);
  }
  return count;
}

/// After a pause the ring may hold more than one burst, and an acknowledgment at its end: all of it
/// is read, and what came is handed on so that it finds room, before a timer is believed.
std::size_t Worker::catch_up(iscsi::Path& path, Instant now) noexcept {
  std::size_t work = 0;
  for (std::size_t bursts = 0; bursts < kCatchUpBursts;) {
    const std::size_t frames = receive(path, now);
    if (frames == 0) break;
    work += frames + hand_on_events(path, now);
    // One call passes on more bursts of other workers' frames than one.
    bursts += 1 + frames / kBurst;
  }
  return work;
}

std::size_t Worker::poll_once(Instant now) noexcept {
  counters_.turns.add();
  std::size_t work = 0;
  const bool was_held_up = now - last_turn_at_ > kHeldUp;
  last_turn_at_ = now;
  if (now >= next_port_check_) [[unlikely]]
    check_ports(now);
  for (iscsi::Path& path : paths_) {
    if (was_held_up) [[unlikely]]
      work += catch_up(path, now);
    work += receive(path, now);
    stages_.enter(Stage::tcp);
    path.interface->run_timers(now);
    work += path.engine->run_timers(now, kTimersPerTurn);
    work += hand_on_events(path, now);
  }
  stages_.enter(Stage::other);
  work += initiator_.run_timers(now);
  work += initiator_.take_messages(now);
  stages_.enter(Stage::scsi);
  work += initiator_.take_submissions(now);
  work += initiator_.send(now);
  for (std::size_t i = 0; i < paths_.size(); ++i) work += send(i, now);
  reclaim(now);
  stages_.enter(Stage::completion);
  initiator_.collect(now);
  if (initiator_.pushed_to_control()) ring_doorbell();
  if (counters_.turns.get() % kSampleTurns == 0) sample();
  return work;
}

std::size_t Worker::poll_counted(Instant now, std::uint64_t start,
                                 StageClock::Cycles cycles) noexcept {
  if (turn_ended_ != 0) counters_.away_cycles.add(start - turn_ended_);
  stages_.begin_turn(cycles, start);
  const std::size_t work = poll_once(now);
  stages_.end_turn(work != 0);
  turn_ended_ = cycles();
  (work != 0 ? counters_.busy_cycles : counters_.idle_cycles).add(turn_ended_ - start);
  return work;
}

void Worker::count_rest(std::uint64_t end, bool is_nap) noexcept {
  const std::uint64_t rest = end - turn_ended_;
  turn_ended_ = end;
  counters_.idle_cycles.add(rest);
  if (!is_nap) return;
  counters_.naps.add();
  counters_.nap_cycles.add(rest);
  if (counters_.naps.get() % kSampleNaps == 0) sample();
}

void Worker::ring_doorbell() noexcept {
  // Pairs with the fence between control's store to control_sleeps and its last look at the rings:
  // either control sees the message, or the worker sees that control sleeps.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!link_.control_sleeps.load(std::memory_order_relaxed)) return;
  link_.control_sleeps.store(false, std::memory_order_relaxed);
  counters_.doorbells.add();
  ring(link_.doorbell_fd);
}

void Worker::reclaim(Instant now) noexcept {
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    if (!reclaims_[i].due(now)) [[likely]]
      continue;
    paths_[i].interface->reclaim();
    counters_.reclaims.add();
    // A walk over all trackers: worth it once the port is idle.
    std::uint64_t held = 0;
    if (reclaims_[i].is_idle(now)) {
      held = external_in_flight();
      counters_.external_held.set(held);
    }
    reclaims_[i].on_reclaimed(held != 0, now);
  }
}

std::uint64_t Worker::external_in_flight() const noexcept {
  std::uint64_t frames = 0;
  for (std::size_t i = 0; i < memory_.tracker_count(); ++i)
    frames += memory_.in_flight(*memory_.tracker(i));
  return frames;
}

void Worker::sample() noexcept {
  counters_.buffers_in_use.set(memory_.buffers_in_use());
  counters_.tasks_in_use.set(initiator_.tasks_in_use());
  std::size_t timers = initiator_.timers_armed();
  for (const auto& engine : engines_) timers += engine->timers_armed();
  counters_.timers_armed.set(timers);
}

Instant Worker::next_deadline() const noexcept {
  Instant earliest = std::min(initiator_.next_deadline(), next_port_check());
  for (const IdleReclaim& port : reclaims_) earliest = std::min(earliest, port.next_deadline());
  for (const iscsi::Path& path : paths_)
    earliest = std::min({earliest, path.interface->next_deadline(), path.engine->next_deadline()});
  return earliest;
}

}  // namespace pollux::worker
