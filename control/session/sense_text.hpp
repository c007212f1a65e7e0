// SCSI status and sense data in words, as a person at the command line reads them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/wire/scsi_sense.hpp"

namespace pollux::session {

/// "CHECK CONDITION", or "status 0xNN" for a value SAM-5 does not have.
[[nodiscard]] std::string scsi_status_text(std::uint8_t status);
/// "ILLEGAL REQUEST".
[[nodiscard]] std::string_view sense_key_text(wire::SenseKey key) noexcept;
/// "ILLEGAL REQUEST: logical block address out of range (05/21/00)".
[[nodiscard]] std::string sense_text(const wire::Sense& sense);

}  // namespace pollux::session
