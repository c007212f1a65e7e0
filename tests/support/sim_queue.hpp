// An application in the simulation: a command queue with its buffers, in the test's own thread.
#pragma once

#include <memory>
#include <vector>

#include "control/library/queue.hpp"
#include "tests/support/sim_world.hpp"

namespace pollux::sim {

class SimQueue {
 public:
  SimQueue(SimWorld& world, std::uint32_t depth = 32, std::uint32_t lent_bytes_max = 0)
      : world_(world), queue_(depth, lent_bytes_max == 0 ? 0 : lent_bytes_max / 512 + 8) {
    queue_.lent_read_bytes_max = lent_bytes_max;
    world_.send({.kind = iscsi::ToWorkerKind::attach_queue, .pointer = &queue_.rings});
    world_.run_for(1ms);
  }
  ~SimQueue() {
    world_.send({.kind = iscsi::ToWorkerKind::detach_queue, .pointer = &queue_.rings});
    world_.run_for(1ms);
  }
  SimQueue(const SimQueue&) = delete;
  SimQueue& operator=(const SimQueue&) = delete;

  static pollux_command transfer(std::uint8_t opcode, std::uint64_t session, std::uint64_t lba,
                                 const iovec* iov, std::uint32_t iov_count,
                                 std::uint8_t flags = 0) {
    pollux_command command{};
    command.opcode = opcode;
    command.flags = flags;
    command.session = session;
    command.lba = lba;
    command.iov = iov;
    command.iov_count = iov_count;
    for (std::uint32_t i = 0; i < iov_count; ++i)
      command.length += static_cast<std::uint32_t>(iov[i].iov_len);
    command.block_count = command.length / 512;
    return command;
  }

  int submit(const pollux_command& command) { return pollux_queue_submit(&queue_, &command, 1); }
  /// Runs the world until one completion is there.
  pollux_completion wait(Duration limit = 60s) {
    pollux_completion completion{};
    completion.result = POLLUX_EINTERNAL;
    world_.run_until([&] { return pollux_queue_reap(&queue_, &completion, 1) == 1; }, limit);
    return completion;
  }
  pollux_completion run(const pollux_command& command) {
    if (const int taken = submit(command); taken != 1) {
      pollux_completion refused{};
      refused.result = taken == 0 ? POLLUX_EAGAIN : taken;
      return refused;
    }
    return wait();
  }
  [[nodiscard]] pollux_queue& queue() { return queue_; }

 private:
  SimWorld& world_;
  pollux_queue queue_;
};

}  // namespace pollux::sim
