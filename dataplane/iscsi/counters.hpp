// Counters of the iSCSI data path of one worker. Written by the worker only, read by anyone.
#pragma once

#include <array>
#include <string_view>

#include "dataplane/base/counter.hpp"
#include "dataplane/iscsi/mailbox.hpp"

namespace pollux::iscsi {

struct Counters {
  Counter pdus_received;
  Counter pdus_sent;
  Counter commands_completed;
  Counter read_bytes;
  Counter written_bytes;
  Counter copied_bytes;  ///< payload: placed reads, snapshots of writes, PDUs for control
  Counter lent_bytes;
  Counter digested_bytes;  ///< payload that a CRC32C was made of or checked over, either way
  Counter header_digest_errors;
  Counter data_digest_errors;
  Counter late_messages_dropped;    ///< from control, about an earlier use of a slot
  Counter command_numbers_ignored;  ///< ExpCmdSN or MaxCmdSN that RFC 7143 4.2.2.1 says to ignore
  Counter reader_waits_for_credit;
  Counter reader_waits_for_gate;
  Counter writes_wait_for_snapshot;
  Counter commands_refused_session;  ///< submissions that named no usable session
  Counter lent_reads_refused;
  Counter pings_sent;
  Counter pings_answered;
  Counter frames_not_drained;  ///< ended writes whose frames stayed in the driver for frame_drain
  std::array<Counter, static_cast<std::size_t>(ProtocolError::count_)> protocol_errors;
};

struct CounterRow {
  std::string_view name;
  std::string_view help;
  Counter Counters::*member;
};

inline constexpr CounterRow kCounterRows[] = {
    {"iscsi_pdus_received_total", "PDUs received", &Counters::pdus_received},
    {"iscsi_pdus_sent_total", "PDUs queued for sending", &Counters::pdus_sent},
    {"iscsi_commands_completed_total", "SCSI commands completed", &Counters::commands_completed},
    {"iscsi_read_bytes", "Data-In payload accepted", &Counters::read_bytes},
    {"iscsi_written_bytes", "payload sent with commands and Data-Out", &Counters::written_bytes},
    {"iscsi_copied_bytes", "payload copied by the worker, either way", &Counters::copied_bytes},
    {"iscsi_lent_bytes", "payload lent without copying", &Counters::lent_bytes},
    {"iscsi_digested_bytes", "payload under a data digest, either way", &Counters::digested_bytes},
    {"iscsi_header_digest_errors_total", "header digests that did not match",
     &Counters::header_digest_errors},
    {"iscsi_data_digest_errors_total", "data digests that did not match",
     &Counters::data_digest_errors},
    {"iscsi_late_messages_total", "control messages about a past connection",
     &Counters::late_messages_dropped},
    {"iscsi_command_numbers_ignored_total", "ExpCmdSN/MaxCmdSN pairs not believed",
     &Counters::command_numbers_ignored},
    {"iscsi_reader_waits_for_credit_total", "reader stopped because control had not caught up",
     &Counters::reader_waits_for_credit},
    {"iscsi_reader_waits_for_gate_total", "reader stopped until control set the next phase",
     &Counters::reader_waits_for_gate},
    {"iscsi_writes_wait_for_snapshot_total", "writes that waited for snapshot memory",
     &Counters::writes_wait_for_snapshot},
    {"iscsi_commands_refused_total", "submissions without a usable session",
     &Counters::commands_refused_session},
    {"iscsi_lent_reads_refused_total", "lent reads without a record of the size",
     &Counters::lent_reads_refused},
    {"iscsi_pings_sent_total", "NOP-Out pings sent", &Counters::pings_sent},
    {"iscsi_pings_answered_total", "NOP-In pings answered", &Counters::pings_answered},
    {"iscsi_frames_not_drained_total", "ended writes whose frames stayed in the driver",
     &Counters::frames_not_drained},
};

}  // namespace pollux::iscsi
