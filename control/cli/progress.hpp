// A progress line on stderr for long transfers: bytes, MiB/s and the time left. Silent unless
// stderr is a terminal, so that logs and pipes stay clean.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace pollux::cli {

[[nodiscard]] bool is_stderr_terminal() noexcept;

/// The line without the carriage return. `elapsed` of zero shows no rate.
[[nodiscard]] std::string progress_line(const std::string& label, std::uint64_t done,
                                        std::optional<std::uint64_t> total,
                                        std::chrono::milliseconds elapsed);

class Progress {
 public:
  Progress(std::string label, std::optional<std::uint64_t> total_bytes);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Cheap: draws a few times a second at most.
  void update(std::uint64_t done_bytes);
  [[nodiscard]] std::chrono::milliseconds elapsed() const;

 private:
  void draw(std::uint64_t done_bytes);

  std::string label_;
  std::optional<std::uint64_t> total_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point next_draw_;
  bool is_shown_ = false;
  bool is_drawn_ = false;
};

}  // namespace pollux::cli
