// The client's end of the rings.
#include "control/client/client.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "control/ring/shared_memory.hpp"

namespace pollux::client {
namespace {

// How long a call waits beyond its deadline for the service's own verdict on it.
constexpr std::chrono::milliseconds kGrace{500};
// A caller that only reaps would never notice a dead service: look at the socket this often.
constexpr std::uint32_t kReapsBetweenLooks = 1024;
// Looks at the ring between two offers of the CPU: a service on the same CPU needs it to answer.
constexpr int kLooksBetweenYields = 64;

}  // namespace

Client::Client(Connection connection, std::uint32_t spin_us)
    : connection_(std::move(connection)),
      spin_(spin_us),
      arena_(connection_.reply.geometry.arena_bytes, connection_.reply.geometry.command_slots),
      slots_(connection_.reply.geometry.command_slots),
      finished_(connection_.reply.geometry.command_slots) {
  vacant_.reserve(slots_.size());
  for (auto index = static_cast<std::uint32_t>(slots_.size()); index > 0; --index) {
    vacant_.push_back(index - 1);
  }
}

pollux_ring_header& Client::header() const noexcept {
  return *reinterpret_cast<pollux_ring_header*>(connection_.region.get());
}

std::uint64_t Client::tag_of(std::uint32_t slot_index) const noexcept {
  return static_cast<std::uint64_t>(slots_[slot_index].sequence) << 32 | slot_index;
}

Client::Slot* Client::find(std::uint64_t tag, std::uint32_t* slot_index) noexcept {
  const auto index = static_cast<std::uint32_t>(tag);
  if (index >= slots_.size() || slots_[index].state == State::vacant || tag_of(index) != tag) {
    return nullptr;
  }
  *slot_index = index;
  return &slots_[index];
}

int Client::submit(const pollux_client_command& command, std::uint64_t* tag) noexcept {
  std::uint32_t slot_index = 0;
  const int result = submit_as(Owner::reaper, command, 0, &slot_index);
  if (result == 0 && tag != nullptr) *tag = tag_of(slot_index);
  return result;
}

int Client::submit_as(Owner owner, const pollux_client_command& command, std::uint64_t argument,
                      std::uint32_t* slot_index) noexcept {
  if (is_service_gone_) return POLLUX_ESERVICE;
  const std::uint64_t input_extent = Arena::rounded(command.input_bytes);
  const std::uint64_t extent_bytes = input_extent + Arena::rounded(command.output_bytes);
  if (command.input_bytes > connection_.reply.input_bytes_max ||
      extent_bytes > connection_.reply.geometry.arena_bytes) {
    return POLLUX_ETOOLARGE;
  }
  // The last slot is for what the client has to say even when it is full: cancel.
  const std::size_t kept_slots = owner == Owner::nobody ? 0 : 1;
  if (vacant_.size() <= kept_slots) drain();
  if (vacant_.size() <= kept_slots) return POLLUX_EAGAIN;
  // Every command in the queue or in flight has a slot here and slots are as many as the queue's,
  // so a vacant one means that the queue has room.
  const std::optional<std::uint64_t> offset = arena_.take(extent_bytes);
  if (!offset) return POLLUX_EAGAIN;

  *slot_index = vacant_.back();
  vacant_.pop_back();
  Slot& slot = slots_[*slot_index];
  ++slot.sequence;
  slot.state = State::in_flight;
  slot.owner = owner;
  slot.extent_offset = *offset;
  slot.extent_bytes = extent_bytes;
  slot.output_offset = command.output_bytes == 0 ? 0 : *offset + input_extent;
  slot.output = command.output;
  slot.output_capacity = command.output_bytes;
  slot.completion = {};
  slot.completion.tag = tag_of(*slot_index);
  slot.completion.user_data = command.user_data;

  std::byte* arena = connection_.region.get() + connection_.reply.geometry.arena_offset;
  if (command.input_bytes > 0) std::memcpy(arena + *offset, command.input, command.input_bytes);
  pollux_ring_command entry{};
  entry.opcode = command.opcode;
  entry.tag = slot.completion.tag;
  entry.deadline_ms = command.deadline_ms;
  entry.input_offset = command.input_bytes == 0 ? 0 : *offset;
  entry.output_offset = slot.output_offset;
  entry.input_bytes = command.input_bytes;
  entry.output_bytes = command.output_bytes;
  entry.argument = argument;
  publish(entry);
  return 0;
}

void Client::publish(const pollux_ring_command& command) noexcept {
  const pollux_ring_geometry& geometry = connection_.reply.geometry;
  const std::uint64_t slot_index = submit_tail_ & (geometry.command_slots - 1);
  std::memcpy(connection_.region.get() + geometry.commands_offset + slot_index * sizeof command,
              &command, sizeof command);
  ++submit_tail_;
  // Pairs with the service's load of submit_tail, which precedes its copying of the slot.
  ring::atomic(header().submit_tail).store(submit_tail_, std::memory_order_seq_cst);
  knock_if_asked();
}

void Client::knock_if_asked() noexcept {
  // Pairs with the service's setting of the flag before its last look at the positions.
  if (ring::atomic(header().service_needs_wakeup).load(std::memory_order_seq_cst) == 0) return;
  const std::uint64_t one = 1;
  // EAGAIN would mean that the counter is at its end: rung often enough.
  static_cast<void>(!::write(connection_.doorbell.get(), &one, sizeof one));
}

void Client::drain() noexcept {
  const pollux_ring_geometry& geometry = connection_.reply.geometry;
  // Pairs with the service's store of complete_tail, which follows its writing of the slots.
  const std::uint64_t tail = ring::atomic(header().complete_tail).load(std::memory_order_seq_cst);
  if (tail == complete_head_) return;
  if (tail - complete_head_ > geometry.completion_slots) {
    is_service_gone_ = true;  // no service of ours does that: what is there cannot be believed
    return;
  }
  for (; complete_head_ != tail; ++complete_head_) {
    const std::uint64_t slot_index = complete_head_ & (geometry.completion_slots - 1);
    finish(ring::copy_out<pollux_ring_completion>(connection_.region.get() +
                                                  geometry.completions_offset +
                                                  slot_index * sizeof(pollux_ring_completion)));
  }
  // Pairs with the service's load of complete_head: these slots were read.
  ring::atomic(header().complete_head).store(complete_head_, std::memory_order_seq_cst);
  // Commands may wait in the queue for just these completion slots while the service sleeps.
  const std::uint64_t submit_head =
      ring::atomic(header().submit_head).load(std::memory_order_acquire);
  if (submit_head != submit_tail_) knock_if_asked();
}

void Client::finish(const pollux_ring_completion& completion) noexcept {
  std::uint32_t slot_index = 0;
  Slot* slot = find(completion.tag, &slot_index);
  if (slot == nullptr || slot->state != State::in_flight) return;
  slot->completion.ring_status = completion.status;
  slot->completion.output_bytes = std::min(completion.output_bytes, slot->output_capacity);
  slot->completion.output_needed = completion.output_needed;
  if (slot->owner == Owner::nobody) return vacate(slot_index);
  slot->state = State::finished;
  if (slot->owner != Owner::reaper) return;
  finished_[(finished_first_ + finished_count_) % finished_.size()] = slot_index;
  ++finished_count_;
}

// Copies the output while the extent is still ours, then gives both back.
void Client::vacate(std::uint32_t slot_index) noexcept {
  Slot& slot = slots_[slot_index];
  if (slot.owner != Owner::nobody && slot.completion.output_bytes > 0) {
    std::memcpy(
        slot.output,
        connection_.region.get() + connection_.reply.geometry.arena_offset + slot.output_offset,
        slot.completion.output_bytes);
  }
  arena_.give(slot.extent_offset, slot.extent_bytes);
  slot.state = State::vacant;
  slot.owner = Owner::nobody;
  vacant_.push_back(slot_index);
}

int Client::reap(pollux_client_completion* completions, std::uint32_t capacity) noexcept {
  drain();
  std::uint32_t count = 0;
  for (; count < capacity && finished_count_ > 0; ++count) {
    const std::uint32_t slot_index = finished_[finished_first_];
    finished_first_ = (finished_first_ + 1) % finished_.size();
    --finished_count_;
    completions[count] = slots_[slot_index].completion;
    vacate(slot_index);
  }
  if (count > 0) {
    idle_reaps_ = 0;
    return static_cast<int>(count);
  }
  if (++idle_reaps_ >= kReapsBetweenLooks) {
    idle_reaps_ = 0;
    look_at_socket();
  }
  return is_service_gone_ && finished_count_ == 0 ? POLLUX_ESERVICE : 0;
}

int Client::wait(std::uint32_t timeout_ms) noexcept {
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  if (wait_until(deadline, [&] { return finished_count_ > 0; })) return 1;
  return is_service_gone_ ? POLLUX_ESERVICE : 0;
}

int Client::cancel(std::uint64_t tag) noexcept {
  std::uint32_t target_index = 0;
  const Slot* target = find(tag, &target_index);
  if (target == nullptr || target->state != State::in_flight) return POLLUX_ENOTFOUND;
  if ((connection_.reply.features & POLLUX_RING_FEATURE_CANCEL) == 0) return POLLUX_ENOTSUP;
  pollux_client_command command{};
  command.opcode = POLLUX_RING_OP_CANCEL;
  std::uint32_t slot_index = 0;
  return submit_as(Owner::nobody, command, tag, &slot_index);
}

int Client::call(const pollux_client_command& command, std::size_t* out_len) noexcept {
  const auto deadline = Clock::now() + std::chrono::milliseconds(command.deadline_ms) + kGrace;
  std::uint32_t slot_index = 0;
  int submitted = submit_as(Owner::caller, command, 0, &slot_index);
  if (submitted == POLLUX_EAGAIN) {
    // The room is taken by other commands of this client: theirs to end, within our time.
    wait_until(deadline, [&] {
      submitted = submit_as(Owner::caller, command, 0, &slot_index);
      return submitted != POLLUX_EAGAIN;
    });
  }
  if (submitted != 0) return submitted;
  wait_until(deadline, [&] { return slots_[slot_index].state == State::finished; });
  if (slots_[slot_index].state == State::finished) return caller_result(slot_index, out_len);
  if (is_service_gone_) {
    slots_[slot_index].owner = Owner::nobody;
    return POLLUX_ESERVICE;
  }
  settle_caller_timeout(slot_index);
  return POLLUX_ETIMEDOUT;
}

int Client::caller_result(std::uint32_t slot_index, std::size_t* out_len) noexcept {
  const pollux_client_completion completion = slots_[slot_index].completion;
  vacate(slot_index);
  if (out_len != nullptr) {
    *out_len = completion.ring_status == POLLUX_RING_OUTPUT_TOO_SMALL
                   ? static_cast<std::size_t>(completion.output_needed)
                   : completion.output_bytes;
  }
  return pollux_client_status_error(completion.ring_status);
}

// The caller's buffer is the caller's again; the extent stays taken until the service has answered,
// because it may still write there.
void Client::settle_caller_timeout(std::uint32_t slot_index) noexcept {
  static_cast<void>(cancel(tag_of(slot_index)));
  slots_[slot_index].owner = Owner::nobody;
}

int Client::arm() noexcept {
  drain();
  if (finished_count_ > 0) return 1;
  look_at_socket();
  if (is_service_gone_) return POLLUX_ESERVICE;
  set_asleep(true);
  drain();
  if (finished_count_ == 0) return 0;
  set_asleep(false);
  return 1;
}

void Client::set_asleep(bool is_asleep) noexcept {
  // Pairs with the service's load after it stored complete_tail.
  ring::atomic(header().client_needs_wakeup).store(is_asleep ? 1 : 0, std::memory_order_seq_cst);
}

// Looks for a while, then sleeps between looks. True when `done` was seen to hold.
template <typename Done>
bool Client::wait_until(Clock::time_point deadline, Done done) noexcept {
  const auto spin_end = std::min(deadline, Clock::now() + spin_);
  do {
    for (int looks = 0; looks < kLooksBetweenYields; ++looks) {
      drain();
      if (done()) return true;
      if (is_service_gone_) return false;
      __builtin_ia32_pause();
    }
    ::sched_yield();
  } while (Clock::now() < spin_end);
  while (true) {
    set_asleep(true);
    drain();
    if (done()) break;
    if (is_service_gone_ || Clock::now() >= deadline) {
      set_asleep(false);
      return false;
    }
    sleep(deadline);
  }
  set_asleep(false);
  return true;
}

void Client::sleep(Clock::time_point deadline) noexcept {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  pollfd readable{.fd = connection_.socket.get(), .events = POLLIN, .revents = 0};
  const int wait_ms = static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
  if (::poll(&readable, 1, wait_ms) > 0) look_at_socket();
}

// Reads away what rang, and notices the hang-up. Completions published before the end are still
// taken.
void Client::look_at_socket() noexcept {
  char message[16];
  for (int reads = 0; reads < 64; ++reads) {
    const ssize_t length = ::recv(connection_.socket.get(), message, sizeof message, MSG_DONTWAIT);
    if (length > 0) continue;
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    drain();
    is_service_gone_ = true;
    return;
  }
}

}  // namespace pollux::client
