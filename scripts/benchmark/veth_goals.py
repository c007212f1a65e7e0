"""The goals of the veth wires, where both initiators talk to one and the same target process in turns."""
from .goals import KIB, MIB, Goal, judge, ratio
from .rows import is_saturated

SIZES = ((128 * KIB, "128 KiB"), (MIB, "1 MiB"))


def rows_of(book, contender, **wanted):
    wanted = {"contender": contender} | wanted
    return [row for row in book.rows if str(row.get("wire", "")).startswith("veth")
            and all(row.get(key) == value for key, value in wanted.items())]


def ours_of(book, **wanted):
    """pollux's rows, without those that change anything else."""
    return sorted(rows_of(book, "pollux", digests="none", sessions=1, **wanted),
                  key=lambda row: (row["wire"], row.get("mtu") or 0))


def setting(row):
    """Which of libiscsi's rows this is."""
    return {"off": "offloads off", "default": "its default offloads"}.get(row.get("offloads"), "as it comes")


def where(row):
    return f"{row['wire']}, MTU {row['mtu']}" if row.get("mtu") else row["wire"]


def pairs(book, **wanted):
    for row in ours_of(book, **wanted):
        for theirs in rows_of(book, "libiscsi", digests="none", sessions=1, mtu=row.get("mtu"), **wanted):
            if row["queue_depth"] == theirs["queue_depth"]:
                yield row, theirs


def compare(what, row, theirs):
    """IOPS doubled, or the target saturated and half the CPU."""
    goal = Goal(f"{what}, {where(row)}, against libiscsi ({setting(theirs)}): IOPS",
                "at least 2 times, or the target's CPU saturated and at most half the CPU per I/O",
                f"libiscsi, same target ({setting(theirs)})", unit="IOPS")
    cpu = ratio(row.get("cpu_ns_per_io"), theirs.get("cpu_ns_per_io"))
    is_met = row["iops"] >= 2 * theirs["iops"] or (is_saturated(row) and cpu is not None and cpu <= 0.5)
    note = [] if cpu is None else [f"CPU per I/O {row['cpu_ns_per_io']:,.0f} ns against {theirs['cpu_ns_per_io']:,.0f} "
                                   f"({cpu:.2f} times)"]
    for whose, one in (("pollux", row), ("libiscsi", theirs)):
        if one.get("cpu0_busy") is not None:
            note.append(f"CPUs with {whose}: initiator's {one['cpu0_busy']:.0%} busy, target's {one['cpu1_busy']:.0%}")
    if row.get("target_cpu_share") is not None:
        note.append(f"the target had {row['target_cpu_share']:.0%} of its CPU" + (", saturated" if is_saturated(row) else ""))
    return judge(goal, row["iops"], is_met, theirs["iops"], "; ".join(note))


def small_reads(book):
    wanted = {"workload": "randread", "io_size": 4 * KIB}
    found = [compare("4 KiB random reads, depth 32", row, theirs) for row, theirs in pairs(book, queue_depth=32, **wanted)]
    yield from found or [Goal("4 KiB random reads, depth 32, over veth to one target process: IOPS",
                              "at least 2 times, or the target's CPU saturated and at most half the CPU per I/O",
                              "libiscsi, same target")]
    found = []
    for row, theirs in pairs(book, queue_depth=1, **wanted):
        goal = Goal(f"4 KiB reads at depth 1, {where(row)}, against libiscsi ({setting(theirs)}): p99 latency",
                    "no worse", f"libiscsi, same target ({setting(theirs)})", unit="us")
        p99, their_p99 = row.get("p99_latency_us"), theirs.get("p99_latency_us")
        known = p99 is not None and their_p99 is not None
        found.append(judge(goal, p99 if known else None, known and p99 <= their_p99, their_p99,
                           "" if known else "libiscsi's percentiles are not known"))
    yield from found or [Goal("4 KiB reads at depth 1 over veth: p99 latency", "no worse", "libiscsi, same target")]


def bulk(book):
    for size, word in SIZES:
        found = [compare(f"{word} sequential reads", row, theirs)
                 for row, theirs in pairs(book, workload="read", io_size=size)]
        yield from found or [Goal(f"{word} sequential reads over veth to one target process: IOPS",
                                  "at least 2 times, or the target's CPU saturated and at most half the CPU per I/O",
                                  "libiscsi, same target")]
