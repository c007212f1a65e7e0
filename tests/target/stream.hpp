// The byte stream of one connection as the PDU layer sees it: TCP in a target, two buffers in a
// unit test. The calls are those of tcp::Engine without the id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/platform/packet_memory.hpp"
#include "dataplane/tcp/engine.hpp"

namespace pollux::target {

class Stream {
 public:
  [[nodiscard]] virtual std::uint32_t readable() const noexcept = 0;
  [[nodiscard]] virtual std::span<std::byte> front() noexcept = 0;
  virtual std::size_t peek(std::span<std::byte> out) const noexcept = 0;
  virtual void consume(std::uint32_t bytes) noexcept = 0;
  [[nodiscard]] virtual tcp::SendSpace send_space() const noexcept = 0;
  virtual void send_inline(std::span<const std::byte> bytes) noexcept = 0;
  /// `data` stays where it is for the life of the target.
  virtual void send_external(const std::byte* data, std::uint32_t length) noexcept = 0;
  virtual void close() noexcept = 0;  ///< after what is queued
  virtual void abort() noexcept = 0;

 protected:
  ~Stream() = default;
};

}  // namespace pollux::target
