// See session_list.hpp.
#include "control/cli/session_list.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <array>
#include <cstring>

#include "control/cli/operation.hpp"
#include "pollux/operations.h"

namespace pollux::cli {
namespace {

constexpr std::size_t kFirstListBytes = std::size_t{16} << 10;
constexpr std::size_t kFirstStatusBytes = std::size_t{64} << 10;

ConnectionRow connection_row(const ISCSI_ConnectionStaticInfo& info) {
  ConnectionRow row;
  row.id = info.UniqueConnectionId;
  row.cid = info.CID;
  row.state = info.State;
  row.header_digest = info.HeaderIntegrity == ISCSI_DIGEST_TYPE_CRC32C;
  row.data_digest = info.DataIntegrity == ISCSI_DIGEST_TYPE_CRC32C;
  row.local = {address_text(info.LocalAddr), static_cast<std::uint16_t>(info.LocalPort)};
  row.remote = {address_text(info.RemoteAddr), static_cast<std::uint16_t>(info.RemotePort)};
  row.max_recv_data_segment_length = info.MaxRecvDataSegmentLength;
  return row;
}

SessionRow session_row(const ISCSI_SessionStaticInfo& info) {
  SessionRow row;
  row.id = info.UniqueSessionId;
  row.initiator = decode_text(info.InitiatoriSCSIName);
  row.target = decode_text(info.TargetiSCSIName);
  row.tsih = info.TSID;
  for (const std::uint8_t byte : info.ISID) row.isid += fmt::format("{:02x}", byte);
  row.type = info.Type;
  row.error_recovery_level = info.ErrorRecoveryLevel;
  row.initial_r2t = info.InitialR2t != 0;
  row.immediate_data = info.ImmediateData != 0;
  row.max_outstanding_r2t = info.MaxOutstandingR2t;
  row.first_burst_length = info.FirstBurstLength;
  row.max_burst_length = info.MaxBurstLength;
  row.max_connections = info.MaxConnections;
  return row;
}

std::string connection_state_text(std::uint8_t state) {
  switch (state) {
    case ISCSI_CONNECTION_STATE_LOGIN:
      return "in login";
    case ISCSI_CONNECTION_STATE_FULL_FEATURE:
      return "logged in";
    case ISCSI_CONNECTION_STATE_LOGOUT:
      return "in logout";
    default:
      return fmt::format("state {}", state);
  }
}

std::string digest_text(bool is_on) { return is_on ? "crc32c" : "none"; }

Failure contradiction() {
  return {ExitCode::internal, "Listing sessions failed: the service's answer contradicts itself."};
}

}  // namespace

std::string address_text(const ISCSI_IP_Address& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  switch (address.Type) {
    case ISCSI_IP_ADDRESS_IPV4:
      inet_ntop(AF_INET, &address.IpV4Address, text.data(), text.size());
      return text.data();
    case ISCSI_IP_ADDRESS_IPV6:
      inet_ntop(AF_INET6, address.IpV6Address, text.data(), text.size());
      return text.data();
    case ISCSI_IP_ADDRESS_TEXT:
      return decode_text(address.TextAddress);
    default:
      return "-";
  }
}

std::string SessionRow::portal_text() const {
  return connections.empty() ? "-" : url::format_portal(connections.front().remote);
}

std::string SessionRow::state_text() const {
  return connections.empty() ? "not connected" : connection_state_text(connections.front().state);
}

std::vector<SessionRow> decode_session_list(const Answer& answer) {
  constexpr std::size_t kListOffset = offsetof(pollux_session_list_out, Info) +
                                      offsetof(MSiSCSI_InitiatorSessionInfo, SessionsList);
  std::uint32_t count = 0;
  const auto count_bytes = answer.bytes_at(offsetof(pollux_session_list_out, Info) +
                                               offsetof(MSiSCSI_InitiatorSessionInfo, SessionCount),
                                           sizeof(count));
  if (count_bytes.size() != sizeof(count)) throw contradiction();
  std::memcpy(&count, count_bytes.data(), sizeof(count));

  constexpr std::size_t kHeadBytes = POLLUX_SESSION_INFO_BYTES(0);
  std::vector<SessionRow> sessions;
  std::size_t offset = kListOffset;
  for (std::uint32_t i = 0; i < count; ++i) {
    ISCSI_SessionStaticInfo info{};
    const auto head = answer.bytes_at(offset, kHeadBytes);
    if (head.size() != kHeadBytes) throw contradiction();
    std::memcpy(&info, head.data(), kHeadBytes);
    SessionRow row = session_row(info);
    for (std::uint16_t c = 0; c < info.ConnectionCount; ++c) {
      ISCSI_ConnectionStaticInfo connection{};
      const auto bytes = answer.bytes_at(offset + POLLUX_SESSION_INFO_BYTES(c), sizeof(connection));
      if (bytes.size() != sizeof(connection)) throw contradiction();
      std::memcpy(&connection, bytes.data(), sizeof(connection));
      row.connections.push_back(connection_row(connection));
    }
    sessions.push_back(std::move(row));
    offset += POLLUX_SESSION_INFO_BYTES(info.ConnectionCount);
  }
  return sessions;
}

std::vector<SessionRow> list_sessions(Connection& connection, std::uint32_t deadline_ms) {
  const std::string what = "Listing sessions";
  const Answer answer =
      connection.call(what, POLLUX_OP_SESSION_LIST, {}, kFirstListBytes, deadline_ms);
  if (const std::uint32_t status = status_of(what, answer); status != 0)
    throw failure_of_status(what, status);
  return decode_session_list(answer);
}

void find_workers(Connection& connection, std::uint32_t deadline_ms,
                  std::vector<SessionRow>& sessions) {
  const std::string what = "Asking for the service's status";
  const Answer answer = connection.call(what, POLLUX_OP_STATUS, {}, kFirstStatusBytes, deadline_ms);
  if (status_of(what, answer) != 0) return;
  const auto out = output_of<pollux_status_out>(answer);
  const auto bytes = answer.bytes_at(offsetof(pollux_status_out, Json), out.JsonSize);
  const Json json = Json::parse(
      std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), nullptr, false);
  if (!json.is_object() || !json.contains("sessions") || !json["sessions"].is_array()) return;
  for (const Json& entry : json["sessions"]) {
    const std::string id = entry.is_object() ? entry.value("id", "") : "";
    for (SessionRow& row : sessions)
      if (format_id(row.id) == id && entry.contains("worker") &&
          entry["worker"].is_number_unsigned())
        row.worker = entry["worker"].get<std::uint32_t>();
  }
}

std::string session_type_text(std::uint8_t type) {
  switch (type) {
    case ISCSI_SESSION_DISCOVERY:
      return "discovery";
    case ISCSI_SESSION_INFORMATIONAL:
      return "informational";
    case ISCSI_SESSION_DATA:
      return "normal";
    case ISCSI_SESSION_BOOT:
      return "boot";
    default:
      return fmt::format("type {}", type);
  }
}

std::string sessions_table(const std::vector<SessionRow>& sessions) {
  Table table({"SESSION", "TYPE", "STATE", "PORTAL", "DIGESTS", "WORKER", "TARGET"});
  for (const SessionRow& session : sessions) {
    std::string digests = "-";
    if (!session.connections.empty())
      digests = fmt::format("{}/{}", digest_text(session.connections.front().header_digest),
                            digest_text(session.connections.front().data_digest));
    table.add({format_id(session.id), session_type_text(session.type), session.state_text(),
               session.portal_text(), digests,
               session.worker ? fmt::format("{}", *session.worker) : "-",
               session.target.empty() ? "-" : session.target});
  }
  return table.text();
}

Json sessions_json(const std::vector<SessionRow>& sessions) {
  Json json = document("sessions");
  json["sessions"] = Json::array();
  for (const SessionRow& session : sessions) {
    Json connections = Json::array();
    for (const ConnectionRow& c : session.connections)
      connections.push_back({{"connection_id", format_id(c.id)},
                             {"cid", c.cid},
                             {"state", connection_state_text(c.state)},
                             {"local", url::format_portal(c.local)},
                             {"portal", url::format_portal(c.remote)},
                             {"header_digest", digest_text(c.header_digest)},
                             {"data_digest", digest_text(c.data_digest)},
                             {"max_recv_data_segment_length", c.max_recv_data_segment_length}});
    json["sessions"].push_back({{"session_id", format_id(session.id)},
                                {"type", session_type_text(session.type)},
                                {"state", session.state_text()},
                                {"worker", session.worker ? Json(*session.worker) : Json()},
                                {"target", session.target},
                                {"initiator", session.initiator},
                                {"isid", session.isid},
                                {"tsih", session.tsih},
                                {"error_recovery_level", session.error_recovery_level},
                                {"initial_r2t", session.initial_r2t},
                                {"immediate_data", session.immediate_data},
                                {"max_outstanding_r2t", session.max_outstanding_r2t},
                                {"first_burst_length", session.first_burst_length},
                                {"max_burst_length", session.max_burst_length},
                                {"max_connections", session.max_connections},
                                {"connections", std::move(connections)}});
  }
  return json;
}

}  // namespace pollux::cli
