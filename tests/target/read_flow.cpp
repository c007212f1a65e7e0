// Data-In and SCSI Response: splitting by the initiator's limits, residuals, sense (RFC
// 7143 11.4, 11.7).
#include <algorithm>

#include "tests/target/protocol.hpp"

namespace pollux::target {
namespace {

// An upper bound of our own, so that a Data-In always fits an empty send queue.
constexpr std::uint32_t kDataInMax = 256 * KiB;
constexpr std::size_t kSenseBytes = 18;  // SPC-4 4.5.3, fixed format

struct Residual {
  std::uint8_t flags = 0;
  std::uint32_t count = 0;
};

// RFC 7143 11.4.5: between what was expected and what the command would move.
Residual residual(const Task& task) noexcept {
  const std::uint32_t wanted = task.status == 0 ? task.cdb_length : 0;
  if (wanted > task.expected_length)
    return {wire::ScsiResponse::kOverflow, wanted - task.expected_length};
  if (wanted < task.expected_length)
    return {wire::ScsiResponse::kUnderflow, task.expected_length - wanted};
  return {};
}
static_assert(wire::DataIn::kOverflow == wire::ScsiResponse::kOverflow &&
              wire::DataIn::kUnderflow == wire::ScsiResponse::kUnderflow);

}  // namespace

bool Protocol::answer_task(Task& task) noexcept {
  if (task.is_write || task.status != 0) return send_scsi_response(task);
  while (task.moved < task.transfer)
    if (!send_data_in(task)) return false;
  if (task.is_retired) return true;  // the last Data-In had the status
  return send_scsi_response(task);
}

bool Protocol::send_data_in(Task& task) noexcept {
  Connection& c = *task.connection;
  const Negotiated& limits = c.negotiated;
  const std::uint32_t left = task.transfer - task.moved;
  const std::uint32_t burst_left = limits.max_burst_length - task.moved % limits.max_burst_length;
  std::uint32_t length = std::min({left, burst_left, limits.initiator_segment_length, kDataInMax});
  // RFC 7143 11.7.7: all but the last of a sequence are multiples of four bytes.
  if (length < left && length < burst_left) length &= ~3u;
  const std::uint32_t pieces =
      task.is_medium_access ? static_cast<std::uint32_t>(length / kNullPatternBytes) + 2 : 0;
  if (!out_.room(pieces, task.is_medium_access ? 0 : length)) return false;

  wire::DataIn header;
  const bool is_last = length == left;
  if (is_last || length == burst_left) header.flags = wire::kFinal;
  header.initiator_task_tag.set(task.initiator_task_tag);
  header.target_transfer_tag.set(wire::kReservedTag);
  header.data_sn.set(task.data_sn++);
  header.buffer_offset.set(task.moved);
  if (is_last && config_.status_in_data_in) {
    const Residual rest = residual(task);
    header.flags |= static_cast<std::uint8_t>(wire::DataIn::kStatus | rest.flags);
    header.residual_count.set(rest.count);
    retire(task);
    stamp(c, header, true);
  } else {
    stamp_window(c, header);
  }
  out_.begin(header, length, limits.digests);
  if (task.is_medium_access) {
    const Lun& lun = luns_[task.lun];
    for (std::uint32_t done = 0; done < length;) {
      const auto bytes = lun.read(task.disk_offset + task.moved + done, length - done);
      out_.external(bytes);
      done += static_cast<std::uint32_t>(bytes.size());
    }
    counters_.read_bytes += length;
  } else {
    std::array<std::byte, kReplyDataMax> answer;
    make_answer(task, answer);
    out_.inline_data(std::span{answer}.subspan(task.moved, length));
  }
  out_.finish(++counters_.data_ins == config_.faults.corrupt_data_digest_at);
  task.moved += length;
  return true;
}

bool Protocol::send_scsi_response(Task& task) noexcept {
  Connection& c = *task.connection;
  std::array<std::byte, 2 + kSenseBytes> sense{};
  const bool has_sense = task.sense_key != 0;
  if (!out_.room(0, sense.size())) return false;
  wire::ScsiResponse response;
  const Residual rest = residual(task);
  response.flags |= rest.flags;
  response.residual_count.set(rest.count);
  response.status = task.status;
  response.initiator_task_tag.set(task.initiator_task_tag);
  response.exp_data_sn.set(task.is_write ? task.r2t_sn : task.data_sn);
  retire(task);
  stamp(c, response, true);
  if (has_sense) {
    // RFC 7143 11.4.7: SenseLength, then the sense data.
    sense[1] = std::byte{kSenseBytes};
    sense[2] = std::byte{0x70};
    sense[4] = std::byte{task.sense_key};
    sense[9] = std::byte{kSenseBytes - 8};
    sense[14] = std::byte{task.asc};
    sense[15] = std::byte{task.ascq};
  }
  out_.pdu(response, has_sense ? std::span<const std::byte>{sense} : std::span<const std::byte>{},
           c.negotiated.digests);
  return true;
}

}  // namespace pollux::target
