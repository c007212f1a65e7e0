// read, write and verify: blocks of a LUN to and from a file.
#include <fmt/format.h>

#include "control/cli/render.hpp"
#include "control/cli/session_calls.hpp"
#include "control/cli/transfer.hpp"
#include "control/cli/verbs.hpp"
#include "control/ratio.hpp"
#include "control/url/lun.hpp"

namespace pollux::cli {
namespace {

Extent extent_of(const Options& options, const SessionUse& use, const Capacity& capacity) {
  Extent extent{use.id(), use.lun(), options.lba, 0, capacity.block_bytes, use.lun_name()};
  const std::uint64_t rest =
      options.lba < capacity.block_count ? capacity.block_count - options.lba : 0;
  extent.block_count = options.blocks.value_or(rest);
  return extent;
}

/// How many blocks a file of known size stands for. Refused before anything is sent.
std::uint64_t blocks_of_file(const InputFile& file, const Extent& extent, bool pad) {
  const std::uint64_t rest = *file.size() % extent.block_bytes;
  if (rest != 0 && !pad)
    throw Failure(
        ExitCode::invalid_argument,
        fmt::format("{} has {} bytes, not a multiple of the {}-byte blocks of {}. Give --pad "
                    "to fill the last block with zeros.",
                    file.name(), *file.size(), extent.block_bytes, extent.lun_name));
  return *file.size() / extent.block_bytes + (rest != 0 ? 1 : 0);
}

/// The extent a file covers: its size decides unless --blocks says less; a pipe goes on to --blocks
/// or the LUN's end.
void fit_to_file(Extent& extent, const InputFile& file, const Options& options) {
  if (!file.size()) return;
  const bool is_cut = options.blocks && *options.blocks * extent.block_bytes <= *file.size();
  if (!is_cut) extent.block_count = blocks_of_file(file, extent, options.pad);
}

void report(const Options& options, const Extent& extent, std::uint64_t bytes,
            std::chrono::milliseconds elapsed, const Json& extra, const std::string& sentence) {
  const double seconds = std::chrono::duration<double>(elapsed).count();
  const double rate = mib_per_second(static_cast<double>(bytes), seconds);
  if (!options.json) {
    print(fmt::format("{} ({}, {:.2f} s, {:.1f} MiB/s).\n", sentence, human_size(bytes), seconds,
                      rate));
    return;
  }
  Json json = document(options.verb);
  json["session_id"] = format_id(extent.session_id);
  json["lun"] = url::format_lun(extent.lun);
  json["lba"] = extent.lba;
  json["bytes"] = bytes;
  json["seconds"] = seconds;
  json["mibps"] = rate;
  json.update(extra);
  print_json(json);
}

TransferOptions transfer_options(const Options& options) {
  return {options.force_unit_access, options.deadline_ms()};
}

}  // namespace

ExitCode run_read(const Options& options) {
  if (options.json && options.file == "-")
    throw Failure(ExitCode::invalid_argument,
                  "--json and --output - would mix two things on standard output.");
  Connection connection(options.service);
  const SessionUse use(connection, options);
  const Capacity capacity = read_capacity(connection, use.id(), use.lun(), options.deadline_ms());
  const Extent extent = extent_of(options, use, capacity);
  check_range(extent, capacity);
  OutputFile file(options.file);
  Progress progress("read", extent.bytes());
  read_blocks(connection, extent, transfer_options(options), file, progress);
  file.finish();
  if (file.is_standard_output()) return ExitCode::ok;
  report(options, extent, extent.bytes(), progress.elapsed(), Json::object(),
         fmt::format("Read {} blocks from LBA {} of {} into {}", extent.block_count, extent.lba,
                     extent.lun_name, options.file));
  return ExitCode::ok;
}

ExitCode run_write(const Options& options) {
  InputFile file(options.file);
  Connection connection(options.service);
  const SessionUse use(connection, options);
  const Capacity capacity = read_capacity(connection, use.id(), use.lun(), options.deadline_ms());
  Extent extent = extent_of(options, use, capacity);
  fit_to_file(extent, file, options);
  check_range(extent, capacity);
  Progress progress("write", file.size() ? std::optional(extent.bytes()) : std::nullopt);
  const std::uint64_t written =
      write_blocks(connection, extent, transfer_options(options), options.pad, file, progress);
  report(options, extent, written, progress.elapsed(), Json::object(),
         fmt::format("Wrote {} blocks from LBA {} of {}", written / extent.block_bytes, extent.lba,
                     extent.lun_name));
  return ExitCode::ok;
}

ExitCode run_verify(const Options& options) {
  InputFile file(options.file);
  Connection connection(options.service);
  const SessionUse use(connection, options);
  const Capacity capacity = read_capacity(connection, use.id(), use.lun(), options.deadline_ms());
  Extent extent = extent_of(options, use, capacity);
  fit_to_file(extent, file, options);
  check_range(extent, capacity);
  Comparison result;
  std::chrono::milliseconds elapsed{};
  {
    Progress progress("verify", file.size() ? std::optional(extent.bytes()) : std::nullopt);
    result =
        verify_blocks(connection, extent, transfer_options(options), options.pad, file, progress);
    elapsed = progress.elapsed();
  }
  const Json extra{{"matches", !result.mismatch},
                   {"mismatch_offset", result.mismatch ? Json(*result.mismatch) : Json(nullptr)}};
  if (!result.mismatch) {
    report(options, extent, result.bytes, elapsed, extra,
           fmt::format("{} matches {}", extent.lun_name, file.name()));
    return ExitCode::ok;
  }
  if (options.json) report(options, extent, result.bytes, elapsed, extra, {});
  fmt::print(
      stderr, "pollux: {} differs from {} at byte {} of it (LBA {}, byte {} of the block).\n",
      extent.lun_name, file.name(), *result.mismatch,
      extent.lba + *result.mismatch / extent.block_bytes, *result.mismatch % extent.block_bytes);
  return ExitCode::generic;
}

}  // namespace pollux::cli
