// The target's protocol over two byte buffers: no TCP, no time. Bytes reach it in pieces as small
// as the test likes.
#pragma once

#include <algorithm>

#include "tests/target/protocol.hpp"
#include "tests/unit/target/initiator_script.hpp"

namespace pollux::target {

class BufferStream final : public Stream {
 public:
  [[nodiscard]] std::uint32_t readable() const noexcept override {
    return static_cast<std::uint32_t>(in.size());
  }
  [[nodiscard]] std::span<std::byte> front() noexcept override {
    return std::span{in}.first(std::min(in.size(), piece));
  }
  std::size_t peek(std::span<std::byte> bytes) const noexcept override {
    const std::size_t n = std::min(bytes.size(), in.size());
    std::copy_n(in.begin(), n, bytes.begin());
    return n;
  }
  void consume(std::uint32_t bytes) noexcept override { in.erase(in.begin(), in.begin() + bytes); }
  [[nodiscard]] tcp::SendSpace send_space() const noexcept override { return space; }
  void send_inline(std::span<const std::byte> bytes) noexcept override {
    out.insert(out.end(), bytes.begin(), bytes.end());
    ++sends;
  }
  void send_external(const std::byte* data, std::uint32_t length) noexcept override {
    out.insert(out.end(), data, data + length);
    external_bytes += length;
  }
  void close() noexcept override { closed = true; }
  void abort() noexcept override { aborted = true; }

  Bytes in;
  Bytes out;
  std::size_t piece = 1000;  ///< longest run that lies together
  tcp::SendSpace space{1024, 64 * 1024};
  std::uint64_t external_bytes = 0;
  std::uint64_t sends = 0;
  bool closed = false;
  bool aborted = false;
};

class BufferChannel final : public Channel {
 public:
  BufferChannel(Protocol& protocol, std::uint32_t index) : protocol_(protocol), index_(index) {
    protocol.connected(index);
  }
  void send(const Bytes& bytes) override {
    waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
  }
  void run(Bytes& received) override {
    for (std::size_t at = 0; at < waiting_.size();) {
      const std::size_t n = std::min(arrives, waiting_.size() - at);
      stream.in.insert(stream.in.end(), &waiting_[at], &waiting_[at] + n);
      at += n;
      serve();
    }
    waiting_.clear();
    serve();
    received.insert(received.end(), stream.out.begin(), stream.out.end());
    stream.out.clear();
  }
  void serve() {
    while (protocol_.service(index_, stream, now)) {
    }
  }

  BufferStream stream;
  std::size_t arrives = SIZE_MAX;  ///< bytes that the target sees at a time
  Instant now{1000s};

 private:
  Protocol& protocol_;
  std::uint32_t index_;
  Bytes waiting_;
};

/// A target with 1 MiB of RAM disk and a null disk, and one initiator.
struct Rig {
  static TargetConfig standard() {
    TargetConfig config;
    config.luns = {{LunKind::ram, 1 * MiB, 512}, {LunKind::null, 1 * GiB, 512}};
    config.portal = "10.99.0.2:3260,1";
    config.connections = 4;
    config.tasks = 64;
    return config;
  }
  explicit Rig(const TargetConfig& config = standard()) : protocol(config) {}

  [[nodiscard]] std::uint64_t violations(Violation kind) { return protocol.checks().count(kind); }
  void expect_clean() {
    EXPECT_EQ(protocol.checks().total(), 0u) << protocol.checks().first_text();
  }

  Protocol protocol;
  BufferChannel channel{protocol, 0};
  InitiatorScript script{channel};
};

inline Bytes pattern(std::size_t length, unsigned seed) {
  Bytes bytes(length);
  std::uint32_t state = seed * 2654435761u + 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

inline Bytes slice(const Bytes& bytes, std::size_t from, std::size_t length) {
  return {bytes.data() + from, bytes.data() + from + length};
}

}  // namespace pollux::target
