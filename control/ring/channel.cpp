// The service's end of one client's rings.
#include "control/ring/channel.hpp"

#include <algorithm>
#include <cstring>

#include "control/ring/shared_memory.hpp"

namespace pollux::ring {
namespace {

// A slot keeps an input buffer this large for its next command; more is given back, so that a
// client which once filled every slot with large writes does not pin that memory.
constexpr std::size_t kInputBytesKept = 8192;

}  // namespace

Channel::Channel(std::byte* region, const pollux_ring_geometry& geometry, std::uint64_t features,
                 std::uint32_t input_bytes_max, std::uint32_t service_pid)
    : region_(region),
      geometry_(geometry),
      features_(features),
      input_bytes_max_(input_bytes_max),
      pending_(geometry.completion_slots) {
  free_slots_.reserve(geometry.completion_slots);
  for (std::uint32_t slot = geometry.completion_slots; slot > 0; --slot)
    free_slots_.push_back(slot - 1);
  pollux_ring_header& shared = header();
  shared.magic = POLLUX_RING_MAGIC;
  shared.version = POLLUX_RING_VERSION;
  shared.service_pid = service_pid;
  shared.features = features;
  shared.geometry = geometry;
}

pollux_ring_header& Channel::header() const noexcept {
  return *reinterpret_cast<pollux_ring_header*>(region_);
}

Take Channel::take(TakenCommand& taken) {
  // Pairs with the client's store of complete_head: its slots up to there were read and may be
  // reused.
  const std::uint64_t head = atomic(header().complete_head).load(std::memory_order_seq_cst);
  const std::uint64_t unreaped = complete_tail_ - head;
  // Also catches a head that went back or ran ahead of the tail: the difference is then larger.
  if (unreaped > complete_tail_ - complete_head_seen_) return Take::broken;
  complete_head_seen_ = head;

  // Pairs with the client's store of submit_tail, which follows its writes to the slots.
  const std::uint64_t tail = atomic(header().submit_tail).load(std::memory_order_seq_cst);
  const std::uint64_t waiting = tail - submit_head_;
  if (waiting > geometry_.command_slots) return Take::broken;
  if (waiting == 0) return Take::empty;
  if (in_flight_ + unreaped >= geometry_.completion_slots) return Take::paused;

  const std::uint64_t slot_index = submit_head_ & (geometry_.command_slots - 1);
  taken.entry = copy_out<pollux_ring_command>(region_ + geometry_.commands_offset +
                                              slot_index * sizeof(pollux_ring_command));
  taken.verdict = verdict_on(taken.entry);
  taken.input = {};

  const std::uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  ++in_flight_;
  Pending& pending = pending_[slot];
  pending.is_used = true;
  ++pending.sequence;
  pending.tag = taken.entry.tag;
  pending.output_offset = 0;
  pending.output_bytes = 0;
  taken.ticket = {slot, pending.sequence};
  if (taken.verdict == POLLUX_RING_OK) {
    pending.output_offset = taken.entry.output_offset;
    pending.output_bytes = taken.entry.output_bytes;
    const std::byte* input = region_ + geometry_.arena_offset + taken.entry.input_offset;
    pending.input.assign(input, input + taken.entry.input_bytes);
    input_bytes_ += pending.input.size();
    taken.input = pending.input;
  }
  ++submit_head_;
  // Pairs with the client's load of submit_head: the slot was copied and may be written again.
  atomic(header().submit_head).store(submit_head_, std::memory_order_release);
  return Take::command;
}

std::uint32_t Channel::verdict_on(const pollux_ring_command& entry) const noexcept {
  if (entry.flags != 0 || entry.reserved0 != 0 || entry.reserved1 != 0)
    return POLLUX_RING_BAD_COMMAND;
  if (entry.argument != 0 && entry.opcode != POLLUX_RING_OP_CANCEL) return POLLUX_RING_BAD_COMMAND;
  if (!is_extent(entry.input_offset, entry.input_bytes)) return POLLUX_RING_BAD_EXTENT;
  if (!is_extent(entry.output_offset, entry.output_bytes)) return POLLUX_RING_BAD_EXTENT;
  if (entry.input_bytes > input_bytes_max_) return POLLUX_RING_INPUT_TOO_LARGE;
  // Inputs that do not overlap cannot add up to more than the arena; those that do would let a
  // small arena fill the service's memory.
  if (input_bytes_ + entry.input_bytes > geometry_.arena_bytes) return POLLUX_RING_BUSY;
  return POLLUX_RING_OK;
}

bool Channel::is_extent(std::uint64_t offset, std::uint32_t bytes) const noexcept {
  if (bytes == 0) return offset <= geometry_.arena_bytes;
  return offset % POLLUX_RING_EXTENT_ALIGN == 0 && bytes <= geometry_.arena_bytes &&
         offset <= geometry_.arena_bytes - bytes;
}

const Channel::Pending* Channel::find(Ticket ticket) const noexcept {
  if (ticket.slot >= pending_.size()) return nullptr;
  const Pending& pending = pending_[ticket.slot];
  return pending.is_used && pending.sequence == ticket.sequence ? &pending : nullptr;
}

Channel::Pending* Channel::find(Ticket ticket) noexcept {
  return const_cast<Pending*>(static_cast<const Channel*>(this)->find(ticket));
}

bool Channel::complete(Ticket ticket, std::uint32_t status, std::span<const std::byte> output,
                       std::uint64_t needed) noexcept {
  Pending* pending = find(ticket);
  if (pending == nullptr) return false;
  pollux_ring_completion completion{};
  completion.tag = pending->tag;
  completion.status = status;
  if (output.size() > pending->output_bytes) {
    completion.status = POLLUX_RING_OUTPUT_TOO_SMALL;
    completion.output_needed = std::max<std::uint64_t>(needed, output.size());
  } else {
    if (!output.empty()) {
      std::memcpy(region_ + geometry_.arena_offset + pending->output_offset, output.data(),
                  output.size());
    }
    completion.output_bytes = static_cast<std::uint32_t>(output.size());
    completion.output_needed = std::max<std::uint64_t>(needed, output.size());
  }
  release(ticket, *pending);
  publish(completion);
  return true;
}

bool Channel::discard(Ticket ticket) noexcept {
  Pending* pending = find(ticket);
  if (pending == nullptr) return false;
  release(ticket, *pending);
  return true;
}

void Channel::release(Ticket ticket, Pending& pending) noexcept {
  input_bytes_ -= pending.input.size();
  if (pending.input.capacity() > kInputBytesKept) {
    pending.input = std::vector<std::byte>();
  } else {
    pending.input.clear();
  }
  pending.is_used = false;
  --in_flight_;
  free_slots_.push_back(ticket.slot);
}

void Channel::publish(const pollux_ring_completion& completion) noexcept {
  // take() admitted the command only because this slot was certain, so nothing is overwritten that
  // an honest client has yet to read.
  const std::uint64_t slot_index = complete_tail_ & (geometry_.completion_slots - 1);
  std::memcpy(region_ + geometry_.completions_offset + slot_index * sizeof completion, &completion,
              sizeof completion);
  ++complete_tail_;
  // Pairs with the client's load of complete_tail, which precedes its reading of the slot.
  atomic(header().complete_tail).store(complete_tail_, std::memory_order_seq_cst);
}

bool Channel::take_ring_request() noexcept {
  // Pairs with the client's setting of the flag before its last look at complete_tail: both sides
  // are sequentially consistent, so the client sees the new tail or the service sees the flag.
  const auto flag = atomic(header().client_needs_wakeup);
  if (flag.load(std::memory_order_seq_cst) == 0) return false;
  return flag.exchange(0, std::memory_order_seq_cst) != 0;
}

void Channel::set_needs_wakeup(bool needs) noexcept {
  // Pairs with the client's load after it stored submit_tail or complete_head.
  atomic(header().service_needs_wakeup).store(needs ? 1 : 0, std::memory_order_seq_cst);
}

bool Channel::has_work() const noexcept {
  const std::uint64_t head = atomic(header().complete_head).load(std::memory_order_seq_cst);
  const std::uint64_t tail = atomic(header().submit_tail).load(std::memory_order_seq_cst);
  const std::uint64_t unreaped = complete_tail_ - head;
  if (unreaped > complete_tail_ - complete_head_seen_ ||
      tail - submit_head_ > geometry_.command_slots) {
    return true;
  }
  return tail != submit_head_ && in_flight_ + unreaped < geometry_.completion_slots;
}

}  // namespace pollux::ring
