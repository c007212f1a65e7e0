#include "tests/target/lab.hpp"

#include "dataplane/platform/dpdk_runtime.hpp"
#include "dataplane/platform/ring_wire.hpp"

namespace pollux::target {

struct Lab::Wire {
  std::unique_ptr<platform::DpdkPacketMemory> memory;
  std::unique_ptr<platform::RingWire> ring;
  std::unique_ptr<LabThread> thread;

  ~Wire() {
    if (thread != nullptr) thread->stop();
    thread.reset();
    ring.reset();
  }
};

library::RingPortSource Lab::port_source() {
  return [this](const std::string&, const service::PortConfig& port,
                platform::DpdkPacketMemory& left,
                std::string& error) -> std::shared_ptr<platform::Port> {
    auto wire = std::make_shared<Wire>();
    platform::DpdkMemoryOptions memory;
    memory.frame_bytes = port.mtu + 128u;
    memory.frame_buffers = 4096;
    memory.rx_buffers = 512;  // a ring passes the peer's buffers: none of these is received into
    memory.external_buffers = 16384;
    memory.trackers = 4096;
    wire->memory = platform::DpdkPacketMemory::create(memory, error);
    if (wire->memory == nullptr) return nullptr;
    platform::RingWireOptions ring;
    ring.mtu = port.mtu;
    ring.frames = options_.wire_frames;
    ring.emulate_checksum_offload = options_.emulate_checksum_offload;
    wire->ring = platform::RingWire::create(ring, left, *wire->memory, error);
    if (wire->ring == nullptr) return nullptr;

    LabThreadOptions thread;
    thread.target.target = options_.target;
    thread.target.interface = {.address = options_.address,
                               .prefix_length = 24,
                               .gateway = {},
                               .address6 = options_.address6,
                               .dad_transmits = 0};
    thread.cpu = options_.cpu;
    thread.on_start = [] {
      std::string ignored;
      (void)platform::register_worker_thread(ignored);
    };
    thread.on_stop = [] { platform::unregister_worker_thread(); };
    wire->thread =
        std::make_unique<LabThread>(std::move(thread), wire->ring->right(), *wire->memory,
                                    platform::TscClock(platform::tsc_hz()));
    if (!wire->thread->start()) {
      error = "the target's thread cannot be pinned to its CPU";
      return nullptr;
    }
    if (first_.expired()) first_ = wire;
    // The port lives as long as its wire.
    return {wire, &wire->ring->left()};
  };
}

LabThread* Lab::thread() noexcept {
  const std::shared_ptr<Wire> wire = first_.lock();
  return wire == nullptr ? nullptr : wire->thread.get();
}

}  // namespace pollux::target
