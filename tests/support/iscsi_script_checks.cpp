// What a conversation checks of the worker's side: the stream it sends, the completions, the end.
#include <algorithm>
#include <cstring>

#include "dataplane/net/counters.hpp"
#include "tests/support/iscsi_script.hpp"

namespace pollux::script {
namespace {

constexpr std::byte kGuardByte{0xa5};
constexpr std::byte kUnread{0x5a};

bool all_zero(const Pdu& pdu, std::size_t first, std::size_t end) {
  return std::all_of(pdu.bhs.begin() + first, pdu.bhs.begin() + end,
                     [](std::uint8_t byte) { return byte == 0; });
}

/// Conformance page 3.1 and FRM-02, FRM-06, FRM-11: what must be zero in each PDU of an initiator.
bool reserved_is_zero(const Pdu& pdu) {
  const auto byte1_within = [&](std::uint8_t mask) { return (pdu.bhs[1] & ~mask) == 0; };
  if ((pdu.bhs[0] & 0x80) != 0 || pdu.bhs[4] != 0 || !all_zero(pdu, 2, 4))
    return pdu.opcode() == 0x03;
  switch (pdu.opcode()) {
    case 0x00:
      return pdu.bhs[1] == 0x80 && (pdu.ttt() != kReserved || all_zero(pdu, 8, 16)) &&
             all_zero(pdu, 32, 48) &&
             (pdu.itt() != kReserved || (pdu.immediate() && pdu.length() == 0));
    case 0x01:
      return byte1_within(0xe7) && (pdu.bhs[1] & 0x07) <= 4 && (pdu.bhs[1] & 0xa0) != 0;
    case 0x03:
      return true;  // control's
    case 0x04:
      return byte1_within(0xc0) && all_zero(pdu, 32, 48);
    case 0x05:
      return byte1_within(0x80) && !pdu.immediate() &&
             (pdu.ttt() != kReserved || all_zero(pdu, 8, 16)) && all_zero(pdu, 24, 28) &&
             all_zero(pdu, 32, 36) && all_zero(pdu, 44, 48);
    case 0x06:
      return (pdu.bhs[1] & 0x80) != 0 && pdu.length() == 0 && all_zero(pdu, 8, 16) &&
             all_zero(pdu, 22, 24) && all_zero(pdu, 32, 48);
    default:
      return false;
  }
}

}  // namespace

void Script::check_header(Peer& from, const Pdu& pdu) {
  EXPECT_TRUE(reserved_is_zero(pdu)) << pdu.hex();
  if (pdu.opcode() == 0x03) return;
  if (pdu.opcode() != 0x05) {
    EXPECT_EQ(pdu.cmd_sn(), from.next_cmd_sn) << pdu.hex();
    if (!pdu.immediate()) ++from.next_cmd_sn;
  }
  const std::uint32_t acknowledged = pdu.exp_stat_sn();
  EXPECT_TRUE(acknowledged - from.last_exp_stat_sn <= from.stat_sn - from.last_exp_stat_sn)
      << "ExpStatSN " << acknowledged << " of " << from.stat_sn;
  from.last_exp_stat_sn = acknowledged;
}

void Script::parse(Peer& from) {
  const bool header_digest = from.entered && from.parameters.header_digest;
  const bool data_digest = from.entered && from.parameters.data_digest;
  for (;;) {
    const std::size_t head = 48 + (header_digest ? 4u : 0u);
    if (from.stream.size() < head) return;
    Pdu pdu;
    std::memcpy(pdu.bhs.data(), from.stream.data(), 48);
    const std::size_t padded = (pdu.length() + 3) / 4 * 4;
    const std::size_t whole = head + padded + (data_digest && padded != 0 ? 4u : 0u);
    if (from.stream.size() < whole) return;
    const auto data = from.stream.begin() + static_cast<std::ptrdiff_t>(head);
    pdu.data.assign(data, data + pdu.length());
    // FRM-04, DIG-01, DIG-02: the same PDU put together by the script has the same bytes.
    const Bytes rebuilt = pdu.bytes(header_digest, data_digest);
    EXPECT_TRUE(std::equal(rebuilt.begin(), rebuilt.end(), from.stream.begin(),
                           from.stream.begin() + static_cast<std::ptrdiff_t>(whole)))
        << "digest or padding: " << pdu.hex();
    from.stream.erase(from.stream.begin(),
                      from.stream.begin() + static_cast<std::ptrdiff_t>(whole));
    check_header(from, pdu);
    from.tx.push_back(std::move(pdu));
  }
}

Pdu Script::next() {
  if (peer().tx.empty()) settle();
  if (peer().tx.empty()) {
    ADD_FAILURE() << "the initiator sent nothing";
    return {};
  }
  Pdu pdu = std::move(peer().tx.front());
  peer().tx.pop_front();
  return pdu;
}

Pdu Script::expect_tx(const Pdu& expected) {
  Pdu wanted = expected;
  const Pdu got = next();
  if (wanted.opcode() == 0x01 || wanted.itt() == 0) wanted.itt(got.itt());
  if (wanted.opcode() != 0x05) wanted.set32(24, got.cmd_sn());
  wanted.set32(28, got.exp_stat_sn());
  wanted.set8(5, static_cast<std::uint32_t>(wanted.data.size() >> 16))
      .set16(6, static_cast<std::uint32_t>(wanted.data.size()));
  EXPECT_TRUE(got.bhs == wanted.bhs) << "expected " << wanted.hex() << "\n     got " << got.hex();
  EXPECT_TRUE(got.data == wanted.data) << "data of " << got.hex();
  return got;
}

Pdu Script::expect_command(std::size_t command, std::uint32_t immediate, bool final) {
  const Request& request = commands_[command]->request;
  const auto flags = static_cast<std::uint8_t>(command_flags(request) | (final ? 0x80 : 0));
  return expect_tx(scsi_command(cdb_of(request), request.lun, request.bytes, flags)
                       .carries(sent_by(command, 0, immediate)));
}

void Script::expect_silence() {
  settle();
  EXPECT_EQ(peer().tx.size(), 0u) << (peer().tx.empty() ? std::string{} : peer().tx.front().hex());
  EXPECT_EQ(peer().stream.size(), 0u) << "part of a PDU";
}

std::size_t Script::submit(const Request& request) {
  const std::size_t number = commands_.size();
  auto command = std::make_unique<Command>();
  command->request = request;
  command->memory.assign(request.bytes + 2 * kGuard, kGuardByte);
  const bool writes = (request.flags & POLLUX_TO_DEVICE) != 0;
  const Bytes content = writes ? pattern(request.bytes, static_cast<std::uint32_t>(number))
                               : Bytes(request.bytes, kUnread);
  std::copy(content.begin(), content.end(), command->memory.begin() + kGuard);
  std::vector<std::size_t> pieces = request.pieces;
  if (pieces.empty()) pieces = {request.bytes};
  for (std::size_t at = kGuard; const std::size_t piece : pieces) {
    command->iov.push_back({command->memory.data() + at, piece});
    at += piece;
  }
  pollux_command out{};
  out.opcode = request.opcode;
  out.flags = request.flags;
  out.session = session_id(peer_);
  out.lun = request.lun;
  out.length = request.bytes;
  out.block_count = std::max(1u, request.bytes / 512);
  out.cdb = request.cdb.data();
  out.cdb_length = static_cast<std::uint8_t>(request.cdb.size());
  if ((request.flags & POLLUX_LENT) == 0 && request.bytes != 0) {
    out.iov = command->iov.data();
    out.iov_count = static_cast<std::uint32_t>(command->iov.size());
  }
  out.context = command.get();
  commands_.push_back(std::move(command));
  EXPECT_EQ(pollux_queue_submit(queue_.get(), &out, 1), 1);
  settle();
  return number;
}

std::span<std::byte> Script::memory(std::size_t command) {
  return std::span{commands_[command]->memory}.subspan(kGuard, commands_[command]->request.bytes);
}

Bytes Script::sent_by(std::size_t command, std::size_t offset, std::size_t bytes) const {
  return pattern(bytes, static_cast<std::uint32_t>(command), offset);
}

void Script::reap() {
  std::array<pollux_completion, 32> done;
  const int count = pollux_queue_reap(queue_.get(), done.data(), done.size());
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    auto* command = static_cast<Command*>(done[i].context);
    ++command->completions;
    command->done = done[i];
    if (done[i].lent == nullptr) continue;
    std::size_t at = kGuard;
    for (std::uint32_t view = 0; view < done[i].view_count; ++view) {
      const std::size_t length = done[i].views[view].length;
      ASSERT_LE(at + length, command->memory.size() - kGuard);
      std::memcpy(command->memory.data() + at, done[i].views[view].data, length);
      at += length;
    }
    EXPECT_EQ(at - kGuard, done[i].transferred);
    pollux_release(done[i].lent);
  }
}

pollux_completion Script::expect_completion(std::size_t number, int result,
                                            std::uint8_t scsi_status) {
  settle();
  const Command& command = *commands_[number];
  EXPECT_EQ(command.completions, 1) << "command " << number;
  EXPECT_EQ(command.done.result, result) << "command " << number;
  EXPECT_EQ(command.done.scsi_status, scsi_status) << "command " << number;
  return command.done;
}

void Script::expect_pending(std::size_t number) {
  settle();
  EXPECT_EQ(commands_[number]->completions, 0) << "command " << number;
}

void Script::expect_lost(iscsi::LossReason reason, iscsi::ProtocolError error) {
  settle();
  ASSERT_TRUE(peer().ended.has_value())
      << "the connection lives on; expected: " << to_text(reason) << ", " << to_text(error);
  EXPECT_STREQ(to_text(peer().ended->reason), to_text(reason));
  EXPECT_STREQ(to_text(peer().ended->protocol_error), to_text(error));
  if (error != iscsi::ProtocolError::none) {
    EXPECT_EQ(counters().protocol_errors[static_cast<std::size_t>(error)].get(), 1u);
  }
  // No further PDU, and the target sees the end.
  run_for(1s);
  EXPECT_EQ(peer().tx.size(), 0u) << (peer().tx.empty() ? std::string{} : peer().tx.front().hex());
  if (wire_.link_up()) {
    EXPECT_EQ(host_.engine.state(peer().tcp), tcp::State::closed);
  }
  if (options_.slots != 1) return;
  for (std::size_t i = 0; i < commands_.size(); ++i)
    EXPECT_EQ(commands_[i]->completions, 1) << "command " << i;
}

void Script::expect_alive() {
  receive(nop_in(kReserved, 0x4711).lun(0x0007'0000'0000'0000));
  expect_tx(nop_out(kReserved, 0x4711).lun(0x0007'0000'0000'0000));
  const std::size_t command = submit(read(1024));
  const Pdu request = expect_command(command);
  receive(data_in(request.itt(), 0, 0, pattern(1024, 99)).status(0));
  expect_completion(command, POLLUX_OK);
  const Bytes right = pattern(1024, 99);
  EXPECT_TRUE(std::equal(right.begin(), right.end(), memory(command).begin()));
  expect_silence();
}

void Script::finish() {
  wire_.heal();
  hold_credits(false);
  for (std::uint16_t slot = 0; slot < peers_.size(); ++slot) {
    if (on(slot).peer().ref.epoch == 0) continue;
    if (!peer().ended) control(iscsi::ToWorkerKind::abort);
    run_for(2s);
    EXPECT_TRUE(peer().ended.has_value());
    if (!peer().freed) control(iscsi::ToWorkerKind::free_slot);
  }
  run_for(5s);
  for (std::size_t i = 0; i < commands_.size(); ++i) {
    const Command& command = *commands_[i];
    EXPECT_EQ(command.completions, 1) << "command " << i << " has no or more than one completion";
    const auto untouched = [](std::byte byte) { return byte == kGuardByte; };
    EXPECT_TRUE(std::all_of(command.memory.begin(), command.memory.begin() + kGuard, untouched) &&
                std::all_of(command.memory.end() - kGuard, command.memory.end(), untouched))
        << "memory around command " << i;
  }
  control(iscsi::ToWorkerKind::detach_queue, &queue_->rings);
  EXPECT_EQ(messages(iscsi::ToControlKind::queue_detached), 1u);
  EXPECT_EQ(control_pdus_.size(), 0u) << "PDUs of control that did not come back";
  EXPECT_EQ(gates_out_, 0u);
  const iscsi::Initiator& initiator = worker_->initiator();
  EXPECT_EQ(initiator.tasks_in_use(), 0u);
  EXPECT_EQ(initiator.timers_armed(), 0u);
  EXPECT_EQ(initiator.snapshots_in_use(), 0u);
  EXPECT_EQ(initiator.slabs_in_use(), 0u);
  EXPECT_EQ(initiator.lent_bytes_reserved(), 0u);
  EXPECT_EQ(worker_->engine(0).open_connections(), 0u);
  EXPECT_EQ(worker_->engine(0).timers_armed(), 0u);
  EXPECT_EQ(memory_.buffers_in_use(), worker_->interface(0).counters().buffers_cached.get());
  for (std::size_t i = 0; i < memory_.tracker_count(); ++i)
    EXPECT_EQ(memory_.in_flight(*memory_.tracker(i)), 0u);
}

}  // namespace pollux::script
