// RDA and RSP rows of the conformance page: Data-In, status, residuals and sense.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "tests/support/iscsi_script.hpp"

namespace pollux::script {
namespace {

using iscsi::ProtocolError;

void expect_refused(const Request& request, const std::function<Pdu(std::uint32_t)>& bad,
                    ProtocolError error) {
  Options options;
  options.lent_bytes_max = 64 * 1024;
  Script s(options);
  const auto command = s.submit(request);
  const Pdu sent = s.next();
  while (s.tx_waiting() != 0) s.next();
  s.receive(bad(sent.itt()));
  s.expect_lost(error);
  s.expect_completion(command, POLLUX_ESESSION_LOST);
}

/// The answer of the target to one command; the completion of the command.
pollux_completion answered(const Request& request,
                           const std::function<std::vector<Pdu>(std::uint32_t)>& answer, int result,
                           std::uint8_t status = 0) {
  Options options;
  options.lent_bytes_max = 64 * 1024;
  Script s(options);
  const auto command = s.submit(request);
  const Pdu sent = s.next();
  while (s.tx_waiting() != 0) s.next();
  s.receive(answer(sent.itt()));
  const auto done = s.expect_completion(command, result, status);
  s.expect_alive();
  return done;
}

// --- Data-In
// ----------------------------------------------------------------------------------------

TEST(Read, Rda01_Rda02_DataLandsAtItsOffsetWhateverTheSizesOfThePdus) {
  for (const bool lent : {false, true}) {
    Options options;
    options.lent_bytes_max = 1024 * 1024;
    Script s(options);
    Random random(7);
    for (const std::uint32_t bytes : {1u, 3u, 512u, 4096u, 65'537u, 1024u * 1024}) {
      SCOPED_TRACE(testing::Message() << lent << " " << bytes);
      auto request = scsi({0x3c, 0, 0, 0, 0, 0, 0, 0, 0, 0}, POLLUX_FROM_DEVICE, bytes);
      if (lent) request.flags |= POLLUX_LENT;
      if (!lent && bytes > 1000) request.pieces = {0, 1, 999, bytes - 1000, 0};
      const auto command = s.submit(request);
      const std::uint32_t itt = s.expect_command(command).itt();
      std::vector<Pdu> pdus;
      for (std::uint32_t at = 0; at != bytes;) {
        const std::uint32_t part =
            std::min(bytes - at, 1 + random.below(bytes > 100'000 ? 65'536u : 3000u));
        const auto number = static_cast<std::uint32_t>(pdus.size());
        pdus.push_back(data_in(itt, number, at, pattern(part, 77, at)).final(number % 2 == 1));
        at += part;
      }
      pdus.push_back(scsi_response(itt).data_sn(static_cast<std::uint32_t>(pdus.size())));
      s.receive(pdus);
      const auto done = s.expect_completion(command, POLLUX_OK);
      EXPECT_EQ(done.transferred, bytes);
      EXPECT_TRUE(std::ranges::equal(s.memory(command), pattern(bytes, 77)));
    }
    s.expect_alive();
  }
}

TEST(Read, Rda03_StatusInTheLastDataInCompletes) {
  for (const std::uint8_t status :
       {std::uint8_t{0x00}, std::uint8_t{0x04}, std::uint8_t{0x10}, std::uint8_t{0x14}})
    EXPECT_EQ(answered(
                  read(512),
                  [&](std::uint32_t itt) {
                    return std::vector{data_in(itt, 0, 0, pattern(512, 1)).status(status)};
                  },
                  POLLUX_OK, status)
                  .transferred,
              512u);
}

TEST(Read, Rda04_Rda08_WithoutTheStatusBitStatusAndResidualAreNotRead) {
  const auto done = answered(
      read(1024),
      [](std::uint32_t itt) {
        return std::vector{data_in(itt, 0, 0, pattern(512, 1))
                               .final(false)
                               .or8(1, 0x06)
                               .set8(3, 0x02)
                               .stat_sn(0x1234)
                               .residual(99),
                           data_in(itt, 1, 512, pattern(512, 1, 512)).status(0)};
      },
      POLLUX_OK);
  EXPECT_EQ(done.transferred, 1024u);
  EXPECT_EQ(answered(
                read(1024),
                [](std::uint32_t itt) {
                  return std::vector{
                      data_in(itt, 0, 0, pattern(512, 1)).status(0).or8(1, 0x02).residual(512)};
                },
                POLLUX_OK)
                .transferred,
            512u);
}

TEST(Read, Rda05_StatusWithoutFinal) {
  expect_refused(
      read(512),
      [](std::uint32_t itt) { return data_in(itt, 0, 0, pattern(512, 1)).status(0).final(false); },
      ProtocolError::status_without_final);
}

TEST(Read, Rda06_StatusThatADataInCannotCarry) {
  for (const std::uint8_t status :
       {std::uint8_t{0x02}, std::uint8_t{0x08}, std::uint8_t{0x18}, std::uint8_t{0x28}})
    expect_refused(
        read(512),
        [&](std::uint32_t itt) { return data_in(itt, 0, 0, pattern(512, 1)).status(status); },
        ProtocolError::status_in_data_in_not_good);
}

TEST(Read, Rda09_H092_DataBeyondTheBufferWritesNothing) {
  for (const auto& [offset, length] : {std::pair{4096u, 1u},
                                       {0u, 4097u},
                                       {4095u, 2u},
                                       {0xffff'ff00u, 0x200u},
                                       {0xffff'ffffu, 1u}}) {
    for (const auto& request : {read(4096), lent_read(4096)})
      expect_refused(
          request,
          [&, offset = offset, length = length](std::uint32_t itt) {
            return data_in(itt, 0, offset, pattern(length, 1));
          },
          ProtocolError::data_outside_buffer);
  }
}

TEST(Read, Rda10_DataSnGap) {
  for (const std::uint32_t wrong : {1u, 5u, 0xffff'ffffu})
    expect_refused(
        read(4096), [&](std::uint32_t itt) { return data_in(itt, wrong, 0, pattern(512, 1)); },
        ProtocolError::data_sn_gap);
}

TEST(Read, Rda12_RepeatedDataSnDoesNotReplaceTheFirst) {
  Script s;
  const auto command = s.submit(read(1024));
  const std::uint32_t itt = s.next().itt();
  s.receive(data_in(itt, 0, 0, pattern(512, 1)).final(false));
  s.receive(data_in(itt, 0, 0, pattern(512, 2)));
  s.expect_lost(ProtocolError::data_sn_gap);
  EXPECT_TRUE(std::ranges::equal(s.memory(command).first(512), pattern(512, 1)));
}

TEST(Read, Rda13_H089_BackwardsOverlappingOrSkippingOffsets) {
  for (const std::uint32_t wrong : {0u, 511u, 513u, 1024u}) {
    Script s;
    s.submit(read(4096));
    const std::uint32_t itt = s.next().itt();
    s.receive(data_in(itt, 0, 0, pattern(512, 1)).final(false));
    s.receive(data_in(itt, 1, wrong, pattern(512, 2)));
    s.expect_lost(ProtocolError::data_out_of_order);
  }
}

TEST(Read, Rda16_EmptyDataInCounts) {
  answered(
      read(512),
      [](std::uint32_t itt) {
        return std::vector{data_in(itt, 0, 0, {}).final(false),
                           data_in(itt, 1, 0, pattern(512, 1)).status(0)};
      },
      POLLUX_OK);
  expect_refused(
      read(512), [](std::uint32_t itt) { return data_in(itt, 1, 0, {}); },
      ProtocolError::data_sn_gap);
}

TEST(Read, Rda17_ShortDataThatNoResidualExplainsIsAnError) {
  const auto half = [](std::uint32_t itt) { return data_in(itt, 0, 0, pattern(512, 1)); };
  for (const auto& request : {read(1024), lent_read(1024)}) {
    answered(
        request,
        [&](std::uint32_t itt) {
          return std::vector{half(itt), scsi_response(itt)};
        },
        POLLUX_EPROTO);
    answered(
        request, [&](std::uint32_t itt) { return std::vector{half(itt).status(0)}; },
        POLLUX_EPROTO);
    answered(
        request,
        [&](std::uint32_t itt) { return std::vector{half(itt).status(0).or8(1, 2).residual(511)}; },
        POLLUX_EPROTO);
    answered(
        request,
        [&](std::uint32_t itt) {
          return std::vector{half(itt), scsi_response(itt).or8(1, 2).residual(100)};
        },
        POLLUX_EPROTO);
    answered(
        request, [&](std::uint32_t itt) { return std::vector{scsi_response(itt)}; }, POLLUX_EPROTO);
  }
}

TEST(Read, Rda19_H094_TheABitIsIgnoredAtErrorRecoveryLevelZero) {
  answered(
      read(512),
      [](std::uint32_t itt) {
        return std::vector{
            data_in(itt, 0, 0, pattern(512, 1)).or8(1, 0x40).lun(0).ttt(9).status(0)};
      },
      POLLUX_OK);
}

TEST(Read, Rda23_InterleavedDataOfManyTasks) {
  Script s;
  std::vector<std::size_t> commands;
  std::vector<std::uint32_t> tags;
  for (int i = 0; i < 64; ++i) {
    commands.push_back(s.submit(read(4096)));
    tags.push_back(s.expect_command(commands.back()).itt());
  }
  std::vector<Pdu> pdus;
  for (std::uint32_t part = 0; part < 8; ++part) {
    for (std::uint32_t i = 0; i < 64; ++i) {
      pdus.push_back(
          data_in(tags[i], part, part * 512, pattern(512, i, part * 512)).final(part == 7));
      if (part == 7) pdus.back().status(0);
    }
  }
  s.receive(pdus);
  for (std::uint32_t i = 0; i < 64; ++i) {
    s.expect_completion(commands[i], POLLUX_OK);
    EXPECT_TRUE(std::ranges::equal(s.memory(commands[i]), pattern(4096, i)));
  }
}

TEST(Read, Rda25_Rda26_H088_DataForTasksThatDoNotRead) {
  for (const auto& request : {write(4096), registered_write(4096), test_unit_ready()})
    expect_refused(
        request, [](std::uint32_t itt) { return data_in(itt, 0, 0, pattern(4, 1)); },
        ProtocolError::data_for_wrong_direction);
}

TEST(Read, Rda29_DataAfterStatus) {
  Script s;
  const auto command = s.submit(read(1024));
  const std::uint32_t itt = s.next().itt();
  s.receive(data_in(itt, 0, 0, pattern(512, 1)).status(0).or8(1, 2).residual(512));
  s.expect_completion(command, POLLUX_OK);
  s.receive(data_in(itt, 1, 512, pattern(512, 1)));
  s.expect_lost(ProtocolError::unexpected_task_tag);
}

TEST(Read, LentReadsWithStatusAndManyPieces) {
  const auto done = answered(
      lent_read(8192),
      [](std::uint32_t itt) {
        std::vector<Pdu> pdus;
        for (std::uint32_t i = 0; i < 16; ++i)
          pdus.push_back(data_in(itt, i, i * 512, pattern(512, 4, i * 512)).final(i == 15));
        pdus.back().status(0);
        return pdus;
      },
      POLLUX_OK);
  EXPECT_EQ(done.transferred, 8192u);
  // More pieces than the record of the read has room for: an error that says so, and nothing is
  // kept.
  answered(
      lent_read(64 * 1024),
      [](std::uint32_t itt) {
        std::vector<Pdu> pdus;
        for (std::uint32_t i = 0; i < 1024; ++i)
          pdus.push_back(data_in(itt, i, i * 64, pattern(64, 4, i * 64)).final(i == 1023));
        pdus.back().status(0);
        return pdus;
      },
      POLLUX_EAGAIN);
}

// --- SCSI Response
// ----------------------------------------------------------------------------------

TEST(Response, Rsp01_EveryStatusIsPassedUnchanged) {
  for (const std::uint32_t status :
       {0x00u, 0x04u, 0x08u, 0x10u, 0x14u, 0x18u, 0x22u, 0x28u, 0x30u, 0x40u})
    answered(
        test_unit_ready(),
        [&](std::uint32_t itt) { return std::vector{scsi_response(itt).set8(3, status)}; },
        POLLUX_OK, static_cast<std::uint8_t>(status));
}

TEST(Response, Rsp02_Rsp20_DeliveryFailureIsNeverSuccess) {
  for (const std::uint32_t response : {0x01u, 0x80u, 0xffu})
    answered(
        read(512),
        [&](std::uint32_t itt) {
          return std::vector{scsi_response(itt)
                                 .set8(2, response)
                                 .set8(1, 0x9e)
                                 .set64(36, ~0ull)
                                 .residual(kReserved)};
        },
        POLLUX_ETARGET);
}

TEST(Response, Rsp03_ReservedResponseCodes) {
  for (const std::uint32_t response : {0x02u, 0x40u, 0x7fu})
    expect_refused(
        test_unit_ready(), [&](std::uint32_t itt) { return scsi_response(itt).set8(2, response); },
        ProtocolError::reserved_response_code);
}

TEST(Response, Rsp04_Rsp05_H100_MalformedSense) {
  const auto check = [](std::uint32_t itt, Bytes data) {
    return scsi_response(itt).set8(3, 0x02).carries(std::move(data));
  };
  const auto segment = [](std::size_t bytes, std::uint32_t claimed) {
    Bytes data(bytes, std::byte{0x70});
    data[0] = static_cast<std::byte>(claimed >> 8);
    if (bytes > 1) data[1] = static_cast<std::byte>(claimed);
    return data;
  };
  expect_refused(
      test_unit_ready(), [&](std::uint32_t itt) { return check(itt, {}); },
      ProtocolError::sense_malformed);
  for (const auto& [bytes, claimed] :
       {std::pair{1u, 0u}, {20u, 0xffffu}, {20u, 19u}, {20u, 0u}, {2u, 0u}, {2u, 1u}})
    expect_refused(
        test_unit_ready(),
        [&, bytes = bytes, claimed = claimed](std::uint32_t itt) {
          return check(itt, segment(bytes, claimed));
        },
        ProtocolError::sense_malformed);
}

TEST(Response, Rsp06_Rsp07_Rsp08_H101_SenseIsDecodedAndCut) {
  struct Case {
    std::vector<std::uint8_t> sense;
    std::uint8_t key, asc, ascq;
  };
  std::vector<std::uint8_t> fixed(18);
  fixed[0] = 0xf0, fixed[2] = 0x26, fixed[12] = 0x29, fixed[13] = 0x01;
  std::vector<std::uint8_t> descriptor{0x72, 0x0b, 0x47, 0x03, 0, 0, 0, 0};
  std::vector<std::uint8_t> deferred = fixed;
  deferred[0] = 0x71;
  std::vector<std::uint8_t> vendor{0x7f, 1, 2, 3};
  std::vector<std::uint8_t> unknown{0x7b, 1, 2, 3};
  std::vector<std::uint8_t> longest = fixed;
  longest.resize(8190);
  std::vector<std::uint8_t> middle = fixed;
  middle.resize(512);
  std::vector<std::uint8_t> shortest{0x70};
  const Case cases[] = {{fixed, 6, 0x29, 1},  {descriptor, 0xb, 0x47, 3}, {deferred, 6, 0x29, 1},
                        {vendor, 0, 0, 0},    {unknown, 0, 0, 0},         {longest, 6, 0x29, 1},
                        {middle, 6, 0x29, 1}, {shortest, 0, 0, 0}};
  for (const Case& one : cases) {
    for (const std::size_t behind : {0u, 5u}) {
      SCOPED_TRACE(one.sense[0]);
      Bytes data = sense_segment(one.sense);
      data.resize(data.size() + behind, std::byte{0xee});
      const auto done = answered(
          test_unit_ready(),
          [&](std::uint32_t itt) {
            return std::vector{scsi_response(itt).set8(3, 2).carries(data)};
          },
          POLLUX_OK, 0x02);
      EXPECT_EQ(done.sense_key, one.key);
      EXPECT_EQ(done.asc, one.asc);
      EXPECT_EQ(done.ascq, one.ascq);
      EXPECT_EQ(done.sense_length, std::min<std::size_t>(one.sense.size(), sizeof(done.sense)));
      EXPECT_TRUE(std::equal(done.sense, done.sense + done.sense_length, one.sense.begin()));
    }
  }
}

TEST(Response, Rsp16_ConditionsOfIscsiSurface) {
  const std::uint8_t conditions[][3] = {
      {0xb, 0x0c, 0x0c}, {0xb, 0x0c, 0x0d}, {0xb, 0x47, 0x05}, {0xb, 0x11, 0x13}};
  for (const auto& condition : conditions) {
    const auto done = answered(
        test_unit_ready(),
        [&](std::uint32_t itt) {
          return std::vector{scsi_response(itt).set8(3, 2).carries(
              fixed_sense(condition[0], condition[1], condition[2]))};
        },
        POLLUX_OK, 0x02);
    EXPECT_EQ(done.sense_key, condition[0]);
    EXPECT_EQ(done.asc, condition[1]);
    EXPECT_EQ(done.ascq, condition[2]);
  }
}

TEST(Response, Rsp18_Rsp19_SenseWithGoodAndAStatusQualifierAreTaken) {
  answered(
      test_unit_ready(),
      [](std::uint32_t itt) {
        return std::vector{scsi_response(itt).carries(fixed_sense(1, 2, 3))};
      },
      POLLUX_OK);
  answered(
      test_unit_ready(),
      [](std::uint32_t itt) { return std::vector{scsi_response(itt).set8(3, 8).set16(8, 0xffff)}; },
      POLLUX_OK, 8);
}

// --- Residuals
// --------------------------------------------------------------------------------------

TEST(Residual, Rsp09_OverflowAndUnderflowTogether) {
  for (const std::uint32_t both : {0x06u, 0x18u})
    expect_refused(
        read(512), [&](std::uint32_t itt) { return scsi_response(itt).or8(1, both).residual(0); },
        ProtocolError::bad_residual);
  expect_refused(
      read(512),
      [](std::uint32_t itt) { return data_in(itt, 0, 0, pattern(512, 1)).status(0).or8(1, 0x06); },
      ProtocolError::bad_residual);
}

TEST(Residual, Rsp10_TheCountMeansNothingWithoutItsFlag) {
  EXPECT_EQ(answered(
                read(512),
                [](std::uint32_t itt) {
                  return std::vector{data_in(itt, 0, 0, pattern(512, 1)),
                                     scsi_response(itt).residual(0xdead'beef)};
                },
                POLLUX_OK)
                .transferred,
            512u);
}

TEST(Residual, Rsp11_UnderflowSaysHowMuchMoved) {
  for (const auto& request : {scsi({0x12, 0, 0, 0, 255, 0}, POLLUX_FROM_DEVICE, 255)})
    EXPECT_EQ(answered(
                  request,
                  [](std::uint32_t itt) {
                    return std::vector{data_in(itt, 0, 0, pattern(36, 1)),
                                       scsi_response(itt).or8(1, 0x02).residual(255 - 36)};
                  },
                  POLLUX_OK)
                  .transferred,
              36u);
  EXPECT_EQ(answered(
                write(1024),
                [](std::uint32_t itt) {
                  return std::vector{scsi_response(itt).or8(1, 0x02).residual(24)};
                },
                POLLUX_OK)
                .transferred,
            1000u);
}

TEST(Residual, Rsp12_H098_MoreThanWasExpectedCannotBeMissing) {
  for (const std::uint32_t residual : {513u, 0xffff'ffffu}) {
    expect_refused(
        read(512),
        [&](std::uint32_t itt) { return scsi_response(itt).or8(1, 0x02).residual(residual); },
        ProtocolError::bad_residual);
    answered(
        read(512),
        [&](std::uint32_t itt) {
          return std::vector{data_in(itt, 0, 0, {}).status(0).or8(1, 0x02).residual(residual)};
        },
        POLLUX_EPROTO);
  }
}

TEST(Residual, Rsp13_OverflowKeepsTheData) {
  EXPECT_EQ(answered(
                read(512),
                [](std::uint32_t itt) {
                  return std::vector{data_in(itt, 0, 0, pattern(512, 1)),
                                     scsi_response(itt).or8(1, 0x04).residual(100)};
                },
                POLLUX_OK)
                .transferred,
            512u);
}

TEST(Residual, Rsp14_WithOtherStatusAsWell) {
  const auto done = answered(
      read(1024),
      [](std::uint32_t itt) {
        return std::vector{data_in(itt, 0, 0, pattern(512, 1)),
                           scsi_response(itt).or8(1, 0x02).residual(512).set8(3, 2).carries(
                               fixed_sense(3, 0x11, 0))};
      },
      POLLUX_OK, 0x02);
  EXPECT_EQ(done.transferred, 512u);
  EXPECT_EQ(done.sense_key, 3u);
}

}  // namespace
}  // namespace pollux::script
