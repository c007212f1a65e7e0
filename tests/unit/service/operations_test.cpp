// The operations through the real ring and client library, one process: a service thread, a
// scripted worker thread, and a client that is this test.
#include <gtest/gtest.h>
#include <pollux/client.h>
#include <pollux/iscsierr.h>
#include <pollux/iscsiop.h>
#include <pollux/operations.h>
#include <pollux/ring.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "control/service/service.hpp"
#include "tests/unit/service/fake_queue.hpp"
#include "tests/unit/service/fake_worker.hpp"

namespace pollux::service::testing {
namespace {

using Bytes = std::vector<std::byte>;

Instant steady_now() {
  return Instant(
      std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

class OperationsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory = std::string(::testing::TempDir()) + "pollux-service-XXXXXX";
    ASSERT_NE(mkdtemp(directory.data()), nullptr);
    config.ring.socket = directory + "/s.sock";
    config.login.timeout = Seconds{0.5};
    config.logout.drain = Seconds{0.1};
    std::string error;
    auto server = listen(config, error);
    ASSERT_NE(server, nullptr) << error;
    worker::Link* links[] = {&worker.link};
    config.worker.sessions_max = 8;
    service = std::make_unique<Service>(
        ServiceOptions{.config = config,
                       .links = links,
                       .server = std::move(server),
                       .clock = steady_now,
                       .queues = queues,
                       .ports = {{.name = "san0",
                                  .address = net::IpAddress::v4(10, 99, 0, 2),
                                  .capabilities = {}}},
                       .saved = {1, {}}});
    control_thread = std::thread([this] { service->run(); });
    worker_thread = std::thread([this] {
      while (!worker.stopped) {
        if (worker.turn() == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
        ring_if_asleep();
      }
    });
    client = connect();
  }

  void TearDown() override {
    pollux_client_close(client);
    service->request_stop();
    control_thread.join();
    worker_thread.join();
    EXPECT_EQ(worker.slabs_out(), 0u);
    service.reset();
    rmdir(directory.c_str());
  }

  void ring_if_asleep() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (worker.link.to_control.size() == 0 || !worker.link.control_sleeps.exchange(false)) return;
    const std::uint64_t one = 1;
    ASSERT_EQ(write(worker.link.doorbell_fd, &one, sizeof(one)), 8);
  }

  pollux_client* connect() {
    pollux_client_options options;
    pollux_client_options_init(&options);
    options.socket_path = config.ring.socket.c_str();
    options.arena_bytes = 32u << 20;
    pollux_client* result = nullptr;
    char reason[256] = "";
    EXPECT_EQ(pollux_client_open(&options, &result, reason, sizeof(reason)), 0) << reason;
    return result;
  }

  /// Returns the client library's code; `output` becomes what was written, `needed` the size
  /// reported.
  int call(std::uint32_t opcode, std::span<const std::byte> input, Bytes& output,
           std::uint32_t deadline_ms = 5000) {
    size_t length = 0;
    const int code = pollux_client_call(client, opcode, input.data(), input.size(), output.data(),
                                        output.size(), &length, deadline_ms);
    needed = length;
    if (code == 0) output.resize(length);
    return code;
  }
  template <class In>
  std::uint32_t status_of(std::uint32_t opcode, const In& in, Bytes& output) {
    EXPECT_EQ(call(opcode, std::as_bytes(std::span(&in, 1)), output), 0);
    std::uint32_t status = ~0u;
    std::memcpy(&status, output.data(), sizeof(status));
    return status;
  }
  template <class T>
  static T read_as(const Bytes& bytes) {
    T value{};
    std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(T)));
    return value;
  }
  static std::string text_behind(const Bytes& output, std::size_t offset) {
    return {reinterpret_cast<const char*>(output.data()) + offset, output.size() - offset};
  }

  static LoginToTarget_IN login_in(std::uint32_t type) {
    LoginToTarget_IN in{};
    in.PortNumber = POLLUX_ISCSI_ANY_PORT;
    in.SessionType = type;
    in.TargetPortal.Address.Type = ISCSI_IP_ADDRESS_TEXT;
    pollux_text_encode(in.TargetPortal.Address.TextAddress, 257, "10.99.0.1");
    in.TargetPortal.Socket = 3260;
    if (type != ISCSI_SESSION_DISCOVERY)
      pollux_text_encode(in.TargetName, 224, "iqn.2026-11.io.pollux:t");
    return in;
  }
  std::uint64_t login(std::uint32_t type = ISCSI_SESSION_DATA) {
    Bytes output(512);
    EXPECT_EQ(status_of(MSiSCSI_LoginToTarget, login_in(type), output), 0u);
    return read_as<LoginToTarget_OUT>(output).UniqueSessionId;
  }

  Bytes io_input(std::uint64_t session, std::uint64_t lba, std::uint32_t blocks,
                 const Bytes& data) {
    pollux_io_in in{};
    in.UniqueSessionId = session;
    in.Lba = lba;
    in.BlockCount = blocks;
    in.DataSize = static_cast<std::uint32_t>(data.size());
    Bytes input(sizeof(in) + data.size());
    std::memcpy(input.data(), &in, sizeof(in));
    std::copy(data.begin(), data.end(), input.begin() + sizeof(in));
    return input;
  }

  Config config;
  std::string directory;
  FakeWorker worker{8};
  RamQueueSource queues;
  std::unique_ptr<Service> service;
  std::thread control_thread;
  std::thread worker_thread;
  pollux_client* client = nullptr;
  std::size_t needed = 0;
};

TEST_F(OperationsTest, LoginListLogout) {
  const std::uint64_t id = login();
  Bytes output(16384);
  ASSERT_EQ(call(POLLUX_OP_SESSION_LIST, {}, output), 0);
  const auto list = read_as<pollux_session_list_out>(output);
  ASSERT_EQ(list.Info.SessionCount, 1u);
  EXPECT_EQ(list.Info.SessionsList[0].UniqueSessionId, id);
  EXPECT_EQ(list.Info.SessionsList[0].TSID, 7);
  EXPECT_EQ(list.Info.SessionsList[0].ConnectionCount, 1);
  Bytes small(32);
  EXPECT_EQ(call(POLLUX_OP_SESSION_LIST, {}, small), POLLUX_ETOOSMALL);
  EXPECT_EQ(needed, output.size());

  Bytes out(256);
  EXPECT_EQ(status_of(MSiSCSI_LogoutFromTarget, LogoutFromTarget_IN{id}, out), 0u);
  EXPECT_EQ(out.size(), sizeof(LogoutFromTarget_OUT));
  out.resize(256);
  EXPECT_EQ(status_of(MSiSCSI_LogoutFromTarget, LogoutFromTarget_IN{id}, out),
            ISDSC_INVALID_SESSION_ID);
  EXPECT_NE(text_behind(out, sizeof(LogoutFromTarget_OUT)).find("no session"), std::string::npos);
}

TEST_F(OperationsTest, FailedLoginCarriesTheReasonWhereThereIsRoom) {
  worker.script.connect = TargetScript::Connect::refuse;
  Bytes output(512);
  EXPECT_EQ(status_of(MSiSCSI_LoginToTarget, login_in(ISCSI_SESSION_DATA), output),
            ISDSC_CONNECTION_FAILED);
  EXPECT_NE(text_behind(output, sizeof(LoginToTarget_OUT)).find("10.99.0.1:3260"),
            std::string::npos);
  Bytes exact(sizeof(LoginToTarget_OUT));
  EXPECT_EQ(status_of(MSiSCSI_LoginToTarget, login_in(ISCSI_SESSION_DATA), exact),
            ISDSC_CONNECTION_FAILED);
  EXPECT_EQ(exact.size(), sizeof(LoginToTarget_OUT));
}

TEST_F(OperationsTest, LoginMembersAreHonouredOrRefusedByName) {
  struct Case {
    const char* what;
    std::uint32_t status;
    void (*change)(LoginToTarget_IN&);
  };
  const Case cases[] = {
      {"persistent", ISDSC_REQUEST_NOT_SUPPORTED,
       [](LoginToTarget_IN& in) { in.PersistentLogin = 1; }},
      {"key size", ISDSC_INVALID_PARAMETER, [](LoginToTarget_IN& in) { in.KeySize = 0xffff'ffff; }},
      {"user size", ISDSC_INVALID_PARAMETER, [](LoginToTarget_IN& in) { in.UsernameSize = 100; }},
      {"lun count", ISDSC_INVALID_PARAMETER,
       [](LoginToTarget_IN& in) { in.Mappings.LUNCount = 0xffff'ffff; }},
      {"mapping", ISDSC_TARGET_MAPPING_UNAVAILABLE,
       [](LoginToTarget_IN& in) { in.Mappings.LUNCount = 1; }},
      {"type", ISDSC_INVALID_PARAMETER, [](LoginToTarget_IN& in) { in.SessionType = 3; }},
      {"port", ISDSC_INVALID_PORT_NUMBER, [](LoginToTarget_IN& in) { in.PortNumber = 0; }},
      {"chap", ISDSC_INVALID_LOGON_AUTH_TYPE,
       [](LoginToTarget_IN& in) {
         in.LoginOptions.InformationSpecified = ISCSI_LOGIN_OPTIONS_AUTH_TYPE;
         in.LoginOptions.AuthType = ISCSI_CHAP_AUTH_TYPE;
       }},
      {"digest", ISDSC_INVALID_PARAMETER,
       [](LoginToTarget_IN& in) {
         in.LoginOptions.InformationSpecified = ISCSI_LOGIN_OPTIONS_HEADER_DIGEST;
         in.LoginOptions.HeaderDigest = 2;
       }},
      {"ipsec", ISDSC_REQUEST_NOT_SUPPORTED,
       [](LoginToTarget_IN& in) { in.LoginOptions.LoginFlags = 1; }},
      {"ipv6 of nobody", ISDSC_INVALID_PARAMETER,
       [](LoginToTarget_IN& in) { in.TargetPortal.Address.Type = ISCSI_IP_ADDRESS_IPV6; }},
      {"ipv6 without a port that has it", ISDSC_ADDRESS_TYPE_NOT_SUPPORTED,
       [](LoginToTarget_IN& in) {
         in.TargetPortal.Address.Type = ISCSI_IP_ADDRESS_IPV6;
         in.TargetPortal.Address.IpV6Address[0] = 0xfd;
       }},
      {"empty", ISDSC_NO_PORTAL_SPECIFIED,
       [](LoginToTarget_IN& in) { in.TargetPortal.Address.Type = 3; }},
      {"address type", ISDSC_INVALID_PARAMETER,
       [](LoginToTarget_IN& in) { in.TargetPortal.Address.Type = 4; }},
      {"text", ISDSC_INVALID_PARAMETER, [](LoginToTarget_IN& in) { in.TargetName[0] = 3; }},
      {"name", ISDSC_INVALID_ISCSI_NAME,
       [](LoginToTarget_IN& in) { pollux_text_encode(in.TargetName, 224, "bob"); }},
      {"no name", ISDSC_INVALID_PARAMETER, [](LoginToTarget_IN& in) { in.TargetName[0] = 0; }},
  };
  for (const Case& one : cases) {
    LoginToTarget_IN in = login_in(ISCSI_SESSION_DATA);
    one.change(in);
    Bytes output(512);
    EXPECT_EQ(status_of(MSiSCSI_LoginToTarget, in, output), one.status)
        << one.what << ": " << text_behind(output, 24);
    EXPECT_GT(output.size(), sizeof(LoginToTarget_OUT)) << one.what;
  }
  LoginToTarget_IN in = login_in(ISCSI_SESSION_DATA);
  in.TargetPortal.Address = {};
  in.TargetPortal.Address.Type = ISCSI_IP_ADDRESS_IPV4;
  const std::uint8_t address[] = {10, 99, 0, 7};
  std::memcpy(&in.TargetPortal.Address.IpV4Address, address, 4);
  Bytes output(512);
  EXPECT_EQ(status_of(MSiSCSI_LoginToTarget, in, output), 0u);
  EXPECT_EQ(worker.opened.back().address, net::IpAddress::v4(10, 99, 0, 7));
}

TEST_F(OperationsTest, SilentPortalAnswersBeforeTheCommandsDeadline) {
  worker.script.login = TargetScript::Login::silent;
  const LoginToTarget_IN in = login_in(ISCSI_SESSION_DATA);
  Bytes output(512);
  ASSERT_EQ(call(MSiSCSI_LoginToTarget, std::as_bytes(std::span(&in, 1)), output, 200), 0);
  EXPECT_EQ(read_as<LoginToTarget_OUT>(output).Status, ISDSC_TRANSPORT_ERROR);
}

TEST_F(OperationsTest, CanceledLoginCompletesOnce) {
  worker.script.login = TargetScript::Login::silent;
  const LoginToTarget_IN in = login_in(ISCSI_SESSION_DATA);
  LoginToTarget_OUT out{};
  pollux_client_command command{};
  command.size = sizeof(command);
  command.opcode = MSiSCSI_LoginToTarget;
  command.input = &in;
  command.input_bytes = sizeof(in);
  command.output = &out;
  command.output_bytes = sizeof(out);
  std::uint64_t tag = 0;
  ASSERT_EQ(pollux_client_submit(client, &command, &tag), 0);
  ASSERT_EQ(pollux_client_cancel(client, tag), 0);
  pollux_client_completion completion{};
  ASSERT_EQ(pollux_client_wait(client, 2000), 1);
  ASSERT_EQ(pollux_client_reap(client, &completion, 1), 1);
  EXPECT_EQ(completion.tag, tag);
  EXPECT_EQ(completion.ring_status, static_cast<std::uint32_t>(POLLUX_RING_CANCELLED));
}

TEST_F(OperationsTest, SendTargetsThatDoesNotFitIsServedOnTheRetry) {
  const std::uint64_t id = login(ISCSI_SESSION_DISCOVERY);
  worker.script.text_parts = {std::string("TargetName=iqn.2026-11.io.pollux:x\0", 35)};
  SendTargets_IN in{};
  in.UniqueSessionId = id;
  pollux_text_encode(in.SendTargetsText, 224, "All");
  const auto input = std::as_bytes(std::span(&in, 1));
  Bytes small(20);
  EXPECT_EQ(call(MSiSCSI_SendTargets, input, small), POLLUX_ETOOSMALL);
  EXPECT_EQ(needed, 8u + 35u);
  Bytes exact(needed);
  ASSERT_EQ(call(MSiSCSI_SendTargets, input, exact), 0);
  EXPECT_EQ(read_as<SendTargets_OUT>(exact).ResponseSize, 35u);
  EXPECT_EQ(text_behind(exact, 8).substr(0, 11), "TargetName=");
}

TEST_F(OperationsTest, ScsiAnswersAndSense) {
  const std::uint64_t id = login();
  queues.disk.unit_attentions = 2;
  Bytes output(512);
  EXPECT_EQ(status_of(MSiSCSI_ScsiReadCapacity, ScsiReadCapacity_IN{id, 0}, output), 0u);
  EXPECT_EQ(read_as<ScsiReadCapacity_OUT>(output).ResponseBufferSize, 32u);
  queues.disk.knows_capacity_16 = false;
  output.assign(512, {});
  EXPECT_EQ(status_of(MSiSCSI_ScsiReadCapacity, ScsiReadCapacity_IN{id, 0}, output), 0u);
  EXPECT_EQ(read_as<ScsiReadCapacity_OUT>(output).ResponseBufferSize, 8u);
  output.assign(512, {});
  EXPECT_EQ(status_of(MSiSCSI_ScsiInquiry, ScsiInquiry_IN{id, 0, 0, 0}, output), 0u);
  EXPECT_EQ(output.size(), 27u + 36u);
  output.assign(512, {});
  EXPECT_EQ(status_of(MSiSCSI_ScsiReportLuns, ScsiReportLuns_IN{id}, output), 0u);
  EXPECT_EQ(read_as<ScsiReportLuns_OUT>(output).ResponseBufferSize, 16u);
  Bytes small(27 + 16 - 1);
  const ScsiReportLuns_IN luns{id};
  EXPECT_EQ(call(MSiSCSI_ScsiReportLuns, std::as_bytes(std::span(&luns, 1)), small),
            POLLUX_ETOOSMALL);
  EXPECT_EQ(needed, 27u + 16u);
  output.assign(512, {});
  EXPECT_EQ(status_of(MSiSCSI_ScsiInquiry, ScsiInquiry_IN{id, POLLUX_LUN(9), 0, 0}, output),
            ISDSC_SCSI_REQUEST_FAILED);
  const auto failed = read_as<ScsiInquiry_OUT>(output);
  EXPECT_EQ(failed.ScsiStatus, 2);
  EXPECT_EQ(failed.SenseBuffer[2], 5);
  EXPECT_EQ(failed.SenseBuffer[12], 0x25);
  output.assign(512, {});
  EXPECT_EQ(status_of(MSiSCSI_ScsiInquiry, ScsiInquiry_IN{id + 1, 0, 0, 0}, output),
            ISDSC_INVALID_SESSION_ID);
}

TEST_F(OperationsTest, WriteReadVerifyInSeveralCommands) {
  const std::uint64_t id = login();
  Bytes data(3 * kChunkBytesMax / 2);
  Random random{7};
  for (std::byte& byte : data) byte = static_cast<std::byte>(random.next());
  const auto blocks = static_cast<std::uint32_t>(data.size() / 512);
  Bytes output(512);
  queues.disk.unit_attentions = 1;
  ASSERT_EQ(call(POLLUX_OP_WRITE, io_input(id, 100, blocks, data), output), 0);
  EXPECT_EQ(read_as<pollux_io_out>(output).Status, 0u)
      << text_behind(output, sizeof(pollux_io_out));
  EXPECT_EQ(queues.disk.writes, 2);
  EXPECT_EQ(std::memcmp(queues.disk.data.data() + 100 * 512, data.data(), data.size()), 0);

  Bytes small(sizeof(pollux_io_out));
  const int reads = queues.disk.reads;
  EXPECT_EQ(call(POLLUX_OP_READ, io_input(id, 100, blocks, {}), small), POLLUX_ETOOSMALL);
  EXPECT_EQ(needed, POLLUX_IO_OUT_DATA_OFFSET + data.size());
  EXPECT_EQ(queues.disk.reads, reads);  // before anything happened
  Bytes back(needed);
  ASSERT_EQ(call(POLLUX_OP_READ, io_input(id, 100, blocks, {}), back), 0);
  EXPECT_EQ(std::memcmp(back.data() + POLLUX_IO_OUT_DATA_OFFSET, data.data(), data.size()), 0);

  output.assign(512, {});
  ASSERT_EQ(call(POLLUX_OP_VERIFY, io_input(id, 100, blocks, data), output), 0);
  EXPECT_EQ(read_as<pollux_verify_out>(output).MismatchOffset, POLLUX_VERIFY_MATCHES);
  data[1'100'000] ^= std::byte{1};
  output.assign(512, {});
  ASSERT_EQ(call(POLLUX_OP_VERIFY, io_input(id, 100, blocks, data), output), 0);
  EXPECT_EQ(read_as<pollux_verify_out>(output).MismatchOffset, 1'100'000u);
}

TEST_F(OperationsTest, OutOfRangeGivesSenseAndWritesNothing) {
  const std::uint64_t id = login();
  const Bytes data(4 * 512, std::byte{0xaa});
  for (const std::uint64_t lba :
       {std::uint64_t{8192 - 2}, std::uint64_t{8192}, ~std::uint64_t{0}}) {
    Bytes output(512);
    ASSERT_EQ(call(POLLUX_OP_WRITE, io_input(id, lba, 4, data), output), 0);
    const auto out = read_as<pollux_io_out>(output);
    EXPECT_EQ(out.Status, ISDSC_SCSI_REQUEST_FAILED);
    EXPECT_EQ(out.Sense[2], 5);
    EXPECT_EQ(out.Sense[12], 0x21);
  }
  EXPECT_EQ(queues.disk.writes, 0);
  const auto refused = [&](const Bytes& input) {
    Bytes output(512);
    EXPECT_EQ(call(POLLUX_OP_WRITE, input, output), 0);
    return read_as<pollux_io_out>(output).Status;
  };
  EXPECT_EQ(refused(io_input(id, 0, 3, data)), ISDSC_INVALID_PARAMETER);
  EXPECT_EQ(refused(io_input(id, 0, 0, data)), ISDSC_INVALID_PARAMETER);
  EXPECT_EQ(refused(io_input(id, 0, 0xffff'ffff, data)), ISDSC_INVALID_PARAMETER);
  EXPECT_EQ(refused(io_input(login(ISCSI_SESSION_DISCOVERY), 0, 4, data)),
            ISDSC_SESSION_TYPE_NOT_SUPPORTED);
  EXPECT_EQ(refused(io_input(0, 0, 4, data)), ISDSC_INVALID_SESSION_ID);
  EXPECT_EQ(queues.disk.writes, 0);
}

TEST_F(OperationsTest, HungTargetIsBoundedByTheDeadline) {
  const std::uint64_t id = login();
  queues.disk.holds_back = true;
  Bytes output(512);
  EXPECT_EQ(call(POLLUX_OP_WRITE, io_input(id, 0, 1, Bytes(512)), output, 100), POLLUX_ETIMEDOUT);
  queues.disk.holds_back = false;
}

TEST_F(OperationsTest, BenchRunsReportsProgressAndStops) {
  const std::uint64_t id = login();
  pollux_bench_in in{};
  in.UniqueSessionId = id;
  in.BenchId = 77;
  in.Workload = POLLUX_BENCH_RANDRW;
  in.ReadPercent = 50;
  in.IoSize = 4096;
  in.QueueDepth = 8;
  in.Seconds = 1;
  in.Seed = 5;
  Bytes output(512);
  ASSERT_EQ(status_of(POLLUX_OP_BENCH, in, output), 0u)
      << text_behind(output, sizeof(pollux_bench_out));
  const auto out = read_as<pollux_bench_out>(output);
  EXPECT_EQ(out.Finished, 1u);
  EXPECT_EQ(out.BenchId, 77u);
  EXPECT_GT(out.TotalIos, 0u);
  EXPECT_EQ(out.Bytes, out.TotalIos * 4096);
  EXPECT_GE(out.LatencyMaxNs, out.LatencyP50Ns);
  output.assign(512, {});
  EXPECT_EQ(status_of(POLLUX_OP_BENCH_PROGRESS, pollux_bench_progress_in{77}, output), 0u);
  EXPECT_EQ(read_as<pollux_bench_out>(output).TotalIos, out.TotalIos);
  output.assign(512, {});
  EXPECT_EQ(status_of(POLLUX_OP_BENCH_PROGRESS, pollux_bench_progress_in{78}, output),
            ISDSC_INVALID_PARAMETER);
  in.FirstLba = 8192;
  output.assign(512, {});
  EXPECT_EQ(status_of(POLLUX_OP_BENCH, in, output), ISDSC_INVALID_PARAMETER);
}

TEST(BenchRequest, BuffersAreBounded) {
  pollux_bench_in in{};
  in.IoSize = kBenchIoSizeMax;
  in.QueueDepth = 64;
  in.Seconds = 1;
  EXPECT_EQ(validate_bench(in, 1u << 20, 512), "");
  in.QueueDepth = 128;
  EXPECT_NE(validate_bench(in, 1u << 20, 512).find("256 MiB"), std::string::npos);
}

TEST_F(OperationsTest, ClientThatDiesStopsItsBenchmark) {
  const std::uint64_t id = login();
  pollux_client* other = connect();
  pollux_bench_in in{};
  in.UniqueSessionId = id;
  in.BenchId = 5;
  in.IoSize = 512;
  in.QueueDepth = 1;
  in.Seconds = 3600;
  pollux_bench_out out{};
  pollux_client_command command{};
  command.size = sizeof(command);
  command.opcode = POLLUX_OP_BENCH;
  command.input = &in;
  command.input_bytes = sizeof(in);
  command.output = &out;
  command.output_bytes = sizeof(out);
  ASSERT_EQ(pollux_client_submit(other, &command, nullptr), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  pollux_client_close(other);
  for (int i = 0; i < 100; ++i) {
    Bytes output(512);
    status_of(POLLUX_OP_BENCH_PROGRESS, pollux_bench_progress_in{5}, output);
    if (read_as<pollux_bench_out>(output).Finished == 1) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  FAIL() << "the benchmark goes on";
}

TEST_F(OperationsTest, RemainingOperationsAreRefusedWithTheirStructures) {
  const std::pair<std::uint32_t, std::size_t> opcodes[] = {
      {MSiSCSI_AddConnectionToSession, sizeof(AddConnectionToSession_OUT)},
      {MSiSCSI_RemovePersistentLogin, 4},
      {MSiSCSI_RemoveConnectionFromSession, 4},
      {MSiSCSI_SetCHAPSharedSecret, 4},
      {MSiSCSI_SetRADIUSSharedSecret, 4},
      {MSiSCSI_DeleteInitiatorNodeName, 4},
      {MSiSCSI_SetInitiatorNodeName, 4},
      {MSiSCSI_AddiSNSServer, 4},
      {MSiSCSI_RemoveiSNSServer, 4},
      {MSiSCSI_AddRADIUSServer, 4},
      {MSiSCSI_RemoveRADIUSServer, 4}};
  for (const auto& [opcode, bytes] : opcodes) {
    const Bytes input(1024);
    Bytes output(bytes);
    ASSERT_EQ(call(opcode, input, output), 0) << opcode;
    EXPECT_EQ(output.size(), bytes);
    EXPECT_EQ(read_as<std::uint32_t>(output), ISDSC_REQUEST_NOT_SUPPORTED) << opcode;
  }
}

TEST_F(OperationsTest, StatusAndStatsAreJson) {
  login();
  for (const std::uint32_t opcode : {POLLUX_OP_STATUS, POLLUX_OP_STATS}) {
    Bytes small(8);
    EXPECT_EQ(call(opcode, {}, small), POLLUX_ETOOSMALL);
    Bytes output(16384);
    ASSERT_EQ(call(opcode, {}, output), 0);
    const std::string json = text_behind(output, 8);
    EXPECT_EQ(json.size(), read_as<pollux_status_out>(output).JsonSize);
    EXPECT_NE(json.find("\"schema\":\"pollux.st"), std::string::npos) << json;
  }
}

TEST_F(OperationsTest, StatsSayWhereTheCyclesOfAWorkerGo) {
  Bytes output(16384);
  ASSERT_EQ(call(POLLUX_OP_STATS, {}, output), 0);
  const auto json = nlohmann::json::parse(text_behind(output, 8));
  EXPECT_EQ(json["schema"], "pollux.stats.1") << "members are added without a new number";
  const auto& counted = json["workers"].at(0);
  EXPECT_EQ(counted["away_cycles"], 200);
  EXPECT_DOUBLE_EQ(counted["busy_share"].get<double>(), 0.3);
  EXPECT_DOUBLE_EQ(counted["cycles_per_command"].get<double>(), 75.0);
  EXPECT_EQ(counted["read_bytes"], 8192);
  EXPECT_EQ(counted["written_bytes"], 4096);
  EXPECT_EQ(counted["sampled_cycles"].size(), POLLUX_STAGES);
  EXPECT_EQ(counted["sampled_cycles"]["tcp"], 3);
  EXPECT_EQ(counted["sampled_cycles"]["copy"], 0);
  EXPECT_EQ(counted["received_bursts"]["3-4"], 6);
  EXPECT_EQ(counted["sent_bursts"]["33 up"], 7);
}

TEST_F(OperationsTest, StatusShowsTheStateOfAnAddressAndTheEventOfAConflict) {
  config.ports = {
      {.name = "san0",
       .device = "net_tap0",
       .interface = {.address = net::IpAddress::v4(10, 99, 0, 2), .detect_conflicts = true}}};
  const auto status = [this] {
    Bytes output(16384);
    EXPECT_EQ(call(POLLUX_OP_STATUS, {}, output), 0);
    return text_behind(output, 8);
  };
  const auto set = [this](net::AddressState state) {
    static std::uint32_t changes = 0;
    worker.link.addresses[0] = worker::address_word({.ipv4 = state}, ++changes);
  };
  set(net::AddressState::probing);
  EXPECT_NE(status().find(R"("address_state":"being checked for another user")"),
            std::string::npos);
  set(net::AddressState::conflict);
  std::string json = status();
  EXPECT_NE(json.find(R"("address_state":"not used: another station on the link has it")"),
            std::string::npos)
      << json;
  for (int i = 0;
       i < 100 && json.find("another station on the link has 10.99.0.2") == std::string::npos;
       ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    json = status();
  }
  EXPECT_NE(json.find("port san0: another station on the link has 10.99.0.2"), std::string::npos);
  set(net::AddressState::usable);
  EXPECT_NE(status().find(R"("address_state":"in use")"), std::string::npos);
}

}  // namespace
}  // namespace pollux::service::testing
