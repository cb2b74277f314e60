//! Running programs and judging how they ended.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

/// What a finished program said.
#[must_use]
pub struct Outcome {
    told: String,
    success: bool,
    stdout: String,
    stderr: String,
}

/// Runs a program to its end, with no standard input.
pub fn run(command: &mut Command) -> Outcome {
    let mut told = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let _ = write!(told, " {}", argument.to_string_lossy());
    }
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{told}: {error}"));
    Outcome {
        told,
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    }
}

impl Outcome {
    /// Did it succeed?
    pub fn succeeded(&self) -> bool {
        self.success
    }

    /// What it printed, however it ended.
    pub fn stdout(&self) -> &str {
        &self.stdout
    }

    /// Its standard output; panics if it failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.success, "failed: {}\n{}\n{}", self.told, self.stdout, self.stderr);
        self.stdout
    }

    /// Its standard error; panics if it succeeded.
    #[track_caller]
    pub fn fails(self) -> String {
        assert!(!self.success, "should have failed: {}\n{}", self.told, self.stdout);
        self.stderr
    }

    /// It removed something, or there was nothing to remove. For drops: what stays is told, and fails the case unless it fails already.
    pub fn expect_gone(self) {
        if !self.success && !self.stderr.contains("No such") && !self.stderr.contains("not found") {
            eprintln!("not removed: {}\n{}", self.told, self.stderr);
            assert!(std::thread::panicking(), "not removed: {}", self.told);
        }
    }

    /// It failed, with an error that names all of `parts`.
    #[track_caller]
    pub fn fails_naming(self, parts: &[&str]) {
        let told = self.told.clone();
        let error = self.fails();
        for part in parts {
            assert!(error.contains(part), "{told}: the error should name \"{part}\": {error}");
        }
    }
}
