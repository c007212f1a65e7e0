// ScsiInquiry, ScsiReadCapacity and ScsiReportLuns: the answers of the target as they are, with SCSI
// status and sense when it refuses.
#include <algorithm>
#include <array>
#include <bit>

#include <fmt/format.h>

#include "control/service/operations.hpp"
#include "control/session/sense_text.hpp"
#include "dataplane/wire/scsi_cdb.hpp"

namespace pollux::service {
namespace {

constexpr std::size_t kHead = offsetof(ScsiInquiry_OUT, ResponseBuffer);
constexpr std::uint32_t kStandardInquiryBytes = 255;
constexpr std::uint32_t kInquiryBytesMin = 36;      // SPC-4: what every standard answer has
constexpr std::uint32_t kCapacity16Bytes = 32;      // SBC-3
constexpr std::uint32_t kCapacity10Bytes = 8;
constexpr std::uint32_t kReportLunsBytesMin = 16;   // SPC-4: a smaller allocation length is an error
constexpr std::uint32_t kReportLunsBytesMax = 8 + 8 * 16384;
constexpr std::uint8_t kCheckCondition = 0x02;
constexpr std::uint8_t kUnitAttention = 0x06;
constexpr std::uint8_t kIllegalRequest = 0x05;

std::vector<std::uint8_t> cdb_bytes(const wire::Cdb& cdb, std::size_t length) {
  return {cdb.begin(), cdb.begin() + static_cast<std::ptrdiff_t>(length)};
}

std::uint32_t result_status(std::int32_t result) {
  switch (result) {
    case POLLUX_ENOSESSION:
    case POLLUX_EABORTED:
      return ISDSC_NO_CONNECTION_AVAILABLE;
    case POLLUX_ESESSION_LOST:
    case POLLUX_ETIMEDOUT:
      return ISDSC_TRANSPORT_ERROR;
    case POLLUX_EPROTO:
    case POLLUX_ETARGET:
      return ISDSC_TARGET_ERROR;
    case POLLUX_EAGAIN:
      return ISDSC_SESSION_BUSY;
    case POLLUX_ENOMEM:
      return ISDSC_OUT_OF_RESOURCES;
    default:
      return ISDSC_NON_SPECIFIC_ERROR;
  }
}

std::string result_sentence(std::int32_t result) {
  switch (result) {
    case POLLUX_ENOSESSION: return "the session is gone";
    case POLLUX_EABORTED: return "the command was ended by a logout";
    case POLLUX_ESESSION_LOST: return "the connection was lost before the command completed";
    case POLLUX_ETIMEDOUT: return "the command did not complete in time";
    case POLLUX_EPROTO: return "the target broke the protocol on this command";
    case POLLUX_ETARGET: return "the target could not carry the command out";
    case POLLUX_EAGAIN: return "too many commands are waiting; try again";
    case POLLUX_ENOMEM: return "no queue could be made for the command";
    default: return fmt::format("the command failed with code {}", result);
  }
}

}  // namespace

Outcome scsi_outcome(const pollux_completion& completion) {
  if (completion.result != 0) return {result_status(completion.result), result_sentence(completion.result)};
  if (completion.scsi_status == 0) return {};
  std::string sentence = session::scsi_status_text(completion.scsi_status);
  const std::size_t length = std::min<std::size_t>(completion.sense_length, sizeof(completion.sense));
  if (const auto sense = wire::parse_sense(std::as_bytes(std::span(completion.sense)).first(length))) {
    sentence += ", " + session::sense_text(*sense);
  }
  return {ISDSC_SCSI_REQUEST_FAILED, sentence};
}

const SessionRecord* Operations::scsi_session(std::uint64_t id, Outcome& outcome) const {
  const SessionRecord* record = options_.sessions.find(id);
  if (record == nullptr) {
    outcome = {ISDSC_INVALID_SESSION_ID, "there is no session with that id"};
    return nullptr;
  }
  if (record->request.kind == SessionKind::discovery) {
    outcome = {ISDSC_SESSION_TYPE_NOT_SUPPORTED, "a discovery session takes no SCSI commands"};
    return nullptr;
  }
  if (record->step != SessionStep::logged_in) {
    outcome = {ISDSC_NO_CONNECTION_AVAILABLE, record->state_text};
    return nullptr;
  }
  return record;
}

void Operations::run_cdb(std::uint64_t session, std::uint64_t lun, Cdb cdb, RawDone done,
                         int attempts_left) {
  Outcome outcome;
  const SessionRecord* record = scsi_session(session, outcome);
  if (record == nullptr) return done(outcome, {}, {});
  const auto data = std::make_shared<std::vector<std::byte>>(cdb.response_bytes);
  ScsiCommand command;
  command.worker = record->worker;
  command.command.opcode = POLLUX_SCSI;
  command.command.flags = POLLUX_FROM_DEVICE;
  command.command.session = session;
  command.command.lun = lun;
  command.buffer = *data;
  command.cdb = cdb.bytes;
  options_.scsi.submit(std::move(command), [=, this](const pollux_completion& completion) {
    const bool is_unit_attention = completion.result == 0 && completion.scsi_status == kCheckCondition &&
                                   completion.sense_key == kUnitAttention;
    if (is_unit_attention && attempts_left > 1) {
      return run_cdb(session, lun, cdb, done, attempts_left - 1);
    }
    data->resize(std::min<std::size_t>(data->size(), completion.transferred));
    done(scsi_outcome(completion), completion, std::move(*data));
  });
}

void Operations::answer_scsi(Serial serial, const Outcome& outcome, const pollux_completion& completion,
                             std::span<const std::byte> data) {
  ScsiInquiry_OUT out{};
  out.Status = outcome.status;
  out.ScsiStatus = completion.scsi_status;
  std::copy_n(completion.sense, sizeof(out.SenseBuffer), out.SenseBuffer);
  if (!outcome.is_ok()) return answer_failure(serial, out, outcome.sentence, kHead);
  out.ResponseBufferSize = static_cast<std::uint32_t>(data.size());
  std::vector<std::byte> output(kHead + data.size());
  std::memcpy(output.data(), &out, kHead);
  std::copy(data.begin(), data.end(), output.begin() + kHead);
  finish(serial, POLLUX_RING_OK, output);
}

void Operations::inquiry(Serial serial, Instant) {
  const auto in = input<ScsiInquiry_IN>(serial);
  if (!require_room(serial, kHead + kInquiryBytesMin)) return;
  constexpr std::uint8_t kFlagsAllowed = 0x03;  // EVPD and CmdDt
  if ((in.InquiryFlags & ~kFlagsAllowed) != 0) {
    return answer_scsi(serial, {ISDSC_INVALID_PARAMETER, "InquiryFlags are EVPD (1) and CmdDt (2)"}, {}, {});
  }
  const std::uint32_t room = pending_.at(serial).output_capacity - static_cast<std::uint32_t>(kHead);
  const bool is_standard = in.InquiryFlags == 0;
  const std::uint32_t length = std::min<std::uint32_t>(room, is_standard ? kStandardInquiryBytes : 0xffff);
  wire::CdbInquiry inquiry;
  inquiry.evpd = in.InquiryFlags;
  inquiry.page_code = in.PageCode;
  inquiry.allocation_length.set(static_cast<std::uint16_t>(length));
  run_cdb(in.UniqueSessionId, in.Lun, {cdb_bytes(wire::to_cdb(inquiry), 6), length},
          [this, serial](const Outcome& outcome, const pollux_completion& completion,
                         const std::vector<std::byte>& data) {
            answer_scsi(serial, outcome, completion, data);
          });
}

void Operations::run_capacity(std::uint64_t session, std::uint64_t lun, RawDone done) {
  run_cdb(session, lun, {cdb_bytes(wire::cdb_read_capacity_16(kCapacity16Bytes), 16), kCapacity16Bytes},
          [=, this](const Outcome& outcome, const pollux_completion& completion,
                    std::vector<std::byte> data) {
            const bool is_unknown_command = completion.result == 0 &&
                                            completion.scsi_status == kCheckCondition &&
                                            completion.sense_key == kIllegalRequest &&
                                            completion.asc == 0x20;  // SPC-4: invalid operation code
            if (!is_unknown_command) return done(outcome, completion, std::move(data));
            // Devices older than SBC-2 know the short command alone.
            run_cdb(session, lun, {cdb_bytes(wire::cdb_read_capacity_10(), 10), kCapacity10Bytes}, done);
          });
}

void Operations::read_capacity_raw(Serial serial, Instant) {
  const auto in = input<ScsiReadCapacity_IN>(serial);
  if (!require_room(serial, kHead + kCapacity16Bytes)) return;
  run_capacity(in.UniqueSessionId, in.Lun,
               [this, serial](const Outcome& outcome, const pollux_completion& completion,
                              const std::vector<std::byte>& data) {
                 answer_scsi(serial, outcome, completion, data);
               });
}

void Operations::read_capacity(std::uint64_t session, std::uint64_t lun, CapacityDone done) {
  run_capacity(session, lun, [done = std::move(done)](const Outcome& outcome, const pollux_completion&,
                                                      const std::vector<std::byte>& data) {
    if (!outcome.is_ok()) return done(outcome, std::nullopt);
    const auto number = [&](std::size_t at, std::size_t bytes) {
      std::uint64_t value = 0;
      for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<std::uint8_t>(data[at + i]);
      return value;
    };
    Capacity capacity;
    std::uint64_t last_lba = 0;
    if (data.size() >= 12) {  // READ CAPACITY(16)
      last_lba = number(0, 8);
      capacity.block_bytes = static_cast<std::uint32_t>(number(8, 4));
    } else if (data.size() >= kCapacity10Bytes) {
      last_lba = number(0, 4);
      capacity.block_bytes = static_cast<std::uint32_t>(number(4, 4));
    }
    capacity.blocks = last_lba + 1;
    constexpr std::uint32_t kBlockBytesMax = 1u << 20;
    // A target that answers nonsense must not become our arithmetic.
    if (capacity.block_bytes == 0 || capacity.block_bytes > kBlockBytesMax || capacity.blocks == 0) {
      return done({ISDSC_TARGET_ERROR, "the target's answer to READ CAPACITY is malformed"}, std::nullopt);
    }
    done({}, capacity);
  });
}

void Operations::report_luns(Serial serial, Instant) {
  const auto in = input<ScsiReportLuns_IN>(serial);
  if (!require_room(serial, kHead + kReportLunsBytesMin)) return;
  // Asked for whole, so that an output area that is too small learns the size it needs.
  run_cdb(in.UniqueSessionId, 0, {cdb_bytes(wire::cdb_report_luns(kReportLunsBytesMax), 12), kReportLunsBytesMax},
          [this, serial](const Outcome& outcome, const pollux_completion& completion,
                         const std::vector<std::byte>& data) {
            if (is_pending(serial) && outcome.is_ok() && !require_room(serial, kHead + data.size())) return;
            answer_scsi(serial, outcome, completion, data);
          });
}

}  // namespace pollux::service
