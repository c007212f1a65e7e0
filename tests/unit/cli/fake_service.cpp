// See fake_service.hpp.
#include "tests/unit/cli/fake_service.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cstring>

#include "control/url/lun.hpp"
#include "pollux/client.h"
#include "pollux/iscsierr.h"
#include "pollux/ring.h"

namespace pollux::cli::testing {
namespace {

template <typename Input>
Input input_of(const ring::Request& request) {
  Input input{};
  std::memcpy(&input, request.input.data(), std::min(sizeof(input), request.input.size()));
  return input;
}

std::string text_of(std::span<const std::uint16_t> field) {
  std::vector<char> utf8(field.size() * 3 + 1);
  const int length = pollux_text_decode(field.data(), field.size(), utf8.data(), utf8.size());
  return length < 0 ? "malformed" : std::string(utf8.data(), static_cast<std::size_t>(length));
}

void put_big_endian(std::vector<std::byte>& bytes, std::uint64_t value, unsigned size) {
  for (unsigned i = size; i-- > 0;) bytes.push_back(static_cast<std::byte>(value >> (8 * i)));
}

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

std::uint32_t login_status(const std::string& target, std::uint16_t port) {
  if (port == kRefusedPort) return ISDSC_CONNECTION_FAILED;
  if (target == kMissing) return ISDSC_NOT_FOUND;
  if (target == kForbidden) return ISDSC_AUTHORIZATION_FAILURE;
  if (target == kBroken) return ISDSC_NON_SPECIFIC_ERROR;
  if (target == kTwice) return ISDSC_TARGET_ALREADY_LOGGED_IN;
  return ISDSC_SUCCESS;
}

}  // namespace

FakeService::FakeService(const std::string& socket_path)
    : disk(std::size_t{kBlocks} * kBlockBytes) {
  ring::ServerOptions options;
  options.socket_path = socket_path;
  auto listening = ring::Server::listen(options);
  if (!listening) {
    ADD_FAILURE() << listening.error().message;
    return;
  }
  server_ = std::move(*listening);
  thread_ = std::thread([this] { run(); });
}

FakeService::~FakeService() { stop(); }

void FakeService::stop() {
  is_stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void FakeService::run() {
  while (!is_stopping_ && !is_dead_) {
    if (server_->poll(*this) || !server_->prepare_sleep()) continue;
    pollfd readable{server_->wait_fd(), POLLIN, 0};
    ::poll(&readable, 1, 10);
    server_->finish_sleep();
  }
  server_.reset();
}

void FakeService::answer(const ring::Request& request, std::span<const std::byte> bytes) {
  server_->complete(request.id, POLLUX_RING_OK, bytes);
}

FakeSession* FakeService::find(std::uint64_t id) {
  const auto found = std::find_if(sessions.begin(), sessions.end(),
                                  [&](const FakeSession& session) { return session.id == id; });
  return found == sessions.end() ? nullptr : &*found;
}

void FakeService::on_command(const ring::Request& request) {
  switch (request.opcode) {
    case MSiSCSI_LoginToTarget:
      return on_login(request);
    case MSiSCSI_LogoutFromTarget:
      return on_logout(request);
    case MSiSCSI_SendTargets:
      return on_send_targets(request);
    case POLLUX_OP_SESSION_LIST:
      return on_session_list(request);
    case MSiSCSI_ScsiInquiry:
    case MSiSCSI_ScsiReadCapacity:
    case MSiSCSI_ScsiReportLuns:
      return on_scsi(request);
    case POLLUX_OP_READ:
    case POLLUX_OP_WRITE:
    case POLLUX_OP_VERIFY:
      return on_io(request);
    case POLLUX_OP_BENCH:
      return on_bench(request);
    case POLLUX_OP_STATUS:
    case POLLUX_OP_STATS:
      return on_json(request);
    default:
      server_->complete(request.id, POLLUX_RING_FAILED);
  }
}

void FakeService::on_cancel(ring::RequestId request) {
  ++cancels_;
  server_->complete(request, POLLUX_RING_CANCELLED);
}

void FakeService::on_client_gone(ring::ClientId client) {
  for (const ring::RequestId& held : held_)
    if (held.client == client) server_->complete(held, POLLUX_RING_FAILED);
}

void FakeService::on_login(const ring::Request& request) {
  const auto in = input_of<LoginToTarget_IN>(request);
  const std::string target = text_of(in.TargetName);
  if (in.TargetPortal.Socket == kSilentPort) {
    server_->complete(request.id, POLLUX_RING_DEADLINE_PASSED);
    return;
  }
  LoginToTarget_OUT out{};
  out.Status = login_status(target, in.TargetPortal.Socket);
  if (out.Status == ISDSC_SUCCESS) {
    out.UniqueSessionId = next_session_++;
    out.UniqueConnectionId = out.UniqueSessionId + 0x100;
    sessions.push_back(
        {out.UniqueSessionId, target, in.SessionType, in.TargetPortal.Address.IpV4Address,
         in.TargetPortal.Socket,
         (in.LoginOptions.InformationSpecified & ISCSI_LOGIN_OPTIONS_HEADER_DIGEST) &&
             in.LoginOptions.HeaderDigest == ISCSI_DIGEST_TYPE_CRC32C});
  }
  answer_with(request, out);
}

void FakeService::on_logout(const ring::Request& request) {
  const auto in = input_of<LogoutFromTarget_IN>(request);
  LogoutFromTarget_OUT out{};
  const FakeSession* session = find(in.UniqueSessionId);
  if (session == nullptr) {
    out.Status = ISDSC_INVALID_SESSION_ID;
  } else if (session->target == kSticky) {
    out.Status = ISDSC_NON_SPECIFIC_ERROR;
  } else {
    std::erase_if(sessions, [&](const FakeSession& s) { return s.id == in.UniqueSessionId; });
  }
  answer_with(request, out);
}

void FakeService::on_send_targets(const ring::Request& request) {
  const auto in = input_of<SendTargets_IN>(request);
  SendTargets_OUT out{};
  const FakeSession* session = find(in.UniqueSessionId);
  const std::string text = text_of(in.SendTargetsText);
  if (session == nullptr) {
    out.Status = ISDSC_INVALID_SESSION_ID;
  } else if ((session->type == ISCSI_SESSION_DISCOVERY) != (text == "All")) {
    out.Status = ISDSC_SESSION_TYPE_NOT_SUPPORTED;
  }
  std::string response;
  if (out.Status == 0) {
    const auto pair = [&](const std::string& p) { response += p + std::string(1, '\0'); };
    pair(std::string("TargetName=") + kTarget);
    pair("TargetAddress=10.0.0.1:3260,1");
    // More targets than the first output area holds: the program has to come back with a larger
    // one.
    for (int i = 0; text == "All" && i < 400; ++i) {
      pair(fmt::format("TargetName=iqn.2003-01.org.example:many-{}", i));
      pair("TargetAddress=[fd00::1]:3261,2");
    }
  }
  out.ResponseSize = static_cast<std::uint32_t>(response.size());
  std::vector<std::byte> bytes(offsetof(SendTargets_OUT, Response));
  std::memcpy(bytes.data(), &out, bytes.size());
  const auto tail = bytes_of(response);
  bytes.insert(bytes.end(), tail.begin(), tail.end());
  answer(request, bytes);
}

void FakeService::on_session_list(const ring::Request& request) {
  constexpr std::size_t kHead = offsetof(pollux_session_list_out, Info) +
                                offsetof(MSiSCSI_InitiatorSessionInfo, SessionsList);
  std::vector<std::byte> bytes(kHead + sessions.size() * POLLUX_SESSION_INFO_BYTES(1));
  const auto count = static_cast<std::uint32_t>(sessions.size());
  std::memcpy(bytes.data() + offsetof(pollux_session_list_out, Info) +
                  offsetof(MSiSCSI_InitiatorSessionInfo, SessionCount),
              &count, sizeof(count));
  std::size_t offset = kHead;
  for (const FakeSession& session : sessions) {
    ISCSI_SessionStaticInfo info{};
    info.UniqueSessionId = session.id;
    pollux_text_encode(info.InitiatoriSCSIName, 224, "iqn.2026-01.org.example:initiator");
    pollux_text_encode(info.TargetiSCSIName, 224, session.target.c_str());
    info.Type = static_cast<std::uint8_t>(session.type);
    info.TSID = 7;
    info.MaxBurstLength = 262144;
    info.ConnectionCount = 1;
    ISCSI_ConnectionStaticInfo& connection = info.ConnectionsList[0];
    connection.State = ISCSI_CONNECTION_STATE_FULL_FEATURE;
    connection.HeaderIntegrity =
        session.header_digest ? ISCSI_DIGEST_TYPE_CRC32C : ISCSI_DIGEST_TYPE_NONE;
    connection.RemoteAddr.Type = ISCSI_IP_ADDRESS_IPV4;
    connection.RemoteAddr.IpV4Address = session.ipv4;
    connection.RemotePort = session.port;
    std::memcpy(bytes.data() + offset, &info, sizeof(info));
    offset += POLLUX_SESSION_INFO_BYTES(1);
  }
  answer(request, bytes);
}

void FakeService::answer_scsi(const ring::Request& request, std::span<const std::byte> data) {
  ScsiInquiry_OUT out{};
  out.ResponseBufferSize = static_cast<std::uint32_t>(data.size());
  std::vector<std::byte> bytes(offsetof(ScsiInquiry_OUT, ResponseBuffer));
  std::memcpy(bytes.data(), &out, bytes.size());
  bytes.insert(bytes.end(), data.begin(), data.end());
  bytes.resize(std::max(bytes.size(), sizeof(ScsiInquiry_OUT)));
  answer(request, bytes);
}

void FakeService::answer_sense(const ring::Request& request, std::uint8_t key, std::uint8_t asc) {
  const std::uint8_t sense[18] = {0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, 0, 0, 0, 0, 0};
  if (request.opcode < POLLUX_OP_STATUS) {
    ScsiInquiry_OUT out{};
    out.Status = ISDSC_SCSI_REQUEST_FAILED;
    out.ScsiStatus = 0x02;
    std::memcpy(out.SenseBuffer, sense, sizeof(sense));
    return answer_with(request, out);
  }
  pollux_verify_out out{};
  out.Io.Status = ISDSC_SCSI_REQUEST_FAILED;
  out.Io.ScsiStatus = 0x02;
  out.Io.SenseSize = sizeof(sense);
  std::memcpy(out.Io.Sense, sense, sizeof(sense));
  if (request.opcode == POLLUX_OP_VERIFY) return answer_with(request, out);
  answer_with(request, out.Io);
}

void FakeService::on_scsi(const ring::Request& request) {
  const auto in = input_of<ScsiInquiry_IN>(request);  // the others begin like it
  if (find(in.UniqueSessionId) == nullptr) {
    ScsiInquiry_OUT out{};
    out.Status = ISDSC_INVALID_SESSION_ID;
    return answer_with(request, out);
  }
  std::vector<std::byte> data;
  if (request.opcode == MSiSCSI_ScsiReportLuns) {
    put_big_endian(data, 16, 4);
    put_big_endian(data, 0, 4);
    put_big_endian(data, 0, 8);
    put_big_endian(data, url::encode_lun(300), 8);
    return answer_scsi(request, data);
  }
  if (in.Lun != 0) return answer_sense(request, 0x05, 0x25);
  if (request.opcode == MSiSCSI_ScsiReadCapacity) {
    put_big_endian(data, kBlocks - 1, 8);
    put_big_endian(data, kBlockBytes, 4);
    data.resize(32);
    data[13] = std::byte{3};
  } else if (in.InquiryFlags == 1 && in.PageCode == 0x80) {
    data = bytes_of(std::string("\x00\x80\x00\x06 42  \x00", 10));
  } else if (in.InquiryFlags == 1 && in.PageCode == 0x83) {
    data = bytes_of(
        std::string("\x00\x83\x00\x0c\x01\x03\x00\x08\x60\x01\x02\x03\x04\x05\x06\x07", 16));
  } else if (in.InquiryFlags == 1) {
    return answer_sense(request, 0x05, 0x24);
  } else {
    data = bytes_of(std::string("\x00\x00\x06\x02\x1f\x00\x00\x02", 8) +
                    "EXAMPLE RAM disk        0001");
  }
  answer_scsi(request, data);
}

void FakeService::on_io(const ring::Request& request) {
  ++io_commands_;
  if (dies_on_io) {
    is_dead_ = true;
    return;
  }
  if (never_ends_io) {
    held_.push_back(request.id);
    return;
  }
  const auto in = input_of<pollux_io_in>(request);
  pollux_verify_out out{};
  if (find(in.UniqueSessionId) == nullptr) {
    out.Io.Status = ISDSC_INVALID_SESSION_ID;
    return answer(request, std::as_bytes(std::span(&out, 1)).first(sizeof(pollux_io_out)));
  }
  if (in.Lun != 0 || in.Lba + in.BlockCount > kBlocks) return answer_sense(request, 0x05, 0x21);
  if (in.Lba <= read_fails_at && read_fails_at < in.Lba + in.BlockCount)
    return answer_sense(request, 0x03, 0x11);
  const auto place =
      std::span(disk).subspan(in.Lba * kBlockBytes, std::size_t{in.BlockCount} * kBlockBytes);
  const auto given = request.input.subspan(POLLUX_IO_IN_DATA_OFFSET);
  if (request.opcode == POLLUX_OP_READ) {
    out.Io.DataSize = static_cast<std::uint32_t>(place.size());
    std::vector<std::byte> bytes(sizeof(pollux_io_out));
    std::memcpy(bytes.data(), &out.Io, bytes.size());
    bytes.insert(bytes.end(), place.begin(), place.end());
    return answer(request, bytes);
  }
  EXPECT_EQ(given.size(), place.size());
  if (request.opcode == POLLUX_OP_WRITE) {
    std::copy(given.begin(), given.end(), place.begin());
    return answer_with(request, out.Io);
  }
  const auto differs = std::mismatch(given.begin(), given.end(), place.begin());
  out.MismatchOffset = differs.first == given.end()
                           ? POLLUX_VERIFY_MATCHES
                           : static_cast<std::uint64_t>(differs.first - given.begin());
  answer_with(request, out);
}

void FakeService::on_bench(const ring::Request& request) {
  ++io_commands_;
  if (never_ends_io) {
    held_.push_back(request.id);
    return;
  }
  const auto in = input_of<pollux_bench_in>(request);
  pollux_bench_out out{};
  if (find(in.UniqueSessionId) == nullptr) out.Status = ISDSC_INVALID_SESSION_ID;
  out.Finished = 1;
  out.BenchId = in.BenchId;
  out.TotalIos = 1000;
  out.Errors = in.Workload == POLLUX_BENCH_WRITE ? 3 : 0;
  out.Bytes = 1000 * std::uint64_t{in.IoSize};
  out.RuntimeNs = in.Seconds * 1'000'000'000ull;
  out.Iops = 1000.0 / in.Seconds;
  out.Mibps = 1.5;
  out.LatencyAverageNs = 8500;
  out.LatencyP50Ns = 8000;
  out.LatencyP99Ns = 12000;
  out.LatencyMaxNs = 90000;
  out.BusyCycles = 800'000;
  out.IdleCycles = 200'000;
  out.CopiedBytes = (in.Flags & POLLUX_BENCH_FLAG_LENT) ? 0 : out.Bytes;
  out.CyclesPerSecond = 2'600'000'000;
  answer_with(request, out);
}

std::string FakeService::stats_json() {
  const std::uint64_t n = ++stats_asked_;
  // Long before the first look the stages were others: only differences may count.
  return fmt::format(
      R"({{"schema":"pollux.stats/1","counters":{{"rx_pdus":12}},"workers":[{{"busy_cycles":{},)"
      R"("idle_cycles":{},"away_cycles":{},"commands":{},"read_bytes":{},"written_bytes":{},)"
      R"("frames_received":{},"frames_sent":{},"retransmitted_segments":{},"buffers_in_use":77,)"
      R"("tasks_in_use":5,"sampled_cycles":{{"tcp":{},"copy":{}}},)"
      R"("received_bursts":{{"1":{},"3-4":{}}},)"
      R"("sent_bursts":{{"1":{},"3-4":0}}}}],)"
      R"("protocols":[{{"port":"lan\"0","worker":0,"rx_frames":9,"drop_short_frame":0,)"
      R"("address_state":2,"tcp_sent_bytes":8}},)"
      R"({{"port":"","worker":0,"iscsi_pdus_sent_total":6}}]}})",
      600'000 * n, 300'000 * n, 100'000 * n, 500 * n, 4096 * 1000 * n, 4096 * 500 * n, 1000 * n,
      300 * n, 0, 25 * n, 5'000'000 + 75 * n, 100 * n, 100 * n, 100 * n);
}

void FakeService::on_json(const ring::Request& request) {
  std::string json;
  if (request.opcode == POLLUX_OP_STATS) {
    json = stats_json();
    if (stats_asked_ == dies_at_stats) {
      is_dead_ = true;
      return;
    }
  } else {
    json = R"({"schema":"pollux.status/1","version":"0.1.0","workers":[{"id":0}])";
    if (!sessions.empty())
      json += fmt::format(
          R"(,"sessions":[{{"id":"0x{:016x}","worker":3,"state":"LOGGED_IN","target":"{}"}}])",
          sessions.front().id, sessions.front().target);
    json += '}';
  }
  pollux_status_out out{};
  out.JsonSize = static_cast<std::uint32_t>(json.size());
  std::vector<std::byte> bytes(offsetof(pollux_status_out, Json));
  std::memcpy(bytes.data(), &out, bytes.size());
  const auto tail = bytes_of(json);
  bytes.insert(bytes.end(), tail.begin(), tail.end());
  answer(request, bytes);
}

}  // namespace pollux::cli::testing
