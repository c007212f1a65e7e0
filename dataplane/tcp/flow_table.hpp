// From (remote address, remote port, local port) to the slot of a connection: a flat
// open-addressing table at most half full, on a keyed hash. Slots are compared by the caller
// against the full tuple.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>

#include "dataplane/base/assert.hpp"
#include "dataplane/net/ip_address.hpp"
#include "dataplane/tcp/isn.hpp"

namespace pollux::tcp {

class FlowTable {
 public:
  static constexpr std::uint32_t kNone = 0xffff'ffff;

  /// `connections`: the most entries there will be.
  FlowTable(std::uint32_t connections, const HashKey& key)
      : mask_(2 * std::bit_ceil(connections) - 1),
        entries_(new Entry[std::size_t{mask_} + 1]),
        key_(key) {}

  /// Multiply and fold, with a secret key. It needs no more strength than that: entries exist only
  /// for connections that this side opened, or that a listener of its own took.
  [[nodiscard]] std::uint32_t hash(const net::IpAddress& remote, std::uint16_t remote_port,
                                   std::uint16_t local_port) const noexcept {
    const auto [a, b] = remote.words();
    const std::uint64_t ports = std::uint64_t{remote_port} << 16 | local_port;
    return static_cast<std::uint32_t>(fold(fold(a ^ key_.k0, b ^ key_.k1) ^ ports, key_.k1 | 1));
  }

  /// `matches(slot)` compares the tuple. Returns the slot or kNone.
  template <class Matches>
  [[nodiscard]] std::uint32_t find(std::uint32_t hash, Matches&& matches) const noexcept {
    for (std::uint32_t at = hash & mask_; entries_[at].slot != kNone; at = (at + 1) & mask_)
      if (entries_[at].hash == hash && matches(entries_[at].slot)) return entries_[at].slot;
    return kNone;
  }

  void insert(std::uint32_t hash, std::uint32_t slot) noexcept {
    std::uint32_t at = hash & mask_;
    while (entries_[at].slot != kNone) at = (at + 1) & mask_;
    entries_[at] = {hash, slot};
  }

  void erase(std::uint32_t hash, std::uint32_t slot) noexcept {
    std::uint32_t hole = hash & mask_;
    while (entries_[hole].slot != slot) {
      POLLUX_ASSERT(entries_[hole].slot != kNone);
      hole = (hole + 1) & mask_;
    }
    // Entries of the same chain move up, so that no lookup stops at a hole too early.
    for (std::uint32_t at = (hole + 1) & mask_; entries_[at].slot != kNone; at = (at + 1) & mask_) {
      const std::uint32_t from_home = (at - entries_[at].hash) & mask_;
      if (from_home < ((at - hole) & mask_)) continue;
      entries_[hole] = entries_[at];
      hole = at;
    }
    entries_[hole] = Entry{};
  }

 private:
  struct Entry {
    std::uint32_t hash = 0;
    std::uint32_t slot = kNone;
  };

  static std::uint64_t fold(std::uint64_t x, std::uint64_t y) noexcept {
    __extension__ using Wide = unsigned __int128;
    const Wide product = Wide{x} * y;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }

  std::uint32_t mask_;
  std::unique_ptr<Entry[]> entries_;
  HashKey key_;
};

}  // namespace pollux::tcp
