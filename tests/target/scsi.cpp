// SCSI commands of a direct-access unit (SPC-4, SBC-3): what each will move, and the answers of
// those that move no blocks.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "tests/target/protocol.hpp"

namespace pollux::target {
namespace {

constexpr std::uint8_t kCheckCondition = 0x02;
constexpr std::uint8_t kIllegalRequest = 0x05;
constexpr std::uint8_t kInvalidOpcode = 0x20;  // ASC; ASCQ 00 in all of these
constexpr std::uint8_t kLbaOutOfRange = 0x21;
constexpr std::uint8_t kInvalidField = 0x24;
constexpr std::uint8_t kLunNotSupported = 0x25;

enum Operation : std::uint8_t {
  kTestUnitReady = 0x00,
  kRead6 = 0x08,
  kWrite6 = 0x0a,
  kInquiry = 0x12,
  kModeSense6 = 0x1a,
  kReadCapacity10 = 0x25,
  kRead10 = 0x28,
  kWrite10 = 0x2a,
  kSynchronizeCache10 = 0x35,
  kModeSense10 = 0x5a,
  kRead16 = 0x88,
  kWrite16 = 0x8a,
  kSynchronizeCache16 = 0x91,
  kServiceActionIn16 = 0x9e,
  kReportLuns = 0xa0,
};
constexpr std::uint8_t kReadCapacity16 = 0x10;

constexpr std::uint8_t kPageSupported = 0x00;
constexpr std::uint8_t kPageSerialNumber = 0x80;
constexpr std::uint8_t kPageIdentification = 0x83;
constexpr std::uint8_t kPageBlockLimits = 0xb0;
constexpr std::size_t kInquiryBytes = 36;
constexpr std::size_t kSerialBytes = 16;

std::uint64_t big_endian(const std::uint8_t* bytes, std::size_t count) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value << 8 | bytes[i];
  return value;
}

/// Appends to an answer; what does not fit is dropped.
class Answer {
 public:
  explicit Answer(std::span<std::byte> out) noexcept : out_(out) {}
  Answer& number(std::uint64_t value, std::size_t bytes) noexcept {
    for (std::size_t i = bytes; i-- > 0;) put(static_cast<std::byte>(value >> 8 * i));
    return *this;
  }
  /// Left-aligned, filled with spaces.
  Answer& text(std::string_view value, std::size_t bytes) noexcept {
    for (std::size_t i = 0; i < bytes; ++i)
      put(static_cast<std::byte>(i < value.size() ? value[i] : ' '));
    return *this;
  }
  Answer& zeros(std::size_t bytes) noexcept {
    for (std::size_t i = 0; i < bytes; ++i) put(std::byte{0});
    return *this;
  }
  [[nodiscard]] std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(used_); }

 private:
  void put(std::byte byte) noexcept {
    if (used_ < out_.size()) out_[used_++] = byte;
  }
  std::span<std::byte> out_;
  std::size_t used_ = 0;
};

std::array<char, kSerialBytes + 1> serial_number(std::uint16_t lun) noexcept {
  std::array<char, kSerialBytes + 1> text{};
  std::snprintf(text.data(), text.size(), "POLLUXLAB%07u", unsigned{lun});
  return text;
}

/// Bytes an answer may have (SPC-4 4.2.5.6).
std::uint32_t allocation_length(const std::array<std::uint8_t, 16>& cdb) noexcept {
  const auto at = [&](std::size_t offset, std::size_t bytes) {
    return static_cast<std::uint32_t>(big_endian(cdb.data() + offset, bytes));
  };
  switch (cdb[0]) {
    case kInquiry:
      return at(3, 2);
    case kModeSense6:
      return at(4, 1);
    case kModeSense10:
      return at(7, 2);
    case kReadCapacity10:
      return 8;
    case kServiceActionIn16:
      return at(10, 4);
    case kReportLuns:
      return at(6, 4);
    default:
      return 0;
  }
}

constexpr std::uint32_t kAnswerMax = 8 + 8 * kLunsMax;
static_assert(kAnswerMax <= kReplyDataMax);

}  // namespace

void Protocol::set_sense(Task& task, std::uint8_t key, std::uint8_t asc,
                         std::uint8_t ascq) noexcept {
  ++counters_.check_conditions;
  task.status = kCheckCondition;
  task.sense_key = key;
  task.asc = asc;
  task.ascq = ascq;
}

void Protocol::decode_medium_access(Task& task, const Lun& lun, std::uint64_t lba,
                                    std::uint32_t blocks, bool moves_data) noexcept {
  if (lba > lun.blocks() || blocks > lun.blocks() - lba)
    return set_sense(task, kIllegalRequest, kLbaOutOfRange, 0);
  if (!moves_data) return;
  // A transfer of 4 GiB and more cannot be expressed by the Expected Data Transfer Length.
  const std::uint64_t bytes = std::uint64_t{blocks} * lun.block_bytes();
  if (bytes > UINT32_MAX) return set_sense(task, kIllegalRequest, kInvalidField, 0);
  task.is_medium_access = true;
  task.disk_offset = lba * lun.block_bytes();
  task.cdb_length = static_cast<std::uint32_t>(bytes);
}

void Protocol::decode(Task& task) noexcept {
  const auto& cdb = task.cdb;
  // SAM-5 4.7: single-level LUN, peripheral (00b) or flat (01b) addressing.
  const std::uint64_t field = task.lun_field.get();
  const auto top = static_cast<std::uint16_t>(field >> 48);
  const unsigned method = top >> 14;
  task.lun = static_cast<std::uint16_t>(top & 0x3fff);
  const bool exists = (field & 0xffff'ffff'ffff) == 0 && method <= 1 && task.lun < luns_.size();
  const std::uint8_t operation = cdb[0];
  if (!exists) task.lun = static_cast<std::uint16_t>(luns_.size());
  if (!exists && operation != kInquiry && operation != kReportLuns)
    return set_sense(task, kIllegalRequest, kLunNotSupported, 0);

  const auto at = [&](std::size_t offset, std::size_t bytes) {
    return big_endian(cdb.data() + offset, bytes);
  };
  const auto medium = [&](std::uint64_t lba, std::uint64_t blocks, bool moves_data) {
    decode_medium_access(task, luns_[task.lun], lba, static_cast<std::uint32_t>(blocks),
                         moves_data);
  };
  constexpr unsigned kProtect = 0xe0;  // RDPROTECT and WRPROTECT: no protection information here
  switch (operation) {
    case kTestUnitReady:
      return;
    case kRead6:
    case kWrite6:
      // SBC-3 5.7: a length of 0 means 256 blocks.
      return medium(at(1, 3) & 0x1f'ffff, cdb[4] == 0 ? 256 : cdb[4], true);
    case kRead10:
    case kWrite10:
      if ((cdb[1] & kProtect) != 0) return set_sense(task, kIllegalRequest, kInvalidField, 0);
      return medium(at(2, 4), at(7, 2), true);
    case kRead16:
    case kWrite16:
      if ((cdb[1] & kProtect) != 0) return set_sense(task, kIllegalRequest, kInvalidField, 0);
      return medium(at(2, 8), at(10, 4), true);
    case kSynchronizeCache10:
      return medium(at(2, 4), at(7, 2), false);
    case kSynchronizeCache16:
      return medium(at(2, 8), at(10, 4), false);
    case kServiceActionIn16:
      if ((cdb[1] & 0x1f) != kReadCapacity16)
        return set_sense(task, kIllegalRequest, kInvalidField, 0);
      break;
    case kInquiry: {
      const std::uint8_t page = cdb[2];
      const bool known = page == kPageSupported || page == kPageSerialNumber ||
                         page == kPageIdentification || page == kPageBlockLimits;
      const bool is_page = (cdb[1] & 1) != 0;
      if (is_page ? !known : page != 0) return set_sense(task, kIllegalRequest, kInvalidField, 0);
      break;
    }
    case kModeSense6:
    case kModeSense10:
    case kReadCapacity10:
    case kReportLuns:
      break;
    default:
      return set_sense(task, kIllegalRequest, kInvalidOpcode, 0);
  }
  std::array<std::byte, kAnswerMax> answer;
  task.cdb_length = std::min(allocation_length(cdb), make_answer(task, answer));
}

std::uint32_t Protocol::make_answer(const Task& task, std::span<std::byte> out) const noexcept {
  Answer answer{out};
  if (task.cdb[0] == kInquiry) return make_inquiry(task, out);
  if (task.cdb[0] == kReportLuns) return make_luns(out);
  const Lun& lun = luns_[task.lun];
  constexpr std::uint8_t kDpoFua = 0x10;  // SBC-3 6.4.1: DPO and FUA are understood
  switch (task.cdb[0]) {
    case kReadCapacity10:
      return answer.number(std::min<std::uint64_t>(lun.blocks() - 1, UINT32_MAX), 4)
          .number(lun.block_bytes(), 4)
          .size();
    case kServiceActionIn16:
      return answer.number(lun.blocks() - 1, 8).number(lun.block_bytes(), 4).zeros(20).size();
    case kModeSense6:
      return answer.number(3, 1).zeros(1).number(kDpoFua, 1).zeros(1).size();
    case kModeSense10:
      return answer.number(6, 2).zeros(1).number(kDpoFua, 1).zeros(4).size();
    default:
      return 0;
  }
}

std::uint32_t Protocol::make_inquiry(const Task& task, std::span<std::byte> out) const noexcept {
  const bool exists = task.lun < luns_.size();
  if ((task.cdb[1] & 1) != 0) return make_page(task, task.cdb[2], out);
  constexpr std::uint8_t kNoUnit = 0x7f;  // SPC-4 6.4.2: no unit here, and none possible
  Answer answer{out};
  answer.number(exists ? 0 : kNoUnit, 1).zeros(1);
  answer.number(0x06, 1).number(0x12, 1);                        // SPC-4; HISUP, response format 2
  answer.number(kInquiryBytes - 5, 1).zeros(2).number(0x02, 1);  // CMDQUE
  answer.text("POLLUX", 8);
  answer.text(exists && luns_[task.lun].keeps_data() ? "LAB RAM DISK" : "LAB NULL DISK", 16);
  return answer.text("0001", 4).size();
}

std::uint32_t Protocol::make_page(const Task& task, std::uint8_t page,
                                  std::span<std::byte> out) const noexcept {
  const auto serial = serial_number(task.lun);
  const std::string_view serial_text{serial.data(), kSerialBytes};
  Answer answer{out};
  answer.zeros(1).number(page, 1);
  switch (page) {
    case kPageSupported:
      return answer.number(4, 2)
          .number(kPageSupported, 1)
          .number(kPageSerialNumber, 1)
          .number(kPageIdentification, 1)
          .number(kPageBlockLimits, 1)
          .size();
    case kPageSerialNumber:
      return answer.number(kSerialBytes, 2).text(serial_text, kSerialBytes).size();
    case kPageIdentification: {
      // SPC-4 7.8.6: one T10 vendor designator and one locally assigned NAA (type 3h).
      constexpr std::uint64_t kNaaLocal = 0x3706'f6c6'c757'0000;
      constexpr std::size_t kVendorBytes = 8 + kSerialBytes;
      answer.number(4 + kVendorBytes + 4 + 8, 2);
      answer.number(0x02, 1).number(0x01, 1).zeros(1).number(kVendorBytes, 1);
      answer.text("POLLUX", 8).text(serial_text, kSerialBytes);
      answer.number(0x01, 1).number(0x03, 1).zeros(1).number(8, 1);
      return answer.number(kNaaLocal | task.lun, 8).size();
    }
    default: {  // SBC-3 6.5.3, block limits: no limit but the transfer length
      constexpr std::uint32_t kMaximumTransferBlocks = 0x1'0000;
      answer.number(0x3c, 2).zeros(4).number(kMaximumTransferBlocks, 4);
      return answer.zeros(0x3c - 8).size();
    }
  }
}

std::uint32_t Protocol::make_luns(std::span<std::byte> out) const noexcept {
  Answer answer{out};
  answer.number(8 * luns_.size(), 4).zeros(4);
  for (std::size_t i = 0; i < luns_.size(); ++i) answer.number(std::uint64_t{i} << 48, 8);
  return answer.size();
}

}  // namespace pollux::target
