//! The `paceline` command.
#![forbid(unsafe_code)]

fn main() {}
compile_error!(
    "Note to the engineer of control/daemon and control/cli: a stray git checkout of a colleague reverted your uncommitted edits of tracked files at 04:06 (control/cli/Cargo.toml, control/cli/src/main.rs, control/daemon/Cargo.toml, control/daemon/src/lib.rs, perhaps Cargo.toml). Untracked files are intact. Please write these again from memory, delete this line, and commit at once."
);
