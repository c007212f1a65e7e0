// What a service instance is configured with: one plain structure, read from TOML and written back
// as TOML. polluxd's flags change the same structure. Every refusal names source, line, key and
// what is allowed, because this text is all a newcomer sees when a machine is set up wrongly.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/net/interface_config.hpp"
#include "dataplane/tcp/congestion_options.hpp"
#include "dataplane/tcp/engine.hpp"

namespace pollux::service {

using Seconds = std::chrono::duration<double>;

/// [[port]]
struct PortConfig {
  std::string name;    ///< for people; "port0" and so on unless given
  std::string device;  ///< a DPDK vdev ("net_tap0,iface=..."), a PCI address, or "ring:NAME"
  net::InterfaceConfig interface;
  std::uint16_t mtu = 1500;            ///< of the IP packet
  std::uint16_t queues = 0;            ///< queue pairs to use at most; 0: one for each worker
  bool checksum_offload = true;        ///< false: software sums whatever the port can
  bool chains = true;                  ///< false: every frame is copied into one buffer
  bool tso = true;                     ///< false: the port is never asked to cut large segments
  bool allow_blocking_driver = false;  ///< net_af_packet, which may hang its worker
};

/// RFC 7143 13.1: the list offered, in the order preferred.
enum class DigestPreference : std::uint8_t {
  none,           ///< None
  crc32c,         ///< CRC32C; a target without it refuses the login
  prefer_none,    ///< None,CRC32C
  prefer_crc32c,  ///< CRC32C,None
};

/// [worker]
struct WorkerConfig {
  std::vector<std::uint32_t> cpus;      ///< of the workers, one each; empty: none is pinned
  std::uint32_t workers = 0;            ///< 0: one for each of `cpus`, at least one
  std::uint32_t sessions_max = 64;      ///< for each worker
  std::uint32_t queue_depth = 128;      ///< commands in flight of one session at most
  std::uint32_t idle_spin_us = 50;      ///< a worker that may sleep polls on for that long first
  std::uint32_t idle_sleep_max_us = 0;  ///< longest sleep of an idle worker; 0: it polls for ever
};

/// [tcp]
struct TcpConfig {
  tcp::CongestionOptions congestion;
  tcp::TimerProfile timers = tcp::TimerProfile::standard;
};

/// [login]. Sizes in bytes, with the RFC's limits.
struct LoginConfig {
  Seconds timeout{15};  ///< connect, negotiation and redirections together
  DigestPreference header_digest = DigestPreference::prefer_none;
  DigestPreference data_digest = DigestPreference::prefer_none;
  std::uint32_t max_recv_data_segment_length = 256 * 1024;
  std::uint32_t max_burst_length = 1024 * 1024;
  std::uint32_t first_burst_length = 256 * 1024;
  std::uint32_t max_outstanding_r2t = 1;
  bool initial_r2t = false;
  bool immediate_data = true;
};

/// [logout]
struct LogoutConfig {
  Seconds drain{2};    ///< for commands in flight
  Seconds timeout{5};  ///< for the Logout Response
};

/// [ring]
struct RingConfig {
  std::string socket;         ///< empty: default_socket_path()
  std::string manage_group;   ///< empty: only root and the service's own user
  std::string monitor_group;  ///< empty: nobody beyond the manage group
};

/// [memory]
struct MemoryConfig {
  bool hugepages = true;
  std::uint32_t memory_mib = 0;  ///< for the EAL; 0: what the pools need
};

/// [telemetry]
struct TelemetryConfig {
  bool enabled = false;  ///< DPDK's telemetry socket, for dpdk-telemetry.py and collectors
};

struct Config {
  std::string instance = "default";
  std::string initiator_name;  ///< empty: default_initiator_name()
  std::uint16_t isid_qualifier =
      0;                        ///< RFC 7143 11.12.5: the part of the ISID an administrator may set
  std::string state_directory;  ///< boot epoch and ISIDs; empty: nothing is kept
  std::vector<PortConfig> ports;
  WorkerConfig worker;
  TcpConfig tcp;
  LoginConfig login;
  LogoutConfig logout;
  RingConfig ring;
  MemoryConfig memory;
  TelemetryConfig telemetry;
};

/// `source` is named in refusals (a path, or "configuration"). Nothing is returned when `error` is
/// set.
[[nodiscard]] std::optional<Config> parse_config(std::string_view text, std::string_view source,
                                                 std::string& error);
[[nodiscard]] std::optional<Config> load_config(const std::string& path, std::string& error);

/// "name=p0 device=net_tap0,iface=tap0 address=10.99.0.2/24 gateway=10.99.0.1 mtu=1500", or any
/// other key of [[port]]; device and an address of either family are needed.
[[nodiscard]] std::optional<PortConfig> parse_port_flag(std::string_view text, std::string& error);
/// "none", "crc32c", "none,crc32c" or "crc32c,none".
[[nodiscard]] std::optional<DigestPreference> parse_digest_preference(
    std::string_view text) noexcept;
[[nodiscard]] std::string_view to_text(DigestPreference preference) noexcept;
/// "default", "strict" or "san": profiles of tcp::EngineTimers.
[[nodiscard]] std::optional<tcp::TimerProfile> parse_timer_profile(std::string_view text) noexcept;
[[nodiscard]] std::string_view to_text(tcp::TimerProfile profile) noexcept;

/// "cubic", "newreno" or "dctcp".
[[nodiscard]] std::optional<tcp::CongestionAlgorithm> parse_congestion_algorithm(
    std::string_view text) noexcept;
[[nodiscard]] std::string_view to_text(tcp::CongestionAlgorithm algorithm) noexcept;

/// Rules between keys, after flags were applied: names are unique, bursts fit together, and so on.
[[nodiscard]] bool validate_config(const Config& config, std::string_view source,
                                   std::string& error);

/// The configuration as a file that parse_config reads back to the same values.
[[nodiscard]] std::string to_toml(const Config& config);

/// iqn.2026-11.io.pollux:HOSTNAME, with characters a name may not have replaced by '-'.
[[nodiscard]] std::string default_initiator_name();
/// Where the ring's clients look (ring::default_socket_path), else in a directory of the user's own
/// below /tmp, which a client must be told.
[[nodiscard]] std::string default_socket_path(std::string_view instance);
/// /var/lib/pollux/INSTANCE for root, else below $XDG_STATE_HOME or ~/.local/state. Empty without a
/// home.
[[nodiscard]] std::string default_state_directory(std::string_view instance);

}  // namespace pollux::service
