# shellcheck shell=bash
# Messages for people. `plan N` says how many steps follow, `step TEXT` begins the next one.

step_now=0
step_all=0

if [[ -t 1 ]]; then bold=$'\e[1m' red=$'\e[31m' plain=$'\e[0m'; else bold='' red='' plain=''; fi

plan() { step_all=$1; }

step() {
    step_now=$((step_now + 1))
    printf '\n%s[%d/%d] %s%s\n' "$bold" "$step_now" "$step_all" "$*" "$plain"
}

note() { printf '      %s\n' "$*"; }

# Ends the script with one clear error.
die() {
    printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2
    exit 1
}

# show COMMAND...: prints the command as a user would type it, then runs it.
show() {
    printf '%s$ %s%s\n' "$bold" "$*" "$plain"
    "$@"
}
