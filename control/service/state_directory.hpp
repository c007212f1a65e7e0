// What an instance keeps across restarts: the boot epoch, and the ISIDs it has used (persistent
// reservations hang on them, and the same ISID reinstates a session after a crash). Two small files,
// replaced by rename. Only open() and write_isids() do I/O that may block: the first runs at start-up,
// the second on a helper thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "dataplane/base/random.hpp"
#include "dataplane/wire/bhs.hpp"

namespace pollux::service {

/// (initiator name, target name, index). Index 0 is the first of several sessions to one target.
using IsidKey = std::tuple<std::string, std::string, std::uint32_t>;

struct SavedState {
  std::uint32_t boot_epoch = 0;
  std::map<IsidKey, wire::Isid> isids;
};

/// Creates the directory (0700) if needed, raises the stored boot epoch and reads the ISIDs. False with a
/// sentence in `error` when the directory cannot be used or a file in it is damaged.
[[nodiscard]] bool open_state_directory(const std::string& path, SavedState& state, std::string& error);
/// An epoch for an instance without a directory: minutes since 2020, so later starts have later epochs.
[[nodiscard]] std::uint32_t boot_epoch_from_time(std::int64_t unix_seconds) noexcept;

/// Replaces the file of ISIDs; returns a sentence when that failed, else nothing.
[[nodiscard]] std::string write_isids(const std::string& path, const std::map<IsidKey, wire::Isid>& isids);

}  // namespace pollux::service
