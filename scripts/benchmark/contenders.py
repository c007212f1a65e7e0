"""Runs one measurement: the programs of the tree as they are, each a process of its own, one JSON object each."""
import json
import re
import subprocess
import time

from . import libiscsi

PROGRAM_SECONDS_MOST = 120
# io_size of the bytes that Google Benchmark's names carry: NAME/BYTES/warm|cold.
LIMIT_NAME = re.compile(r"^(memcpy|crc32c_header|crc32c|copy_crc32c)/(\d+)/(warm|cold|buffers)$")


# Before the other threads of the CPUs; in turns, so that two which share a CPU both get on.
REALTIME = ["chrt", "--rr", "1"]


class Failed(Exception):
    """One sentence about a contender that did not measure anything."""


def run_program(command, what, realtime=False):
    try:
        done = subprocess.run((REALTIME if realtime else []) + command, capture_output=True, text=True, timeout=PROGRAM_SECONDS_MOST, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{what}: {error}") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise Failed(f"{what} ended with {done.returncode}: {' '.join(words)[:300]}")
    return done.stdout


def pollux(measurement, settings):
    m = measurement
    # Three threads on two CPUs take turns as well as they can only at ordinary priority.
    realtime = settings.realtime and (m.poll == "embedder" or settings.caller_cpu != settings.target_cpu)
    command = [f"{settings.build}/tests/bench/bench_pollux", "--wire", m.wire, "--workload", m.workload,
               "--io-size", m.io_size, "--depth", m.queue_depth, "--sessions", m.sessions, "--digests", m.digests,
               "--memory", m.memory, "--lun", m.lun, "--poll", m.poll, "--working-set", m.working_set,
               "--seconds", settings.seconds, "--warm-up", settings.warm_up, "--cpu", settings.cpu,
               "--target-cpu", settings.target_cpu, "--caller-cpu", settings.caller_cpu]
    if m.software_checksums:
        command.append("--software-checksums")
    if realtime:
        command.append("--realtime")
    return json.loads(run_program([str(word) for word in command], m.name))


def packets(measurement, settings):
    m = measurement
    command = [f"{settings.build}/tests/bench/bench_packets", "--wire", m.wire, "--frame-bytes", m.io_size,
               "--request-bytes", m.request_bytes, "--depth", max(m.queue_depth, 1), "--seconds", settings.seconds,
               "--warm-up", settings.warm_up, "--cpu", settings.cpu, "--peer-cpu", settings.target_cpu]
    row = json.loads(run_program([str(word) for word in command], m.name, settings.realtime))
    # A frame is to this limit what a command is to the others.
    return row | {"io_size": row["frame_bytes"], "sessions": 0, "digests": "none", "iops": row["frames_per_second"],
                  "busy_cycles_per_io": row["busy_cycles_per_frame"],
                  "cpu_ns_per_io": row["busy_cycles_per_frame"] * 1e9 / row["tsc_hz"]}


def limits(measurement, settings):
    """Several rows: memcpy and CRC32C on one CPU."""
    seconds = max(0.01, min(0.3, settings.seconds / 8))
    command = ["taskset", "-c", str(settings.cpu), f"{settings.build}/tests/bench/bench_limits",
               "--working-set", str(settings.working_set), "--benchmark_format=json",
               f"--benchmark_min_time={seconds}"]
    rows = []
    for case in json.loads(run_program(command, measurement.name))["benchmarks"]:
        name, size, memory = LIMIT_NAME.match(case["name"]).groups()
        per_second = case["bytes_per_second"] / int(size)
        rows.append({
            "contender": name, "wire": "none", "workload": "memory", "io_size": int(size), "queue_depth": 0,
            "sessions": 0, "digests": "none", "memory": memory,
            "working_set": settings.working_set if memory == "cold" else 0, "iops": per_second,
            "mibps": case["bytes_per_second"] / 2**20, "cpu_ns_per_io": 1e9 / per_second,
        })
    return rows


def loopback(measurement, settings):
    if settings.portal is None:
        return []
    try:
        return libiscsi.measure(measurement, settings)
    except libiscsi.Failed as error:
        raise Failed(f"{measurement.name}: {error}") from None


RUNNERS = {"pollux": pollux, "packets": packets, "limits": limits, "libiscsi": loopback}


def run(measurement, settings):
    """[(name, row)] of one round. Raises Failed."""
    started = time.monotonic()
    found = RUNNERS[measurement.contender](measurement, settings)
    rows = found if isinstance(found, list) else [found]
    for row in rows:
        row["run_seconds"] = round(time.monotonic() - started, 2)
    if measurement.contender == "limits":
        return [(f"limits/{row['contender']}/{row['io_size']}B/{row['memory']}", row) for row in rows]
    return [(measurement.name, row) for row in rows]
