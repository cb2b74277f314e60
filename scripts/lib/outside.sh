# shellcheck shell=bash
# Another host, which is a neighbour of the Docker host: a network namespace behind a veth. All addresses are of documentation's.

outside_netns=paceline-outside
outside_link=pace-outside
# Its own, and the Docker host's there: IPv4, IPv6.
outside_own=(192.0.2.10 2001:db8::10)
outside_host=(192.0.2.1 2001:db8::1)

outside_make() {
    local in=(ip -n "$outside_netns") there
    [[ ! -e /run/netns/$outside_netns ]] || die "the network namespace $outside_netns is there already: ip netns del $outside_netns"
    there=$("${engine_net[@]}" ip -o address show to 192.0.2.0/24)
    [[ -z $there ]] || die "this host has an address of 192.0.2.0/24, which is documentation's: $there"
    defer outside_remove
    ip netns add "$outside_netns"
    "${engine_net[@]}" ip link add "$outside_link" type veth peer name eth0 netns "$outside_netns"
    "${in[@]}" link set lo up
    "${in[@]}" link set eth0 up
    "${engine_net[@]}" ip link set "$outside_link" up
    "${in[@]}" address add "${outside_own[0]}/24" dev eth0
    "${engine_net[@]}" ip address add "${outside_host[0]}/24" dev "$outside_link"
    if [[ -e /proc/net/if_inet6 ]]; then
        "${in[@]}" address add "${outside_own[1]}/64" dev eth0 nodad
        "${engine_net[@]}" ip address add "${outside_host[1]}/64" dev "$outside_link" nodad
    fi
}

outside_remove() {
    local pids
    pids=$(ip netns pids "$outside_netns" 2>/dev/null)
    # shellcheck disable=SC2086 # a list of numbers
    [[ -z $pids ]] || kill $pids
    # The other end goes with it, now rather than when the kernel gets to it.
    ip -n "$outside_netns" link del eth0
    ip netns del "$outside_netns"
} 2>/dev/null
