// System calls of a thread, caught by a seccomp filter.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <iterator>

#include "tests/unit/steady_state/watch.hpp"

namespace pollux::steady {
namespace {

std::atomic<std::uint64_t> count{0};
std::atomic<int> last{-1};
std::atomic<bool> is_on{false};

void on_system_call(int, siginfo_t* info, void*) {
  if (!is_on.load(std::memory_order_relaxed)) return;
  count.fetch_add(1, std::memory_order_relaxed);
  last.store(info->si_syscall, std::memory_order_relaxed);
}

}  // namespace

bool forbid_system_calls() {
  // What the C library sets up at a thread's first allocation, which may come when the thread ends.
  void* volatile first = std::malloc(64);
  std::free(first);
  struct sigaction action {};
  action.sa_sigaction = on_system_call;
  action.sa_flags = SA_SIGINFO;
  if (sigaction(SIGSYS, &action, nullptr) != 0) return false;
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),  // seccomp_data::nr
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigprocmask, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 2, 0),  // a thread's stack when it ends
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_munmap, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{.len = std::size(filter), .filter = filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

void count_system_calls(bool on) noexcept { is_on.store(on, std::memory_order_relaxed); }

SystemCalls take_system_calls() noexcept {
  return {.count = count.exchange(0), .last = last.exchange(-1)};
}

}  // namespace pollux::steady
