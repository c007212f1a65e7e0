// The option parser on any bytes, against a slow one that knows only the tables of RFC 9293 3.2,
// RFC 7323 and RFC 2018 and shares no code with it; and what we write, read again by both.
//
// Input: the option bytes (40 at most); what is to be written is taken from the same bytes.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "dataplane/wire/tcp_options.hpp"
#include "tests/fuzz/input.hpp"

namespace {

using namespace pollux;
using wire::TcpOptions;

constexpr std::size_t kOptionBytesMax = 40;

struct PlainOption {
  unsigned kind = 0;
  std::vector<unsigned> body;
};

/// Cuts the bytes into options; what follows the first that is wrong is left out.
struct PlainOptions {
  std::vector<PlainOption> all;
  bool good = true;
};

bool right_size(const PlainOption& option) {
  static const std::map<unsigned, std::size_t> sizes{{2, 2}, {3, 1}, {4, 0}, {8, 8}};
  if (option.kind == 5) return !option.body.empty() && option.body.size() % 8 == 0;
  const auto known = sizes.find(option.kind);
  return known == sizes.end() || option.body.size() == known->second;
}

PlainOptions cut(const std::vector<unsigned>& bytes) {
  PlainOptions out;
  for (std::size_t at = 0; at < bytes.size() && bytes[at] != 0;) {
    if (bytes[at] == 1) {
      ++at;
      continue;
    }
    out.good = at + 1 < bytes.size() && bytes[at + 1] >= 2 && at + bytes[at + 1] <= bytes.size();
    if (!out.good) break;
    const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    const PlainOption option{bytes[at], {first + 2, first + bytes[at + 1]}};
    out.good = right_size(option);
    if (!out.good) break;
    out.all.push_back(option);
    at += 2 + option.body.size();
  }
  return out;
}

std::uint32_t number(const std::vector<unsigned>& body, std::size_t at, std::size_t bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value = value * 256 + body[at + i];
  return value;
}

/// The last option of a kind counts, of SACK the first four blocks of all.
void compare(const PlainOptions& plain, const TcpOptions& options) {
  std::map<unsigned, const PlainOption*> last;
  std::vector<std::uint32_t> edges;
  for (const PlainOption& option : plain.all) {
    last[option.kind] = &option;
    for (std::size_t at = 0; option.kind == 5 && at < option.body.size(); at += 4)
      edges.push_back(number(option.body, at, 4));
  }
  fuzz::require(options.has_mss == last.contains(2), "MSS: one parser has it");
  fuzz::require(options.has_window_scale == last.contains(3), "window scale: one parser has it");
  fuzz::require(options.sack_permitted == last.contains(4), "SACK-permitted: one parser has it");
  fuzz::require(options.has_timestamps == last.contains(8), "timestamps: one parser has them");
  fuzz::require(!last.contains(2) || options.mss == number(last[2]->body, 0, 2), "MSS differs");
  fuzz::require(!last.contains(3) || options.window_scale == number(last[3]->body, 0, 1),
                "window scale differs");
  fuzz::require(!last.contains(8) || (options.tsval == number(last[8]->body, 0, 4) &&
                                      options.tsecr == number(last[8]->body, 4, 4)),
                "timestamps differ");
  const std::size_t blocks = std::min<std::size_t>(edges.size() / 2, options.sack.size());
  fuzz::require(options.sack_count == blocks, "the number of SACK blocks differs");
  for (std::size_t i = 0; i < blocks; ++i)
    fuzz::require(options.sack[i].left.raw() == edges[2 * i] &&
                      options.sack[i].right.raw() == edges[2 * i + 1],
                  "a SACK block differs");
}

TcpOptions read_both_ways(std::span<const std::uint8_t> given) {
  // A copy of exactly this size, so that the sanitizer sees a read past the end.
  const auto bytes = std::make_unique<std::byte[]>(given.size());
  if (!given.empty()) std::memcpy(bytes.get(), given.data(), given.size());
  TcpOptions options;
  const auto verdict = parse_tcp_options({bytes.get(), given.size()}, options);
  const PlainOptions plain = cut({given.begin(), given.end()});
  fuzz::require((verdict == wire::OptionsVerdict::good) == plain.good, "the verdicts differ");
  compare(plain, options);
  return options;
}

/// Room that would show an unset byte as an option nobody knows, of a length that is wrong.
using Room = std::array<std::uint8_t, kOptionBytesMax>;
Room room() {
  Room out;
  out.fill(0xa5);
  return out;
}
std::byte* at(Room& out) { return reinterpret_cast<std::byte*>(out.data()); }

void write_and_read(fuzz::Input input) {
  const std::uint8_t which = input.u8();
  const bool scaled = (which & 1) != 0, sack = (which & 2) != 0, stamps = (which & 4) != 0;
  const wire::SynOptions syn{.mss = input.u16(),
                             .window_scale_offered = scaled,
                             .sack_permitted = sack,
                             .timestamps = stamps,
                             .window_scale = input.u8(),
                             .tsval = input.u32(),
                             .tsecr = input.u32()};
  Room out = room();
  std::size_t size = write_syn_options(at(out), syn);
  fuzz::require(size <= 20 && size % 4 == 0, "the options of a SYN have a wrong size");
  const TcpOptions read = read_both_ways({out.data(), size});
  fuzz::require(read.has_mss && read.mss == syn.mss && read.has_window_scale == scaled &&
                    (!scaled || read.window_scale == syn.window_scale) &&
                    read.sack_permitted == sack && read.has_timestamps == stamps &&
                    (!stamps || (read.tsval == syn.tsval && read.tsecr == syn.tsecr)),
                "the options of a SYN are not read as written");

  std::array<wire::SackBlock, 3> blocks;
  for (wire::SackBlock& block : blocks) block = {TcpSeq{input.u32()}, TcpSeq{input.u32()}};
  const std::size_t count = which >> 3 & 3;
  out = room();
  wire::write_timestamps(at(out), syn.tsval, syn.tsecr);
  size = wire::kTimestampsBytes +
         wire::write_sack(at(out) + wire::kTimestampsBytes, std::span(blocks).first(count));
  fuzz::require(size <= out.size() && size % 4 == 0, "reports have a wrong size");
  const TcpOptions reported = read_both_ways({out.data(), size});
  fuzz::require(reported.has_timestamps && reported.tsval == syn.tsval &&
                    reported.tsecr == syn.tsecr && reported.sack_count == count,
                "reports are not read as written");
  for (std::size_t i = 0; i < count; ++i)
    fuzz::require(reported.sack[i].left.raw() == blocks[i].left.raw() &&
                      reported.sack[i].right.raw() == blocks[i].right.raw(),
                  "a block is not read as written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read_both_ways({data, std::min(size, kOptionBytesMax)});
  write_and_read(fuzz::Input(data, size));
  return 0;
}
