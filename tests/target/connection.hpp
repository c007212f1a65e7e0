// One connection, which is one session as well (MaxConnections is 1), and the commands it has open.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "dataplane/base/serial_number.hpp"
#include "dataplane/base/time.hpp"
#include "dataplane/wire/bhs.hpp"
#include "tests/target/config.hpp"
#include "tests/target/pdu_input.hpp"
#include "tests/target/pdu_output.hpp"

namespace pollux::target {

struct Connection;

/// A transfer asked for and not yet finished (RFC 7143 11.8).
struct OutstandingR2t {
  std::uint32_t target_transfer_tag = wire::kReservedTag;
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  std::uint32_t received = 0;
  std::uint32_t data_sn = 0;
};

enum class TaskState : std::uint8_t {
  free,
  receiving,  ///< unsolicited or solicited data is to come
  asking,     ///< in the ready queue to send R2Ts
  answering,  ///< in the ready queue to send data and status
  aborted,    ///< in the ready queue, to be dropped
  swallowed,  ///< never answered (FaultPlan)
};

/// One SCSI command.
struct Task {
  TaskState state = TaskState::free;
  bool is_write = false;
  bool is_retired = false;      ///< out of the command window
  bool queued = false;          ///< in the ready queue of its connection
  bool is_unsolicited = false;  ///< unsolicited Data-Out to come
  std::uint8_t status = 0;
  std::uint8_t sense_key = 0, asc = 0, ascq = 0;
  std::uint8_t r2ts_open = 0;
  std::uint16_t lun = 0;
  Be64 lun_field;
  std::uint32_t initiator_task_tag = 0;
  std::uint32_t expected_length = 0;  ///< Expected Data Transfer Length
  std::uint32_t cdb_length = 0;       ///< bytes the CDB asks to move, or of the answer
  std::uint32_t transfer = 0;         ///< min of both
  std::uint64_t disk_offset = 0;
  std::uint32_t moved = 0;    ///< sent (reads) or received (writes)
  std::uint32_t asked = 0;    ///< writes: up to where data came unasked or an R2T went out
  std::uint32_t data_sn = 0;  ///< Data-In, or unsolicited Data-Out
  std::uint32_t r2t_sn = 0;
  bool is_medium_access = false;  ///< data lies in a logical unit, not in an answer
  std::array<std::uint8_t, 16> cdb{};
  std::array<OutstandingR2t, kOutstandingR2tMax> r2ts;  ///< oldest first
  Instant ready_at{};
  Connection* connection = nullptr;
  Task* next_ready = nullptr;
  Task* next_hash = nullptr;  ///< or in the free list
};

enum class Phase : std::uint8_t { unused, login, full_feature, ending };

struct Negotiated {
  Digests digests;
  bool initial_r2t = true;
  bool immediate_data = true;
  std::uint32_t initiator_segment_length = 8192;  ///< its MaxRecvDataSegmentLength
  std::uint32_t max_burst_length = 262144;
  std::uint32_t first_burst_length = 65536;
  std::uint32_t max_outstanding_r2t = 1;
};

/// What login keeps between requests.
struct LoginState {
  bool is_first = true;
  bool has_declared = false;       ///< our MaxRecvDataSegmentLength was sent
  bool has_group_tag = false;      ///< TargetPortalGroupTag was sent
  bool has_authenticated = false;  ///< AuthMethod answered, or the stage skipped
  std::uint8_t stage = 0;
  std::uint32_t initiator_task_tag = 0;
  std::uint32_t cmd_sn = 0;
  std::uint32_t keys_seen = 0;  ///< one bit a key, to find repeats
  Digests digests;              ///< effective from full feature on
};

struct Connection {
  static constexpr std::size_t kTextBytes = 16 * KiB;
  static constexpr std::size_t kNameBytesMax = 223;  ///< RFC 7143 4.2.7.1
  static constexpr std::size_t kAbortedTagsKept = 16;

  std::uint32_t index = 0;
  Phase phase = Phase::unused;
  bool is_discovery = false;
  bool must_reset = false;  ///< abort the stream at the end of the turn
  bool must_close = false;  ///< close it
  bool has_exp_stat_sn = false;
  bool drop_pdu = false;  ///< the PDU being read is not acted upon
  PduInput input;
  Negotiated negotiated;
  LoginState login;
  wire::Isid isid{};
  std::uint16_t tsih = 0;
  std::uint16_t cid = 0;
  std::array<char, kNameBytesMax + 1> initiator_name{};
  std::uint32_t target_index = 0;  ///< into TargetConfig::names
  StatSn stat_sn;
  StatSn exp_stat_sn;
  CmdSn exp_cmd_sn;
  CmdSn max_cmd_sn;
  std::uint32_t open_tasks = 0;
  Task* ready_first = nullptr;
  Task* ready_last = nullptr;
  Task* data_task = nullptr;  ///< owner of the data segment being read
  std::uint32_t next_transfer_tag = 1;
  std::unique_ptr<std::byte[]> text;  ///< kTextBytes: text, and data of a ping
  std::uint32_t text_bytes = 0;
  std::uint32_t list_offset = 0;  ///< SendTargets: bytes already sent
  std::uint32_t text_transfer_tag = wire::kReservedTag;
  bool list_all = false;
  std::uint32_t list_target = 0;
  std::uint32_t ping_transfer_tag = wire::kReservedTag;  ///< of a ping not answered yet
  std::array<std::uint32_t, kAbortedTagsKept> aborted_tags{};
  std::uint32_t aborted_count = 0;

  [[nodiscard]] std::string_view name() const noexcept { return initiator_name.data(); }
};

}  // namespace pollux::target
