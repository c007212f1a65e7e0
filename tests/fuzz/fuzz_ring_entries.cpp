// A client that writes what it likes into its region while the service takes commands and completes
// them. The region is heap memory, so the sanitizer sees every byte the service touches outside it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "control/ring/channel.hpp"
#include "control/ring/handshake.hpp"

namespace {

using namespace pollux::ring;

// Takes values off the fuzzer's input; zeroes when it is used up.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}
  [[nodiscard]] bool is_empty() const { return rest_.empty(); }
  template <typename T>
  T take() {
    T value{};
    const std::size_t count = std::min(sizeof value, rest_.size());
    std::memcpy(&value, rest_.data(), count);
    rest_ = rest_.subspan(count);
    return value;
  }

 private:
  std::span<const std::uint8_t> rest_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const pollux_ring_geometry geometry = geometry_of(8, 8, POLLUX_RING_ARENA_BYTES_MIN);
  static const std::unique_ptr<std::uint64_t[]> memory(
      new std::uint64_t[geometry.region_bytes / 8]);
  auto* region = reinterpret_cast<std::byte*>(memory.get());
  std::memset(region, 0, geometry.arena_offset);
  Channel channel(region, geometry, POLLUX_RING_FEATURES_ALL, 32768, 1);
  auto& header = *reinterpret_cast<pollux_ring_header*>(region);
  std::vector<Ticket> in_flight;
  std::vector<std::byte> output(256, std::byte{1});
  for (Input input(data, size); !input.is_empty();) {
    switch (input.take<std::uint8_t>() % 6) {
      case 0: {  // a whole entry
        const std::size_t slot = input.take<std::uint8_t>() % 8;
        const auto entry = input.take<pollux_ring_command>();
        std::memcpy(region + geometry.commands_offset + slot * sizeof entry, &entry, sizeof entry);
        break;
      }
      case 1:  // a plausible step of the tail
        header.submit_tail.value += input.take<std::uint8_t>() % 9;
        break;
      case 2:  // a plausible step of the head
        header.complete_head.value += input.take<std::uint8_t>() % 9;
        break;
      case 3: {  // any word before the arena
        const std::size_t word = input.take<std::uint16_t>() % (geometry.arena_offset / 8);
        memory[word] = input.take<std::uint64_t>();
        break;
      }
      case 4: {
        TakenCommand taken;
        const bool had_work = channel.has_work();
        const Take take = channel.take(taken);
        if (had_work != (take == Take::command || take == Take::broken)) __builtin_trap();
        if (take == Take::broken) return 0;  // the service closes the channel
        if (take == Take::command) in_flight.push_back(taken.ticket);
        break;
      }
      default:
        if (in_flight.empty()) break;
        const Ticket ticket = in_flight.back();
        in_flight.pop_back();
        const std::size_t bytes = input.take<std::uint8_t>();
        if (!channel.complete(ticket, POLLUX_RING_OK, std::span(output).first(bytes), 0))
          __builtin_trap();
        if (channel.complete(ticket, POLLUX_RING_OK, {}, 0)) __builtin_trap();  // only once
    }
    if (channel.in_flight() != in_flight.size() || channel.in_flight() > 8) __builtin_trap();
    if (channel.input_bytes_in_flight() > geometry.arena_bytes) __builtin_trap();
  }
  return 0;
}
