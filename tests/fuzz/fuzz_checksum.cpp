// The Internet checksum over a chain of pieces against one that adds two bytes at a time
// (tests/support/frame_checksum), however the bytes are cut and wherever in memory they lie.
//
// Input: how many pieces, then for each two bytes of length and one of alignment; a place to change
// and what to; 33 bytes of addresses and protocol; the rest is the data.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/ipv6.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/support/frame_checksum.hpp"

namespace {

using namespace pollux;
using wire::InternetSum;

struct Cut {
  std::uint16_t length = 0;
  std::uint8_t alignment = 0;
};

/// Each piece is a copy of exactly its size, so that the sanitizer sees a read past its end.
void add_in_pieces(InternetSum& sum, std::span<const std::byte> data, std::span<const Cut> cuts) {
  const auto add = [&sum](std::span<const std::byte> piece, std::size_t alignment) {
    const auto copy = std::make_unique<std::byte[]>(alignment + piece.size());
    if (!piece.empty()) std::memcpy(copy.get() + alignment, piece.data(), piece.size());
    sum.add({copy.get() + alignment, piece.size()});
  };
  for (const Cut& cut : cuts) {
    const std::size_t length = std::min<std::size_t>(cut.length, data.size());
    add(data.first(length), cut.alignment % 64);
    data = data.subspan(length);
  }
  add(data, 0);
}

std::vector<std::byte> bytes_of(std::span<const std::uint8_t> bytes) {
  const auto view = std::as_bytes(bytes);
  return {view.begin(), view.end()};
}

void append16(std::vector<std::byte>& out, std::uint32_t value) {
  out.push_back(static_cast<std::byte>(value >> 8));
  out.push_back(static_cast<std::byte>(value));
}

/// The pseudo-headers of RFC 9293 3.1 and RFC 8200 8.1 laid out as those draw them.
void check_pseudo_headers(fuzz::Input& input, std::span<const std::byte> data,
                          std::span<const Cut> cuts) {
  wire::Ipv6Bytes source{}, destination{};
  for (wire::Ipv6Bytes* address : {&source, &destination}) {
    const auto from = input.bytes(address->size());
    std::copy(from.begin(), from.end(), address->begin());
  }
  const std::uint8_t protocol = input.u8();
  const auto length = static_cast<std::uint16_t>(data.size());
  std::vector<std::byte> v4 = bytes_of(std::span(source).first(4));
  const auto v4_destination = bytes_of(std::span(destination).first(4));
  v4.insert(v4.end(), v4_destination.begin(), v4_destination.end());
  append16(v4, protocol);
  append16(v4, length);
  auto sum = InternetSum::pseudo_header(load<Be32>(v4.data()), load<Be32>(v4.data() + 4), protocol,
                                        length);
  fuzz::require(sum.folded() == sim::naive_sum(v4), "the pseudo-header of IPv4 is wrong");
  add_in_pieces(sum, data, cuts);
  fuzz::require(sum.folded() == sim::naive_sum(data, sim::naive_sum(v4)),
                "a sum over the pseudo-header of IPv4 and data is wrong");

  std::vector<std::byte> v6 = bytes_of(source);
  const auto v6_destination = bytes_of(destination);
  v6.insert(v6.end(), v6_destination.begin(), v6_destination.end());
  append16(v6, 0);
  append16(v6, length);
  append16(v6, 0);
  append16(v6, protocol);
  sum = wire::ipv6_pseudo_header(source, destination, protocol, length);
  fuzz::require(sum.folded() == sim::naive_sum(v6), "the pseudo-header of IPv6 is wrong");
  add_in_pieces(sum, data, cuts);
  fuzz::require(sum.folded() == sim::naive_sum(data, sim::naive_sum(v6)),
                "a sum over the pseudo-header of IPv6 and data is wrong");
}

/// RFC 1624: the checksum of the changed data is what a fresh computation gives.
void check_update(std::vector<std::byte> data, std::size_t at, std::uint16_t value) {
  if (data.size() < 2) return;
  at = at % (data.size() / 2) * 2;
  InternetSum before, after;
  before.add(data);
  const Be16 old_word = load<Be16>(&data[at]);
  store(&data[at], Be16{value});
  after.add(data);
  const Be16 updated = wire::update_checksum(before.checksum(), old_word, Be16{value});
  // Zero has two forms; a receiver takes either (RFC 1624 3).
  fuzz::require(updated.get() % 0xffff == after.checksum().get() % 0xffff,
                "an updated checksum is not the computed one");
}

/// What a receiver does: the data with its checksum behind it verifies, with one bit changed it
/// does not.
void check_verification(std::vector<std::byte> data, std::span<const Cut> cuts, std::size_t bit) {
  if (data.size() % 2 != 0) data.push_back(std::byte{0});
  InternetSum sum;
  sum.add(data);
  append16(data, sum.checksum().get());
  InternetSum received;
  add_in_pieces(received, data, cuts);
  fuzz::require(received.verifies(), "a right checksum does not verify");
  bit %= data.size() * 8;
  data[bit / 8] ^= std::byte{static_cast<std::uint8_t>(1u << bit % 8)};
  InternetSum damaged;
  add_in_pieces(damaged, data, cuts);
  fuzz::require(!damaged.verifies(), "a changed bit is not noticed");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  constexpr unsigned kPiecesMax = 32;
  fuzz::Input input(bytes, std::min<std::size_t>(size, 0xffff));
  std::vector<Cut> cuts(input.u8() % kPiecesMax);
  for (Cut& cut : cuts) {
    cut.length = input.u16() % 4096;
    cut.alignment = input.u8();
  }
  const std::uint16_t at = input.u16();
  const std::uint16_t value = input.u16();
  const auto pseudo_bytes = input.bytes(33);
  const std::vector<std::byte> data = bytes_of(input.rest());

  InternetSum sum;
  add_in_pieces(sum, data, cuts);
  fuzz::require(sum.folded() == sim::naive_sum(data), "a sum of pieces is wrong");
  fuzz::Input pseudo(pseudo_bytes.data(), pseudo_bytes.size());
  check_pseudo_headers(pseudo, data, cuts);
  check_update(data, at, value);
  check_verification(data, cuts, std::size_t{at} << 16 | value);
  return 0;
}
