// READ, WRITE and VERIFY of a client: split into commands of at most a MiB, several in flight, answered
// once. Nothing is written unless all of it lies on the medium.
#include <algorithm>

#include <fmt/format.h>

#include "control/service/operations.hpp"

namespace pollux::service {
namespace {

constexpr std::uint8_t kCheckCondition = 0x02;
constexpr std::uint8_t kUnitAttention = 0x06;
constexpr int kAttempts = 3;

}  // namespace

struct Operations::Transfer {
  Serial serial = 0;
  std::uint32_t opcode = 0;
  std::uint32_t worker = 0;
  pollux_io_in in{};
  Capacity capacity;
  std::vector<std::byte> data;     ///< output structure and data of a read; else data alone
  std::span<std::byte> area;       ///< the part of `data` that commands move
  std::uint64_t next_offset = 0;
  std::uint32_t in_flight = 0;
  Outcome outcome;
  pollux_completion failure{};
  bool is_stopped = false;

  [[nodiscard]] bool is_write() const noexcept { return opcode == POLLUX_OP_WRITE; }
};

void Operations::answer_io(Serial serial, const Outcome& outcome, const pollux_completion& completion) {
  if (!is_pending(serial)) return;
  pollux_verify_out out{};
  out.Io.Status = outcome.status;
  out.Io.ScsiStatus = completion.scsi_status;
  out.Io.SenseSize = static_cast<std::uint8_t>(std::min<std::size_t>(completion.sense_length, sizeof(completion.sense)));
  std::copy_n(completion.sense, out.Io.SenseSize, out.Io.Sense);
  out.MismatchOffset = POLLUX_VERIFY_MATCHES;
  const bool is_verify = pending_.at(serial).opcode == POLLUX_OP_VERIFY;
  answer_failure(serial, out, outcome.sentence, is_verify ? sizeof(out) : sizeof(out.Io));
}

void Operations::transfer(Serial serial, Instant) {
  const auto transfer = std::make_shared<Transfer>();
  transfer->serial = serial;
  transfer->opcode = pending_.at(serial).opcode;
  transfer->in = input<pollux_io_in>(serial);
  const pollux_io_in& in = transfer->in;
  const auto refuse = [&](std::uint32_t status, std::string sentence) {
    answer_io(serial, {status, std::move(sentence)}, {});
  };
  if ((in.Flags & ~std::uint32_t{POLLUX_IO_FLAG_FUA}) != 0) return refuse(ISDSC_INVALID_PARAMETER, "unknown flags");
  if (in.BlockCount == 0) return refuse(ISDSC_INVALID_PARAMETER, "BlockCount is 0");
  const std::size_t data_bytes = pending_.at(serial).input.size() - POLLUX_IO_IN_DATA_OFFSET;
  const bool has_input = transfer->opcode != POLLUX_OP_READ;
  if (in.DataSize > data_bytes || (in.DataSize == 0) == has_input) {
    return refuse(ISDSC_INVALID_PARAMETER, "DataSize does not fit the operation and its input");
  }
  Outcome outcome;
  const SessionRecord* record = scsi_session(in.UniqueSessionId, outcome);
  if (record == nullptr) return refuse(outcome.status, outcome.sentence);
  transfer->worker = record->worker;
  pending_.at(serial).abandon = [transfer] { transfer->is_stopped = true; };
  read_capacity(in.UniqueSessionId, in.Lun,
                [this, transfer](const Outcome& result, const std::optional<Capacity>& capacity) {
                  if (!is_pending(transfer->serial)) return;
                  if (!capacity) return answer_io(transfer->serial, result, transfer->failure);
                  transfer->capacity = *capacity;
                  start_transfer(transfer);
                });
}

void Operations::start_transfer(const std::shared_ptr<Transfer>& transfer) {
  const pollux_io_in& in = transfer->in;
  const Serial serial = transfer->serial;
  const std::uint64_t bytes = std::uint64_t{in.BlockCount} * transfer->capacity.block_bytes;
  const auto refuse = [&](std::string sentence) {
    answer_io(serial, {ISDSC_INVALID_PARAMETER, std::move(sentence)}, {});
  };
  if (bytes > kTransferBytesMax) {
    return refuse(fmt::format("{} bytes are more than one command may move ({})", bytes, kTransferBytesMax));
  }
  if (transfer->opcode != POLLUX_OP_READ && in.DataSize != bytes) {
    return refuse(fmt::format("DataSize is {} but {} blocks of {} bytes are {}", in.DataSize, in.BlockCount,
                              transfer->capacity.block_bytes, bytes));
  }
  // Compared without an addition that could wrap.
  if (in.Lba >= transfer->capacity.blocks || in.BlockCount > transfer->capacity.blocks - in.Lba) {
    return probe_out_of_range(transfer);
  }
  if (transfer->opcode == POLLUX_OP_READ) {
    if (!require_room(serial, POLLUX_IO_OUT_DATA_OFFSET + bytes)) return;
    transfer->data.resize(POLLUX_IO_OUT_DATA_OFFSET + bytes);
    transfer->area = std::span(transfer->data).subspan(POLLUX_IO_OUT_DATA_OFFSET);
  } else if (transfer->is_write()) {
    // A copy of our own: the request may be answered late while frames with its data still leave.
    const auto source = pending_.at(serial).input.subspan(POLLUX_IO_IN_DATA_OFFSET, bytes);
    transfer->data.assign(source.begin(), source.end());
    transfer->area = transfer->data;
  } else {
    transfer->data.resize(bytes);
    transfer->area = transfer->data;
  }
  push_chunks(transfer);
}

void Operations::probe_out_of_range(const std::shared_ptr<Transfer>& transfer) {
  // A read of the first block that does not exist: the target says itself what is wrong, and nothing of
  // a write that is half on the medium has been written.
  const auto block = std::make_shared<std::vector<std::byte>>(transfer->capacity.block_bytes);
  ScsiCommand command;
  command.worker = transfer->worker;
  command.command.opcode = POLLUX_READ;
  command.command.session = transfer->in.UniqueSessionId;
  command.command.lun = transfer->in.Lun;
  command.command.lba = std::max(transfer->in.Lba, transfer->capacity.blocks);
  command.command.block_count = 1;
  command.buffer = *block;
  options_.scsi.submit(std::move(command), [this, transfer, block](const pollux_completion& completion) {
    Outcome outcome = scsi_outcome(completion);
    if (outcome.is_ok()) {
      outcome = {ISDSC_INVALID_PARAMETER,
                 fmt::format("the range leaves the unit, which has {} blocks", transfer->capacity.blocks)};
    }
    answer_io(transfer->serial, outcome, completion);
  });
}

void Operations::push_chunks(const std::shared_ptr<Transfer>& transfer) {
  const std::uint32_t chunk_max =
      kChunkBytesMax / transfer->capacity.block_bytes * transfer->capacity.block_bytes;
  while (transfer->in_flight < kChunksInFlight && transfer->outcome.is_ok() && !transfer->is_stopped &&
         transfer->next_offset < transfer->area.size()) {
    const std::uint64_t offset = transfer->next_offset;
    const auto bytes = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(chunk_max, transfer->area.size() - offset));
    transfer->next_offset += bytes;
    ++transfer->in_flight;
    push_chunk(transfer, offset, bytes, kAttempts);
  }
}

void Operations::push_chunk(const std::shared_ptr<Transfer>& transfer, std::uint64_t offset,
                            std::uint32_t bytes, int attempts_left) {
  ScsiCommand command;
  command.worker = transfer->worker;
  command.command.opcode = transfer->is_write() ? POLLUX_WRITE : POLLUX_READ;
  command.command.flags = (transfer->in.Flags & POLLUX_IO_FLAG_FUA) != 0 ? POLLUX_FUA : 0;
  command.command.session = transfer->in.UniqueSessionId;
  command.command.lun = transfer->in.Lun;
  command.command.lba = transfer->in.Lba + offset / transfer->capacity.block_bytes;
  command.command.block_count = bytes / transfer->capacity.block_bytes;
  command.buffer = transfer->area.subspan(offset, bytes);
  options_.scsi.submit(std::move(command), [=, this](const pollux_completion& completion) {
    const bool is_unit_attention = completion.result == 0 && completion.scsi_status == kCheckCondition &&
                                   completion.sense_key == kUnitAttention;
    // SAM-5: a command that met a unit attention was not carried out.
    if (is_unit_attention && attempts_left > 1) return push_chunk(transfer, offset, bytes, attempts_left - 1);
    --transfer->in_flight;
    Outcome outcome = scsi_outcome(completion);
    if (outcome.is_ok() && completion.transferred != bytes) {
      outcome = {ISDSC_TARGET_ERROR, fmt::format("the target moved {} bytes of {}", completion.transferred, bytes)};
    }
    if (transfer->outcome.is_ok() && !outcome.is_ok()) {
      transfer->outcome = std::move(outcome);
      transfer->failure = completion;
    }
    push_chunks(transfer);
    const bool is_over = transfer->next_offset == transfer->area.size() || !transfer->outcome.is_ok();
    if (transfer->in_flight == 0 && is_over) end_transfer(transfer);
  });
}

void Operations::end_transfer(const std::shared_ptr<Transfer>& transfer) {
  const Serial serial = transfer->serial;
  if (!is_pending(serial)) return;
  if (!transfer->outcome.is_ok()) return answer_io(serial, transfer->outcome, transfer->failure);
  pollux_io_out out{};
  if (transfer->opcode == POLLUX_OP_READ) {
    out.DataSize = static_cast<std::uint32_t>(transfer->area.size());
    std::memcpy(transfer->data.data(), &out, sizeof(out));
    return finish(serial, POLLUX_RING_OK, transfer->data);
  }
  if (transfer->is_write()) return answer(serial, out);
  const auto wanted = pending_.at(serial).input.subspan(POLLUX_IO_IN_DATA_OFFSET, transfer->area.size());
  const auto [found, expected] = std::mismatch(transfer->area.begin(), transfer->area.end(), wanted.begin());
  pollux_verify_out verify{};
  verify.MismatchOffset = found == transfer->area.end()
                              ? POLLUX_VERIFY_MATCHES
                              : static_cast<std::uint64_t>(found - transfer->area.begin());
  answer(serial, verify);
}

}  // namespace pollux::service
