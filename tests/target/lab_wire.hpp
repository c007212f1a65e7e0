// The wire between pollux and the embedded target inside one process: DPDK rings, or a pair of
// drivers that talk to each other as they would across processes (net_memif; virtio_user on
// net_vhost).
#pragma once

#include <memory>
#include <string>

#include "dataplane/platform/dpdk_port.hpp"
#include "dataplane/platform/ring_wire.hpp"

namespace pollux::target {

struct LabWireOptions {
  /// "memif", "virtio_user" or anything else for rings.
  std::string kind;
  platform::RingWireOptions ring;
  /// Of our end; the name is filled in here.
  platform::PortOptions left;
};

class LabWire {
 public:
  /// The memories outlive it. Null: `error` is one sentence.
  [[nodiscard]] static std::unique_ptr<LabWire> open(const LabWireOptions& options,
                                                     platform::DpdkPacketMemory& left,
                                                     platform::DpdkPacketMemory& right,
                                                     std::string& error);
  ~LabWire();
  LabWire(const LabWire&) = delete;
  LabWire& operator=(const LabWire&) = delete;

  [[nodiscard]] platform::DpdkPort& left() noexcept { return ring_ ? ring_->left() : *left_; }
  [[nodiscard]] platform::DpdkPort& right() noexcept { return ring_ ? ring_->right() : *right_; }

 private:
  LabWire() = default;
  bool open_pair(const LabWireOptions& options, platform::DpdkPacketMemory& left,
                 platform::DpdkPacketMemory& right, std::string& error);

  std::string directory_;  // of the drivers' socket
  std::unique_ptr<platform::RingWire> ring_;
  // The end that listens is opened first and goes last.
  std::unique_ptr<platform::DpdkPort> right_;
  std::unique_ptr<platform::DpdkPort> left_;
};

}  // namespace pollux::target
