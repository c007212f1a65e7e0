// WRT rows of the conformance page: immediate and unsolicited data, R2T and the answers to it.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "tests/support/iscsi_script.hpp"

namespace pollux::script {
namespace {

using iscsi::ProtocolError;

Options negotiated(bool initial_r2t, bool immediate, std::uint32_t segment,
                   std::uint32_t first_burst, std::uint32_t max_burst = 256 * KiB) {
  Options options;
  options.parameters.initial_r2t = initial_r2t;
  options.parameters.immediate_data = immediate;
  options.parameters.target_max_recv_data_segment_length = segment;
  options.parameters.first_burst_length = first_burst;
  options.parameters.max_burst_length = max_burst;
  return options;
}

/// Nothing goes without an R2T.
Options only_solicited(std::uint16_t outstanding = 1, std::uint32_t segment = 8192) {
  Options options = negotiated(true, false, segment, 65536);
  options.parameters.max_outstanding_r2t = outstanding;
  return options;
}

void expect_answer(Script& s, std::size_t command, std::uint32_t itt, std::uint32_t ttt,
                   std::uint32_t offset, std::uint32_t length, std::uint32_t segment) {
  std::uint32_t data_sn = 0;
  for (std::uint32_t end = offset + length; offset != end;) {
    const std::uint32_t part = std::min(segment, end - offset);
    s.expect_tx(data_out(itt, ttt, data_sn++, offset, s.sent_by(command, offset, part),
                         offset + part == end));
    offset += part;
  }
}

// --- Without being asked
// ----------------------------------------------------------------------------

TEST(Write, Wrt01_To_Wrt07_Wrt31_TheFourCasesOfInitialR2tAndImmediateData) {
  constexpr std::uint32_t kFirst = 8192;
  constexpr std::uint32_t kMax = 16384;
  for (const std::uint32_t segment : {512u, 2048u, 65536u}) {
    for (const bool initial_r2t : {false, true}) {
      for (const bool immediate_data : {false, true}) {
        Script s(negotiated(initial_r2t, immediate_data, segment, kFirst, kMax));
        for (const std::uint32_t bytes :
             {1u, 511u, 512u, kFirst - 1, kFirst, kFirst + 1, kMax, kMax + 1, 4 * kMax}) {
          SCOPED_TRACE(testing::Message()
                       << segment << " " << initial_r2t << immediate_data << " " << bytes);
          const auto command =
              s.submit(scsi({0x3b, 0, 0, 0, 0, 0, 0, 0, 0, 0}, POLLUX_TO_DEVICE, bytes));
          const std::uint32_t immediate = immediate_data ? std::min({segment, kFirst, bytes}) : 0;
          const std::uint32_t burst = initial_r2t ? immediate : std::min(kFirst, bytes);
          const std::uint32_t itt = s.expect_command(command, immediate, burst == immediate).itt();
          expect_answer(s, command, itt, kReserved, immediate, burst - immediate, segment);
          s.expect_silence();
          if (burst < bytes) {
            s.receive(r2t(itt, 0x99, 0, burst, std::min(kMax, bytes - burst)));
            expect_answer(s, command, itt, 0x99, burst, std::min(kMax, bytes - burst), segment);
            s.expect_silence();
          }
          s.receive(scsi_response(itt).set8(3, 0x08));
          s.expect_completion(command, POLLUX_OK, 0x08);
          ASSERT_FALSE(HasFailure());
        }
      }
    }
  }
}

TEST(Write, Wrt02_ImmediateDataKeepsTheSmallestLimit) {
  {
    Script s(negotiated(true, true, 512, 65536));
    s.expect_command(s.submit(write(4096)), 512);
  }
  Script s(negotiated(true, true, 65536, 512));
  s.expect_command(s.submit(write(4096)), 512);
}

TEST(Write, Wrt08_UnsolicitedDataComesInTheOrderOfTheCommands) {
  Script s(negotiated(false, true, 1024, 4096));
  std::vector<std::uint32_t> tags;
  std::vector<std::uint32_t> data_tags;
  for (int i = 0; i < 20; ++i) s.submit(registered_write(4096));
  while (s.tx_waiting() != 0) {
    const Pdu pdu = s.next();
    if (pdu.opcode() == 0x01) tags.push_back(pdu.itt());
    if (pdu.opcode() == 0x05 && (data_tags.empty() || data_tags.back() != pdu.itt()))
      data_tags.push_back(pdu.itt());
  }
  EXPECT_EQ(tags.size(), 20u);
  EXPECT_EQ(tags, data_tags);
}

// --- Answers to R2T
// ---------------------------------------------------------------------------------

TEST(Write, Wrt10_Wrt11_Wrt12_TheAnswerHasTheFieldsOfTheR2t) {
  for (const std::uint32_t segment : {512u, 8192u, 65536u}) {
    Script s(only_solicited(1, segment));
    auto request = write(256 * 1024);
    request.lun = 0x4001'0000'0000'0000;
    request.pieces = {1000, 7, 100'000, 256 * 1024 - 101'007};
    const auto command = s.submit(request);
    const std::uint32_t itt = s.expect_command(command).itt();
    std::uint32_t r2t_sn = 0;
    for (const auto& [offset, length] :
         {std::pair{0u, 1u}, {1u, 512u}, {513u, 65536u}, {66'049u, 196'095u}}) {
      s.receive(r2t(itt, 0xa000 + r2t_sn, r2t_sn, offset, length).lun(request.lun));
      std::uint32_t data_sn = 0;
      for (std::uint32_t at = offset; at != offset + length;) {
        const std::uint32_t part = std::min(segment, offset + length - at);
        s.expect_tx(data_out(itt, 0xa000 + r2t_sn, data_sn++, at, s.sent_by(command, at, part),
                             at + part == offset + length)
                        .lun(request.lun));
        at += part;
      }
      ++r2t_sn;
      s.expect_silence();
    }
    s.receive(scsi_response(itt));
    EXPECT_EQ(s.expect_completion(command, POLLUX_OK).transferred, 256 * 1024u);
  }
}

TEST(Write, Wrt13_SegmentsBeforeTheLastAreWholeWords) {
  for (const std::uint32_t limit : {513u, 1023u}) {
    Script s(only_solicited(1, limit));
    const auto command = s.submit(write(8192));
    const std::uint32_t itt = s.expect_command(command).itt();
    s.receive(r2t(itt, 1, 0, 0, 8192));
    std::uint32_t sent = 0;
    for (bool last = false; !last && s.tx_waiting() != 0;) {
      const Pdu pdu = s.next();
      last = pdu.has_final();
      EXPECT_LE(pdu.length(), limit);
      EXPECT_TRUE(last || pdu.length() % 4 == 0) << pdu.length();
      sent += pdu.length();
    }
    EXPECT_EQ(sent, 8192u);
  }
}

TEST(Write, Wrt14_Wrt15_SeveralR2tsOfOneTaskAreServedInOrderOfArrival) {
  Script s(only_solicited(4));
  const auto command = s.submit(write(64 * 1024));
  const std::uint32_t itt = s.expect_command(command).itt();
  s.receive({r2t(itt, 10, 0, 0, 16384), r2t(itt, 11, 1, 16384, 16384),
             r2t(itt, 12, 2, 32768, 16384), r2t(itt, 13, 3, 49152, 16384)});
  for (std::uint32_t i = 0; i < 4; ++i)
    expect_answer(s, command, itt, 10 + i, i * 16384, 16384, 8192);
  s.receive(scsi_response(itt));
  s.expect_completion(command, POLLUX_OK);
  s.expect_alive();
}

TEST(Write, Wrt16_R2tsOfManyTasksAreAllServed) {
  Script s(only_solicited());
  std::vector<std::size_t> commands;
  std::vector<std::uint32_t> tags;
  for (int i = 0; i < 64; ++i) {
    commands.push_back(s.submit(i % 2 ? write(16384) : registered_write(16384)));
    tags.push_back(s.expect_command(commands.back()).itt());
  }
  for (std::uint32_t half = 0; half < 2; ++half) {
    std::vector<Pdu> asked;
    for (std::uint32_t i = 0; i < 64; ++i)
      asked.push_back(r2t(tags[i], i, half, half * 8192, 8192));
    s.receive(asked);
    s.run_for(1s);
    std::vector<bool> served(64);
    while (s.tx_waiting() != 0) {
      const Pdu pdu = s.next();
      const std::uint32_t i = pdu.ttt();
      ASSERT_LT(i, 64u);
      EXPECT_EQ(pdu.itt(), tags[i]);
      EXPECT_EQ(pdu.data, s.sent_by(commands[i], half * 8192, 8192));
      served[i] = true;
    }
    EXPECT_EQ(std::count(served.begin(), served.end(), true), 64);
  }
  for (const std::uint32_t tag : tags) s.receive(scsi_response(tag));
  for (const auto command : commands) s.expect_completion(command, POLLUX_OK);
}

TEST(Write, Wrt27_R2tDuringUnsolicitedDataIsServedAfterIt) {
  Options options = negotiated(false, true, 1024, 512 * 1024, 1024 * 1024);
  Script s(options);
  s.target_stops_reading(true);
  const auto command = s.submit(registered_write(2 * 1024 * 1024));
  s.run_for(5ms);
  s.target_stops_reading(false);
  const std::uint32_t itt = s.expect_command(command, 1024, false).itt();
  s.receive(r2t(itt, 7, 0, 512 * 1024, 4096));
  s.run_for(1s);
  expect_answer(s, command, itt, kReserved, 1024, 511 * 1024, 1024);
  expect_answer(s, command, itt, 7, 512 * 1024, 4096, 1024);
  s.receive(scsi_response(itt).or8(1, 0x02).residual(2 * 1024 * 1024 - 516 * 1024));
  EXPECT_EQ(s.expect_completion(command, POLLUX_OK).transferred, 516 * 1024u);
}

// --- R2Ts that must not be
// --------------------------------------------------------------------------

void expect_refused(const Options& options, const Request& request,
                    const std::function<Pdu(std::uint32_t)>& bad, ProtocolError error) {
  Script s(options);
  const auto command = s.submit(request);
  const Pdu sent = s.next();
  while (s.tx_waiting() != 0) s.next();
  s.receive(bad(sent.itt()));
  s.expect_lost(error);
  s.expect_completion(command, POLLUX_ESESSION_LOST);
}

TEST(Write, Wrt17_R2tForTasksThatDoNotWrite) {
  const auto ask = [](std::uint32_t itt) { return r2t(itt, 1, 0, 0, 512); };
  expect_refused({}, read(4096), ask, ProtocolError::r2t_for_wrong_task);
  expect_refused({}, test_unit_ready(), ask, ProtocolError::r2t_for_wrong_task);
  expect_refused(
      {}, write(512), [](std::uint32_t itt) { return r2t(itt + 1, 1, 0, 0, 512); },
      ProtocolError::unexpected_task_tag);
}

TEST(Write, Wrt18_R2tOfAnotherLun) {
  expect_refused(
      only_solicited(), write(4096),
      [](std::uint32_t itt) { return r2t(itt, 1, 0, 0, 512).lun(1); },
      ProtocolError::r2t_for_wrong_task);
}

TEST(Write, Wrt19_H082_MalformedR2t) {
  expect_refused(
      only_solicited(), write(4096), [](std::uint32_t itt) { return r2t(itt, 1, 0, 0, 0); },
      ProtocolError::r2t_malformed);
  expect_refused(
      only_solicited(), write(4096),
      [](std::uint32_t itt) { return r2t(itt, kReserved, 0, 0, 512); },
      ProtocolError::r2t_malformed);
  expect_refused(
      only_solicited(), write(4096),
      [](std::uint32_t itt) { return r2t(itt, 1, 0, 0, 512).carries(pattern(4, 0)); },
      ProtocolError::r2t_malformed);
}

TEST(Write, Wrt20_R2tBeyondTheBufferSendsNothing) {
  for (const auto& [offset, length] : {std::pair{4096u, 1u},
                                       {0u, 4097u},
                                       {4095u, 2u},
                                       {0xffff'f000u, 0x1000u},
                                       {0xffff'ffffu, 1u},
                                       {1u, 0xffff'ffffu},
                                       {0u, 0xffff'ffffu}}) {
    expect_refused(
        only_solicited(), write(4096),
        [&, offset = offset, length = length](std::uint32_t itt) {
          return r2t(itt, 1, 0, offset, length);
        },
        ProtocolError::r2t_outside_buffer);
  }
}

TEST(Write, Wrt15_Wrt24_R2tOverGroundThatIsCovered) {
  expect_refused(
      negotiated(false, true, 8192, 2048), write(4096),
      [](std::uint32_t itt) { return r2t(itt, 1, 0, 0, 512); }, ProtocolError::r2t_outside_buffer);
  Script s(only_solicited(4));
  const auto command = s.submit(write(4096));
  const std::uint32_t itt = s.expect_command(command).itt();
  s.receive(r2t(itt, 1, 0, 1024, 1024));
  expect_answer(s, command, itt, 1, 1024, 1024, 8192);
  s.receive(r2t(itt, 2, 1, 512, 512));  // DataSequenceInOrder=Yes: no way back
  s.expect_lost(ProtocolError::r2t_outside_buffer);
}

TEST(Write, Wrt22_H083_MoreR2tsThanAgreed) {
  for (const int agreed : {1, 4, 8}) {
    Script s(only_solicited(static_cast<std::uint16_t>(agreed)));
    s.target_stops_reading(true);  // so that none is answered meanwhile
    std::vector<std::size_t> commands{s.submit(registered_write(32 * 1024 * 1024))};
    s.target_stops_reading(false);
    const std::uint32_t itt = s.expect_command(commands[0]).itt();
    s.target_stops_reading(true);
    std::vector<Pdu> flood;
    for (std::uint32_t i = 0; i < 1000; ++i) flood.push_back(r2t(itt, i, i, i * 1024, 1024));
    s.receive(flood);
    s.expect_lost(ProtocolError::r2t_too_many);
    s.target_stops_reading(false);
    s.expect_completion(commands[0], POLLUX_ESESSION_LOST);
  }
}

TEST(Write, Wrt23_H079_R2tsnOutOfOrder) {
  for (const std::uint32_t wrong : {1u, 7u, 0xffff'ffffu})
    expect_refused(
        only_solicited(2), write(4096),
        [=](std::uint32_t itt) { return r2t(itt, 1, wrong, 0, 512); }, ProtocolError::r2t_sn_gap);
  Script s(only_solicited(2));
  const std::uint32_t itt = s.expect_command(s.submit(write(4096))).itt();
  s.receive(r2t(itt, 1, 0, 0, 512));
  s.next();
  s.receive(r2t(itt, 1, 0, 512, 512));  // repeats number 0
  s.expect_lost(ProtocolError::r2t_sn_gap);
}

// --- Odd ends
// ---------------------------------------------------------------------------------------

TEST(Write, Wrt26_H095_StatusWhileDataIsOwedEndsTheDataAtAPdu) {
  for (const std::uint8_t status : {std::uint8_t{0x00}, std::uint8_t{0x02}}) {
    for (const bool registered : {false, true}) {
      Options options = only_solicited(4, 8192);
      options.parameters.max_burst_length = 16 * 1024 * 1024;
      Script s(options);
      const auto command =
          s.submit(registered ? registered_write(8 * 1024 * 1024) : write(8 * 1024 * 1024));
      const std::uint32_t itt = s.expect_command(command).itt();
      s.target_stops_reading(true);
      s.receive(r2t(itt, 1, 0, 0, 8 * 1024 * 1024));
      s.run_for(10ms);
      Pdu response = scsi_response(itt).set8(3, status);
      s.receive(status == 0 ? response : response.carries(fixed_sense(3, 0x0c, 0)));
      s.target_stops_reading(false);
      s.run_for(3s);
      const std::size_t sent = s.tx_waiting();
      EXPECT_LT(sent, 1024u) << "everything was sent all the same";
      while (s.tx_waiting() != 0) EXPECT_EQ(s.next().itt(), itt);
      s.expect_completion(command, POLLUX_OK, status);
      s.expect_alive();
    }
  }
}

TEST(Write, Wrt28_PlainMemoryThatChangesUnderWayIsSentFromOneSnapshot) {
  Options options = only_solicited(4, 8192);
  options.parameters.data_digest = true;
  Script s(options);
  const auto command = s.submit(write(256 * 1024));
  const std::uint32_t itt = s.expect_command(command).itt();
  s.target_stops_reading(true);
  s.wire().set_paused(0, true);
  s.receive(r2t(itt, 1, 0, 0, 256 * 1024));
  for (std::byte& byte : s.memory(command)) byte ^= std::byte{0xff};
  s.wire().set_paused(0, false);
  s.wire().drop_nth(0, 3);  // and one segment goes a second time
  s.target_stops_reading(false);
  s.run_for(3s);
  std::uint32_t bytes = 0;
  while (s.tx_waiting() != 0) bytes += s.next().length();  // the script has compared each digest
  EXPECT_EQ(bytes, 256 * 1024u);
  s.receive(scsi_response(itt));
  s.expect_completion(command, POLLUX_OK);
  s.expect_alive();
}

TEST(Write, RegisteredWriteCompletesOnlyWhenNoCopyOfItsBytesIsQueued) {
  // Decision 6 of the design: the response may overtake TCP's acknowledgement of the data.
  Script s(only_solicited(1, 65536));
  const auto command = s.submit(registered_write(65536));
  const std::uint32_t itt = s.expect_command(command).itt();
  s.wire().set_paused(0, true);
  s.receive(r2t(itt, 1, 0, 0, 65536));
  s.receive(scsi_response(itt));
  s.expect_pending(command);
  s.wire().set_paused(0, false);
  s.run_for(2s);
  s.expect_completion(command, POLLUX_OK);
  while (s.tx_waiting() != 0) s.next();
  s.expect_alive();
}

TEST(Write, WhatADeadConnectionHasQueuedIsItsOwnUntilItHasLeft) {
  Script s;
  s.stall_port(true);
  const std::size_t command = s.submit(write(4096));
  s.run_for(1ms);
  EXPECT_EQ(s.worker().initiator().snapshots_in_use(), 1u);
  s.close_from_target(true);
  s.run_for(1ms);
  s.expect_lost(iscsi::LossReason::tcp_reset);
  s.expect_completion(command, POLLUX_ESESSION_LOST);
  // The next session's data would leave in the dead one's frames.
  EXPECT_EQ(s.worker().initiator().snapshots_in_use(), 1u);
  s.stall_port(false);
  s.run_for(1ms);
  EXPECT_EQ(s.worker().initiator().snapshots_in_use(), 0u);
}

}  // namespace
}  // namespace pollux::script
