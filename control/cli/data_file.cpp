// See data_file.hpp.
#include "control/cli/data_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "control/cli/failure.hpp"
#include "control/cli/interrupt.hpp"

namespace pollux::cli {
namespace {

constexpr mode_t kNewFileMode = 0666;  // before the umask

Failure file_failure(const char* verb, const std::string& name, int error) {
  const bool is_path_wrong = error == ENOENT || error == ENOTDIR || error == EISDIR;
  const ExitCode code = error == EACCES || error == EPERM ? ExitCode::access
                        : is_path_wrong                   ? ExitCode::invalid_argument
                                                          : ExitCode::generic;
  return {code, fmt::format("{} {} failed: {}.", verb, name, std::strerror(error))};
}

}  // namespace

InputFile::InputFile(const std::string& path) : name_(path == "-" ? "standard input" : path) {
  descriptor_ = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info = {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &info) != 0)
    throw file_failure("Opening", name_, errno);
  if (S_ISDIR(info.st_mode)) {
    ::close(descriptor_);
    throw file_failure("Opening", name_, EISDIR);
  }
  if (S_ISREG(info.st_mode) && path != "-") size_ = static_cast<std::uint64_t>(info.st_size);
}

InputFile::~InputFile() {
  if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
}

std::size_t InputFile::read(std::span<std::byte> bytes) {
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(descriptor_, bytes.data() + filled, bytes.size() - filled);
    if (got == 0) break;
    if (got > 0) {
      filled += static_cast<std::size_t>(got);
    } else if (errno != EINTR) {
      throw file_failure("Reading", name_, errno);
    } else if (is_interrupted()) {
      throw Failure(ExitCode::interrupted, fmt::format("Reading {} was interrupted.", name_));
    }
  }
  return filled;
}

OutputFile::OutputFile(const std::string& path) : name_(path == "-" ? "standard output" : path) {
  descriptor_ = path == "-"
                    ? STDOUT_FILENO
                    : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kNewFileMode);
  if (descriptor_ < 0) throw file_failure("Opening", name_, errno);
}

OutputFile::~OutputFile() {
  if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
}

void OutputFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor_, bytes.data(), bytes.size());
    if (put > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(put));
    } else if (put == 0 || errno != EINTR) {
      throw file_failure("Writing", name_, errno);
    } else if (is_interrupted()) {
      throw Failure(ExitCode::interrupted, fmt::format("Writing {} was interrupted.", name_));
    }
  }
}

void OutputFile::finish() {
  if (descriptor_ <= STDERR_FILENO) return;
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) throw file_failure("Writing", name_, errno);
}

}  // namespace pollux::cli
