// The lock file of an instance. DPDK's own lock covers only modes with files shared between
// processes, and pollux runs in none of those.

#include "dataplane/platform/instance_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace pollux::platform {
namespace {

// How often a file that its last owner has just removed is tried again.
constexpr int kAttempts = 16;

std::string runtime_directory() {
  if (::geteuid() == 0) return "/run/pollux";
  const char* user = std::getenv("XDG_RUNTIME_DIR");
  if (user != nullptr && *user == '/') return std::string(user) + "/pollux";
  return "/tmp/pollux-" + std::to_string(::geteuid());
}

/// A directory that only we can write to. In /tmp somebody else may have made it first.
bool make_directory(const std::string& path, std::string& error) {
  const mode_t mode = ::geteuid() == 0 ? 0755 : 0700;
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    error = "cannot create " + path + ": " + std::strerror(errno);
    return false;
  }
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0 || !S_ISDIR(found.st_mode) ||
      found.st_uid != ::geteuid() || (found.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    error = path + " is not a directory that only this user can write to: remove it";
    return false;
  }
  return true;
}

std::string owner_of(int fd) {
  std::array<char, 32> text{};
  const ssize_t length = ::pread(fd, text.data(), text.size() - 1, 0);
  return length > 0 ? "process " + std::string(text.data()) : "another process";
}

}  // namespace

bool InstanceLock::acquire(const std::string& instance, std::string& error) {
  const std::string directory = runtime_directory();
  if (!make_directory(directory, error)) return false;
  const std::string path = directory + "/" + instance + ".lock";
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
      error = "cannot open " + path + ": " + std::strerror(errno);
      return false;
    }
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      error = "instance " + instance + " is owned by " + owner_of(fd) +
              ": stop it or choose another instance name";
      ::close(fd);
      return false;
    }
    // The owner before us removes the file when it leaves: a lock on a removed file locks nobody
    // out.
    struct stat locked {};
    struct stat named {};
    if (::fstat(fd, &locked) == 0 && ::stat(path.c_str(), &named) == 0 &&
        locked.st_ino == named.st_ino && locked.st_dev == named.st_dev) {
      const std::string pid = std::to_string(::getpid());
      if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) < 0) {
        error = "cannot write " + path + ": " + std::strerror(errno);
        ::close(fd);
        return false;
      }
      path_ = path;
      fd_ = fd;
      return true;
    }
    ::close(fd);
  }
  error = "instance " + instance + " is being started by others: try again";
  return false;
}

void InstanceLock::release() {
  if (fd_ < 0) return;
  ::unlink(path_.c_str());
  ::close(fd_);
  fd_ = -1;
}

}  // namespace pollux::platform
