// Steady state of a worker on the in-process wire, through the public queue API: no allocation of
// any kind and no system call. Allocators are replaced in this program by ones that count while a
// flag of the thread is up; system calls are caught by a seccomp filter on the polling thread.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pollux/pollux.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "control/library/instance.hpp"
#include "dataplane/platform/dpdk_runtime.hpp"
#include "tests/target/lab.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define POLLUX_COUNTS_ALLOCATIONS 0
#else
#define POLLUX_COUNTS_ALLOCATIONS 1
#endif

namespace {

thread_local bool counting = false;
std::atomic<std::uint64_t> allocations{0};
std::atomic<std::uint64_t> system_calls{0};
std::atomic<int> last_system_call{-1};
std::atomic<bool> system_calls_count{false};

[[maybe_unused]] void count() {
  if (counting) allocations.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

#if POLLUX_COUNTS_ALLOCATIONS
#define POLLUX_STRONG __attribute__((visibility("default")))
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

POLLUX_STRONG void* malloc(std::size_t bytes) { return count(), __libc_malloc(bytes); }
POLLUX_STRONG void* calloc(std::size_t items, std::size_t bytes) {
  return count(), __libc_calloc(items, bytes);
}
POLLUX_STRONG void* realloc(void* old, std::size_t bytes) {
  return count(), __libc_realloc(old, bytes);
}
POLLUX_STRONG void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return count(), __libc_memalign(alignment, bytes);
}
POLLUX_STRONG void* memalign(std::size_t alignment, std::size_t bytes) {
  return count(), __libc_memalign(alignment, bytes);
}
POLLUX_STRONG int posix_memalign(void** out, std::size_t alignment, std::size_t bytes) {
  count();
  *out = __libc_memalign(alignment, bytes);
  return *out == nullptr ? ENOMEM : 0;
}
POLLUX_STRONG void free(void* memory) {
  if (memory != nullptr) count();
  __libc_free(memory);
}
POLLUX_STRONG void* mmap(void* at, std::size_t bytes, int protection, int flags, int fd,
                         off_t offset) noexcept {
  count();
  return reinterpret_cast<void*>(syscall(SYS_mmap, at, bytes, protection, flags, fd, offset));
}
POLLUX_STRONG int munmap(void* at, std::size_t bytes) noexcept {
  count();
  return static_cast<int>(syscall(SYS_munmap, at, bytes));
}

// DPDK's heap: what its libraries and drivers call across their boundaries.
POLLUX_STRONG void* rte_malloc(const char* type, std::size_t bytes, unsigned alignment) {
  using Function = void* (*)(const char*, std::size_t, unsigned);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "rte_malloc"));
  return count(), next(type, bytes, alignment);
}
POLLUX_STRONG void* rte_zmalloc(const char* type, std::size_t bytes, unsigned alignment) {
  using Function = void* (*)(const char*, std::size_t, unsigned);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "rte_zmalloc"));
  return count(), next(type, bytes, alignment);
}
POLLUX_STRONG void* rte_malloc_socket(const char* type, std::size_t bytes, unsigned alignment,
                                      int socket) {
  using Function = void* (*)(const char*, std::size_t, unsigned, int);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "rte_malloc_socket"));
  return count(), next(type, bytes, alignment, socket);
}
POLLUX_STRONG void* rte_zmalloc_socket(const char* type, std::size_t bytes, unsigned alignment,
                                       int socket) {
  using Function = void* (*)(const char*, std::size_t, unsigned, int);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "rte_zmalloc_socket"));
  return count(), next(type, bytes, alignment, socket);
}
POLLUX_STRONG void rte_free(void* memory) {
  using Function = void (*)(void*);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "rte_free"));
  count();
  next(memory);
}
}
#endif

namespace pollux {
namespace {

void on_system_call(int, siginfo_t* info, void*) {
  if (!system_calls_count.load(std::memory_order_relaxed)) return;
  system_calls.fetch_add(1, std::memory_order_relaxed);
  last_system_call.store(info->si_syscall, std::memory_order_relaxed);
}

/// From here on this thread can return from signals and end; everything else is caught.
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

constexpr std::uint32_t kBytes = 4096;
constexpr std::size_t kSlots = 32;
constexpr std::size_t kLongBytes = 64 * KiB;

/// Reads placed and lent, writes plain and registered, of 4 KiB and now and then 64 KiB.
class Application {
 public:
  explicit Application(bool digests) {
    target::LabOptions lab_options;
    lab_options.target.luns = {
        {.kind = target::LunKind::null, .bytes = 64 * MiB, .block_bytes = 512}};
    lab_.emplace(lab_options);
    library::OpenSetup setup;
    setup.config.instance = "no-allocation-" + std::to_string(getpid());
    setup.config.memory.hugepages = false;
    setup.config.ports = {{.name = "wire",
                           .device = "ring:wire",
                           .interface = {.address = net::IpAddress::v4(10, 99, 0, 2),
                                         .prefix_length = 24,
                                         .gateway = {}},
                           .mtu = 9000}};
    setup.poll_mode = POLLUX_POLL_EMBEDDER;
    setup.ring_ports = lab_->port_source();
    setup.ring_memory_mib = target::kLabMemoryMib;
    std::string error;
    if (library::open_instance(std::move(setup), instance_, error) != POLLUX_OK) {
      ADD_FAILURE() << error;
      return;
    }
    const std::string mode = digests ? "crc32c" : "none";
    const std::string url =
        "iscsi://10.99.0.1/iqn.2026-01.org.pollux:disk/0?header_digest=" + mode +
        "&data_digest=" + mode;
    pollux_error reason{};
    if (pollux_login(instance_, url.c_str(), nullptr, &session_, nullptr, &reason) != POLLUX_OK) {
      ADD_FAILURE() << reason.message;
      return;
    }
    pollux_queue_options options;
    pollux_queue_options_init(&options);
    options.depth = kSlots;
    options.lent_read_bytes_max = kLongBytes;
    EXPECT_EQ(pollux_queue_create(instance_, &options, &queue_, &reason), POLLUX_OK)
        << reason.message;
    memory_ = static_cast<std::byte*>(std::aligned_alloc(4096, kSlots * kLongBytes));
    std::fill_n(memory_, kSlots * kLongBytes, std::byte{0x33});
    EXPECT_EQ(pollux_memory_register(instance_, memory_, kSlots * kLongBytes, &region_, &reason),
              POLLUX_OK)
        << reason.message;
  }
  ~Application() {
    if (queue_ != nullptr)
      while (pollux_queue_destroy(queue_) == POLLUX_EBUSY) pollux_worker_poll(instance_, 0);
    if (session_ != 0) pollux_logout(instance_, session_, nullptr);
    while (region_ != nullptr && pollux_memory_unregister(region_) == POLLUX_EBUSY)
      pollux_worker_poll(instance_, 0);
    if (instance_ != nullptr) pollux_close(instance_);
    std::free(memory_);
  }
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;

  /// False when the login or the queue failed.
  [[nodiscard]] bool ready() const { return queue_ != nullptr && region_ != nullptr; }

  /// Runs that many commands; returns how many failed.
  std::uint64_t run(std::uint64_t commands) {
    std::uint64_t submitted = 0;
    std::uint64_t completed = 0;
    std::uint64_t failed = 0;
    for (std::size_t slot = 0; slot < kSlots; ++slot) submit(slot, submitted++);
    while (completed < submitted) {
      pollux_worker_poll(instance_, 0);
      std::array<pollux_completion, 16> done;
      const int count = pollux_queue_reap(queue_, done.data(), done.size());
      for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
        ++completed;
        failed += done[i].result != 0 || done[i].scsi_status != 0;
        if (done[i].lent != nullptr) pollux_release(done[i].lent);
        if (submitted < commands)
          submit(reinterpret_cast<std::uintptr_t>(done[i].context), submitted++);
      }
    }
    return failed;
  }

 private:
  void submit(std::size_t slot, std::uint64_t number) {
    pollux_command command{};
    command.opcode = number % 2 == 0 ? POLLUX_READ : POLLUX_WRITE;
    command.session = session_;
    command.length = number % 64 < 4 ? kLongBytes : kBytes;
    command.block_count = command.length / 512;
    command.lba = number * 128 % 100'000;
    command.context = reinterpret_cast<void*>(slot);
    iov_[slot] = {memory_ + slot * kLongBytes, command.length};
    command.iov = &iov_[slot];
    command.iov_count = 1;
    if (number % 4 == 1) command.flags = POLLUX_REGISTERED;
    if (number % 4 == 2) {
      command.flags = POLLUX_LENT;
      command.iov = nullptr;
      command.iov_count = 0;
    }
    taken_ += pollux_queue_submit(queue_, &command, 1);
  }

  std::optional<target::Lab> lab_;
  pollux_instance* instance_ = nullptr;
  pollux_session_id session_ = 0;
  pollux_queue* queue_ = nullptr;
  pollux_region* region_ = nullptr;
  std::byte* memory_ = nullptr;
  std::array<iovec, kSlots> iov_{};
  int taken_ = 0;
};

#if POLLUX_COUNTS_ALLOCATIONS
TEST(SteadyState, TheCounterCounts) {
  const auto counted = [](auto&& action) {
    const std::uint64_t before = allocations.load();
    counting = true;
    action();
    counting = false;
    return allocations.load() - before;
  };
  void* volatile memory = nullptr;
  EXPECT_EQ(counted([&] { memory = std::malloc(10); }), 1u);
  EXPECT_EQ(counted([&] { memory = std::realloc(memory, 20); }), 1u);
  EXPECT_EQ(counted([&] { std::free(memory); }), 1u);
  EXPECT_GE(counted([&] { memory = ::operator new(10); }), 1u);
  EXPECT_GE(counted([&] { ::operator delete(memory); }), 1u);
  EXPECT_EQ(counted([&] { memory = std::aligned_alloc(64, 64); }), 1u);
  std::free(memory);
  EXPECT_EQ(counted([&] {
              memory = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            }),
            1u);
  EXPECT_EQ(counted([&] { ::munmap(memory, 4096); }), 1u);
}
#endif

TEST(SteadyState, TheFilterCatches) {
  std::thread thread([] {
    if (!forbid_system_calls()) return;
    system_calls_count = true;
    syscall(SYS_getppid);
    system_calls_count = false;
  });
  thread.join();
  EXPECT_EQ(system_calls.exchange(0), 1u);
  EXPECT_EQ(last_system_call.exchange(-1), SYS_getppid);
}

class SteadyStateOfTheWorker : public testing::TestWithParam<bool> {};

TEST_P(SteadyStateOfTheWorker, NeitherAllocatesNorCallsTheSystem) {
  Application application(GetParam());
  ASSERT_TRUE(application.ready());
  EXPECT_EQ(application.run(3000), 0u);

  allocations = 0;
  counting = true;
  const std::uint64_t failed = application.run(12'000);
  counting = false;
  EXPECT_EQ(failed, 0u);
  EXPECT_EQ(allocations.load(), 0u);

  bool filtered = false;
  std::uint64_t failed_behind_filter = 1;
  std::thread thread([&] {
    filtered = forbid_system_calls();
    if (!filtered) return;
    system_calls_count = true;
    failed_behind_filter = application.run(12'000);
    system_calls_count = false;
  });
  thread.join();
  ASSERT_TRUE(filtered);
  EXPECT_EQ(failed_behind_filter, 0u);
  EXPECT_EQ(system_calls.exchange(0), 0u) << "the last was number " << last_system_call.load();
}

INSTANTIATE_TEST_SUITE_P(Digests, SteadyStateOfTheWorker, testing::Bool());

/// Gives back the lock and the directory that DPDK keeps for the process.
class EndOfEal final : public testing::Environment {
  void TearDown() override { platform::stop_eal(); }
};
[[maybe_unused]] const auto* const kEndOfEal = testing::AddGlobalTestEnvironment(new EndOfEal);

}  // namespace
}  // namespace pollux
