/* pollux's own operations on the command ring, beside those of iscsiop.h: opcodes from 1000 on.
 *
 * Every output begins with Status, an ISDSC_ value (iscsierr.h). When it is not zero and the output
 * area has room behind the structure, a sentence for a person follows it (UTF-8, no NUL; also in
 * the operations of iscsiop.h): give room beyond the structure to learn the reason. Lun is
 * everywhere the eight bytes of the SAM logical unit number as a host integer whose big-endian
 * bytes are the wire's: LUN n below 256 is POLLUX_LUN(n). Blocks are the logical unit's. Reserved
 * members are zero in both directions. A trailing member declared [1] is a placeholder; the size
 * member is the truth. C11 and C++.
 */
#ifndef POLLUX_OPERATIONS_H
#define POLLUX_OPERATIONS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "pollux/iscsiop.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  POLLUX_OP_STATUS = 1000,        /* no input -> pollux_status_out */
  POLLUX_OP_SESSION_LIST = 1001,  /* no input -> pollux_session_list_out */
  POLLUX_OP_STATS = 1002,         /* no input -> pollux_stats_out */
  POLLUX_OP_READ = 1010,          /* pollux_io_in -> pollux_io_out with Data */
  POLLUX_OP_WRITE = 1011,         /* pollux_io_in with Data -> pollux_io_out */
  POLLUX_OP_VERIFY = 1012,        /* pollux_io_in with Data -> pollux_verify_out */
  POLLUX_OP_BENCH = 1013,         /* pollux_bench_in -> pollux_bench_out when it is over */
  POLLUX_OP_BENCH_PROGRESS = 1014 /* pollux_bench_progress_in -> pollux_bench_out, figures so far */
};

/* Single-level LUN below 256, SAM-5 peripheral device addressing. */
#define POLLUX_LUN(n) ((uint64_t)(n) << 48)

/* ---- text answers --------------------------------------------------------------------------- */

struct pollux_status_out {
  uint32_t Status;
  uint32_t JsonSize; /* bytes, no NUL */
  uint8_t Json[1];   /* UTF-8, an object with "schema" */
};

struct pollux_stats_out {
  uint32_t Status;
  uint32_t JsonSize;
  uint8_t Json[1];
};

struct pollux_session_list_out {
  uint32_t Status;
  uint32_t Reserved;
  MSiSCSI_InitiatorSessionInfo
      Info; /* sessions follow each other, POLLUX_SESSION_INFO_BYTES each */
};

/* ---- read, write, verify -------------------------------------------------------------------- */

/* Flags of pollux_io_in */
enum { POLLUX_IO_FLAG_FUA = 0x1 }; /* WRITE and READ: force unit access */

/* WRITE and VERIFY: DataSize bytes follow at POLLUX_IO_IN_DATA_OFFSET; DataSize is BlockCount
 * blocks. READ: DataSize is zero. */
struct pollux_io_in {
  uint64_t UniqueSessionId;
  uint64_t Lun;
  uint64_t Lba;
  uint32_t BlockCount;
  uint32_t Flags;
  uint32_t DataSize;
  uint32_t Reserved;
};

#define POLLUX_SENSE_BYTES_MAX 96

/* READ: DataSize bytes follow at POLLUX_IO_OUT_DATA_OFFSET. Status ISDSC_SCSI_REQUEST_FAILED:
 * ScsiStatus and Sense say why and there is no data. */
struct pollux_io_out {
  uint32_t Status;
  uint32_t DataSize;
  uint8_t ScsiStatus;
  uint8_t SenseSize;
  uint8_t Reserved[6];
  uint8_t Sense[POLLUX_SENSE_BYTES_MAX];
};

struct pollux_verify_out {
  struct pollux_io_out Io;
  uint64_t MismatchOffset; /* first differing byte of Data, POLLUX_VERIFY_MATCHES when none */
};

#define POLLUX_VERIFY_MATCHES UINT64_MAX
#define POLLUX_IO_IN_DATA_OFFSET sizeof(struct pollux_io_in)
#define POLLUX_IO_OUT_DATA_OFFSET sizeof(struct pollux_io_out)

/* ---- bench ---------------------------------------------------------------------------------- */

/* Workload */
enum {
  POLLUX_BENCH_READ = 0,
  POLLUX_BENCH_WRITE = 1,
  POLLUX_BENCH_RANDREAD = 2,
  POLLUX_BENCH_RANDWRITE = 3,
  POLLUX_BENCH_RW = 4,
  POLLUX_BENCH_RANDRW = 5
};

/* Flags of pollux_bench_in */
enum {
  POLLUX_BENCH_FLAG_LENT = 0x1,      /* reads are lent; otherwise placed in the caller's memory */
  POLLUX_BENCH_FLAG_REGISTERED = 0x2 /* writes leave registered memory; otherwise plain memory */
};

struct pollux_bench_in {
  uint64_t UniqueSessionId;
  uint64_t Lun;
  uint64_t FirstLba;
  uint64_t BlockCount; /* of the range worked on; 0: to the end of the unit */
  uint64_t BenchId;    /* the client's own number, not zero, for BENCH_PROGRESS */
  uint32_t Workload;
  uint32_t IoSize; /* bytes, a multiple of the block size */
  uint32_t QueueDepth;
  uint32_t ReadPercent; /* RW and RANDRW only, else zero */
  uint32_t Seconds;
  uint32_t Flags;
  uint64_t Seed; /* of the random workloads; 0: the service's choice */
};

struct pollux_bench_out {
  uint32_t Status;
  uint32_t Finished; /* 1: final figures; 0: figures so far (BENCH_PROGRESS) */
  uint64_t BenchId;
  uint64_t TotalIos;
  uint64_t Errors;
  uint64_t Bytes;
  uint64_t RuntimeNs;
  double Iops;
  double Mibps;
  uint64_t LatencyAverageNs;
  uint64_t LatencyP50Ns;
  uint64_t LatencyP99Ns;
  uint64_t LatencyMaxNs;
  uint64_t BusyCycles; /* of the session's worker, during the run */
  uint64_t IdleCycles;
  uint64_t CopiedBytes;
  uint64_t CyclesPerSecond; /* what one second of BusyCycles + IdleCycles is */
};

struct pollux_bench_progress_in {
  uint64_t BenchId;
};

/* ---- layout --------------------------------------------------------------------------------- */

static_assert(sizeof(struct pollux_status_out) == 12, "pollux_status_out");
static_assert(offsetof(struct pollux_status_out, Json) == 8, "Json");
static_assert(sizeof(struct pollux_stats_out) == 12, "pollux_stats_out");
static_assert(offsetof(struct pollux_stats_out, Json) == 8, "Json");
static_assert(offsetof(struct pollux_session_list_out, Info) == 8, "Info");
static_assert(sizeof(struct pollux_io_in) == 40, "pollux_io_in");
static_assert(offsetof(struct pollux_io_in, DataSize) == 32, "DataSize");
static_assert(sizeof(struct pollux_io_out) == 112, "pollux_io_out");
static_assert(offsetof(struct pollux_io_out, Sense) == 16, "Sense");
static_assert(POLLUX_IO_IN_DATA_OFFSET % 8 == 0, "write data is 8-aligned");
static_assert(POLLUX_IO_OUT_DATA_OFFSET % 8 == 0, "read data is 8-aligned");
static_assert(sizeof(struct pollux_verify_out) == 120, "pollux_verify_out");
static_assert(offsetof(struct pollux_verify_out, MismatchOffset) == 112, "MismatchOffset");
static_assert(sizeof(struct pollux_bench_in) == 72, "pollux_bench_in");
static_assert(offsetof(struct pollux_bench_in, Workload) == 40, "Workload");
static_assert(offsetof(struct pollux_bench_in, Seed) == 64, "Seed");
static_assert(sizeof(struct pollux_bench_out) == 128, "pollux_bench_out");
static_assert(offsetof(struct pollux_bench_out, Iops) == 48, "Iops");
static_assert(offsetof(struct pollux_bench_out, CyclesPerSecond) == 120, "CyclesPerSecond");
static_assert(sizeof(struct pollux_bench_progress_in) == 8, "pollux_bench_progress_in");

#ifdef __cplusplus
}
#endif

#endif
