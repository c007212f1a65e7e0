// See operation.hpp.
#include "control/cli/operation.hpp"

#include <fmt/format.h>

#include <cctype>
#include <vector>

#include "control/cli/render.hpp"
#include "control/session/sense_text.hpp"
#include "pollux/iscsierr.h"

namespace pollux::cli {
namespace {

/// What a person can do about a status, when there is something general to say.
std::string_view general_advice(std::uint32_t isdsc) noexcept {
  switch (isdsc) {
    case ISDSC_INVALID_SESSION_ID:
      return "'pollux sessions' lists those there are.";
    case ISDSC_NOT_FOUND:
    case ISDSC_TARGET_NOT_FOUND:
      return "'pollux discover PORTAL' lists the targets of a portal.";
    case ISDSC_CONNECTION_FAILED:
      return "Check that the target is running and reachable from the service's port.";
    case ISDSC_AUTHENTICATION_FAILURE:
    case ISDSC_AUTHORIZATION_FAILURE:
      return "Check the target's access list for this initiator's name.";
    case ISDSC_SESSION_BUSY:
      return "Try again in a moment.";
    case ISDSC_NO_CONNECTION_AVAILABLE:
      return "Log out of it and log in again; the service's log says how the connection was lost.";
    default:
      return {};
  }
}

}  // namespace

std::uint32_t status_of(const std::string& what, const Answer& answer) {
  if (answer.bytes().size() < sizeof(std::uint32_t))
    throw Failure(ExitCode::internal,
                  fmt::format("{} failed: the service's answer is empty.", what));
  return output_of<std::uint32_t>(answer);
}

std::string status_text(std::uint32_t isdsc) {
  return fmt::format("{} ({}, 0x{:08x})", pollux_isdsc_text(isdsc), pollux_isdsc_name(isdsc),
                     isdsc);
}

std::string reason_of(const Answer& answer, std::size_t structure_bytes) {
  const auto bytes = answer.bytes_at(structure_bytes, kReasonBytesMax);
  return clean({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Failure failure_of_status(const std::string& what, std::uint32_t isdsc, std::string_view reason) {
  std::string sentence;
  if (reason.empty()) {
    sentence = fmt::format("{} failed: {}.", what, status_text(isdsc));
  } else {
    // The service's sentence names the operation and its object itself.
    sentence = fmt::format("{} ({}, 0x{:08x}).", reason, pollux_isdsc_name(isdsc), isdsc);
    sentence.front() =
        static_cast<char>(std::toupper(static_cast<unsigned char>(sentence.front())));
  }
  if (const std::string_view hint = general_advice(isdsc); !hint.empty())
    sentence += fmt::format(" {}", hint);
  return {exit_code_of(isdsc), sentence, isdsc};
}

Failure failure_of_scsi(const std::string& what, std::uint8_t scsi_status,
                        std::span<const std::byte> sense) {
  std::string reason = session::scsi_status_text(scsi_status);
  if (const auto parsed = wire::parse_sense(sense)) reason += ", " + session::sense_text(*parsed);
  return {ExitCode::generic, fmt::format("{} failed: the target answered {}.", what, reason),
          ISDSC_SCSI_REQUEST_FAILED};
}

void encode_text(std::span<std::uint16_t> field, const std::string& text,
                 std::string_view field_name) {
  if (pollux_text_encode(field.data(), field.size(), text.c_str()) < 0)
    throw Failure(ExitCode::invalid_argument,
                  fmt::format("The {} is longer than {} characters or not UTF-8.", field_name,
                              field.size() - 1));
}

std::string decode_text(std::span<const std::uint16_t> field) {
  std::vector<char> utf8(field.size() * 3 + 1);
  const int length = pollux_text_decode(field.data(), field.size(), utf8.data(), utf8.size());
  if (length < 0) return "?";
  return clean({utf8.data(), static_cast<std::size_t>(length)});
}

}  // namespace pollux::cli
