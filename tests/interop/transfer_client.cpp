#include "tests/interop/transfer_client.hpp"

#include <algorithm>
#include <cstring>

namespace pollux::interop {
namespace {

// Of a hundred sinks: how many the client aborts, and how many the server does.
constexpr std::uint32_t kClientAborts = 15;
constexpr std::uint32_t kServerAborts = 15;
// A SYN or its answer was lost, or met an older connection of the same ports.
constexpr Duration kSlowOpen = 900ms;

}  // namespace

TransferClient::TransferClient(TapHost& host, const TransferPlan& plan)
    : host_(host), plan_(plan), random_(plan.seed), transfers_(plan.parallel) {
  for (Transfer& transfer : transfers_) {
    transfer.memory.resize(std::size_t{plan.piece_bytes} * plan.pieces);
    transfer.references.resize(plan.pieces);
  }
}

void TransferClient::draw(Request& request) {
  request = {};
  const std::uint64_t range = plan_.bytes_max - plan_.bytes_min + 1;
  request.bytes = plan_.bytes_min + random_.next() % range;
  request.seed = random_.next();
  request.milliseconds = plan_.milliseconds;
  request.operation =
      plan_.operation.value_or(random_.below(2) == 0 ? Operation::sink : Operation::source);
  std::copy_n(plan_.congestion.begin(),
              std::min(plan_.congestion.size(), request.congestion.size() - 1),
              request.congestion.begin());
  if (!plan_.mixed_endings || request.operation != Operation::sink) return;
  const std::uint32_t lot = random_.below(100);
  if (lot < kClientAborts)
    request.ending = Ending::client_aborts;
  else if (lot < kClientAborts + kServerAborts)
    request.ending = Ending::server_aborts;
  // It takes a byte to tell the server that all is read, and one to be aborted behind.
  if (request.ending != Ending::sender_first)
    request.bytes = std::max<std::uint64_t>(request.bytes, 2);
}

void TransferClient::start(Transfer& transfer, std::uint32_t slot, Instant now) {
  const tcp::OpenRequest open{.remote = plan_.server, .owner = slot};
  if (host_.engine().open(open, now, transfer.id) != tcp::OpenError::none) {
    ++counts_.open_refused;
    return;
  }
  ++counts_.opened;
  ++started_;
  draw(transfer.request);
  transfer.used = true;
  transfer.established = transfer.closing = false;
  transfer.correct = true;
  transfer.opened_at = now;
  transfer.pattern = Pattern(transfer.request.seed);
  transfer.queued = transfer.received = 0;
  transfer.verdict = {};
  transfer.next_piece = 0;
}

void TransferClient::turn(Instant now) {
  for (std::uint32_t slot = 0; slot < transfers_.size(); ++slot) {
    Transfer& transfer = transfers_[slot];
    if (!transfer.used && started_ < plan_.count) start(transfer, slot, now);
    if (transfer.used && transfer.established && !transfer.closing) send(transfer, now);
  }
}

void TransferClient::on_event(const tcp::Event& event, Instant now) {
  Transfer& transfer = transfers_[event.owner];
  if (!transfer.used || transfer.id != event.id) return;
  if ((event.bits & tcp::kEstablished) != 0) {
    transfer.established = true;
    if (now - transfer.opened_at > kSlowOpen) ++counts_.slow_opens;
    transfer.first = transfer.last = now;
    host_.engine().send_inline(transfer.id, std::as_bytes(std::span(&transfer.request, 1)));
  }
  if ((event.bits & tcp::kReadable) != 0) receive(transfer, now);
  if ((event.bits & tcp::kPeerClosed) != 0 && !transfer.closing) {
    transfer.closing = true;
    host_.engine().close(transfer.id, now);
  }
  if ((event.bits & tcp::kEnded) != 0) end(transfer);
}

void TransferClient::send(Transfer& transfer, Instant now) {
  const Request& request = transfer.request;
  if (request.operation == Operation::source) return;
  tcp::Engine& engine = host_.engine();
  const bool late = request.milliseconds != 0 &&
                    now - transfer.first > std::chrono::milliseconds(request.milliseconds);
  // Half of what will not be sent whole.
  const std::uint64_t goal = late                                      ? transfer.queued
                             : request.ending == Ending::client_aborts ? request.bytes / 2
                                                                       : request.bytes;
  std::uint32_t room = engine.send_space(transfer.id).descriptors;
  for (; transfer.queued < goal && room > 0; --room) {
    tcp::SendReference& reference = transfer.references[transfer.next_piece];
    if (reference.count != 0) return;
    const auto length = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(goal - transfer.queued, plan_.piece_bytes));
    const auto piece = std::span(transfer.memory)
                           .subspan(std::size_t{transfer.next_piece} * plan_.piece_bytes, length);
    transfer.pattern.fill(piece, transfer.queued);
    engine.send_external(transfer.id, piece.data(), length, host_.memory().tracker(0), &reference);
    transfer.queued += length;
    counts_.bytes_sent += length;
    transfer.next_piece = (transfer.next_piece + 1) % plan_.pieces;
  }
  if (transfer.queued < goal || request.ending == Ending::server_aborts) return;
  if (request.ending != Ending::client_aborts) {
    transfer.closing = true;
    engine.end_sending(transfer.id, now);
  } else if (transfer.references[0].count == 0) {
    // The server has the request in front of the first piece, so it knows what the RST means.
    transfer.closing = true;
    engine.abort(transfer.id, now);
  }
}

void TransferClient::receive(Transfer& transfer, Instant now) {
  tcp::Engine& engine = host_.engine();
  while (engine.readable(transfer.id) != 0) {
    const auto bytes = engine.front(transfer.id);
    if (transfer.request.operation == Operation::source) {
      if (transfer.received == 0) transfer.first = now;
      transfer.last = now;
      transfer.correct = transfer.correct && transfer.pattern.matches(bytes, transfer.received);
      counts_.bytes_received += bytes.size();
    } else if (transfer.received + bytes.size() <= sizeof(Verdict)) {
      std::memcpy(reinterpret_cast<std::byte*>(&transfer.verdict) + transfer.received, bytes.data(),
                  bytes.size());
    } else {
      transfer.correct = false;
    }
    transfer.received += bytes.size();
    engine.consume(transfer.id, static_cast<std::uint32_t>(bytes.size()));
  }
}

void TransferClient::end(Transfer& transfer) {
  judge(transfer, host_.engine().end_reason(transfer.id));
  host_.engine().release(transfer.id);
  transfer.used = false;
  for (const tcp::SendReference& reference : transfer.references)
    if (reference.count != 0) ++counts_.wrong;  // an ended connection holds no memory of ours
}

void TransferClient::judge(const Transfer& transfer, tcp::EndReason reason) {
  const Request& request = transfer.request;
  if (request.ending == Ending::client_aborts || request.ending == Ending::server_aborts) {
    const bool ours = request.ending == Ending::client_aborts;
    if (reason != (ours ? tcp::EndReason::aborted : tcp::EndReason::reset_by_peer))
      ++counts_.bad_ends;
    else
      ++(ours ? counts_.aborted_by_us : counts_.aborted_by_server);
    return;
  }
  if (reason != tcp::EndReason::closed) {
    ++counts_.bad_ends;
  } else if (request.operation == Operation::source) {
    const bool whole = request.milliseconds != 0 || transfer.received == request.bytes;
    ++(transfer.correct && whole ? counts_.received_whole : counts_.wrong);
    counts_.nanoseconds = static_cast<std::uint64_t>((transfer.last - transfer.first).count());
  } else {
    const bool confirmed = transfer.correct && transfer.received == sizeof(Verdict) &&
                           transfer.verdict.good == 1 && transfer.verdict.bytes == transfer.queued;
    ++(confirmed ? counts_.sent_whole : counts_.wrong);
    counts_.nanoseconds = transfer.verdict.nanoseconds;
  }
}

}  // namespace pollux::interop
