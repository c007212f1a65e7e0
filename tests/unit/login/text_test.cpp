// Tables for the text splitter, the builder and value parsing (rows NEG-01 to NEG-07, NEG-30 to
// NEG-32, and the parsing table 4.5).
#include "dataplane/wire/text.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "tests/unit/login/script.hpp"

namespace pollux::wire {
namespace {

using session::test::bytes_of;
using session::test::pairs;

TextVerdict verdict_of(std::span<const std::byte> text) {
  TextSplitter splitter{text};
  while (splitter.next()) {
  }
  return splitter.verdict();
}

TEST(Text, SplitsPairsInOrder) {
  const auto text = pairs("A=1;Bc.d-e+f@g_h=;X#N=x,y");
  TextSplitter splitter{text};
  EXPECT_EQ(splitter.next()->key, "A");
  const auto second = splitter.next();
  EXPECT_EQ(second->key, "Bc.d-e+f@g_h");
  EXPECT_EQ(second->value, "");
  EXPECT_EQ(splitter.next()->value, "x,y");
  EXPECT_FALSE(splitter.next());
  EXPECT_EQ(splitter.verdict(), TextVerdict::ok);
}

TEST(Text, NEG03_FirstEqualsEndsTheKey) {
  const auto text = pairs("CHAP_C=0bAAECAwQFBgcICQoLDA0ODw==");
  TextSplitter splitter{text};
  EXPECT_EQ(splitter.next()->value, "0bAAECAwQFBgcICQoLDA0ODw==");
}

TEST(Text, NEG30_RefusesTextWithoutEqualsOrNul) {
  EXPECT_EQ(verdict_of(pairs("FOO")), TextVerdict::missing_equals);
  EXPECT_EQ(verdict_of(bytes_of("A=B")), TextVerdict::unterminated);
  EXPECT_EQ(verdict_of(pairs("A=B;=C")), TextVerdict::bad_key);
  EXPECT_EQ(verdict_of(pairs("A B=C")), TextVerdict::bad_key);
  EXPECT_EQ(verdict_of(pairs("1A=C")), TextVerdict::bad_key);
}

TEST(Text, NEG31_SkipsEmptyStrings) {
  const auto text = bytes_of(std::string("\0A=B\0\0\0C=D\0\0", 12));
  TextSplitter splitter{text};
  EXPECT_EQ(splitter.next()->key, "A");
  EXPECT_EQ(splitter.next()->key, "C");
  EXPECT_FALSE(splitter.next());
  EXPECT_EQ(splitter.verdict(), TextVerdict::ok);
}

TEST(Text, NEG32_KeysHave63CharactersAtMost) {
  EXPECT_EQ(verdict_of(pairs(std::string(63, 'K') + "=1")), TextVerdict::ok);
  EXPECT_EQ(verdict_of(pairs(std::string(64, 'K') + "=1")), TextVerdict::key_too_long);
  EXPECT_EQ(verdict_of(pairs(std::string(8000, 'K') + "=1")), TextVerdict::key_too_long);
}

TEST(Text, BuilderFillsToTheLastByteAndNoFurther) {
  std::array<std::byte, 8> buffer;
  buffer.fill(std::byte{0xa5});
  TextBuilder builder{std::span{buffer}.first(7)};
  EXPECT_TRUE(builder.append("A", "1"));
  EXPECT_FALSE(builder.append("B", "2"));
  EXPECT_TRUE(builder.append("C", ""));
  EXPECT_EQ(session::test::text_of(std::span{buffer}.first(builder.size())),
            std::string("A=1\0C=\0", 7));
  EXPECT_EQ(buffer[7], std::byte{0xa5});
}

TEST(Text, NEG04_NEG05_NEG06_NumbersHaveOneSpelling) {
  struct Row {
    std::string text;
    std::optional<std::uint64_t> value;
  };
  const std::vector<Row> rows = {
      {"0", 0},
      {"7", 7},
      {"0x10", 16},
      {"0X10", 16},
      {"0x123", 291},
      {"0xfFfF", 0xffff},
      {"18446744073709551615", UINT64_MAX},
      {"0xffffffffffffffff", UINT64_MAX},
      {"010", {}},
      {"00", {}},
      {"+1", {}},
      {"-1", {}},
      {"1.0", {}},
      {"1e6", {}},
      {" 1", {}},
      {"1 ", {}},
      {"", {}},
      {"0x", {}},
      {"0x1g", {}},
      {"1~2", {}},
      {"0bAA==", {}},
      {"18446744073709551616", {}},
      {"0x10000000000000000", {}},
      {std::string(300, '9'), {}},
  };
  for (const Row& row : rows)
    EXPECT_EQ(parse_number(row.text, 0, UINT64_MAX), row.value) << row.text;
}

TEST(Text, NEG06_NumbersStayInRange) {
  EXPECT_FALSE(parse_number("511", 512, 16777215));
  EXPECT_EQ(parse_number("512", 512, 16777215), 512u);
  EXPECT_EQ(parse_number("16777215", 512, 16777215), 16777215u);
  EXPECT_FALSE(parse_number("16777216", 512, 16777215));
  EXPECT_FALSE(parse_number("4294967808", 512, 16777215));  // 2^32 + 512 must not wrap
}

TEST(Text, NEG07_BooleansAreYesOrNo) {
  EXPECT_EQ(parse_boolean("Yes"), true);
  EXPECT_EQ(parse_boolean("No"), false);
  for (const char* text : {"True", "1", "YES", "yes", "", "No "})
    EXPECT_FALSE(parse_boolean(text)) << text;
}

TEST(Text, ListsSplitAtEveryComma) {
  ListSplitter list{"Y-foo,,None"};
  EXPECT_EQ(list.next(), "Y-foo");
  EXPECT_EQ(list.next(), "");
  EXPECT_EQ(list.next(), "None");
  EXPECT_FALSE(list.next());
  EXPECT_TRUE(list_contains("CRC32C,None", "None"));
  EXPECT_FALSE(list_contains("CRC32C,None", "none"));
}

}  // namespace
}  // namespace pollux::wire
