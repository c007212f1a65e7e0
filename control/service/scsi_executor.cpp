#include "control/service/scsi_executor.hpp"

#include <array>
#include <utility>

namespace pollux::service {

ScsiExecutor::ScsiExecutor(QueueSource& source, std::uint32_t workers)
    : source_(source), workers_(workers) {}

pollux_completion ScsiExecutor::failed(int result) noexcept {
  pollux_completion completion{};
  completion.result = result;
  return completion;
}

void ScsiExecutor::submit(ScsiCommand command, ScsiDone done) {
  if (command.worker >= workers_.size()) return done(failed(POLLUX_EINVAL));
  Worker& worker = workers_[command.worker];
  if (!worker.queue) {
    std::string error;
    worker.queue = source_.create(command.worker, kDepth, 0, error);
    if (!worker.queue) return done(failed(POLLUX_ENOMEM));
  }
  if (worker.waiting.size() >= kWaitingMax) return done(failed(POLLUX_EAGAIN));
  auto task = std::make_unique<Task>();
  task->command = std::move(command);
  task->done = std::move(done);
  worker.waiting.push_back(std::move(task));
  ++in_flight_;
  push(worker);
}

bool ScsiExecutor::push(Worker& worker) {
  bool moved = false;
  while (!worker.waiting.empty() && worker.submitted < kDepth) {
    Task& task = *worker.waiting.front();
    pollux_command& command = task.command.command;
    task.iov = {task.command.buffer.data(), task.command.buffer.size()};
    command.iov = task.command.buffer.empty() ? nullptr : &task.iov;
    command.iov_count = task.command.buffer.empty() ? 0 : 1;
    command.length = static_cast<std::uint32_t>(task.command.buffer.size());
    if (command.opcode == POLLUX_SCSI) {
      command.cdb = task.command.cdb.data();
      command.cdb_length = static_cast<std::uint8_t>(task.command.cdb.size());
    }
    command.callback = nullptr;
    command.context = &task;
    const int taken = worker.queue->submit(std::span(&command, 1));
    if (taken == 0 || taken == POLLUX_EAGAIN) break;
    moved = true;
    if (taken < 0) {
      std::unique_ptr<Task> refused = std::move(worker.waiting.front());
      worker.waiting.pop_front();
      finish(std::move(refused), failed(taken));
      continue;
    }
    ++worker.submitted;
    // From here on the completion's context is the owner.
    static_cast<void>(worker.waiting.front().release());
    worker.waiting.pop_front();
  }
  return moved;
}

bool ScsiExecutor::poll() {
  bool worked = false;
  for (Worker& worker : workers_) {
    if (!worker.queue) continue;
    std::array<pollux_completion, kDepth> completions;
    const int count = worker.queue->reap(completions);
    for (int i = 0; i < count; ++i) {
      const pollux_completion& completion = completions[static_cast<std::size_t>(i)];
      --worker.submitted;
      finish(std::unique_ptr<Task>(static_cast<Task*>(completion.context)), completion);
    }
    worked |= count > 0;
    worked |= push(worker);
  }
  return worked;
}

void ScsiExecutor::close() {
  for (Worker& worker : workers_) {
    if (worker.submitted == 0 && worker.waiting.empty()) worker.queue.reset();
  }
}

void ScsiExecutor::finish(std::unique_ptr<Task> task, const pollux_completion& completion) {
  --in_flight_;
  task->done(completion);
}

}  // namespace pollux::service
