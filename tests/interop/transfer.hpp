// What the two sides of a transfer over a real wire say to each other, and the bytes they move. A
// connection carries one request of the client, then data one way. Every byte depends on its place
// in the stream, so that a lost, repeated or misplaced one shows wherever it lands.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace pollux::interop {

enum class Operation : std::uint32_t {
  sink = 1,  ///< the client sends
  source,    ///< the server sends
};

enum class Ending : std::uint32_t {
  sender_first,   ///< FIN behind the data; the other side follows
  client_aborts,  ///< sink only: RST by the client when half is sent
  server_aborts,  ///< sink only: RST by the server when all is read
};

/// In the byte order of the machine: both sides run on it.
struct Request {
  static constexpr std::uint32_t kMagic = 0x706c'7872;
  std::uint32_t magic = kMagic;
  Operation operation = Operation::sink;
  Ending ending = Ending::sender_first;
  std::uint32_t milliseconds = 0;  ///< the sender stops then if it is not done; 0: no limit
  std::uint64_t bytes = 0;         ///< to send
  std::uint64_t seed = 0;
  std::array<char, 16> congestion{};  ///< of a kernel that sends; empty: its default
};

/// The server's answer to a sink with Ending::sender_first.
struct Verdict {
  std::uint64_t bytes = 0;        ///< received
  std::uint64_t nanoseconds = 0;  ///< from the first byte of data to the last
  std::uint64_t good = 0;         ///< 1: every byte was the right one
};

class Pattern {
 public:
  explicit Pattern(std::uint64_t seed = 0) : seed_(seed) {}

  /// The bytes of the stream from `offset` on.
  void fill(std::span<std::byte> out, std::uint64_t offset) const {
    std::size_t at = 0;
    while (at < out.size()) {
      const std::uint64_t value = word((offset + at) / 8);
      const std::size_t skip = (offset + at) % 8;
      const std::size_t length = out.size() - at < 8 - skip ? out.size() - at : 8 - skip;
      std::memcpy(out.data() + at, reinterpret_cast<const std::byte*>(&value) + skip, length);
      at += length;
      if (skip + length != 8) continue;
      for (; out.size() - at >= 8; at += 8) {
        const std::uint64_t whole = word((offset + at) / 8);
        std::memcpy(out.data() + at, &whole, 8);
      }
    }
  }

  [[nodiscard]] bool matches(std::span<const std::byte> bytes, std::uint64_t offset) const {
    std::array<std::byte, 4096> expected;
    while (!bytes.empty()) {
      const std::size_t length = bytes.size() < expected.size() ? bytes.size() : expected.size();
      fill(std::span(expected).first(length), offset);
      if (std::memcmp(expected.data(), bytes.data(), length) != 0) return false;
      bytes = bytes.subspan(length);
      offset += length;
    }
    return true;
  }

 private:
  [[nodiscard]] std::uint64_t word(std::uint64_t index) const {
    const std::uint64_t mixed = (index + seed_) * 0x9e37'79b9'7f4a'7c15U;
    return mixed ^ mixed >> 29;
  }
  std::uint64_t seed_;
};

}  // namespace pollux::interop
