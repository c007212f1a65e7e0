// SCSI commands of the control thread: one queue for each worker, made when it is first needed.
// Control thread only. A command's memory belongs to its `done` function, which is called exactly
// once.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "control/service/queue_source.hpp"

namespace pollux::service {

struct ScsiCommand {
  std::uint32_t worker = 0;
  pollux_command command{};       ///< iov, callback and context are filled here
  std::span<std::byte> buffer;    ///< of `command.length` bytes; empty: no data
  std::vector<std::uint8_t> cdb;  ///< POLLUX_SCSI
};
using ScsiDone = std::function<void(const pollux_completion&)>;

class ScsiExecutor {
 public:
  ScsiExecutor(QueueSource& source, std::uint32_t workers);

  /// `done` may be called before this returns (a refusal), else inside poll().
  void submit(ScsiCommand command, ScsiDone done);
  /// Moves commands to the workers and completions back; returns whether anything happened.
  bool poll();
  /// Gives back the queues that are idle. Later commands would make new ones.
  void close();
  /// Submitted and not yet done.
  [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_; }

 private:
  static constexpr std::uint32_t kDepth = 64;
  static constexpr std::size_t kWaitingMax = 4096;

  struct Task {
    ScsiCommand command;
    ScsiDone done;
    iovec iov{};
  };
  struct Worker {
    std::unique_ptr<Queue> queue;
    std::deque<std::unique_ptr<Task>> waiting;
    std::uint32_t submitted = 0;
  };

  bool push(Worker& worker);
  void finish(std::unique_ptr<Task> task, const pollux_completion& completion);
  static pollux_completion failed(int result) noexcept;

  QueueSource& source_;
  std::vector<Worker> workers_;
  std::size_t in_flight_ = 0;
};

}  // namespace pollux::service
