"""Measurements that other programs of the tree make as a whole: veth wires, many sessions, command ring, tests.

What is not there is left out; its goals then read "not measured".
"""
import importlib
import json
import os
import re
import subprocess
from pathlib import Path

from . import contenders
from .contenders import Failed
from .plan import size_word

SCALE_MEASURES = ("scale_cycles", "memory_per_connection", "fairness", "two_workers")
RING_LATENCY = re.compile(r"p50 ([\d.]+) us, p99 ([\d.]+) us")
RING_RATE = re.compile(r"([\d.]+) commands per second")
# What the goals about the data path call for: names of tests of scripts/test.
TESTS = {"steady_state": re.compile(r"^steady state"), "exact_counts": re.compile(r"^(tcp_counts|io_counts|io counts)")}


def veth(settings):
    """Rows of scripts/benchmark/veth.py."""
    try:
        module = importlib.import_module("benchmark.veth")
    except ModuleNotFoundError:
        return []
    if os.geteuid() != 0 or not (settings.only is None or settings.only.search("veth")):
        return []
    try:
        return [(row_name(row), row) for row in module.measure(settings)]
    except module.VethError as error:
        raise Failed(str(error)) from None


def row_name(row):
    parts = [row["contender"], row["wire"], row["workload"], size_word(row["io_size"]), f"q{row['queue_depth']}"]
    parts += [f"mtu{row['mtu']}"] if row.get("mtu") else []
    parts += [f"offloads-{row['offloads']}"] if row.get("offloads") and row["contender"] != "pollux" else []
    return "/".join(parts)


def lines_of_json(output):
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def scale(settings):
    """Rows of the program for many sessions and two workers."""
    program = Path(settings.build) / "tests/bench/scale"
    if not program.exists():
        return []
    rows = []
    for measure in SCALE_MEASURES:
        name = f"scale/{measure}"
        if not settings.wants(name):
            continue
        command = [str(program), measure, "--cpu", str(settings.cpu), "--target-cpu", str(settings.target_cpu)]
        try:
            found = lines_of_json(contenders.run_program(command + (["--short"] if settings.quick else []), name))
        except Failed as error:
            settings.failures.append(str(error))
            continue
        rows += [(f"{name}/{detail(row)}", {"wire": "ring", "workload": measure, "digests": "none"} | row) for row in found]
    return rows


def detail(row):
    words = [str(row[key]) for key in ("case",) if row.get(key)]
    words += [f"{row['sessions']:,}-sessions"] if row.get("sessions") else []
    words += [f"q{row['queue_depth']}"] if row.get("queue_depth") else []
    words += [row["compared"].replace(" ", "-")] if row.get("compared") else []
    words += [row["contender"]] if row.get("measure") == "two_workers" else []
    return "/".join(words) or "all"


def command_ring(settings):
    """A hot client of the command ring, on a CPU of its own and on the service's."""
    program = Path(settings.build) / "tests/unit/ring/ring_latency"
    if not program.exists():
        return []
    rows = []
    for cpus, word in ((f"{settings.cpu},{settings.target_cpu}", "two"), (str(settings.cpu), "one")):
        name = f"command-ring/{word}-cpu{'s' if word == 'two' else ''}"
        if not settings.wants(name):
            continue
        try:
            output = contenders.run_program(["taskset", "-c", cpus, str(program)], name)
        except Failed as error:
            settings.failures.append(str(error))
            continue
        latency, rate = RING_LATENCY.search(output), RING_RATE.search(output)
        rows.append((name, {
            "contender": "pollux", "measure": "command_ring", "cpus": word, "wire": "command-ring", "workload": "smallest",
            "digests": "none", "iops": float(rate.group(1)), "p50_latency_us": float(latency.group(1)),
            "p99_latency_us": float(latency.group(2)), "queue_depth": 16,
        }))
    return rows


def tests(settings):
    """Whether the tests that assert the steady state and the exact counts pass, as far as they are built."""
    listed = json.loads((Path(settings.build) / "meson-info/intro-tests.json").read_text(encoding="utf-8"))
    names = [test["name"] for test in listed if Path(test["cmd"][0]).exists()]
    rows = []
    for measure, pattern in TESTS.items():
        wanted = [name for name in names if pattern.match(name)]
        if not wanted or not settings.wants(f"tests/{measure}"):
            continue
        passed = [name for name in wanted if run_test(settings, name)]
        rows.append((f"tests/{measure}", {
            "contender": "pollux", "measure": measure, "wire": "none", "workload": "tests", "digests": "none",
            "tests": len(wanted), "passed": len(passed), "names": wanted,
        }))
    return rows


def run_test(settings, name):
    done = subprocess.run(["meson", "test", "-C", settings.build, "--no-rebuild", name], capture_output=True, text=True,
                          timeout=300, check=False)
    return done.returncode == 0


GROUPS = {"veth": veth, "scale": scale, "command-ring": command_ring, "tests": tests}
