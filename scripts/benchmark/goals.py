"""The goals: each line of the table of measures with its figure, its contender's, and met or NOT met.

A goal whose rows are not there reads "not measured"; nothing here measures.
"""
from dataclasses import asdict, dataclass, replace

from . import plan, rows as rows_of
from .rows import find, is_saturated

MET, NOT_MET, NOT_MEASURED = "met", "NOT met", "not measured"
BUSY_CYCLES = 870
DIGEST_BUSY_CYCLES = 1300
HEADERS_OF_READ = 2  # PDU headers that are summed: one out, one in
KIB, MIB = plan.KIB, plan.MIB


@dataclass
class Goal:
    measure: str
    goal: str
    contender: str = ""
    value: float = None
    contender_value: float = None
    unit: str = ""
    ratio: float = None  # of the value to the contender's
    status: str = NOT_MEASURED
    note: str = ""

    def as_dict(self):
        return asdict(self)


def judge(goal, value, is_met, contender_value=None, note=""):
    """The goal with its figures; without a value it stays "not measured"."""
    if value is None:
        return replace(goal, note=note)
    ratio = value / contender_value if contender_value else None
    return replace(goal, value=value, contender_value=contender_value, ratio=ratio,
                   status=MET if is_met else NOT_MET, note=note)


class Book:
    """The rows by name and by what they are."""

    def __init__(self, rows):
        self.rows = rows
        self.by_name = {row["name"]: row for row in rows}

    def row(self, measurement):
        return self.by_name.get(measurement.name)

    def value(self, measurement, field):
        row = self.row(measurement)
        return None if row is None else row.get(field)

    def limit(self, contender, io_size, memory="warm", field="mibps"):
        row = find(self.rows, contender=contender, io_size=io_size, memory=memory, wire="none")
        return None if row is None else row.get(field)

    def limit_cycles(self, contender, io_size):
        """What the limit's CPU time is in cycles of this machine's counter."""
        nanoseconds = self.limit(contender, io_size, field="cpu_ns_per_io")
        hz = next((row["tsc_hz"] for row in self.rows if row.get("tsc_hz")), None)
        return None if nanoseconds is None or hz is None else nanoseconds * hz / 1e9

    def of_measure(self, measure, **wanted):
        return find(self.rows, measure=measure, **wanted)


def ratio(a, b):
    return a / b if a is not None and b else None


def saturation(row):
    if row is None or row.get("target_busy_share") is None:
        return ""
    share = f"the target's core was {row['target_busy_share']:.0%} busy"
    return share + (": saturated" if is_saturated(row) else ", measured on a noisy machine" if rows_of.is_noisy(row) else "")


ANSWERS = replace(plan.PACKETS, workload="ask-and-answer", io_size=plan.ANSWER_FRAME,
                  request_bytes=plan.REQUEST_FRAME, queue_depth=32)


def small_reads(book):
    plain, summed = book.row(plan.READ), book.row(replace(plan.READ, digests="both"))
    alone = book.value(ANSWERS, "busy_cycles_per_io")
    cycles = plain and plain["busy_cycles_per_io"]
    yield judge(Goal("4 KiB random reads, depth 32, in process, no digests: busy cycles per I/O",
                     f"at most {BUSY_CYCLES}", "packets alone, asked and answered", unit="cycles"),
                cycles, cycles is not None and cycles <= BUSY_CYCLES, alone)
    crc = book.limit_cycles("crc32c", 4 * KIB)
    header = book.limit_cycles("crc32c_header", 48)
    known = summed is not None and crc is not None and header is not None
    most = DIGEST_BUSY_CYCLES + crc + HEADERS_OF_READ * header if known else None
    yield judge(Goal("the same with header and data digests",
                     f"at most {DIGEST_BUSY_CYCLES} + the CRC of this run" + (f" = {most:,.0f}" if known else ""),
                     "CRC32C alone of the data and two headers", unit="cycles"),
                summed["busy_cycles_per_io"] if known else None, known and summed["busy_cycles_per_io"] <= most,
                most - DIGEST_BUSY_CYCLES if known else None)
    least = plain and plain.get("tsc_hz") and plain["tsc_hz"] / BUSY_CYCLES
    yield judge(Goal("the same without digests: IOPS",
                     "the IOPS of that many cycles" + (f" ({least:,.0f})" if least else "")
                     + ", or the target's core saturated", "packets alone, asked and answered", unit="IOPS"),
                plain["iops"] if least else None, bool(least) and (plain["iops"] >= least or is_saturated(plain)),
                book.value(ANSWERS, "iops"), saturation(plain))


def beside_libiscsi(book):
    theirs = plan.LIBISCSI
    ours_cpu, their_cpu = book.value(plan.READ, "cpu_ns_per_io"), book.value(theirs, "cpu_ns_per_io")
    part = ratio(ours_cpu, their_cpu)
    yield judge(Goal("CPU per 4 KiB read at depth 32", "under 1/10 of libiscsi's on loopback",
                     "libiscsi, loopback, tgt null", unit="ns"),
                ours_cpu if part is not None else None, part is not None and part < 0.1, their_cpu,
                "worker and caller, against user and system time" if part is not None else "")
    first = replace(plan.READ, queue_depth=1)
    ours, other = book.value(first, "p50_latency_us"), book.row(replace(theirs, queue_depth=1)) or {}
    has_p50 = other.get("p50_latency_us") is not None
    latency = other.get("p50_latency_us" if has_p50 else "avg_latency_us")
    part = ratio(ours, latency)
    yield judge(Goal("4 KiB read at depth 1: p50 latency", "at most 1/3 of libiscsi's on loopback",
                     f"libiscsi, loopback, tgt null: {'p50' if has_p50 else 'mean'}", unit="us"),
                ours if part is not None else None, part is not None and part <= 1 / 3, latency,
                "" if part is None or has_p50 else "iscsi-perf prints no percentiles: its mean, 1 / IOPS, stands for its p50")


def in_process_bulk(book):
    for size, depth, word in ((128 * KIB, 32, "128 KiB"), (MIB, 8, "1 MiB")):
        for memory, name, limit in (("placed", "memcpy", book.limit("memcpy", size, "buffers")),
                                    ("lent", "packets alone", book.value(plan.PACKETS, "mibps"))):
            row = book.row(replace(plan.SEQUENTIAL, io_size=size, queue_depth=depth, memory=memory))
            part = ratio(row and row["mibps"], limit)
            note = saturation(row)
            if part is not None and row.get("busy_cycles_per_io"):
                alone = size / row["busy_cycles_per_io"] * row["tsc_hz"] / MIB / limit
                note += f"; by the worker's busy cycles alone it is {alone:.0%}"
            yield judge(Goal(f"{word} sequential reads, {memory}, in process: throughput", f"at least 70 % of {name}",
                             f"{name}, same size and buffers" if memory == "placed" else f"{name}, MTU 9000", unit="MiB/s"),
                        row["mibps"] if part is not None else None, part is not None and part >= 0.7, limit, note)


def digests(book):
    far = [row for row in book.rows if row.get("contender") == "pollux" and row.get("working_set")
           and row.get("io_size") == 128 * KIB and row.get("memory") == "placed" and row.get("wire") == "ring"]
    none, both = find(far, digests="none"), find(far, digests="both")
    part = ratio(both and both["mibps"], none and none["mibps"])
    note = "" if none is None else f"working set {plan.size_word(int(none['working_set']))}; {saturation(both)}"
    yield judge(Goal("both digests, 128 KiB placed reads, working set beyond the cache: throughput",
                     "at least 0.85 of none", "the same without digests", unit="MiB/s"),
                both["mibps"] if part is not None else None, part is not None and part >= 0.85, none and none["mibps"],
                note if part is not None else "")
    row = book.row(replace(plan.SEQUENTIAL, memory="lent", digests="both"))
    alone = book.limit("crc32c", 128 * KIB)
    cycles = row and row.get("stage_cycles_per_io", {}).get("digest")
    speed = 128 * KIB / cycles * row["tsc_hz"] / MIB if cycles else None
    part = ratio(speed, alone)
    yield judge(Goal("both digests, 128 KiB lent reads: speed of the CRC stage", "at least 70 % of ISA-L's own",
                     "ISA-L crc32_iscsi, warm", unit="MiB/s"),
                speed if part is not None else None, part is not None and part >= 0.7, alone)


def scale(book):
    for compared in ("several commands each", "one command each", "the same commands in flight"):
        row = book.of_measure("scale_ratio", compared=compared, sessions=1024)
        part = row and row["ratio"]
        yield judge(Goal(f"cycles per I/O at 1,024 sessions on one worker, {compared}",
                         "at most 1.3 times one session's",
                         f"one session at depth {row['one_queue_depth']:,.0f}" if row else "one session", unit="cycles"),
                    row and row["turn_cycles_per_io"], part is not None and part <= 1.3,
                    row and row["one_turn_cycles_per_io"],
                    f"each at depth {row['queue_depth']:.0f}, worker and target in turns; in threads "
                    f"{row['busy_ratio']:.2f} times" if row else "")
    row = book.of_measure("memory_per_connection")
    used = row and row.get("bytes_per_connection")
    yield judge(Goal("memory per idle logged-in connection", "at most 16 KiB", unit="bytes"), used,
                used is not None and used <= 16 * KIB,
                note=f"at {row['sessions']:,} sessions" if used is not None and row.get("sessions") else "")
    row = book.of_measure("fairness", case="equal")
    share = row and row.get("slowest_share")
    yield judge(Goal("fairness: the slowest of 64 equal sessions", "at least 80 % of the mean", "the mean",
                     unit="of the mean"), share, share is not None and share >= 0.8, 1.0 if share is not None else None)
    row = book.of_measure("two_workers", contender="pollux")
    gain = row and row.get("ratio")
    alone = book.of_measure("two_workers", contender="arithmetic")
    yield judge(Goal("two workers with a target each in one thread per core, against one", "at least 1.9 times",
                     "arithmetic alone on the two cores", unit="times"), gain, gain is not None and gain >= 1.9,
                alone and alone.get("ratio"))


def command_ring(book):
    rows = [row for row in (book.of_measure("command_ring", cpus="two"), book.of_measure("command_ring", cpus="one"))
            if row is not None]
    for row in rows or [None]:
        where = {"two": ", client and service on two CPUs", "one": ", both on one CPU"}[row["cpus"]] if row else ""
        p50 = row and row["p50_latency_us"]
        yield judge(Goal(f"command ring{where}: p50 of a hot client", "at most 20 us", unit="us"), p50,
                    p50 is not None and p50 <= 20)
        rate = row and row["iops"]
        yield judge(Goal(f"command ring{where}: commands per second with several in flight", "at least 100,000",
                         unit="per second"), rate, rate is not None and rate >= 100_000)


def asserted(book):
    for measure, goal, what in (
            ("steady_state", "no system call, lock, allocation or hidden copy",
             "data path in steady state on net_ring and virtio_user"),
            ("exact_counts", "asserted exactly", "segments, mbufs, bursts, bytes and instructions per I/O")):
        row = book.of_measure(measure)
        yield judge(Goal(what, goal, unit="tests passed"), row and row["passed"],
                    row is not None and row["passed"] == row["tests"],
                    note=f"of {row['tests']:.0f}: {', '.join(row['names'])}" if row else "")


def all_goals(rows):
    """Every goal in the order of the table."""
    from . import veth_goals  # here: it stands on this module
    book = Book(rows)
    parts = (small_reads, beside_libiscsi, veth_goals.small_reads, in_process_bulk, veth_goals.bulk, digests, scale,
             command_ring, asserted)
    return [goal for part in parts for goal in part(book)]


def doubts(rows):
    """Sentences about rows that a noisy machine has bent, and about broken ones."""
    noisy = [row["name"] for row in rows if rows_of.is_noisy(row)]
    found = []
    if noisy:
        found.append(f"The machine was busy with something else: in {len(noisy)} measurements a polling thread had its CPU "
                     f"for less than 95 % of the time, and cycles count what took it away: {', '.join(noisy[:6])}"
                     f"{' ...' if len(noisy) > 6 else ''}. Measure again when it is quiet.")
    for row in rows:
        if row.get("failed") or row.get("violations"):
            found.append(f"{row['name']}: {row.get('failed', 0):.0f} commands failed, {row.get('violations', 0):.0f} "
                         "violations of the protocol.")
    return found
