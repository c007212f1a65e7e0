// Raw frames of any shape into an interface: nothing a station sends may crash it, leak a buffer or
// be written to. Input: one byte of options, then for each frame two bytes of length and its bytes.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/net/interface.hpp"
#include "tests/support/heap_packet_memory.hpp"
#include "tests/support/sim_port.hpp"
#include "tests/support/sim_wire.hpp"

namespace {

using namespace pollux;

void drain(net::Interface& interface, sim::HeapPacketMemory& memory, Instant now) {
  std::array<net::TcpDatagram, 16> datagrams;
  std::size_t frames = 0;
  const std::size_t n = interface.receive(now, datagrams, frames);
  for (const net::TcpDatagram& datagram : std::span(datagrams).first(n)) {
    std::size_t bytes = 0;
    for (const platform::RxSegment& piece : datagram.payload) bytes += piece.length;
    if (bytes != datagram.payload_bytes || datagram.header.size() < 20) __builtin_trap();
    for (const platform::RxSegment& piece : datagram.payload) memory.release(piece.handle);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sim::HeapPacketMemory memory({.buffers = 128, .buffer_bytes = 512, .trackers = 1});
  {
    sim::SimWire wire(size, Instant{1000s});
    sim::SimPortOptions options;
    options.scatter = size > 0 && (data[0] & 1) != 0;
    // Half of the inputs need no right checksum to get further.
    if (size > 0 && (data[0] & 2) != 0) options.rx_checksum = sim::RxChecksum::assumed_good;
    sim::SimPort port(wire, 0, memory, options);
    net::InterfaceConfig config;
    config.address = net::IpAddress::v4(10, 99, 0, 1);
    net::Interface interface(config, port, memory, wire.now());
    net::Route route;
    interface.route(net::IpAddress::v4(10, 99, 0, 2), wire.now(), route);
    for (std::size_t at = 1, frames = 0; at + 2 < size && frames < 32; ++frames) {
      const std::size_t wanted = (std::size_t{data[at]} << 8 | data[at + 1]) % 1600 + 1;
      at += 2;
      const std::size_t length = wanted < size - at ? wanted : size - at;
      if (length == 0) break;
      const auto* first = reinterpret_cast<const std::byte*>(data + at);
      wire.send(1, sim::Frame(first, first + length));
      at += length;
      wire.advance(wire.now() + 100ms);
      drain(interface, memory, wire.now());
      interface.run_timers(wire.now());
      interface.flush();
    }
  }
  if (memory.buffers_in_use() != 0) __builtin_trap();
  return 0;
}
