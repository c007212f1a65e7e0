/* The command ring between a client process and the service: shared-memory layout and handshake.
 *
 * HANDSHAKE. The client connects a SOCK_SEQPACKET Unix socket and sends one pollux_ring_hello. The
 * service answers with one pollux_ring_reply: an error with a sentence, or a geometry and, by
 * SCM_RIGHTS, two descriptors in this order: the region (a memfd sealed against resizing) and the
 * service's doorbell (an eventfd; writing 1 to it rings). After that the client sends nothing on
 * the socket. The socket's hang-up tells either side that the other is gone.
 *
 * THE CLIENT'S DOORBELL is the socket itself: the service sends a one-byte message, never waiting.
 * It is not an eventfd because O_NONBLOCK belongs to the open file both sides share: a client could
 * clear it, fill the counter, and so stop the service inside write(). For the same reason the
 * service never reads its own doorbell; it watches for edges.
 *
 * REGION. pollux_ring_header at 0, then the command slots, the completion slots and the arena at
 * the offsets of the reply. Positions are free-running 64-bit counts; slot = position & (slots -
 * 1). submit_tail    client publishes commands     service reads submit_head    service took
 * commands         client reads complete_tail  service publishes completions client reads
 *   complete_head  client took completions       service reads
 * A tail is stored after the slots it covers are written (release) and read before they are read
 * (acquire); likewise a head after the slots were read.
 *
 * SLEEPING. The service sets service_needs_wakeup before it sleeps and looks at the positions once
 * more; a client stores submit_tail or complete_head and then reads that flag: all four accesses
 * are sequentially consistent, so one of the two sees the other. If the flag is set and commands
 * are waiting (submit_tail != submit_head), the client rings. client_needs_wakeup works the same
 * way for complete_tail; the service clears it when it rings, so that one sleep costs one ring.
 *
 * COMPLETIONS NEVER OVERFLOW: the service takes a command only while commands in flight plus
 * completions not yet taken are fewer than the completion slots. A client that does not reap waits,
 * nobody else does.
 *
 * The service keeps the geometry and its own positions privately and copies a command before it
 * looks at it. A position or entry that cannot be right closes the channel; nothing else is
 * touched.
 */
#ifndef POLLUX_RING_H
#define POLLUX_RING_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define POLLUX_RING_MAGIC UINT64_C(0x31676e72786c6f70) /* "polxrng1" in memory */
#define POLLUX_RING_VERSION 1u
#define POLLUX_RING_VERSION_OLDEST 1u

/* Feature bits: a channel has those that client and service both offer. */
#define POLLUX_RING_FEATURE_CANCEL UINT64_C(0x1)   /* POLLUX_RING_OP_CANCEL */
#define POLLUX_RING_FEATURE_DEADLINE UINT64_C(0x2) /* deadline_ms is honoured */
#define POLLUX_RING_FEATURES_ALL (POLLUX_RING_FEATURE_CANCEL | POLLUX_RING_FEATURE_DEADLINE)

/* Bounds of a geometry; slot counts are powers of two. */
#define POLLUX_RING_SLOTS_MAX 4096u
#define POLLUX_RING_ARENA_BYTES_MIN UINT64_C(65536)
#define POLLUX_RING_EXTENT_ALIGN 8u

/* Opcodes of the ring itself. Operations: iscsiop.h (10..104) and operations.h (1000...). */
enum {
  POLLUX_RING_OP_NOP = 1,   /* answered by the ring: is the service awake? */
  POLLUX_RING_OP_CANCEL = 2 /* argument: the tag of the commands to cancel */
};

/* The fate of a command as a message; the operation's own Status is in its output. */
enum {
  POLLUX_RING_OK = 0,               /* reached the operation; the output holds its answer */
  POLLUX_RING_OUTPUT_TOO_SMALL = 1, /* output_needed bytes are needed; nothing was written */
  POLLUX_RING_UNKNOWN_OPCODE = 2,
  POLLUX_RING_NOT_PERMITTED = 3,   /* the operation needs the manage group */
  POLLUX_RING_BAD_COMMAND = 4,     /* flags or reserved members are not zero */
  POLLUX_RING_BAD_EXTENT = 5,      /* an extent is unaligned or not inside the arena */
  POLLUX_RING_BAD_INPUT = 6,       /* the input is shorter than the operation's structure */
  POLLUX_RING_INPUT_TOO_LARGE = 7, /* more than input_bytes_max of the reply */
  POLLUX_RING_BUSY = 8,            /* the inputs in flight are more than the arena could hold */
  POLLUX_RING_CANCELLED = 9,
  POLLUX_RING_DEADLINE_PASSED = 10,
  POLLUX_RING_TAG_NOT_FOUND = 11, /* CANCEL: no command with that tag is in flight */
  POLLUX_RING_STOPPING = 12,      /* the service is ending */
  POLLUX_RING_FAILED = 13         /* the service could not finish the command */
};

/* result of pollux_ring_reply */
enum {
  POLLUX_RING_WELCOME = 0,
  POLLUX_RING_REFUSED_HELLO = 1,   /* not a hello */
  POLLUX_RING_REFUSED_VERSION = 2, /* no version in common */
  POLLUX_RING_REFUSED_PEER = 3,    /* this user is in neither group */
  POLLUX_RING_REFUSED_FULL = 4,    /* as many clients as the service takes */
  POLLUX_RING_REFUSED_TIMEOUT = 5, /* no hello in time */
  POLLUX_RING_REFUSED_RESOURCES = 6
};

/* access of pollux_ring_reply */
enum { POLLUX_RING_ACCESS_MONITOR = 1, POLLUX_RING_ACCESS_MANAGE = 2 };

struct pollux_ring_geometry {
  uint64_t region_bytes;
  uint64_t commands_offset;
  uint64_t completions_offset;
  uint64_t arena_offset;
  uint64_t arena_bytes;
  uint32_t command_slots;
  uint32_t completion_slots;
};

struct pollux_ring_hello {
  uint64_t magic;
  uint32_t version;        /* newest the client speaks */
  uint32_t version_oldest; /* oldest the client speaks */
  uint64_t features;
  uint32_t command_slots;    /* wanted; 0: the service's default */
  uint32_t completion_slots; /* wanted; 0: the service's default */
  uint64_t arena_bytes;      /* wanted; 0: the service's default */
  uint64_t reserved[3];      /* zero */
};

struct pollux_ring_reply {
  uint64_t magic;
  uint32_t version; /* of the channel */
  uint32_t result;
  uint64_t features;
  struct pollux_ring_geometry geometry; /* granted; may be less than wanted */
  uint32_t access;
  uint32_t input_bytes_max; /* of one command */
  uint32_t service_pid;
  uint32_t reserved0;
  uint64_t reserved[3];
  char sentence[384]; /* UTF-8, ends with NUL; why, when result is not WELCOME */
};

struct pollux_ring_command {
  uint32_t opcode;
  uint32_t flags;        /* zero */
  uint64_t tag;          /* the client's; unique among its commands in flight */
  uint32_t deadline_ms;  /* from submission; 0: the operation's default */
  uint32_t reserved0;    /* zero */
  uint64_t input_offset; /* from the arena's start, 8-aligned; 0 when input_bytes is 0 */
  uint64_t output_offset;
  uint32_t input_bytes;
  uint32_t output_bytes; /* capacity */
  uint64_t argument;     /* CANCEL: a tag; else zero */
  uint64_t reserved1;    /* zero */
};

struct pollux_ring_completion {
  uint64_t tag;
  uint32_t status;
  uint32_t output_bytes;  /* written */
  uint64_t output_needed; /* OUTPUT_TOO_SMALL: the capacity to come back with; else output_bytes */
  uint64_t reserved;
};

/* Distance between fields that different sides write. Ours, not the compiler's: it is a contract.
 */
#define POLLUX_RING_LINE_BYTES 128

struct pollux_ring_position {
  uint64_t value;
  uint8_t padding[POLLUX_RING_LINE_BYTES - sizeof(uint64_t)];
};

struct pollux_ring_flag {
  uint32_t value;
  uint8_t padding[POLLUX_RING_LINE_BYTES - sizeof(uint32_t)];
};

/* The first 128 bytes are for tools that look at a region; neither side acts on them. */
struct pollux_ring_header {
  uint64_t magic;
  uint32_t version;
  uint32_t service_pid;
  uint64_t features;
  struct pollux_ring_geometry geometry;
  uint8_t padding[POLLUX_RING_LINE_BYTES - 24 - sizeof(struct pollux_ring_geometry)];
  struct pollux_ring_position submit_tail;
  struct pollux_ring_position submit_head;
  struct pollux_ring_position complete_tail;
  struct pollux_ring_position complete_head;
  struct pollux_ring_flag service_needs_wakeup;
  struct pollux_ring_flag client_needs_wakeup;
  uint8_t reserved[POLLUX_RING_LINE_BYTES];
};

static_assert(sizeof(struct pollux_ring_geometry) == 48, "pollux_ring_geometry");
static_assert(sizeof(struct pollux_ring_hello) == 64, "pollux_ring_hello");
static_assert(offsetof(struct pollux_ring_hello, arena_bytes) == 32, "arena_bytes");
static_assert(sizeof(struct pollux_ring_reply) == 496, "pollux_ring_reply");
static_assert(offsetof(struct pollux_ring_reply, geometry) == 24, "geometry");
static_assert(offsetof(struct pollux_ring_reply, sentence) == 112, "sentence");
static_assert(sizeof(struct pollux_ring_command) == 64, "pollux_ring_command");
static_assert(offsetof(struct pollux_ring_command, tag) == 8, "tag");
static_assert(offsetof(struct pollux_ring_command, input_offset) == 24, "input_offset");
static_assert(offsetof(struct pollux_ring_command, input_bytes) == 40, "input_bytes");
static_assert(offsetof(struct pollux_ring_command, argument) == 48, "argument");
static_assert(sizeof(struct pollux_ring_completion) == 32, "pollux_ring_completion");
static_assert(offsetof(struct pollux_ring_completion, output_needed) == 16, "output_needed");
static_assert(sizeof(struct pollux_ring_header) == 1024, "pollux_ring_header");
static_assert(offsetof(struct pollux_ring_header, submit_tail) == 128, "submit_tail");
static_assert(offsetof(struct pollux_ring_header, submit_head) == 256, "submit_head");
static_assert(offsetof(struct pollux_ring_header, complete_tail) == 384, "complete_tail");
static_assert(offsetof(struct pollux_ring_header, complete_head) == 512, "complete_head");
static_assert(offsetof(struct pollux_ring_header, service_needs_wakeup) == 640, "service flag");
static_assert(offsetof(struct pollux_ring_header, client_needs_wakeup) == 768, "client flag");

#ifdef __cplusplus
}
#endif

#endif
