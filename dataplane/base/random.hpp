// Pseudo-random numbers as an argument: production seeds it from the kernel, simulation from the
// seed on the command line. The generator is xoshiro256** seeded through splitmix64.
#pragma once

#include <bit>
#include <cstdint>

namespace pollux {

class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) noexcept {
    for (auto& word : state_) {
      seed += 0x9e37'79b9'7f4a'7c15u;
      std::uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9u;
      z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11ebu;
      word = z ^ (z >> 31);
    }
  }

  constexpr std::uint64_t next() noexcept {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }
  /// Uniform in [0, bound); bound > 0. The bias of the multiply is below 2^-32 for the bounds used
  /// here.
  constexpr std::uint32_t below(std::uint32_t bound) noexcept {
    return static_cast<std::uint32_t>((next() >> 32) * bound >> 32);
  }
  /// True with probability `parts` in a million.
  constexpr bool chance_ppm(std::uint32_t parts) noexcept { return below(1'000'000) < parts; }

 private:
  std::uint64_t state_[4]{};
};

}  // namespace pollux
