// What a connection and its session have agreed on, as the data path needs it. Control negotiates
// these and hands them over whole, with a gate.
#pragma once

#include <cstdint>

#include "dataplane/base/serial_number.hpp"

namespace pollux::iscsi {

/// RFC 7143 section 13. Values in bytes; defaults are the RFC's.
struct Parameters {
  bool header_digest = false;
  bool data_digest = false;
  bool initial_r2t = true;
  bool immediate_data = true;
  bool data_pdu_in_order = true;
  bool data_sequence_in_order = true;
  std::uint16_t max_outstanding_r2t = 1;
  std::uint32_t max_recv_data_segment_length = 8192;         ///< what we declared
  std::uint32_t target_max_recv_data_segment_length = 8192;  ///< what the target declared
  std::uint32_t max_burst_length = 262144;
  std::uint32_t first_burst_length = 65536;
};

/// How far the stream may be read and who numbers requests.
enum class Phase : std::uint8_t {
  login,         ///< control owns CmdSN, ExpStatSN and ITT; no digests
  full_feature,  ///< the worker stamps them; commands flow
};

/// All values of a phase at once. See docs/decisions/0001-gate.md.
struct Gate {
  Phase phase = Phase::login;
  bool discovery = false;  ///< full feature without SCSI commands (RFC 7143 4.3)
  Parameters parameters;
  CmdSn cmd_sn;      ///< first value to use
  CmdSn exp_cmd_sn;  ///< as the final Login Response had them
  CmdSn max_cmd_sn;
  StatSn exp_stat_sn;
};

}  // namespace pollux::iscsi
