// The allocators of the C library, of the kernel and of DPDK, each noted before it does its work.
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>

#include "tests/unit/steady_state/watch.hpp"

#define POLLUX_STRONG __attribute__((visibility("default")))

using pollux::steady::note_allocation;

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

POLLUX_STRONG void* malloc(std::size_t bytes) { return note_allocation(), __libc_malloc(bytes); }
POLLUX_STRONG void* calloc(std::size_t items, std::size_t bytes) {
  return note_allocation(), __libc_calloc(items, bytes);
}
POLLUX_STRONG void* realloc(void* old, std::size_t bytes) {
  return note_allocation(), __libc_realloc(old, bytes);
}
POLLUX_STRONG void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return note_allocation(), __libc_memalign(alignment, bytes);
}
POLLUX_STRONG void* memalign(std::size_t alignment, std::size_t bytes) {
  return note_allocation(), __libc_memalign(alignment, bytes);
}
POLLUX_STRONG int posix_memalign(void** out, std::size_t alignment, std::size_t bytes) {
  note_allocation();
  *out = __libc_memalign(alignment, bytes);
  return *out == nullptr ? ENOMEM : 0;
}
POLLUX_STRONG void free(void* memory) {
  if (memory != nullptr) note_allocation();
  __libc_free(memory);
}
POLLUX_STRONG void* mmap(void* at, std::size_t bytes, int protection, int flags, int fd,
                         off_t offset) noexcept {
  note_allocation();
  return reinterpret_cast<void*>(syscall(SYS_mmap, at, bytes, protection, flags, fd, offset));
}
POLLUX_STRONG int munmap(void* at, std::size_t bytes) noexcept {
  note_allocation();
  return static_cast<int>(syscall(SYS_munmap, at, bytes));
}

// DPDK's heap: what its libraries and drivers call across their boundaries.
POLLUX_STRONG void* rte_malloc(const char* type, std::size_t bytes, unsigned alignment) {
  using Function = void* (*)(const char*, std::size_t, unsigned);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "rte_malloc"));
  return note_allocation(), next(type, bytes, alignment);
}
POLLUX_STRONG void* rte_zmalloc(const char* type, std::size_t bytes, unsigned alignment) {
  using Function = void* (*)(const char*, std::size_t, unsigned);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "rte_zmalloc"));
  return note_allocation(), next(type, bytes, alignment);
}
POLLUX_STRONG void* rte_malloc_socket(const char* type, std::size_t bytes, unsigned alignment,
                                      int socket) {
  using Function = void* (*)(const char*, std::size_t, unsigned, int);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "rte_malloc_socket"));
  return note_allocation(), next(type, bytes, alignment, socket);
}
POLLUX_STRONG void* rte_zmalloc_socket(const char* type, std::size_t bytes, unsigned alignment,
                                       int socket) {
  using Function = void* (*)(const char*, std::size_t, unsigned, int);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "rte_zmalloc_socket"));
  return note_allocation(), next(type, bytes, alignment, socket);
}
POLLUX_STRONG void rte_free(void* memory) {
  using Function = void (*)(void*);
  static const auto next = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "rte_free"));
  note_allocation();
  next(memory);
}
}
