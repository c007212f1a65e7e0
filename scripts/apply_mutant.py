#!/usr/bin/env python3
"""Applies one-line breakages (tests/sim/planted, tests/mutants) to a copy of the tree.

A breakage is a text file. Lines that start with '#' and empty lines are comments; every other line is "key: value":

    file: dataplane/tcp/recovery.cpp      the file it changes, from the top of the tree (exactly once)
    check: C-75                           what it breaks (any number of times)
    old: c.rtx_pending = true;            the lines to replace: consecutive ones, in order
    new: c.rtx_pending = false;           what stands there instead; none: the lines are deleted

Lines are compared without the white space at their ends, so re-indenting breaks nothing, and must be found in exactly
one place: a neighbouring line, repeated among the `new` lines, makes a common line unique. An empty `old:` is an empty
line. Other keys are kept for whoever reads the file with load().

    scripts/apply_mutant.py TREE FILE...     applies each; exit 1 and one sentence when one does not fit
    scripts/apply_mutant.py --check TREE FILE...   only says whether each fits; of a directory, all in it
"""

import dataclasses
import pathlib
import sys


@dataclasses.dataclass
class Mutant:
    name: str
    file: str = ""
    checks: list = dataclasses.field(default_factory=list)
    old: list = dataclasses.field(default_factory=list)
    new: list = dataclasses.field(default_factory=list)
    other: dict = dataclasses.field(default_factory=dict)


class MutantError(Exception):
    pass


def load(path):
    """Reads one breakage. Raises MutantError when it is not well-formed."""
    path = pathlib.Path(path)
    mutant = Mutant(path.stem)
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        key, colon, value = line.partition(":")
        value = value.strip()
        if not colon or not key.isidentifier():
            raise MutantError(f"{path}:{number}: not of the form 'key: value'")
        if key == "file":
            if mutant.file:
                raise MutantError(f"{path}:{number}: a second file")
            mutant.file = value
        elif key == "check":
            mutant.checks.append(value)
        elif key in ("old", "new"):
            getattr(mutant, key).append(value)
        else:
            mutant.other[key] = value
    if not mutant.file or not mutant.old:
        raise MutantError(f"{path}: 'file' or 'old' is missing")
    return mutant


def changed_text(mutant, text):
    """The text of the file with the breakage in it. Raises MutantError when it does not fit."""
    lines = text.splitlines()
    stripped = [line.strip() for line in lines]
    size = len(mutant.old)
    places = [i for i in range(len(lines) - size + 1) if stripped[i : i + size] == mutant.old]
    if len(places) != 1:
        raise MutantError(f"{mutant.name}: the old lines stand {len(places)} times in {mutant.file}, not once")
    at = places[0]
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    lines[at : at + size] = [indent + line if line else line for line in mutant.new]
    return "\n".join(lines) + "\n"


def apply(mutant, tree):
    """Changes the file under `tree`; returns its former text."""
    path = pathlib.Path(tree) / mutant.file
    before = path.read_text()
    path.write_text(changed_text(mutant, before))
    return before


def main(arguments):
    only_check = arguments[:1] == ["--check"]
    arguments = arguments[only_check:]
    if len(arguments) < 2 or arguments[0].startswith("-"):
        print(__doc__)
        return 2
    failed = 0
    paths = []
    for path in map(pathlib.Path, arguments[1:]):
        paths += sorted(path.glob("*.mutant")) if path.is_dir() else [path]
    for path in paths:
        try:
            mutant = load(path)
            if only_check:
                changed_text(mutant, (pathlib.Path(arguments[0]) / mutant.file).read_text())
            else:
                apply(mutant, arguments[0])
        except (MutantError, OSError) as error:
            print(error, file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
