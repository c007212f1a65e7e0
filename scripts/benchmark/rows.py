"""Rows of the report: which fields each has, the median of several rounds, and what makes a row doubtful."""
import statistics

# Every row has these; what a contender cannot tell is None.
FIELDS = ("contender", "wire", "workload", "io_size", "queue_depth", "sessions", "digests", "iops", "mibps",
          "p50_latency_us", "p99_latency_us", "cpu_ns_per_io", "busy_cycles_per_io")
TEXTS = ("contender", "wire", "workload", "digests")
SPREAD_OF = ("iops", "mibps", "avg_latency_us", "p50_latency_us", "p99_latency_us", "cpu_ns_per_io",
             "busy_cycles_per_io", "frames_per_second")
QUIET_SHARE = 0.95
SATURATED_SHARE = 0.95
# Of a target that sleeps when it has nothing to do, by CPU time: the rest is waking up.
SATURATED_SLEEPER_SHARE = 0.9


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def complete(row, name):
    """The row with its name and with None for what is not there."""
    return {"name": name} | {field: None for field in FIELDS} | row


def problems(row):
    """Sentences about what breaks the form of a row; none when it is well."""
    found = [f"{field} is missing" for field in FIELDS if field not in row]
    found += [f"{field} is no text" for field in TEXTS if field in row and not isinstance(row[field], str)]
    for field in FIELDS:
        value = row.get(field)
        if field not in TEXTS and value is not None and (not is_number(value) or value < 0):
            found.append(f"{field} is {value!r}, not a number from 0 or null")
    return found


def middle(runs, field="iops"):
    """The run whose figure is the lower median: where rounds cannot be averaged, one of them speaks for all."""
    known = [run for run in runs if is_number(run.get(field))]
    return sorted(known, key=lambda run: run[field])[(len(known) - 1) // 2] if known else runs[0]


def median_value(values):
    if all(is_number(value) for value in values):
        return statistics.median(values)
    if all(isinstance(value, dict) for value in values):
        return {key: median_value([value.get(key, 0) for value in values]) for key in values[0]}
    return None


def median_of(runs):
    """One row out of the rounds of one measurement: medians, and [least, most] of the figures in `spread`."""
    result = dict(middle(runs))
    for key in runs[0]:
        value = median_value([run.get(key) for run in runs])
        if value is not None:
            result[key] = value
    for key in ("failed", "violations"):
        if key in result:
            result[key] = max(run[key] for run in runs)
    result["spread"] = {key: [min(run[key] for run in runs), max(run[key] for run in runs)]
                        for key in SPREAD_OF if all(is_number(run.get(key)) for run in runs)}
    result["rounds"] = len(runs)
    return result


def spread_share(row, field="iops"):
    """(most - least) / median; None when it is not known."""
    limits = row.get("spread", {}).get(field)
    return (limits[1] - limits[0]) / row[field] if limits and row.get(field) else None


def is_noisy(row):
    """Somebody else took CPU time of a thread that never sleeps: the measuring one or the target's."""
    return any(is_number(row.get(field)) and row[field] < QUIET_SHARE for field in ("cpu_share", "target_poll_share"))


def is_saturated(row):
    """The target's core had no time left: the row shows the target's limit. Time taken by others looks like work, so a
    noisy row shows nothing of the kind."""
    if is_noisy(row):
        return False
    if is_number(row.get("target_cpu_share")):
        return row["target_cpu_share"] >= SATURATED_SLEEPER_SHARE
    return is_number(row.get("target_busy_share")) and row["target_busy_share"] >= SATURATED_SHARE


def find(rows, **wanted):
    """The first row whose fields are as wanted; None without one."""
    return next((row for row in rows if all(row.get(key) == value for key, value in wanted.items())), None)
