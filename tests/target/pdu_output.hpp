// Puts PDUs on a stream. Small pieces (headers, digests, sense) gather in one buffer, so that
// replies of one turn leave as few descriptors; payload is passed by address.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/wire/bhs.hpp"
#include "tests/target/digest.hpp"
#include "tests/target/stream.hpp"

namespace pollux::target {

/// Largest data segment of a reply that is not SCSI read data.
inline constexpr std::uint32_t kReplyDataMax = 8192;

struct Digests {
  bool header = false;
  bool data = false;
};

/// Serves one connection at a time: attach(), any PDUs, flush().
class PduOutput {
 public:
  void attach(Stream& stream) noexcept { stream_ = &stream; }

  /// True when a PDU of `pieces` external pieces and `inline_bytes` of inline data fits, and then
  /// still a few replies without data.
  [[nodiscard]] bool room(std::uint32_t pieces, std::uint32_t inline_bytes) const noexcept {
    const tcp::SendSpace space = stream_->send_space();
    return space.descriptors >= 2 * pieces + kReserveDescriptors &&
           space.inline_bytes >= staged_ + inline_bytes + kOverheadBytes + kReserveBytes;
  }

  /// Header with its data segment length filled in here, and inline data.
  template <WireLayout T>
  void pdu(T header, std::span<const std::byte> data, Digests digests) noexcept {
    begin(header, static_cast<std::uint32_t>(data.size()), digests);
    inline_data(data);
    finish(false);
  }

  /// begin(), external() or inline_data() until `data_length` bytes are given, finish().
  template <WireLayout T>
  void begin(T header, std::uint32_t data_length, Digests digests) noexcept {
    static_assert(sizeof(T) == wire::kBhsBytes);
    header.data_segment_length.set(data_length);
    std::array<std::byte, wire::kBhsBytes> bytes;
    store(bytes.data(), header);
    begin_bytes(bytes, data_length, digests);
  }
  void external(std::span<const std::byte> data) noexcept {
    flush();
    stream_->send_external(data.data(), static_cast<std::uint32_t>(data.size()));
    if (digests_.data) digest_.extend(data);
  }
  void inline_data(std::span<const std::byte> data) noexcept {
    append(data);
    if (digests_.data) digest_.extend(data);
  }
  /// Padding and data digest; the digest wrong when `corrupt`.
  void finish(bool corrupt) noexcept;
  void flush() noexcept {
    if (staged_ == 0) return;
    stream_->send_inline(std::span{staging_}.first(staged_));
    staged_ = 0;
  }
  void discard() noexcept { staged_ = 0; }

 private:
  static constexpr std::uint32_t kOverheadBytes =
      wire::kBhsBytes + 2 * wire::kDigestBytes + 3;  // header, digests, padding
  static constexpr std::uint32_t kReserveDescriptors = 6;
  static constexpr std::uint32_t kReserveBytes = 1024;

  void begin_bytes(std::span<const std::byte> header, std::uint32_t data_length,
                   Digests digests) noexcept;
  void append(std::span<const std::byte> bytes) noexcept;

  Stream* stream_ = nullptr;
  std::array<std::byte, kReplyDataMax + 1024> staging_;
  std::uint32_t staged_ = 0;
  std::uint32_t data_length_ = 0;
  Digests digests_;
  Digest digest_;
};

}  // namespace pollux::target
