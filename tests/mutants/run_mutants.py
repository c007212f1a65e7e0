"""What scripts/mutate does: applies each mutant to a copy of the tree, rebuilds, runs the tests of its checks."""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests/mutants"
SELF_TEST = "tiny_mss_believed"  # what --self-test takes the file and the check from
TEST_SECONDS = 30  # the tests of one check take a second or two: whoever needs this long hangs
TEST_NAME = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*((?:C\d+_)+\w+)\)", re.MULTILINE)
SUITES = ["script", "unit", "sim"]  # in the order of what they cost
COPIED_OBJECTS = ["meson-info", "meson-private", "dataplane", "tests/support", "tests/script/tcp", "tests/unit/net"]

sys.path.insert(0, str(ROOT / "scripts"))
import apply_mutant  # noqa: E402


class Children:
    """Programs under way, so that none outlives this one."""

    def __init__(self):
        self.lock = threading.Lock()
        self.running = set()

    def run(self, command, timeout=None):
        """Returns (exit status, output); a status of None: the time was up."""
        with self.lock:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True, errors="replace")
            self.running.add(child)
        try:
            output, _ = child.communicate(timeout=timeout)
            return child.returncode, output
        except subprocess.TimeoutExpired:
            child.kill()
            output, _ = child.communicate()
            return None, output
        finally:
            with self.lock:
                self.running.discard(child)

    def stop(self, *_):
        for child in list(self.running):
            child.terminate()
        os._exit(143)


CHILDREN = Children()


@dataclasses.dataclass
class Program:
    """A test program and the names of those of its tests that prove checks."""

    target: str
    suite: str
    tests: dict  # check -> [gtest filters]


def tests_of(sources):
    """The tests with ids in these files: check -> filters."""
    tests = {}
    for source in sources:
        for suite, name in TEST_NAME.findall(source.read_text(errors="replace")):
            for number in re.findall(r"C(\d+)_", re.match(r"(?:C\d+_)+", name).group(0)):
                tests.setdefault(f"C-{int(number):02}", []).append(f"{suite}.{name}:*/{suite}.{name}/*")
    return tests


def known_checks():
    return set(tests_of((ROOT / "tests").rglob("*.cpp")))


def load_all():
    mutants = [apply_mutant.load(path) for path in FOLDER.glob("*.mutant")]
    # Mutants of one file follow each other, so that it is compiled once for each; headers, which cost most, last.
    return sorted(mutants, key=lambda mutant: (mutant.file.endswith(".hpp"), mutant.file, mutant.name))


def misfits(mutants):
    """Sentences about mutants that cannot be what they claim to be."""
    checks = known_checks()
    for mutant in mutants:
        try:
            apply_mutant.changed_text(mutant, (ROOT / mutant.file).read_text())
        except (apply_mutant.MutantError, OSError) as error:
            yield str(error)
        if not mutant.checks:
            yield f"{mutant.name}: it names no check"
        for check in mutant.checks:
            if check not in checks:
                yield f"{mutant.name}: no test carries the id of {check}"


class Tree:
    """One copy of the sources with its build directory."""

    def __init__(self, path, objects):
        self.path = path
        self.build = path / "build"
        shutil.copytree(ROOT, path, symlinks=True,
                        ignore=shutil.ignore_patterns(".git", "build*", "*.pcapng", "__pycache__"))
        if objects:
            # The commands in it name files relative to it, so it works wherever it lies beside its sources.
            # What is left out is made again when it is needed after all.
            self.build.mkdir()
            for name in os.listdir(objects):
                if (pathlib.Path(objects) / name).is_file():
                    shutil.copy2(pathlib.Path(objects) / name, self.build)
            for name in COPIED_OBJECTS:
                if (pathlib.Path(objects) / name).is_dir():
                    shutil.copytree(pathlib.Path(objects) / name, self.build / name, symlinks=True)
        else:
            options = ["-Doptimization=0", "-Ddebug=false"]
            status, text = CHILDREN.run(["meson", "setup", str(self.build), str(path), *options])
            if status != 0:
                raise SystemExit(f"meson setup failed:\n{text[-2000:]}")
        self.programs = self.find_programs()

    def find_programs(self):
        def introspect(what):
            done = subprocess.run(["meson", "introspect", str(self.build), what], capture_output=True, text=True,
                                  check=True)
            return json.loads(done.stdout)

        def relative(path):
            # Objects of another directory were configured there.
            return pathlib.Path(path).resolve().relative_to(self.configured_in)

        info = json.loads((self.build / "meson-info/meson-info.json").read_text())
        self.configured_in = pathlib.Path(info["directories"]["source"]).resolve()
        configured_build = pathlib.Path(info["directories"]["build"]).resolve()
        suites = {}
        for test in introspect("--tests"):
            suite = next((name for name in SUITES if any(s.endswith(name) for s in test["suite"])), None)
            if suite and test["protocol"] == "gtest":
                suites[test["cmd"][0]] = suite
        programs = []
        for target in introspect("--targets"):
            suite = suites.get(target["filename"][0])
            if target["type"] != "executable" or suite is None:
                continue
            sources = [self.path / relative(source) for part in target["target_sources"]
                       for source in part.get("sources", [])]
            tests = tests_of(sources)
            if tests:
                name = str(pathlib.Path(target["filename"][0]).resolve().relative_to(configured_build))
                programs.append(Program(name, suite, tests))
        return sorted(programs, key=lambda program: SUITES.index(program.suite))

    def programs_for(self, checks):
        """[(program, filter)] with tests for any of the checks, the cheapest first."""
        found = []
        for program in self.programs:
            filters = [name for check in checks for name in program.tests.get(check, [])]
            if filters:
                found.append((program, ":".join(dict.fromkeys(filters))))
        return found

    def make(self, program):
        return CHILDREN.run(["ninja", "-C", str(self.build), "-j", "1", program.target])

    def run_tests(self, program, names):
        """Returns (verdict, detail): passed, failed, crashed, hung or none."""
        status, text = CHILDREN.run([str(self.build / program.target), f"--gtest_filter={names}", "--gtest_fail_fast",
                                     "--gtest_color=no"], TEST_SECONDS)
        last = ([""] + re.findall(r"^\[ RUN      \] (\S+)", text, re.MULTILINE))[-1]
        failed = re.search(r"^\[  FAILED  \] ([^\s,]+)", text, re.MULTILINE)
        if status is None:
            return "hung", last
        if failed:
            return "failed", failed.group(1)
        if status != 0:
            return "crashed", last
        if not re.search(r"^\[  PASSED  \] [1-9]", text, re.MULTILINE):
            return "none", ""
        return "passed", ""


def try_mutant(tree, mutant):
    """Returns (killed, verdict, detail)."""
    before = apply_mutant.apply(mutant, tree.path)
    try:
        # The first program to notice ends it, so expensive ones are built only when cheap ones do not.
        for program, names in tree.programs_for(mutant.checks):
            status, text = tree.make(program)
            if status != 0:
                error = re.search(r".*(?:error: |undefined reference).*", text)
                return False, "does not build", error.group(0) if error else text[-200:]
            verdict, detail = tree.run_tests(program, names)
            if verdict == "none":
                return False, "no test ran", program.target
            if verdict != "passed":
                return True, verdict, detail
        return False, "SURVIVED", ""
    finally:
        (tree.path / mutant.file).write_text(before)


def baseline(tree, mutants):
    """Builds the first program of each mutant and runs its tests on the code as it is."""
    wanted = {}
    for mutant in mutants:
        for program, names in tree.programs_for(mutant.checks)[:1]:
            wanted.setdefault(program.target, (program, set()))[1].update(names.split(":"))
    for program, names in wanted.values():
        status, text = CHILDREN.run(["ninja", "-C", str(tree.build), program.target])
        if status != 0:
            raise SystemExit(f"The code does not build as it is:\n{text[-3000:]}")
        verdict, detail = tree.run_tests(program, ":".join(sorted(names)))
        if verdict != "passed":
            raise SystemExit(f"The tests do not pass on the code as it is: {verdict} {detail}")


def run(options, mutants):
    """Tries each and prints a table. Returns those that were not killed, with why."""
    jobs = max(1, min(options.jobs, len(mutants)))
    started = time.monotonic()
    trees = queue.SimpleQueue()
    # Neighbours in the list share a file: each copy takes a run of them.
    shares = [mutants[len(mutants) * j // jobs:len(mutants) * (j + 1) // jobs] for j in range(jobs)]
    for number in range(jobs):
        tree = Tree(pathlib.Path(options.directory) / f"tree{number}", options.objects)
        baseline(tree, mutants)
        trees.put(tree)
    print(f"ready after {time.monotonic() - started:.0f} s", flush=True)
    lock = threading.Lock()
    survivors = []

    def work(share):
        tree = trees.get()
        for mutant in share:
            begun = time.monotonic()
            killed, verdict, detail = try_mutant(tree, mutant)
            with lock:
                print(f"{mutant.name:40} {','.join(mutant.checks):12} {verdict:8} "
                      f"{time.monotonic() - begun:5.1f} s  {detail}", flush=True)
                if not killed:
                    survivors.append((mutant, verdict, detail))

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(work, share) for share in shares]:
            done.result()
    seconds = time.monotonic() - started
    print(f"\n{len(mutants)} mutants, {len(mutants) - len(survivors)} killed, {len(survivors)} not, in {seconds:.0f} s")
    return survivors


def self_test(options, mutants):
    """A change without effect must survive, and one that does not build must not count as killed. Tries others too."""
    mutant = apply_mutant.load(FOLDER / f"{SELF_TEST}.mutant")
    same = dataclasses.replace(mutant, name="changes_nothing", new=mutant.old)
    broken = dataclasses.replace(mutant, name="does_not_build", new=["} broken ("])
    verdicts = {found.name: verdict for found, verdict, _ in run(options, [same, broken, *mutants])}
    expected = {same.name: "SURVIVED", broken.name: "does not build"}
    if verdicts != expected:
        print(f"expected {expected}, found {verdicts}", file=sys.stderr)
        return 1
    print("as expected")
    return 0


def sampled(mutants, count):
    """`count` of them, spread evenly over what costs little: mutants of headers rebuild too much."""
    cheap = [mutant for mutant in mutants if not mutant.file.endswith(".hpp")]
    return [cheap[len(cheap) * i // count] for i in range(min(count, len(cheap)))]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--directory")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--objects")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, CHILDREN.stop)
    signal.signal(signal.SIGINT, CHILDREN.stop)
    mutants = load_all()
    problems = list(misfits(mutants))
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems or options.check:
        print(f"{len(mutants)} mutants of {len({c for m in mutants for c in m.checks})} checks, {len(problems)} misfits")
        return 1 if problems else 0
    if options.names:
        unknown = set(options.names) - {mutant.name for mutant in mutants}
        if unknown:
            print(f"no such mutant: {', '.join(sorted(unknown))}", file=sys.stderr)
            return 2
        mutants = [mutant for mutant in mutants if mutant.name in options.names]
    if options.sample:
        mutants = sampled(mutants, options.sample)
    if options.self_test:
        return self_test(options, mutants if options.sample or options.names else [])
    survivors = run(options, mutants)
    for mutant, verdict, detail in survivors:
        print(f"{verdict}: {mutant.name} ({', '.join(mutant.checks)}) {detail}", file=sys.stderr)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
