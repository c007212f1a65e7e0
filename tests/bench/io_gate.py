#!/usr/bin/env python3
"""The gate that noise cannot move: what one command costs in segments, buffers, bursts, bytes touched and
instructions, counted exactly by io_counts and compared with the table beside this file.

    tests/bench/io_gate.py PROGRAM [--table FILE] [--update]

Instructions and memory accesses are callgrind's, so they do not depend on the machine or its load; they do depend on
the compiler, so a change of that needs --update too. More of them than the table by over 1 % fail, and so do fewer by
over 3 %: then the table is out of date. All else must agree to a thousandth, which is what is under way when the
counting starts and when it ends."""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib

EXACT = ("turns", "frames_received", "frames_sent", "receive_bursts", "transmit_bursts", "buffers", "copied_bytes",
         "digested_bytes", "sent_bytes")
COUNTED = {"turn": "measured_turn", "calls": "measured_calls"}
EVENTS = {"Ir": "instructions", "Dr": "loads", "Dw": "stores"}
MORE, LESS = 0.01, 0.03
APART = 0.001
IOS = 2048


def inclusive(path):
    """What callgrind has seen inside each of COUNTED, by event: summed over the calls that its file lists."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    events = re.search(r"^events: (.*)$", text, re.M).group(1).split()
    # Names are written in full once and by number from then on.
    numbers = {number: name for number, name in re.findall(r"^c?fn=\((\d+)\) (.+)$", text, re.M)}
    sums = {what: dict.fromkeys(EVENTS, 0) for what in COUNTED}
    callee = None
    lines = iter(text.splitlines())
    for line in lines:
        if match := re.match(r"cfn=\((\d+)\)", line):
            callee = numbers[match.group(1)]
        elif line.startswith("calls="):
            costs = next(lines).split()[1:]
            for what, name in COUNTED.items():
                if name in callee:
                    for event, cost in zip(events, costs):
                        if event in EVENTS:
                            sums[what][event] += int(cost)
    return sums


def run(program, digests, rows):
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "counts")
        # Polling threads would otherwise keep the control thread from its turn while it logs in.
        command = ["valgrind", "--tool=callgrind", "--fair-sched=yes", "--cache-sim=yes", "--collect-atstart=no",
                   *(f"--toggle-collect=*{name}*" for name in COUNTED.values()), f"--callgrind-out-file={out}",
                   program, "--digests", digests, "--ios", str(IOS), "--warm-up", "1024"]
        for row in rows:
            command += ["--row", row]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            sys.exit(f"io_gate: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        printed = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if [row["row"] for row in printed] != rows:
            sys.exit(f"io_gate: io_counts printed {len(printed)} rows, not {len(rows)}")
        results = []
        for number, row in enumerate(printed, 1):
            counts = {name: row[name] for name in EXACT}
            for what, sums in inclusive(f"{out}.{number}").items():
                for event, cost in sums.items():
                    counts[f"{what}_{EVENTS[event]}"] = round(cost / row["ios"], 1)
            results.append(counts)
        return results


def differences(kept, counted):
    """Sentences; none when the row is as it was."""
    for name, value in counted.items():
        was = kept.get(name)
        if was is None:
            yield f"{name} is not in the table: run with --update"
        elif name in EXACT:
            if abs(value - was) > APART * max(value, was):
                yield f"{name} was {was:g}, is {value:g}"
        elif value > was * (1 + MORE):
            yield f"{name} rose from {was:g} to {value:g} ({value / was - 1:+.1%})"
        elif value < was * (1 - LESS):
            yield f"{name} fell from {was:g} to {value:g} ({value / was - 1:+.1%}): keep it with --update"


def write(path, table):
    with open(path, encoding="utf-8") as file:
        heading = "".join(line for line in file if line.startswith("#"))
    with open(path, "w", encoding="utf-8") as file:
        file.write(heading)
        for row in table:
            file.write("\n[[row]]\n")
            for name, value in row.items():
                file.write(f'{name} = {json.dumps(value)}\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--table", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "io_counts.toml"))
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    with open(options.table, "rb") as file:
        table = tomllib.load(file)["row"]
    wrong = 0
    for digests in dict.fromkeys(row["digests"] for row in table):
        rows = [row for row in table if row["digests"] == digests]
        for row, counted in zip(rows, run(options.program, digests, [row["command"] for row in rows])):
            shown = ", ".join(f"{name} {value:g}" for name, value in counted.items())
            print(f"{row['command']}, digests {digests}: {shown}")
            for sentence in () if options.update else differences(row, counted):
                print(f"    {sentence}")
                wrong += 1
            row.update(counted)
    if options.update:
        write(options.table, table)
        print(f"{options.table} is up to date.")
    elif wrong:
        print(f"{wrong} figure(s) differ. If that is meant, run again with --update and say why in the commit.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
