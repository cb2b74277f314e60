# shellcheck shell=bash
# Pairs of containers, and what passes between the two. Measuring programs are the host's own, run in a container's network namespace.

need_traffic_tools() {
    need iperf3 iperf3 "measures throughput"
    need awk mawk "reads what iperf3 says"
}

# pair NAME NETWORK: two running containers NAME-a and NAME-b on a network.
pair() {
    local one
    for one in "$1-a" "$1-b"; do
        defer remove_container "$one"
        docker run --detach --name "$one" --network "$2" "$image" sleep 1000000 >/dev/null
    done
}

remove_container() { docker rm --force "$1" >/dev/null 2>&1; }
remove_network() { docker network rm "$1" >/dev/null 2>&1; }

# Addresses of containers whose link is not Docker's.
declare -A own_address=()

# address CONTAINER NETWORK [IPAddress|GlobalIPv6Address]
address() {
    if [[ -n ${own_address["$1"]:-} ]]; then
        echo "${own_address["$1"]}"
        return
    fi
    docker inspect --format "{{(index .NetworkSettings.Networks \"$2\").${3:-IPAddress}}}" "$1"
}

# in_container CONTAINER COMMAND...: a program of the host in the container's network namespace.
in_container() {
    local pid
    pid=$(docker inspect --format '{{.State.Pid}}' "$1")
    shift
    nsenter --target "$pid" --net "$@"
}

# iperf NAME NETWORK ARGUMENT...: iperf3 from NAME-b to NAME-a; prints the client's report.
iperf() {
    local to report server tries
    to=$(address "$1-a" "$2")
    in_container "$1-a" iperf3 --server --one-off >/dev/null 2>&1 &
    server=$!
    for ((tries = 0; tries < 50; tries++)); do
        if report=$(in_container "$1-b" iperf3 --client "$to" --format m "${@:3}" 2>&1); then break; fi
        sleep 0.1
    done
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    [[ $report == *receiver* ]] || die "iperf3 over $2 failed: $report"
    printf '%s\n' "$report"
}

# tcp_gbps NAME NETWORK SECONDS STREAMS: received, in Gbit/s. The congestion control is fixed: hosts differ in their default.
tcp_gbps() {
    iperf "$1" "$2" --time "$3" --parallel "$4" --congestion cubic |
        awk '/receiver/ { for (i = 2; i <= NF; i++) if ($i == "Mbits/sec") rate = $(i - 1) } END { printf "%.2f\n", rate / 1000 }'
}

# udp_kpps NAME NETWORK SECONDS: 64-byte datagrams received, in thousands per second, while the sender sends all it can.
udp_kpps() { datagrams sink flood "$@"; }

# rtt_us NAME NETWORK SECONDS: round trip of a 64-byte datagram, "P50 P99" in microseconds.
rtt_us() { datagrams echo ping "$@"; }

# datagrams SERVER CLIENT NAME NETWORK SECONDS: the example program's two ends, in NAME-a and NAME-b; what they print.
datagrams() {
    local to server
    to=$(address "$3-a" "$4")
    in_container "$3-a" "$bin/examples/datagrams" "$1" 7000 &
    server=$!
    sleep 0.2
    in_container "$3-b" "$bin/examples/datagrams" "$2" "$to" 7000 "$5"
    wait "$server" || die "datagrams $1 over $4 failed"
}

# median: of the numbers on standard input, one a line.
median() { sort -n | awk '{ all[NR] = $1 } END { print NR % 2 ? all[(NR + 1) / 2] : (all[NR / 2] + all[NR / 2 + 1]) / 2 }'; }

# ratio A B: A / B with two digits.
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }
