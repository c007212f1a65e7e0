// Serial numbers (RFC 1982 with the vectors of the conformance page 4.5) and byte order.
#include <gtest/gtest.h>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/serial_number.hpp"

namespace pollux {
namespace {

TEST(SerialNumber, VectorsOfTheConformancePage) {
  const auto before = [](std::uint32_t a, std::uint32_t b) { return CmdSn{a}.precedes(CmdSn{b}); };
  EXPECT_TRUE(before(0xffff'fffe, 0x0000'0001));
  EXPECT_TRUE(before(0x7fff'ffff, 0x8000'0000));
  EXPECT_TRUE(before(0x0000'0000, 0x7fff'ffff));
  EXPECT_FALSE(before(0x0000'0000, 0x8000'0000));
  EXPECT_FALSE(before(0x8000'0000, 0x0000'0000));
  EXPECT_TRUE(before(0x8000'0001, 0x0000'0000));
  EXPECT_FALSE(before(5, 5));
}

TEST(SerialNumber, ArithmeticWraps) {
  EXPECT_EQ((CmdSn{0xffff'ffff} + 2).raw(), 1u);
  EXPECT_EQ((CmdSn{1} - 2).raw(), 0xffff'ffffu);
  EXPECT_EQ(CmdSn{3}.distance_from(CmdSn{0xffff'fffe}), 5u);
  CmdSn sn{0xffff'ffff};
  sn += 1;
  EXPECT_EQ(sn, CmdSn{0});
  EXPECT_TRUE(CmdSn{7}.precedes_or_is(CmdSn{7}));
  EXPECT_FALSE(CmdSn{8}.precedes_or_is(CmdSn{7}));
  EXPECT_TRUE(CmdSn{1}.in_window(CmdSn{0xffff'fffe}, 4));
  EXPECT_FALSE(CmdSn{2}.in_window(CmdSn{0xffff'fffe}, 4));
  EXPECT_FALSE(CmdSn{0xffff'fffd}.in_window(CmdSn{0xffff'fffe}, 4));
  EXPECT_FALSE(CmdSn{5}.in_window(CmdSn{5}, 0));
}

template <class Field, class Value>
void round_trip(Value value, std::initializer_list<unsigned> bytes) {
  Field field;
  field.set(value);
  EXPECT_EQ(static_cast<Value>(field.get()), value);
  ASSERT_EQ(sizeof(field), bytes.size());
  std::size_t i = 0;
  for (const unsigned byte : bytes)
    EXPECT_EQ(reinterpret_cast<const unsigned char*>(&field)[i++], byte);
}

TEST(ByteOrder, MostSignificantByteFirst) {
  round_trip<Be16, std::uint16_t>(0x0102, {1, 2});
  round_trip<Be24, std::uint32_t>(0x01'0203, {1, 2, 3});
  round_trip<Be32, std::uint32_t>(0xfffe'0304, {0xff, 0xfe, 3, 4});
  round_trip<Be64, std::uint64_t>(0x0102'0304'0506'07f8, {1, 2, 3, 4, 5, 6, 7, 0xf8});
  static_assert(alignof(Be64) == 1);
}

TEST(ByteOrder, LoadAndStoreAtAnyAddress) {
  std::byte memory[9]{};
  Be64 value;
  value.set(0x1122'3344'5566'7788);
  store(memory + 1, value);
  EXPECT_EQ(memory[0], std::byte{0});
  EXPECT_EQ(load<Be64>(memory + 1).get(), 0x1122'3344'5566'7788u);
}

}  // namespace
}  // namespace pollux
