// Framing of received PDUs (RFC 7143 11.1, 11.2). See pdu_input.hpp.
#include "tests/target/pdu_input.hpp"

#include <algorithm>
#include <cstring>

namespace pollux::target {

PduInput::Step PduInput::step(Stream& stream, bool header_digest, bool data_digest) noexcept {
  switch (state_) {
    case State::header:
      return look_for_header(stream, header_digest);
    case State::data:
      if (!move_data(stream, data_digest)) return Step::starved;
      state_ = State::tail;
      [[fallthrough]];
    case State::tail:
      if (!read_tail(stream, data_digest)) return Step::starved;
      state_ = State::header;
      return Step::complete;
  }
  return Step::starved;
}

std::uint32_t PduInput::header_length(bool header_digest) const noexcept {
  const auto ahs_words = std::to_integer<std::uint32_t>(header_[4]);
  return static_cast<std::uint32_t>(wire::kBhsBytes + ahs_words * 4 +
                                    (header_digest ? wire::kDigestBytes : 0));
}

PduInput::Step PduInput::look_for_header(Stream& stream, bool header_digest) noexcept {
  const std::uint32_t readable = stream.readable();
  if (readable < wire::kBhsBytes) return Step::starved;
  stream.peek(std::span{header_}.first(wire::kBhsBytes));
  const std::uint32_t length = header_length(header_digest);
  if (readable < length) return Step::starved;
  if (length == wire::kBhsBytes) return Step::header;
  stream.peek(std::span{header_}.first(length));
  if (!header_digest) return Step::header;
  const std::size_t covered = length - wire::kDigestBytes;
  Digest digest;
  digest.extend(std::span{header_}.first(covered));
  const std::uint32_t expected = digest.value();
  const bool good = std::memcmp(header_.data() + covered, &expected, sizeof(expected)) == 0;
  return good ? Step::header : Step::header_damage;
}

void PduInput::take_header(Stream& stream, bool header_digest) noexcept {
  stream.consume(header_length(header_digest));
  data_length_ = load<wire::Bhs>(header_.data()).data_segment_length.get();
  moved_ = 0;
  digest_ = Digest{};
  data_digest_good_ = true;
  padding_zero_ = true;
  set_destination(nullptr, 0);
  state_ = State::data;
}

bool PduInput::move_data(Stream& stream, bool data_digest) noexcept {
  while (moved_ < data_length_) {
    std::span<const std::byte> bytes = stream.front();
    if (bytes.empty()) return false;
    bytes = bytes.first(std::min<std::size_t>(bytes.size(), data_length_ - moved_));
    if (moved_ < room_) {
      const std::size_t kept = std::min<std::size_t>(bytes.size(), room_ - moved_);
      std::memcpy(destination_ + moved_, bytes.data(), kept);
    }
    if (data_digest) digest_.extend(bytes);
    moved_ += static_cast<std::uint32_t>(bytes.size());
    stream.consume(static_cast<std::uint32_t>(bytes.size()));
  }
  return true;
}

bool PduInput::read_tail(Stream& stream, bool data_digest) noexcept {
  if (data_length_ == 0) return true;  // RFC 7143 11.2.3: no data segment, no data digest
  const std::uint32_t padding = wire::padding_bytes(data_length_);
  const auto length = static_cast<std::uint32_t>(padding + (data_digest ? wire::kDigestBytes : 0));
  if (stream.readable() < length) return false;
  std::array<std::byte, 3 + wire::kDigestBytes> tail{};
  stream.peek(std::span{tail}.first(length));
  stream.consume(length);
  const auto pad = std::span<const std::byte>{tail}.first(padding);
  padding_zero_ =
      std::all_of(pad.begin(), pad.end(), [](std::byte b) { return b == std::byte{0}; });
  if (!data_digest) return true;
  digest_.extend(pad);
  const std::uint32_t expected = digest_.value();
  data_digest_good_ = std::memcmp(tail.data() + padding, &expected, sizeof(expected)) == 0;
  return true;
}

}  // namespace pollux::target
