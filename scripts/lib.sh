# Shared by the scripts of this folder: packages, messages, namespaces and clean-up. Source it.
set -u
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

PACKAGES_BUILD=(g++ meson ninja-build pkg-config libdpdk-dev libisal-dev libfmt-dev libcli11-dev
  nlohmann-json3-dev libtomlplusplus-dev libgtest-dev libgmock-dev libbenchmark-dev python3)
PACKAGES_TARGET=(tgt iproute2 ethtool procps)
PACKAGES_BENCH=(libiscsi-bin util-linux)
PACKAGES_TEST=(clang-14 libclang-rt-14-dev llvm-14 tshark qemu-utils qemu-block-extra libiscsi-bin libiscsi-dev strace valgrind)

say() { printf '%s\n' "$*"; }
# Bold only for people: a test's output becomes XML, which has no place for escape characters.
if [ -t 1 ]; then BOLD=$'\033[1m' PLAIN=$'\033[0m'; else BOLD='' PLAIN=''; fi
step() { printf '\n%s==> %s%s\n' "$BOLD" "$*" "$PLAIN"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

missing_packages() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
  done
}

# Installs what is missing as root; otherwise says in one sentence what to install.
need_packages() {
  local missing
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    die "These Debian packages are missing: ${missing}- install them with: sudo apt-get install --no-install-recommends $missing"
  fi
  step "Installing packages: $missing"
  # shellcheck disable=SC2086
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
    >"${TMPDIR:-/tmp}/pollux-apt.$$" 2>&1 || {
    tail -n 20 "${TMPDIR:-/tmp}/pollux-apt.$$" >&2
    rm -f "${TMPDIR:-/tmp}/pollux-apt.$$"
    die "apt-get could not install the packages named above."
  }
  rm -f "${TMPDIR:-/tmp}/pollux-apt.$$"
}

# Leaves in BUILD a build directory this user may write: the tree's own, or one outside of a tree that belongs to
# somebody else or was copied together with the build directory of another.
choose_build_dir() {
  local cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}
  BUILD=$ROOT/build
  if [ -f "$BUILD/build.ninja" ]; then
    [ ! -w "$BUILD" ] || ! grep -qF "\"source\": \"$ROOT\"" "$BUILD/meson-info/meson-info.json" 2>/dev/null || return 0
  elif [ -w "$ROOT" ] && { [ ! -e "$BUILD" ] || [ -w "$BUILD" ]; }; then
    return 0
  fi
  if mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ]; then
    BUILD=$cache/pollux-build-$(printf '%s' "$ROOT" | cksum | cut -d ' ' -f 1)
  else
    BUILD=$(mktemp -d "${TMPDIR:-/tmp}/pollux-build.XXXXXX") || die "There is no place to build in: set XDG_CACHE_HOME or TMPDIR."
    CLEANUP_PATHS+=("$BUILD")
  fi
}

# new_run_dir NAME: leaves in DIR a directory for this run's sockets and files, 0700 and removed at the end.
new_run_dir() {
  DIR=$(mktemp -d "${TMPDIR:-/tmp}/$1.XXXXXX") || die "No directory for temporary files could be made; set TMPDIR to one."
  CLEANUP_PATHS+=("$DIR")
}

# build_tree DIR [meson options...]: configures once and builds.
build_tree() {
  local dir=$1
  shift
  if [ ! -f "$dir/build.ninja" ]; then
    mkdir -p "$dir" || die "The build directory $dir cannot be made."
    meson setup "$dir" "$ROOT" "$@" >"$dir/setup.log" 2>&1 || { tail -n 30 "$dir/setup.log" >&2; die "meson setup failed."; }
    rm -f "$dir/setup.log"
  fi
  ninja -C "$dir" -j "$(nproc)" ${BUILD_TARGETS:-} >"$dir/build.log" 2>&1 || { grep -E 'error|FAILED' -A5 "$dir/build.log" | head -n 60 >&2; die "The build failed; the whole log is $dir/build.log"; }
}

# Processes and namespaces of this run only, ended in reverse order whatever happens.
CLEANUP_PIDS=()
CLEANUP_NETNS=()
CLEANUP_PATHS=()
# remember_pid PID [SIGNAL]: ended by SIGNAL (TERM when none is named), by KILL after five seconds.
remember_pid() { CLEANUP_PIDS+=("$1:${2:-TERM}"); }

end_process() {
  # Nobody wants to read the shell's notice of a death that was asked for.
  end_process_loudly "$@" 2>/dev/null
}

end_process_loudly() {
  local pid=$1 signal=${2:-TERM} i
  kill "-$signal" "$pid" || return 0
  for i in $(seq 50); do
    kill -0 "$pid" || break
    [ "$i" != 50 ] || kill -KILL "$pid"
    sleep 0.1
  done
  wait "$pid"
  return 0
}

clean_up() {
  local i
  # A second Ctrl-C must not leave half of it behind.
  trap '' INT TERM HUP
  for ((i = ${#CLEANUP_PIDS[@]} - 1; i >= 0; i--)); do end_process "${CLEANUP_PIDS[i]%:*}" "${CLEANUP_PIDS[i]#*:}"; done
  # What a signal caught between its start and remember_pid.
  for i in $(jobs -p); do end_process "$i" KILL; done
  for i in "${CLEANUP_NETNS[@]+"${CLEANUP_NETNS[@]}"}"; do ip netns del "$i" 2>/dev/null; done
  for i in "${CLEANUP_PATHS[@]+"${CLEANUP_PATHS[@]}"}"; do rm -rf "$i"; done
  CLEANUP_PIDS=() CLEANUP_NETNS=() CLEANUP_PATHS=()
}

# Call once, early: cleans up on every way out and turns signals into an exit.
clean_up_on_exit() {
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# NAME belongs to this run alone (it carries the process id).
new_netns() {
  # Noted first: a signal may arrive while ip is at work.
  CLEANUP_NETNS+=("$1")
  ip netns add "$1" || die "cannot create the network namespace $1 (is iproute2 there, and are you root?)"
  ip -n "$1" link set lo up
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
  local tenths=$(($1 * 10))
  shift
  while [ "$tenths" -gt 0 ]; do
    "$@" >/dev/null 2>&1 && return 0
    sleep 0.1
    tenths=$((tenths - 1))
  done
  return 1
}
