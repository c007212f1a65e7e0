// The stream of one connection cut into PDUs (RFC 7143 11.1): header and its digest, data, padding
// and its digest. Each stage runs once the bytes it needs are there; data is taken as it comes, and
// its CRC runs over the lines while they are warm. Headers are parsed in place unless they straddle
// two buffers.
#include <algorithm>
#include <cstring>

#include "dataplane/iscsi/initiator.hpp"
#include "dataplane/platform/crc32c.hpp"

namespace pollux::iscsi {
namespace {

std::uint32_t header_bytes(const Connection& connection) noexcept {
  const bool digest =
      connection.phase == Phase::full_feature && connection.parameters.header_digest;
  return static_cast<std::uint32_t>(wire::kBhsBytes + (digest ? wire::kDigestBytes : 0));
}

bool digest_matches(std::uint32_t value, const std::byte* received) noexcept {
  const platform::Crc32cWire expected = platform::crc32c_wire(value);
  return std::memcmp(expected.data(), received, expected.size()) == 0;
}

bool has_data_digest(const Connection& connection) noexcept {
  return connection.phase == Phase::full_feature && connection.parameters.data_digest;
}

}  // namespace

void Initiator::read(Connection& connection, Instant now) noexcept {
  // Bounded: every step consumes bytes of the receive queue or returns false.
  for (;;) {
    bool progress = false;
    switch (connection.reader.stage) {
      case ReadStage::header:
        progress = read_header(connection, now);
        break;
      case ReadStage::data:
        progress = read_data(connection, now);
        break;
      case ReadStage::trailer:
        progress = read_trailer(connection, now);
        break;
    }
    if (!progress) return;
  }
}

bool Initiator::read_header(Connection& connection, Instant now) noexcept {
  Reader& reader = connection.reader;
  if (reader.waits_for_gate || reader.waits_for_credit) return false;
  const std::uint32_t needed = header_bytes(connection);
  if (connection.engine->readable(connection.tcp) < needed) return false;

  std::array<std::byte, wire::kBhsBytes + wire::kDigestBytes> straddling;
  const std::byte* header = connection.engine->front(connection.tcp).data();
  if (connection.engine->front(connection.tcp).size() < needed) {
    connection.engine->peek(connection.tcp, {straddling.data(), needed});
    header = straddling.data();
  }
  if (needed > wire::kBhsBytes && !header_digest_matches(header)) {
    // RFC 7143 7.8: without a header digest that fits, the length cannot be trusted and the stream
    // is lost.
    counters_.header_digest_errors.add();
    lose(connection, LossReason::header_digest_error, ProtocolError::none, now);
    return false;
  }
  reader.bhs = load<wire::Bhs>(header);
  reader.task = nullptr;
  reader.slab = nullptr;
  reader.sink = DataSink::none;
  reader.scratch_used = 0;
  if (begin_pdu(connection, now) != Begin::go_on) return false;

  connection.engine->consume(connection.tcp, needed);
  counters_.pdus_received.add();
  reader.data_left = reader.bhs.data_segment_length.get();
  if (reader.data_left == 0) return finish_pdu(connection, now);
  reader.crc = platform::kCrc32cStart;
  reader.stage = ReadStage::data;
  return true;
}

bool Initiator::header_digest_matches(const std::byte* header) noexcept {
  const StageScope stage(stages_, Stage::digest);
  return digest_matches(platform::crc32c_header48(header), header + wire::kBhsBytes);
}

bool Initiator::read_data(Connection& connection, Instant now) noexcept {
  Reader& reader = connection.reader;
  while (reader.data_left != 0) {
    bool moved = false;
    switch (reader.sink) {
      case DataSink::place:
        moved = place(connection);
        break;
      case DataSink::lend:
        moved = lend(connection);
        break;
      case DataSink::slab:
        moved = keep(connection, reader.slab->data, reader.slab->length);
        break;
      case DataSink::scratch:
        moved = keep(connection, reader.scratch, reader.scratch_used);
        break;
      case DataSink::none: {
        std::uint32_t nothing = 0;
        moved = keep(connection, {}, nothing);
        break;
      }
    }
    if (!moved) return false;
  }
  const std::uint32_t length = reader.bhs.data_segment_length.get();
  if (wire::padding_bytes(length) == 0 && !has_data_digest(connection))
    return finish_pdu(connection, now);
  reader.stage = ReadStage::trailer;
  return true;
}

bool Initiator::place(Connection& connection) noexcept {
  Reader& reader = connection.reader;
  const std::span<std::byte> front = connection.engine->front(connection.tcp);
  const std::size_t bytes = std::min<std::size_t>(front.size(), reader.data_left);
  if (bytes == 0) return false;
  const bool digest = has_data_digest(connection);
  const StageScope stage(stages_, digest ? Stage::digest : Stage::copy);
  for (std::size_t done = 0; done < bytes;) {
    const std::span<std::byte> piece = reader.task->cursor.piece(bytes - done);
    if (piece.empty()) {
      // The caller shortened its scatter list while the command was open.
      reader.task->memory_exhausted = true;
      reader.sink = DataSink::none;
      break;
    }
    if (digest) {
      reader.crc =
          platform::crc32c_copy_extend(reader.crc, piece.data(), front.data() + done, piece.size());
    } else {
      std::memcpy(piece.data(), front.data() + done, piece.size());
    }
    reader.task->cursor.advance(piece.size());
    done += piece.size();
  }
  counters_.copied_bytes.add(bytes);
  reader.data_left -= static_cast<std::uint32_t>(bytes);
  connection.engine->consume(connection.tcp, static_cast<std::uint32_t>(bytes));
  return true;
}

bool Initiator::lend(Connection& connection) noexcept {
  Reader& reader = connection.reader;
  worker::LentRecord& record = *reader.task->lent;
  // A view may pin a whole buffer. What was reserved is for full segments; smaller ones take more.
  const std::size_t buffer = memory_.true_size();
  const bool fits = (record.view_count + std::size_t{1}) * buffer <= record.reserved_bytes;
  if (record.view_count == record.view_capacity || (!fits && lent_budget_ < buffer)) {
    // The target cut the data into more pieces than the record or the budget has room for: take the
    // rest off the stream, and let the command end with an error that says: read it again, placed.
    reader.task->memory_exhausted = true;
    reader.sink = DataSink::none;
    return true;
  }
  tcp::RxView view;
  const std::uint32_t bytes = connection.engine->take_front(connection.tcp, reader.data_left, view);
  if (bytes == 0) {
    if (connection.engine->readable(connection.tcp) == 0) return false;
    // Nor is there a buffer to lend it in.
    reader.task->memory_exhausted = true;
    reader.sink = DataSink::none;
    return true;
  }
  if (!fits) {
    lent_budget_ -= buffer;
    record.reserved_bytes += buffer;
  }
  if (has_data_digest(connection)) {
    const StageScope stage(stages_, Stage::digest);
    reader.crc = platform::crc32c_extend(reader.crc, {view.data, view.length});
  }
  record.views[record.view_count] = {.data = view.data, .length = view.length, .reserved = 0};
  record.handles[record.view_count] = view.handle;
  ++record.view_count;
  counters_.lent_bytes.add(bytes);
  reader.data_left -= bytes;
  return true;
}

/// Copies what fits behind `used` bytes of `room`; the rest only goes through the digest.
bool Initiator::keep(Connection& connection, std::span<std::byte> room,
                     std::uint32_t& used) noexcept {
  Reader& reader = connection.reader;
  const std::span<std::byte> front = connection.engine->front(connection.tcp);
  const std::size_t bytes = std::min<std::size_t>(front.size(), reader.data_left);
  if (bytes == 0) return false;
  const StageScope stage(stages_, has_data_digest(connection) ? Stage::digest : Stage::copy);
  const std::size_t copied = std::min(bytes, room.size() - used);
  if (copied != 0) std::memcpy(room.data() + used, front.data(), copied);
  used += static_cast<std::uint32_t>(copied);
  if (has_data_digest(connection))
    reader.crc = platform::crc32c_extend(reader.crc, front.first(bytes));
  reader.data_left -= static_cast<std::uint32_t>(bytes);
  connection.engine->consume(connection.tcp, static_cast<std::uint32_t>(bytes));
  return true;
}

bool Initiator::read_trailer(Connection& connection, Instant now) noexcept {
  Reader& reader = connection.reader;
  const std::uint32_t padding = wire::padding_bytes(reader.bhs.data_segment_length.get());
  const bool digest = has_data_digest(connection);
  const std::uint32_t needed =
      padding + (digest ? static_cast<std::uint32_t>(wire::kDigestBytes) : 0);
  if (connection.engine->readable(connection.tcp) < needed) return false;
  std::array<std::byte, 3 + wire::kDigestBytes> trailer;
  connection.engine->peek(connection.tcp, {trailer.data(), needed});
  connection.engine->consume(connection.tcp, needed);
  if (digest) {
    counters_.digested_bytes.add(reader.bhs.data_segment_length.get());
    reader.crc = platform::crc32c_extend(reader.crc, {trailer.data(), padding});
    if (!digest_matches(platform::crc32c_finish(reader.crc), trailer.data() + padding)) {
      // RFC 7143 7.8: at ErrorRecoveryLevel 0 a data digest error ends the session.
      counters_.data_digest_errors.add();
      lose(connection, LossReason::data_digest_error, ProtocolError::none, now);
      return false;
    }
  }
  return finish_pdu(connection, now);
}

}  // namespace pollux::iscsi
