/* libpollux-client: commands to a pollux service over its command ring, without DPDK.
 *
 * A client handle belongs to one thread at a time; different handles are independent. Functions
 * return zero or a count, or a negative POLLUX_E... code (errors.h). What a command's ring status
 * and its operation Status mean: ring.h and iscsierr.h. C11 and C++.
 */
#ifndef POLLUX_CLIENT_H
#define POLLUX_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "pollux/errors.h"

#if defined(__GNUC__)
#define POLLUX_CLIENT_EXPORT __attribute__((visibility("default")))
#else
#define POLLUX_CLIENT_EXPORT
#endif

#ifdef __cplusplus
#define POLLUX_CLIENT_NOEXCEPT noexcept
extern "C" {
#else
#define POLLUX_CLIENT_NOEXCEPT
#endif

/* What pollux_client_call waits for a command without a deadline. */
#define POLLUX_CLIENT_DEADLINE_DEFAULT_MS 60000u

typedef struct pollux_client pollux_client;

typedef struct pollux_client_options {
  size_t size;             /* set by pollux_client_options_init */
  const char* socket_path; /* borrowed for the call; NULL: found by instance */
  const char* instance;    /* borrowed for the call; NULL: "default" */
  uint64_t arena_bytes;    /* 0: the service's default; the service may grant less */
  uint32_t command_slots;  /* 0: the service's default */
  uint32_t completion_slots;
  uint32_t connect_ms;  /* bound for the handshake */
  uint32_t spin_us;     /* how long a wait looks before it sleeps */
  uint64_t reserved[4]; /* zero */
} pollux_client_options;

typedef struct pollux_client_command {
  size_t size; /* sizeof(pollux_client_command) */
  uint32_t opcode;
  uint32_t deadline_ms; /* 0: the operation's default */
  const void* input;    /* copied before submit returns */
  void* output;         /* written when the completion is reaped; must stay valid until then */
  uint32_t input_bytes;
  uint32_t output_bytes; /* capacity of output */
  uint64_t user_data;    /* handed back in the completion */
} pollux_client_command;

typedef struct pollux_client_completion {
  uint64_t tag;
  uint64_t user_data;
  uint32_t ring_status;   /* ring.h */
  uint32_t output_bytes;  /* written to output */
  uint64_t output_needed; /* POLLUX_RING_OUTPUT_TOO_SMALL: capacity to come back with */
} pollux_client_completion;

typedef struct pollux_client_info {
  size_t size; /* sizeof(pollux_client_info) */
  uint64_t features;
  uint64_t arena_bytes;
  uint32_t version;
  uint32_t access; /* POLLUX_RING_ACCESS_... */
  uint32_t command_slots;
  uint32_t completion_slots;
  uint32_t input_bytes_max;
  uint32_t service_pid;
} pollux_client_info;

/* Fills in the defaults. Always call it first: a later version may add members. */
POLLUX_CLIENT_EXPORT void pollux_client_options_init(pollux_client_options* options)
    POLLUX_CLIENT_NOEXCEPT;

/* Connects and shakes hands, within connect_ms. options may be NULL. On failure *client is NULL and
 * reason, if given, holds a sentence (always ended by NUL). Instance NAME is looked for at
 * /run/pollux/NAME.sock, then at $XDG_RUNTIME_DIR/pollux/NAME.sock.
 * Errors: EINVAL, ESERVICE (not running), EACCES (refused), EAGAIN (too many clients), EVERSION,
 * ETIMEDOUT, ENOMEM. */
POLLUX_CLIENT_EXPORT int pollux_client_open(const pollux_client_options* options,
                                            pollux_client** client, char* reason,
                                            size_t reason_bytes) POLLUX_CLIENT_NOEXCEPT;

/* Closes the channel; commands in flight are given up and their outputs are not written. NULL is
 * fine. */
POLLUX_CLIENT_EXPORT void pollux_client_close(pollux_client* client) POLLUX_CLIENT_NOEXCEPT;

POLLUX_CLIENT_EXPORT int pollux_client_info_get(const pollux_client* client,
                                                pollux_client_info* info) POLLUX_CLIENT_NOEXCEPT;

/* Submits one command; its tag goes to *tag (tag may be NULL). Never blocks, never allocates.
 * Errors: EINVAL, EAGAIN (reap and try again), ETOOLARGE, ESERVICE. */
POLLUX_CLIENT_EXPORT int pollux_client_submit(pollux_client* client,
                                              const pollux_client_command* command,
                                              uint64_t* tag) POLLUX_CLIENT_NOEXCEPT;

/* Takes up to capacity completions, copying each command's output. Never blocks. Returns how many;
 * ESERVICE when there is none and there will be none. */
POLLUX_CLIENT_EXPORT int pollux_client_reap(pollux_client* client,
                                            pollux_client_completion* completions,
                                            uint32_t capacity) POLLUX_CLIENT_NOEXCEPT;

/* Waits until a completion can be reaped: 1, or 0 after timeout_ms, or ESERVICE. Looks for spin_us,
 * then sleeps. */
POLLUX_CLIENT_EXPORT int pollux_client_wait(pollux_client* client,
                                            uint32_t timeout_ms) POLLUX_CLIENT_NOEXCEPT;

/* Asks the service to cancel a command. The command still completes, exactly once: as cancelled or,
 * when it was faster, with its result. Errors: ENOTFOUND (not in flight), EAGAIN, EINVAL, ESERVICE.
 */
POLLUX_CLIENT_EXPORT int pollux_client_cancel(pollux_client* client,
                                              uint64_t tag) POLLUX_CLIENT_NOEXCEPT;

/* Submits and waits. *out_len (may be NULL) becomes the bytes written, or, with ETOOSMALL, the
 * capacity to come back with. Completions of other commands stay to be reaped. deadline_ms 0 means
 * POLLUX_CLIENT_DEADLINE_DEFAULT_MS. After ETIMEDOUT out is not written any more.
 * Errors: those of submit, ETIMEDOUT, ETOOSMALL, EACCES, ENOTSUP, ECANCELED; EINVAL also when the
 * service found the command malformed. Zero says that the operation answered: look at its Status.
 */
POLLUX_CLIENT_EXPORT int pollux_client_call(pollux_client* client, uint32_t opcode, const void* in,
                                            size_t in_len, void* out, size_t out_cap,
                                            size_t* out_len,
                                            uint32_t deadline_ms) POLLUX_CLIENT_NOEXCEPT;

/* For event loops: a descriptor that becomes readable when the service rings or is gone. Only poll
 * it. */
POLLUX_CLIENT_EXPORT int pollux_client_fd(const pollux_client* client) POLLUX_CLIENT_NOEXCEPT;

/* Before sleeping on that descriptor: asks to be rung. 1: completions are there already, do not
 * sleep; 0: sleep; ESERVICE. After waking, reap, and arm again before the next sleep. A wake-up may
 * find nothing to reap: a ring that was already under way when arm() said 1 comes later. */
POLLUX_CLIENT_EXPORT int pollux_client_arm(pollux_client* client) POLLUX_CLIENT_NOEXCEPT;

/* The error code of a ring status: 0 or a negative POLLUX_E... code. */
POLLUX_CLIENT_EXPORT int pollux_client_status_error(uint32_t ring_status) POLLUX_CLIENT_NOEXCEPT;

/* A sentence for an error code of either sign. Static text, never NULL. */
POLLUX_CLIENT_EXPORT const char* pollux_strerror(int error) POLLUX_CLIENT_NOEXCEPT;

/* Name ("ISDSC_LOGIN_FAILED") and sentence of an operation Status. Static text, never NULL. */
POLLUX_CLIENT_EXPORT const char* pollux_isdsc_name(uint32_t status) POLLUX_CLIENT_NOEXCEPT;
POLLUX_CLIENT_EXPORT const char* pollux_isdsc_text(uint32_t status) POLLUX_CLIENT_NOEXCEPT;

/* Writes UTF-8 text as counted UTF-16 into a field of elements elements (the first is the length),
 * the rest zero. Returns the characters (UTF-16 units) written, or POLLUX_EINVAL; the field is then
 * empty. */
POLLUX_CLIENT_EXPORT int pollux_text_encode(uint16_t* field, size_t elements,
                                            const char* utf8) POLLUX_CLIENT_NOEXCEPT;

/* Reads counted UTF-16 into utf8 (capacity bytes, always ended by NUL). Returns the bytes without
 * NUL, or POLLUX_EINVAL when the field is malformed, or POLLUX_ETOOSMALL. Three bytes a character
 * and one for the NUL always suffice. */
POLLUX_CLIENT_EXPORT int pollux_text_decode(const uint16_t* field, size_t elements, char* utf8,
                                            size_t capacity) POLLUX_CLIENT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
