// Words for SCSI status codes, sense keys and the additional sense codes a disk target may send
// (SAM-5; SPC-4 annex of ASC/ASCQ assignments; RFC 7143 11.4.7.2). See sense_text.hpp.
#include "control/session/sense_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace pollux::session {
namespace {

struct AdditionalSense {
  std::uint8_t asc;
  std::uint8_t ascq;
  std::string_view words;
};

constexpr auto kAdditionalSense = std::to_array<AdditionalSense>({
    {0x00, 0x00, "no additional sense information"},
    {0x00, 0x06, "I/O process terminated"},
    {0x03, 0x00, "peripheral device write fault"},
    {0x04, 0x00, "logical unit not ready, cause not reportable"},
    {0x04, 0x01, "logical unit is becoming ready"},
    {0x04, 0x02, "logical unit not ready, start command required"},
    {0x04, 0x03, "logical unit not ready, manual intervention required"},
    {0x04, 0x04, "logical unit not ready, format in progress"},
    {0x04, 0x07, "logical unit not ready, operation in progress"},
    {0x04, 0x0a, "logical unit not accessible, asymmetric access state transition"},
    {0x04, 0x0b, "logical unit not accessible, target port in standby state"},
    {0x04, 0x0c, "logical unit not accessible, target port in unavailable state"},
    {0x08, 0x00, "logical unit communication failure"},
    {0x0c, 0x00, "write error"},
    {0x0c, 0x0c, "write error, unexpected unsolicited data"},
    {0x0c, 0x0d, "write error, not enough unsolicited data"},
    {0x11, 0x00, "unrecovered read error"},
    {0x11, 0x13, "read error, failed retransmission request"},
    {0x1a, 0x00, "parameter list length error"},
    {0x1d, 0x00, "miscompare during verify operation"},
    {0x20, 0x00, "invalid command operation code"},
    {0x21, 0x00, "logical block address out of range"},
    {0x24, 0x00, "invalid field in CDB"},
    {0x25, 0x00, "logical unit not supported"},
    {0x26, 0x00, "invalid field in parameter list"},
    {0x27, 0x00, "write protected"},
    {0x27, 0x07, "space allocation failed, write protect"},
    {0x28, 0x00, "not ready to ready change, medium may have changed"},
    {0x29, 0x00, "power on, reset, or bus device reset occurred"},
    {0x29, 0x01, "power on occurred"},
    {0x29, 0x02, "SCSI bus reset occurred"},
    {0x29, 0x03, "bus device reset function occurred"},
    {0x29, 0x04, "device internal reset"},
    {0x29, 0x07, "I_T nexus loss occurred"},
    {0x2a, 0x01, "mode parameters changed"},
    {0x2a, 0x03, "reservations preempted"},
    {0x2a, 0x06, "asymmetric access state changed"},
    {0x2a, 0x09, "capacity data has changed"},
    {0x2f, 0x00, "commands cleared by another initiator"},
    {0x38, 0x07, "thin provisioning soft threshold reached"},
    {0x3a, 0x00, "medium not present"},
    {0x3e, 0x01, "logical unit failure"},
    {0x3f, 0x03, "inquiry data has changed"},
    {0x3f, 0x0e, "reported LUNs data has changed"},
    {0x44, 0x00, "internal target failure"},
    {0x47, 0x05, "protocol service CRC error"},
    {0x47, 0x7f, "some commands cleared by iSCSI protocol event"},
    {0x4e, 0x00, "overlapped commands attempted"},
    {0x55, 0x03, "insufficient resources"},
});

constexpr std::array<std::string_view, 16> kSenseKeys = {
    "NO SENSE",           "RECOVERED ERROR", "NOT READY",      "MEDIUM ERROR",
    "HARDWARE ERROR",     "ILLEGAL REQUEST", "UNIT ATTENTION", "DATA PROTECT",
    "BLANK CHECK",        "VENDOR SPECIFIC", "COPY ABORTED",   "ABORTED COMMAND",
    "RESERVED SENSE KEY", "VOLUME OVERFLOW", "MISCOMPARE",     "COMPLETED"};

}  // namespace

std::string scsi_status_text(std::uint8_t status) {
  switch (static_cast<wire::ScsiStatus>(status)) {
    case wire::ScsiStatus::good:
      return "GOOD";
    case wire::ScsiStatus::check_condition:
      return "CHECK CONDITION";
    case wire::ScsiStatus::condition_met:
      return "CONDITION MET";
    case wire::ScsiStatus::busy:
      return "BUSY";
    case wire::ScsiStatus::reservation_conflict:
      return "RESERVATION CONFLICT";
    case wire::ScsiStatus::task_set_full:
      return "TASK SET FULL";
    case wire::ScsiStatus::aca_active:
      return "ACA ACTIVE";
    case wire::ScsiStatus::task_aborted:
      return "TASK ABORTED";
  }
  return fmt::format("status 0x{:02x}", status);
}

std::string_view sense_key_text(wire::SenseKey key) noexcept {
  return kSenseKeys[static_cast<std::size_t>(key) % kSenseKeys.size()];
}

std::string sense_text(const wire::Sense& sense) {
  const auto entry = std::find_if(
      kAdditionalSense.begin(), kAdditionalSense.end(),
      [&](const AdditionalSense& a) { return a.asc == sense.asc && a.ascq == sense.ascq; });
  const std::string_view words =
      entry == kAdditionalSense.end() ? "additional sense code without a name" : entry->words;
  return fmt::format("{}: {} ({:02x}/{:02x}/{:02x}){}", sense_key_text(sense.key), words,
                     static_cast<unsigned>(sense.key), sense.asc, sense.ascq,
                     sense.is_deferred ? ", about an earlier command" : "");
}

}  // namespace pollux::session
