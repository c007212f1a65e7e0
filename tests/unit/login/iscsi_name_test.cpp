// Rows NAM-01 to NAM-06, and the address forms of STS-04, DSC-09 and H044.
#include "control/session/iscsi_name.hpp"

#include <gtest/gtest.h>

#include "control/session/isid.hpp"
#include "control/session/target_address.hpp"

namespace pollux::session {
namespace {

NameVerdict verdict_of(std::string_view name) { return fold_iscsi_name(name).verdict; }

TEST(IscsiName, NAM01_NAM02_LengthLimitIs223Bytes) {
  const std::string prefix = "iqn.2024-01.example:";
  const std::string longest = prefix + std::string(223 - prefix.size(), 'x');
  EXPECT_EQ(fold_iscsi_name(longest).name, longest);
  EXPECT_EQ(verdict_of(longest + "x"), NameVerdict::too_long);
  EXPECT_EQ(verdict_of(std::string(4096, 'x')), NameVerdict::too_long);
  EXPECT_EQ(verdict_of(""), NameVerdict::empty);
}

TEST(IscsiName, NAM03_NAM06_FoldsToSmallLettersOrRefuses) {
  EXPECT_EQ(fold_iscsi_name("IQN.2024-01.Example:Disk").name, "iqn.2024-01.example:disk");
  EXPECT_EQ(verdict_of("iqn.2024-01.example\xe3\x80\x82x"), NameVerdict::not_ascii);
}

TEST(IscsiName, NAM04_ProhibitedCharactersAreRefused) {
  for (int c = 0; c < 0x80; ++c) {
    const char character = static_cast<char>(c);
    const std::string name = std::string("iqn.2024-01.example:a") + character + "b";
    const bool is_allowed = c == '-' || c == '.' || (c >= '0' && c <= ':') ||
                            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    EXPECT_EQ(verdict_of(name), is_allowed ? NameVerdict::ok : NameVerdict::prohibited_character)
        << c;
  }
}

TEST(IscsiName, NAM05_EachTypeHasItsForm) {
  EXPECT_EQ(verdict_of("iqn.2024-12.com.example"), NameVerdict::ok);
  EXPECT_EQ(verdict_of("iqn.2024-13.com.example:x"), NameVerdict::bad_iqn);
  EXPECT_EQ(verdict_of("iqn.2024-00.com.example:x"), NameVerdict::bad_iqn);
  EXPECT_EQ(verdict_of("iqn.2024-1.com.example:x"), NameVerdict::bad_iqn);
  EXPECT_EQ(verdict_of("iqn.2024-01.:x"), NameVerdict::bad_iqn);
  EXPECT_EQ(verdict_of("iqn.2024-01"), NameVerdict::bad_iqn);
  EXPECT_EQ(verdict_of("eui.02004567A425678D"), NameVerdict::ok);
  EXPECT_EQ(verdict_of("eui.02004567a425678"), NameVerdict::bad_eui);
  EXPECT_EQ(verdict_of("eui.02004567a425678g"), NameVerdict::bad_eui);
  EXPECT_EQ(verdict_of("naa.52004567ba64678d"), NameVerdict::ok);
  EXPECT_EQ(verdict_of("naa.62004567ba64678d0123456789abcdef"), NameVerdict::ok);
  EXPECT_EQ(verdict_of("naa.52004567ba64678d0123"), NameVerdict::bad_naa);
  EXPECT_EQ(verdict_of("disk1"), NameVerdict::unknown_type);
}

TEST(Isid, LOG04_TypeBitsAreLegal) {
  EXPECT_TRUE(is_legal_isid({0x3f, 1, 2, 3, 4, 5}));
  EXPECT_TRUE(is_legal_isid({0x40, 1, 2, 3, 4, 5}));
  EXPECT_FALSE(is_legal_isid({0x41, 1, 2, 3, 4, 5}));
  EXPECT_FALSE(is_legal_isid({0x81, 1, 2, 3, 4, 5}));
  EXPECT_FALSE(is_legal_isid({0xc0, 1, 2, 3, 4, 5}));
  const wire::Isid isid = make_random_isid(0xff123456, 0x789a);
  EXPECT_EQ(isid, (wire::Isid{0x80, 0x12, 0x34, 0x56, 0x78, 0x9a}));
  EXPECT_TRUE(is_legal_isid(isid));
}

TEST(TargetAddress, STS04_DSC09_FormsThatParse) {
  const auto expect = [](std::string_view text, const char* host, std::uint16_t port,
                         std::optional<std::uint16_t> tag) {
    const auto address = parse_target_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(*address, (TargetAddress{host, port, tag})) << text;
  };
  expect("10.0.0.1", "10.0.0.1", 3260, {});
  expect("10.0.0.1:5003", "10.0.0.1", 5003, {});
  expect("10.0.0.1:5003,1", "10.0.0.1", 5003, 1);
  expect("10.0.0.1,0", "10.0.0.1", 3260, 0);
  expect("10.0.0.1:1,65535", "10.0.0.1", 1, 65535);
  expect("[2001:DB8::1]", "2001:db8::1", 3260, {});
  expect("[2001:db8::1]:860,2", "2001:db8::1", 860, 2);
  expect("Disks.Example.com:3261,1", "disks.example.com", 3261, 1);
}

TEST(TargetAddress, DSC09_H044_FormsThatAreDropped) {
  for (const char* text :
       {"",           ":3260",     "10.0.0.1:0",     "10.0.0.1:65536", "10.0.0.1:3260,65536",
        "[::1",       "host:",     "host:x",         "10.0.0.1:",      "10.0.0.1:3260,",
        "10.0.0.256", "10.0.0",    "0.0.0.0",        "224.0.0.1",      "255.255.255.255",
        "[::]",       "[ff02::1]", "[fe80::1%eth0]", "fe80::1",        "[::1]x",
        "a/b",        "a..b",      "host name",      "host\n"}) {
    EXPECT_FALSE(parse_target_address(text)) << text;
  }
}

TEST(TargetAddress, OnlyPeopleNameZones) {
  const auto address = parse_target_address("[FE80::1%Lab_0]:860", Zone::allowed);
  ASSERT_TRUE(address);
  EXPECT_EQ(address->host, "fe80::1%Lab_0");
  EXPECT_EQ(to_string(*address), "[fe80::1%Lab_0]:860");
  EXPECT_FALSE(parse_target_address("[fe80::1%]", Zone::allowed));
  EXPECT_FALSE(parse_target_address("[fe80::1%a/b]", Zone::allowed));
}

TEST(TargetAddress, PrintsIpv6InBrackets) {
  EXPECT_EQ(to_string(*parse_target_address("[2001:db8::1]:860,2")), "[2001:db8::1]:860");
  EXPECT_EQ(to_string(*parse_target_address("h.example")), "h.example:3260");
}

}  // namespace
}  // namespace pollux::session
