"""The report on a terminal: a table of rows, then the goals."""
from . import plan
from .rows import is_noisy, is_number, is_saturated, spread_share


def number(value, form=",.0f"):
    return format(value, form) if is_number(value) else "-"


def figure(value):
    """A number with as many digits as say something."""
    if not is_number(value):
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def marks(row):
    return ("!" if is_noisy(row) else "") + ("s" if is_saturated(row) else "")


COLUMNS = (
    ("measurement", 56, lambda row: row["name"]),
    ("IOPS", 11, lambda row: number(row["iops"])),
    ("spread", 7, lambda row: number(spread_share(row), ".0%")),
    ("MiB/s", 9, lambda row: number(row["mibps"])),
    ("mean us", 9, lambda row: figure(row.get("avg_latency_us"))),
    ("p50 us", 8, lambda row: figure(row["p50_latency_us"])),
    ("p99 us", 8, lambda row: figure(row["p99_latency_us"])),
    ("p99.9", 8, lambda row: figure(row.get("p999_latency_us"))),
    ("CPU ns", 9, lambda row: number(row["cpu_ns_per_io"])),
    ("cycles", 9, lambda row: number(row["busy_cycles_per_io"])),
    ("target", 7, lambda row: number(row.get("target_busy_share"), ".0%")),
    ("", 2, marks),
)


def rows_text(rows):
    lines = ["".join(f"{title:<{width}} " if i == 0 else f"{title:>{width}} "
                     for i, (title, width, _) in enumerate(COLUMNS)).rstrip()]
    for row in rows:
        lines.append("".join(f"{cell(row):<{width}} " if i == 0 else f"{cell(row):>{width}} "
                             for i, (_, width, cell) in enumerate(COLUMNS)).rstrip())
    return lines


LEGEND = ("Per I/O: CPU of worker and caller (libiscsi: user and system time), the worker's busy cycles; for packets an I/O is "
          "a frame. target: how busy its CPU was. s: saturated; !: worker or target lost its CPU for more than 5 % of the "
          "time. libiscsi: iscsi-perf prints no percentiles, its mean latency is depth / IOPS; what stands at depth 1 is of "
          "libiscsi_latency.")


def goal_text(goal):
    words = [goal.measure]
    if goal.value is not None:
        words.append(f": {figure(goal.value)} {goal.unit}")
    words.append(f"; goal {goal.goal}")
    if goal.contender_value is not None:
        words.append(f"; {goal.contender}: {figure(goal.contender_value)}")
        words.append(f", ratio {goal.ratio:.3g}" if goal.ratio is not None else "")
    elif goal.contender:
        words.append(f"; beside: {goal.contender}")
    if goal.note:
        words.append(f" ({goal.note})")
    return "".join(words)


def goals_text(goals):
    return [f"{goal.status:<12} {goal_text(goal)}" for goal in goals]


def ratios_text(rows):
    """How many times libiscsi's IOPS and CPU pollux has, load by load."""
    found = []
    theirs = {(row["workload"], row["io_size"], row["queue_depth"], row["digests"]): row
              for row in rows if row["contender"] == "libiscsi" and row["wire"] == "loopback"}
    for row in rows:
        other = theirs.get((row["workload"], row["io_size"], row["queue_depth"], row["digests"]))
        if row["contender"] != "pollux" or other is None or row.get("sessions") != 1:
            continue
        if row["wire"] not in ("ring", "virtio_user"):
            continue
        if row["iops"] and other["iops"] and row["cpu_ns_per_io"] and other["cpu_ns_per_io"]:
            found.append(f"  {row['name']:<56}{row['iops'] / other['iops']:>8.1f} x IOPS "
                         f"{other['cpu_ns_per_io'] / row['cpu_ns_per_io']:>8.1f} x less CPU per I/O")
    return [f"Beside libiscsi on loopback ({plan.LIBISCSI.wire}, tgt null), same load:"] + found if found else []
