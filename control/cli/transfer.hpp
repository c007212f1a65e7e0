// Many blocks between a LUN and a file: pieces of a bounded size, several of them in flight, handed
// over in order. Used by read, write and verify.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "control/cli/connection.hpp"
#include "control/cli/data_file.hpp"
#include "control/cli/progress.hpp"
#include "control/cli/scsi_calls.hpp"

namespace pollux::cli {

/// A range of blocks on one LUN.
struct Extent {
  std::uint64_t session_id = 0;
  std::uint64_t lun = 0;
  std::uint64_t lba = 0;
  std::uint64_t block_count = 0;
  std::uint32_t block_bytes = 0;
  std::string lun_name;  ///< for sentences

  [[nodiscard]] std::uint64_t bytes() const noexcept { return block_count * block_bytes; }
};

struct TransferOptions {
  bool force_unit_access = false;
  std::uint32_t deadline_ms = 0;  ///< of each piece
};

/// Failure invalid_argument when the range ends beyond the LUN: the target would refuse it piece by
/// piece, after having done the pieces before.
void check_range(const Extent& extent, const Capacity& capacity);

/// Every function calls progress and looks for Ctrl-C between pieces; on any failure the pieces in
/// flight are cancelled first, and the sentence says how far it came.
void read_blocks(Connection& connection, const Extent& extent, const TransferOptions& options,
                 OutputFile& file, Progress& progress);

/// Writes what the file holds, at most the extent; the last block is filled up with zeros when
/// `pad`. Returns the bytes written. Failure invalid_argument for a file that ends inside a block
/// otherwise.
std::uint64_t write_blocks(Connection& connection, const Extent& extent,
                           const TransferOptions& options, bool pad, InputFile& file,
                           Progress& progress);

struct Comparison {
  std::uint64_t bytes = 0;                ///< compared
  std::optional<std::uint64_t> mismatch;  ///< offset from the start of the extent
};

/// Compares until the first difference.
[[nodiscard]] Comparison verify_blocks(Connection& connection, const Extent& extent,
                                       const TransferOptions& options, bool pad, InputFile& file,
                                       Progress& progress);

}  // namespace pollux::cli
