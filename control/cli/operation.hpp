// Operation statuses as failures: what the service or the target said about a command that reached
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "control/cli/connection.hpp"

namespace pollux::cli {

/// The operation status every output begins with. Failure internal for an answer too short to have
/// one.
[[nodiscard]] std::uint32_t status_of(const std::string& what, const Answer& answer);

/// Room to ask for behind an output structure, so that the service can say why in a sentence.
inline constexpr std::size_t kReasonBytesMax = 512;

/// The sentence behind a structure of `structure_bytes`; empty when the service sent none. Fit for
/// a terminal.
[[nodiscard]] std::string reason_of(const Answer& answer, std::size_t structure_bytes);

/// "there is no session with that id (ISDSC_INVALID_SESSION_ID)"
[[nodiscard]] std::string status_text(std::uint32_t isdsc);

/// The failure of `what` with the status' exit code. `reason` is the service's own sentence, or
/// empty.
[[nodiscard]] Failure failure_of_status(const std::string& what, std::uint32_t isdsc,
                                        std::string_view reason = {});

/// The failure of a SCSI command: status and sense data in words. Warnings and success never come
/// here.
[[nodiscard]] Failure failure_of_scsi(const std::string& what, std::uint8_t scsi_status,
                                      std::span<const std::byte> sense);

/// Copies the leading members that arrived into an output structure; the rest stays zero.
template <typename Output>
[[nodiscard]] Output output_of(const Answer& answer) noexcept;

/// Counted UTF-16 in both directions. Failure invalid_argument for text that does not fit
/// `field_name`.
void encode_text(std::span<std::uint16_t> field, const std::string& text,
                 std::string_view field_name);
/// Fit for a terminal; "?" for a malformed field.
[[nodiscard]] std::string decode_text(std::span<const std::uint16_t> field);

}  // namespace pollux::cli

#include <algorithm>
#include <cstring>

template <typename Output>
Output pollux::cli::output_of(const Answer& answer) noexcept {
  Output output{};
  const auto bytes = answer.bytes_at(0, sizeof(Output));
  std::memcpy(&output, bytes.data(), bytes.size());
  return output;
}
