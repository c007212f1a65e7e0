"""The driver behind scripts/bench: measures in rounds, contender beside contender, and writes the report."""
import argparse
import json
import os
import re
import sys
import time
from pathlib import Path

from . import contenders, goals, machine, outside, page, plan, table
from .contenders import Failed
from .rows import complete, median_of, problems

LEVELS = {  # rounds, seconds, warm-up
    "smoke": (1, 0.1, 0.05),
    "quick": (1, 0.7, 0.2),
    "default": (3, 1.5, 0.4),
    "full": (3, 2.0, 0.5),
}


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--level", choices=LEVELS, default="default")
    parser.add_argument("--only", type=re.compile, help="measurements whose name this regular expression finds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--out", help="a folder; BUILD/bench without it")
    parser.add_argument("--json", help="the JSON report under this name as well")
    parser.add_argument("--build", default="build")
    parser.add_argument("--cpu", type=int, default=0)
    parser.add_argument("--target-cpu", type=int, default=1)
    parser.add_argument("--portal", help="of the target on loopback; libiscsi is left out without one")
    parser.add_argument("--target-name", default="iqn.2026-11.io.pollux:bench")
    parser.add_argument("--target-pid", type=int, default=0)
    parser.add_argument("--realtime", action="store_true", help="contenders before the other threads of their CPUs (root)")
    parser.add_argument("--list", action="store_true", help="the names of the measurements, and nothing else")
    options = parser.parse_args()
    rounds, seconds, warm_up = LEVELS[options.level]
    options.rounds = max(1, options.rounds or rounds)
    options.seconds = options.seconds or seconds
    options.warm_up = warm_up
    options.out = options.out or f"{options.build}/bench"
    options.quick = options.level in ("smoke", "quick")
    options.working_set = 64 * plan.MIB if options.level == "smoke" else machine.working_set_bytes()
    options.caller_cpu = 2 if (os.cpu_count() or 1) > 2 else options.target_cpu
    options.wants = lambda name: options.only is None or options.only.search(name) is not None
    options.failures = []
    return options


def measurements(options):
    found = {"smoke": lambda _: plan.smoke(), "quick": plan.quick, "default": plan.default,
             "full": plan.full}[options.level](options.working_set)
    if options.portal is None and not options.list:
        found = [m for m in found if m.contender != "libiscsi"]
    return [m for m in plan.unique(found) if options.wants(m.name)]


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def in_rounds(wanted, options):
    """Every measurement once a round, in turns, so that what slows the machine for a while slows all."""
    runs = {}
    for round_number in range(options.rounds):
        for number, measurement in enumerate(wanted):
            progress(f"round {round_number + 1} of {options.rounds}, {number + 1} of {len(wanted)}: {measurement.name}")
            try:
                for name, row in contenders.run(measurement, options):
                    runs.setdefault(name, []).append(row)
            except Failed as error:
                options.failures.append(str(error))
    return [complete(median_of(found), name) for name, found in runs.items()]


def outside_rows(options):
    """Programs that repeat by themselves run once; their names are only known when they have run."""
    rows = []
    groups = [] if options.level == "smoke" else outside.GROUPS.items()
    for group, measure in groups:
        progress(group)
        try:
            found = measure(options)
        except (Failed, OSError, ValueError, KeyError, AttributeError) as error:
            options.failures.append(f"{group}: {error}")
            continue
        rows += [complete(row, name) for name, row in found]
    return rows


def report_of(options, rows, about, seconds):
    return {
        "version": 1,
        "machine": about,
        "options": {key: getattr(options, key) for key in ("level", "rounds", "seconds", "warm_up", "cpu", "target_cpu",
                                                           "caller_cpu", "working_set", "realtime")},
        "seconds": round(seconds, 1),
        "goals": [goal.as_dict() for goal in goals.all_goals(rows)],
        "doubts": goals.doubts(rows),
        "failures": options.failures,
        "results": rows,
    }


def print_report(report, rows):
    for lines in (table.rows_text(rows), [table.LEGEND], table.ratios_text(rows)):
        print("\n".join(lines) + "\n" if lines else "")
    print("Goals:")
    print("\n".join(table.goals_text([goals.Goal(**goal) for goal in report["goals"]])))
    print()
    for line in report["doubts"] + [f"Failed: {words}" for words in report["failures"]]:
        print(line)
    print("\n".join(machine.lines(report["machine"], report["options"])))


def write_report(options, report):
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1) + "\n"
    (out / "report.json").write_text(text, encoding="utf-8")
    (out / "report.html").write_text(page.html(report), encoding="utf-8")
    if options.json:
        Path(options.json).write_text(text, encoding="utf-8")
    print(f"Report: {out / 'report.html'}, {out / 'report.json'}")


def main():
    options = arguments()
    wanted = measurements(options)
    if options.list:
        print("\n".join(m.name for m in wanted))
        return 0
    started = time.monotonic()
    about = machine.describe(".", options.build)
    rows = in_rounds(wanted, options) + outside_rows(options)
    progress("")
    report = report_of(options, rows, about, time.monotonic() - started)
    print_report(report, rows)
    write_report(options, report)
    broken = [f"{row['name']}: {problem}" for row in rows for problem in problems(row)]
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken or options.failures or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
