// An initiator that misbehaves in one way at a time: the target names it, and nothing worse
// happens.
#include <gtest/gtest.h>

#include "tests/unit/target/buffer_channel.hpp"

namespace pollux::target {
namespace {

class TargetChecks : public testing::Test {
 protected:
  /// The first and only kind of violation.
  void expect_only(Violation kind) {
    EXPECT_GE(lab.violations(kind), 1u) << lab.protocol.checks().first_text();
    EXPECT_EQ(lab.violations(kind), lab.protocol.checks().total())
        << lab.protocol.checks().first_text();
    EXPECT_TRUE(lab.protocol.checks().first_text().starts_with(name(kind)));
  }
  void run() {
    while (lab.script.receive()) {
    }
  }
  Rig lab;
  InitiatorScript& script = lab.script;
};

TEST_F(TargetChecks, CommandNumberSkipped) {
  script.login();
  ++script.cmd_sn;
  script.send(script.read_10(0, 1));
  run();
  expect_only(Violation::cmd_sn);
}

TEST_F(TargetChecks, ExpStatSnAheadAndBack) {
  script.login();
  script.exp_stat_sn += 1;
  script.send(script.read_10(0, 1));
  script.exp_stat_sn -= 1;
  script.send(script.read_10(0, 1));
  run();
  expect_only(Violation::exp_stat_sn);
}

TEST_F(TargetChecks, TaskTagInUse) {
  script.login();
  script.send(script.write_10(0, 64));
  script.expect(wire::Opcode::ready_to_transfer);
  script.next_tag -= 1;
  script.send(script.read_10(0, 1));
  EXPECT_EQ(script.expect(wire::Opcode::reject).as<wire::Reject>().reason, 0x07);
  expect_only(Violation::itt);
}

TEST_F(TargetChecks, ReservedFieldsAndPadding) {
  script.login();
  auto command = script.read_10(0, 1);
  command.reserved[1] = 1;
  script.send(command);
  run();
  expect_only(Violation::reserved_field);
}

TEST_F(TargetChecks, PaddingNotZero) {
  script.login();
  wire::NopOut ping = script.stamped(wire::NopOut{});
  ping.data_segment_length.set(3);
  Bytes bytes(sizeof(ping) + 4, std::byte{0x55});
  store(bytes.data(), ping);
  lab.channel.send(bytes);
  run();
  expect_only(Violation::padding);
}

TEST_F(TargetChecks, ImmediateDataAgainstNegotiation) {
  script.login({{"ImmediateData", "No"}});
  script.send(script.write_10(0, 1), Bytes(512));
  run();
  expect_only(Violation::immediate_data);
}

TEST_F(TargetChecks, UnsolicitedDataAgainstNegotiation) {
  script.login({{"InitialR2T", "Yes"}});
  script.send(script.write_10(0, 8, false), Bytes(512));
  run();
  expect_only(Violation::unsolicited_data);
}

TEST_F(TargetChecks, UnsolicitedBeyondFirstBurst) {
  script.login({{"InitialR2T", "No"}, {"FirstBurstLength", "1024"}});
  const auto command = script.write_10(0, 8, false);
  script.send(command, Bytes(512));
  script.send(script.data_out(command, wire::kReservedTag, 0, 512, true), Bytes(1024));
  run();
  expect_only(Violation::first_burst);
  EXPECT_TRUE(lab.channel.stream.aborted);
}

TEST_F(TargetChecks, DataSnAndOffsetAndLengthOfSolicitedData) {
  script.login();
  auto command = script.write_10(0, 8);
  script.send(command);
  auto r2t = script.expect(wire::Opcode::ready_to_transfer).as<wire::R2t>();
  script.send(script.data_out(command, r2t.target_transfer_tag.get(), 3, 0, true), Bytes(4096));
  script.expect_status(command);
  expect_only(Violation::data_sn);
  lab.protocol.checks().clear();

  command = script.write_10(0, 8);
  script.send(command);
  r2t = script.expect(wire::Opcode::ready_to_transfer).as<wire::R2t>();
  script.send(script.data_out(command, r2t.target_transfer_tag.get(), 0, 0, true), Bytes(8192));
  run();
  expect_only(Violation::burst);
  EXPECT_EQ(lab.protocol.counters().written_bytes, 4096u);  // of the first command alone
}

TEST_F(TargetChecks, OffsetFarBeyondTheTransferWritesNothing) {
  script.login();
  const auto command = script.write_10(0, 8);
  script.send(command);
  const auto r2t = script.expect(wire::Opcode::ready_to_transfer).as<wire::R2t>();
  script.send(script.data_out(command, r2t.target_transfer_tag.get(), 0, 0xffff'f000, true),
              Bytes(4096));
  run();
  expect_only(Violation::buffer_offset);
  EXPECT_EQ(lab.protocol.counters().written_bytes, 0u);
}

TEST_F(TargetChecks, DataOutWithUnknownTags) {
  script.login();
  const auto command = script.write_10(0, 8);
  script.send(command);
  const auto r2t = script.expect(wire::Opcode::ready_to_transfer).as<wire::R2t>();
  auto stray = script.data_out(command, r2t.target_transfer_tag.get(), 0, 0, true);
  stray.initiator_task_tag.set(0x999);
  script.send(stray, Bytes(4096));
  script.expect(wire::Opcode::reject);
  expect_only(Violation::itt);
  lab.protocol.checks().clear();
  script.send(script.data_out(command, r2t.target_transfer_tag.get() + 1, 0, 0, true), Bytes(4096));
  run();
  expect_only(Violation::target_transfer_tag);
}

TEST_F(TargetChecks, DataDigestEndsTheCommandHeaderDigestTheConnection) {
  script.login({{"HeaderDigest", "CRC32C"}, {"DataDigest", "CRC32C"}});
  const auto command = script.write_10(0, 1);
  script.send(command, Bytes(512), true);
  EXPECT_EQ(script.expect(wire::Opcode::reject).as<wire::Reject>().reason, 0x02);
  ++script.exp_stat_sn;
  script.expect_status(command, 2);
  EXPECT_EQ(script.sense_code(), 0x0b4705u);
  expect_only(Violation::data_digest);
  lab.protocol.checks().clear();
  script.header_digest = false;
  script.send(script.read_10(0, 1));
  script.send(script.read_10(0, 1));
  EXPECT_FALSE(script.receive().has_value());
  expect_only(Violation::header_digest);
  EXPECT_TRUE(lab.channel.stream.aborted);
}

TEST_F(TargetChecks, OversizedSegmentAndWrongPhase) {
  wire::NopOut ping = script.stamped(wire::NopOut{});
  script.send(ping);
  run();
  expect_only(Violation::phase);
  EXPECT_TRUE(lab.channel.stream.aborted);

  Rig other;
  other.script.login();
  auto command = other.script.write_10(0, 1);
  command.data_segment_length.set(0xff'ffff);
  Bytes bytes(sizeof(command));
  store(bytes.data(), command);
  other.channel.send(bytes);
  EXPECT_FALSE(other.script.receive().has_value());
  EXPECT_EQ(other.violations(Violation::data_segment_length), 1u);
  EXPECT_TRUE(other.channel.stream.aborted);
}

TEST_F(TargetChecks, UnknownOpcodeIsRejected) {
  script.login();
  wire::NopOut odd = script.stamped(wire::NopOut{});
  odd.opcode = 0x1c;
  script.send(odd);
  EXPECT_EQ(script.expect(wire::Opcode::reject).as<wire::Reject>().reason, 0x05);
  expect_only(Violation::opcode);
}

}  // namespace
}  // namespace pollux::target
