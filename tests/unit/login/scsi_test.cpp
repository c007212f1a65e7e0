// CDBs against their bytes, sense data in both formats, and the words for them.
#include <gtest/gtest.h>

#include <numeric>

#include "control/session/sense_text.hpp"
#include "dataplane/wire/scsi_cdb.hpp"
#include "dataplane/wire/scsi_sense.hpp"

namespace pollux::wire {
namespace {

std::vector<std::byte> octets(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (const int v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}

TEST(ScsiCdb, GoldenBytes) {
  EXPECT_EQ(cdb_read_10(0x01020304, 0x0506), (Cdb{0x28, 0, 1, 2, 3, 4, 0, 5, 6, 0}));
  EXPECT_EQ(cdb_write_10(0x01020304, 0x0506), (Cdb{0x2a, 0, 1, 2, 3, 4, 0, 5, 6, 0}));
  EXPECT_EQ(cdb_read_16(0x0102030405060708, 0x090a0b0c),
            (Cdb{0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0}));
  EXPECT_EQ(cdb_write_16(1, 2)[0], 0x8a);
  EXPECT_EQ(cdb_synchronize_cache_10(0, 0)[0], 0x35);
  EXPECT_EQ(cdb_synchronize_cache_16(0, 0)[0], 0x91);
  EXPECT_EQ(cdb_test_unit_ready(), Cdb{});
  EXPECT_EQ(cdb_inquiry(0x1234), (Cdb{0x12, 0, 0, 0x12, 0x34, 0}));
  EXPECT_EQ(cdb_inquiry_page(0x83, 255), (Cdb{0x12, 1, 0x83, 0, 255, 0}));
  EXPECT_EQ(cdb_read_capacity_10(), (Cdb{0x25}));
  EXPECT_EQ(cdb_read_capacity_16(32), (Cdb{0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0}));
  EXPECT_EQ(cdb_report_luns(0x01020304), (Cdb{0xa0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0}));
  EXPECT_EQ(cdb_16(ScsiOperation::write_16, 0, 1, kForceUnitAccess)[1], 0x08);
}

TEST(ScsiSense, FixedFormat) {
  const auto sense =
      parse_sense(octets({0xf0, 0, 0x05, 0, 0, 0x10, 0, 10, 0, 0, 0, 0, 0x21, 0x00, 0, 0, 0, 0}));
  ASSERT_TRUE(sense);
  EXPECT_EQ(sense->key, SenseKey::illegal_request);
  EXPECT_EQ(sense->asc, 0x21);
  EXPECT_EQ(sense->ascq, 0x00);
  EXPECT_EQ(sense->information, 0x1000u);
  EXPECT_FALSE(sense->is_deferred);
  EXPECT_EQ(session::sense_text(*sense),
            "ILLEGAL REQUEST: logical block address out of range (05/21/00)");
}

TEST(ScsiSense, DescriptorFormat) {
  const auto sense = parse_sense(octets({0x73, 0x03, 0x11, 0x00, 0, 0, 0, 12,  //
                                         0x00, 0x0a, 0x80, 0,    1, 2, 3, 4,  5, 6, 7, 8}));
  ASSERT_TRUE(sense);
  EXPECT_EQ(sense->key, SenseKey::medium_error);
  EXPECT_EQ(sense->asc, 0x11);
  EXPECT_TRUE(sense->is_deferred);
  EXPECT_EQ(sense->information, 0x0102030405060708u);
}

TEST(ScsiSense, H100_H101_LengthsAreBoundedByWhatArrived) {
  EXPECT_FALSE(parse_sense({}));
  EXPECT_FALSE(parse_sense(octets({0x70})));
  EXPECT_FALSE(parse_sense(octets({0x7b, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21, 0})));
  // Bytes behind ADDITIONAL SENSE LENGTH are not sense; a cut one reads as zero.
  const auto sense = parse_sense(octets({0x70, 0, 6, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0x29, 0x00}));
  ASSERT_TRUE(sense);
  EXPECT_EQ(sense->key, SenseKey::unit_attention);
  EXPECT_EQ(sense->asc, 0);
  const auto cut = parse_sense(octets({0x72, 6, 0x29, 0, 0, 0, 0, 255, 0x00, 0xff, 0x80}));
  ASSERT_TRUE(cut);
  EXPECT_FALSE(cut->information);
}

TEST(ScsiSense, EveryPrefixOfASegmentIsSafe) {
  const auto segment = octets({0, 18, 0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0, 0, 0, 0, 0});
  for (std::size_t bytes = 0; bytes <= segment.size(); ++bytes) {
    const std::vector<std::byte> prefix{segment.begin(),
                                        segment.begin() + static_cast<std::ptrdiff_t>(bytes)};
    const auto sense = sense_bytes(prefix);
    EXPECT_LE(sense.size(), bytes);
    EXPECT_EQ(parse_sense(sense).has_value(), bytes >= 5) << bytes;
  }
  EXPECT_EQ(sense_bytes(octets({0xff, 0xff, 0x70})).size(), 1u);
}

TEST(SenseText, StatusAndUnknownCodesHaveWords) {
  EXPECT_EQ(session::scsi_status_text(0x02), "CHECK CONDITION");
  EXPECT_EQ(session::scsi_status_text(0x18), "RESERVATION CONFLICT");
  EXPECT_EQ(session::scsi_status_text(0x77), "status 0x77");
  EXPECT_EQ(session::sense_text({.key = SenseKey::aborted_command, .asc = 0xee, .ascq = 0x01}),
            "ABORTED COMMAND: additional sense code without a name (0b/ee/01)");
  EXPECT_EQ(session::sense_text({.key = SenseKey::no_sense, .is_deferred = true}),
            "NO SENSE: no additional sense information (00/00/00), about an earlier command");
}

}  // namespace
}  // namespace pollux::wire
