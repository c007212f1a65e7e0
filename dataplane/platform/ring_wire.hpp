// A wire inside the process: two rings of DPDK as two Ethernet ports, one for each end. Frames pass
// by reference, so what one end receives is the other's own buffer or external memory: read it, do
// not write to it, and release it. That is the one thing two workers ever share.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "dataplane/platform/dpdk_port.hpp"

namespace pollux::platform {

struct RingWireOptions {
  std::uint16_t mtu = 9000;
  std::uint32_t frames =
      1024;  ///< in flight per direction; a power of two, of which one stays free
  /// true: neither end computes or checks checksums, as between two NICs; false: software on both.
  bool emulate_checksum_offload = true;
};

/// Both ends, and the rings between them. The memories outlive it, since frames on the wire
/// (dropped with it) belong to them. Start-up and shut-down: one thread. In between each port has
/// its own thread.
class RingWire {
 public:
  [[nodiscard]] static std::unique_ptr<RingWire> create(const RingWireOptions& options,
                                                        DpdkPacketMemory& left,
                                                        DpdkPacketMemory& right,
                                                        std::string& error);
  ~RingWire();
  RingWire(const RingWire&) = delete;
  RingWire& operator=(const RingWire&) = delete;

  [[nodiscard]] DpdkPort& left() noexcept;
  [[nodiscard]] DpdkPort& right() noexcept;

 private:
  struct Impl;
  explicit RingWire(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pollux::platform
