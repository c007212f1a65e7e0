// The worker's look at its ports, some times a second: what a change of link or device means for
// the connections on it, and how control hears of it.
#include <algorithm>

#include "dataplane/net/counters.hpp"
#include "dataplane/worker/worker.hpp"

namespace pollux::worker {
namespace {

// A link that fails is noticed within the first, one that comes back within the second.
constexpr Duration kCheckInterval = 100ms;
constexpr Duration kCheckIntervalDown = 10ms;

}  // namespace

void Worker::check_ports(Instant now) noexcept {
  Duration interval = kCheckInterval;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    const platform::PortState before = port_states_[i];
    if (before == platform::PortState::removed) continue;
    const platform::PortState state = paths_[i].interface->check_port(now);
    if (state == platform::PortState::down) interval = kCheckIntervalDown;
    if (state != before) change_port(i, state, now);
  }
  check_addresses(now);
  next_port_check_ = now + interval;
}

void Worker::check_addresses(Instant now) noexcept {
  bool is_news = false;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    const net::Interface& interface = *interfaces_[i];
    const net::Counters& counters = interface.counters();
    const AddressReport report = address_watches_[i].look(interface, counters.arp_conflicts.get(),
                                                          counters.nd_conflicts.get(), now);
    std::atomic<std::uint32_t>& word = link_.addresses[i];
    const std::uint32_t before = word.load(std::memory_order_relaxed);
    if (address_report(before) == report) [[likely]]
      continue;
    word.store(address_word(report, port_changes(before) + 1), std::memory_order_release);
    is_news = true;
  }
  if (is_news) ring_doorbell();
}

void Worker::change_port(std::size_t path, platform::PortState state, Instant now) noexcept {
  port_states_[path] = state;
  switch (state) {
    case platform::PortState::up:
      paths_[path].engine->link_restored(now);
      break;
    case platform::PortState::down:
      // They would be lost, and whoever waits for their memory would wait for the link.
      paths_[path].interface->drop_queued();
      break;
    case platform::PortState::removed:
      paths_[path].interface->shut_port();
      paths_[path].engine->port_removed();
      break;
  }
  // Changes are counted, so that control sees a link that was down for a moment too.
  std::atomic<std::uint32_t>& word = link_.ports[path];
  word.store(port_word(state, port_changes(word.load(std::memory_order_relaxed)) + 1),
             std::memory_order_release);
  ring_doorbell();
}

Instant Worker::next_port_check() const noexcept {
  const bool is_any_down = std::find(port_states_.begin(), port_states_.end(),
                                     platform::PortState::down) != port_states_.end();
  // A link that is up changes no deadline of an idle worker: the next turn will see.
  return is_any_down ? next_port_check_ : kNever;
}

}  // namespace pollux::worker
