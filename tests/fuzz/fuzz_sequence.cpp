// Sequences of segments around the edges of a connection, with time and the owner's calls in
// between. Numbers of the input count from what the connection expects, so that nearly every
// segment gets somewhere.
//
// Input: state to start in, Situation, two bytes of options of the world, then steps of one byte
// and what each takes.
#include "tests/fuzz/tcp_world.hpp"

namespace {

using namespace pollux;

/// Where a number of the input counts from.
TcpSeq receive_base(const tcp::Connection& c, unsigned selector) {
  switch (selector & 3) {
    case 1:
      return c.rcv_edge;
    case 2:
      return c.irs;
    case 3:
      return c.reassembly.empty() ? c.rcv_nxt : TcpSeq{c.reassembly[0].start};
    default:
      return c.rcv_nxt;
  }
}

TcpSeq send_base(const tcp::Connection& c, unsigned selector) {
  switch (selector & 3) {
    case 1:
      return c.snd_una;
    case 2:
      return c.iss;
    case 3:
      return c.recover;
    default:
      return c.snd_nxt;
  }
}

std::uint32_t offset(fuzz::Input& input) {
  // Mostly small; one in eight is anywhere in the space.
  const std::uint8_t first = input.u8();
  if (first < 0xe0) return static_cast<std::uint32_t>(static_cast<std::int8_t>(first << 1) >> 1);
  if (first < 0xf0) return static_cast<std::uint32_t>(static_cast<std::int16_t>(input.u16()));
  return input.u32();
}

std::vector<std::uint8_t> options_of(const fuzz::TcpWorld& world, const fuzz::PeerSegment& honest,
                                     unsigned kind, TcpSeq una, fuzz::Input& input) {
  std::vector<std::uint8_t> out = honest.options;
  switch (kind & 3) {
    case 1: {  // reports
      std::vector<wire::SackBlock> blocks(input.u8() % 4u + 1);
      for (wire::SackBlock& block : blocks) {
        block.left = una + offset(input) * 64;
        block.right = block.left + input.u16();
      }
      const auto sack = world.sack(blocks);
      out.insert(out.end(), sack.begin(), sack.end());
      return out;
    }
    case 2: {
      const std::uint32_t tsval = world.peer_clock() + offset(input);
      return world.timestamps(tsval, world.echo() + offset(input));
    }
    case 3: {
      const auto raw = input.bytes(input.u8() % 41u);
      return {raw.begin(), raw.end()};
    }
    default:
      return out;
  }
}

void segment(fuzz::TcpWorld& world, fuzz::Input& input, bool is_simple) {
  fuzz::PeerSegment out = world.honest();
  const tcp::Connection* c = world.connection();
  const unsigned bases = is_simple ? 0 : input.u8();
  if (!is_simple) out.flags = input.u8();
  const std::uint32_t seq_offset = offset(input);
  const std::uint32_t ack_offset = offset(input);
  const bool syn_sent = c != nullptr && c->state == tcp::State::syn_sent;
  out.seq = c != nullptr && !syn_sent ? receive_base(*c, bases) : out.seq;
  out.ack = c != nullptr && !syn_sent ? send_base(*c, bases >> 2) : out.ack;
  out.seq += seq_offset;
  out.ack += ack_offset;
  const std::uint8_t length = input.u8();
  out.length = length < 0xc0 ? length : 24u * (length - 0xc0u + 1u);
  if (!is_simple) {
    const std::uint8_t window = input.u8();
    out.window = static_cast<std::uint16_t>(window == 0xff ? input.u16() : window * 257u);
    out.options = options_of(world, out, bases >> 4, c != nullptr ? c->snd_una : TcpSeq{}, input);
    out.ecn = static_cast<std::uint8_t>(bases >> 6);
  }
  world.inject(world.make(out));
}

void step(fuzz::TcpWorld& world, fuzz::Input& input) {
  const std::uint8_t what = input.u8();
  switch (what % 16) {
    case 0:  // several in one burst
      for (unsigned i = 0; i < what / 64u + 2; ++i) segment(world, input, true);
      break;
    case 1:
    case 2:
    case 3:
      segment(world, input, false);
      break;
    case 4:
    case 5:
      segment(world, input, true);
      break;
    case 6:
      world.inject(world.make(world.honest()));
      break;
    case 7:  // 1 us to 2 minutes
      return world.advance(Duration(std::uint64_t{1000} << (input.u8() % 28u)));
    case 8:
      return world.advance(std::chrono::milliseconds(input.u8()));
    case 9:
      return world.send(input.u8() * 64u + 1, (what & 16) != 0);
    case 10:
      world.read(input.u8() * 32u);
      break;
    case 11:
      world.take_view(input.u8() * 16u);
      break;
    case 12:
      world.path_error(static_cast<net::PathErrorKind>(input.u8() % 6), input.u16(), offset(input));
      break;
    case 13:
      if ((what & 16) != 0) world.starve(input.u8());
      break;
    case 14:
      world.close((what & 16) != 0);
      break;
    default:
      if ((what & 0xc0) != 0xc0) break;
      world.abort();
      world.turn();
      world.release();
      world.turn();
      world.open();
  }
  world.turn();
}

void run(const std::uint8_t* data, std::size_t size) {
  constexpr int kStepsMax = 64;
  fuzz::Input input(data, size);
  const auto state = static_cast<tcp::State>(input.u8() % 11);
  const std::uint8_t situation = input.u8();
  fuzz::TcpWorld world(fuzz::WorldOptions::from(input.u16()));
  world.enter(state, situation);
  for (int i = 0; i < kStepsMax && !input.empty(); ++i) step(world, input);
  world.starve(0xff);
  world.advance(1s);
  world.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::within_budget([=] { run(data, size); });
}
