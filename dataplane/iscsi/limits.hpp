// Every maximum of the iSCSI data path of one worker, with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/time.hpp"
#include "dataplane/base/units.hpp"

namespace pollux::iscsi {

/// Slot and generation share the 32-bit Initiator Task Tag, so a slot has 16 bits; the last value
/// is left out so that no tag can be the reserved 0xffffffff.
inline constexpr std::size_t kTasksMax = 0xffff;

/// R2Ts of one task that wait to be answered. We offer this as MaxOutstandingR2T.
inline constexpr std::size_t kOutstandingR2tMax = 8;

/// Data of one Data-Out or immediate data segment at most: bounds what one PDU holds of the send
/// queue.
inline constexpr std::uint32_t kDataOutBytesMax = 64 * KiB;

/// Pieces of caller memory in one data segment; more pieces make a shorter segment.
inline constexpr std::size_t kDataOutPiecesMax = 32;

/// NOP-In pings that wait for send space. A target that sends more without reading our answers has
/// stopped the stream in the other direction as well: its reader pauses.
inline constexpr std::size_t kNopRepliesMax = 16;

/// PDUs of control that wait for send space on one connection.
inline constexpr std::size_t kControlPdusMax = 4;

/// Queues attached to one worker at once. Whoever attaches them keeps to it: the worker asserts.
inline constexpr std::size_t kQueuesMax = 64;

/// Largest transfer of one command: offsets and lengths stay far from 32-bit wrap.
inline constexpr std::uint32_t kTransferBytesMax = 64 * MiB;

struct Limits {
  std::size_t connections = 64;  ///< slots that control may open; power of two not needed
  std::size_t tasks = 4096;      ///< commands open at once over all queues
  std::size_t slabs = 128;       ///< PDUs on their way to control
  std::size_t snapshot_small =
      1024;                          ///< chunks of kSnapshotSmallBytes for writes from plain memory
  std::size_t snapshot_large = 128;  ///< chunks of kDataOutBytesMax
};

inline constexpr std::uint32_t kSnapshotSmallBytes = 8 * KiB;

struct Timeouts {
  Duration ping_interval =
      5s;                      ///< silence from the target while commands are open before a NOP-Out
  Duration ping_timeout = 5s;  ///< further silence before the connection counts as lost
  Duration command = 60s;  ///< age of the oldest open command before the connection counts as lost
  Duration frame_drain = 1s;  ///< how long an ended write waits for its frames to leave
};

}  // namespace pollux::iscsi
