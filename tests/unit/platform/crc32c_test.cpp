// CRC32C against the vectors of RFC 7143 A.4 and of the project's conformance page, over every
// path.

#include "dataplane/platform/crc32c.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace pollux::platform {
namespace {

using Bytes = std::vector<std::byte>;

Bytes from_hex(std::string_view hex) {
  Bytes out;
  unsigned value = 0;
  bool half = false;
  for (const char c : hex) {
    if (c == ' ') continue;
    value = value << 4 | static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
    if (half) out.push_back(static_cast<std::byte>(value));
    half = !half;
  }
  return out;
}

Bytes repeated(std::size_t count, int value) { return Bytes(count, static_cast<std::byte>(value)); }

Bytes counting(std::size_t count) {
  Bytes out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<std::byte>(i);
  return out;
}

/// Bit by bit from the polynomial, sharing nothing with the code under test.
std::uint32_t reference_crc(std::span<const std::byte> bytes) {
  std::uint32_t state = 0xffff'ffff;
  for (const std::byte byte : bytes) {
    state ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) state = state >> 1 ^ (0x82f6'3b78U & (0U - (state & 1U)));
  }
  return ~state;
}

void expect_wire(const Bytes& input, std::string_view wire) {
  const Crc32cWire got = crc32c_wire(crc32c(input));
  EXPECT_EQ(Bytes(got.begin(), got.end()), from_hex(wire)) << input.size() << " bytes";
}

const char* const kReadPdu =
    "01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018 28000000 00000000 "
    "02000000 00000000";

TEST(Crc32c, StandardVectors) {
  expect_wire(repeated(32, 0), "aa36918a");
  expect_wire(repeated(32, 0xff), "43aba862");
  expect_wire(counting(32), "4e79dd46");
  Bytes falling = counting(32);
  std::reverse(falling.begin(), falling.end());
  expect_wire(falling, "5cdb3f11");
  expect_wire(from_hex(kReadPdu), "563a96d9");
  expect_wire(from_hex("313233343536373839"), "839206e3");
  EXPECT_EQ(crc32c({}), 0U);
}

TEST(Crc32c, ExtraVectors) {
  expect_wire(from_hex("61000000"), "13aaa1e9");
  expect_wire(from_hex("61"), "3043d0c1");
  expect_wire(from_hex("61620000"), "d383ef80");
  expect_wire(from_hex("61626300"), "4c0e9434");
  expect_wire(from_hex("61626364"), "310ac892");
  expect_wire(repeated(48, 0), "b93a8c28");
  expect_wire(repeated(512, 0), "c0edfc30");
  expect_wire(repeated(4096, 0), "8941f998");
  expect_wire(repeated(4096, 0xff), "13fec125");
  expect_wire(counting(512), "5aee10ae");
  expect_wire(counting(8192), "5af77027");
  expect_wire(from_hex("40800000 00000000 00000000 00000000 ffffffff 12345678 00000005 00000009"
                       "00000000 00000000 00000000 00000000"),
              "b2204c40");
}

TEST(Crc32c, HeaderDigestCoversTheAdditionalHeader) {
  const Bytes header = from_hex(
      "01c10000 05000000 00000000 00000000 00000001 00000200 00000001 00000001 7f000000 00000018 "
      "00090000 00000000");
  const Bytes additional = from_hex("00110100 00000000 00000000 00000000 00000001");
  Crc32c digest;
  digest.extend(header);
  digest.extend(additional);
  const Crc32cWire wire = digest.wire();
  EXPECT_EQ(Bytes(wire.begin(), wire.end()), from_hex("528350d0"));
  expect_wire(header, "7f1b7b06");
}

TEST(Crc32c, ShortPathOfAHeaderAgrees) {
  for (int seed = 0; seed < 64; ++seed) {
    Bytes header = counting(48 + 8);
    for (auto& byte : header) byte ^= static_cast<std::byte>(seed * 37);
    const std::byte* start = header.data() + seed % 8;
    EXPECT_EQ(crc32c_header48(start), reference_crc({start, 48}));
  }
}

TEST(Crc32c, ResidueIsTheConstantOfThePolynomial) {
  Bytes message = counting(100);
  const Crc32cWire wire = crc32c_wire(crc32c(message));
  message.insert(message.end(), wire.begin(), wire.end());
  EXPECT_EQ(crc32c_extend(kCrc32cStart, message), 0xb798'b438U);
  EXPECT_EQ(crc32c(message), 0x4867'4bc7U);
}

TEST(Crc32c, SplittingAnywhereChangesNothing) {
  const Bytes message = counting(1100);
  const std::span<const std::byte> all{message};
  const std::uint32_t whole = reference_crc(all);
  Bytes copy(message.size());
  for (std::size_t at = 0; at <= message.size(); ++at) {
    Crc32c digest;
    digest.extend(all.first(at));
    digest.copy_extend(copy.data() + at, message.data() + at, message.size() - at);
    ASSERT_EQ(digest.value(), whole) << "split at " << at;
  }
}

TEST(Crc32c, EveryAlignmentAndLength) {
  const Bytes message = counting(8192 + 64);
  Bytes copy(message.size());
  for (std::size_t offset = 0; offset < 64; ++offset) {
    for (std::size_t length = 0; length <= 8192; length += length < 300 ? 1 : 397) {
      const std::span<const std::byte> piece{message.data() + offset, length};
      const std::uint32_t sum = crc32c(piece);
      if (offset == 0 || length < 300) {
        ASSERT_EQ(sum, reference_crc(piece)) << offset << "+" << length;
      }
      // The fused copy must agree and copy, also across its chunks and to another alignment.
      const std::uint32_t state =
          crc32c_copy_extend(kCrc32cStart, copy.data() + (63 - offset), piece.data(), length);
      ASSERT_EQ(crc32c_finish(state), sum);
      ASSERT_TRUE(std::equal(piece.begin(), piece.end(), copy.data() + (63 - offset)));
    }
  }
}

}  // namespace
}  // namespace pollux::platform
