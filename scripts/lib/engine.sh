# shellcheck shell=bash
# A Docker Engine of our own: own data root, sockets, containerd, cgroup and network namespace. It lives beside any other engine,
# and all that it makes on the system (docker0, bridges, iptables rules, ip_forward) is in its namespace and goes with it.
#
# Everything of an engine hangs on its directory:
#   DIR/docker.sock  the API            DIR/docker.pid  DIR/containerd.pid
#   DIR/data DIR/exec DIR/containerd    DIR/docker.log  DIR/containerd.log
# and on its name, the directory's last part: the network namespace NAME, the cgroup NAME and the plugin sockets NAME-*.sock.

engine_plugin_dir=/run/docker/plugins

need_engine_tools() {
    need docker docker.io "is Docker's command line"
    need dockerd docker.io "is the Docker Engine, for real containers"
    need containerd containerd "runs the engine's containers"
    need iptables iptables "is what Docker's own bridge driver needs"
    need nft nftables "is how the switch has the host translate and filter"
    need ip iproute2 "makes and shows links and namespaces"
    need nsenter util-linux "runs a command in a namespace"
    need mount mount "mounts the containers' file systems"
}

# What to put before a command that must run where the engine and its bridges are. Empty: the engine in use is the host's own.
engine_net=()

# engine_use: the running engine if there is one, else a private one until the script ends. Sets DOCKER_HOST for the latter.
engine_use() {
    local dir
    if docker info >/dev/null 2>&1; then
        note "using the running Docker Engine $(docker version --format '{{.Server.Version}}')"
        return
    fi
    dir=$(mktemp -d "${TMPDIR:-/tmp}/paceline-engine.XXXXXX")
    engine_net=(nsenter --net="/run/netns/$(basename "$dir")")
    defer engine_stop "$dir"
    engine_make "$dir"
    engine_boot "$dir"
    export DOCKER_HOST="unix://$dir/docker.sock"
    note "no Docker Engine runs here: started a private one, $(docker version --format '{{.Server.Version}}'), in $dir"
}

# engine_make DIR: prepares namespace and configuration.
engine_make() {
    local dir=$1 name
    name=$(basename "$dir")
    grep -q ' - cgroup' /proc/self/mountinfo ||
        die "no control groups here, and containers need them: mount -t cgroup2 none /sys/fs/cgroup"
    ip netns add "$name"
    nsenter --net="/run/netns/$name" ip link set lo up
    echo '{}' >"$dir/daemon.json"
    cat >"$dir/containerd.toml" <<TOML
version = 2
root = "$dir/containerd/root"
state = "$dir/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "$dir/containerd.sock"
TOML
}

# engine_boot DIR: starts containerd, unless it runs, and dockerd; returns when the API answers.
engine_boot() {
    local dir=$1 name filter=()
    name=$(basename "$dir")
    if ! engine_alive "$dir/containerd.pid"; then
        setsid containerd --config "$dir/containerd.toml" --log-level warn </dev/null >>"$dir/containerd.log" 2>&1 &
        echo $! >"$dir/containerd.pid"
        disown
        engine_wait "$dir/containerd.pid" "$dir/containerd.log" test -S "$dir/containerd.sock"
    fi
    # A kernel without the NAT table still serves every driver but the bridge's published ports.
    nsenter --net="/run/netns/$name" iptables -t nat -S >/dev/null 2>&1 || filter=(--iptables=false --ip6tables=false)
    rm -f "$dir/dockerd.pid"
    setsid nsenter --net="/run/netns/$name" dockerd --config-file "$dir/daemon.json" --data-root "$dir/data" \
        --exec-root "$dir/exec" --pidfile "$dir/dockerd.pid" --host "unix://$dir/docker.sock" --containerd "$dir/containerd.sock" \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "$name" --log-level warn "${filter[@]}" \
        </dev/null >>"$dir/docker.log" 2>&1 &
    echo $! >"$dir/docker.pid"
    disown
    engine_wait "$dir/docker.pid" "$dir/docker.log" docker --host "unix://$dir/docker.sock" version
}

# engine_wait PIDFILE LOG COMMAND...: until the command succeeds; fails with the log's end if the process ends first or 60 s pass.
engine_wait() {
    local pidfile=$1 log=$2 tries
    shift 2
    for ((tries = 0; tries < 600; tries++)); do
        if "$@" >/dev/null 2>&1; then return; fi
        engine_alive "$pidfile" || break
        sleep 0.1
    done
    tail -n 20 "$log" >&2
    die "the private Docker Engine did not start; the end of $log is above"
}

# engine_alive PIDFILE: is its process there, and not merely waiting to be reaped?
engine_alive() {
    local pid
    pid=$(cat "$1" 2>/dev/null) && [[ -n $pid ]] || return 1
    [[ $(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null) == [^ZX] ]]
}

# engine_end PIDFILE SIGNAL: signals the process and waits for its end, by force after 20 s.
engine_end() {
    local pid tries
    if ! engine_alive "$1"; then return; fi
    pid=$(cat "$1")
    kill "-$2" "$pid" 2>/dev/null || true
    for ((tries = 0; tries < 200; tries++)); do
        engine_alive "$1" || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    rm -f "$1"
}

# engine_crash DIR: dockerd dies as by a power cut; containers and containerd run on. engine_boot brings it back.
engine_crash() { engine_end "$1/docker.pid" KILL; }

# engine_stop DIR: ends the engine and removes whatever it made.
engine_stop() {
    local dir=$1 name
    name=$(basename "$dir")
    engine_kill_containers "$name"
    engine_end "$dir/docker.pid" TERM
    engine_kill_containers "$name" # those that a restart policy brought back meanwhile
    engine_end "$dir/containerd.pid" TERM
    engine_unmount "$dir"
    ip netns del "$name" 2>/dev/null || true
    find /sys/fs/cgroup -depth -type d \( -name "$name" -o -path "*/$name/*" \) -exec rmdir {} + 2>/dev/null || true
    rm -f "$engine_plugin_dir/$name"-*.sock
    rm -rf "$dir"
    rmdir /run/containerd/s /run/containerd 2>/dev/null || true
}

# Containers are not asked to stop (their first process often ignores SIGTERM, and the engine would wait 10 s for each).
engine_kill_containers() {
    local pids tries
    for ((tries = 0; tries < 50; tries++)); do
        pids=$(find /sys/fs/cgroup -path "*/$1/*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u)
        [[ -n $pids ]] || return 0
        # shellcheck disable=SC2086 # a list of numbers
        kill -KILL $pids 2>/dev/null || true
        sleep 0.1
    done
}

engine_unmount() {
    local point
    while read -r point; do
        umount --lazy "$point" 2>/dev/null || true
    done < <(awk -v dir="$1/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
}
