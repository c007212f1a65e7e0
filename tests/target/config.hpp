// What the embedded target offers and how it misbehaves on request. All of it is chosen before the
// first connection, except FaultPlan, which a test may change between two polls.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/time.hpp"
#include "dataplane/base/units.hpp"

namespace pollux::target {

enum class LunKind : std::uint8_t {
  ram,   ///< keeps what is written
  null,  ///< reads give a fixed pattern, writes are discarded
};

struct LunConfig {
  LunKind kind = LunKind::ram;
  std::uint64_t bytes = 64 * MiB;   ///< a multiple of block_bytes
  std::uint32_t block_bytes = 512;  ///< 512 or 4096
};

/// RFC 7143 13: what the target says to the initiator's offers.
struct Answers {
  bool header_digest_crc32c = true;
  bool header_digest_none = true;
  bool data_digest_crc32c = true;
  bool data_digest_none = true;
  bool initial_r2t = false;  ///< Yes here makes the result Yes
  bool immediate_data = true;
  std::uint32_t max_recv_data_segment_length = 256 * KiB;
  std::uint32_t max_burst_length = 1 * MiB;
  std::uint32_t first_burst_length = 256 * KiB;
  std::uint16_t max_outstanding_r2t = 1;  ///< at most kOutstandingR2tMax
  std::uint16_t command_window = 128;     ///< MaxCmdSN - ExpCmdSN + 1 of an idle session
};

/// Numbers count from 1 over the whole target; 0 is never.
struct FaultPlan {
  std::uint64_t drop_connection_at_command = 0;  ///< RST when this SCSI command arrives
  std::uint64_t wrong_stat_sn_at = 0;            ///< this status-bearing PDU has StatSN + 2
  std::uint64_t corrupt_data_digest_at = 0;      ///< of this Data-In
  std::uint64_t reject_command_at = 0;           ///< Reject in place of a response
  std::uint8_t reject_reason = 0x09;             ///< RFC 7143 11.17.1
  std::uint64_t async_logout_at_command = 0;     ///< Async Message event 1 behind this command
  std::uint16_t async_logout_seconds = 3;        ///< Parameter3
  std::uint64_t swallow_command_at = 0;          ///< never answered
  Duration response_delay = Duration::zero();    ///< from a command being complete to its answer
  bool close_window = false;                     ///< MaxCmdSN stays where it is
};

struct TargetConfig {
  /// The first is the default; all of them show the same LUNs.
  std::vector<std::string> names{"iqn.2026-01.org.pollux:disk"};
  std::vector<LunConfig> luns{LunConfig{}};  ///< LUN 0, 1, ...; at most kLunsMax
  std::uint16_t port = 3260;
  std::string portal;  ///< TargetAddress; empty: the interface's address and `port`
  Answers answers;
  FaultPlan faults;
  std::uint32_t connections = 64;   ///< power of two
  std::uint32_t tasks = 4096;       ///< of all sessions together; beyond that TASK SET FULL
  bool status_in_data_in = true;    ///< RFC 7143 11.7.3; false: always a SCSI Response
  bool nop_in_after_login = false;  ///< a ping in the segment of the final Login Response
  Duration nop_in_interval = Duration::zero();  ///< pings to every session; zero: none
  std::uint32_t first_stat_sn = 0x1000;
};

inline constexpr std::size_t kLunsMax = 256;
inline constexpr std::size_t kOutstandingR2tMax = 8;

}  // namespace pollux::target
