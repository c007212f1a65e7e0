"""What scripts/sim does once the programs are built."""

import argparse
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLANTED_SEEDS = 1000  # a planted bug is found within so many
CHUNK = 250  # seeds of one process
HITS_NEEDED_FROM = 500  # fewer seeds need not have met everything

sys.path.insert(0, str(ROOT / "scripts"))
import apply_mutant  # noqa: E402


class Pool:
    """Runs commands side by side; gives back (key, exit status, output) as they end."""

    def __init__(self, jobs):
        self.jobs = jobs
        self.running = {}

    def run(self, commands):
        commands = iter(commands)
        while True:
            while len(self.running) < self.jobs and (item := next(commands, None)) is not None:
                key, command = item
                output = tempfile.TemporaryFile("w+", errors="replace")
                self.running[key] = (subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT), output)
            if not self.running:
                return
            ended = [key for key, (process, _) in self.running.items() if process.poll() is not None]
            if not ended:
                time.sleep(0.01)
            for key in ended:
                process, output = self.running.pop(key)
                output.seek(0)
                yield key, process.returncode, output.read()

    def stop(self):
        for process, _ in self.running.values():
            process.kill()
            process.wait()
        self.running.clear()


def failed_seed(text, fallback):
    found = re.search(r"failed seed (\d+): (.*)", text)
    if not found:
        return fallback, text.strip()[-300:] or "no output"
    reason = found.group(2)
    asserted = re.search(r"pollux: internal error: .*", text)
    return int(found.group(1)), asserted.group(0) if asserted else reason


def replay(program, seed):
    """Runs one seed again with a capture; returns the file and what was said."""
    capture = pathlib.Path(f"sim-seed-{seed}.pcapng").absolute()
    done = subprocess.run(
        [program, "--first", str(seed), "--count", "1", "--verbose", "--pcapng", str(capture)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return capture, done


def run_seeds(program, first, count, jobs, quiet=False):
    """Returns (table, None) or (None, (seed, reason))."""
    ranges = ((s, [program, "--first", str(s), "--count", str(min(CHUNK, first + count - s))])
              for s in range(first, first + count, CHUNK))
    table = collections.OrderedDict()
    done = 0
    pool = Pool(jobs)
    try:
        for start, status, text in pool.run(ranges):
            if status != 0:
                return None, failed_seed(text, start)
            for line in text.splitlines():
                if line.startswith("hit "):
                    group, name, hits = line[4:].split("|")
                    table[group, name] = table.get((group, name), 0) + int(hits)
            done += min(CHUNK, first + count - start)
            if not quiet and sys.stdout.isatty():
                print(f"\r{done} of {count} seeds", end="", flush=True)
    finally:
        pool.stop()
    if not quiet and sys.stdout.isatty():
        print()
    return table, None


def seeds_command(options, program):
    start = time.monotonic()
    table, failure = run_seeds(program, options.first, options.seeds, options.jobs)
    if failure:
        seed, reason = failure
        capture, _ = replay(program, seed)
        print(f"seed {seed} failed: {reason}", file=sys.stderr)
        print(f"replay: scripts/sim --replay {seed}    (capture: {capture})", file=sys.stderr)
        return 1
    seconds = time.monotonic() - start
    group_before = None
    zero = []
    for (group, name), hits in table.items():
        if group != group_before:
            print(f"\n{group}")
            group_before = group
        print(f"  {name:45} {hits:>14,}")
        if hits == 0:
            zero.append(f"{group}: {name}")
    print(f"\n{options.seeds} seeds from {options.first} in {seconds:.1f} s: {options.seeds / seconds:.0f} seeds/s "
          f"in {options.jobs} processes, none failed")
    if zero and options.seeds >= HITS_NEEDED_FROM:
        print("never happened: " + "; ".join(zero), file=sys.stderr)
        return 1
    return 0


def replay_command(options, program):
    capture, done = replay(program, options.replay)
    print(done.stdout, end="")
    print(f"capture: {capture}")
    return done.returncode


def planted_command(options, _):
    """Each planted bug in a copy of the tree, until a seed finds it."""
    folder = ROOT / "tests/sim/planted"
    names = options.planted or sorted(path.stem for path in folder.glob("*.mutant"))
    missed = []
    with tempfile.TemporaryDirectory(prefix="pollux-planted.") as directory:
        tree = pathlib.Path(directory) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "build*", "*.pcapng"))
        build = tree / "build"
        subprocess.run(["meson", "setup", str(build), str(tree)], check=True, stdout=subprocess.DEVNULL)
        for name in names:
            mutant = apply_mutant.load(folder / f"{name}.mutant")
            before = apply_mutant.apply(mutant, tree)
            built = subprocess.run(["ninja", "-C", str(build), "tests/sim/tcp_seeds"], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, check=False)
            if built.returncode != 0:
                errors = [line for line in built.stdout.splitlines() if "error" in line]
                print(f"{name}: does not build: {errors[:1]}")
                missed.append(name)
            else:
                program = str(build / "tests/sim/tcp_seeds")
                found = find_planted(program)
                if found is None:
                    print(f"{name}: not found in {PLANTED_SEEDS} seeds")
                    missed.append(name)
                else:
                    print(f"{name}: found by seed {found[0]}: {found[1]}", flush=True)
            (tree / mutant.file).write_text(before)
    print(f"{len(names) - len(missed)} of {len(names)} planted bugs found")
    return 1 if missed else 0


def find_planted(program):
    """Seeds in order, so that the number says after how many it was found. A hang counts."""
    try:
        done = subprocess.run([program, "--first", "1", "--count", str(PLANTED_SEEDS)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return "?", "it does not end"
    return None if done.returncode == 0 else failed_seed(done.stdout, "?")


def main():
    parser = argparse.ArgumentParser(prog="scripts/sim")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--replay", type=int)
    parser.add_argument("--bulk", action="store_true")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--matrix", action="store_true")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--planted", nargs="*")
    options = parser.parse_args()
    program = str(pathlib.Path(options.build) / "tests/sim/tcp_seeds")
    bulk = str(pathlib.Path(options.build) / "tests/sim/tcp_bulk")
    if options.planted is not None:
        return planted_command(options, program)
    if options.replay is not None:
        return replay_command(options, program)
    if options.bulk:
        return subprocess.run([bulk, "--bulk", str(options.mib), str(options.seeds or 10)], check=False).returncode
    if options.matrix:
        matrix = str(ROOT / "tests/sim/throughput_matrix.txt")
        return subprocess.run([bulk, "--update" if options.update else "--matrix", matrix], check=False).returncode
    return seeds_command(options, program)


if __name__ == "__main__":
    sys.exit(main())
