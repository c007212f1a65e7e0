// A port's life: opened, looked after, reset with its device, removed, told about.

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <utility>

#include "dataplane/platform/dpdk_port_impl.hpp"

namespace pollux::platform {

DpdkPort::Impl::~Impl() { drop_held(); }

void DpdkPort::Impl::drop_held() noexcept {
  for (std::uint16_t i = 0; i < tx_waiting; ++i) rte_pktmbuf_free(tx_frames[i]);
  for (; rx_first < rx_end; ++rx_first) rte_pktmbuf_free(rx_waiting[rx_first]);
  counters.tx_dropped_removed.add(tx_waiting);
  tx_waiting = 0;
}

void DpdkPort::Impl::rest() noexcept {
  if (!resting) {
    // Frames that were built for the old queues go with them: TCP sends what matters again.
    drop_held();
    resting = true;
    resets_before = device->resets();
    device->rest();
  }
  if (device->resets() != resets_before) resting = false;
}

PortState DpdkPort::Impl::check() noexcept {
  DeviceEvents& events = device->events();
  const auto is_removed = [&events] { return events.removed.load(std::memory_order_acquire); };
  gone |= is_removed();
  if (!gone && (resting || events.wants_reset.load(std::memory_order_acquire))) {
    rest();
    gone |= is_removed();
    if (!gone && !resting) {
      counters.resets.add();
      // What was under way is lost and the network may have forgotten us: as after a link that was
      // down, which the next look finds to be up.
      return PortState::down;
    }
  }
  if (gone) return PortState::removed;
  // The other queues' workers have not seen yet that the device asks for a reset.
  if (resting) return PortState::down;
  if (traits.link_always_up) return PortState::up;
  rte_eth_link link{};
  const bool up =
      rte_eth_link_get_nowait(traits.id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  return up ? PortState::up : PortState::down;
}

void DpdkPort::Impl::shut() noexcept {
  gone = true;
  drop_held();
  if (!std::exchange(shut_down, true)) device->leave();
}

// --- The face

DpdkPort::DpdkPort(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
DpdkPort::~DpdkPort() = default;

const PortInfo& DpdkPort::info() const noexcept { return impl_->traits.info; }

PortState DpdkPort::check() noexcept { return impl_->check(); }

void DpdkPort::shut() noexcept { impl_->shut(); }

const PortCounters& DpdkPort::counters() const noexcept { return impl_->counters; }

DeviceStatistics DpdkPort::device_statistics() const noexcept {
  rte_eth_stats stats{};
  if (rte_eth_stats_get(impl_->traits.id, &stats) != 0) return {};
  return {.rx_missed = stats.imissed,
          .rx_errors = stats.ierrors,
          .rx_no_buffer = stats.rx_nombuf,
          .tx_errors = stats.oerrors};
}

const std::string& DpdkPort::driver() const noexcept { return capabilities()->driver; }

const Capabilities* DpdkPort::capabilities() const noexcept {
  return &impl_->traits.plan.capabilities;
}

std::uint16_t DpdkPort::device_id() const noexcept { return impl_->traits.id; }

std::unique_ptr<DpdkPort> open_port(const PortOptions& options, DpdkPacketMemory& memory,
                                    std::string& error) {
  DpdkPacketMemory* const memories[] = {&memory};
  OpenedQueues opened;
  if (!open_queues(options, memories, 0, opened, error)) return nullptr;
  return std::move(opened.queues.front());
}

bool open_queues(const PortOptions& options, std::span<DpdkPacketMemory* const> memories,
                 std::uint64_t seed, OpenedQueues& opened, std::string& error) {
  auto device = std::make_shared<DpdkDevice>();
  if (!device->open(options, memories, seed, opened, error)) return false;
  for (std::uint16_t i = 0; i < device->queues(); ++i)
    opened.queues.push_back(
        std::make_unique<DpdkPort>(std::make_unique<DpdkPort::Impl>(*memories[i], device, i)));
  return true;
}

}  // namespace pollux::platform
