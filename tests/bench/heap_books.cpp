#include "tests/bench/heap_books.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

namespace pollux::bench {
namespace {

/// In front of each block, right before what the caller gets.
struct Header {
  std::size_t bytes;
  void* raw;
  Header* next;
  Header* previous;
  HeapOwner owner;
};

constexpr std::size_t kOwners = static_cast<std::size_t>(HeapOwner::count_);
std::array<std::atomic<std::size_t>, kOwners> small_bytes{};
std::mutex large_mutex;
Header large_list{0, nullptr, &large_list, &large_list, HeapOwner::other};

constexpr HeapOwner kUnknown = HeapOwner::count_;
thread_local HeapOwner current = kUnknown;

HeapOwner owner_of_thread() noexcept {
  if (current != kUnknown) return current;
  char name[16] = {};
  pthread_getname_np(pthread_self(), name, sizeof(name));
  // A thread has its creator's name until it takes its own.
  if (std::strcmp(name, "pollux-control") == 0) current = HeapOwner::control;
  return current == kUnknown ? HeapOwner::other : current;
}

void* take(std::size_t bytes, std::size_t alignment) noexcept {
  alignment = std::max(alignment, alignof(std::max_align_t));
  const std::size_t front = (sizeof(Header) + alignment - 1) / alignment * alignment;
  // As an aligned block of its own kind, so that large ones come from fresh pages.
  void* raw = std::malloc(front + bytes + alignment);
  if (raw == nullptr) return nullptr;
  const auto at =
      (reinterpret_cast<std::uintptr_t>(raw) + front + alignment - 1) / alignment * alignment;
  auto* header = reinterpret_cast<Header*>(at) - 1;
  *header = {bytes, raw, nullptr, nullptr, owner_of_thread()};
  if (bytes < kLargeBlock) {
    small_bytes[static_cast<std::size_t>(header->owner)] += bytes;
  } else {
    const std::scoped_lock lock(large_mutex);
    header->next = &large_list;
    header->previous = large_list.previous;
    header->previous->next = large_list.previous = header;
  }
  return header + 1;
}

void give_back(void* block) noexcept {
  if (block == nullptr) return;
  Header* header = static_cast<Header*>(block) - 1;
  if (header->bytes < kLargeBlock) {
    small_bytes[static_cast<std::size_t>(header->owner)] -= header->bytes;
  } else {
    const std::scoped_lock lock(large_mutex);
    header->previous->next = header->next;
    header->next->previous = header->previous;
  }
  std::free(header->raw);
}

void* take_or_end(std::size_t bytes, std::size_t alignment) {
  void* block = take(bytes, alignment);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

std::size_t resident_bytes(const std::byte* data, std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(data) / page * page;
  const std::uintptr_t end =
      (reinterpret_cast<std::uintptr_t>(data) + bytes + page - 1) / page * page;
  std::vector<unsigned char> pages((end - begin) / page);
  if (::mincore(reinterpret_cast<void*>(begin), end - begin, pages.data()) != 0) return bytes;
  const auto count =
      std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return p & 1; });
  return std::min(bytes, static_cast<std::size_t>(count) * page);
}

}  // namespace

void set_heap_owner(HeapOwner owner) noexcept { current = owner; }

std::size_t small_heap_bytes(HeapOwner owner) noexcept {
  return small_bytes[static_cast<std::size_t>(owner)];
}

std::vector<HeapBlock> large_heap_blocks(HeapOwner owner) {
  std::vector<HeapBlock> blocks;
  blocks.reserve(2048);  // less than kLargeBlock: the list is not in the list
  {
    const std::scoped_lock lock(large_mutex);
    for (Header* h = large_list.next; h != &large_list && blocks.size() < blocks.capacity();
         h = h->next)
      if (h->owner == owner)
        blocks.push_back({reinterpret_cast<const std::byte*>(h + 1), h->bytes, 0});
  }
  for (HeapBlock& block : blocks) block.resident_bytes = resident_bytes(block.data, block.bytes);
  return blocks;
}

}  // namespace pollux::bench

void* operator new(std::size_t bytes) { return pollux::bench::take_or_end(bytes, 1); }
void* operator new[](std::size_t bytes) { return pollux::bench::take_or_end(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return pollux::bench::take_or_end(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return pollux::bench::take_or_end(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return pollux::bench::take(bytes, 1);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return pollux::bench::take(bytes, 1);
}
void operator delete(void* block) noexcept { pollux::bench::give_back(block); }
void operator delete[](void* block) noexcept { pollux::bench::give_back(block); }
void operator delete(void* block, std::size_t) noexcept { pollux::bench::give_back(block); }
void operator delete[](void* block, std::size_t) noexcept { pollux::bench::give_back(block); }
void operator delete(void* block, std::align_val_t) noexcept { pollux::bench::give_back(block); }
void operator delete[](void* block, std::align_val_t) noexcept { pollux::bench::give_back(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
  pollux::bench::give_back(block);
}
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept {
  pollux::bench::give_back(block);
}
