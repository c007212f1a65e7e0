#include "tests/target/lab_wire.hpp"

#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <system_error>

namespace pollux::target {

std::unique_ptr<LabWire> LabWire::open(const LabWireOptions& options,
                                       platform::DpdkPacketMemory& left,
                                       platform::DpdkPacketMemory& right, std::string& error) {
  std::unique_ptr<LabWire> wire(new LabWire);
  if (options.kind == "memif" || options.kind == "virtio_user")
    return wire->open_pair(options, left, right, error) ? std::move(wire) : nullptr;
  wire->ring_ = platform::RingWire::create(options.ring, left, right, error);
  return wire->ring_ ? std::move(wire) : nullptr;
}

bool LabWire::open_pair(const LabWireOptions& options, platform::DpdkPacketMemory& left,
                        platform::DpdkPacketMemory& right, std::string& error) {
  std::error_code ignored;
  std::string name = std::filesystem::temp_directory_path(ignored) / "pollux-lab.XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    error = "no directory for the wire's socket can be made in " + name.substr(0, name.rfind('/'));
    return false;
  }
  directory_ = name;
  const std::string socket = directory_ + "/wire";
  const bool is_memif = options.kind == "memif";
  platform::PortOptions target = options.left;
  target.name = is_memif ? "net_memif_target,role=server,id=0,socket-abstract=no,socket=" + socket
                         : "net_vhost_target,tso=1,iface=" + socket;
  // Nobody is at the other end yet.
  target.link_wait = std::chrono::milliseconds(0);
  right_ = platform::open_port(target, right, error);
  if (right_ == nullptr) return false;
  platform::PortOptions ours = options.left;
  ours.name = is_memif ? "net_memif_pollux,role=client,id=0,socket-abstract=no,socket=" + socket
                       : "net_virtio_user_pollux,queue_size=1024,path=" + socket;
  left_ = platform::open_port(ours, left, error);
  return left_ != nullptr;
}

LabWire::~LabWire() {
  left_.reset();
  right_.reset();
  ring_.reset();
  std::error_code ignored;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

}  // namespace pollux::target
