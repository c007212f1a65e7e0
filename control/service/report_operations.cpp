// What the service knows about itself: session list in the structures of
// MSiSCSI_InitiatorSessionInfo, status and counters as JSON. The number at the end of a schema's
// name grows when a member goes or comes to mean something else; members are added without a new
// number, so that a reader leaves alone what it does not know.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "control/ratio.hpp"
#include "control/ring/text.hpp"
#include "control/service/config_text.hpp"
#include "control/service/operations.hpp"
#include "dataplane/base/stage_clock.hpp"
#include "dataplane/wire/ipv6.hpp"

namespace pollux::service {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  // Sentences may quote a target; what is not UTF-8 is replaced, not refused.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void set_address(ISCSI_IP_Address& out, const net::IpAddress& address) {
  if (address.is_v4()) {
    out.Type = ISCSI_IP_ADDRESS_IPV4;
    std::memcpy(&out.IpV4Address, address.bytes.data() + 12, 4);
  } else {
    out.Type = ISCSI_IP_ADDRESS_IPV6;
    const net::IpAddress bare = address.with_zone(0);
    std::copy(bare.bytes.begin(), bare.bytes.end(), out.IpV6Address);
    out.IpV6ScopeId = address.zone();
  }
}

bool is_on_link(const net::InterfaceConfig& interface, const net::IpAddress& remote) {
  if (!remote.is_v4()) {
    return interface.address6 != net::IpAddress{} &&
           wire::same_ipv6_prefix(interface.address6.bytes, remote.bytes, interface.prefix_length6);
  }
  const std::uint32_t mask = ~std::uint32_t{0} << (32 - interface.prefix_length);
  return interface.has_ipv4() && ((interface.address.v4_host() ^ remote.v4_host()) & mask) == 0;
}

/// Our address towards `remote`: of the port in whose network it is, else of the one with a
/// gateway. Nothing for addresses that only the port itself knows (link-local, advertised).
net::IpAddress local_address(const Config& config, const net::IpAddress& remote) {
  if (remote.is_link_local()) return {};
  const net::InterfaceConfig* with_gateway = nullptr;
  for (const PortConfig& port : config.ports) {
    const net::InterfaceConfig& interface = port.interface;
    if (is_on_link(interface, remote))
      return remote.is_v4() ? interface.address : interface.address6;
    const net::IpAddress& gateway = remote.is_v4() ? interface.gateway : interface.gateway6;
    if (with_gateway == nullptr && gateway != net::IpAddress{}) with_gateway = &interface;
  }
  if (with_gateway == nullptr) return {};
  return remote.is_v4() ? with_gateway->address : with_gateway->address6;
}

/// The queue pairs of one port, which belong to different workers.
Json queues_of(const std::string& port, const PortEvents& events) {
  Json json = Json::array();
  for (std::size_t i = 0; i < events.ports().size(); ++i) {
    const PortReport& report = events.ports()[i];
    if (report.name != port) continue;
    json.push_back({{"worker", report.worker},
                    {"state", to_text(events.state(i))},
                    {"state_changes", events.changes(i)}});
    if (!report.capabilities.driver.empty())
      json.back()["capabilities"] = to_json(report.capabilities);
  }
  return json;
}

ISCSI_SessionStaticInfo session_info(const SessionRecord& record) {
  const session::OperationalParameters& agreed = record.negotiated.parameters;
  ISCSI_SessionStaticInfo info{};
  info.UniqueSessionId = record.id;
  static_cast<void>(ring::encode_text(info.InitiatoriSCSIName, record.request.initiator_name));
  static_cast<void>(ring::encode_text(info.TargetiSCSIName, record.request.target_name));
  info.TSID = record.step == SessionStep::failed ? std::uint16_t{0} : record.negotiated.tsih;
  std::copy(record.isid.begin(), record.isid.end(), info.ISID);
  info.InitialR2t = agreed.initial_r2t;
  info.ImmediateData = agreed.immediate_data;
  info.Type = static_cast<std::uint8_t>(record.request.kind);
  info.DataSequenceInOrder = agreed.data_sequence_in_order;
  info.DataPduInOrder = agreed.data_pdu_in_order;
  info.ErrorRecoveryLevel = agreed.error_recovery_level;
  info.MaxOutstandingR2t = agreed.max_outstanding_r2t;
  info.FirstBurstLength = agreed.first_burst_length;
  info.MaxBurstLength = agreed.max_burst_length;
  info.MaxConnections = agreed.max_connections;
  info.ConnectionCount = record.step == SessionStep::failed ? 0 : 1;
  return info;
}

ISCSI_ConnectionStaticInfo connection_info(const SessionRecord& record, const Config& config) {
  const session::OperationalParameters& agreed = record.negotiated.parameters;
  ISCSI_ConnectionStaticInfo info{};
  info.UniqueConnectionId = record.connection_id;
  info.State = record.step == SessionStep::logged_in ? ISCSI_CONNECTION_STATE_FULL_FEATURE
                                                     : ISCSI_CONNECTION_STATE_LOGOUT;
  info.Protocol = ISCSI_PROTOCOL_TCP;
  info.HeaderIntegrity = agreed.header_digest ? ISCSI_DIGEST_TYPE_CRC32C : ISCSI_DIGEST_TYPE_NONE;
  info.DataIntegrity = agreed.data_digest ? ISCSI_DIGEST_TYPE_CRC32C : ISCSI_DIGEST_TYPE_NONE;
  info.MaxRecvDataSegmentLength = agreed.max_recv_data_segment_length;
  info.AuthType = ISCSI_NO_AUTH_TYPE;
  set_address(info.LocalAddr, local_address(config, record.remote.address));
  info.LocalPort = record.local_port;
  set_address(info.RemoteAddr, record.remote.address);
  info.RemotePort = record.remote.port;
  return info;
}

}  // namespace

void Operations::session_list(Serial serial, Instant) {
  const std::vector<const SessionRecord*> sessions = options_.sessions.sessions();
  constexpr std::size_t kHead = offsetof(pollux_session_list_out, Info) +
                                offsetof(MSiSCSI_InitiatorSessionInfo, SessionsList);
  std::size_t needed = kHead;
  for (const SessionRecord* record : sessions) {
    needed += POLLUX_SESSION_INFO_BYTES(record->step == SessionStep::failed ? 0 : 1);
  }
  if (!require_room(serial, needed)) return;
  std::vector<std::byte> output(needed);
  pollux_session_list_out head{};
  head.Info.UniqueAdapterId = static_cast<std::uint64_t>(getpid());
  head.Info.SessionCount = static_cast<std::uint32_t>(sessions.size());
  std::memcpy(output.data(), &head, kHead);
  std::size_t at = kHead;
  for (const SessionRecord* record : sessions) {
    const ISCSI_SessionStaticInfo info = session_info(*record);
    std::memcpy(output.data() + at, &info, POLLUX_SESSION_INFO_BYTES(0));
    if (info.ConnectionCount == 1) {
      const ISCSI_ConnectionStaticInfo connection = connection_info(*record, options_.config);
      std::memcpy(output.data() + at + POLLUX_SESSION_INFO_BYTES(0), &connection,
                  sizeof(connection));
    }
    at += POLLUX_SESSION_INFO_BYTES(info.ConnectionCount);
  }
  finish(serial, POLLUX_RING_OK, output);
}

void Operations::answer_json(Serial serial, const std::string& json) {
  static_assert(offsetof(pollux_status_out, Json) == offsetof(pollux_stats_out, Json));
  constexpr std::size_t kHead = offsetof(pollux_status_out, Json);
  if (!require_room(serial, kHead + json.size())) return;
  pollux_status_out out{};
  out.JsonSize = static_cast<std::uint32_t>(json.size());
  std::vector<std::byte> output(kHead + json.size());
  std::memcpy(output.data(), &out, kHead);
  std::memcpy(output.data() + kHead, json.data(), json.size());
  finish(serial, POLLUX_RING_OK, output);
}

namespace {

Json counters_of(const std::function<std::vector<CounterReport>()>& source) {
  Json all = Json::array();
  for (const CounterReport& report : source ? source() : std::vector<CounterReport>{}) {
    Json counters{{"port", report.port}, {"worker", report.worker}};
    for (const auto& [name, value] : report.counters) counters[name] = value;
    all.push_back(std::move(counters));
  }
  return all;
}

Json port_json(const PortConfig& port) {
  const net::InterfaceConfig& interface = port.interface;
  Json json{{"name", port.name}, {"device", port.device}};
  if (interface.has_ipv4())
    json["address"] = fmt::format("{}/{}", to_text(interface.address), interface.prefix_length);
  if (interface.address6 != net::IpAddress{})
    json["ipv6_address"] =
        fmt::format("{}/{}", to_text(interface.address6), interface.prefix_length6);
  if (interface.tagged()) {
    json["vlan"] = interface.vlan_id;
    json["priority"] = interface.priority;
  }
  json["mtu"] = port.mtu;
  return json;
}

constexpr std::array<const char*, POLLUX_BURST_SIZES> kBurstNames = {"1",    "2",     "3-4",  "5-8",
                                                                     "9-16", "17-32", "33 up"};
static_assert(kStageNames.size() == POLLUX_STAGES);

template <std::size_t kCount>
Json by_name(const std::array<const char*, kCount>& names, const std::uint64_t (&values)[kCount]) {
  Json json;
  for (std::size_t i = 0; i < kCount; ++i) json[names[i]] = values[i];
  return json;
}

Json worker_json(const pollux_worker_stats& stats) {
  const std::uint64_t cycles = stats.busy_cycles + stats.idle_cycles + stats.away_cycles;
  const auto busy = static_cast<double>(stats.busy_cycles);
  return {{"turns", stats.turns},
          {"busy_cycles", stats.busy_cycles},
          {"idle_cycles", stats.idle_cycles},
          {"away_cycles", stats.away_cycles},
          {"busy_share", ratio(busy, static_cast<double>(cycles))},
          {"tsc_hz", stats.tsc_hz},
          {"commands", stats.commands},
          {"cycles_per_command", ratio(busy, static_cast<double>(stats.commands))},
          {"read_bytes", stats.read_bytes},
          {"written_bytes", stats.written_bytes},
          {"copied_bytes", stats.copied_bytes},
          {"frames_received", stats.frames_received},
          {"frames_sent", stats.frames_sent},
          {"retransmitted_segments", stats.retransmitted_segments},
          {"buffers_in_use", stats.buffers_in_use},
          {"tasks_in_use", stats.tasks_in_use},
          {"timers_armed", stats.timers_armed},
          {"naps", stats.naps},
          {"nap_cycles", stats.nap_cycles},
          {"sampled_cycles", by_name(kStageNames, stats.sampled_cycles)},
          {"received_bursts", by_name(kBurstNames, stats.received_bursts)},
          {"sent_bursts", by_name(kBurstNames, stats.sent_bursts)}};
}

}  // namespace

void Operations::status(Serial serial, Instant now) {
  Json json;
  json["schema"] = "pollux.status.1";
  json["instance"] = options_.config.instance;
  json["pid"] = getpid();
  json["uptime_seconds"] = std::chrono::duration_cast<std::chrono::seconds>(now - started_).count();
  json["initiator_name"] = options_.sessions.initiator_name();
  json["ports"] = Json::array();
  for (const PortConfig& port : options_.config.ports) {
    Json& entry = json["ports"].emplace_back(port_json(port));
    const worker::AddressReport addresses = options_.ports.addresses(port.name);
    if (port.interface.has_ipv4()) entry["address_state"] = ipv4_words(addresses);
    if (port.interface.has_ipv6()) entry["ipv6_state"] = ipv6_words(addresses);
    entry["queues"] = queues_of(port.name, options_.ports);
  }
  json["workers"] = Json::array();
  for (const auto& worker : options_.workers) {
    json["workers"].push_back({{"connection_slots", worker->slot_count()},
                               {"connection_slots_free", worker->free_slot_count()}});
  }
  json["sessions"] = Json::array();
  for (const SessionRecord* record : options_.sessions.sessions()) {
    json["sessions"].push_back({{"id", fmt::format("0x{:016x}", record->id)},
                                {"target", record->request.target_name},
                                {"portal", to_text(record->remote)},
                                {"worker", record->worker},
                                {"type", static_cast<int>(record->request.kind)},
                                {"state", step_name(record->step)},
                                {"state_text", record->state_text}});
  }
  json["benchmarks"] = benches_.size();
  json["events"] = options_.recent_events ? options_.recent_events() : std::vector<std::string>{};
  answer_json(serial, dump(json));
}

void Operations::stats(Serial serial, Instant) {
  const SessionCounters& sessions = options_.sessions.counters();
  Json json;
  json["schema"] = "pollux.stats.1";
  json["sessions"] = {{"logins_succeeded", sessions.logins_succeeded},
                      {"logins_failed", sessions.logins_failed},
                      {"redirections", sessions.redirections},
                      {"logouts", sessions.logouts},
                      {"connections_lost", sessions.connections_lost},
                      {"async_messages", sessions.async_messages},
                      {"rejects", sessions.rejects},
                      {"stale_messages", sessions.stale_messages},
                      {"unexpected_pdus", sessions.unexpected_pdus}};
  json["workers"] = Json::array();
  for (std::uint32_t worker = 0; worker < options_.workers.size(); ++worker) {
    pollux_worker_stats stats{};
    if (!options_.queues.stats(worker, stats)) continue;
    json["workers"].push_back(worker_json(stats));
  }
  json["queues"] = counters_of(options_.queue_counters);
  json["protocols"] = counters_of(options_.protocol_counters);
  json["steering"] = Json::array();
  for (const SteeringReport& report :
       options_.steering_reports ? options_.steering_reports() : std::vector<SteeringReport>{}) {
    Json port{{"port", report.name}, {"by", report.steering}};
    for (const auto& [name, value] : report.counters) port[name] = value;
    json["steering"].push_back(std::move(port));
  }
  if (const ring::ServerCounters* ring =
          options_.ring_counters ? options_.ring_counters() : nullptr) {
    json["ring"] = {
        {"clients_admitted", ring->clients_admitted}, {"clients_refused", ring->clients_refused},
        {"clients_gone", ring->clients_gone},         {"channels_broken", ring->channels_broken},
        {"commands_taken", ring->commands_taken},     {"commands_refused", ring->commands_refused},
        {"completions", ring->completions},           {"doorbells_rung", ring->doorbells_rung}};
  }
  answer_json(serial, dump(json));
}

}  // namespace pollux::service
