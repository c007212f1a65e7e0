#include "dataplane/wire/tcp_options.hpp"

#include "dataplane/base/byte_order.hpp"

namespace pollux::wire {
namespace {

enum Kind : std::uint8_t {
  kEnd = 0,
  kNop = 1,
  kMss = 2,
  kWindowScale = 3,
  kSackPermitted = 4,
  kSack = 5,
  kTimestamps = 8,
};

std::uint32_t read32(const std::byte* bytes) noexcept { return load<Be32>(bytes).get(); }

void write32(std::byte* out, std::uint32_t value) noexcept { store(out, Be32{value}); }

OptionsVerdict parse_sack(std::span<const std::byte> body, TcpOptions& options) noexcept {
  if (body.empty() || body.size() % 8 != 0) return OptionsVerdict::bad_length;
  for (std::size_t at = 0; at < body.size() && options.sack_count < options.sack.size(); at += 8)
    options.sack[options.sack_count++] = {TcpSeq{read32(&body[at])}, TcpSeq{read32(&body[at + 4])}};
  return OptionsVerdict::good;
}

/// `body` is what follows kind and length.
OptionsVerdict parse_one(std::uint8_t kind, std::span<const std::byte> body,
                         TcpOptions& options) noexcept {
  switch (kind) {
    case kMss:
      if (body.size() != 2) return OptionsVerdict::bad_length;
      options.has_mss = true;
      options.mss = load<Be16>(body.data()).get();
      break;
    case kWindowScale:
      if (body.size() != 1) return OptionsVerdict::bad_length;
      options.has_window_scale = true;
      options.window_scale = std::to_integer<std::uint8_t>(body[0]);
      break;
    case kSackPermitted:
      if (!body.empty()) return OptionsVerdict::bad_length;
      options.sack_permitted = true;
      break;
    case kSack:
      return parse_sack(body, options);
    case kTimestamps:
      if (body.size() != 8) return OptionsVerdict::bad_length;
      options.has_timestamps = true;
      options.tsval = read32(&body[0]);
      options.tsecr = read32(&body[4]);
      break;
    default:  // RFC 9293 3.1 MUST-6: an option of another kind is passed over by its length
      break;
  }
  return OptionsVerdict::good;
}

}  // namespace

OptionsVerdict parse_tcp_options(std::span<const std::byte> bytes, TcpOptions& options) noexcept {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const auto kind = std::to_integer<std::uint8_t>(bytes[at]);
    if (kind == kEnd) break;
    if (kind == kNop) {
      ++at;
      continue;
    }
    // RFC 9293 3.1 MUST-7: a length below 2 would not move on, one over the end would read past it.
    if (at + 1 >= bytes.size()) return OptionsVerdict::bad_length;
    const auto length = std::to_integer<std::size_t>(bytes[at + 1]);
    if (length < 2 || length > bytes.size() - at) return OptionsVerdict::bad_length;
    if (parse_one(kind, bytes.subspan(at + 2, length - 2), options) != OptionsVerdict::good)
      return OptionsVerdict::bad_length;
    at += length;
  }
  return OptionsVerdict::good;
}

std::size_t write_syn_options(std::byte* out, const SynOptions& options) noexcept {
  std::size_t at = 0;
  write32(out, std::uint32_t{kMss} << 24 | 4u << 16 | options.mss);
  at += 4;
  if (options.timestamps) {
    // SACK-permitted takes the place of the two NOPs, so that all fits in 20 bytes.
    const std::uint32_t lead = options.sack_permitted ? 0x0402'0000u : 0x0101'0000u;
    write32(out + at, lead | std::uint32_t{kTimestamps} << 8 | 10u);
    write32(out + at + 4, options.tsval);
    write32(out + at + 8, options.tsecr);
    at += 12;
  } else if (options.sack_permitted) {
    write32(out + at, 0x0101'0402u);
    at += 4;
  }
  if (options.window_scale_offered) {
    write32(out + at, 0x0103'0300u | options.window_scale);
    at += 4;
  }
  return at;
}

std::size_t write_sack(std::byte* out, std::span<const SackBlock> blocks) noexcept {
  if (blocks.empty()) return 0;
  write32(out, 0x0101'0500u | static_cast<std::uint32_t>(2 + 8 * blocks.size()));
  std::size_t at = 4;
  for (const SackBlock& block : blocks) {
    write32(out + at, block.left.raw());
    write32(out + at + 4, block.right.raw());
    at += 8;
  }
  return at;
}

}  // namespace pollux::wire
