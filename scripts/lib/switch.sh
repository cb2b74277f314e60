# shellcheck shell=bash
# One running `paceline`, beside the engine that engine_use chose. $bin is where the built programs are.

# switch_start STATE-DIR LOG ARGUMENT...: starts it and waits until it serves.
switch_start() {
    local state=$1 log=$2 tries
    shift 2
    if paceline show version >/dev/null 2>&1; then die "a paceline is running already: stop that one first"; fi
    settings_keep
    setsid "${engine_net[@]}" "$bin/paceline" run --state-dir "$state" "$@" </dev/null >"$log" 2>&1 &
    switch_pid=$!
    disown
    defer switch_stop "$switch_pid"
    for ((tries = 0; tries < 300; tries++)); do
        if paceline show version >/dev/null 2>&1; then return; fi
        kill -0 "$switch_pid" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$log" >&2
    die "the switch did not start; the end of $log is above"
}

# switch_stop PID: asks it to end; by force after 10 s.
switch_stop() {
    local tries
    kill -TERM "$1" 2>/dev/null || return 0
    for ((tries = 0; tries < 100; tries++)); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
}

# published_port: the host's port of the first published one.
published_port() { paceline show ports --json | tr -d ' \n' | sed -n 's/^[^}]*"host_port":\([0-9]*\).*/\1/p'; }

# settings_keep: what the switch turns on in the host's kernel for its networks, and leaves on, is as before at the end. A private
# engine's namespace is gone by then.
settings_keep() {
    local setting
    if ((${#engine_net[@]} > 0)); then return; fi
    # Run from the last to the first: an interface's own setting must come after the forwarding of all.
    for setting in /proc/sys/net/ipv6/conf/{*/accept_ra,all/forwarding} /proc/sys/net/ipv4/ip_forward; do
        [[ ! -e $setting ]] || defer setting_restore "$setting" "$(cat "$setting")"
    done
}

setting_restore() {
    [[ ! -e $1 || $(cat "$1") == "$2" ]] || echo "$2" >"$1"
}
