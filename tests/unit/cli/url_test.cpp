// iscsi:// URLs, portals and LUNs: what is taken, and the sentence for what is not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/url/iscsi_url.hpp"
#include "control/url/lun.hpp"

namespace pollux::url {
namespace {

using ::testing::HasSubstr;

constexpr const char* kTarget = "iqn.2003-01.org.example:disk";

TEST(IscsiUrl, EveryPartIsRead) {
  const auto url = parse_url(
      "iscsi://joe@10.0.0.1:3261/iqn.2003-01.org.example:disk/"
      "7?header_digest=crc32c&data_digest=none");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->user, "joe");
  EXPECT_EQ(url->portal, (Portal{"10.0.0.1", 3261}));
  EXPECT_EQ(url->target, kTarget);
  EXPECT_EQ(url->lun, std::uint64_t{7} << 48);
  EXPECT_EQ(url->header_digest, Digest::crc32c);
  EXPECT_EQ(url->data_digest, Digest::none);
}

TEST(IscsiUrl, PartsThatMayBeLeftOut) {
  const auto portal_only = parse_url("iscsi://storage.example");
  ASSERT_TRUE(portal_only);
  EXPECT_EQ(portal_only->portal, (Portal{"storage.example", 3260}));
  EXPECT_TRUE(portal_only->target.empty());
  const auto no_lun = parse_url("ISCSI://10.0.0.1/iqn.2003-01.org.example:disk/");
  ASSERT_TRUE(no_lun);
  EXPECT_EQ(no_lun->target, kTarget);
  EXPECT_FALSE(no_lun->lun);
  EXPECT_FALSE(no_lun->header_digest);
}

TEST(IscsiUrl, Ipv6StandsInBrackets) {
  const auto url = parse_url("iscsi://[fd00::1]:860/eui.02004567A425678D/0");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->portal, (Portal{"fd00::1", 860}));
  EXPECT_EQ(format_portal(url->portal), "[fd00::1]:860");
}

TEST(IscsiUrl, AZoneNamesThePortOfALinkLocalAddress) {
  // RFC 6874 2 writes the '%' as %25; people do not.
  for (const char* text : {"iscsi://[fe80::1%lab0]:860/", "iscsi://[fe80::1%25lab0]:860/"}) {
    const auto url = parse_url(text);
    ASSERT_TRUE(url) << url.error().message;
    EXPECT_EQ(url->portal, (Portal{"fe80::1%lab0", 860}));
  }
  EXPECT_EQ(*parse_portal("fe80::1%lab0"), (Portal{"fe80::1%lab0", 3260}));
  EXPECT_FALSE(parse_portal("fe80::1%"));
  EXPECT_FALSE(parse_portal("[fe80::1%a b]"));
}

TEST(IscsiUrl, NamesArePercentDecoded) {
  const auto url = parse_url("iscsi://h/iqn.2003-01.org.example%3Adisk/0");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->target, kTarget);
}

TEST(IscsiUrl, WhatIsWrongIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"http://h/iqn.a", "not an iscsi:// URL"},
      {"iscsi://", "host is missing"},
      {"iscsi://h:0/", "not a TCP port"},
      {"iscsi://h:70000/", "not a TCP port"},
      {"iscsi://h:/", "not a TCP port"},
      {"iscsi://[fd00::1/", "does not close"},
      {"iscsi://[fd00::1]x/", "only a port"},
      {"iscsi://[host]/", "not an IPv6 address"},
      {"iscsi://h o/", "not a host name"},
      {"iscsi://h/disk", "not an iSCSI name"},
      {"iscsi://h/iqn.", "not an iSCSI name"},
      {"iscsi://h/iqn.x%0Ay", "not an iSCSI name"},
      {"iscsi://h/iqn.x%00y", "not an iSCSI name"},
      {"iscsi://h/iqn.x%2", "hexadecimal"},
      {"iscsi://h/iqn.x%zz", "hexadecimal"},
      {"iscsi://h/iqn.x/-1", "not a LUN"},
      {"iscsi://h/iqn.x/16384", "not a LUN"},
      {"iscsi://h/iqn.x/0?header_digest=md5", "not a digest"},
      {"iscsi://h/iqn.x/0?header_digest", "no value"},
      {"iscsi://h/iqn.x/0?colour=red", "not an option"},
      {"iscsi://joe%secret@h/iqn.x", "password"},
      {"iscsi://joe:secret@h/iqn.x", "password"},
      {"iscsi://h/iqn.x?target_password=s", "password"},
      {"iscsi://@h/iqn.x", "user"},
  };
  for (const auto& [text, words] : cases) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_THAT(url.error().message, HasSubstr(words)) << text;
  }
  EXPECT_FALSE(parse_url("iscsi://h/iqn." + std::string(3000, 'a')));
  EXPECT_FALSE(parse_url("iscsi://h/iqn." + std::string(220, 'a')));
}

TEST(Portal, FormsPeopleWrite) {
  EXPECT_EQ(*parse_portal("10.0.0.1"), (Portal{"10.0.0.1", 3260}));
  EXPECT_EQ(*parse_portal("10.0.0.1:860"), (Portal{"10.0.0.1", 860}));
  EXPECT_EQ(*parse_portal("10.0.0.1:3260,1"), (Portal{"10.0.0.1", 3260}));
  EXPECT_EQ(*parse_portal("fd00::1"), (Portal{"fd00::1", 3260}));
  EXPECT_EQ(*parse_portal("[fd00::1]"), (Portal{"fd00::1", 3260}));
  EXPECT_FALSE(parse_portal(""));
  EXPECT_FALSE(parse_portal(":3260"));
  EXPECT_FALSE(parse_portal("10.0.0.1:x"));
}

TEST(Lun, NumbersAndAllEightBytes) {
  EXPECT_EQ(*parse_lun("0"), 0u);
  EXPECT_EQ(*parse_lun("255"), std::uint64_t{0x00ff} << 48);
  EXPECT_EQ(*parse_lun("256"), std::uint64_t{0x4100} << 48);  // SAM-5 4.7.7.3
  EXPECT_EQ(*parse_lun("16383"), std::uint64_t{0x7fff} << 48);
  EXPECT_EQ(*parse_lun("0xc101000000000000"), 0xc101000000000000u);
  for (const char* text : {"", "x", "16384", "1 ", "+1", "0x", "0x12", "0x00000000000000000"})
    EXPECT_FALSE(parse_lun(text)) << text;
}

TEST(Lun, FormatIsReadBack) {
  for (const std::uint64_t lun :
       {std::uint64_t{0}, std::uint64_t{5} << 48, std::uint64_t{0x4100} << 48,
        std::uint64_t{0x4005} << 48, std::uint64_t{0xc101000000000000}, std::uint64_t{1}})
    EXPECT_EQ(*parse_lun(format_lun(lun)), lun) << format_lun(lun);
  EXPECT_EQ(format_lun(std::uint64_t{0x4100} << 48), "256");
  // Flat addressing of a number that peripheral addressing has too is another LUN field.
  EXPECT_EQ(format_lun(std::uint64_t{0x4005} << 48), "0x4005000000000000");
}

}  // namespace
}  // namespace pollux::url
