// TCP options, parsed strictly and in bounded work, and written in the forms that we send.
// Read first: RFC 9293 3.1 and 3.2, RFC 7323 2.2 and 3.2, RFC 2018 2 and 3.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/serial_number.hpp"

namespace pollux::wire {

inline constexpr std::uint8_t kWindowScaleMax = 14;  // RFC 7323 2.3
inline constexpr std::size_t kTimestampsBytes = 12;  // with two NOPs before it
/// The first word of the form that everybody sends: NOP, NOP, kind 8, length 10.
inline constexpr std::uint32_t kTimestampsWord = 0x0101'080a;

/// One run of bytes that the peer holds out of order: [left, right).
struct SackBlock {
  TcpSeq left;
  TcpSeq right;
};

struct TcpOptions {
  bool has_mss = false;
  bool has_window_scale = false;
  bool sack_permitted = false;
  bool has_timestamps = false;
  std::uint8_t window_scale = 0;  ///< as received: may be above kWindowScaleMax
  std::uint8_t sack_count = 0;
  std::uint16_t mss = 0;
  std::uint32_t tsval = 0;
  std::uint32_t tsecr = 0;
  std::array<SackBlock, 4> sack{};
};

enum class [[nodiscard]] OptionsVerdict : std::uint8_t{good, bad_length};

/// Reads the option bytes of one header (at most 40). A length of 0 or 1, one that runs over the
/// end, or one that is wrong for its kind gives bad_length; `options` then holds what came before.
OptionsVerdict parse_tcp_options(std::span<const std::byte> bytes, TcpOptions& options) noexcept;

/// What a SYN or SYN-ACK offers.
struct SynOptions {
  std::uint16_t mss = 0;
  bool window_scale_offered = false;
  bool sack_permitted = false;
  bool timestamps = false;
  std::uint8_t window_scale = 0;
  std::uint32_t tsval = 0;
  std::uint32_t tsecr = 0;
};

/// Writes at most 20 bytes, padded to whole words; returns how many. out has room for 20.
std::size_t write_syn_options(std::byte* out, const SynOptions& options) noexcept;
/// Writes kTimestampsBytes.
inline void write_timestamps(std::byte* out, std::uint32_t tsval, std::uint32_t tsecr) noexcept {
  store(out, Be32{kTimestampsWord});
  store(out + 4, Be32{tsval});
  store(out + 8, Be32{tsecr});
}
/// Writes 4 + 8 * blocks.size() bytes; returns how many. Nothing for no blocks.
std::size_t write_sack(std::byte* out, std::span<const SackBlock> blocks) noexcept;

}  // namespace pollux::wire
