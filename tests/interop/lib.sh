# Shared by the programs of this folder: how they skip and fail, and one rig of tgt and polluxd. Source it.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
. "$ROOT/scripts/rig.sh"

BUILD=${POLLUX_BUILD:-$ROOT/build}
TARGET_NAME=iqn.2026-01.org.pollux:interop
TARGET_URL=iscsi://$RIG_TARGET_ADDRESS/$TARGET_NAME

# Meson takes 77 for a skip.
skip() { say "skipped: $*"; exit 77; }
# To standard error: what `must` runs may have its output thrown away.
fail() { { say "FAILED: $*"; show_logs; } >&2; exit 1; }
need_root() { [ "$(id -u)" = 0 ] || skip "network namespaces take root"; }
# need_program PROGRAM PACKAGE
need_program() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || skip "$1 is not there (Debian package $2)"; }

show_logs() {
  local log
  for log in "$DIR"/*.log; do
    [ -s "$log" ] && say "--- ${log##*/}" && tail -n 15 "$log"
  done
}

pollux() { "$BUILD/control/cli/pollux" "$@"; }
must() { "$@" || fail "'$*' ended with $?"; }
sha_of() { sha256sum "$1" | cut -d ' ' -f 1; }
# json EXPRESSION: of the document on standard input, called d.
json() { python3 -c 'import json, sys; d = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

# start_rig NAME MIB [polluxd flags...]: tgt with LUN 1 of MIB in TARGET_NETNS, polluxd on net_tap in POLLUX_NETNS,
# the two facing each other with an MTU of 1500.
start_rig() {
  local name=$1 mib=$2
  shift 2
  need_root
  need_program tgtd tgt
  need_program ip iproute2
  clean_up_on_exit
  new_run_dir "pollux-$name"
  export POLLUX_SOCKET=$DIR/pollux.sock
  TARGET_NETNS=plx-t-$$ POLLUX_NETNS=plx-p-$$ TAP=plx$$
  new_netns "$TARGET_NETNS"
  new_netns "$POLLUX_NETNS"
  start_tgt "$TARGET_NETNS" "$DIR" "$TARGET_NAME"
  tgt_lun 1 "$DIR/lun" "$mib"
  # The target takes digests that the initiator asks for, and insists on none.
  for key in HeaderDigest DataDigest; do
    must tgt_admin --op update --mode target --tid 1 --name "$key" --value CRC32C,None
  done
  start_polluxd "$POLLUX_NETNS" "$DIR" "$TAP" "$BUILD/control/library/polluxd" "$@"
  join_tap "$TAP" "$POLLUX_NETNS" "$TARGET_NETNS"
}

# log_in [login options...]: leaves the id in SESSION.
log_in() {
  SESSION=$(pollux --json login "$TARGET_URL" "$@" | json 'd["session_id"]') || fail "login $* failed"
  [ -n "$SESSION" ] || fail "login $* failed"
}
