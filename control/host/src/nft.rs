//! The program `nft`, which speaks to nftables.
//!
//! The program rather than netlink messages of our own: its language is what people read in `nft list ruleset` and in our
//! tests, it makes one transaction of one script, and every distribution has it. Its JSON says no more than its language.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::HostError;

/// Where the program is.
#[derive(Debug, Clone)]
pub struct Nft {
    program: PathBuf,
}

impl Nft {
    /// Looks for the program in `PATH` and where root's programs are, which a service's `PATH` may lack.
    ///
    /// # Errors
    /// [`HostError::NoNft`].
    pub fn find() -> Result<Self, HostError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
        let program = dirs.map(|dir| dir.join("nft")).find(|program| program.is_file());
        program.map(|program| Self { program }).ok_or(HostError::NoNft)
    }

    /// Runs a script: all of it, or nothing.
    ///
    /// # Errors
    /// [`HostError::Nft`] with what the program said, [`HostError::NftProgram`].
    pub async fn run(&self, script: &str) -> Result<(), HostError> {
        self.call(&["-f", "-"], script).await.map(drop)
    }

    /// What the program prints when it is called with these arguments.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn ask(&self, args: &[&str]) -> Result<String, HostError> {
        self.call(args, "").await
    }

    async fn call<A: AsRef<OsStr>>(&self, args: &[A], input: &str) -> Result<String, HostError> {
        let failed = |source: io::Error| HostError::NftProgram { program: self.program.clone(), source };
        let mut command = Command::new(&self.program);
        command.args(args).env("LC_ALL", "C").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        let write = async {
            if let Some(mut stdin) = stdin {
                stdin.write_all(input.as_bytes()).await?;
            }
            Ok(())
        };
        // Together: a program that prints much does not read on until that is taken from it.
        let (written, out) = tokio::join!(write, child.wait_with_output());
        let out = out.map_err(failed)?;
        if !out.status.success() {
            // Of a script that it does not understand it repeats the lines; the first one says what is wrong.
            let said = String::from_utf8_lossy(&out.stderr);
            let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no message");
            return Err(HostError::Nft(said.to_owned()));
        }
        written.map_err(failed)?;
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }
}
