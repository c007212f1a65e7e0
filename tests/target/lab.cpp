#include "tests/target/lab.hpp"

#include "dataplane/platform/dpdk_runtime.hpp"
#include "tests/target/lab_wire.hpp"

namespace pollux::target {

struct Lab::Wire {
  std::unique_ptr<platform::DpdkPacketMemory> memory;
  std::unique_ptr<LabWire> wire;
  std::unique_ptr<LabThread> thread;

  ~Wire() {
    if (thread != nullptr) thread->stop();
    thread.reset();
    wire.reset();
  }
};

library::RingPortSource Lab::port_source() {
  return [this](const std::string& kind, const service::PortConfig& port,
                platform::DpdkPacketMemory& left,
                std::string& error) -> std::shared_ptr<platform::Port> {
    auto wire = std::make_shared<Wire>();
    platform::DpdkMemoryOptions memory;
    memory.frame_bytes = port.mtu + 128u;
    memory.frame_buffers = 4096;
    memory.rx_buffers = 8192;  // a ring passes the peer's buffers; drivers receive into these
    memory.external_buffers = 16384;
    memory.trackers = 4096;
    wire->memory = platform::DpdkPacketMemory::create(memory, error);
    if (wire->memory == nullptr) return nullptr;
    LabWireOptions wire_options;
    wire_options.kind = kind;
    wire_options.ring.mtu = port.mtu;
    wire_options.ring.frames = options_.wire_frames;
    wire_options.ring.emulate_checksum_offload = options_.emulate_checksum_offload;
    wire_options.left.mtu = port.mtu;
    wire_options.left.checksum_offload = port.checksum_offload;
    wire_options.left.chains = port.chains;
    wire_options.left.tso = port.tso;
    wire->wire = LabWire::open(wire_options, left, *wire->memory, error);
    if (wire->wire == nullptr) return nullptr;

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
        std::make_unique<LabThread>(std::move(thread), wire->wire->right(), *wire->memory,
                                    platform::TscClock(platform::tsc_hz()));
    if (!wire->thread->start()) {
      error = "the target's thread cannot be pinned to its CPU";
      return nullptr;
    }
    if (first_.expired()) first_ = wire;
    // The port lives as long as its wire.
    return {wire, &wire->wire->left()};
  };
}

LabThread* Lab::thread() noexcept {
  const std::shared_ptr<Wire> wire = first_.lock();
  return wire == nullptr ? nullptr : wire->thread.get();
}

platform::DpdkPort* Lab::near_port() noexcept {
  const std::shared_ptr<Wire> wire = first_.lock();
  return wire == nullptr ? nullptr : &wire->wire->left();
}

}  // namespace pollux::target
