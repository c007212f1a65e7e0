// The C library's locks, each noted before it does its work. Locks that the compiler puts in line
// (rte_spinlock, std::atomic) call nothing: watched_instructions.cpp sees those.
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>

#include "tests/unit/steady_state/watch.hpp"

// The version is named because some of these functions have an old one as well, which dlsym may
// give. EXCEPTION is what the header says: noexcept, or nothing for points of cancellation.
#define POLLUX_NOTED(NAME, VERSION, EXCEPTION, PARAMETERS, ARGUMENTS)                          \
  __attribute__((visibility("default"))) int NAME PARAMETERS EXCEPTION {                       \
    using Function = decltype(&NAME);                                                          \
    static Function next = nullptr;                                                            \
    if (next == nullptr) next = reinterpret_cast<Function>(dlvsym(RTLD_NEXT, #NAME, VERSION)); \
    pollux::steady::note_lock(#NAME);                                                          \
    return next ARGUMENTS;                                                                     \
  }

extern "C" {

POLLUX_NOTED(pthread_mutex_lock, "GLIBC_2.2.5", noexcept, (pthread_mutex_t * m), (m))
POLLUX_NOTED(pthread_mutex_trylock, "GLIBC_2.2.5", noexcept, (pthread_mutex_t * m), (m))
POLLUX_NOTED(pthread_mutex_timedlock, "GLIBC_2.2.5", noexcept,
             (pthread_mutex_t * m, const timespec* t), (m, t))
POLLUX_NOTED(pthread_rwlock_rdlock, "GLIBC_2.2.5", noexcept, (pthread_rwlock_t * l), (l))
POLLUX_NOTED(pthread_rwlock_wrlock, "GLIBC_2.2.5", noexcept, (pthread_rwlock_t * l), (l))
POLLUX_NOTED(pthread_rwlock_tryrdlock, "GLIBC_2.2.5", noexcept, (pthread_rwlock_t * l), (l))
POLLUX_NOTED(pthread_rwlock_trywrlock, "GLIBC_2.2.5", noexcept, (pthread_rwlock_t * l), (l))
POLLUX_NOTED(pthread_spin_lock, "GLIBC_2.2.5", noexcept, (pthread_spinlock_t * l), (l))
POLLUX_NOTED(pthread_spin_trylock, "GLIBC_2.2.5", noexcept, (pthread_spinlock_t * l), (l))
POLLUX_NOTED(pthread_cond_wait, "GLIBC_2.3.2", , (pthread_cond_t * c, pthread_mutex_t* m), (c, m))
POLLUX_NOTED(pthread_cond_timedwait, "GLIBC_2.3.2", ,
             (pthread_cond_t * c, pthread_mutex_t* m, const timespec* t), (c, m, t))
POLLUX_NOTED(pthread_cond_signal, "GLIBC_2.3.2", noexcept, (pthread_cond_t * c), (c))
POLLUX_NOTED(pthread_cond_broadcast, "GLIBC_2.3.2", noexcept, (pthread_cond_t * c), (c))
POLLUX_NOTED(sem_wait, "GLIBC_2.2.5", , (sem_t * s), (s))
POLLUX_NOTED(sem_timedwait, "GLIBC_2.2.5", , (sem_t * s, const timespec* t), (s, t))
POLLUX_NOTED(sem_trywait, "GLIBC_2.2.5", noexcept, (sem_t * s), (s))
POLLUX_NOTED(sem_post, "GLIBC_2.2.5", noexcept, (sem_t * s), (s))
}
