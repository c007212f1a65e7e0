// One arbitrary frame at an engine in each state of TCP, over IPv4 and IPv6.
//
// Input: state, what is going on (Situation), two bytes of options of the world, how the frame is
// made, then the frame. It is made of the segment that an honest peer would send now, onto which
// the input is laid by exclusive or: zeroes are an honest segment, each bit of the input is one bit
// changed, and what goes on after the honest frame's end is more data.
#include "tests/fuzz/tcp_world.hpp"
#include "tests/support/frame_checksum.hpp"

namespace {

using namespace pollux;

enum Make : std::uint8_t {
  kKeepLengths = 1,   ///< IP lengths and the IPv4 checksum stay as the input made them
  kWithData = 2,      ///< the honest segment has 100 bytes
  kOnlyTcp = 4,       ///< the input starts at the TCP header
  kTwice = 8,         ///< the same frame again
  kReadFirst = 16,    ///< the owner reads what there is
  kSynTemplate = 32,  ///< a SYN with options instead of an ACK
};

sim::Frame make_frame(fuzz::TcpWorld& world, std::uint8_t how, fuzz::Input& input) {
  fuzz::PeerSegment honest = world.honest();
  if ((how & kWithData) != 0) honest.length = 100;
  if ((how & kSynTemplate) != 0) {
    honest.flags = 0x12;
    honest.options = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7};
  }
  sim::Frame frame = world.make(honest);
  const std::size_t tcp = sim::dissect(frame).tcp;
  const std::size_t ip = net::kEthernetHeaderBytes;
  const auto changes = input.bytes(1600);
  const std::size_t from = (how & kOnlyTcp) != 0 ? tcp : 0;
  if (from + changes.size() > frame.size()) frame.resize(from + changes.size());
  for (std::size_t i = 0; i < changes.size(); ++i) frame[from + i] ^= std::byte{changes[i]};
  if ((how & kKeepLengths) == 0) {
    if (world.ours().is_v4()) {
      store(&frame[ip + 2], Be16{static_cast<std::uint16_t>(frame.size() - ip)});
      const std::size_t header = (std::to_integer<std::size_t>(frame[ip]) & 15) * 4;
      const bool is_ipv4 = load<Be16>(&frame[12]).get() == 0x0800;
      if (is_ipv4 && header >= net::kIpv4HeaderBytes && ip + header <= frame.size())
        sim::write_ip_checksum(frame);
    } else {
      store(&frame[ip + 4], Be16{static_cast<std::uint16_t>(frame.size() - tcp)});
    }
  }
  return frame;
}

void run(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto state = static_cast<tcp::State>(input.u8() % 11);
  const std::uint8_t situation = input.u8();
  fuzz::TcpWorld world(fuzz::WorldOptions::from(input.u16()));
  world.check_content(false);
  const std::uint8_t how = input.u8();
  world.enter(state, situation);
  if ((how & kReadFirst) != 0) world.read(0xffff'ffff);
  const sim::Frame frame = make_frame(world, how, input);
  for (int i = 0; i < ((how & kTwice) != 0 ? 2 : 1); ++i) {
    world.inject(frame);
    world.turn();
  }
  world.read(100);
  world.turn();
  world.advance(20ms);
  world.receive(world.honest());
  world.advance(2s);
  world.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::within_budget([=] { run(data, size); });
}
