// Initial sequence numbers and other keyed hashes of a connection's addresses.
// Read first: RFC 6528 3, RFC 9293 3.4.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/serial_number.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/net/ip_address.hpp"

namespace pollux::tcp {

struct HashKey {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;
};

/// SipHash-2-4: what an outsider sees of it tells nothing about the key.
[[nodiscard]] std::uint64_t siphash(const HashKey& key, std::span<const std::byte> bytes) noexcept;

/// RFC 6528 3: ISN = M + F(addresses, ports, key), M counting 4-microsecond steps.
[[nodiscard]] TcpSeq initial_sequence_number(const HashKey& key, const net::Endpoint& local,
                                             const net::Endpoint& remote, Instant now) noexcept;

/// RFC 7323 5.4 and RFC 6191 2: where the timestamps of a connection begin. The same for the same
/// addresses and ports, or a peer in TIME-WAIT takes the next connection's SYN for an old segment.
[[nodiscard]] std::uint32_t timestamp_offset(const HashKey& key, const net::Endpoint& local,
                                             const net::Endpoint& remote) noexcept;

}  // namespace pollux::tcp
