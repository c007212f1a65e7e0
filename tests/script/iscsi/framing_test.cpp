// FRM and DIG rows of the conformance page: how PDUs are put on the stream and cut out of it.
// Golden headers stand as the layouts of RFC 7143 section 11 do, a word at a time.
// clang-format off

#include <gtest/gtest.h>
#include <algorithm>


#include "tests/support/iscsi_script.hpp"

namespace pollux::script {
namespace {

using iscsi::LossReason;
using iscsi::ProtocolError;

Options with_digests(bool header, bool data) {
  Options options;
  options.parameters.header_digest = header;
  options.parameters.data_digest = data;
  return options;
}

// --- What we send -----------------------------------------------------------------------------------

TEST(Framing, Frm01_Frm02_Frm06_EveryRequestHasItsGoldenBytes) {
  Options options;
  options.parameters.first_burst_length = 1024;
  options.parameters.target_max_recv_data_segment_length = 512;
  Script s(options);
  const auto reading = s.submit(read(4096));
  const Pdu command = s.next();
  const std::array<std::uint8_t, 48> golden_read{0x01, 0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                                 command.bhs[16], command.bhs[17], command.bhs[18], command.bhs[19],
                                                 0, 0, 0x10, 0, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xfd,
                                                 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0};
  EXPECT_EQ(command.bhs, golden_read) << command.hex();
  s.receive(data_in(command.itt(), 0, 0, pattern(4096, 3)).status(0));
  s.expect_completion(reading, POLLUX_OK);

  auto request = write(2048);
  request.lun = 0x0102'0304'0506'0708;
  const auto writing = s.submit(request);
  const Pdu written = s.next();
  const std::array<std::uint8_t, 48> golden_write{0x01, 0x21, 0, 0, 0, 0, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8,
                                                  written.bhs[16], written.bhs[17], written.bhs[18], written.bhs[19],
                                                  0, 0, 8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
                                                  0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0};
  EXPECT_EQ(written.bhs, golden_write) << written.hex();
  const Pdu unsolicited = s.next();
  const std::array<std::uint8_t, 48> golden_data{0x05, 0x80, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                                 written.bhs[16], written.bhs[17], written.bhs[18], written.bhs[19],
                                                 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe,
                                                 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0};
  EXPECT_EQ(unsolicited.bhs, golden_data) << unsolicited.hex();
  s.receive(r2t(written.itt(), 0x99, 0, 1024, 512).lun(request.lun));
  const Pdu solicited = s.next();
  const std::array<std::uint8_t, 48> golden_answer{0x05, 0x80, 0, 0, 0, 0, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8,
                                                   written.bhs[16], written.bhs[17], written.bhs[18], written.bhs[19],
                                                   0, 0, 0, 0x99, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe,
                                                   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0};
  EXPECT_EQ(solicited.bhs, golden_answer) << solicited.hex();
  s.receive(scsi_response(written.itt()).set8(3, 0x08));
  s.expect_completion(writing, POLLUX_OK, 0x08);

  s.receive(nop_in(kReserved, 0x1234'5678));
  const std::array<std::uint8_t, 48> golden_nop{0x40, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
                                                0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
  EXPECT_EQ(s.next().bhs, golden_nop);

  Pdu text;
  text.set8(0, 0x04).final(true).ttt(kReserved).carries(pattern(13, 1));
  s.send_control_pdu(text);
  const Pdu asked = s.next();
  const std::array<std::uint8_t, 48> golden_text{0x04, 0x80, 0, 0, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0,
                                                 asked.bhs[16], asked.bhs[17], asked.bhs[18], asked.bhs[19],
                                                 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
  EXPECT_EQ(asked.bhs, golden_text) << asked.hex();
  s.receive(text_response(asked.itt()));

  Pdu logout;
  logout.set8(0, 0x46).set8(1, 0x80);
  s.send_control_pdu(logout);
  const Pdu leaving = s.next();
  const std::array<std::uint8_t, 48> golden_logout{0x46, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                                   leaving.bhs[16], leaving.bhs[17], leaving.bhs[18], leaving.bhs[19],
                                                   0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0};
  EXPECT_EQ(leaving.bhs, golden_logout) << leaving.hex();
}

class Lengths : public testing::TestWithParam<std::uint32_t> {};

TEST_P(Lengths, Frm04_WrittenSegmentsArePaddedWithZeros) {
  for (const bool digests : {false, true}) {
    Script s(with_digests(digests, digests));
    const auto command = s.submit(scsi({0x15, 0x10, 0, 0, 0, 0}, POLLUX_TO_DEVICE, GetParam()));
    const Pdu sent = s.expect_command(command, GetParam());  // padding and digests: checked for every PDU
    s.receive(scsi_response(sent.itt()));
    s.expect_completion(command, POLLUX_OK);
    s.expect_alive();
  }
}

TEST_P(Lengths, Frm05_Dig07_PaddingOfAnyValueIsSkipped) {
  for (const bool digests : {false, true}) {
    Script s(with_digests(digests, digests));
    const auto command = s.submit(scsi({0x1a, 0, 0, 0, 16, 0}, POLLUX_FROM_DEVICE, GetParam()));
    const Pdu sent = s.expect_command(command);
    s.receive(data_in(sent.itt(), 0, 0, pattern(GetParam(), 5)).padded_with(0xff).status(0));
    s.expect_completion(command, POLLUX_OK);
    EXPECT_TRUE(std::ranges::equal(s.memory(command), pattern(GetParam(), 5)));
    s.expect_alive();
  }
}

INSTANTIATE_TEST_SUITE_P(Framing, Lengths, testing::Values(1, 2, 3, 4, 5, 6, 7, 9));

TEST(Framing, Frm14_Frm17_SegmentsKeepTheTargetsLimitAndTheLunIsCopied) {
  for (const std::uint32_t limit : {512u, 8192u, 262144u}) {
    Options options;
    options.parameters.target_max_recv_data_segment_length = limit;
    Script s(options);
    for (const std::uint64_t lun : {0x0005'0000'0000'0000ull, 0x40ff'0000'0000'0000ull, 0x4100'0000'0000'0000ull,
                                    0xc101'0203'0405'0607ull}) {
      auto request = write(64 * 1024);
      request.lun = lun;
      const auto command = s.submit(request);
      Pdu sent = s.next();
      EXPECT_EQ(sent.u64(8), lun);
      const std::uint32_t itt = sent.itt();
      for (;; sent = s.next()) {
        EXPECT_LE(sent.length(), limit);
        if (sent.has_final()) break;
      }
      s.receive(scsi_response(itt));
      s.expect_completion(command, POLLUX_OK);
    }
  }
}

TEST(Framing, Frm19_PdusStayWholeWhenTheTargetStopsReading) {
  Options options;
  options.parameters.first_burst_length = 4 * 1024 * 1024;
  options.parameters.max_burst_length = 4 * 1024 * 1024;
  Script s(options);
  s.target_stops_reading(true);
  std::vector<std::size_t> writes;
  for (int i = 0; i < 8; ++i) writes.push_back(s.submit(registered_write(1024 * 1024)));
  s.run_for(20ms);
  for (std::uint32_t i = 0; i < 8; ++i) {
    s.receive(nop_in(kReserved, 0x100 + i));
    s.run_for(1ms);
  }
  s.target_stops_reading(false);
  s.run_for(3s);
  std::size_t commands = 0;
  std::size_t answers = 0;
  std::vector<std::uint32_t> tags;
  for (std::size_t left = s.tx_waiting(); left != 0; --left) {  // parse() has found each where it must begin
    const Pdu pdu = s.next();
    if (pdu.opcode() == 0x01) tags.push_back(pdu.itt());
    commands += pdu.opcode() == 0x01;
    answers += pdu.opcode() == 0x00 && pdu.itt() == kReserved;
  }
  EXPECT_EQ(commands, 8u);
  EXPECT_EQ(answers, 8u);
  for (const std::uint32_t tag : tags) s.receive(scsi_response(tag));
  for (const auto command : writes) s.expect_completion(command, POLLUX_OK);
}

// --- What we take -----------------------------------------------------------------------------------

TEST(Framing, Frm03_ReservedBitsOfTheTargetAreIgnored) {
  Script s;
  const auto reading = s.submit(read(1024));
  Pdu sent = s.expect_command(reading);
  s.receive(data_in(sent.itt(), 0, 0, pattern(512, 1)).or8(0, 0xc0).or8(1, 0x38).set8(2, 0xff).final(false).stat_sn(0xdead));
  s.receive(scsi_response(0).itt(sent.itt()).or8(0, 0xc0).or8(1, 0x61).or8(1, 0x02).residual(512).set64(8, ~0ull)
                .ttt(kReserved).set32(40, kReserved));
  EXPECT_EQ(s.expect_completion(reading, POLLUX_OK).transferred, 512u);
  const auto writing = s.submit(write(128 * 1024));
  sent = s.next();
  while (s.tx_waiting() != 0) s.next();
  s.receive(r2t(sent.itt(), 5, 0, 64 * 1024, 512).or8(0, 0xc0).set8(1, 0xff).set16(2, 0xffff));
  s.expect_tx(data_out(sent.itt(), 5, 0, 64 * 1024, s.sent_by(writing, 64 * 1024, 512), true));
  s.receive(scsi_response(sent.itt()).set8(3, 0x08));
  s.expect_completion(writing, POLLUX_OK, 0x08);
  s.receive(nop_in(kReserved, 7).or8(0, 0xc0).or8(1, 0x7f).set16(2, 0xffff).set32(36, kReserved).set64(40, ~0ull));
  s.expect_tx(nop_out(kReserved, 7));
  s.receive(async_message(255).or8(0, 0xc0).or8(1, 0x7f).set16(2, 0xffff).ttt(kReserved).set32(44, kReserved));
  s.expect_alive();
}

TEST(Framing, Frm07_AdditionalHeaderFromTheTargetEndsTheConnection) {
  for (const std::uint32_t words : {1u, 15u, 255u}) {
    for (const bool digest : {false, true}) {
      Script s(with_digests(digest, false));
      const auto command = s.submit(test_unit_ready());
      Pdu response = scsi_response(s.next().itt()).set8(4, words);
      response.ahs.assign(words * 4, std::byte{1});
      s.receive(response);
      // With header digests the digest lies behind the AHS, so either verdict may come first.
      digest ? s.expect_lost(LossReason::header_digest_error) : s.expect_lost(ProtocolError::additional_header);
      s.expect_completion(command, POLLUX_ESESSION_LOST);
    }
  }
}

TEST(Framing, Frm08_Frm09_Frm10_H029_OpcodesThatNoTargetHasEndTheConnection) {
  for (unsigned opcode = 0; opcode < 0x40; ++opcode) {
    const bool known = (opcode >= 0x20 && opcode <= 0x26) || opcode == 0x31 || opcode == 0x32 || opcode == 0x3f;
    if (known) continue;
    SCOPED_TRACE(opcode);
    Script s;
    const auto command = s.submit(read(512));
    const Pdu sent = s.next();
    s.receive(data_in(sent.itt(), 0, 0, {}).set8(0, opcode));
    s.expect_lost(ProtocolError::unknown_opcode);
    s.expect_completion(command, POLLUX_ESESSION_LOST);
  }
}

TEST(Framing, Frm12_SegmentBeyondOurLimitIsRefusedBeforeItsDataComes) {
  for (const std::uint32_t length : {64 * 1024u + 1, 0xff'ffffu}) {
    for (const bool ping : {false, true}) {
      Script s;
      const auto command = s.submit(read(1024 * 1024));
      const Pdu sent = s.next();
      const Pdu pdu = ping ? nop_in(kReserved, 9) : data_in(sent.itt(), 0, 0, {}).final(false);
      s.receive(Pdu(pdu).claims_length(length));
      s.expect_lost(ProtocolError::data_segment_too_long);
      s.expect_completion(command, POLLUX_ESESSION_LOST);
    }
  }
}

TEST(Framing, Frm13_H025_InLoginTheLimitIsTheDefaultWhateverWasDeclared) {
  Options options;
  options.phase = iscsi::Phase::login;
  {
    Script s(options);
    s.receive(login_response().claims_length(8193));
    s.expect_lost(ProtocolError::data_segment_too_long);
  }
  Script s(options);
  s.receive(login_response().carries(pattern(8192, 1)));
  ASSERT_EQ(s.pdus_for_control().size(), 1u);
  EXPECT_FALSE(s.lost());
}

TEST(Framing, H031_GarbageEndsTheConnectionWithinOneHeader) {
  for (const char* text : {"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "SSH-2.0-OpenSSH_9.2p1 Debian-2 and enough more bytes for it\r\n"}) {
    Script s;
    s.pour(std::as_bytes(std::span{text, 48}));
    s.settle();
    EXPECT_TRUE(s.lost());
  }
}

/// Data-In, SCSI Response with sense, and a ping: header, data, padding and digests of each kind.
std::vector<Pdu> three_pdus(std::uint32_t read_itt, std::uint32_t other_itt) {
  return {data_in(read_itt, 0, 0, pattern(5, 8)).padded_with(0xee).status(0),
          scsi_response(other_itt).set8(3, 0x02).carries(fixed_sense(6, 0x29, 0)),
          nop_in(kReserved, 0x55)};
}

class Segmentation : public testing::TestWithParam<int> {};

TEST_P(Segmentation, Frm15_H001_TheStreamMayBeCutAnywhere) {
  Options options = with_digests((GetParam() & 1) != 0, (GetParam() & 2) != 0);
  options.lent_bytes_max = 4096;
  Script s(options);
  std::size_t length = 1000;
  for (std::size_t cut = 0; cut <= length; ++cut) {
    SCOPED_TRACE(cut);
    auto five = scsi({0x1a, 0, 0, 0, 5, 0}, POLLUX_FROM_DEVICE, 5);
    if (cut % 2 == 1) five.flags |= POLLUX_LENT;
    const auto reading = s.submit(five);
    const auto other = s.submit(test_unit_ready());
    const std::uint32_t read_itt = s.next().itt();
    const Bytes stream = s.stream_of(three_pdus(read_itt, s.next().itt()));
    length = stream.size();
    s.pour(std::span{stream}.first(std::min(cut, length)));
    s.settle();
    s.pour(std::span{stream}.subspan(std::min(cut, length)));
    s.settle();
    s.expect_completion(reading, POLLUX_OK);
    ASSERT_TRUE(std::ranges::equal(s.memory(reading), pattern(5, 8)));
    EXPECT_EQ(s.expect_completion(other, POLLUX_OK, 0x02).asc, 0x29);
    s.expect_tx(nop_out(kReserved, 0x55));
    ASSERT_FALSE(HasFailure());
  }
  s.expect_alive();
}

TEST_P(Segmentation, Frm15_H001_OneByteInEachSegment) {
  Script s(with_digests((GetParam() & 1) != 0, (GetParam() & 2) != 0));
  const auto reading = s.submit(scsi({0x1a, 0, 0, 0, 5, 0}, POLLUX_FROM_DEVICE, 5));
  const auto other = s.submit(test_unit_ready());
  const std::uint32_t read_itt = s.next().itt();
  const Bytes stream = s.stream_of(three_pdus(read_itt, s.next().itt()));
  for (const std::byte& byte : stream) {
    s.pour({&byte, 1});
    s.settle();
  }
  s.expect_completion(reading, POLLUX_OK);
  s.expect_completion(other, POLLUX_OK, 0x02);
  s.expect_tx(nop_out(kReserved, 0x55));
  s.expect_alive();
}

INSTANTIATE_TEST_SUITE_P(Digests, Segmentation, testing::Range(0, 4));

TEST(Framing, Frm16_SixtyFourPdusInOnePieceOfStreamAreTakenInOrder) {
  Script s;
  std::vector<std::size_t> commands;
  std::vector<Pdu> answers;
  for (std::uint32_t i = 0; i < 32; ++i) {
    commands.push_back(s.submit(scsi({0x1a, 0, 0, 0, 8, 0}, POLLUX_FROM_DEVICE, 8)));
    const std::uint32_t itt = s.expect_command(commands.back()).itt();
    answers.push_back(data_in(itt, 0, 0, pattern(8, i)));
    answers.push_back(scsi_response(itt));
  }
  const std::uint32_t before = s.stat_sn();
  s.receive(answers);
  for (std::uint32_t i = 0; i < 32; ++i) {
    s.expect_completion(commands[i], POLLUX_OK);
    EXPECT_TRUE(std::ranges::equal(s.memory(commands[i]), pattern(8, i)));
  }
  s.receive(nop_in(kReserved, 1));
  EXPECT_EQ(s.expect_tx(nop_out(kReserved, 1)).exp_stat_sn(), before + 32);
  s.expect_alive();
}

TEST(Framing, Frm18_EmptySegmentsAreTaken) {
  Script s;
  const auto command = s.submit(read(512));
  const Pdu sent = s.expect_command(command);
  s.receive(data_in(sent.itt(), 0, 0, {}).final(false));
  s.receive(data_in(sent.itt(), 1, 0, pattern(512, 2)));
  s.receive(data_in(sent.itt(), 2, 512, {}));
  s.receive(scsi_response(sent.itt()));
  s.expect_completion(command, POLLUX_OK);
  s.receive(async_message(1));
  s.expect_alive();
}

// --- Digests ----------------------------------------------------------------------------------------

TEST(Digests, Dig01_Dig02_Dig03_AllCombinationsCarryEveryKindOfPdu) {
  for (int digests = 0; digests < 4; ++digests) {
    Script s(with_digests((digests & 1) != 0, (digests & 2) != 0));
    const auto command = s.submit(write(70'000));
    const std::uint32_t itt = s.next().itt();
    while (s.tx_waiting() != 0) s.next();
    s.receive(r2t(itt, 1, 0, 65536, 70'000 - 65536));
    while (s.tx_waiting() != 0) s.next();
    s.receive(scsi_response(itt).set8(3, 0x02).carries(fixed_sense(1, 2, 3)));
    s.expect_completion(command, POLLUX_OK, 0x02);
    s.expect_alive();
  }
}

TEST(Digests, Dig04_Dig11_WrongHeaderDigestTouchesNoTask) {
  Script s(with_digests(true, false));
  const auto command = s.submit(write(128 * 1024));
  const Pdu sent = s.next();
  while (s.tx_waiting() != 0) s.next();
  Pdu bad = r2t(sent.itt(), 9, 0, 65536, 512);
  bad.wrong_header_digest = true;
  s.receive(bad);
  s.expect_lost(LossReason::header_digest_error);
  s.expect_completion(command, POLLUX_ESESSION_LOST);
  EXPECT_EQ(s.counters().header_digest_errors.get(), 1u);
}

TEST(Digests, Dig04_H127_AnyBitOfTheHeaderOrItsDigest) {
  for (std::size_t bit = 0; bit < 52 * 8; bit += 13) {
    SCOPED_TRACE(bit);
    Script s(with_digests(true, true));
    const auto command = s.submit(test_unit_ready());
    Bytes stream = s.stream_of({scsi_response(s.next().itt())});
    stream[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    s.pour(stream);
    s.expect_lost(LossReason::header_digest_error);
    s.expect_completion(command, POLLUX_ESESSION_LOST);
  }
}

TEST(Digests, Dig05_Dig10_WrongDataDigestNeverReportsSuccess) {
  for (const std::uint32_t length : {512u, 511u}) {
    Script s(with_digests(false, true));
    const auto command = s.submit(scsi({0x1a, 0, 0, 0, 0, 0}, POLLUX_FROM_DEVICE, length));
    Pdu bad = data_in(s.next().itt(), 0, 0, pattern(length, 4)).status(0);
    bad.wrong_data_digest = true;
    s.receive(bad);
    s.expect_lost(LossReason::data_digest_error);
    s.expect_completion(command, POLLUX_ESESSION_LOST);
    EXPECT_EQ(s.counters().data_digest_errors.get(), 1u);
  }
}

TEST(Digests, Dig06_WrongDataDigestOnStatusAndEvents) {
  for (const int kind : {0, 1, 2}) {
    Script s(with_digests(true, true));
    const auto command = s.submit(test_unit_ready());
    const Pdu sent = s.next();
    Pdu bad = kind == 0   ? scsi_response(sent.itt()).set8(3, 2).carries(fixed_sense(5, 0x24, 0))
              : kind == 1 ? async_message(0, fixed_sense(6, 0x3f, 0x0e))
                          : reject(0x09, sent);
    bad.wrong_data_digest = true;
    s.receive(bad);
    s.expect_lost(LossReason::data_digest_error);
    s.expect_completion(command, POLLUX_ESESSION_LOST);
    EXPECT_TRUE(s.pdus_for_control().empty());
  }
}

TEST(Digests, Dig08_DigestThatLeavesOutThePaddingIsWrong) {
  Script s(with_digests(false, true));
  const auto command = s.submit(scsi({0x1a, 0, 0, 0, 5, 0}, POLLUX_FROM_DEVICE, 5));
  Pdu bad = data_in(s.next().itt(), 0, 0, pattern(5, 4)).status(0);
  bad.digest_without_pad = true;
  s.receive(bad);
  s.expect_lost(LossReason::data_digest_error);
  s.expect_completion(command, POLLUX_ESESSION_LOST);
}

TEST(Digests, H130_H131_DigestsThatWereNotAgreedOrAreMissing) {
  for (const bool agreed : {false, true}) {
    Script s(with_digests(agreed, false));
    const auto command = s.submit(read(512));
    const Pdu sent = s.next();
    s.parameters().header_digest = !agreed;
    s.receive({data_in(sent.itt(), 0, 0, pattern(512, 1)), scsi_response(sent.itt())});
    s.run_for(30s);
    EXPECT_TRUE(s.lost());
    s.expect_completion(command, POLLUX_ESESSION_LOST);
  }
}

}  // namespace
}  // namespace pollux::script
