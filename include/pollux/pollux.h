/* pollux: iSCSI initiator in user space. The library's call surface.
 *
 * An *instance* owns ports, workers and the control thread. A *session* is a login to one target;
 * it lives on one worker. A *queue* is the application's unit of parallelism: one thread submits to
 * it and processes its completions, and it is bound to one worker. Commands of a queue may go to
 * any session of that worker.
 *
 * Promises: submit never blocks, never allocates and never hides a queue; every accepted command
 * completes exactly once, whatever happens; callbacks run only inside pollux_queue_process(); the
 * library never exits, aborts or prints because of something a peer or a caller did.
 *
 * Functions return 0 or a count, or a negative POLLUX_E... code. Option structures begin with their
 * size: call the ..._init function first, then set fields. Compiles as C11 and as C++. */
#ifndef POLLUX_POLLUX_H
#define POLLUX_POLLUX_H

#include <pollux/errors.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#if defined(__GNUC__)
#define POLLUX_EXPORT __attribute__((visibility("default")))
#else
#define POLLUX_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define POLLUX_API_VERSION 1u

typedef struct pollux_instance pollux_instance; /* opaque */
typedef struct pollux_queue pollux_queue;       /* opaque; one thread at a time */
typedef struct pollux_region pollux_region;     /* opaque; registered memory */

/* One sentence for a person, filled when a call fails: what failed, where, why, what to do. */
typedef struct pollux_error {
  int code;        /* the negative POLLUX_E... code that was returned */
  uint32_t status; /* ISDSC status when an operation of the control plane failed, else 0 */
  char message[500];
} pollux_error;

/* --- Instance
 * --------------------------------------------------------------------------------------- */

enum pollux_poll_mode {
  POLLUX_POLL_LIBRARY = 0,  /* the library runs one thread per worker, pinned as configured */
  POLLUX_POLL_EMBEDDER = 1, /* the embedder calls pollux_worker_poll() from its own threads */
};

/* Called for each log line (no newline) on the control thread. Must not call back into pollux. */
typedef void (*pollux_log_fn)(void* context, int level, const char* line);

typedef struct pollux_options {
  size_t size;
  const char* config_path; /* TOML file as polluxd reads it; or NULL */
  const char* config_text; /* the same as text; used when config_path is NULL */
  uint32_t poll_mode;      /* enum pollux_poll_mode */
  uint32_t open_ring;      /* not 0: serve the command ring, so that the pollux CLI can look in */
  pollux_log_fn log;       /* NULL: silence */
  void* log_context;
  uint64_t reserved[6]; /* zero */
} pollux_options;

POLLUX_EXPORT void pollux_options_init(pollux_options* options);

/* Starts the EAL unless the host program already has, opens the ports and starts workers and
 * control. options is borrowed for the call. On failure *error (may be NULL) says why. */
POLLUX_EXPORT int pollux_open(const pollux_options* options, pollux_instance** instance,
                              pollux_error* error);

/* Logs sessions out (bounded by the configured logout time-outs), stops the threads and closes the
 * ports. All queues of the instance must have been destroyed. In embedder mode the caller's thread
 * polls here. */
POLLUX_EXPORT void pollux_close(pollux_instance* instance);

POLLUX_EXPORT uint32_t pollux_worker_count(const pollux_instance* instance);

/* Embedder mode: one turn of a worker; returns the units of work done, 0 when idle. A worker is
 * best polled by one thread. Blocking calls below turn a worker themselves while nobody else does;
 * a turn that another thread is inside returns 0 at once. Polling ends before pollux_close(). */
POLLUX_EXPORT int pollux_worker_poll(pollux_instance* instance, uint32_t worker);

/* Embedder mode, the thread that polls the worker, after a poll that returned 0: for how many
 * nanoseconds no timer needs a turn; INT64_MAX when none is armed. 0 while commands are in flight:
 * poll on. An embedder that wants to sleep takes this as the upper bound and polls again before it
 * when it submits. What it does not hear of waits meanwhile: received frames, and the control
 * thread's part of logins and of new queues, so sleep a millisecond at most. Costs some
 * microseconds. */
POLLUX_EXPORT int64_t pollux_worker_idle_ns(pollux_instance* instance, uint32_t worker);

/* --- Sessions
 * --------------------------------------------------------------------------------------- */

typedef uint64_t pollux_session_id; /* UniqueSessionId; 0 is never valid; never reused */

typedef struct pollux_login_options {
  size_t size;
  uint32_t worker;     /* which worker carries the session */
  uint32_t timeout_ms; /* whole login; 0: configured */
  uint64_t reserved[6];
} pollux_login_options;

POLLUX_EXPORT void pollux_login_options_init(pollux_login_options* options);

/* A parsed iscsi:// URL tells portal, target, LUN and options:
 * iscsi://host[:port]/iqn/lun?header_digest=crc32c|none&data_digest=crc32c|none */
/* Logs in and returns when the session is in full feature phase or has failed, within the time-out.
 */
POLLUX_EXPORT int pollux_login(pollux_instance* instance, const char* url,
                               const pollux_login_options* options, pollux_session_id* session,
                               uint64_t* lun, pollux_error* error);
/* Commands in flight may finish within the configured drain time; the rest complete as aborted. */
POLLUX_EXPORT int pollux_logout(pollux_instance* instance, pollux_session_id session,
                                pollux_error* error);

/* READ CAPACITY through the control thread. */
POLLUX_EXPORT int pollux_capacity(pollux_instance* instance, pollux_session_id session,
                                  uint64_t lun, uint64_t* block_count, uint32_t* block_bytes,
                                  pollux_error* error);

/* --- Memory
 * ----------------------------------------------------------------------------------------- */

/* Makes memory usable without copying for writes. Page-aligned base and length. The memory must
 * stay mapped until pollux_memory_unregister() has returned 0. */
POLLUX_EXPORT int pollux_memory_register(pollux_instance* instance, void* base, size_t length,
                                         pollux_region** region, pollux_error* error);
/* POLLUX_EBUSY while commands or frames still refer to it; try again. */
POLLUX_EXPORT int pollux_memory_unregister(pollux_region* region);

/* --- Queues
 * ----------------------------------------------------------------------------------------- */

enum pollux_opcode {
  POLLUX_READ = 1,  /* READ(16) */
  POLLUX_WRITE = 2, /* WRITE(16) */
  POLLUX_FLUSH = 3, /* SYNCHRONIZE CACHE(16) */
  POLLUX_SCSI = 4,  /* cdb and direction as given */
};

enum pollux_command_flag {
  POLLUX_LENT = 1, /* read: lend the received memory instead of copying to iov (iov_count 0) */
  POLLUX_REGISTERED =
      2, /* write: iov lies in registered memory and stays unchanged until completion */
  POLLUX_FROM_DEVICE = 4, /* POLLUX_SCSI: data direction; neither means no data */
  POLLUX_TO_DEVICE = 8,
  POLLUX_FUA = 16, /* read or write: force unit access */
};

struct pollux_completion;
typedef void (*pollux_callback)(void* context, const struct pollux_completion* completion);

typedef struct pollux_command {
  uint8_t opcode;     /* enum pollux_opcode */
  uint8_t flags;      /* enum pollux_command_flag */
  uint8_t cdb_length; /* POLLUX_SCSI: 6, 10, 12 or 16 */
  uint8_t reserved0;
  uint32_t iov_count;
  uint32_t length;      /* expected data transfer length in bytes; the sum of iov unless lent */
  uint32_t block_count; /* read, write: blocks */
  pollux_session_id session;
  uint64_t
      lun; /* 8-byte SAM LUN, most significant byte first on the wire: LUN n < 256 is n << 48 */
  uint64_t lba;
  const struct iovec* iov;  /* borrowed, with the memory it names, until completion */
  const uint8_t* cdb;       /* borrowed for the call */
  pollux_callback callback; /* NULL: the completion is fetched with pollux_queue_reap() */
  void* context;            /* given back in the completion */
} pollux_command;

/* A piece of received memory. */
typedef struct pollux_view {
  const void* data;
  uint32_t length;
  uint32_t reserved;
} pollux_view;

typedef struct pollux_lent pollux_lent; /* opaque: what one lent read holds */

typedef struct pollux_completion {
  void* context;
  pollux_callback callback;
  int32_t result;      /* 0: transported, see scsi_status; else a negative POLLUX_E... code */
  uint8_t scsi_status; /* SAM status; 0 is GOOD */
  uint8_t sense_key;   /* valid with CHECK CONDITION */
  uint8_t asc;
  uint8_t ascq;
  uint32_t transferred;     /* bytes that moved */
  uint32_t view_count;      /* lent reads: number of views */
  const pollux_view* views; /* in order of the data; valid until pollux_release() */
  pollux_lent* lent;        /* not NULL: give to pollux_release() exactly once */
  uint8_t sense[32];        /* raw sense data, zero filled */
  uint8_t sense_length;
  uint8_t flags; /* of the command: enum pollux_command_flag */
  uint8_t reserved[6];
} pollux_completion;

typedef struct pollux_queue_options {
  size_t size;
  uint32_t worker;
  uint32_t depth; /* commands in flight at most; power of two; 0: 128 */
  uint32_t
      lent_read_bytes_max; /* largest lent read; 0: lent reads are placed elsewhere or refused */
  uint32_t reserved0;
  uint64_t reserved[5];
} pollux_queue_options;

POLLUX_EXPORT void pollux_queue_options_init(pollux_queue_options* options);
POLLUX_EXPORT int pollux_queue_create(pollux_instance* instance,
                                      const pollux_queue_options* options, pollux_queue** queue,
                                      pollux_error* error);
/* Every command must have completed and every lent read been released, else POLLUX_EBUSY. */
POLLUX_EXPORT int pollux_queue_destroy(pollux_queue* queue);

/* Takes up to count commands in order. Returns how many were taken: fewer when depth is reached. A
 * command that is malformed stops the batch: it is returned as a negative code when it is the
 * first. */
POLLUX_EXPORT int pollux_queue_submit(pollux_queue* queue, const pollux_command* commands,
                                      uint32_t count);

/* Runs the callbacks of up to max completions, in order; stops at the completion of a command that
 * named no callback, which is pollux_queue_reap()'s. Callbacks may submit. Returns how many. */
POLLUX_EXPORT int pollux_queue_process(pollux_queue* queue, uint32_t max);
/* Fetches up to capacity completions of any command, without calling callbacks. Returns how many.
 */
POLLUX_EXPORT int pollux_queue_reap(pollux_queue* queue, pollux_completion* completions,
                                    uint32_t capacity);

/* Any thread. */
POLLUX_EXPORT void pollux_release(pollux_lent* lent);

/* --- Counters
 * --------------------------------------------------------------------------------------- */

/* What a worker's busy cycles go into. A copy that makes a digest on the way counts as digest. */
enum pollux_stage {
  POLLUX_STAGE_OTHER = 0, /* timers of the worker, messages of control, the turn itself */
  POLLUX_STAGE_RECEIVE,   /* driver, Ethernet, IP */
  POLLUX_STAGE_TCP,       /* segments in and out */
  POLLUX_STAGE_PDU,       /* headers from the target and what they mean */
  POLLUX_STAGE_DIGEST,
  POLLUX_STAGE_COPY,
  POLLUX_STAGE_SCSI,       /* commands become tasks and request PDUs */
  POLLUX_STAGE_COMPLETION, /* results on their way to the caller */
  POLLUX_STAGE_TRANSMIT,   /* frames handed to the driver, buffers taken back */
  POLLUX_STAGES
};

/* "receive" and so on; NULL beyond the last. */
POLLUX_EXPORT const char* pollux_stage_name(uint32_t stage);

/* Frames of one burst: 1, 2, 3-4, 5-8, 9-16, 17-32, more. */
#define POLLUX_BURST_SIZES 7

typedef struct pollux_worker_stats {
  size_t size; /* set by the caller: sizeof(pollux_worker_stats) as it was compiled */
  uint64_t turns;
  uint64_t busy_cycles; /* of turns that received, sent, took a command or fired a timer */
  uint64_t idle_cycles;
  uint64_t tsc_hz;
  uint64_t commands;     /* completed */
  uint64_t copied_bytes; /* payload copied by the worker, either way */
  uint64_t frames_received;
  uint64_t frames_sent;
  uint64_t retransmitted_segments;
  uint64_t buffers_in_use;
  uint64_t tasks_in_use;
  uint64_t timers_armed;
  uint64_t away_cycles; /* between two turns: busy, idle and away are the time since the first */
  uint64_t received_bursts[POLLUX_BURST_SIZES];
  uint64_t sent_bursts[POLLUX_BURST_SIZES];
  uint64_t naps;       /* sleeps of an idle library-run worker; configured with idle_sleep_max_us */
  uint64_t nap_cycles; /* of them, part of idle_cycles */
  uint64_t read_bytes; /* payload that came from targets and that went to them */
  uint64_t written_bytes;
  /* Cycles by stage in the busy turns that were measured, one in 61; they only grow. A stage's
   * share of all of them, times busy_cycles, is its cost: since the start, or with the differences
   * of two calls in the time between them. */
  uint64_t sampled_cycles[POLLUX_STAGES];
} pollux_worker_stats;

POLLUX_EXPORT int pollux_worker_stats_get(const pollux_instance* instance, uint32_t worker,
                                          pollux_worker_stats* stats);

#ifdef __cplusplus
}
#endif

#endif /* POLLUX_POLLUX_H */
