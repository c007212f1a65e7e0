// Which worker a connection belongs to, as a function of its addresses and ports alone: so nobody
// has to look anything up in anybody's table, and the NIC can be made to compute the same function
// (RSS: a Toeplitz hash and a table of queues). The local port is chosen to fit (RFC 6056 keeps its
// randomness). Tuples are those of *received* frames: the peer is the source, the local port is the
// destination port.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace pollux::platform {

/// A connection as its received frames show it. Addresses are 16 bytes, IPv4 mapped (RFC 4291).
struct FlowTuple {
  std::array<std::uint8_t, 16> remote{};
  std::array<std::uint8_t, 16> local{};
  std::uint16_t remote_port = 0;
  std::uint16_t local_port = 0;
};

enum class SteeringRule : std::uint8_t {
  toeplitz,   ///< what NICs compute: table[hash of the tuple]
  port_bits,  ///< local port modulo workers: for ports that cannot hash, and for flow rules
};

struct SteeringOptions {
  SteeringRule rule = SteeringRule::port_bits;
  unsigned workers = 1;
  unsigned key_bytes = 40;       ///< what the NIC takes: 40 or more, a multiple of 4
  unsigned table_entries = 128;  ///< of the NIC's table: a power of two from 4 to 65,536
  std::uint64_t seed = 0;        ///< draws the key
};

/// Constant after create(), so any thread may ask.
class Steering {
 public:
  /// Start-up. nullptr: `error` is one sentence. rule toeplitz needs the EAL.
  [[nodiscard]] static std::unique_ptr<const Steering> create(const SteeringOptions& options,
                                                              std::string& error);
  ~Steering();
  Steering(const Steering&) = delete;
  Steering& operator=(const Steering&) = delete;

  [[nodiscard]] SteeringRule rule() const noexcept;
  [[nodiscard]] unsigned workers() const noexcept;

  /// The worker that this connection belongs to.
  [[nodiscard]] unsigned owner(const FlowTuple& tuple) const noexcept;
  /// The same from the hash that the NIC has computed. rule toeplitz only.
  [[nodiscard]] unsigned owner_of_hash(std::uint32_t hash) const noexcept;
  /// Toeplitz hash over addresses and ports in the order of the wire. rule toeplitz only.
  [[nodiscard]] std::uint32_t hash(const FlowTuple& tuple) const noexcept;

  /// A local port that makes `worker` the owner, no further from tuple.local_port than its low
  /// bits. `entropy` chooses among the ways there are. 0: there is none near by.
  [[nodiscard]] std::uint16_t port_for(const FlowTuple& tuple, unsigned worker,
                                       std::uint32_t entropy) const noexcept;

  /// For the NIC: the key that port_for() relies on, and the worker of each entry of its table.
  [[nodiscard]] std::span<const std::uint8_t> key() const noexcept;
  [[nodiscard]] unsigned table_entries() const noexcept;

 private:
  struct Impl;
  explicit Steering(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pollux::platform
