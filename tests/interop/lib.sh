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

# two_namespaces NAME: what every rig begins with. DIR, and TARGET_NETNS and POLLUX_NETNS with nothing in them.
two_namespaces() {
  need_root
  need_program tgtd tgt
  need_program ip iproute2
  clean_up_on_exit
  new_run_dir "pollux-$1"
  export POLLUX_SOCKET=$DIR/pollux.sock
  TARGET_NETNS=plx-t-$$ POLLUX_NETNS=plx-p-$$
  new_netns "$TARGET_NETNS"
  new_netns "$POLLUX_NETNS"
}

# start_rig NAME MIB [polluxd flags...]: tgt with LUN 1 of MIB in TARGET_NETNS, polluxd on net_tap in POLLUX_NETNS,
# the two facing each other with an MTU of 1500.
start_rig() {
  local name=$1 mib=$2
  shift 2
  two_namespaces "$name"
  TAP=plx$$
  start_tgt "$TARGET_NETNS" "$DIR" "$TARGET_NAME"
  tgt_lun 1 "$DIR/lun" "$mib"
  # The target takes digests that the initiator asks for, and insists on none.
  for key in HeaderDigest DataDigest; do
    must tgt_admin --op update --mode target --tid 1 --name "$key" --value CRC32C,None
  done
  start_polluxd "$POLLUX_NETNS" "$DIR" "$TAP" "$BUILD/control/library/polluxd" "$@"
  join_tap "$TAP" "$POLLUX_NETNS" "$TARGET_NETNS"
}

# veth_rig NAME: two namespaces joined by a veth pair, whose end in POLLUX_NETNS is left for net_af_xdp. False: the
# kernel has no veth.
veth_rig() {
  two_namespaces "$1"
  need_program ethtool ethtool
  VETH=vp$$
  ip -n "$POLLUX_NETNS" link add "$VETH" type veth peer name vt$$ netns "$TARGET_NETNS" 2>/dev/null || return 1
  ip -n "$TARGET_NETNS" address add "$RIG_TARGET_ADDRESS/24" dev vt$$
  # Sums that the kernel leaves to a device would never be computed on this way.
  must ip netns exec "$TARGET_NETNS" ethtool -K vt$$ tx off >/dev/null
  ip -n "$TARGET_NETNS" link set vt$$ up
  ip -n "$POLLUX_NETNS" link set "$VETH" up
}

# polluxd_on_veth DEVICE MTU [flags...]: polluxd in its namespace of a veth_rig.
polluxd_on_veth() {
  local device=$1 mtu=$2
  shift 2
  ip netns exec "$POLLUX_NETNS" "$BUILD/control/library/polluxd" --no-hugepages --instance "plx$$" \
    --socket "$POLLUX_SOCKET" --state-dir "$DIR/state" \
    --port "device=$device,iface=$VETH address=$RIG_POLLUX_ADDRESS/24 mtu=$mtu" "$@"
}

# need_af_xdp: leaves the self-test's words in DIR/words.
need_af_xdp() {
  polluxd_on_veth net_af_xdp0 1500 --self-test --self-test-target "$RIG_TARGET_ADDRESS" >"$DIR/words" 2>"$DIR/self.log"
  local code=$?
  if grep -q 'xsk\|XDP\|not supported' "$DIR/words" && grep -q 'opens *FAILED' "$DIR/words"; then
    cat "$DIR/words"
    skip "the kernel has no AF_XDP on veth"
  fi
  [ "$code" = 0 ] || { cat "$DIR/words"; fail "the self-test over net_af_xdp ended with $code"; }
}

# start_af_xdp_polluxd [DEVICE ARGUMENTS]: in the background, and waits until it is ready.
start_af_xdp_polluxd() {
  RIG_POLLUXD_LOG=$DIR/polluxd.log
  background "$RIG_POLLUXD_LOG" ip netns exec "$POLLUX_NETNS" "$BUILD/control/library/polluxd" --no-hugepages \
    --instance "plx$$" --socket "$POLLUX_SOCKET" --state-dir "$DIR/state" --cpus "$RIG_WORKER_CPU" \
    --port "device=net_af_xdp0,iface=$VETH${1:+,$1} address=$RIG_POLLUX_ADDRESS/24 mtu=1500"
  RIG_POLLUXD_PID=$RIG_PID
  remember_pid "$RIG_PID"
  wait_for 30 polluxd_is_ready_or_gone && grep -q '^polluxd: ready' "$RIG_POLLUXD_LOG" || fail "polluxd did not start"
}

# log_in [login options...]: leaves the id in SESSION.
log_in() {
  SESSION=$(pollux --json login "$TARGET_URL" "$@" | json 'd["session_id"]') || fail "login $* failed"
  [ -n "$SESSION" ] || fail "login $* failed"
}
