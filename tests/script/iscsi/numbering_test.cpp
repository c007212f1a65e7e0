// CMD, STN, ITT and SCM rows of the conformance page: numbers, windows, tags, and the command PDU.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/support/iscsi_script.hpp"

namespace pollux::script {
namespace {

using iscsi::LossReason;
using iscsi::ProtocolError;

Pdu text_request(bool immediate = false) {
  Pdu text;
  return text.set8(0, immediate ? 0x44 : 0x04).final(true).ttt(kReserved);
}

// --- CmdSN and the command window
// -------------------------------------------------------------------

TEST(CommandNumbers, Cmd01_Cmd02_Cmd14_OneForEachRequestThatIsNotImmediate) {
  Script s;  // CmdSN starts at 0xfffffffe; the script compares each PDU with the number that is due
  s.submit(test_unit_ready());
  EXPECT_EQ(s.next().cmd_sn(), 0xffff'fffe);
  s.receive(nop_in(kReserved, 1));
  EXPECT_EQ(s.next().cmd_sn(), 0xffff'ffff);
  s.send_control_pdu(text_request());
  const Pdu text = s.next();
  EXPECT_EQ(text.cmd_sn(), 0xffff'ffff);
  s.receive(text_response(text.itt()));
  s.send_control_pdu(text_request(true));
  const Pdu immediate = s.next();
  EXPECT_EQ(immediate.cmd_sn(), 0u);
  s.receive(text_response(immediate.itt()));
  s.submit(write(512));
  const Pdu command = s.next();
  EXPECT_EQ(command.bhs[0], 0x01);  // CMD-21
  EXPECT_EQ(command.cmd_sn(), 0u);
  Pdu logout;
  logout.set8(0, 0x06).set8(1, 0x80);
  s.send_control_pdu(logout);
  EXPECT_EQ(s.next().cmd_sn(), 1u);
}

TEST(CommandWindow, Cmd04_Cmd05_ExactlyWhatTheTargetTakesIsSent) {
  for (const std::uint32_t window : {0u, 1u, 8u, 1024u}) {
    Options options;
    options.window = window;
    Script s(options);
    for (int i = 0; i < 20; ++i) s.submit(test_unit_ready());
    EXPECT_EQ(s.tx_waiting(), std::min(window, 20u));
  }
}

TEST(CommandWindow, Cmd06_EveryPduFromTheTargetOpensIt) {
  Options options;
  options.window = 1;
  options.parameters.initial_r2t = true;
  options.parameters.immediate_data = false;
  Script s(options);
  const auto writing = s.submit(write(1024));
  const std::uint32_t write_itt = s.expect_command(writing).itt();
  const auto opened_by = [&](Pdu pdu) {
    const auto waiting = s.submit(test_unit_ready());
    const std::size_t before = s.tx_waiting();
    // Exactly one more than has been sent.
    s.receive(pdu.window(s.next_cmd_sn(), s.next_cmd_sn()));
    EXPECT_EQ(s.tx_waiting(), before + 1);
    return std::pair{waiting, s.next()};
  };
  s.set_window(0);
  s.send_control_pdu(text_request(true));
  const std::uint32_t text_itt = s.next().itt();
  const auto [first, first_command] = opened_by(nop_in(kReserved, kReserved));
  const auto [second, second_command] = opened_by(async_message(255));
  const auto [third, third_command] = opened_by(scsi_response(first_command.itt()));
  const auto [fourth, fourth_command] = opened_by(text_response(text_itt));
  const auto [fifth, fifth_command] = opened_by(reject(0x09, fourth_command));
  s.expect_completion(first, POLLUX_OK);
  s.expect_silence();
  // An R2T and a Data-In as well.
  const auto sixth = s.submit(read(512));
  s.receive(r2t(write_itt, 5, 0, 0, 512).window(s.next_cmd_sn(), s.next_cmd_sn()));
  Pdu opened = s.next();
  if (opened.opcode() == 0x05)
    opened = s.next();
  else
    s.expect_tx(data_out(write_itt, 5, 0, 0, s.sent_by(writing, 0, 512), true));
  EXPECT_EQ(opened.opcode(), 0x01);
  const auto seventh = s.submit(test_unit_ready());
  s.expect_silence();
  s.receive(data_in(opened.itt(), 0, 0, pattern(256, 1))
                .final(false)
                .window(s.next_cmd_sn(), s.next_cmd_sn()));
  EXPECT_EQ(s.next().opcode(), 0x01);
  s.expect_completion(fourth, POLLUX_ETARGET);  // rejected
  for (const auto command : {second, third, fifth, sixth, seventh}) s.expect_pending(command);
}

TEST(CommandWindow, Cmd07_Cmd08_Cmd10_Cmd11_H073_H076_ValuesThatCannotBeAreIgnored) {
  Options options;
  options.window = 4;
  Script s(options);
  const std::uint32_t next = s.next_cmd_sn();
  const std::uint32_t pairs[][2] = {
      {next, next - 2},                // MaxCmdSN below ExpCmdSN-1
      {next + 100, next + 50},         // both ahead of anything sent, and in the wrong order
      {next - 10, next - 5},           // old
      {next, next + 3 + 0x8000'0000},  // neither before nor after what is known
      {next + 5, next + 40},           // acknowledges the future
  };
  for (const auto& pair : pairs) s.receive(nop_in(kReserved, kReserved).window(pair[0], pair[1]));
  for (int i = 0; i < 8; ++i) s.submit(test_unit_ready());
  EXPECT_EQ(s.tx_waiting(), 4u);
  EXPECT_GE(s.counters().command_numbers_ignored.get(), 3u);
  EXPECT_FALSE(s.lost());
}

TEST(CommandWindow, Cmd09_AHundredCommandsAcrossEachWrap) {
  for (const std::uint32_t start : {0xffff'fff0u, 0x7fff'fff0u}) {
    Options options;
    options.cmd_sn = start;
    options.stat_sn = start + 3;
    options.window = 3;
    Script s(options);
    for (int i = 0; i < 100; ++i) {
      const auto command = s.submit(test_unit_ready());
      s.receive(scsi_response(s.expect_command(command).itt()));
      s.expect_completion(command, POLLUX_OK);
    }
    s.expect_alive();
  }
}

TEST(CommandWindow, Cmd12_H074_ClosedForEverThePingIsAnsweredAndTheCommandEnds) {
  Options options;
  options.window = 0;
  options.timeouts.command = 20s;
  Script s(options);
  const auto command = s.submit(read(512));
  s.expect_silence();
  const auto turns_before = s.worker().counters().turns.get();
  for (int second = 0; second < 60 && !s.lost(); ++second) {
    s.receive(nop_in(kReserved, 0x100));
    if (!s.lost()) s.expect_tx(nop_out(kReserved, 0x100));
    s.run_for(1s);
    while (s.tx_waiting() != 0) {
      const Pdu ping = s.next();
      EXPECT_EQ(ping.opcode(), 0x00);
      if (!s.lost()) s.receive(nop_in(ping.itt(), kReserved));
    }
  }
  EXPECT_LT(s.worker().counters().turns.get() - turns_before, 20'000u) << "spins";
  s.expect_lost(LossReason::command_timeout);
  s.expect_completion(command, POLLUX_ESESSION_LOST);
}

TEST(CommandWindow, Lgo08_ImmediateLogoutLeavesThroughAClosedWindow) {
  Options options;
  options.window = 0;
  Script s(options);
  Pdu logout;
  logout.set8(0, 0x46).set8(1, 0x80);
  s.send_control_pdu(logout);
  const Pdu sent = s.next();
  EXPECT_EQ(sent.bhs[0], 0x46);
  s.receive(logout_response(sent.itt()));
  EXPECT_EQ(s.pdus_for_control().size(), 1u);
}

// --- StatSN
// -----------------------------------------------------------------------------------------

std::uint32_t acknowledged(Script& s) {
  s.receive(nop_in(kReserved, 0xabc));
  return s.expect_tx(nop_out(kReserved, 0xabc)).exp_stat_sn();
}

TEST(StatusNumbers, Stn01_Stn02_EachOfThesePdusAdvancesByOne) {
  Script s;
  std::uint32_t expected = s.stat_sn();
  EXPECT_EQ(acknowledged(s), expected);
  s.submit(test_unit_ready());
  const Pdu command = s.next();
  EXPECT_EQ(command.exp_stat_sn(), expected);
  s.receive(scsi_response(command.itt()));
  EXPECT_EQ(acknowledged(s), ++expected);
  s.submit(read(512));
  const Pdu reading = s.next();
  s.receive(data_in(reading.itt(), 0, 0, pattern(512, 1)).status(0));
  EXPECT_EQ(acknowledged(s), ++expected);
  s.receive(async_message(255));
  EXPECT_EQ(acknowledged(s), ++expected);
  s.receive(reject(0x09, reading));
  EXPECT_EQ(acknowledged(s), ++expected);
  s.send_control_pdu(text_request());
  s.receive(text_response(s.next().itt()));
  EXPECT_EQ(acknowledged(s), ++expected);
  s.submit(write(64 * 1024 + 512));
  const Pdu writing = s.next();
  while (s.tx_waiting() != 0) s.next();
  s.receive(r2t(writing.itt(), 3, 0, 64 * 1024, 512));
  EXPECT_EQ(s.next().exp_stat_sn(), expected);  // also in Data-Out
  // A ping of ours.
  s.run_for(7s);
  const Pdu ping = s.next();
  EXPECT_NE(ping.itt(), kReserved);
  s.receive(nop_in(ping.itt(), kReserved));
  EXPECT_EQ(acknowledged(s), ++expected);
  Pdu logout;
  logout.set8(0, 0x46).set8(1, 0x80);
  s.send_control_pdu(logout);
  const Pdu leaving = s.next();
  EXPECT_EQ(leaving.exp_stat_sn(), expected);
}

TEST(StatusNumbers, Stn03_ThesePdusDoNotAdvance) {
  Script s;
  const std::uint32_t expected = s.stat_sn();
  const auto reading = s.submit(read(512));
  const std::uint32_t itt = s.expect_command(reading).itt();
  const auto writing = s.submit(write(128 * 1024));
  const std::uint32_t write_itt = s.next().itt();
  while (s.tx_waiting() != 0) s.next();
  for (std::uint32_t i = 0; i < 100; ++i) {
    s.receive(nop_in(kReserved, kReserved));
    s.receive(data_in(itt, i, i, pattern(1, i)).final(false).stat_sn(i * 0x1234'5678));
    s.receive(r2t(write_itt, 4, i, 64 * 1024 + i, 1));
    while (s.tx_waiting() != 0) EXPECT_EQ(s.next().exp_stat_sn(), expected);
  }
  EXPECT_EQ(acknowledged(s), expected);
  s.expect_pending(reading);
  s.expect_pending(writing);
}

TEST(StatusNumbers, Stn04_Stn05_Stn07_H070_H071_AnyOtherNumberEndsTheConnection) {
  for (const std::uint32_t wrong : {1u, 5u, 1u << 30, 0x8000'0000u, 0xffff'ffffu, 0u - 5}) {
    Script s;
    const auto command = s.submit(test_unit_ready());
    s.receive(scsi_response(s.next().itt()).stat_sn(s.stat_sn() + wrong));
    s.expect_lost(ProtocolError::stat_sn_gap);
    s.expect_completion(command, POLLUX_ESESSION_LOST);
  }
  Script s;  // starts at 0xfffffffd: four in a row cross the wrap
  for (int i = 0; i < 4; ++i) s.receive(async_message(255));
  EXPECT_EQ(s.pdus_for_control().size(), 4u);
  s.receive(async_message(255).stat_sn(s.stat_sn() - 1));
  s.expect_lost(ProtocolError::stat_sn_gap);
  EXPECT_TRUE(s.pdus_for_control().empty());
}

// --- Initiator Task Tag
// -----------------------------------------------------------------------------

TEST(TaskTags, Itt01_Itt02_UniqueAmongAllThatLive) {
  Options options;
  options.window = 200;
  Script s(options);
  std::set<std::uint32_t> live;
  std::deque<std::uint32_t> order;
  for (int round = 0; round < 400; ++round) {
    s.submit(test_unit_ready());
    const std::uint32_t itt = s.next().itt();
    EXPECT_NE(itt, kReserved);
    EXPECT_TRUE(live.insert(itt).second);
    order.push_back(itt);
    if (order.size() < 40) continue;
    s.receive(scsi_response(order.front()));
    live.erase(order.front());
    order.pop_front();
  }
}

TEST(TaskTags, Itt03_H035_TagsThatAreNotInUse) {
  for (const int kind : {0, 1, 2, 3, 4, 5, 6}) {
    for (const std::uint32_t wrong : {1u, 0x10'0000u, 0xffffu, 0x7fff'0000u, 0xfffe'0000u}) {
      SCOPED_TRACE(testing::Message() << kind << " " << wrong);
      Script s;
      const auto command = s.submit(read(512));
      const std::uint32_t itt = s.next().itt() ^ wrong;
      const Pdu pdus[] = {
          scsi_response(itt),     data_in(itt, 0, 0, {}),        r2t(itt, 1, 0, 0, 512),
          nop_in(itt, kReserved), task_management_response(itt), text_response(itt),
          logout_response(itt)};
      s.receive(pdus[kind]);
      s.expect_lost(ProtocolError::unexpected_task_tag);
      s.expect_completion(command, POLLUX_ESESSION_LOST);
    }
  }
}

TEST(TaskTags, Itt04_TheOpcodeMustFitTheTask) {
  for (const int kind : {0, 1, 2, 3}) {
    Script s;
    const auto command = s.submit(read(512));
    const std::uint32_t itt = s.next().itt();
    const Pdu pdus[] = {nop_in(itt, kReserved), text_response(itt), logout_response(itt),
                        task_management_response(itt)};
    s.receive(pdus[kind]);
    s.expect_lost(ProtocolError::unexpected_task_tag);
    s.expect_completion(command, POLLUX_ESESSION_LOST);
  }
  for (const bool status : {false, true}) {  // our ping answered as a command
    Script s;
    const auto command = s.submit(test_unit_ready());
    s.next();
    s.run_for(7s);
    const Pdu ping = s.next();
    ASSERT_EQ(ping.opcode(), 0x00);
    s.receive(status ? scsi_response(ping.itt()) : data_in(ping.itt(), 0, 0, pattern(4, 1)));
    s.expect_lost(ProtocolError::unexpected_task_tag);
    s.expect_completion(command, POLLUX_ESESSION_LOST);
  }
}

TEST(TaskTags, Itt05_SecondResponseDoesNotReachTheNextUserOfTheSlot) {
  Script s;
  const auto first = s.submit(test_unit_ready());
  const std::uint32_t itt = s.next().itt();
  s.receive(scsi_response(itt));
  s.expect_completion(first, POLLUX_OK);
  const auto second = s.submit(test_unit_ready());
  EXPECT_NE(s.next().itt(), itt);
  s.receive(scsi_response(itt));
  s.expect_lost(ProtocolError::unexpected_task_tag);
  s.expect_completion(second, POLLUX_ESESSION_LOST);
}

// --- SCSI Command
// -----------------------------------------------------------------------------------

TEST(ScsiCommand, Scm01_Scm02_Scm03_Scm04_Scm10_FlagsAndLengthFitTheCommand) {
  Options options;
  options.parameters.immediate_data = false;
  options.parameters.initial_r2t = true;
  Script s(options);
  struct Case {
    Request request;
    std::uint8_t flags;
  };
  const Case cases[] = {{test_unit_ready(), 0x81},
                        {read(4096), 0xc1},
                        {write(4096), 0xa1},
                        {scsi({0x12, 0, 0, 0, 255, 0}, POLLUX_FROM_DEVICE, 255), 0xc1},
                        {scsi({0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 0x81}};
  for (const Case& one : cases) {
    const auto command = s.submit(one.request);
    const Pdu sent = s.next();
    EXPECT_EQ(sent.bhs[1], one.flags);
    EXPECT_EQ(sent.u32(20), one.request.bytes);
    EXPECT_EQ(sent.length(), 0u);
    s.receive(scsi_response(sent.itt()).set8(3, 0x08));
    s.expect_completion(command, POLLUX_OK, 0x08);
  }
}

TEST(ScsiCommand, Scm05_Scm07_ShortCdbsAreZeroFilled) {
  Script s;
  for (const std::size_t length : {6u, 10u, 12u, 16u}) {
    std::vector<std::uint8_t> cdb(length, 0xee);
    s.submit(scsi(cdb));
    const Pdu sent = s.next();
    cdb.resize(16);
    EXPECT_TRUE(std::equal(cdb.begin(), cdb.end(), sent.bhs.begin() + 32)) << sent.hex();
  }
}

}  // namespace
}  // namespace pollux::script
