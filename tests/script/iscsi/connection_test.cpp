// NOP rows, gates, credits, and every way a connection can end.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/iscsi_script.hpp"

namespace pollux::script {
namespace {

using iscsi::LossReason;
using iscsi::ProtocolError;
using iscsi::ToControlKind;
using iscsi::ToWorkerKind;

// --- NOP
// --------------------------------------------------------------------------------------------

TEST(Nop, Nop01_TheAnswerCopiesTagAndLun) {
  Script s;
  for (const std::uint64_t lun : {0ull, 0x0007'0000'0000'0000ull, 0xc101'0203'0405'0607ull}) {
    s.receive(nop_in(kReserved, 0x1234'5678).lun(lun));
    s.expect_tx(nop_out(kReserved, 0x1234'5678).lun(lun));
  }
  s.receive(nop_in(kReserved, 0));  // zero is a tag like any other
  s.expect_tx(nop_out(kReserved, 0));
}

TEST(Nop, Nop02_AnsweredUnderLoadWithTheWindowClosed) {
  Options options;
  options.parameters.first_burst_length = 1024 * 1024;
  options.parameters.max_burst_length = 1024 * 1024;
  options.window = 4;
  Script s(options);
  for (int i = 0; i < 16; ++i) s.submit(registered_write(1024 * 1024));
  s.receive(nop_in(kReserved, 5));
  bool answered = false;
  while (s.tx_waiting() != 0) answered |= s.next().opcode() == 0x00;
  EXPECT_TRUE(answered);
}

TEST(Nop, Nop03_WithoutTagsThereIsNoAnswer) {
  Script s;
  for (int i = 0; i < 100; ++i) s.receive(std::vector(100, nop_in(kReserved, kReserved)));
  s.expect_silence();
  s.expect_alive();
}

TEST(Nop, Nop04_Nop06_PingWhenTheTargetIsSilentAndLossWhenItStaysSo) {
  Script s;
  const auto command = s.submit(read(512));
  s.expect_command(command);
  s.run_for(4s);
  s.expect_silence();
  s.run_for(3s);
  const Pdu ping = s.next();
  EXPECT_EQ(ping.opcode(), 0x00);
  EXPECT_TRUE(ping.immediate());
  EXPECT_NE(ping.itt(), kReserved);
  EXPECT_EQ(ping.ttt(), kReserved);
  s.receive(nop_in(ping.itt(), kReserved));
  s.run_for(7s);
  EXPECT_NE(s.next().itt(), ping.itt());  // the next one, and nobody answers
  s.run_for(10s);
  s.expect_lost(LossReason::ping_timeout);
  s.expect_completion(command, POLLUX_ESESSION_LOST);
}

TEST(Nop, Nop07_AnyPduCountsAsLife) {
  Script s;
  s.submit(test_unit_ready());
  s.next();
  for (int i = 0; i < 40; ++i) {
    s.run_for(1s);
    s.receive(nop_in(kReserved, kReserved));
  }
  s.expect_silence();
}

TEST(Nop, Nop08_Nop09_H109_MalformedNopIn) {
  for (const bool data : {false, true}) {
    Script s;
    const auto command = s.submit(test_unit_ready());
    s.next();
    s.run_for(7s);
    const Pdu ping = s.next();
    s.receive(data ? nop_in(kReserved, 5).carries(pattern(4, 1)) : nop_in(ping.itt(), 5));
    s.expect_lost(ProtocolError::nop_in_malformed);
    s.expect_completion(command, POLLUX_ESESSION_LOST);
  }
}

TEST(Nop, Nop11_AnAnswerIsNotAnswered) {
  Script s;
  s.run_for(7s);
  const Pdu ping = s.next();
  s.receive(nop_in(ping.itt(), kReserved));
  s.expect_silence();
}

TEST(Nop, Nop12_H107_EachOfManyPingsIsAnsweredOnceInOrder) {
  for (const bool slow_reader : {false, true}) {
    Script s;
    s.target_stops_reading(slow_reader);
    std::vector<Pdu> pings;
    for (std::uint32_t i = 0; i < 5000; ++i) pings.push_back(nop_in(kReserved, i).lun(i));
    s.receive(pings);
    s.target_stops_reading(false);
    s.run_for(2s);
    ASSERT_EQ(s.tx_waiting(), 5000u);
    for (std::uint32_t i = 0; i < 5000; ++i) s.expect_tx(nop_out(kReserved, i).lun(i));
    s.expect_alive();
  }
}

TEST(Nop, PingDueWhileTheConnectionEndsAmongWaitingAnswers) {
  // Answers wait for send space, a ping of ours is due, and the PDU behind them breaks a rule.
  Options options;
  options.parameters.first_burst_length = 8 * 1024 * 1024;
  options.parameters.max_burst_length = 8 * 1024 * 1024;
  options.timeouts.ping_interval = 1s;
  options.timeouts.ping_timeout = 600s;
  Script s(options);
  s.target_stops_reading(true);
  const auto command = s.submit(registered_write(8 * 1024 * 1024));
  s.run_for(1s);
  std::vector<Pdu> pings(40, nop_in(kReserved, 7));
  pings.push_back(nop_in(kReserved, 7).set8(0, 0x30));
  s.receive(pings);
  s.run_for(5s);
  s.target_stops_reading(false);
  s.run_for(5s);
  while (s.tx_waiting() != 0) s.next();
  s.expect_lost(ProtocolError::unknown_opcode);
  s.expect_completion(command, POLLUX_ESESSION_LOST);
}

// --- Gates (docs/decisions/0001-gate.md)
// ------------------------------------------------------------

Options in_login() {
  Options options;
  options.phase = iscsi::Phase::login;
  return options;
}

TEST(Gate, ReaderStopsAfterALoginResponseUntilTheGate) {
  Options options = in_login();
  options.parameters.header_digest = options.parameters.data_digest = true;
  Script s(options);
  // The final Login Response without digests and the first PDU with them, in one segment.
  Bytes stream = s.stream_of({login_response().carries(pattern(20, 1))});
  const Bytes ping = nop_in(kReserved, 3)
                         .stat_sn(s.stat_sn())
                         .window(s.next_cmd_sn(), s.next_cmd_sn() + 3)
                         .bytes(true, true);
  stream.insert(stream.end(), ping.begin(), ping.end());
  s.pour(stream);
  s.settle();
  EXPECT_EQ(s.pdus_for_control().size(), 1u);
  EXPECT_EQ(s.counters().reader_waits_for_gate.get(), 1u);
  s.expect_silence();
  s.enter();
  s.expect_tx(nop_out(kReserved, 3));
  s.expect_alive();
}

TEST(Gate, ResumeGoesOnInTheSamePhase) {
  Script s(in_login());
  s.receive({login_response().stat_sn(5), login_response().stat_sn(6)});
  EXPECT_EQ(s.pdus_for_control().size(), 1u);
  s.control(ToWorkerKind::resume_reader);
  EXPECT_EQ(s.pdus_for_control().size(), 1u);
}

TEST(Gate, OnlyALoginResponseMayComeInLogin) {
  for (const std::uint32_t opcode :
       {0x20u, 0x21u, 0x24u, 0x25u, 0x26u, 0x31u, 0x32u, 0x3fu, 0x01u}) {
    Script s(in_login());
    s.receive(login_response().set8(0, opcode));
    s.expect_lost(ProtocolError::opcode_in_wrong_phase);
  }
}

TEST(Gate, LoginResponseInFullFeaturePhase) {
  Script s;
  s.receive(login_response());
  s.expect_lost(ProtocolError::opcode_in_wrong_phase);
}

TEST(Gate, DiscoverySessionTakesNoScsi) {
  Options options;
  options.discovery = true;
  for (const Pdu& pdu : {scsi_response(0), data_in(0, 0, 0, {}), r2t(0, 1, 0, 0, 512)}) {
    Script s(options);
    const auto refused = s.submit(read(512));
    s.expect_completion(refused, POLLUX_EINVAL);
    s.receive(pdu);
    s.expect_lost(ProtocolError::opcode_in_wrong_phase);
  }
}

TEST(Gate, ReaderStopsAfterALogoutResponse) {
  Script s;
  Pdu logout;
  logout.set8(0, 0x46).set8(1, 0x80);
  s.send_control_pdu(logout);
  const std::uint32_t itt = s.next().itt();
  s.receive(
      {logout_response(itt), scsi_response(0x1234), nop_in(kReserved, 1).set8(0, 0x30)});  // LGO-11
  EXPECT_EQ(s.pdus_for_control().size(), 1u);
  s.expect_silence();
  EXPECT_FALSE(s.lost());
  s.control(ToWorkerKind::close);
  s.close_from_target(false);
  s.expect_lost(LossReason::requested);
}

TEST(Gate, ReaderStopsAfterTheFinalTextResponseOfANegotiation) {
  for (const bool negotiation : {false, true}) {
    Script s;
    Pdu text;
    text.set8(0, 0x04).final(true).ttt(kReserved).carries(pattern(16, 1));
    s.send_control_pdu(text, negotiation);
    const std::uint32_t itt = s.next().itt();
    s.receive({text_response(itt, false), nop_in(kReserved, 1)});
    s.expect_tx(nop_out(kReserved, 1));
    s.receive({text_response(itt), nop_in(kReserved, 2)});
    EXPECT_EQ(s.pdus_for_control().size(), 2u);
    if (negotiation) {
      s.expect_silence();
      s.control(ToWorkerKind::resume_reader);
    }
    s.expect_tx(nop_out(kReserved, 2));
    s.expect_alive();
  }
}

TEST(Gate, TextRequestsOfOneExchangeKeepTheirTag) {
  Script s;
  Pdu text;
  text.set8(0, 0x04).final(true).ttt(kReserved);
  s.send_control_pdu(text);
  const std::uint32_t itt = s.next().itt();
  s.receive(text_response(itt, false));
  s.send_control_pdu(Pdu(text).ttt(0x77));
  EXPECT_EQ(s.next().itt(), itt);
  s.receive(text_response(itt));
  s.receive(text_response(itt));
  s.expect_lost(ProtocolError::unexpected_task_tag);
}

TEST(Gate, MessagesAboutAnEarlierUseOfTheSlotAreDropped) {
  Script s;
  const auto first = s.submit(test_unit_ready());
  s.next();
  s.close_from_target(true);
  s.expect_lost(LossReason::tcp_reset);
  s.expect_completion(first, POLLUX_ESESSION_LOST);
  s.control(ToWorkerKind::free_slot);
  while (s.tx_waiting() != 0) s.next();
  s.open(0);
  s.run_for(10ms);
  const auto stale = s.connection();
  s.set_connection({.slot = 0, .reserved = 0, .epoch = stale.epoch - 1});
  s.set_gate(s.gate());  // comes back all the same
  Pdu text;
  s.send_control_pdu(text.set8(0, 0x04).final(true).ttt(kReserved));
  for (const auto kind :
       {ToWorkerKind::abort, ToWorkerKind::close, ToWorkerKind::resume_reader,
        ToWorkerKind::refuse_commands, ToWorkerKind::abort_commands, ToWorkerKind::free_slot})
    s.control(kind);
  EXPECT_GE(s.counters().late_messages_dropped.get(), 6u);
  s.set_connection(stale);
  EXPECT_FALSE(s.lost());
  s.expect_silence();
  s.enter();
  s.expect_alive();
}

// --- Credits (docs/decisions/0003-mailbox-credits.md)
// -----------------------------------------------

TEST(Credits, AFloodPausesOnlyItsConnection) {
  Options options;
  options.slots = 2;
  Script s(options);
  s.hold_credits(true);
  s.on(0).receive(std::vector(2000, async_message(255, pattern(64, 1))));
  EXPECT_EQ(s.pdus_for_control().size(), iscsi::kCreditsPerConnection);
  EXPECT_FALSE(s.lost());
  s.on(1).expect_alive();
  s.hold_credits(false);
  s.on(0).run_for(5s);
  EXPECT_EQ(s.pdus_for_control().size(), 2000 - iscsi::kCreditsPerConnection);
  EXPECT_GT(s.counters().reader_waits_for_credit.get(), 0u);
  while (s.tx_waiting() != 0) s.next();
  s.expect_alive();
}

TEST(Credits, SlabsGoRoundWhenThereAreFewerThanCredits) {
  Options options;
  options.slots = 3;
  options.limits.slabs = 2;
  Script s(options);
  s.hold_credits(true);
  for (std::uint16_t slot = 0; slot < 3; ++slot)
    s.on(slot).receive(std::vector(10, async_message(255)));
  EXPECT_EQ(s.pdus_for_control().size(), 2u);
  s.hold_credits(false);
  s.run_for(1s);
  EXPECT_EQ(s.pdus_for_control().size(), 28u);
  for (std::uint16_t slot = 0; slot < 3; ++slot) {
    s.on(slot).expect_alive();
  }
}

TEST(Credits, CreditOfAConnectionThatEndedMeanwhile) {
  for (const bool reset : {false, true}) {
    Script s;
    s.hold_credits(true);
    s.receive(std::vector(10, async_message(255, pattern(100, 1))));
    s.close_from_target(reset);
    s.run_for(10ms);
    EXPECT_TRUE(s.lost());
    s.hold_credits(false);
    s.expect_silence();
  }
}

TEST(Credits, EventTooLongForControl) {
  Options options;
  options.parameters.max_recv_data_segment_length = 256 * 1024;
  Script s(options);
  s.receive(async_message(255, pattern(iscsi::kControlDataBytesMax, 1)));
  EXPECT_EQ(s.pdus_for_control().size(), 1u);
  s.receive(async_message(255, pattern(iscsi::kControlDataBytesMax + 1, 1)));
  s.expect_lost(ProtocolError::control_pdu_too_long);
}

// --- How connections end
// ----------------------------------------------------------------------------

/// Commands of every kind, in every state.
std::vector<std::size_t> many_commands(Script& s) {
  std::vector<std::size_t> commands;
  for (const auto& request : {read(4096), lent_read(4096), write(4096), registered_write(4096),
                              write(512 * 1024), registered_write(512 * 1024), test_unit_ready()})
    commands.push_back(s.submit(request));
  s.set_window(0);
  return commands;
}

Options small_window() {
  Options options;
  options.window = 6;  // the last stays pending
  options.lent_bytes_max = 8192;
  return options;
}

TEST(End, FinAndRstWithCommandsOfEveryKind) {
  for (const bool reset : {false, true}) {
    Script s(small_window());
    const auto commands = many_commands(s);
    while (s.tx_waiting() != 0) s.next();
    s.close_from_target(reset);
    s.expect_lost(reset ? LossReason::tcp_reset : LossReason::tcp_closed_by_peer);
    for (const auto command : commands) s.expect_completion(command, POLLUX_ESESSION_LOST);
    const auto late = s.submit(read(512));
    s.expect_completion(late, POLLUX_ENOSESSION);
  }
}

TEST(End, H004_H005_InTheMiddleOfAPdu) {
  for (const std::size_t cut : {1u, 47u, 48u, 51u, 52u, 60u, 1075u, 1076u, 1079u}) {
    for (const bool reset : {false, true}) {
      for (const bool lent : {false, true}) {
        Options options;
        options.parameters.header_digest = options.parameters.data_digest = true;
        options.lent_bytes_max = 4096;
        Script s(options);
        const auto command = s.submit(lent ? lent_read(1024) : read(1024));
        const Bytes stream =
            s.stream_of({data_in(s.next().itt(), 0, 0, pattern(1024, 1)).status(0)});
        s.pour(std::span{stream}.first(cut));
        s.settle();
        s.close_from_target(reset);
        s.expect_lost(reset ? LossReason::tcp_reset : LossReason::tcp_closed_by_peer);
        s.expect_completion(command, POLLUX_ESESSION_LOST);
      }
    }
  }
}

TEST(End, RequestedByControl) {
  for (const auto kind : {ToWorkerKind::abort, ToWorkerKind::close}) {
    Script s(small_window());
    const auto commands = many_commands(s);
    while (s.tx_waiting() != 0) s.next();
    s.control(kind);
    if (kind == ToWorkerKind::close) s.close_from_target(false);
    s.expect_lost(LossReason::requested);
    for (const auto command : commands) s.expect_completion(command, POLLUX_EABORTED);
  }
}

TEST(Reject, Rej_CommandThatTheTargetCountedEndsAndTheSessionGoesOn) {
  Script s;
  const auto command = s.submit(test_unit_ready());
  const Pdu sent = s.next();
  s.receive(reject(0x09, sent));
  s.expect_completion(command, POLLUX_ETARGET);
  EXPECT_EQ(s.pdus_for_control().size(), 1u);
  s.expect_alive();
}

TEST(Reject, Cmd18_CommandThatTheTargetDidNotCountEndsTheConnection) {
  // Its CmdSN would stay missing, and every later command would wait behind it.
  Script s;
  const auto command = s.submit(test_unit_ready());
  const auto behind = s.submit(test_unit_ready());
  const std::uint32_t number = s.next_cmd_sn() - 2;
  const Pdu sent = s.next();
  s.next();
  s.receive(reject(0x09, sent).window(number, number + 64));
  s.expect_completion(command, POLLUX_ETARGET);
  s.expect_lost(LossReason::rejected);
  s.expect_completion(behind, POLLUX_ESESSION_LOST);
}

TEST(Reject, Rej_WithoutAWholeHeaderTouchesNoTask) {
  Script s;
  const auto command = s.submit(test_unit_ready());
  const Pdu sent = s.next();
  Pdu shorter = reject(0x09, sent);
  shorter.data.resize(47);
  s.receive(shorter);
  s.expect_pending(command);
  s.receive(scsi_response(sent.itt()));
  s.expect_completion(command, POLLUX_OK);
}

TEST(End, FinOfAnIdleTargetIsAnsweredWithFin) {
  Script s;
  bool reset = false;
  bool finished = false;
  s.wire().watch([&](std::size_t from, Instant, std::span<const std::byte> frame) {
    constexpr std::size_t kTcpFlagsAt = 14 + 20 + 13;
    if (from != 0 || frame.size() <= kTcpFlagsAt || frame[23] != std::byte{6}) return;
    const auto flags = std::to_integer<unsigned>(frame[kTcpFlagsAt]);
    finished |= (flags & 0x01) != 0;
    reset |= (flags & 0x04) != 0;
  });
  s.close_from_target(false);
  s.expect_lost(LossReason::tcp_closed_by_peer);
  s.run_for(1s);
  EXPECT_TRUE(finished);
  EXPECT_FALSE(reset);
}

TEST(End, AbortedCommandsMayStillBeAnswered) {
  Script s(small_window());
  const auto commands = many_commands(s);
  std::vector<std::uint32_t> tags;
  while (s.tx_waiting() != 0)
    if (const Pdu pdu = s.next(); pdu.opcode() == 0x01) tags.push_back(pdu.itt());
  s.control(ToWorkerKind::abort_commands);
  s.run_for(1s);
  for (const auto command : commands) s.expect_completion(command, POLLUX_EABORTED);
  const auto late = s.submit(read(512));
  s.expect_completion(late, POLLUX_EABORTED);
  ASSERT_GE(tags.size(), 4u);
  s.receive({data_in(tags[0], 0, 0, pattern(4096, 1)), scsi_response(tags[0]),
             data_in(tags[1], 0, 0, pattern(4096, 1)).status(0), r2t(tags[2], 1, 0, 512, 512),
             scsi_response(tags[3]).set8(3, 2).carries(fixed_sense(1, 2, 3))});
  while (s.tx_waiting() != 0) EXPECT_EQ(s.next().opcode(), 0x00);
  EXPECT_FALSE(s.lost());
}

TEST(End, AbortInTheMiddleOfAReadsData) {
  for (const bool lent : {false, true}) {
    Options options;
    options.lent_bytes_max = 8192;
    Script s(options);
    const auto command = s.submit(lent ? lent_read(4096) : read(4096));
    const Bytes stream = s.stream_of({data_in(s.next().itt(), 0, 0, pattern(4096, 1)).status(0)});
    s.pour(std::span{stream}.first(1000));
    s.settle();
    s.control(ToWorkerKind::abort_commands);
    s.expect_completion(command, POLLUX_EABORTED);
    const Bytes before(s.memory(command).begin(), s.memory(command).end());
    s.pour(std::span{stream}.subspan(1000));
    s.settle();
    EXPECT_TRUE(std::ranges::equal(s.memory(command), before)) << "written to after completion";
    s.receive(nop_in(kReserved, 1));
    s.expect_tx(nop_out(kReserved, 1));
  }
}

TEST(End, RefusedCommandsDrainAndAreReportedOnce) {
  Script s;
  const auto open = s.submit(test_unit_ready());
  const std::uint32_t itt = s.next().itt();
  s.control(ToWorkerKind::refuse_commands);
  EXPECT_EQ(s.messages(ToControlKind::commands_drained), 0u);
  const auto refused = s.submit(test_unit_ready());
  s.expect_completion(refused, POLLUX_EABORTED);
  s.receive(scsi_response(itt));
  s.expect_completion(open, POLLUX_OK);
  EXPECT_EQ(s.messages(ToControlKind::commands_drained), 1u);
}

TEST(End, CommandTimeout) {
  Options options;
  options.timeouts.command = 10s;
  Script s(options);
  const auto command = s.submit(registered_write(1024));
  for (int i = 0; i < 14 && !s.lost(); ++i) {
    s.receive(nop_in(kReserved, kReserved));
    s.run_for(1s);
  }
  while (s.tx_waiting() != 0) s.next();
  s.expect_lost(LossReason::command_timeout);
  s.expect_completion(command, POLLUX_ESESSION_LOST);
}

TEST(End, H010_ZeroWindowForEverEndsTheWrite) {
  Options options;
  options.timeouts.command = 20s;
  options.parameters.first_burst_length = options.parameters.max_burst_length = 16 * 1024 * 1024;
  Script s(options);
  s.target_stops_reading(true);
  const auto writing = s.submit(registered_write(16 * 1024 * 1024));
  s.run_for(60s);
  s.target_stops_reading(false);
  s.run_for(1s);
  while (s.tx_waiting() != 0) s.next();
  EXPECT_TRUE(s.lost());
  s.expect_completion(writing, POLLUX_ESESSION_LOST);
}

TEST(End, TcpTimeout) {
  Options options;
  options.timeouts = {.ping_interval = 3600s, .ping_timeout = 3600s, .command = 3600s};
  Script s(options);
  s.wire().set_link(false);
  const auto command = s.submit(registered_write(1024));
  s.run_for(400s);
  s.expect_lost(LossReason::tcp_timeout);
  s.expect_completion(command, POLLUX_ESESSION_LOST);
  s.wire().set_link(true);
}

TEST(End, PortRemoved) {
  Script s;
  const auto command = s.submit(read(1024));
  s.expect_command(command);
  s.remove_port();
  s.wire().set_link(false);  // the target hears nothing of it
  s.run_for(2s);
  s.expect_lost(LossReason::port_removed);
  s.expect_completion(command, POLLUX_ESESSION_LOST);
  s.wire().set_link(true);
}

TEST(End, ConnectRefusedUnansweredUnreachableOrWithoutResources) {
  Options options;
  options.connects = false;
  {
    Script s(options);
    s.refuse_connections();
    s.open(0);
    s.run_for(1s);
    s.expect_lost(LossReason::connect_refused);
  }
  {
    Script s(options);  // the first connection fills the neighbour table, then the link goes
    s.open(0);
    s.run_for(1s);
    s.wire().set_link(false);
    s.on(1).open(1);
    s.run_for(14s);
    EXPECT_FALSE(s.lost());
    s.run_for(30s);
    s.expect_lost(LossReason::connect_timeout);
    s.wire().set_link(true);
  }
  {
    Script s(options);
    s.open(0, nullptr, {net::IpAddress::v4(10, 99, 0, 77), 3260});
    s.run_for(60s);
    s.expect_lost(LossReason::host_unreachable);
  }
  {
    Script s(options);
    s.open(0, nullptr, {net::IpAddress::v4(192, 168, 9, 9), 3260});
    s.run_for(1s);
    s.expect_lost(LossReason::host_unreachable);
  }
  options.engine_connections = 1;
  Script s(options);
  s.open(0);
  s.run_for(1s);
  s.on(1).open(1);
  s.run_for(1s);
  s.expect_lost(LossReason::no_local_resources);
}

}  // namespace
}  // namespace pollux::script
