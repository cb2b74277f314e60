# shellcheck shell=bash
# A stack of clean-up commands, run last to first when the script ends, fails or is interrupted.

cleanup_stack=()
cleanup_keep=no

# defer COMMAND ARGUMENT...: run this at the end. A command that fails does not stop the rest.
defer() { cleanup_stack+=("$(printf '%q ' "$@")"); }

# Leave everything as it is when the script ends well; a failure still cleans up.
keep_on_success() { cleanup_keep=yes; }

cleanup_run() {
    local status=$? i
    trap '' INT TERM HUP
    trap - EXIT
    set +e
    if [[ $cleanup_keep == yes && $status == 0 ]]; then exit 0; fi
    for ((i = ${#cleanup_stack[@]} - 1; i >= 0; i--)); do
        eval "${cleanup_stack[i]}"
    done
    exit "$status"
}

trap cleanup_run EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
