// SCSI commands, data in both directions, session PDUs and faults, over byte buffers.
#include <gtest/gtest.h>

#include "tests/unit/target/buffer_channel.hpp"

namespace pollux::target {
namespace {

constexpr unsigned kReadFlags = wire::kFinal | wire::ScsiCommand::kRead;

/// Every combination of digests sees the same conversation.
class TargetData : public testing::TestWithParam<int> {
 protected:
  static Keys keys(Keys more = {}) {
    more.emplace_back("HeaderDigest", (GetParam() & 1) != 0 ? "CRC32C" : "None");
    more.emplace_back("DataDigest", (GetParam() & 2) != 0 ? "CRC32C" : "None");
    return more;
  }
  void write(Rig& lab, std::uint32_t lba, const Bytes& data) {
    const auto command = lab.script.write_10(lba, static_cast<std::uint16_t>(data.size() / 512));
    lab.script.send(command, data);
    lab.script.expect_status(command);
  }
};
INSTANTIATE_TEST_SUITE_P(Digests, TargetData, testing::Range(0, 4));

TEST_P(TargetData, ReadIsSplitAtSegmentAndBurst) {
  Rig lab;
  lab.script.login(keys({{"MaxRecvDataSegmentLength", "1536"}, {"MaxBurstLength", "4096"}}));
  const Bytes data = pattern(16 * 512, 1);
  write(lab, 8, data);
  const auto command = lab.script.read_10(8, 16);
  lab.script.send(command);
  EXPECT_EQ(lab.script.read_data(command), data);
  EXPECT_EQ(lab.protocol.counters().data_ins, 6u);  // 1536 1536 1024, twice
  EXPECT_EQ(lab.protocol.open_tasks(), 0u);
  lab.expect_clean();
}

TEST_P(TargetData, WriteTakesImmediateUnsolicitedAndSolicitedData) {
  TargetConfig config = Rig::standard();
  config.answers.max_outstanding_r2t = 2;
  Rig lab{config};
  lab.channel.stream.piece = 333;
  lab.channel.arrives = 777;
  lab.script.login(keys({{"InitialR2T", "No"},
                         {"FirstBurstLength", "4096"},
                         {"MaxBurstLength", "8192"},
                         {"MaxOutstandingR2T", "2"}}));
  const Bytes data = pattern(65536, 2);
  const auto command = lab.script.write_10(100, 128, false);
  lab.script.send(command, slice(data, 0, 1024));
  lab.script.send(lab.script.data_out(command, wire::kReservedTag, 0, 1024, false),
                  slice(data, 1024, 2048));
  lab.script.send(lab.script.data_out(command, wire::kReservedTag, 1, 3072, true),
                  slice(data, 3072, 1024));
  for (std::uint32_t sn = 0; sn < 8; ++sn) {
    const auto r2t = lab.script.expect(wire::Opcode::ready_to_transfer).as<wire::R2t>();
    EXPECT_EQ(r2t.r2t_sn.get(), sn);
    EXPECT_EQ(r2t.stat_sn.get(), lab.script.exp_stat_sn);
    const std::uint32_t offset = r2t.buffer_offset.get();
    const std::uint32_t length = r2t.desired_data_transfer_length.get();
    EXPECT_EQ(offset, 4096 + sn * 8192);
    EXPECT_EQ(length, std::min(8192u, 65536 - offset));
    const std::uint32_t half = length / 2;
    const std::uint32_t tag = r2t.target_transfer_tag.get();
    lab.script.send(lab.script.data_out(command, tag, 0, offset, false), slice(data, offset, half));
    lab.script.send(lab.script.data_out(command, tag, 1, offset + half, true),
                    slice(data, offset + half, half));
  }
  EXPECT_EQ(lab.script.expect_status(command).exp_data_sn.get(), 8u);
  const auto read = lab.script.read_10(100, 128);
  lab.script.send(read);
  EXPECT_EQ(lab.script.read_data(read), data);
  EXPECT_EQ(lab.protocol.open_tasks(), 0u);
  lab.expect_clean();
}

TEST_P(TargetData, NullUnitReadsItsPatternWithoutCopy) {
  Rig lab;
  lab.script.login(keys({{"MaxRecvDataSegmentLength", "262144"}}));
  auto command = lab.script.read_10(127, 256);
  command.lun.set(std::uint64_t{1} << 48);
  lab.script.send(command);
  const Bytes data = lab.script.read_data(command);
  ASSERT_EQ(data.size(), 256u * 512);
  for (std::size_t i = 0; i < data.size(); ++i)
    ASSERT_EQ(data[i], null_pattern((127 * 512 + i) % kNullPatternBytes)) << i;
  EXPECT_EQ(lab.channel.stream.external_bytes, data.size());
  lab.expect_clean();
}

TEST(TargetCommands, SeparateStatusWhenAskedFor) {
  TargetConfig config = Rig::standard();
  config.status_in_data_in = false;
  Rig lab{config};
  lab.script.login();
  const auto command = lab.script.read_10(0, 8);
  lab.script.send(command);
  const auto data = lab.script.expect(wire::Opcode::data_in).as<wire::DataIn>();
  EXPECT_EQ(data.flags, wire::kFinal);
  EXPECT_EQ(lab.script.expect_status(command).exp_data_sn.get(), 1u);
}

TEST(TargetCommands, InquiryPagesAndCapacity) {
  Rig lab;
  lab.script.login();
  const auto ask = [&](std::initializer_list<std::uint8_t> cdb, std::uint32_t length) {
    const auto command = lab.script.command(cdb, kReadFlags, length);
    lab.script.send(command);
    return lab.script.read_data(command);
  };
  const auto at = [](const Bytes& bytes, std::size_t i) {
    return std::to_integer<unsigned>(bytes.at(i));
  };
  const Bytes inquiry = ask({0x12, 0, 0, 0, 36}, 36);
  EXPECT_EQ(inquiry.size(), 36u);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(&inquiry[8]), 6), "POLLUX");
  EXPECT_EQ(at(ask({0x12, 1, 0x00, 0, 255}, 255), 3), 4u);
  EXPECT_EQ(at(ask({0x12, 1, 0x80, 0, 255}, 255), 3), 16u);
  const Bytes identification = ask({0x12, 1, 0x83, 0, 255}, 255);
  EXPECT_EQ(identification.size(), 4u + at(identification, 3));
  EXPECT_EQ(ask({0x12, 1, 0xb0, 0, 255}, 255).size(), 64u);
  const Bytes luns = ask({0xa0, 0, 0, 0, 0, 0, 0, 0, 4, 0}, 1024);
  EXPECT_EQ(luns.size(), 24u);
  EXPECT_EQ(at(luns, 17), 1u);
  const Bytes capacity = ask({0x25}, 8);
  EXPECT_EQ(load<Be32>(capacity.data()).get(), 2047u);
  const Bytes capacity_16 = ask({0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}, 32);
  EXPECT_EQ(load<Be64>(capacity_16.data()).get(), 2047u);
  EXPECT_EQ(load<Be32>(capacity_16.data() + 8).get(), 512u);
  EXPECT_EQ(ask({0x1a, 0, 0x3f, 0, 255}, 255).size(), 4u);
  for (const std::uint8_t operation : std::initializer_list<std::uint8_t>{0x00, 0x35, 0x91}) {
    const auto command = lab.script.command({operation}, wire::kFinal, 0);
    lab.script.send(command);
    lab.script.expect_status(command);
  }
  lab.expect_clean();
}

TEST(TargetCommands, ResidualsSayWhatDiffers) {
  Rig lab;
  lab.script.login();
  auto command = lab.script.command({0x12, 0, 0, 0, 255}, kReadFlags, 255);
  lab.script.send(command);
  auto data = lab.script.expect(wire::Opcode::data_in).as<wire::DataIn>();
  EXPECT_EQ(data.flags & 0x06, wire::DataIn::kUnderflow);
  EXPECT_EQ(data.residual_count.get(), 255u - 36);
  lab.script.exp_stat_sn = data.stat_sn.get() + 1;
  command = lab.script.read_10(0, 8);
  command.expected_data_transfer_length.set(512);
  lab.script.send(command);
  data = lab.script.expect(wire::Opcode::data_in).as<wire::DataIn>();
  EXPECT_EQ(data.flags & 0x06, wire::DataIn::kOverflow);
  EXPECT_EQ(data.residual_count.get(), 7u * 512);
}

TEST(TargetCommands, SenseForWhatCannotBeDone) {
  Rig lab;
  lab.script.login();
  auto command = lab.script.read_10(2047, 2);
  lab.script.send(command);
  lab.script.expect_status(command, 2);
  EXPECT_EQ(lab.script.sense_code(), 0x052100u);
  command = lab.script.read_10(0, 1);
  command.lun.set(std::uint64_t{9} << 48);
  lab.script.send(command);
  lab.script.expect_status(command, 2);
  EXPECT_EQ(lab.script.sense_code(), 0x052500u);
  command = lab.script.command({0xc1}, wire::kFinal, 0);
  lab.script.send(command);
  EXPECT_EQ(lab.script.expect_status(command, 2).residual_count.get(), 0u);
  EXPECT_EQ(lab.script.sense_code(), 0x052000u);
  // Data that came with a refused write goes nowhere.
  command = lab.script.write_10(2040, 16);
  lab.script.send(command, pattern(16 * 512, 3));
  lab.script.expect_status(command, 2);
  EXPECT_EQ(lab.script.sense_code(), 0x052100u);
  EXPECT_EQ(lab.protocol.counters().written_bytes, 0u);
  lab.expect_clean();
}

TEST(TargetCommands, FullPoolAnswersTaskSetFull) {
  TargetConfig config = Rig::standard();
  config.tasks = 1;
  Rig lab{config};
  lab.script.login();
  const auto first = lab.script.write_10(0, 64);
  lab.script.send(first);
  lab.script.expect(wire::Opcode::ready_to_transfer);
  const auto second = lab.script.read_10(0, 1);
  lab.script.send(second);
  lab.script.expect_status(second, 0x28);
  lab.expect_clean();
}

TEST(TargetCommands, FullSendQueueHoldsAnswersBack) {
  Rig lab;
  lab.script.login();
  const auto command = lab.script.read_10(0, 8);
  lab.channel.stream.space = {4, 100};
  lab.script.send(command);
  lab.script.expect_silence();
  lab.channel.stream.space = {1024, 65536};
  EXPECT_EQ(lab.script.read_data(command).size(), 4096u);
}

TEST(TargetCommands, WindowOfOneStaysOpen) {
  TargetConfig config = Rig::standard();
  config.answers.command_window = 1;
  Rig lab{config};
  lab.script.login();
  for (int i = 0; i < 3; ++i) {
    const auto command = lab.script.read_10(0, 1);
    lab.script.send(command);
    lab.script.read_data(command);
  }
  lab.expect_clean();
}

TEST(TargetSession, EchoPingAbortAndReset) {
  Rig lab;
  lab.script.login();
  wire::NopOut ping;
  const Bytes data = pattern(100, 4);
  lab.script.send(lab.script.stamped(ping), data);
  EXPECT_EQ(lab.script.expect(wire::Opcode::nop_in).data, data);
  ++lab.script.exp_stat_sn;

  const auto write = lab.script.write_10(0, 64);
  lab.script.send(write);
  const auto r2t = lab.script.expect(wire::Opcode::ready_to_transfer).as<wire::R2t>();
  wire::TaskManagementRequest abort;
  abort.opcode |= wire::kImmediate;
  abort.function = 0x81;
  abort.referenced_task_tag = write.initiator_task_tag;
  lab.script.send(lab.script.stamped(abort));
  const auto done =
      lab.script.expect(wire::Opcode::task_management_response).as<wire::TaskManagementResponse>();
  EXPECT_EQ(done.response, 0);
  ++lab.script.exp_stat_sn;
  EXPECT_EQ(lab.protocol.open_tasks(), 0u);
  // Data for the aborted command was on its way: dropped without a word.
  lab.script.send(lab.script.data_out(write, r2t.target_transfer_tag.get(), 0, 0, true),
                  Bytes(64 * 512));
  lab.script.send(lab.script.stamped(abort));
  EXPECT_EQ(lab.script.expect(wire::Opcode::task_management_response)
                .as<wire::TaskManagementResponse>()
                .response,
            1);
  ++lab.script.exp_stat_sn;

  lab.script.send(lab.script.write_10(0, 64));
  lab.script.expect(wire::Opcode::ready_to_transfer);
  wire::TaskManagementRequest reset;
  reset.function = 0x85;
  reset.referenced_task_tag.set(wire::kReservedTag);
  lab.script.send(lab.script.stamped(reset));
  lab.script.expect(wire::Opcode::task_management_response);
  ++lab.script.exp_stat_sn;
  EXPECT_EQ(lab.protocol.open_tasks(), 0u);
  lab.script.logout();
  EXPECT_TRUE(lab.channel.stream.closed);
  lab.expect_clean();
}

TEST(TargetFaults, DoWhatThePlanSays) {
  Rig lab;
  FaultPlan& plan = lab.protocol.faults();
  plan.reject_command_at = 1;
  plan.corrupt_data_digest_at = 1;
  plan.async_logout_at_command = 3;
  plan.drop_connection_at_command = 4;
  lab.script.login({{"DataDigest", "CRC32C"}});
  lab.script.send(lab.script.read_10(0, 1));
  EXPECT_EQ(lab.script.expect(wire::Opcode::reject).as<wire::Reject>().reason, 0x09);
  ++lab.script.exp_stat_sn;
  lab.script.send(lab.script.read_10(0, 1));
  EXPECT_FALSE(lab.script.receive()->digests_good);
  ++lab.script.exp_stat_sn;
  lab.script.send(lab.script.command({0x00}, wire::kFinal, 0));
  const auto async = lab.script.expect(wire::Opcode::async_message).as<wire::AsyncMessage>();
  EXPECT_EQ(async.async_event, 1);
  EXPECT_EQ(async.parameter3.get(), 3);
  lab.script.expect(wire::Opcode::scsi_response);
  lab.script.send(lab.script.command({0x00}, wire::kFinal, 0));
  lab.script.expect_silence();
  EXPECT_TRUE(lab.channel.stream.aborted);
  lab.expect_clean();
}

TEST(TargetFaults, DelayWrongStatSnAndClosedWindow) {
  TargetConfig config = Rig::standard();
  config.answers.command_window = 2;
  Rig lab{config};
  FaultPlan& plan = lab.protocol.faults();
  plan.wrong_stat_sn_at = 2;  // the login response is the first
  plan.response_delay = 10ms;
  lab.script.login();
  const auto command = lab.script.command({0x00}, wire::kFinal, 0);
  lab.script.send(command);
  lab.script.expect_silence();
  EXPECT_EQ(lab.protocol.deadline(0), lab.channel.now + 10ms);
  lab.channel.now += 10ms;
  const auto late = lab.script.expect(wire::Opcode::scsi_response).as<wire::ScsiResponse>();
  EXPECT_EQ(late.stat_sn.get(), lab.script.exp_stat_sn + 2);
  plan.response_delay = Duration::zero();
  plan.close_window = true;
  lab.script.send(lab.script.command({0x00}, wire::kFinal, 0));
  const auto closing = lab.script.expect(wire::Opcode::scsi_response).as<wire::ScsiResponse>();
  EXPECT_EQ(closing.max_cmd_sn.get(), late.max_cmd_sn.get());
  lab.script.send(lab.script.command({0x00}, wire::kFinal, 0));
  lab.script.expect(wire::Opcode::scsi_response);
  lab.expect_clean();
  lab.script.send(lab.script.command({0x00}, wire::kFinal, 0));
  lab.script.expect_silence();
  EXPECT_EQ(lab.violations(Violation::command_window), 1u);
}

}  // namespace
}  // namespace pollux::target
