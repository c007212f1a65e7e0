"""The measurements of scripts/bench: runs the contenders in turn, prints medians with their spread, writes JSON."""
import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys

TARGET = "iqn.2026-11.io.pollux:bench"
GOAL_BUSY_CYCLES = 2600  # of one 4 KiB read at depth 32: one million IOPS at 2.6 GHz


def run_pollux(depth, seconds, extra=()):
    out = subprocess.run(
        ["build/tests/bench/bench_pollux", "-q", str(depth), "-t", str(seconds), *extra],
        capture_output=True, text=True, timeout=120, check=False)
    if out.returncode != 0:
        sys.exit(f"bench_pollux failed: {out.stderr.strip() or out.stdout.strip()}")
    return json.loads(out.stdout)


def run_libiscsi(portal, depth, seconds):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(
        ["taskset", "-c", "0", "iscsi-perf", "-m", str(depth), "-b", "8", "-r", "-t", str(max(int(seconds), 1)),
         f"iscsi://{portal}/{TARGET}/1"],
        capture_output=True, text=True, timeout=120, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    averages = re.findall(r"iops average (\d+)", out.stdout + out.stderr)
    if not averages:
        sys.exit(f"iscsi-perf failed: {(out.stderr or out.stdout).strip()[-300:]}")
    iops = int(averages[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "contender": "libiscsi", "wire": "loopback", "workload": "randread", "io_size": 4096, "queue_depth": depth,
        "sessions": 1, "digests": "none", "iops": iops, "mibps": iops * 4096 / 2**20, "p50_latency_us": None,
        "p99_latency_us": None, "avg_latency_us": depth * 1e6 / iops,
        "cpu_ns_per_io": cpu * 1e9 / (iops * max(int(seconds), 1)), "busy_cycles_per_io": None,
        "copied_bytes_per_io": None,
    }


def median_of(runs):
    """One result with the median of each figure, and the spread of iops over the rounds."""
    result = dict(runs[0])
    for key, value in runs[0].items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            result[key] = statistics.median(run[key] for run in runs)
    iops = [run["iops"] for run in runs]
    result["iops_spread"] = (max(iops) - min(iops)) / result["iops"] if result["iops"] else 0
    result["rounds"] = len(runs)
    return result


def show(value, form):
    return "-" if value is None else format(value, form)


def print_table(results):
    print(f"{'contender':<10} {'wire':<24} {'depth':>5} {'digests':>7} {'memory':>7} {'IOPS':>10} {'spread':>7} "
          f"{'p50 us':>8} {'p99 us':>8} {'CPU ns/IO':>10} {'cycles/IO':>10} {'copied B':>9}")
    for r in results:
        print(f"{r['contender']:<10} {r['wire']:<24} {r['queue_depth']:>5.0f} {r['digests']:>7} "
              f"{r.get('memory', '-'):>7} {r['iops']:>10,.0f} {r['iops_spread']:>6.0%} "
              f"{show(r['p50_latency_us'], '.2f'):>8} {show(r['p99_latency_us'], '.2f'):>8} "
              f"{r['cpu_ns_per_io']:>10,.0f} {show(r['busy_cycles_per_io'], ',.0f'):>10} "
              f"{show(r['copied_bytes_per_io'], ',.0f'):>9}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--json")
    parser.add_argument("--portal")
    options = parser.parse_args()

    contenders = [
        ("pollux depth 32", lambda: run_pollux(32, options.seconds)),
        ("pollux depth 1", lambda: run_pollux(1, options.seconds)),
        ("pollux depth 32 lent", lambda: run_pollux(32, options.seconds, ["--memory", "lent"])),
        ("pollux depth 32 both digests", lambda: run_pollux(32, options.seconds, ["--digests", "both"])),
        ("pollux depth 32 software checksums", lambda: run_pollux(32, options.seconds, ["--software-checksums"])),
    ]
    if options.portal:
        contenders[1:1] = [("libiscsi depth 32", lambda: run_libiscsi(options.portal, 32, options.seconds))]
        contenders[3:3] = [("libiscsi depth 1", lambda: run_libiscsi(options.portal, 1, options.seconds))]
    runs = {name: [] for name, _ in contenders}
    for _ in range(options.rounds):
        for name, contender in contenders:
            runs[name].append(contender())
    results = [median_of(runs[name]) for name, _ in contenders]
    print_table(results)

    ours = results[0]
    met = ours["busy_cycles_per_io"] <= GOAL_BUSY_CYCLES
    print(f"\npollux, depth 32: {ours['busy_cycles_per_io']:,.0f} busy cycles per I/O, goal {GOAL_BUSY_CYCLES:,}: "
          f"{'met' if met else 'NOT met'}; the target's core was {ours['target_busy_share']:.0%} busy.")
    if ours["cpu_share"] < 0.95:
        print(f"The machine was busy with something else: the measuring thread had its CPU for {ours['cpu_share']:.0%} "
              "of the time, and cycles count what took it away. Measure again when it is quiet.")
    if options.portal:
        ratio = results[1]["cpu_ns_per_io"] / ours["cpu_ns_per_io"]
        print(f"libiscsi spends {ratio:.1f} times the CPU per I/O ({results[1]['cpu_ns_per_io']:,.0f} ns against "
              f"{ours['cpu_ns_per_io']:,.0f} ns).")
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        model = re.search(r"model name\s*:\s*(.*)", cpuinfo.read()).group(1)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            check=False).stdout.strip() or "unknown"
    print(f"{os.cpu_count()} CPUs, {model}, commit {commit}, medians of {options.rounds} round(s) of "
          f"{options.seconds:g} s, lun null, MTU 9000 on the ring.")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
