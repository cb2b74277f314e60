# shellcheck shell=bash
# Building the workspace. `root` is the top of the checkout, set by the script that sources this.

need_build_tools() {
    command -v cargo >/dev/null ||
        die "no cargo here: install Rust from https://rustup.rs (1.90 or later; Debian 12's own is too old), then run this again"
    need cc "gcc libc6-dev" "links Rust programs"
}

# build_release CARGO-ARGUMENT...: an optimised build; its programs are in $bin.
build_release() {
    (cd "$root" && cargo build --release --locked "$@")
    bin="${CARGO_TARGET_DIR:-$root/target}/release"
}
