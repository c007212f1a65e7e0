// The in-process wire over the net_ring driver.

#include "dataplane/platform/ring_wire.hpp"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <array>
#include <atomic>
#include <utility>
#include <vector>

namespace pollux::platform {
namespace {

struct RingDeleter {
  void operator()(rte_ring* ring) const noexcept {
    void* frame = nullptr;
    while (rte_ring_sc_dequeue(ring, &frame) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(frame));
    rte_ring_free(ring);
  }
};
using Ring = std::unique_ptr<rte_ring, RingDeleter>;

}  // namespace

struct RingWire::Impl {
  ~Impl() {
    for (auto& port : ports) port.reset();
    for (const std::string& device : devices) rte_eal_hotplug_remove("vdev", device.c_str());
  }

  // The devices go before the rings they look into.
  std::array<Ring, 2> rings;
  std::vector<std::string> devices;
  std::array<std::unique_ptr<DpdkPort>, 2> ports;
};

std::unique_ptr<RingWire> RingWire::create(const RingWireOptions& options, DpdkPacketMemory& left,
                                           DpdkPacketMemory& right, std::string& error) {
  static std::atomic<unsigned> number{0};
  const std::string name = "pollux_wire" + std::to_string(number.fetch_add(1));
  auto impl = std::make_unique<Impl>();
  for (std::size_t i = 0; i < impl->rings.size(); ++i) {
    const std::string ring = name + (i == 0 ? "_lr" : "_rl");
    impl->rings[i].reset(rte_ring_create(ring.c_str(), options.frames, SOCKET_ID_ANY,
                                         RING_F_SP_ENQ | RING_F_SC_DEQ));
    if (!impl->rings[i]) {
      error = std::string("the in-process wire cannot be made (") + rte_strerror(rte_errno) +
              "): use a power of two of frames, and enough memory";
      return nullptr;
    }
  }
  const std::array<DpdkPacketMemory*, 2> memories = {&left, &right};
  for (std::size_t i = 0; i < impl->ports.size(); ++i) {
    const std::string end = name + (i == 0 ? "_left" : "_right");
    rte_ring* const rx = impl->rings[1 - i].get();
    rte_ring* const tx = impl->rings[i].get();
    if (rte_eth_from_rings(end.c_str(), &rx, 1, &tx, 1, 0) < 0) {
      error = std::string("the in-process wire cannot be made: ") + rte_strerror(rte_errno);
      return nullptr;
    }
    PortOptions port;
    port.name = "net_ring_" + end;
    impl->devices.push_back(port.name);
    port.mtu = options.mtu;
    port.emulate_checksum_offload = options.emulate_checksum_offload;
    impl->ports[i] = open_port(port, *memories[i], error);
    if (!impl->ports[i]) return nullptr;
  }
  return std::unique_ptr<RingWire>(new RingWire(std::move(impl)));
}

RingWire::RingWire(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
RingWire::~RingWire() = default;

DpdkPort& RingWire::left() noexcept { return *impl_->ports[0]; }
DpdkPort& RingWire::right() noexcept { return *impl_->ports[1]; }

}  // namespace pollux::platform
