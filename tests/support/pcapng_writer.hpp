// Writes frames to a pcapng file with nanosecond timestamps, so that what a simulation did can be
// read with the usual tools (IETF draft-ietf-opsawg-pcapng, sections 4.1, 4.2, 4.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "dataplane/base/time.hpp"

namespace pollux::sim {

class PcapngWriter {
 public:
  /// Truncates `path`. open() tells whether that worked.
  explicit PcapngWriter(const std::string& path);
  [[nodiscard]] bool open() const noexcept { return file_ != nullptr; }
  /// interface_index 0 or 1: the end of the wire that sent the frame.
  void write(std::uint32_t interface_index, Instant at, std::span<const std::byte> frame);
  void flush();

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  void put32(std::uint32_t value);
  void put16(std::uint16_t value);
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace pollux::sim
