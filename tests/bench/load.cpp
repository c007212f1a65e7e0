#include "tests/bench/load.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <utility>

#include "dataplane/platform/tsc_clock.hpp"

namespace pollux::bench {
namespace {

constexpr std::size_t kPageBytes = 4096;

}  // namespace

Load::Load(LoadOptions options, pollux_instance& instance, std::uint32_t worker,
           std::vector<pollux_session_id> sessions, std::uint64_t lun)
    : options_(std::move(options)),
      instance_(instance),
      worker_(worker),
      sessions_(std::move(sessions)),
      lun_(lun),
      by_session_(sessions_.size()) {}

Load::~Load() {
  while (in_flight_ != 0) {
    // Of an instance that turns its workers itself this is refused, and nothing else.
    pollux_worker_poll(&instance_, worker_);
    reap(false);
  }
  if (queue_ != nullptr)
    while (pollux_queue_destroy(queue_) == POLLUX_EBUSY) pollux_worker_poll(&instance_, worker_);
  if (region_ != nullptr)
    while (pollux_memory_unregister(region_) == POLLUX_EBUSY)
      pollux_worker_poll(&instance_, worker_);
  std::free(memory_);
}

bool Load::open(std::string& error) {
  pollux_error reason{};
  slots_.resize(std::size_t{options_.depth} * sessions_.size());
  pollux_queue_options options;
  pollux_queue_options_init(&options);
  options.worker = worker_;
  options.depth = std::bit_ceil(std::max(16u, static_cast<std::uint32_t>(slots_.size())));
  options.lent_read_bytes_max = options_.memory == "lent" ? options_.io_size : 0;
  if (pollux_queue_create(&instance_, &options, &queue_, &reason) != POLLUX_OK) {
    error = reason.message;
    return false;
  }
  memory_bytes_ = std::max<std::size_t>(slots_.size() * options_.io_size, options_.working_set);
  memory_bytes_ = (memory_bytes_ + kPageBytes - 1) / kPageBytes * kPageBytes;
  memory_ = static_cast<std::byte*>(std::aligned_alloc(kPageBytes, memory_bytes_));
  if (memory_ == nullptr) {
    error = "there is no memory for the buffers";
    return false;
  }
  std::fill_n(memory_, memory_bytes_, std::byte{0x5a});
  if (options_.memory == "registered" &&
      pollux_memory_register(&instance_, memory_, memory_bytes_, &region_, &reason) != POLLUX_OK) {
    error = reason.message;
    return false;
  }
  for (std::size_t i = 0; i < slots_.size(); ++i)
    slots_[i].session = static_cast<std::uint32_t>(i % sessions_.size());
  return true;
}

void Load::forget() {
  completed_ = failed_ = 0;
  latencies_ = {};
  std::fill(by_session_.begin(), by_session_.end(), 0);
}

void Load::prepare(Slot& slot, pollux_command& command) {
  const std::uint64_t blocks = options_.lun_bytes / options_.block_bytes;
  const std::uint32_t count = options_.io_size / options_.block_bytes;
  const bool writes = options_.workload == "randrw"
                          ? random_.below(100) >= options_.read_percent
                          : options_.workload.find("write") != std::string::npos;
  command = {};
  command.opcode = writes ? POLLUX_WRITE : POLLUX_READ;
  command.session = sessions_[slot.session];
  command.lun = lun_;
  command.lba =
      options_.workload.starts_with("rand")
          ? random_.below(static_cast<std::uint32_t>(blocks / count)) * std::uint64_t{count}
          : next_lba_;
  next_lba_ = next_lba_ + 2 * count > blocks ? 0 : next_lba_ + count;
  command.block_count = count;
  command.length = options_.io_size;
  command.context = &slot;
  if (options_.memory == "lent" && !writes) {
    command.flags = POLLUX_LENT;
  } else {
    slot.iov = {memory_ + next_buffer_, options_.io_size};
    next_buffer_ += options_.io_size;
    if (next_buffer_ + options_.io_size > memory_bytes_) next_buffer_ = 0;
    command.iov = &slot.iov;
    command.iov_count = 1;
    if (options_.memory == "registered" && writes) command.flags = POLLUX_REGISTERED;
  }
  slot.started = platform::TscClock::cycles();
}

void Load::submit(const pollux_command* commands, std::size_t count) {
  const int taken = pollux_queue_submit(queue_, commands, static_cast<std::uint32_t>(count));
  const std::size_t accepted = taken < 0 ? 0 : static_cast<std::size_t>(taken);
  in_flight_ += accepted;
  failed_ += count - accepted;
}

void Load::fill() {
  std::array<pollux_command, kBatch> commands;
  std::size_t count = 0;
  for (Slot& slot : slots_) {
    prepare(slot, commands[count++]);
    if (count < kBatch && &slot != &slots_.back()) continue;
    submit(commands.data(), count);
    count = 0;
  }
}

std::size_t Load::reap(bool again) {
  std::array<pollux_completion, kBatch> done;
  std::array<pollux_command, kBatch> commands;
  const int reaped = pollux_queue_reap(queue_, done.data(), kBatch);
  if (reaped <= 0) return 0;
  const auto count = static_cast<std::size_t>(reaped);
  const std::uint64_t now = platform::TscClock::cycles();
  for (std::size_t i = 0; i < count; ++i) {
    auto& slot = *static_cast<Slot*>(done[i].context);
    if (done[i].result != 0 || done[i].scsi_status != 0) ++failed_;
    if (done[i].lent != nullptr) pollux_release(done[i].lent);
    latencies_.add(now - slot.started);
    ++by_session_[slot.session];
    if (again) prepare(slot, commands[i]);
  }
  completed_ += count;
  in_flight_ -= count;
  if (again) submit(commands.data(), count);
  return count;
}

}  // namespace pollux::bench
