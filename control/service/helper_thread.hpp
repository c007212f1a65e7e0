// A thread for what may block: names to resolve, files to write. Work goes in with a function that is
// run on the control thread when the work is done. The queue is bounded, so a slow disk or name server
// costs refusals, not memory.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace pollux::service {

class HelperThread {
 public:
  /// `wake` is called on the helper thread when a result is ready. It must stay callable until the
  /// destructor has returned, and is not called after that.
  explicit HelperThread(std::function<void()> wake, std::size_t jobs_max = 64);
  /// Waits for nobody: work under way is abandoned to its end and its result dropped.
  ~HelperThread();
  HelperThread(const HelperThread&) = delete;
  HelperThread& operator=(const HelperThread&) = delete;

  /// False when as many jobs as allowed are waiting. `work` must own everything it uses.
  [[nodiscard]] bool post(std::function<void()> work, std::function<void()> done);
  /// Control thread: runs the `done` functions that are due; returns whether there were any.
  bool run_finished();
  /// Waits until nothing is queued or under way, or `milliseconds` are over. For an orderly end.
  void wait_until_idle(unsigned milliseconds);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace pollux::service
