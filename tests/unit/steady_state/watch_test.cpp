// The watchers see what they are there to see: without these tests "nothing was seen" says nothing.
#include "tests/unit/steady_state/watch.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace pollux::steady {
namespace {

template <class Action>
Calls calls_of(Action&& action) {
  start_watch();
  action();
  return stop_watch();
}

TEST(SteadyWatch, CountsAllocations) {
  void* volatile memory = nullptr;
  EXPECT_EQ(calls_of([&] { memory = std::malloc(10); }).allocations, 1u);
  EXPECT_EQ(calls_of([&] { memory = std::realloc(memory, 20); }).allocations, 1u);
  EXPECT_EQ(calls_of([&] { std::free(memory); }).allocations, 1u);
  EXPECT_GE(calls_of([&] { memory = ::operator new(10); }).allocations, 1u);
  EXPECT_GE(calls_of([&] { ::operator delete(memory); }).allocations, 1u);
  EXPECT_EQ(calls_of([&] { memory = std::aligned_alloc(64, 64); }).allocations, 1u);
  std::free(memory);
  EXPECT_EQ(calls_of([&] {
              memory = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            }).allocations,
            1u);
  EXPECT_EQ(calls_of([&] { ::munmap(memory, 4096); }).allocations, 1u);
}

TEST(SteadyWatch, CountsLocks) {
  std::mutex mutex;
  EXPECT_EQ(calls_of([&] { const std::lock_guard guard(mutex); }).locks, 1u);
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  const Calls read_lock = calls_of([&] { pthread_rwlock_rdlock(&rwlock); });
  pthread_rwlock_unlock(&rwlock);
  EXPECT_EQ(read_lock.locks, 1u);
  EXPECT_STREQ(read_lock.last_lock, "pthread_rwlock_rdlock");
  pthread_spinlock_t spin;
  pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
  EXPECT_EQ(calls_of([&] { pthread_spin_lock(&spin); }).locks, 1u);
  pthread_spin_unlock(&spin);
  sem_t semaphore;
  sem_init(&semaphore, 0, 1);
  EXPECT_EQ(calls_of([&] { sem_wait(&semaphore); }).locks, 1u);
  EXPECT_EQ(calls_of([&] { sem_post(&semaphore); }).locks, 1u);
  std::mutex other;
  std::thread([&] { other.lock(); }).join();
  EXPECT_EQ(calls_of([] {}).locks, 0u);
}

TEST(SteadyWatch, CountsCopiesByWhereTheyGo) {
  std::vector<char> inside(4096, 'i');
  std::vector<char> second(4096, 's');
  std::vector<char> outside(4096, 'o');
  watch_areas(std::as_bytes(std::span(inside)), std::as_bytes(std::span(second)));
  // The compiler must not see the lengths, or it writes short copies out.
  volatile std::size_t large = 1000;
  volatile std::size_t small = 100;
  const Calls calls = calls_of([&] {
    std::memcpy(outside.data(), inside.data() + 4000, small - 4);
    std::memmove(inside.data() + 1, inside.data(), large);
    std::memcpy(second.data(), outside.data(), large);
    std::memcpy(outside.data() + 2000, outside.data(), small);
    std::memcpy(outside.data() + 2000, outside.data(), large);
  });
  watch_areas({}, {});
  EXPECT_EQ(calls.area_bytes[0], 1096u);
  EXPECT_EQ(calls.area_large_bytes[0], 1000u);
  EXPECT_EQ(calls.area_bytes[1], 1000u);
  EXPECT_EQ(calls.other_large_bytes, 1000u);
  EXPECT_EQ(std::count(outside.begin(), outside.begin() + 96, 'i'), 96);
}

TEST(SteadyWatch, CatchesSystemCalls) {
  std::thread thread([] {
    if (!forbid_system_calls()) return;
    count_system_calls(true);
    syscall(SYS_getppid);
    count_system_calls(false);
  });
  thread.join();
  const SystemCalls caught = take_system_calls();
  EXPECT_EQ(caught.count, 1u);
  EXPECT_EQ(caught.last, SYS_getppid);
}

TEST(SteadyWatch, SeesLockedInstructions) {
  std::atomic<int> shared{0};
  int plain = 0;
  start_stepping();
  for (int i = 0; i < 10; ++i) {
    shared.fetch_add(1, std::memory_order_relaxed);
    asm volatile("incl %0" : "+m"(plain));
  }
  shared.exchange(5, std::memory_order_relaxed);
  asm volatile("lock; orl $0, (%%rsp)" ::: "memory");  // a fence
  const Instructions seen = stop_stepping();
  EXPECT_GE(seen.executed, 20u);
  ASSERT_EQ(seen.locked.size(), 1u);
  EXPECT_EQ(seen.locked[0].executed, 11u);
  EXPECT_NE(seen.locked[0].name.find("SeesLockedInstructions"), std::string::npos)
      << seen.locked[0].name;
}

}  // namespace
}  // namespace pollux::steady
