#include "dataplane/tcp/isn.hpp"

#include <array>
#include <bit>
#include <cstring>

namespace pollux::tcp {
namespace {

struct SipState {
  std::uint64_t v0, v1, v2, v3;

  void round() noexcept {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void absorb(std::uint64_t word) noexcept {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
};

std::array<std::byte, 36> tuple_bytes(const net::Endpoint& local,
                                      const net::Endpoint& remote) noexcept {
  std::array<std::byte, 36> tuple{};
  std::memcpy(&tuple[0], local.address.bytes.data(), 16);
  std::memcpy(&tuple[16], remote.address.bytes.data(), 16);
  std::memcpy(&tuple[32], &local.port, 2);
  std::memcpy(&tuple[34], &remote.port, 2);
  return tuple;
}

}  // namespace

std::uint64_t siphash(const HashKey& key, std::span<const std::byte> bytes) noexcept {
  SipState s{key.k0 ^ 0x736f'6d65'7073'6575u, key.k1 ^ 0x646f'7261'6e64'6f6du,
             key.k0 ^ 0x6c79'6765'6e65'7261u, key.k1 ^ 0x7465'6462'7974'6573u};
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, &bytes[at], 8);
    s.absorb(word);
  }
  std::uint64_t last = static_cast<std::uint64_t>(bytes.size()) << 56;
  for (unsigned shift = 0; at < bytes.size(); ++at, shift += 8)
    last |= std::to_integer<std::uint64_t>(bytes[at]) << shift;
  s.absorb(last);
  s.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) s.round();
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

TcpSeq initial_sequence_number(const HashKey& key, const net::Endpoint& local,
                               const net::Endpoint& remote, Instant now) noexcept {
  const auto m = static_cast<std::uint64_t>(now.time_since_epoch().count()) / 4000;
  return TcpSeq{static_cast<std::uint32_t>(m + siphash(key, tuple_bytes(local, remote)))};
}

std::uint32_t timestamp_offset(const HashKey& key, const net::Endpoint& local,
                               const net::Endpoint& remote) noexcept {
  // The halves change places, so that the offset tells nothing about the sequence number.
  return static_cast<std::uint32_t>(siphash({key.k1, key.k0}, tuple_bytes(local, remote)));
}

}  // namespace pollux::tcp
