//! How a command ends when it cannot do what it was asked.

use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use miette::{GraphicalReportHandler, GraphicalTheme};
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
    /// Sessions of something that has none.
    #[error("--session: goes with `show nat` only")]
    Session,
    /// A packet that policies do not let through; all was said.
    #[error("denied")]
    Denied,
    /// A ping without an answer.
    #[error("no answer from {0}")]
    NoAnswer(IpAddr),
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
            Self::Denied => {}
            Self::Config(error) => {
                let theme = if io::stderr().is_terminal() {
                    GraphicalTheme::default()
                } else {
                    GraphicalTheme::unicode_nocolor()
                };
                let _ = write!(io::stderr(), "{}", picture(&error, theme));
            }
            other => {
                let _ = writeln!(io::stderr(), "error: {other}");
            }
        }
        ExitCode::FAILURE
    }
}

/// The problems of a configuration file, each below its line.
fn picture(error: &ConfigError, theme: GraphicalTheme) -> String {
    let mut picture = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100).with_links(false);
    // Only a string that cannot grow would be an error.
    let _ = handler.render_report(&mut picture, error);
    picture
}

#[cfg(test)]
mod tests {
    use super::*;
    use paceline_model::Config;
    use paceline_model::config::Host;

    #[test]
    fn problems_are_shown_where_they_are() {
        let text = "\
[workers]
idle_spin_us = 2000000

[[port]]
name = \"a\"
kind = \"tap\"
quues = 2
";
        let error = Config::parse("sim.toml", text, &Host::default()).unwrap_err();
        let picture = picture(&error, GraphicalTheme::unicode_nocolor());
        assert_eq!(picture, include_str!("golden/problems.txt"), "{picture}");
    }
}
