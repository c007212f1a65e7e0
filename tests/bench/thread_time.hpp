// Where a measuring thread runs, and how much of that CPU it really got: what is missing to the
// time that passed was taken by others, and a figure from such a run says so.
#pragma once

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

namespace pollux::bench {

/// False: the CPU is not there for us. The calling thread.
inline bool pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0;
}

inline double clock_seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

/// CPU time of the calling thread.
inline double thread_seconds() { return clock_seconds(CLOCK_THREAD_CPUTIME_ID); }
/// CPU time of all threads.
inline double process_seconds() { return clock_seconds(CLOCK_PROCESS_CPUTIME_ID); }

/// Every thread of this process before the ordinary ones of its CPU; those that share a CPU take
/// turns. Root only, in silence. After the login: control must not wait for a worker that spins.
inline void run_all_before_others() {
  std::error_code ignored;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", ignored)) {
    sched_param priority{};
    priority.sched_priority = 1;
    sched_setscheduler(std::stoi(task.path().filename()), SCHED_RR, &priority);
  }
}

/// CPU time of all threads of this process that bear the name.
inline double seconds_of_threads(std::string_view name) {
  double seconds = 0;
  std::error_code ignored;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", ignored)) {
    std::string comm;
    std::getline(std::ifstream(task.path() / "comm") >> std::ws, comm);
    double nanoseconds = 0;
    if (comm == name && std::ifstream(task.path() / "schedstat") >> nanoseconds)
      seconds += nanoseconds / 1e9;
  }
  return seconds;
}

}  // namespace pollux::bench
