// The watchers see what they are there to see: without these tests "nothing was seen" says nothing.
#include "tests/unit/steady_state/watch.hpp"

#include <emmintrin.h>
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

#include "tests/unit/steady_state/instruction_forms.hpp"

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

template <std::size_t N>
std::array<std::uint8_t, 16> code(const std::uint8_t (&bytes)[N]) {
  std::array<std::uint8_t, 16> padded{};
  std::copy_n(bytes, N, padded.begin());
  return padded;
}

TEST(SteadyWatch, KnowsLockedForms) {
  EXPECT_TRUE(is_locked(code({0xf0, 0x83, 0x44, 0x24, 0x18, 0x01}).data()));  // add $1, 24(%rsp)
  EXPECT_TRUE(is_locked(code({0x66, 0xf0, 0x83, 0x29, 0x01}).data()));        // subw $1, (%rcx)
  EXPECT_TRUE(is_locked(code({0xf0, 0x48, 0x0f, 0xb1, 0x0f}).data()));   // cmpxchg %rcx, (%rdi)
  EXPECT_TRUE(is_locked(code({0x87, 0x44, 0x24, 0x18}).data()));         // xchg %eax, 24(%rsp)
  EXPECT_FALSE(is_locked(code({0xf0, 0x83, 0x0c, 0x24, 0x00}).data()));  // or $0, (%rsp)
  EXPECT_FALSE(is_locked(code({0xf0, 0x83, 0x44, 0x24, 0x80, 0x00}).data()));  // add $0, -128(%rsp)
  EXPECT_FALSE(is_locked(code({0x48, 0x87, 0xd8}).data()));                    // xchg %rbx, %rax
  EXPECT_FALSE(is_locked(code({0x66, 0x90}).data()));                          // nop
}

TEST(SteadyWatch, KnowsVectorStores) {
  EXPECT_EQ(vector_bytes_stored(code({0x0f, 0x11, 0x07}).data()), 16u);                    // movups
  EXPECT_EQ(vector_bytes_stored(code({0x66, 0x0f, 0x7f, 0x07}).data()), 16u);              // movdqa
  EXPECT_EQ(vector_bytes_stored(code({0xf3, 0x41, 0x0f, 0x7f, 0x04, 0x24}).data()), 16u);  // movdqu
  EXPECT_EQ(vector_bytes_stored(code({0xc5, 0xfe, 0x7f, 0x07}).data()), 32u);  // vmovdqu %ymm0
  EXPECT_EQ(vector_bytes_stored(code({0xc5, 0xfa, 0x7f, 0x07}).data()), 16u);  // vmovdqu %xmm0
  EXPECT_EQ(vector_bytes_stored(code({0xc4, 0xc1, 0x7e, 0x7f, 0x04, 0x24}).data()), 32u);
  EXPECT_EQ(vector_bytes_stored(code({0x62, 0xf1, 0xfe, 0x48, 0x7f, 0x07}).data()), 64u);  // %zmm0
  EXPECT_EQ(vector_bytes_stored(code({0xf3, 0xa4}).data()), 1u);        // rep movsb
  EXPECT_EQ(vector_bytes_stored(code({0xf3, 0x48, 0xa5}).data()), 8u);  // rep movsq
  EXPECT_EQ(vector_bytes_stored(code({0x0f, 0x10, 0x07}).data()), 0u);  // a load
  EXPECT_EQ(vector_bytes_stored(code({0x0f, 0x11, 0xc1}).data()), 0u);  // between registers
  EXPECT_EQ(vector_bytes_stored(code({0x48, 0x89, 0x07}).data()), 0u);  // mov %rax, (%rdi)
}

TEST(SteadyWatch, SeesCopiesInLine) {
  const std::vector<char> from(4096, 'x');
  std::vector<char> to(4096);
  start_stepping();
  for (std::size_t i = 0; i < to.size(); i += sizeof(__m128i))
    _mm_storeu_si128(reinterpret_cast<__m128i*>(&to[i]),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(&from[i])));
  const Instructions seen = stop_stepping();
  EXPECT_EQ(to, from);
  EXPECT_GE(seen.vector_bytes, to.size());
  EXPECT_LE(seen.vector_bytes, to.size() + 256);
}

}  // namespace
}  // namespace pollux::steady
