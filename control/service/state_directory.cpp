#include "control/service/state_directory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>

#include "control/service/session_ids.hpp"
#include "control/session/isid.hpp"

namespace pollux::service {
namespace {

/// More lines than any honest history has: a damaged file must not fill memory.
constexpr std::size_t kIsidsMax = 65536;
/// Stands for the target a discovery session does not have; no iSCSI name looks like it.
constexpr std::string_view kNoTarget = "-";

std::string epoch_path(const std::string& directory) { return directory + "/boot-epoch"; }
std::string isids_path(const std::string& directory) { return directory + "/isids"; }

/// mkdir -p, every new directory for the owner alone.
bool make_directories(const std::string& path) {
  for (std::size_t at = 1; at != std::string::npos;) {
    at = path.find('/', at);
    const std::string part = path.substr(0, at);
    if (mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) return false;
    if (at != std::string::npos) ++at;
  }
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

/// Old contents or new, never half of them, also after a power cut.
std::string replace_file(const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && write_all(fd, text) && fsync(fd) == 0;
  const int fault = errno;
  if (fd >= 0) close(fd);
  if (!written) return fmt::format("{} cannot be written: {}", fresh, std::strerror(fault));
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    return fmt::format("{} cannot be replaced: {}", path, std::strerror(errno));
  }
  const std::string directory = path.substr(0, path.rfind('/'));
  const int directory_fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory_fd >= 0) {
    fsync(directory_fd);
    close(directory_fd);
  }
  return {};
}

template <class T>
bool parse_whole(std::string_view text, T& value, int base) {
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return fault == std::errc{} && end == text.data() + text.size() && !text.empty();
}

bool read_isids(const std::string& path, std::map<IsidKey, wire::Isid>& isids, std::string& error) {
  std::ifstream file(path);
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    std::istringstream words(line);
    std::string initiator, target, index_text, isid_text, rest;
    words >> initiator >> target >> index_text >> isid_text;
    std::uint32_t index = 0;
    std::uint64_t isid_number = 0;
    wire::Isid isid{};
    const bool is_readable = number <= kIsidsMax && isid_text.size() == 12 && !(words >> rest) &&
                             parse_whole(index_text, index, 10) &&
                             parse_whole(isid_text, isid_number, 16);
    for (std::size_t i = 0; i < isid.size(); ++i) {
      isid[i] = static_cast<std::uint8_t>(isid_number >> (40 - 8 * i));
    }
    if (!is_readable || !session::is_legal_isid(isid)) {
      error = fmt::format(
          "{}:{}: not a line of initiator, target, index and ISID; correct or remove it", path,
          number);
      return false;
    }
    isids[{initiator, target == kNoTarget ? "" : target, index}] = isid;
  }
  return true;
}

}  // namespace

std::uint32_t boot_epoch_from_time(std::int64_t unix_seconds) noexcept {
  constexpr std::int64_t kStartOf2020 = 1577836800;
  const std::int64_t minutes = (unix_seconds - kStartOf2020) / 60;
  return minutes > 0 ? static_cast<std::uint32_t>(minutes) & kBootEpochMax : 1;
}

bool open_state_directory(const std::string& path, SavedState& state, std::string& error) {
  if (!make_directories(path)) {
    error = fmt::format("the state directory {} cannot be made: {}", path, std::strerror(errno));
    return false;
  }
  std::uint32_t previous = 0;
  std::ifstream file(epoch_path(path));
  std::string line;
  if (file && (!std::getline(file, line) || !parse_whole(line, previous, 10))) {
    error = fmt::format("{} does not hold a number; put one in that no earlier start has used",
                        epoch_path(path));
    return false;
  }
  if (previous >= kBootEpochMax) {
    error = fmt::format("{}: the boot epochs are used up", epoch_path(path));
    return false;
  }
  state.boot_epoch = previous + 1;
  error = replace_file(epoch_path(path), fmt::format("{}\n", state.boot_epoch));
  return error.empty() && read_isids(isids_path(path), state.isids, error);
}

std::string write_isids(const std::string& path, const std::map<IsidKey, wire::Isid>& isids) {
  std::string text;
  for (const auto& [key, isid] : isids) {
    const auto& [initiator, target, index] = key;
    text += fmt::format("{} {} {} {:02x}{:02x}{:02x}{:02x}{:02x}{:02x}\n", initiator,
                        target.empty() ? kNoTarget : target, index, isid[0], isid[1], isid[2],
                        isid[3], isid[4], isid[5]);
  }
  return replace_file(isids_path(path), text);
}

}  // namespace pollux::service
