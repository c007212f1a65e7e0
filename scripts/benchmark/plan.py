"""What is measured: one Measurement is one process of one contender on one wire with one load.

The plans grow: `quick` holds what the goals need, `default` adds depths and variants, `full` is the whole matrix.
"""
from dataclasses import dataclass, replace

KIB = 1024
MIB = 1024 * KIB

# A frame that carries a read of 4 KiB or asks for one: data, header of the PDU, TCP with timestamps, IPv4, Ethernet.
ANSWER_FRAME = 4096 + 48 + 32 + 20 + 14
REQUEST_FRAME = 48 + 32 + 20 + 14
JUMBO_FRAME = 9014
SMALL_FRAME = 64


@dataclass(frozen=True)
class Measurement:
    contender: str = "pollux"
    wire: str = "ring"
    workload: str = "randread"
    io_size: int = 4 * KIB
    queue_depth: int = 32
    sessions: int = 1
    digests: str = "none"
    memory: str = "placed"
    lun: str = "null"
    poll: str = "embedder"
    working_set: int = 0
    software_checksums: bool = False
    request_bytes: int = 0

    @property
    def name(self):
        """What --only looks at, and what a row of the report is called."""
        parts = [self.contender, self.wire, self.workload]
        if self.contender == "limits":
            return "limits/memcpy-and-crc32c"
        if self.contender == "packets":
            return "/".join(parts + [f"{self.io_size}B"])
        parts += [size_word(self.io_size), f"q{self.queue_depth}"]
        if self.sessions != 1:
            parts.append(f"{self.sessions}-sessions")
        if self.digests != "none":
            parts.append(f"{self.digests}-digests" if self.digests == "both" else "header-digest")
        if self.contender == "pollux":
            parts += [self.memory, self.lun]
            if self.poll != "embedder":
                parts.append(self.poll)
            if self.working_set:
                parts.append(f"set-{size_word(self.working_set)}")
            if self.software_checksums:
                parts.append("software-checksums")
        return "/".join(parts)


def size_word(size):
    for unit, letter in ((1024 * MIB, "G"), (MIB, "M"), (KIB, "k")):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)


READ = Measurement()
SEQUENTIAL = Measurement(workload="read", io_size=128 * KIB)
LIBISCSI = Measurement(contender="libiscsi", wire="loopback", memory="plain")
PACKETS = Measurement(contender="packets", workload="stream", io_size=JUMBO_FRAME, queue_depth=0)
LIMITS = Measurement(contender="limits", wire="none", workload="memory")


def unique(measurements):
    return list(dict.fromkeys(measurements))


def smoke():
    """Each contender once."""
    return [READ, replace(READ, wire="virtio_user", digests="both", queue_depth=1), replace(READ, poll="library"),
            replace(READ, workload="randrw", memory="plain", lun="ram"), LIBISCSI, PACKETS, LIMITS]


def quick(working_set):
    virtio = replace(READ, wire="virtio_user")
    ask = replace(PACKETS, workload="ask-and-answer", io_size=ANSWER_FRAME, request_bytes=REQUEST_FRAME, queue_depth=32)
    large = replace(SEQUENTIAL, io_size=MIB, queue_depth=8)
    far = replace(SEQUENTIAL, working_set=working_set)
    return [
        READ, LIBISCSI, ask, replace(READ, digests="both"),
        replace(READ, queue_depth=1), replace(LIBISCSI, queue_depth=1),
        virtio, replace(ask, wire="virtio_user"), replace(virtio, queue_depth=1),
        replace(READ, lun="ram"), replace(READ, memory="lent"), replace(READ, software_checksums=True),
        replace(READ, poll="library"), replace(READ, workload="randrw"),
        replace(READ, workload="randwrite", memory="registered"), replace(READ, workload="randwrite", memory="plain"),
        SEQUENTIAL, replace(SEQUENTIAL, memory="lent"), replace(LIBISCSI, workload="read", io_size=128 * KIB),
        large, replace(large, memory="lent"), PACKETS, replace(PACKETS, io_size=SMALL_FRAME), LIMITS,
        far, replace(far, digests="both"), replace(SEQUENTIAL, memory="lent", digests="both"),
        replace(SEQUENTIAL, wire="virtio_user"), replace(SEQUENTIAL, wire="virtio_user", memory="lent"),
        replace(large, wire="virtio_user"), replace(large, wire="virtio_user", memory="lent"),
        replace(PACKETS, wire="virtio_user"), replace(PACKETS, wire="virtio_user", io_size=SMALL_FRAME),
        replace(READ, queue_depth=128),
    ]


def default(working_set):
    virtio = replace(READ, wire="virtio_user")
    write = replace(READ, workload="randwrite", memory="registered")
    return unique(
        quick(working_set)
        + [replace(READ, queue_depth=depth) for depth in (1, 8, 128)]
        + [replace(virtio, queue_depth=depth) for depth in (8, 128)]
        + [replace(virtio, digests="both"), replace(virtio, lun="ram"), replace(virtio, memory="lent")]
        + [replace(READ, digests="header"), replace(READ, poll="library", queue_depth=1)]
        + [replace(write, queue_depth=depth) for depth in (1, 128)]
        + [replace(write, wire="virtio_user"), replace(write, lun="ram"), replace(write, digests="both")]
        + [replace(READ, workload="randrw", queue_depth=128), replace(READ, memory="lent", digests="both")]
        + [replace(SEQUENTIAL, lun="ram"), replace(SEQUENTIAL, digests="both"), replace(SEQUENTIAL, digests="header")]
        + [replace(SEQUENTIAL, workload="write", memory=memory) for memory in ("registered", "plain")]
        + [replace(SEQUENTIAL, workload="write", memory="registered", io_size=MIB, queue_depth=8)]
        + [replace(READ, sessions=sessions, queue_depth=depth) for sessions, depth in ((16, 2), (16, 8), (256, 1), (1024, 1))]
        + [replace(LIBISCSI, queue_depth=128), replace(LIBISCSI, digests="header"),
           replace(LIBISCSI, queue_depth=1, workload="read", io_size=128 * KIB)])


def full(working_set):
    rows = default(working_set)
    small = [replace(READ, workload=workload, queue_depth=depth, wire=wire, lun=lun, digests=digests, memory=memory)
             for workload, memories in (("randread", ("placed", "lent")), ("randwrite", ("plain", "registered")),
                                        ("randrw", ("placed", "lent")))
             for memory in memories for depth in (1, 8, 32, 128) for digests in ("none", "header", "both")
             for wire in ("ring", "virtio_user") for lun in ("null", "ram")]
    large = [replace(SEQUENTIAL, workload=workload, io_size=size, queue_depth=depth, wire=wire, lun=lun, digests=digests,
                     memory=memory)
             for workload, memories in (("read", ("placed", "lent")), ("write", ("plain", "registered")))
             for memory in memories for size, depth in ((128 * KIB, 32), (MIB, 8))
             for digests in ("none", "header", "both") for wire in ("ring", "virtio_user") for lun in ("null", "ram")]
    many = [replace(READ, sessions=sessions, queue_depth=1, wire=wire, digests=digests)
            for sessions in (1, 16, 256, 1024) for wire in ("ring", "virtio_user") for digests in ("none", "both")]
    soft = [replace(READ, software_checksums=True, queue_depth=depth) for depth in (1, 8, 32, 128)]
    soft += [replace(SEQUENTIAL, software_checksums=True), replace(SEQUENTIAL, software_checksums=True, memory="lent")]
    library = [replace(READ, poll="library", queue_depth=depth) for depth in (1, 8, 32, 128)]
    theirs = [replace(LIBISCSI, queue_depth=depth) for depth in (1, 8, 32, 128)]
    theirs += [replace(LIBISCSI, workload="read", io_size=size, queue_depth=depth)
               for size, depth in ((128 * KIB, 1), (128 * KIB, 32), (MIB, 8))]
    return unique(rows + small + large + many + soft + library + theirs)
