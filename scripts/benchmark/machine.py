"""What the figures were measured on: machine, kernel, packages, compiler, build flags, commit."""
import json
import os
import platform
import re
import subprocess
from pathlib import Path

PACKAGES = ("libdpdk-dev", "libisal2", "libiscsi7", "libiscsi-bin", "tgt", "g++", "libbenchmark-dev")
BUILD_OPTIONS = ("buildtype", "optimization", "debug", "b_lto", "b_pgo", "b_sanitize", "cpp_args")


def command_output(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def first_match(path, pattern, otherwise="unknown"):
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return otherwise
    return found.group(1).strip() if found else otherwise


def caches():
    """{"L1 data": "48K", ...} as the first CPU has them."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((index / name).read_text(encoding="utf-8").strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        found[f"L{level}" + ("" if kind == "Unified" else " " + kind.lower())] = size
    return found


def last_level_cache_bytes():
    sizes = [size for name, size in sorted(caches().items()) if name[1:].isdigit()]
    found = re.match(r"(\d+)([KMG])?", sizes[-1]) if sizes else None
    return int(found.group(1)) * {"K": 2**10, "M": 2**20, "G": 2**30, None: 1}[found.group(2)] if found else 32 * 2**20


def available_memory_bytes():
    return int(first_match("/proc/meminfo", r"^MemAvailable:\s*(\d+)", "0")) * 1024


def working_set_bytes(most=2**30):
    """Four times the last-level cache, as far as memory allows: two copies and half the machine for others."""
    wanted = 4 * last_level_cache_bytes()
    return max(8 * 2**20, min(wanted, most, available_memory_bytes() // 4) // 2**20 * 2**20)


def build_flags(build):
    try:
        options = json.loads((Path(build) / "meson-info/intro-buildoptions.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        options = []
    known = {option["name"]: option["value"] for option in options}
    compiler = first_match(Path(build) / "meson-logs/meson-log.txt", r"^C\+\+ compiler for the host machine: (.*)$")
    return {"compiler": compiler, "options": {name: known[name] for name in BUILD_OPTIONS if known.get(name) not in (None, [])}}


def commit(root):
    """Short id, with -dirty when tracked files differ from it."""
    name = command_output("git", "-C", root, "rev-parse", "--short", "HEAD")
    if not name:
        return "unknown"
    return name + ("-dirty" if command_output("git", "-C", root, "status", "--porcelain", "-uno") else "")


def packages():
    lines = command_output("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES).splitlines()
    return dict(line.split(" ", 1) for line in lines if line.count(" ") == 1 and not line.endswith(" "))


def describe(root, build):
    return {
        "cpu": first_match("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "cpus": os.cpu_count(),
        "usable_cpus": sorted(os.sched_getaffinity(0)),
        "caches": caches(),
        "memory_gib": round(int(first_match("/proc/meminfo", r"^MemTotal:\s*(\d+)", "0")) / 2**20, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "virtual": "hypervisor" in first_match("/proc/cpuinfo", r"^flags\s*:\s*(.*)$", "").split(),
        "system": first_match("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
        "load_average": round(os.getloadavg()[0], 2),
        "packages": packages(),
        "build": build_flags(build),
        "commit": commit(root),
    }


def lines(machine, options):
    """The same for people."""
    cache = ", ".join(f"{name} {size}" for name, size in machine["caches"].items())
    flags = " ".join(f"{name}={value}" for name, value in machine["build"]["options"].items())
    return [
        f"{machine['cpus']} CPUs {machine['cpu']} ({cache}), {machine['memory_gib']} GiB"
        f"{', a virtual machine' if machine['virtual'] else ''}, {machine['system']}, {machine['kernel']}, "
        f"load {machine['load_average']} at the start",
        f"commit {machine['commit']}, {machine['build']['compiler']}, {flags}; "
        + ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if name != "g++"),
        f"medians of {options['rounds']} round(s) of {options['seconds']:g} s after {options['warm_up']:g} s of warm-up; "
        f"worker or initiator on CPU {options['cpu']}, target on CPU {options['target_cpu']}; in process: MTU 9000"
        + ("; before other threads (SCHED_RR)" if options.get("realtime") else ""),
    ]
