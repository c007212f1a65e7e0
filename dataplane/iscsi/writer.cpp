// From tasks and PDUs to descriptors of the TCP send queue. A PDU is queued whole or not at all, so
// no other PDU can start inside it (RFC 7143 11.2). Order on a connection: answers and control
// first (small, and the target waits for them), then commands by CmdSN, then data in the order it
// was asked for.
#include <algorithm>

#include "dataplane/iscsi/initiator.hpp"
#include "dataplane/platform/crc32c.hpp"

namespace pollux::iscsi {
namespace {

/// What one connection may queue in one turn, so that a long write does not keep others waiting.
constexpr std::size_t kBytesPerTurn = 512 * KiB;

/// Header with digest in front, padding with digest behind.
constexpr std::uint32_t kInlineBytesPerPdu =
    wire::kBhsBytes + wire::kDigestBytes + 3 + wire::kDigestBytes;
constexpr std::uint32_t kInlineDescriptorsPerPdu = 2;

bool full_feature_digest(const Connection& connection, bool Parameters::*digest) noexcept {
  return connection.phase == Phase::full_feature && connection.parameters.*digest;
}

bool header_fits(const Connection& connection) noexcept {
  const tcp::SendSpace space = connection.engine->send_space(connection.tcp);
  return space.descriptors >= kInlineDescriptorsPerPdu && space.inline_bytes >= kInlineBytesPerPdu;
}

/// ExpStatSN is in the same place of every request (RFC 7143 11.2).
template <WireLayout T>
void stamp(const Connection& connection, T& request) noexcept {
  request.exp_stat_sn.set(connection.exp_stat_sn.raw());
}

/// True when the next `bytes` are there and lie in no more pieces than one PDU may have.
bool lies_in_few_pieces(IovCursor cursor, std::uint32_t bytes) noexcept {
  for (std::size_t pieces = 0; pieces < kDataOutPiecesMax; ++pieces) {
    const std::size_t length = cursor.piece(bytes).size();
    if (length == 0) return false;
    cursor.advance(length);
    bytes -= static_cast<std::uint32_t>(length);
    if (bytes == 0) return true;
  }
  return false;
}

template <WireLayout T>
const std::byte* bytes_of(const T& header) noexcept {
  return reinterpret_cast<const std::byte*>(&header);
}

}  // namespace

void Initiator::want_send(Connection& connection) noexcept {
  if (!connection.send_link.linked) senders_.push_back(connection);
}

std::size_t Initiator::send(Instant now) noexcept {
  std::size_t work = 0;
  // Each connection gets one turn; what it could not queue waits for kSendSpace or the next turn.
  for (std::size_t left = senders_.size(); left != 0; --left) {
    Connection& connection = *senders_.pop_front();
    if (connection.state != ConnectionState::open) continue;
    work += send_connection(connection, now);
  }
  return work;
}

std::size_t Initiator::send_connection(Connection& connection, Instant now) noexcept {
  std::size_t pdus = 0;
  while (!connection.nop_replies.empty() && send_nop_reply(connection, now)) ++pdus;
  while (!connection.control_pdus.empty() && send_control_pdu(connection)) ++pdus;
  if (connection.phase != Phase::full_feature) return pdus;
  if (connection.ping_wanted && send_ping(connection)) ++pdus;

  std::size_t queued = 0;
  Session& session = connection.session;
  while (!session.pending.empty() && session.window.open() && queued < kBytesPerTurn) {
    const std::uint32_t bytes = send_command(connection, *session.pending.front(), now);
    if (bytes == 0) break;
    ++pdus;
    queued += bytes;
  }
  while (!connection.writers.empty() && queued < kBytesPerTurn) {
    const std::uint32_t bytes = send_data_out(connection, *connection.writers.front());
    if (bytes == 0) break;
    ++pdus;
    queued += bytes;
  }
  if (queued >= kBytesPerTurn) want_send(connection);
  counters_.pdus_sent.add(pdus);
  return pdus;
}

void Initiator::queue_header(Connection& connection, const std::byte* bhs) noexcept {
  std::array<std::byte, wire::kBhsBytes + wire::kDigestBytes> bytes;
  std::memcpy(bytes.data(), bhs, wire::kBhsBytes);
  std::size_t length = wire::kBhsBytes;
  if (full_feature_digest(connection, &Parameters::header_digest)) {
    const StageScope stage(stages_, Stage::digest);
    store(bytes.data() + length, platform::crc32c_wire(platform::crc32c_header48(bytes.data())));
    length += wire::kDigestBytes;
  }
  connection.engine->send_inline(connection.tcp, {bytes.data(), length});
}

void Initiator::queue_trailer(Connection& connection, std::uint32_t length,
                              std::uint32_t crc) noexcept {
  std::array<std::byte, 3 + wire::kDigestBytes> bytes{};
  std::size_t trailer = wire::padding_bytes(length);
  if (full_feature_digest(connection, &Parameters::data_digest)) {
    counters_.digested_bytes.add(length);
    crc = platform::crc32c_extend(crc, {bytes.data(), trailer});
    store(bytes.data() + trailer, platform::crc32c_wire(platform::crc32c_finish(crc)));
    trailer += wire::kDigestBytes;
  }
  if (trailer != 0) connection.engine->send_inline(connection.tcp, {bytes.data(), trailer});
}

bool Initiator::stamp_control_pdu(Connection& connection, ControlPdu& pdu) noexcept {
  Session& session = connection.session;
  Task** owner = nullptr;
  switch (pdu.bhs.op()) {
    case wire::Opcode::text_request:
      owner = &connection.text;
      break;
    case wire::Opcode::logout_request:
      owner = &connection.logout;
      break;
    default:
      return true;
  }
  const bool immediate = (pdu.bhs.opcode & wire::kImmediate) != 0;
  if (!immediate && !session.window.open()) return false;
  if (*owner == nullptr) {
    Task* task = tasks_.take();
    if (task == nullptr) {
      want_send(connection);  // tasks come back without telling us
      return false;
    }
    task->state = TaskState::active;
    task->kind = TaskKind::control;
    task->connection = &connection;
    *owner = task;
  }
  pdu.bhs.initiator_task_tag.set((*owner)->initiator_task_tag());
  auto request =
      std::bit_cast<wire::TextRequest>(pdu.bhs);  // Logout has both numbers in the same place
  request.cmd_sn.set((immediate ? session.window.cmd_sn() : session.window.take()).raw());
  stamp(connection, request);
  pdu.bhs = std::bit_cast<wire::Bhs>(request);
  if (pdu.bhs.op() == wire::Opcode::text_request) connection.text_closes_reader = pdu.closes_reader;
  return true;
}

bool Initiator::send_control_pdu(Connection& connection) noexcept {
  ControlPdu& pdu = *connection.control_pdus.front();
  const tcp::SendSpace space = connection.engine->send_space(connection.tcp);
  if (space.descriptors < kInlineDescriptorsPerPdu + 1 ||
      space.inline_bytes < kInlineBytesPerPdu + pdu.length)
    return false;
  if (connection.phase == Phase::full_feature && !stamp_control_pdu(connection, pdu)) return false;
  pdu.bhs.data_segment_length.set(pdu.length);
  queue_header(connection, bytes_of(pdu.bhs));
  if (pdu.length != 0) {
    const std::span<const std::byte> data{pdu.data.data(), pdu.length};
    connection.engine->send_inline(connection.tcp, data);
    queue_trailer(connection, pdu.length, platform::crc32c_extend(platform::kCrc32cStart, data));
  }
  connection.control_pdus.pop();
  tell({.kind = ToControlKind::pdu_sent, .connection = connection.ref, .pointer = &pdu});
  return true;
}

bool Initiator::send_nop_reply(Connection& connection, Instant now) noexcept {
  if (!header_fits(connection)) return false;
  const NopReply& reply = connection.nop_replies.front();
  wire::NopOut nop_out;
  nop_out.opcode |= wire::kImmediate;  // RFC 7143 11.18.1: an answer has the reserved tag and I=1
  nop_out.lun = reply.lun;
  nop_out.target_transfer_tag.set(reply.target_transfer_tag);
  nop_out.cmd_sn.set(connection.session.window.cmd_sn().raw());
  stamp(connection, nop_out);
  queue_header(connection, bytes_of(nop_out));
  connection.nop_replies.pop();
  counters_.pings_answered.add();
  const bool reader_waited = connection.reader.waits_for_credit &&
                             !connection.starved_link.linked && connection.credits != 0;
  if (reader_waited) {
    connection.reader.waits_for_credit = false;
    read(connection, now);
  }
  return connection.state == ConnectionState::open;
}

bool Initiator::send_ping(Connection& connection) noexcept {
  if (connection.ping != nullptr || !header_fits(connection)) return false;
  Task* task = tasks_.take();
  if (task == nullptr) return false;
  task->state = TaskState::active;
  task->kind = TaskKind::ping;
  task->connection = &connection;
  wire::NopOut nop_out;
  nop_out.opcode |= wire::kImmediate;
  nop_out.initiator_task_tag.set(task->initiator_task_tag());
  nop_out.cmd_sn.set(connection.session.window.cmd_sn().raw());
  stamp(connection, nop_out);
  queue_header(connection, bytes_of(nop_out));
  connection.ping = task;
  connection.ping_wanted = false;
  counters_.pings_sent.add();
  return true;
}

std::uint32_t Initiator::send_command(Connection& connection, Task& task, Instant now) noexcept {
  const Parameters& agreed = connection.parameters;
  Session& session = connection.session;
  wire::ScsiCommand command;
  command.flags = wire::ScsiCommand::kAttributeSimple;
  command.lun.set(task.lun);
  command.initiator_task_tag.set(task.initiator_task_tag());
  command.expected_data_transfer_length.set(task.length);
  command.cmd_sn.set(session.window.cmd_sn().raw());
  stamp(connection, command);
  std::memcpy(command.cdb.data(), task.cdb, sizeof(task.cdb));

  std::uint32_t immediate = 0;
  std::uint32_t unsolicited_end = 0;
  if (task.writes()) {
    // RFC 7143 13.10, 13.11: what may go without being asked for, at most FirstBurstLength in all.
    const std::uint32_t burst = std::min(agreed.first_burst_length, task.length);
    if (agreed.immediate_data)
      immediate = std::min({burst, agreed.target_max_recv_data_segment_length, kDataOutBytesMax});
    unsolicited_end = agreed.initial_r2t ? immediate : burst;
    command.flags |= wire::ScsiCommand::kWrite;
  } else if (task.reads()) {
    command.flags |= wire::ScsiCommand::kRead;
  }
  if (unsolicited_end == immediate) command.flags |= wire::kFinal;
  command.data_segment_length.set(immediate);
  if (!send_with_data(connection, task, bytes_of(command), 0, immediate)) return 0;

  task.solicited_end = unsolicited_end;
  if (unsolicited_end > immediate) {
    task.ranges[task.range_count++] = {.target_transfer_tag = wire::kReservedTag,
                                       .offset = immediate,
                                       .end = unsolicited_end,
                                       .data_sn = 0};
    connection.writers.push_back(task);
  }
  session.window.take();
  session.pending.remove(task);
  session.active.push_back(task);
  task.state = TaskState::active;
  task.started = now;
  return static_cast<std::uint32_t>(wire::kBhsBytes) + immediate;
}

std::uint32_t Initiator::send_data_out(Connection& connection, Task& task) noexcept {
  POLLUX_ASSERT(task.range_count != 0);
  OutRange& range = task.ranges[0];
  std::uint32_t bytes =
      std::min({range.end - range.offset, connection.parameters.target_max_recv_data_segment_length,
                kDataOutBytesMax});
  // RFC 7143 11.7.7: segments before the last are whole words (the limit is at least 512, 13.12).
  if (range.offset + bytes != range.end) bytes &= ~3u;
  const bool unsolicited = range.target_transfer_tag == wire::kReservedTag;
  wire::DataOut data_out;
  // RFC 7143 11.7.4: the LUN goes with a valid Target Transfer Tag only.
  if (!unsolicited) data_out.lun.set(task.lun);
  data_out.initiator_task_tag.set(task.initiator_task_tag());
  data_out.target_transfer_tag.set(range.target_transfer_tag);
  stamp(connection, data_out);
  data_out.data_sn.set(range.data_sn);
  data_out.buffer_offset.set(range.offset);
  data_out.data_segment_length.set(bytes);
  if (range.offset + bytes == range.end) data_out.flags = wire::kFinal;
  if (!send_with_data(connection, task, bytes_of(data_out), range.offset, bytes)) return 0;

  range.offset += bytes;
  ++range.data_sn;
  if (range.offset == range.end) {
    --task.range_count;
    std::copy_n(task.ranges.begin() + 1, task.range_count, task.ranges.begin());
    // Others wait as well: the next range of this task goes behind them.
    connection.writers.remove(task);
    if (task.range_count != 0) connection.writers.push_back(task);
  }
  return static_cast<std::uint32_t>(wire::kBhsBytes) + bytes;
}

/// Queues a header with `bytes` of the task's data from `offset`. All of it fits or nothing is
/// queued.
bool Initiator::send_with_data(Connection& connection, Task& task, const std::byte* bhs,
                               std::uint32_t offset, std::uint32_t bytes) noexcept {
  if (bytes == 0) {
    if (!header_fits(connection)) return false;
    queue_header(connection, bhs);
    return true;
  }
  task.cursor.seek(offset);
  const bool in_place =
      (task.flags & POLLUX_REGISTERED) != 0 && lies_in_few_pieces(task.cursor, bytes);
  const std::size_t pieces = in_place ? kDataOutPiecesMax : 1;
  const tcp::SendSpace space = connection.engine->send_space(connection.tcp);
  if (space.descriptors < kInlineDescriptorsPerPdu + pieces ||
      space.inline_bytes < kInlineBytesPerPdu)
    return false;
  SnapshotChunk* chunk = nullptr;
  if (!in_place) {
    chunk = snapshots_.take(bytes);
    if (chunk == nullptr) {
      // Chunks come back as the targets acknowledge: look again next turn.
      counters_.writes_wait_for_snapshot.add();
      want_send(connection);
      return false;
    }
  }
  queue_header(connection, bhs);
  const std::uint32_t crc = in_place ? queue_registered(connection, task, bytes)
                                     : queue_snapshot(connection, task, *chunk, bytes);
  queue_trailer(connection, bytes, crc);
  counters_.written_bytes.add(bytes);
  return true;
}

std::uint32_t Initiator::queue_registered(Connection& connection, Task& task,
                                          std::uint32_t bytes) noexcept {
  const bool digest = full_feature_digest(connection, &Parameters::data_digest);
  std::uint32_t crc = platform::kCrc32cStart;
  while (bytes != 0) {
    const std::span<std::byte> piece = task.cursor.piece(bytes);
    if (digest) {
      const StageScope stage(stages_, Stage::digest);
      crc = platform::crc32c_extend(crc, piece);
    }
    connection.engine->send_external(connection.tcp, piece.data(),
                                     static_cast<std::uint32_t>(piece.size()), task.tracker,
                                     &task.reference);
    task.cursor.advance(piece.size());
    bytes -= static_cast<std::uint32_t>(piece.size());
  }
  return crc;
}

std::uint32_t Initiator::queue_snapshot(Connection& connection, Task& task, SnapshotChunk& chunk,
                                        std::uint32_t bytes) noexcept {
  const bool digest = full_feature_digest(connection, &Parameters::data_digest);
  const StageScope stage(stages_, digest ? Stage::digest : Stage::copy);
  std::uint32_t crc = platform::kCrc32cStart;
  for (std::uint32_t done = 0; done != bytes;) {
    std::span<std::byte> piece = task.cursor.piece(bytes - done);
    std::byte* to = chunk.data + done;
    if (piece.empty()) {
      // The caller shortened its scatter list meanwhile. The length is promised by now: send zeros
      // and report the command as failed.
      task.memory_exhausted = true;
      std::memset(to, 0, bytes - done);
      if (digest) crc = platform::crc32c_extend(crc, {to, bytes - done});
      break;
    }
    if (digest) {
      crc = platform::crc32c_copy_extend(crc, to, piece.data(), piece.size());
    } else {
      std::memcpy(to, piece.data(), piece.size());
    }
    task.cursor.advance(piece.size());
    done += static_cast<std::uint32_t>(piece.size());
  }
  counters_.copied_bytes.add(bytes);
  connection.engine->send_external(connection.tcp, chunk.data, bytes, chunk.tracker,
                                   &chunk.reference);
  connection.snapshots.push(chunk);
  return crc;
}

}  // namespace pollux::iscsi
