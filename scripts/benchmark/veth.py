#!/usr/bin/env python3
"""pollux and libiscsi over a veth pair against one and the same tgtd: IOPS, throughput, latency, who used which CPU.

    python3 scripts/benchmark/veth.py [--quick] [--rounds N] [--seconds S] [--build DIR] [--json FILE]

tgtd (null LUN) has CPU 1 and a network namespace; each contender in turn has CPU 0 and the other namespace: pollux on
net_af_xdp at the veth's other end, pollux on a net_tap whose kernel end lies in the target's namespace, libiscsi on
kernel TCP over the veth with offloads off and as they come. The frame size is the same for all of a comparison.
Target and contenders run before other threads of their CPUs (SCHED_FIFO); the kernel leaves those 5 %. Without it a busy
machine shows the scheduler's slices of 4 ms instead of the contenders.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KIB = 1024
INITIATOR_CPU = 0
TARGET_CPU = 1
TAP_TARGET_ADDRESS = "10.99.1.1"
TAP_POLLUX_ADDRESS = "10.99.1.2"
COMMON_MTU = 1500
# More than this net_af_xdp does not take: chunk, headroom and mbuf share a page.
LARGEST_XDP_MTU = 3328
OFFLOADS = {"tx-checksumming": "tx", "rx-checksumming": "rx", "scatter-gather": "sg",
            "tcp-segmentation-offload": "tso", "generic-segmentation-offload": "gso",
            "generic-receive-offload": "gro"}
# What SCHED_FIFO can have of a CPU that others want too, and the share of that from which on a target is saturated.
FIFO_SHARE = 0.95
SATURATED = 0.95
PROGRAM_SECONDS_MOST = 60


class VethError(Exception):
    """One sentence about why there is nothing to measure."""


@dataclass(frozen=True)
class Workload:
    name: str
    io_size: int
    depth: int


@dataclass(frozen=True)
class Contender:
    name: str
    wire: str
    mtu: int
    offloads: str  # "off" or "default"
    program: str


WORKLOADS = [
    Workload("randread", 4 * KIB, 1), Workload("randread", 4 * KIB, 32), Workload("randread", 4 * KIB, 128),
    Workload("randwrite", 4 * KIB, 32), Workload("read", 128 * KIB, 8), Workload("read", 1024 * KIB, 4),
    Workload("write", 128 * KIB, 8),
]
QUICK_WORKLOADS = [WORKLOADS[0], WORKLOADS[1], WORKLOADS[4]]


def contenders(mtu):
    found = [Contender("pollux", "veth-af_xdp", mtu, "off", "bench_pollux")]
    if mtu == COMMON_MTU:
        found.append(Contender("pollux", "veth-tap", mtu, "off", "bench_pollux"))
    for offloads in ("off", "default"):
        found.append(Contender("libiscsi", "veth", mtu, offloads, "libiscsi_latency"))
        if mtu == COMMON_MTU:
            found.append(Contender("iscsi-perf", "veth", mtu, offloads, "iscsi-perf"))
    return found


def run(*command, check=True):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=PROGRAM_SECONDS_MOST,
                          check=False)
    if check and done.returncode != 0:
        raise VethError(f"'{' '.join(str(part) for part in command)}' failed: {done.stderr.strip()[-300:]}")
    return done.stdout


class Wire:
    """The namespaces, the veth pair and tgtd, as long as the `with` lasts; root only."""

    def __enter__(self):
        self.rig = subprocess.Popen([ROOT / "scripts/benchmark/veth_rig", str(TARGET_CPU)], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.values = {}
        for line in self.rig.stdout:
            if line.strip() == "ready":
                break
            name, _, value = line.strip().partition("=")
            self.values[name] = value
        else:
            self.rig.wait()
            raise VethError(f"no veth pair with a target: {self.rig.stderr.read().strip()[-300:]}")
        self.ends = [(self["TARGET_NETNS"], self["TARGET_INTERFACE"]),
                     (self["INITIATOR_NETNS"], self["INITIATOR_INTERFACE"])]
        self.default_offloads = {end: self.read_offloads(*end) for end in self.ends}
        return self

    def __exit__(self, *_):
        # The end of its input is what ends it, also when this program is killed.
        self.rig.stdin.close()
        self.rig.wait(timeout=30)

    def __getitem__(self, name):
        return self.values[name]

    @staticmethod
    def read_offloads(netns, interface):
        lines = run("ip", "netns", "exec", netns, "ethtool", "-k", interface).splitlines()
        return {OFFLOADS[name]: value.strip() for name, _, value in (line.partition(":") for line in lines)
                if name in OFFLOADS and "fixed" not in value}

    def set_offloads(self, wanted):
        for end in self.ends:
            values = self.default_offloads[end]
            words = [word for name, value in values.items() for word in (name, "off" if wanted == "off" else value)]
            run("ip", "netns", "exec", end[0], "ethtool", "-K", end[1], *words)

    def set_mtu(self, mtu):
        for netns, interface in self.ends:
            run("ip", "-n", netns, "link", "set", interface, "mtu", mtu)

    def joined_tap(self, process):
        """Gives the kernel's end of pollux's tap its address as soon as the driver has made it."""
        netns, tap = self["TARGET_NETNS"], self["TAP"]
        for _ in range(1000):
            if subprocess.run(["ip", "-n", netns, "address", "add", f"{TAP_TARGET_ADDRESS}/24", "dev", tap],
                              capture_output=True, check=False).returncode == 0:
                run("ip", "-n", netns, "link", "set", tap, "up")
                return
            if process.poll() is not None:
                return
            time.sleep(0.005)


def load_arguments(wire, workload, seconds, portal):
    return ["--portal", portal, "--target-name", wire["TARGET_NAME"], "--target-lun", "1", "--target-pid",
            wire["TARGET_PID"], "--cpu", str(INITIATOR_CPU), "-w", workload.name, "-o", str(workload.io_size), "-q",
            str(workload.depth), "-t", str(seconds), "--realtime"]


def start(netns, command):
    return subprocess.Popen(["ip", "netns", "exec", netns, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, start_new_session=True)


def finish(process):
    try:
        out, err = process.communicate(timeout=PROGRAM_SECONDS_MOST)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise VethError("a contender did not end") from None
    if process.returncode != 0:
        words = [line for line in err.splitlines() if not line.startswith("lib")]
        raise VethError(f"a contender failed: {' '.join(words)[-300:] or out.strip()[-300:]}")
    return out


def run_pollux(build, wire, contender, workload, seconds):
    tap = contender.wire == "veth-tap"
    # A tap's kernel end appears where its maker lives: the target's namespace, one hop away like the veth.
    netns = wire["TARGET_NETNS"] if tap else wire["INITIATOR_NETNS"]
    device = f"net_tap0,iface={wire['TAP']}" if tap else f"net_af_xdp0,iface={wire['INITIATOR_INTERFACE']}"
    address = TAP_POLLUX_ADDRESS if tap else wire["POLLUX_ADDRESS"]
    portal = TAP_TARGET_ADDRESS if tap else wire["TARGET_ADDRESS"]
    process = start(netns, [str(build / "tests/bench/bench_pollux"), "--port",
                            f"device={device} address={address}/24 mtu={contender.mtu}",
                            *load_arguments(wire, workload, seconds, portal)])
    if tap:
        wire.joined_tap(process)
    row = json.loads(finish(process))
    # Busy turns hold the driver's system calls, and the softirqs that run on top of them. They are measured in time that
    # passes; libiscsi's in time on a CPU: what others had of it is taken off.
    row["cpu_ns_per_io"] = row["cpu_ns_per_io"] * min(row["cpu_share"], 1) + row["softirq_threads_ns_per_io"]
    return row


def run_libiscsi(build, wire, contender, workload, seconds):
    row = json.loads(finish(start(wire["INITIATOR_NETNS"], [
        str(build / "tests/bench/libiscsi_latency"), *load_arguments(wire, workload, seconds, wire["TARGET_ADDRESS"])])))
    row["cpu_ns_per_io"] += row["softirq_threads_ns_per_io"]
    return row


def run_iscsi_perf(_build, wire, contender, workload, seconds):
    whole = max(1, round(seconds))
    started = time.monotonic()
    process = start(wire["INITIATOR_NETNS"], [
        "taskset", "-c", str(INITIATOR_CPU), "chrt", "--fifo", "1", "iscsi-perf", "-m", str(workload.depth), "-b",
        str(workload.io_size // 512), *(["-r"] if workload.name == "randread" else []), "-t", str(whole),
        f"iscsi://{wire['TARGET_ADDRESS']}/{wire['TARGET_NAME']}/1"])
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    averages = re.findall(r"iops average (\d+)", out + err)
    if not averages or time.monotonic() - started > PROGRAM_SECONDS_MOST:
        raise VethError(f"iscsi-perf failed: {(err or out).strip()[-200:]}")
    iops = int(averages[-1])
    return {"iops": iops, "mibps": iops * workload.io_size / 2**20, "p50_latency_us": None, "p99_latency_us": None,
            "avg_latency_us": workload.depth * 1e6 / iops,
            "cpu_ns_per_io": (usage.ru_utime + usage.ru_stime) * 1e9 / (iops * whole)}


RUNNERS = {"bench_pollux": run_pollux, "libiscsi_latency": run_libiscsi, "iscsi-perf": run_iscsi_perf}


def measure_once(build, wire, contender, workload, seconds):
    row = RUNNERS[contender.program](build, wire, contender, workload, seconds)
    share = row.get("target_cpu_share")
    row["target_busy_share"] = None if share is None else min(1.0, share / FIFO_SHARE)
    return row | {"contender": contender.name, "wire": contender.wire, "offloads": contender.offloads,
                  "mtu": contender.mtu, "workload": workload.name, "io_size": workload.io_size,
                  "queue_depth": workload.depth, "sessions": 1, "digests": "none", "lun": "null",
                  "rig": wire["TARGET_NETNS"].rpartition("-")[2]}


def median_of(runs):
    """Medians of all figures; `spread` holds the least and the most of those that are compared."""
    row = dict(runs[0])
    for key, value in runs[0].items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            row[key] = statistics.median(run[key] for run in runs)
    row["spread"] = {key: [min(run[key] for run in runs), max(run[key] for run in runs)]
                     for key in ("iops", "p50_latency_us", "p99_latency_us", "cpu_ns_per_io") if row[key] is not None}
    return row | {"rounds": len(runs)}


def plan(quick):
    workloads = QUICK_WORKLOADS if quick else WORKLOADS
    for mtu in (COMMON_MTU,) if quick else (COMMON_MTU, LARGEST_XDP_MTU):
        for contender in contenders(mtu):
            for workload in workloads:
                if contender.program != "iscsi-perf" or workload.name == "randread":
                    yield contender, workload


def measure(options):
    """Rows in the field names of scripts/bench, one per contender and workload, medians of options.rounds rounds.

    Of `options`: rounds, seconds, quick, and build (the build directory; optional). Root only. Raises VethError.
    """
    if os.geteuid() != 0:
        raise VethError("network namespaces take root")
    build = Path(getattr(options, "build", None) or ROOT / "build")
    runs = {}
    with Wire() as wire:
        for _ in range(options.rounds):
            # A contender's workloads in a row, contenders in turns: each round meets the machine anew.
            for contender, workload in plan(options.quick):
                wire.set_mtu(contender.mtu)
                wire.set_offloads(contender.offloads)
                runs.setdefault((contender, workload), []).append(
                    measure_once(build, wire, contender, workload, options.seconds))
    return [median_of(of_one) for of_one in runs.values()]


def rival(row, rows, offloads):
    """libiscsi's row for the same work and frame size."""
    same = ("mtu", "workload", "io_size", "queue_depth")
    return next((r for r in rows if r["contender"] == "libiscsi" and r["offloads"] == offloads and
                 all(r[key] == row[key] for key in same)), None)


def verdict(row, other):
    """DESIGN section 6: twice the IOPS, or the target saturated and half of the CPU per I/O; at depth 1 the p99."""
    if row["queue_depth"] == 1:
        return row["p99_latency_us"] <= other["p99_latency_us"]
    return row["iops"] >= 2 * other["iops"] or (
        row["target_busy_share"] >= SATURATED and row["cpu_ns_per_io"] <= other["cpu_ns_per_io"] / 2)


def show(value, form):
    return "-" if value is None else format(value, form)


def print_table(rows):
    print(f"{'contender':<11}{'wire':<12}{'offloads':<9}{'MTU':>5} {'work':<10}{'size':>8}{'depth':>6}{'IOPS':>9}"
          f"{'least':>9}{'most':>9}{'MiB/s':>8}{'p50 us':>9}{'p99 us':>9}{'CPU ns/IO':>11}{'target ns':>10}"
          f"{'target':>7}{'cpu0':>6}{'cpu1':>6}{'sent/IO':>8}")
    for r in rows:
        least, most = r["spread"]["iops"]
        print(f"{r['contender']:<11}{r['wire']:<12}{r['offloads']:<9}{r['mtu']:>5} {r['workload']:<10}{r['io_size']:>8}"
              f"{r['queue_depth']:>6}{r['iops']:>9,.0f}{least:>9,.0f}{most:>9,.0f}{r['mibps']:>8,.0f}"
              f"{show(r['p50_latency_us'], '.1f'):>9}{show(r['p99_latency_us'], '.1f'):>9}{r['cpu_ns_per_io']:>11,.0f}"
              f"{show(r.get('target_cpu_ns_per_io'), ',.0f'):>10}{show(r.get('target_cpu_share'), '.0%'):>7}"
              f"{show(r.get('cpu0_busy'), '.0%'):>6}{show(r.get('cpu1_busy'), '.0%'):>6}"
              f"{show(r.get('frames_sent_per_io'), '.2f'):>8}")


def print_ratios(rows):
    print("\npollux beside libiscsi: IOPS (goal 2x), CPU per I/O (goal 0.5x with the target saturated), p99 at depth 1")
    for row in rows:
        for offloads in ("off", "default"):
            other = rival(row, rows, offloads) if row["contender"] == "pollux" else None
            if other is None:
                continue
            print(f"{row['wire']:<12}{row['mtu']:>5} {row['workload']:<10}{row['io_size']:>8}{row['queue_depth']:>6}"
                  f"  offloads {offloads:<8} {row['iops'] / other['iops']:5.2f}x IOPS"
                  f" {row['cpu_ns_per_io'] / other['cpu_ns_per_io']:5.2f}x CPU"
                  f" {row['p99_latency_us'] / other['p99_latency_us']:5.2f}x p99  target {row['target_cpu_share']:4.0%}"
                  f"  {'met' if verdict(row, other) else 'NOT met'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one frame size, few workloads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--build", help="the build directory, ./build unless told")
    parser.add_argument("--json", help="a file for the rows")
    options = parser.parse_args()
    try:
        rows = measure(options)
    except VethError as error:
        sys.exit(f"veth: {error}")
    print_table(rows)
    print_ratios(rows)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
