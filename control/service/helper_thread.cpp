#include "control/service/helper_thread.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace pollux::service {

/// Lives as long as the thread or its owner, whoever is last.
struct HelperThread::Shared {
  struct Job {
    std::function<void()> work;
    std::function<void()> done;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Job> jobs;
  std::vector<std::function<void()>> finished;
  std::function<void()> wake;
  std::size_t jobs_max = 0;
  bool is_running_job = false;
  bool is_stopping = false;

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return is_stopping || !jobs.empty(); });
      if (is_stopping) return;
      Job job = std::move(jobs.front());
      jobs.pop_front();
      is_running_job = true;
      lock.unlock();
      job.work();
      lock.lock();
      is_running_job = false;
      if (is_stopping) return;
      finished.push_back(std::move(job.done));
      wake();
      changed.notify_all();
    }
  }
};

HelperThread::HelperThread(std::function<void()> wake, std::size_t jobs_max)
    : shared_(std::make_shared<Shared>()) {
  shared_->wake = std::move(wake);
  shared_->jobs_max = jobs_max;
  // Detached: getaddrinfo cannot be interrupted, and an end of the service must not wait for it.
  std::thread([shared = shared_] { shared->run(); }).detach();
}

HelperThread::~HelperThread() {
  const std::lock_guard lock(shared_->mutex);
  shared_->is_stopping = true;
  shared_->jobs.clear();
  shared_->finished.clear();
  shared_->changed.notify_all();
}

bool HelperThread::post(std::function<void()> work, std::function<void()> done) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->jobs.size() >= shared_->jobs_max) return false;
  shared_->jobs.push_back({std::move(work), std::move(done)});
  shared_->changed.notify_all();
  return true;
}

bool HelperThread::run_finished() {
  std::vector<std::function<void()>> finished;
  {
    const std::lock_guard lock(shared_->mutex);
    finished.swap(shared_->finished);
  }
  for (const auto& done : finished) done();
  return !finished.empty();
}

void HelperThread::wait_until_idle(unsigned milliseconds) {
  std::unique_lock lock(shared_->mutex);
  shared_->changed.wait_for(lock, std::chrono::milliseconds(milliseconds), [this] {
    return shared_->jobs.empty() && !shared_->is_running_job;
  });
}

}  // namespace pollux::service
