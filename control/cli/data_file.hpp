// The file, pipe or standard stream at the other end of read, write and verify.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace pollux::cli {

/// Sequential bytes in. "-" is standard input. Failure generic or invalid_argument with the file's
/// name.
class InputFile {
 public:
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// Of a regular file; a pipe has no size.
  [[nodiscard]] std::optional<std::uint64_t> size() const noexcept { return size_; }
  /// Fills `bytes` unless the file ends. Failure interrupted on Ctrl-C.
  [[nodiscard]] std::size_t read(std::span<std::byte> bytes);
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  std::string name_;
  int descriptor_ = -1;
  std::optional<std::uint64_t> size_;
};

/// Sequential bytes out. "-" is standard output; a file is made or cut to nothing.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes);
  /// Closes, so that what a file system says only then is heard. Call once, at the end.
  void finish();
  [[nodiscard]] bool is_standard_output() const noexcept { return descriptor_ == 1; }

 private:
  std::string name_;
  int descriptor_ = -1;
};

}  // namespace pollux::cli
