// Cuts the stream into PDUs: header with its digest, then the data segment straight to where it
// belongs, then padding and data digest. Holds no data itself but the header.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/wire/bhs.hpp"
#include "tests/target/digest.hpp"
#include "tests/target/stream.hpp"

namespace pollux::target {

class PduInput {
 public:
  enum class Step : std::uint8_t {
    starved,        ///< more bytes have to arrive
    header,         ///< a header is in: take_header(), then set_destination()
    header_damage,  ///< header digest wrong: the stream cannot be trusted any more
    complete,       ///< data segment, padding and digest are in
  };

  /// Looks for the next header without consuming it, or moves data. Bounded by what has arrived.
  Step step(Stream& stream, bool header_digest, bool data_digest) noexcept;

  /// After Step::header: consumes it. The bytes stay readable until the next header.
  void take_header(Stream& stream, bool header_digest) noexcept;
  /// After take_header: where the data segment goes. Bytes beyond `room` are dropped; null: all
  /// are.
  void set_destination(std::byte* destination, std::uint32_t room) noexcept {
    destination_ = destination;
    room_ = destination == nullptr ? 0 : room;
  }

  template <WireLayout T>
  [[nodiscard]] T header() const noexcept {
    static_assert(sizeof(T) == wire::kBhsBytes);
    return load<T>(header_.data());
  }
  [[nodiscard]] std::span<const std::byte> header_bytes() const noexcept {
    return std::span{header_}.first(wire::kBhsBytes);
  }
  [[nodiscard]] std::uint32_t data_length() const noexcept { return data_length_; }
  [[nodiscard]] bool data_digest_good() const noexcept { return data_digest_good_; }
  [[nodiscard]] bool padding_zero() const noexcept { return padding_zero_; }
  void reset() noexcept { *this = PduInput{}; }

 private:
  static constexpr std::size_t kHeaderBytesMax =
      wire::kBhsBytes + 255 * 4 +
      wire::kDigestBytes;  // RFC 7143 11.2.1.5: TotalAHSLength is one byte
  enum class State : std::uint8_t { header, data, tail };

  Step look_for_header(Stream& stream, bool header_digest) noexcept;
  bool move_data(Stream& stream, bool data_digest) noexcept;
  bool read_tail(Stream& stream, bool data_digest) noexcept;
  [[nodiscard]] std::uint32_t header_length(bool header_digest) const noexcept;

  std::array<std::byte, kHeaderBytesMax> header_{};
  State state_ = State::header;
  bool data_digest_good_ = true;
  bool padding_zero_ = true;
  std::byte* destination_ = nullptr;
  std::uint32_t room_ = 0;
  std::uint32_t data_length_ = 0;
  std::uint32_t moved_ = 0;
  Digest digest_;
};

}  // namespace pollux::target
