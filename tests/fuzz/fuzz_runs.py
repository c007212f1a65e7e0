#!/usr/bin/env python3
"""What scripts/fuzz does beside fuzzing: keeps a small corpus, measures what it covers, looks for planted bugs."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/fuzz/corpus"
KEPT_MOST = 150  # found files of one target
FOUND = re.compile("[0-9a-f]{40}")  # the names libFuzzer gives; a file with another name was put there by hand and stays
KEPT_BYTES_MOST = 4096  # of one file
COVERED_LEAST = 90.0  # percent of the lines below
PLANTED_SECONDS = 60  # a planted bug is found within so long

# Whatever reads bytes that a peer has sent, from the frame to the segment that TCP takes in.
PARSERS = [
    "dataplane/wire/checksum.cpp",
    "dataplane/wire/checksum.hpp",
    "dataplane/wire/ipv4.hpp",
    "dataplane/wire/ipv6.hpp",
    "dataplane/wire/tcp.hpp",
    "dataplane/wire/tcp_options.cpp",
    "dataplane/net/arp_table.cpp",
    "dataplane/net/frame_view.hpp",
    "dataplane/net/icmp.cpp",
    "dataplane/net/icmpv6_input.cpp",
    "dataplane/net/interface.cpp",
    "dataplane/net/ipv4_input.cpp",
    "dataplane/net/ipv4_input.hpp",
    "dataplane/net/ipv6_addresses.cpp",
    "dataplane/net/ipv6_input.cpp",
    "dataplane/net/ipv6_input.hpp",
    "dataplane/net/nd_messages.cpp",
    "dataplane/net/nd_table.cpp",
    "dataplane/net/router_list.cpp",
    "dataplane/net/tcp_datagram.hpp",
    "dataplane/tcp/ack.cpp",
    "dataplane/tcp/input.cpp",
    "dataplane/tcp/path_mtu.cpp",
    "dataplane/tcp/reassembly.cpp",
    "dataplane/tcp/receive.cpp",
    "dataplane/tcp/scoreboard.cpp",
    "dataplane/tcp/time_wait.cpp",
]

sys.path.insert(0, str(ROOT / "scripts"))
import apply_mutant  # noqa: E402


def fuzzers(build):
    return sorted(path for path in (build / "tests/fuzz").glob("fuzz_*") if path.is_file() and os.access(path, os.X_OK))


def options_of(target):
    path = ROOT / "tests/fuzz" / f"{target}.options"
    return path.read_text().split() if path.exists() else []


def keep(build, targets):
    """Merges what was found into the kept corpus. Edges alone decide: few files that reach every place."""
    for target in targets:
        kept, found = CORPUS / target, build / "corpus" / target
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="pollux-corpus.") as directory:
            fresh = pathlib.Path(directory)
            inputs = [str(folder) for folder in (kept, found) if folder.is_dir() and any(folder.iterdir())]
            if not inputs:
                print(f"{target}: nothing was found yet")
                continue
            subprocess.run([str(build / "tests/fuzz" / target), "-set_cover_merge=1", "-use_counters=0",
                            f"-max_len={KEPT_BYTES_MOST}", str(fresh), *inputs],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            files = sorted(fresh.iterdir(), key=lambda path: path.stat().st_size)
            if len(files) > KEPT_MOST:
                print(f"{target}: {len(files)} files are needed, more than {KEPT_MOST}; nothing was changed")
                continue
            named = {path.read_bytes() for path in kept.iterdir() if not FOUND.fullmatch(path.name)}
            for old in kept.iterdir():
                if FOUND.fullmatch(old.name):
                    old.unlink()
            for path in files:
                if path.read_bytes() not in named:
                    shutil.copy(path, kept / path.name)
            print(f"{target}: {len(files)} files, {sum(path.stat().st_size for path in files)} bytes")
    return 0


def coverage(build):
    programs = [path for path in fuzzers(build) if (CORPUS / path.name).is_dir()]
    with tempfile.TemporaryDirectory(prefix="pollux-coverage.") as directory:
        raw = pathlib.Path(directory)
        for program in programs:
            done = subprocess.run([str(program), str(CORPUS / program.name)], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                                  env={**os.environ, "LLVM_PROFILE_FILE": str(raw / f"{program.name}.profraw")})
            if done.returncode != 0:
                print(f"{program.name}: an input of the kept corpus fails\n{done.stdout[-400:]}")
                return 1
        merged = raw / "merged"
        subprocess.run(["llvm-profdata-14", "merge", "-o", str(merged), *map(str, raw.glob("*.profraw"))], check=True)
        objects = [argument for program in programs[1:] for argument in ("-object", str(program))]
        exported = subprocess.run(["llvm-cov-14", "export", "-summary-only", f"-instr-profile={merged}",
                                   str(programs[0]), *objects, *[str(ROOT / path) for path in PARSERS]],
                                  stdout=subprocess.PIPE, text=True, check=True)
    return report(json.loads(exported.stdout)["data"][0]["files"])


def report(files):
    by_name = {str(pathlib.Path(file["filename"]).resolve().relative_to(ROOT)): file["summary"]["lines"] for file in files}
    missing = [path for path in PARSERS if path not in by_name]
    covered = total = 0
    for path in PARSERS:
        if path in missing:
            continue
        lines = by_name[path]
        covered += lines["covered"]
        total += lines["count"]
        print(f"{path:40} {lines['covered']:5} of {lines['count']:5}  {lines['percent']:6.1f} %")
    for path in missing:
        print(f"{path}: no line of it was compiled into a target")
    percent = 100.0 * covered / total
    print(f"{'all parsers':40} {covered:5} of {total:5}  {percent:6.1f} %  (at least {COVERED_LEAST:.0f})")
    return 0 if percent >= COVERED_LEAST and not missing else 1


def planted(names):
    """Each planted bug in a copy of the tree, until its target finds it, with the kept corpus and without."""
    folder = ROOT / "tests/fuzz/planted"
    names = names or sorted(path.stem for path in folder.glob("*.mutant"))
    missed = []
    with tempfile.TemporaryDirectory(prefix="pollux-planted.") as directory:
        tree = pathlib.Path(directory) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "build*", "*.pcapng"))
        build = tree / "build"
        subprocess.run(["meson", "setup", str(build), str(tree), "-Dfuzz=true", "-Dbench=false",
                        "-Db_sanitize=address,undefined", "-Db_lundef=false"], check=True, stdout=subprocess.DEVNULL)
        for name in names:
            mutant = apply_mutant.load(folder / f"{name}.mutant")
            target = mutant.other["target"]
            before = apply_mutant.apply(mutant, tree)
            built = subprocess.run(["ninja", "-C", str(build), f"tests/fuzz/{target}"], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, check=False)
            (tree / mutant.file).write_text(before)
            if built.returncode != 0:
                print(f"{name}: does not build: {[line for line in built.stdout.splitlines() if 'error' in line][:1]}")
                missed.append(name)
                continue
            from_nothing = find(build, target, [])
            from_kept = find(build, target, [str(CORPUS / target)])
            print(f"{name}: {target} from nothing: {from_nothing or 'not found'}; from the kept corpus: "
                  f"{from_kept or 'not found'}", flush=True)
            if not from_kept:
                missed.append(name)
    print(f"{len(names) - len(missed)} of {len(names)} planted bugs found within {PLANTED_SECONDS} s each")
    return 1 if missed else 0


def find(build, target, corpus):
    """How it was found, or None. Always the same sequence of inputs, so only the speed of the machine counts."""
    with tempfile.TemporaryDirectory(prefix="pollux-planted.") as directory:
        started = os.times()
        done = subprocess.run([str(build / "tests/fuzz" / target), "-seed=1", f"-max_total_time={PLANTED_SECONDS}",
                               "-timeout=5", "-print_final_stats=1", f"-artifact_prefix={directory}/",
                               *options_of(target), directory, *corpus],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
        seconds = os.times().elapsed - started.elapsed
    if done.returncode == 0:
        return None
    said = re.findall("^fuzz: .*|ERROR: .*|runtime error: .*|pollux: internal error.*", done.stdout, re.MULTILINE)
    inputs = [line.split()[-1] for line in done.stdout.splitlines() if "number_of_executed_units" in line]
    reason = said[0] if said else "it ended"
    return f"after {inputs[0] if inputs else '?'} inputs, {seconds:.0f} s ({reason[:80]})"


def main(arguments):
    if arguments[0] == "keep":
        return keep(pathlib.Path(arguments[1]), arguments[2:])
    if arguments[0] == "coverage":
        return coverage(pathlib.Path(arguments[1]))
    return planted(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
