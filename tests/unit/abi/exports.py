"""What libpollux and libpollux-client export is what their version maps list, and nothing else."""
import fnmatch
import re
import subprocess
import sys


def exported(library):
    out = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1].split("@")[0] for line in out.splitlines() if line.split()[-2] in "TDBR"}
    return names


def listed(version_map):
    with open(version_map, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/|#.*", "", file.read(), flags=re.S)
    return set(re.findall(r"^\s*(pollux_[\w*]+);", text, flags=re.M))


def main():
    failures = 0
    for library, version_map in zip(sys.argv[1::2], sys.argv[2::2]):
        names, patterns = exported(library), listed(version_map)
        extra = [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
        missing = [pattern for pattern in patterns if not fnmatch.filter(names, pattern)]
        if extra or missing:
            failures += 1
            print(f"{library}: exported but not listed {sorted(extra)}, listed but not exported {sorted(missing)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
