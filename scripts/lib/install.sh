# shellcheck shell=bash
# What a machine must have, and how it gets it.

# root's PATH lacks these when it comes from `su` without a dash, or from a service.
PATH="$PATH:/usr/sbin:/sbin:${HOME:-/root}/.cargo/bin"

need_packages=()

require_root() {
    [[ $(id -u) == 0 ]] || die "$1 needs root (network namespaces, TAP devices, Docker's plugin directory): run it with sudo"
}

# need COMMAND "PACKAGE..." WHY: asks for Debian packages if the command is not there. They are installed by install_needed.
need() {
    if command -v "$1" >/dev/null; then return; fi
    note "missing $1: installing $2 ($3)"
    # shellcheck disable=SC2206 # one argument may name several packages
    need_packages+=($2)
}

install_needed() {
    if ((${#need_packages[@]} == 0)); then return; fi
    command -v apt-get >/dev/null || die "no apt-get here: install ${need_packages[*]} by hand, then run this again"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null
    apt-get install -y -qq --no-install-recommends "${need_packages[@]}" </dev/null >/dev/null
    need_packages=()
}
