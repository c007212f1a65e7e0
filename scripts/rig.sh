# Starts what a session needs at both ends: tgt in one network namespace, polluxd on a net_tap port in another.
# Source it after lib.sh. Everything it starts is remembered and ended by clean_up.

# One CPU for the target, another for pollux's worker, when there are two.
RIG_TARGET_CPU=0
RIG_WORKER_CPU=$(($(nproc) > 1 ? 1 : 0))
RIG_TARGET_ADDRESS=10.99.0.1
RIG_POLLUX_ADDRESS=10.99.0.2

# on_cpu CPU COMMAND...: pinned when the machine lets us.
on_cpu() {
  local cpu=$1
  shift
  if taskset -c "$cpu" true 2>/dev/null; then exec taskset -c "$cpu" "$@"; else exec "$@"; fi
}

# background LOG COMMAND...: a new LOG, in a session of its own, so that the terminal's Ctrl-C reaches it through clean_up only.
# Leaves its process id in RIG_PID.
background() {
  local log=$1
  shift
  : >"$log"
  setsid "$@" >"$log" 2>&1 </dev/null &
  RIG_PID=$!
}

# tgt's tools and daemon meet at a socket; this one is private to the run.
tgt_admin() { TGT_IPC_SOCKET=$RIG_TGT_SOCKET tgtadm -C 0 --lld iscsi "$@"; }

# start_tgt NETNS DIR TARGET_NAME: tgtd with one target, open to everybody, no LUN yet.
start_tgt() {
  local netns=$1 dir=$2 name=$3
  RIG_TGT_SOCKET=$dir/tgt
  export -f on_cpu
  TGT_IPC_SOCKET=$RIG_TGT_SOCKET background "$dir/tgtd.log" \
    ip netns exec "$netns" bash -c 'on_cpu "$@"' - "$RIG_TARGET_CPU" tgtd -f -C 0 -t 1 --iscsi "portal=0.0.0.0:3260"
  RIG_TGT_PID=$RIG_PID
  # tgtd does not end on SIGTERM.
  remember_pid "$RIG_TGT_PID" KILL
  wait_for 10 tgt_admin --op show --mode system || { cat "$dir/tgtd.log" >&2; die "tgtd did not start."; }
  tgt_admin --op new --mode target --tid 1 -T "$name" &&
    tgt_admin --op bind --mode target --tid 1 -I ALL || die "tgtadm could not make the target $name."
}

# tgt_lun LUN FILE MIB: a logical unit whose blocks are FILE, made here, sparse.
tgt_lun() {
  truncate -s "$3M" "$2" && tgt_admin --op new --mode logicalunit --tid 1 --lun "$1" --bstype rdwr -b "$2" ||
    die "tgtadm could not make LUN $1 of $2."
}

# start_polluxd NETNS DIR TAP PROGRAM [flags...]: one net_tap port, the kernel's end is called TAP. Ordinary memory.
start_polluxd() {
  local netns=$1 dir=$2 tap=$3 program=$4
  shift 4
  RIG_POLLUXD_LOG=$dir/polluxd.log
  background "$RIG_POLLUXD_LOG" ip netns exec "$netns" "$program" --no-hugepages --cpus "$RIG_WORKER_CPU" \
    --instance "$tap" --socket "$dir/pollux.sock" --state-dir "$dir/state" \
    --port "device=net_tap0,iface=$tap address=$RIG_POLLUX_ADDRESS/24 mtu=1500" "$@"
  RIG_POLLUXD_PID=$RIG_PID
  remember_pid "$RIG_POLLUXD_PID"
  wait_for 30 polluxd_is_ready_or_gone && grep -q '^polluxd: ready' "$RIG_POLLUXD_LOG" ||
    { tail -n 5 "$RIG_POLLUXD_LOG" >&2; die "polluxd did not start."; }
}

polluxd_is_ready_or_gone() {
  grep -q '^polluxd: ready' "$RIG_POLLUXD_LOG" || ! kill -0 "$RIG_POLLUXD_PID" 2>/dev/null
}

# join_tap TAP FROM TO: gives the kernel's end of the port to the target's namespace, where it gets its address.
join_tap() {
  ip -n "$2" link set "$1" netns "$3" &&
    ip -n "$3" address add "$RIG_TARGET_ADDRESS/24" dev "$1" &&
    ip -n "$3" link set "$1" up || die "The port's interface $1 could not be given to the namespace $3."
}

# --- A wire without iSCSI: scripts/soak -----------------------------------------------------------------------------

# stop_background PID [SIGNAL]: ends it now and forgets its number, which may soon be somebody else's.
stop_background() {
  local kept=() entry
  end_process "$@"
  for entry in "${CLEANUP_PIDS[@]+"${CLEANUP_PIDS[@]}"}"; do [ "${entry%:*}" = "$1" ] || kept+=("$entry"); done
  CLEANUP_PIDS=("${kept[@]+"${kept[@]}"}")
}

# quiet_netns NAME: no IPv6, so nothing but the test speaks there.
quiet_netns() {
  new_netns "$1"
  ip netns exec "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
}

says() { grep -q "$2" "$1" 2>/dev/null; }

# start_kernel_server NETNS LOG: leaves its process id in RIG_SERVER_PID.
start_kernel_server() {
  background "$2" ip netns exec "$1" "$BUILD/tests/interop/kernel_peer" serve --port 5001
  RIG_SERVER_PID=$RIG_PID
  remember_pid "$RIG_SERVER_PID"
  wait_for 10 says "$2" 'kernel_peer: ready' || die "kernel_peer did not start: $(cat "$2")"
}

# start_wire_client NETNS LOG TAP [arguments...]: pollux's TCP, which waits for the file LOG.go. RIG_CLIENT_PID.
start_wire_client() {
  local netns=$1 log=$2 tap=$3
  shift 3
  rm -f "$log.go"
  background "$log" ip netns exec "$netns" "$BUILD/tests/interop/wire_client" "$@" --tap "$tap" \
    --address "$RIG_POLLUX_ADDRESS" --to "$RIG_TARGET_ADDRESS" --wait-file "$log.go"
  RIG_CLIENT_PID=$RIG_PID
  remember_pid "$RIG_CLIENT_PID"
  wait_for 20 says "$log" 'wire_client: ready' || die "wire_client did not start: $(cat "$log")"
}

# start_bridge LOG END END [options...]: RIG_BRIDGE_PID.
start_bridge() {
  local log=$1 a=$2 b=$3
  shift 3
  background "$log" "$BUILD/tests/bridge/wire_bridge" --a "$a" --b "$b" "$@"
  RIG_BRIDGE_PID=$RIG_PID
  remember_pid "$RIG_BRIDGE_PID"
  wait_for 10 says "$log" 'bridge: ready' || die "The bridge did not start: $(cat "$log")"
}

# wait_for_end PID SECONDS: false when it still runs then; otherwise its exit status is in RIG_STATUS.
wait_for_end() {
  local tenths=$(($2 * 10))
  while kill -0 "$1" 2>/dev/null; do
    [ "$tenths" -gt 0 ] || return 1
    tenths=$((tenths - 1))
    sleep 0.1
  done
  wait "$1" 2>/dev/null
  RIG_STATUS=$?
}
