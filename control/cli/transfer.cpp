// See transfer.hpp. A piece is one command on the ring; its slot owns the memory of both directions
// until the completion was taken.
#include "control/cli/transfer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "control/cli/interrupt.hpp"
#include "control/cli/operation.hpp"
#include "pollux/iscsierr.h"
#include "pollux/operations.h"

namespace pollux::cli {
namespace {

constexpr std::size_t kPiecesInFlight =
    4;  // half of the arena at most: the service grants it whole
constexpr std::uint64_t kPieceBytesMax = std::uint64_t{1} << 20;
constexpr std::uint32_t kSliceMs = 100;
constexpr std::uint32_t kGraceMs = 2000;

struct Slot {
  std::vector<std::byte> input;
  std::vector<std::byte> output;
  std::uint64_t offset = 0;  ///< of the piece, in blocks from the extent's start
  std::uint32_t blocks = 0;
  std::uint32_t output_bytes = 0;
  bool is_done = false;
};

/// Runs pieces in order with several in flight. `fill` prepares the next slot's input and says how
/// many blocks it has (zero: no more); `take` gets finished slots in order and returns whether to
/// go on.
class Pipeline {
 public:
  using Fill = std::function<std::uint32_t(Slot&, std::uint32_t blocks_max)>;
  using Take = std::function<bool(const Slot&)>;

  Pipeline(Connection& connection, const Extent& extent, const TransferOptions& options,
           std::uint32_t opcode, std::string what)
      : connection_(connection),
        extent_(extent),
        options_(options),
        opcode_(opcode),
        what_(std::move(what)),
        slots_(kPiecesInFlight) {
    const std::uint64_t bytes =
        std::min<std::uint64_t>(kPieceBytesMax, connection.transfer_bytes_max());
    piece_blocks_ =
        static_cast<std::uint32_t>(std::max<std::uint64_t>(1, bytes / extent.block_bytes));
  }
  ~Pipeline() {
    if (connection_.in_flight() > 0) connection_.drain();
  }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  void run(const Fill& fill, const Take& take) {
    while (start_pieces(fill) || taken_ < started_) {
      wait_for(slots_[taken_ % slots_.size()]);
      if (!take(slots_[taken_ % slots_.size()])) return;
      ++taken_;
    }
  }

 private:
  /// Returns whether a piece is in flight afterwards.
  bool start_pieces(const Fill& fill) {
    while (started_ - taken_ < slots_.size()) {
      Slot& slot = slots_[started_ % slots_.size()];
      if (!is_prepared_) {
        const std::uint64_t left = extent_.block_count - next_block_;
        if (left == 0 || is_at_end_) break;
        slot.offset = next_block_;
        slot.is_done = false;
        slot.blocks =
            fill(slot, static_cast<std::uint32_t>(std::min<std::uint64_t>(left, piece_blocks_)));
        is_at_end_ = slot.blocks == 0;
        if (is_at_end_) break;
        is_prepared_ = true;
      }
      if (!submit(slot)) break;
      is_prepared_ = false;
      next_block_ += slot.blocks;
      ++started_;
    }
    return started_ > taken_;
  }

  bool submit(Slot& slot) {
    const pollux_io_in in{extent_.session_id,
                          extent_.lun,
                          extent_.lba + slot.offset,
                          slot.blocks,
                          options_.force_unit_access ? std::uint32_t{POLLUX_IO_FLAG_FUA} : 0u,
                          static_cast<std::uint32_t>(slot.input.size() - POLLUX_IO_IN_DATA_OFFSET),
                          0};
    std::memcpy(slot.input.data(), &in, sizeof(in));
    return connection_.submit(what_, opcode_, slot.input, slot.output, started_,
                              options_.deadline_ms);
  }

  void wait_for(Slot& slot) {
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::milliseconds(options_.deadline_ms + kGraceMs);
    while (!slot.is_done) {
      if (is_interrupted())
        throw Failure(ExitCode::interrupted, fmt::format("{} was interrupted{}.", what_, so_far()));
      const auto completion = connection_.next(what_, kSliceMs);
      if (completion) {
        check_ring_status(what_, completion->ring_status);
        Slot& finished = slots_[completion->user_data % slots_.size()];
        finished.output_bytes = completion->output_bytes;
        finished.is_done = true;
      } else if (std::chrono::steady_clock::now() >= end) {
        throw Failure(ExitCode::pdu_timeout,
                      fmt::format("{} failed: no answer in {} seconds{}.", what_,
                                  options_.deadline_ms / 1000, so_far()));
      }
    }
    check_answer(slot);
  }

  void check_answer(const Slot& slot) const {
    pollux_io_out out{};
    if (slot.output_bytes < sizeof(out.Status))
      throw Failure(ExitCode::internal,
                    fmt::format("{} failed: the service's answer is empty.", what_));
    std::memcpy(&out, slot.output.data(), std::min<std::size_t>(slot.output_bytes, sizeof(out)));
    if (out.Status == 0) return;
    const std::string where = fmt::format("{} at LBA {}, {} blocks{},", what_,
                                          extent_.lba + slot.offset, slot.blocks, so_far());
    if (out.Status == ISDSC_SCSI_REQUEST_FAILED)
      throw failure_of_scsi(where, out.ScsiStatus,
                            std::as_bytes(std::span(out.Sense))
                                .first(std::min<std::size_t>(out.SenseSize, sizeof(out.Sense))));
    throw failure_of_status(where, out.Status);
  }

  [[nodiscard]] std::string so_far() const {
    const std::uint64_t blocks = taken_ == 0 ? 0
                                             : slots_[(taken_ - 1) % slots_.size()].offset +
                                                   slots_[(taken_ - 1) % slots_.size()].blocks;
    return blocks == 0 ? std::string{} : fmt::format(" after {} blocks", blocks);
  }

  Connection& connection_;
  const Extent& extent_;
  const TransferOptions& options_;
  std::uint32_t opcode_;
  std::string what_;
  std::vector<Slot> slots_;
  std::uint32_t piece_blocks_ = 1;
  std::uint64_t next_block_ = 0;
  std::uint64_t started_ = 0;
  std::uint64_t taken_ = 0;
  bool is_prepared_ = false;
  bool is_at_end_ = false;
};

/// Reads the next blocks of a file into the slot behind the input structure.
std::uint32_t fill_from(InputFile& file, const Extent& extent, bool pad, Slot& slot,
                        std::uint32_t blocks_max) {
  slot.input.resize(POLLUX_IO_IN_DATA_OFFSET + std::size_t{blocks_max} * extent.block_bytes);
  const std::size_t got = file.read(std::span(slot.input).subspan(POLLUX_IO_IN_DATA_OFFSET));
  const std::size_t rest = got % extent.block_bytes;
  if (rest != 0 && !pad)
    throw Failure(ExitCode::invalid_argument,
                  fmt::format("{} ends {} bytes into a block of {} bytes, and blocks before it may "
                              "have been used. Give --pad to fill the last one with zeros.",
                              file.name(), rest, extent.block_bytes));
  const std::size_t blocks = got / extent.block_bytes + (rest != 0 ? 1 : 0);
  slot.input.resize(POLLUX_IO_IN_DATA_OFFSET + blocks * extent.block_bytes);
  std::fill(slot.input.begin() + static_cast<std::ptrdiff_t>(POLLUX_IO_IN_DATA_OFFSET + got),
            slot.input.end(), std::byte{0});
  return static_cast<std::uint32_t>(blocks);
}

}  // namespace

void check_range(const Extent& extent, const Capacity& capacity) {
  if (extent.lba <= capacity.block_count &&
      extent.block_count <= capacity.block_count - extent.lba && extent.lba < capacity.block_count)
    return;
  throw Failure(
      ExitCode::invalid_argument,
      fmt::format("{} blocks from LBA {} do not fit on {}, which has {} blocks of {} bytes: "
                  "logical block address out of range (05/21/00). Nothing was transferred.",
                  extent.block_count, extent.lba, extent.lun_name, capacity.block_count,
                  capacity.block_bytes));
}

void read_blocks(Connection& connection, const Extent& extent, const TransferOptions& options,
                 OutputFile& file, Progress& progress) {
  const std::string what = fmt::format("Reading {}", extent.lun_name);
  Pipeline pipeline(connection, extent, options, POLLUX_OP_READ, what);
  std::uint64_t done = 0;
  pipeline.run(
      [&](Slot& slot, std::uint32_t blocks) {
        slot.input.resize(POLLUX_IO_IN_DATA_OFFSET);
        slot.output.resize(POLLUX_IO_OUT_DATA_OFFSET + std::size_t{blocks} * extent.block_bytes);
        return blocks;
      },
      [&](const Slot& slot) {
        const std::size_t wanted = std::size_t{slot.blocks} * extent.block_bytes;
        if (slot.output_bytes != POLLUX_IO_OUT_DATA_OFFSET + wanted)
          throw Failure(ExitCode::generic,
                        fmt::format("{} failed at LBA {}: {} bytes came where {} were asked for.",
                                    what, extent.lba + slot.offset,
                                    slot.output_bytes - POLLUX_IO_OUT_DATA_OFFSET, wanted));
        file.write(std::span(slot.output).subspan(POLLUX_IO_OUT_DATA_OFFSET, wanted));
        progress.update(done += wanted);
        return true;
      });
}

std::uint64_t write_blocks(Connection& connection, const Extent& extent,
                           const TransferOptions& options, bool pad, InputFile& file,
                           Progress& progress) {
  Pipeline pipeline(connection, extent, options, POLLUX_OP_WRITE,
                    fmt::format("Writing {}", extent.lun_name));
  std::uint64_t done = 0;
  pipeline.run(
      [&](Slot& slot, std::uint32_t blocks_max) {
        slot.output.resize(sizeof(pollux_io_out));
        return fill_from(file, extent, pad, slot, blocks_max);
      },
      [&](const Slot& slot) {
        progress.update(done += std::uint64_t{slot.blocks} * extent.block_bytes);
        return true;
      });
  return done;
}

Comparison verify_blocks(Connection& connection, const Extent& extent,
                         const TransferOptions& options, bool pad, InputFile& file,
                         Progress& progress) {
  Pipeline pipeline(connection, extent, options, POLLUX_OP_VERIFY,
                    fmt::format("Verifying {}", extent.lun_name));
  Comparison result;
  pipeline.run(
      [&](Slot& slot, std::uint32_t blocks_max) {
        slot.output.resize(sizeof(pollux_verify_out));
        return fill_from(file, extent, pad, slot, blocks_max);
      },
      [&](const Slot& slot) {
        pollux_verify_out out{};
        std::memcpy(&out, slot.output.data(),
                    std::min<std::size_t>(slot.output_bytes, sizeof(out)));
        if (out.MismatchOffset != POLLUX_VERIFY_MATCHES) {
          result.mismatch = slot.offset * extent.block_bytes + out.MismatchOffset;
          result.bytes = *result.mismatch;
          return false;
        }
        result.bytes += std::uint64_t{slot.blocks} * extent.block_bytes;
        progress.update(result.bytes);
        return true;
      });
  return result;
}

}  // namespace pollux::cli
