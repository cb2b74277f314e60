# shellcheck shell=bash
# A stack of clean-up commands, run last to first when the script ends, fails or is interrupted.

cleanup_stack=()
cleanup_keep=''

# defer COMMAND ARGUMENT...: run this at the end. A command that fails does not stop the rest.
defer() { cleanup_stack+=("$(printf '%q ' "$@")"); }

# keep_on_success FILE: leave everything as it is when the script ends well; a failure still cleans up. FILE becomes a script
# that cleans up later.
keep_on_success() { cleanup_keep=$1; }

cleanup_write() {
    local i
    printf '#!/usr/bin/env bash\n# Removes what was left running.\n'
    # shellcheck disable=SC2016 # to be expanded by the script that is written
    printf 'for part in %q/scripts/lib/*.sh; do source "$part"; done\n' "$root"
    printf 'export DOCKER_HOST=%q\n' "${DOCKER_HOST:-}"
    for ((i = ${#cleanup_stack[@]} - 1; i >= 0; i--)); do printf '%s\n' "${cleanup_stack[i]}"; done
}

cleanup_run() {
    local status=$? i
    trap '' INT TERM HUP
    trap - EXIT
    set +e
    if [[ -n $cleanup_keep && $status == 0 ]]; then
        cleanup_write >"$cleanup_keep"
        chmod +x "$cleanup_keep"
        exit 0
    fi
    for ((i = ${#cleanup_stack[@]} - 1; i >= 0; i--)); do
        eval "${cleanup_stack[i]}"
    done
    exit "$status"
}

trap cleanup_run EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
