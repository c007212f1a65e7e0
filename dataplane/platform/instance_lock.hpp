// One process owns an instance: a lock file that the kernel unlocks when its owner dies in whatever
// way.
#pragma once

#include <string>

namespace pollux::platform {

/// Thread: one.
class InstanceLock {
 public:
  InstanceLock() = default;
  ~InstanceLock() { release(); }
  InstanceLock(const InstanceLock&) = delete;
  InstanceLock& operator=(const InstanceLock&) = delete;

  /// False when another process holds `instance` (then `error` names it) or the file cannot be
  /// made.
  [[nodiscard]] bool acquire(const std::string& instance, std::string& error);
  void release();

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace pollux::platform
