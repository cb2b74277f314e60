# shellcheck shell=bash
# Pairs of containers, and what passes between the two. Measuring programs are the host's own, run in a container's network namespace.

need_traffic_tools() {
    need iperf3 iperf3 "measures throughput"
    need awk mawk "reads what iperf3 says"
    need setpriv util-linux "ends a program with the script that started it"
}

# pair NAME NETWORK OPTION...: two running containers NAME-a and NAME-b on a network, and the way NAME from b to a. Options of
# `docker run` are for a alone.
pair() {
    local one options=("${@:3}")
    for one in "$1-a" "$1-b"; do
        defer remove_container "$one"
        docker run --detach --name "$one" --network "$2" "${options[@]}" "$image" sleep 1000000 >/dev/null
        options=()
    done
    way "$1" "$1-b" "$1-a" "$(address "$1-a" "$2")"
}

remove_container() { docker rm --force "$1" >/dev/null 2>&1; }
remove_network() { docker network rm "$1" >/dev/null 2>&1; }

# address CONTAINER NETWORK [IPAddress|GlobalIPv6Address|Gateway|IPv6Gateway]
address() { docker inspect --format "{{(index .NetworkSettings.Networks \"$2\").${3:-IPAddress}}}" "$1"; }

# find_place PLACE: sets `there` to what to put before a program of this machine so that it runs in a place's network namespace. A
# place is a container, or "host", which is the Docker host, or "outside". The program ends with the shell that starts it.
find_place() {
    there=(setpriv --pdeathsig KILL)
    case $1 in
    host) there+=("${engine_net[@]}") ;;
    outside) there+=(nsenter --net="/run/netns/$outside_netns") ;;
    *) there+=(nsenter --target "$(docker inspect --format '{{.State.Pid}}' "$1")" --net) ;;
    esac
}

# at PLACE COMMAND...: runs a program there.
at() {
    local there
    find_place "$1"
    "${there[@]}" "${@:2}"
}

# What is measured: from where to where, the address to speak to, and what the ports there are more than those of the server.
declare -A way_from=() way_to=() way_address=() way_offset=()

# way NAME FROM TO ADDRESS [OFFSET]
way() {
    way_from["$1"]=$2
    way_to["$1"]=$3
    way_address["$1"]=$4
    way_offset["$1"]=${5:-0}
}

# Of iperf and of datagrams.
iperf_port=5201
datagrams_port=7000

# iperf WAY ARGUMENT...: prints the client's report.
iperf() {
    local report server tries there port=$((iperf_port + way_offset["$1"]))
    find_place "${way_to["$1"]}"
    "${there[@]}" iperf3 --server --port "$iperf_port" --one-off >/dev/null 2>&1 &
    server=$!
    find_place "${way_from["$1"]}"
    for ((tries = 0; tries < 50; tries++)); do
        if report=$("${there[@]}" iperf3 --client "${way_address["$1"]}" --port "$port" --format m "${@:2}" 2>&1); then break; fi
        sleep 0.1
    done
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    [[ $report == *receiver* ]] || die "iperf3 over $1 failed: $report"
    printf '%s\n' "$report"
}

# tcp_gbps WAY SECONDS STREAMS: received, in Gbit/s. The congestion control is fixed: hosts differ in their default.
tcp_gbps() {
    iperf "$1" --time "$2" --parallel "$3" --congestion cubic |
        awk '/receiver/ { for (i = 2; i <= NF; i++) if ($i == "Mbits/sec") rate = $(i - 1) } END { printf "%.2f\n", rate / 1000 }'
}

# udp_kpps WAY SECONDS: 64-byte datagrams received, in thousands per second, while the sender sends all it can.
udp_kpps() { datagrams sink flood "$@"; }

# rtt_us WAY SECONDS: round trip of a 64-byte datagram, "P50 P99" in microseconds.
rtt_us() { datagrams echo ping "$@"; }

# datagrams SERVER CLIENT WAY SECONDS: the example program's two ends; what they print.
datagrams() {
    local server there
    find_place "${way_to["$3"]}"
    "${there[@]}" "$bin/examples/datagrams" "$1" "$datagrams_port" &
    server=$!
    sleep 0.2
    find_place "${way_from["$3"]}"
    "${there[@]}" "$bin/examples/datagrams" "$2" "${way_address["$3"]}" $((datagrams_port + way_offset["$3"])) "$4"
    wait "$server" || die "datagrams $1 over $3 failed"
}

# median: of the numbers on standard input, one a line.
median() { sort -n | awk '{ all[NR] = $1 } END { print NR % 2 ? all[(NR + 1) / 2] : (all[NR / 2] + all[NR / 2 + 1]) / 2 }'; }

# ratio A B: A / B with two digits.
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }
