"""libiscsi's iscsi-perf on kernel TCP over loopback, pinned like pollux's worker; the target is pinned like its peer.

iscsi-perf prints no percentiles. What follows from its IOPS is the mean latency: at depth 1 it is 1 / IOPS, deeper it
is depth / IOPS (Little's law). Percentiles at depth 1 come from tests/bench/libiscsi_latency where it is built. Its CPU per I/O is user and system time of the process; what the kernel does of the TCP
work in softirqs is charged to whoever it interrupts, so the sum of both CPUs stands beside it.
"""
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

BLOCK_BYTES = 512
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    pass


def parse_iops(output):
    """The average that iscsi-perf printed last; None without one."""
    averages = re.findall(r"iops average (\d+)", output)
    return int(averages[-1]) if averages else None


def process_seconds(pid):
    """User and system time of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS


def cpu_seconds(cpus):
    """Time that the CPUs were not idle, all together: user, nice, system, irq, softirq."""
    wanted = {f"cpu{cpu}" for cpu in cpus}
    total = 0
    with open("/proc/stat", encoding="utf-8") as stat:
        for line in stat:
            fields = line.split()
            if fields[0] in wanted:
                total += sum(int(fields[i]) for i in (1, 2, 3, 6, 7))
    return total / TICKS


def url(measurement, settings):
    digest = {"none": "", "header": "?header_digest=crc32c"}[measurement.digests]
    return f"iscsi://{settings.portal}/{settings.target_name}/1{digest}"


def run(command):
    """(output, CPU seconds of the process, seconds that passed)."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        started = time.monotonic()
        with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        passed = time.monotonic() - started
        output.seek(0)
        return output.read(), usage.ru_utime + usage.ru_stime, passed


def percentiles(measurement, settings):
    """At depth 1 the p50 and p99 of a program on libiscsi that notes each command, where it is built; else nothing."""
    program = Path(settings.build) / "tests/bench/libiscsi_latency"
    if not program.exists() or measurement.queue_depth != 1 or measurement.digests != "none":
        return {}
    done = subprocess.run(
        [str(program), "--portal", settings.portal, "--target-name", settings.target_name, "--target-lun", "1", "--target-pid",
         str(settings.target_pid), "--cpu", str(settings.cpu), "-w", measurement.workload, "-o", str(measurement.io_size),
         "-q", "1", "-t", str(settings.seconds), *(["--realtime"] if settings.realtime else [])],
        capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise Failed(f"libiscsi_latency: {done.stderr.strip()[-200:]}")
    found = json.loads(done.stdout)
    return {key: found[key] for key in ("p50_latency_us", "p99_latency_us", "p999_latency_us") if key in found}


def measure(measurement, settings):
    m = measurement
    seconds = max(1, round(settings.seconds))  # it counts in whole seconds
    command = [*(["chrt", "--rr", "1"] if settings.realtime else []), "taskset", "-c", str(settings.cpu), "iscsi-perf", "-m", str(m.queue_depth),
               "-b", str(m.io_size // BLOCK_BYTES), "-t", str(seconds), *(["-r"] if m.workload.startswith("rand") else []),
               url(m, settings)]
    target_before = process_seconds(settings.target_pid)
    cpus_before = cpu_seconds({settings.cpu, settings.target_cpu})
    output, cpu, passed = run(command)
    cpus = cpu_seconds({settings.cpu, settings.target_cpu}) - cpus_before
    target_after = process_seconds(settings.target_pid)
    iops = parse_iops(output)
    if not iops:
        raise Failed(f"iscsi-perf printed no average: {output.strip()[-200:]}")
    ios = iops * seconds
    target = None if target_before is None or target_after is None else target_after - target_before
    return percentiles(m, settings) | {
        "contender": "libiscsi", "wire": m.wire, "workload": m.workload, "io_size": m.io_size,
        "queue_depth": m.queue_depth, "sessions": 1, "workers": 1, "digests": m.digests, "memory": "plain", "lun": "null",
        "iops": iops, "mibps": round(iops * m.io_size / 2**20, 1), "avg_latency_us": round(m.queue_depth * 1e6 / iops, 2),
        "cpu_ns_per_io": round(cpu * 1e9 / ios, 1), "both_cpus_ns_per_io": round(cpus * 1e9 / ios, 1),
        "target_cpu_ns_per_io": None if target is None else round(target * 1e9 / ios, 1),
        "target_busy_share": None if target is None else round(min(1.0, target / passed), 3),
        "initiator_busy_share": round(min(1.0, cpu / passed), 3),
    }
