// Framing of sent PDUs (RFC 7143 11.1, 11.2). See pdu_output.hpp.
#include "tests/target/pdu_output.hpp"

#include <cstring>

namespace pollux::target {

void PduOutput::append(std::span<const std::byte> bytes) noexcept {
  if (bytes.empty()) return;
  if (bytes.size() > staging_.size() - staged_) flush();
  std::memcpy(staging_.data() + staged_, bytes.data(), bytes.size());
  staged_ += static_cast<std::uint32_t>(bytes.size());
}

void PduOutput::begin_bytes(std::span<const std::byte> header, std::uint32_t data_length,
                            Digests digests) noexcept {
  digests_ = digests;
  data_length_ = data_length;
  digest_ = Digest{};
  append(header);
  if (!digests.header) return;
  Digest header_digest;
  header_digest.extend(header);
  const std::uint32_t value = header_digest.value();
  append(std::as_bytes(std::span{&value, 1}));
}

void PduOutput::finish(bool corrupt) noexcept {
  static constexpr std::array<std::byte, 3> kZeros{};
  if (data_length_ == 0) return;
  const auto padding = std::span{kZeros}.first(wire::padding_bytes(data_length_));
  append(padding);
  if (!digests_.data) return;
  digest_.extend(padding);
  const std::uint32_t value = corrupt ? ~digest_.value() : digest_.value();
  append(std::as_bytes(std::span{&value, 1}));
}

}  // namespace pollux::target
