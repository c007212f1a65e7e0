// The public contract: what a C and a C++ compiler see, texts, statuses.
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "control/ring/opcodes.hpp"
#include "pollux/client.h"
#include "pollux/iscsierr.h"
#include "pollux/iscsiop.h"
#include "pollux/operations.h"

extern "C" {
size_t c11_login_key_offset(uint32_t lun_count);
uint32_t c11_invalid_session_id(void);
int c11_encode_all(SendTargets_IN* in);
}

namespace {

TEST(RingLayout, IsTheSameForCAndCpp) {
  EXPECT_EQ(c11_login_key_offset(0), 2528u);
  EXPECT_EQ(c11_login_key_offset(1), 2528u);
  EXPECT_EQ(c11_login_key_offset(3), 2528u + 2 * 16);
  EXPECT_EQ(c11_login_key_offset(3), POLLUX_LOGIN_KEY_OFFSET(3));
  EXPECT_EQ(c11_invalid_session_id(), 0xEFFF001Cu);
}

TEST(RingLayout, LunsAreTheWireBytesMostSignificantFirst) {
  EXPECT_EQ(POLLUX_LUN(0), 0u);
  EXPECT_EQ(POLLUX_LUN(5), 0x0005000000000000u);
}

TEST(RingLayout, EveryOperationOfTheClassIsInTheTable) {
  for (const std::uint32_t opcode :
       {10, 30, 31, 32, 33, 34, 50, 51, 52, 71, 72, 91, 92, 101, 102, 103, 104}) {
    const auto* operation =
        pollux::ring::find_operation(pollux::ring::standard_operations(), opcode);
    ASSERT_NE(operation, nullptr) << opcode;
    EXPECT_EQ(operation->access, pollux::ring::Access::manage) << operation->name;
  }
  EXPECT_EQ(pollux::ring::find_operation(pollux::ring::standard_operations(), 11), nullptr);
}

TEST(Isdsc, EveryCodeHasANameAndWordsOfItsOwn) {
  std::set<std::string> names;
  std::set<std::string> texts;
  for (std::uint32_t code = 1; code <= ISDSC_LAST_CODE; ++code) {
    const bool is_warning = code == 0x2e || code == 0x3b || code == 0x48;
    const std::uint32_t status = (is_warning ? 0xAFFF0000u : 0xEFFF0000u) | code;
    EXPECT_STRNE(pollux_isdsc_name(status), "ISDSC_UNKNOWN") << code;
    EXPECT_TRUE(names.insert(pollux_isdsc_name(status)).second) << code;
    EXPECT_TRUE(texts.insert(pollux_isdsc_text(status)).second) << code;
  }
  EXPECT_STREQ(pollux_isdsc_name(0), "ISDSC_SUCCESS");
  EXPECT_STREQ(pollux_isdsc_name(0xEFFF001C), "ISDSC_INVALID_SESSION_ID");
  EXPECT_STREQ(pollux_isdsc_name(0xEFFF0068), "ISDSC_INVALID_HOST");
  EXPECT_STREQ(pollux_isdsc_name(0xEFFF0069), "ISDSC_UNKNOWN");
  EXPECT_STREQ(pollux_isdsc_name(0xEFFF002E), "ISDSC_UNKNOWN") << "2E is a warning";
}

TEST(Strerror, KnowsBothSignsAndNoNumberBreaksIt) {
  EXPECT_STREQ(pollux_strerror(POLLUX_ESERVICE), pollux_strerror(-POLLUX_ESERVICE));
  for (const int error : {INT32_MIN, INT32_MAX, -1000, 23, -23})
    EXPECT_NE(pollux_strerror(error), nullptr);
}

TEST(Text, IsCountedInBytesAndZeroPadded) {
  SendTargets_IN in;
  std::memset(&in, 0xff, sizeof in);
  EXPECT_EQ(c11_encode_all(&in), 3);
  EXPECT_EQ(in.SendTargetsText[0], 6);
  EXPECT_EQ(in.SendTargetsText[1], 'A');
  for (int index = 4; index < 224; ++index) EXPECT_EQ(in.SendTargetsText[index], 0) << index;
}

TEST(Text, TakesAllCharactersOfANameAndNotOneMore) {
  uint16_t field[224];
  EXPECT_EQ(pollux_text_encode(field, 224, std::string(223, 'x').c_str()), 223);
  EXPECT_EQ(field[0], 446);
  EXPECT_EQ(field[223], 'x');
  EXPECT_EQ(pollux_text_encode(field, 224, std::string(224, 'x').c_str()), POLLUX_EINVAL);
  EXPECT_EQ(field[0], 0);
}

TEST(Text, RoundTripsBeyondTheBasicPlane) {
  uint16_t field[32];
  char back[97];
  const std::string text = "iqn.\xc3\xa4-\xe2\x82\xac-\xf0\x9f\x92\xbe";
  EXPECT_EQ(pollux_text_encode(field, 32, text.c_str()), 10);
  EXPECT_EQ(pollux_text_decode(field, 32, back, sizeof back), static_cast<int>(text.size()));
  EXPECT_EQ(back, text);
  char tight[5];
  EXPECT_EQ(pollux_text_decode(field, 32, tight, sizeof tight), POLLUX_ETOOSMALL);
}

TEST(Text, RefusesMalformedUtf8) {
  uint16_t field[16];
  for (const char* bad : {"\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                          "\xe2\x82", "\xff", "\xf8\x88\x80\x80\x80"}) {
    EXPECT_EQ(pollux_text_encode(field, 16, bad), POLLUX_EINVAL);
  }
}

TEST(Text, RefusesMalformedFields) {
  char text[64];
  const auto decode = [&](std::vector<uint16_t> field) {
    return pollux_text_decode(field.data(), field.size(), text, sizeof text);
  };
  EXPECT_EQ(decode({0}), 0);
  EXPECT_EQ(decode({4, 'a', 0}), 1) << "a NUL at the end is padding";
  EXPECT_EQ(decode({3, 'a', 'b'}), POLLUX_EINVAL) << "odd";
  EXPECT_EQ(decode({6, 'a', 'b'}), POLLUX_EINVAL) << "past the field";
  EXPECT_EQ(decode({6, 'a', 0, 'b'}), POLLUX_EINVAL) << "NUL inside";
  EXPECT_EQ(decode({2, 0xd800}), POLLUX_EINVAL) << "lone high surrogate";
  EXPECT_EQ(decode({2, 0xdc00}), POLLUX_EINVAL) << "lone low surrogate";
  EXPECT_EQ(decode({4, 0xd800, 'a'}), POLLUX_EINVAL) << "broken pair";
}

}  // namespace
