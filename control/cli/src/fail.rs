//! How a command ends when it cannot do what it was asked.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use paceline_daemon::{ClientError, RunError};
use paceline_model::ConfigError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Fail {
    /// The configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The switch does not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The running switch did not answer, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A benchmark.
    #[error(transparent)]
    Bench(#[from] paceline_bench::BenchError),
    /// A file of the user.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The runtime, or standard output.
    #[error("{0}")]
    System(io::Error),
}

impl Fail {
    /// Says it on standard error; the exit status for it.
    pub fn report(self) -> ExitCode {
        match self {
            // `paceline show … | head` is no error.
            Self::System(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Self::Config(error) => {
                let _ = write!(io::stderr(), "{:?}", miette::Report::new(error));
            }
            other => {
                let _ = writeln!(io::stderr(), "error: {other}");
            }
        }
        ExitCode::FAILURE
    }
}
