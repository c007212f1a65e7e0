// Toeplitz by tables of one byte each, and the choice of ports by DPDK's rte_thash: its helper
// rewrites part of the key so that the low bits of the hash follow the low bits of the port.

#include "dataplane/platform/steering.hpp"

#include <rte_errno.h>
#include <rte_thash.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "dataplane/base/random.hpp"

namespace pollux::platform {
namespace {

constexpr unsigned kTupleBytesV4 = 12;
constexpr unsigned kTupleBytesV6 = 36;
constexpr unsigned kPortBits = 16;
// The local port is the last field of the tuple.
constexpr unsigned kPortOffsetV4 = kTupleBytesV4 * 8 - kPortBits;
constexpr unsigned kPortOffsetV6 = kTupleBytesV6 * 8 - kPortBits;
constexpr unsigned kKeyBytesMost = 64;
constexpr unsigned kTableMost = 65'536;
constexpr const char* kHelperV4 = "port_v4";
constexpr const char* kHelperV6 = "port_v6";

using TupleBytes = std::array<std::uint8_t, kTupleBytesV6>;

bool is_v4(const std::array<std::uint8_t, 16>& address) noexcept {
  constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(address.data(), kMapped.data(), kMapped.size()) == 0;
}

/// The fields in the order of the wire; returns how many bytes.
unsigned lay_out(const FlowTuple& tuple, TupleBytes& bytes) noexcept {
  const unsigned address = is_v4(tuple.local) ? 4 : 16;
  std::memcpy(bytes.data(), tuple.remote.data() + 16 - address, address);
  std::memcpy(bytes.data() + address, tuple.local.data() + 16 - address, address);
  std::uint8_t* ports = bytes.data() + 2 * address;
  ports[0] = static_cast<std::uint8_t>(tuple.remote_port >> 8);
  ports[1] = static_cast<std::uint8_t>(tuple.remote_port);
  ports[2] = static_cast<std::uint8_t>(tuple.local_port >> 8);
  ports[3] = static_cast<std::uint8_t>(tuple.local_port);
  return 2 * address + 4;
}

bool options_ok(const SteeringOptions& options, std::string& error) {
  if (options.workers == 0 || options.workers > options.table_entries) {
    error = "steering needs at least one worker and a table entry for each";
  } else if (options.rule == SteeringRule::port_bits) {
    return true;
  } else if (options.key_bytes < kTupleBytesV6 + 4 || options.key_bytes > kKeyBytesMost ||
             options.key_bytes % 4 != 0) {
    error = "a hash key of " + std::to_string(options.key_bytes) + " bytes cannot be steered by";
  } else if (!std::has_single_bit(options.table_entries) || options.table_entries < 4 ||
             options.table_entries > kTableMost) {
    error = "a redirection table of " + std::to_string(options.table_entries) +
            " entries cannot be steered by";
  } else {
    return true;
  }
  return false;
}

struct ContextDeleter {
  void operator()(rte_thash_ctx* context) const noexcept { rte_thash_free_ctx(context); }
};

}  // namespace

struct Steering::Impl {
  SteeringOptions options;
  std::unique_ptr<rte_thash_ctx, ContextDeleter> context;
  rte_thash_subtuple_helper* helper_v4 = nullptr;
  rte_thash_subtuple_helper* helper_v6 = nullptr;
  std::array<std::uint8_t, kKeyBytesMost> key{};
  /// What each value of each byte of a tuple adds to the hash: hashing a tuple is a look-up a byte.
  std::array<std::array<std::uint32_t, 256>, kTupleBytesV6> tables{};

  bool make_key(std::string& error);
  void make_tables() noexcept;
};

bool Steering::Impl::make_key(std::string& error) {
  static std::atomic<unsigned> number{0};
  Random random(options.seed);
  for (std::uint8_t& byte : key) byte = static_cast<std::uint8_t>(random.next());
  const std::string name = "pollux_steer" + std::to_string(number.fetch_add(1));
  const auto bits = static_cast<std::uint32_t>(std::countr_zero(options.table_entries));
  // A short table's sequence repeats within the port; the choice stays exact, only less even.
  context.reset(rte_thash_init_ctx(name.c_str(), options.key_bytes, bits, key.data(),
                                   RTE_THASH_IGNORE_PERIOD_OVERFLOW));
  if (!context || rte_thash_add_helper(context.get(), kHelperV4, kPortBits, kPortOffsetV4) != 0 ||
      rte_thash_add_helper(context.get(), kHelperV6, kPortBits, kPortOffsetV6) != 0) {
    error = std::string("DPDK cannot prepare a hash key (") + rte_strerror(rte_errno) + ")";
    return false;
  }
  helper_v4 = rte_thash_get_helper(context.get(), kHelperV4);
  helper_v6 = rte_thash_get_helper(context.get(), kHelperV6);
  // The helpers have rewritten the key: from here on only this one counts.
  std::memcpy(key.data(), rte_thash_get_key(context.get()), options.key_bytes);
  return true;
}

void Steering::Impl::make_tables() noexcept {
  for (unsigned at = 0; at < kTupleBytesV6; ++at) {
    // The 40 bits of key under which the bits of this byte lie.
    std::uint64_t window = 0;
    for (unsigned i = 0; i < 5; ++i) window = window << 8 | (at + i < key.size() ? key[at + i] : 0);
    for (unsigned value = 0; value < 256; ++value) {
      std::uint32_t sum = 0;
      for (unsigned bit = 0; bit < 8; ++bit)
        if ((value & (0x80u >> bit)) != 0) sum ^= static_cast<std::uint32_t>(window >> (8 - bit));
      tables[at][value] = sum;
    }
  }
}

std::unique_ptr<const Steering> Steering::create(const SteeringOptions& options,
                                                 std::string& error) {
  if (!options_ok(options, error)) return nullptr;
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  if (options.rule == SteeringRule::toeplitz) {
    if (!impl->make_key(error)) return nullptr;
    impl->make_tables();
  }
  return std::unique_ptr<const Steering>(new Steering(std::move(impl)));
}

Steering::Steering(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Steering::~Steering() = default;

SteeringRule Steering::rule() const noexcept { return impl_->options.rule; }
unsigned Steering::workers() const noexcept { return impl_->options.workers; }
unsigned Steering::table_entries() const noexcept { return impl_->options.table_entries; }
std::span<const std::uint8_t> Steering::key() const noexcept {
  return {impl_->key.data(), impl_->options.key_bytes};
}

std::uint32_t Steering::hash(const FlowTuple& tuple) const noexcept {
  TupleBytes bytes;
  const unsigned length = lay_out(tuple, bytes);
  std::uint32_t sum = 0;
  for (unsigned i = 0; i < length; ++i) sum ^= impl_->tables[i][bytes[i]];
  return sum;
}

unsigned Steering::owner_of_hash(std::uint32_t hash) const noexcept {
  return (hash & (impl_->options.table_entries - 1)) % impl_->options.workers;
}

unsigned Steering::owner(const FlowTuple& tuple) const noexcept {
  if (impl_->options.rule == SteeringRule::port_bits)
    return tuple.local_port % impl_->options.workers;
  return owner_of_hash(hash(tuple));
}

std::uint16_t Steering::port_for(const FlowTuple& tuple, unsigned worker,
                                 std::uint32_t entropy) const noexcept {
  const unsigned workers = impl_->options.workers;
  if (impl_->options.rule == SteeringRule::port_bits) {
    const unsigned port = tuple.local_port - tuple.local_port % workers + worker;
    return static_cast<std::uint16_t>(port <= UINT16_MAX ? port : port - workers);
  }
  // Any entry of the table that leads to the worker will do: all of them are equally likely.
  const unsigned entries = impl_->options.table_entries;
  const unsigned of_worker = (entries - worker + workers - 1) / workers;
  const auto nth = static_cast<unsigned>(std::uint64_t{entropy} * of_worker >> 32);
  const unsigned wanted = worker + nth * workers;
  TupleBytes bytes;
  const unsigned length = lay_out(tuple, bytes);
  auto* helper = length == kTupleBytesV4 ? impl_->helper_v4 : impl_->helper_v6;
  if (rte_thash_adjust_tuple(impl_->context.get(), helper, bytes.data(), length, wanted, 1, nullptr,
                             nullptr) != 0)
    return 0;
  return static_cast<std::uint16_t>(bytes[length - 2] << 8 | bytes[length - 1]);
}

}  // namespace pollux::platform
