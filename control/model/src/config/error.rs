//! Errors that point into the file.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use miette::{Diagnostic, NamedSource};

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConfigError {
    /// It could not be read.
    #[error("configuration {}: {source}", path.display())]
    #[diagnostic(help("see that the file exists and may be read"))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was read, but not everything in it makes sense. Shown by miette, each problem with its line.
    #[error("configuration {name}: {}", count(problems.len()))]
    Problems {
        /// The file's name.
        name: String,
        /// The file's text.
        #[source_code]
        text: NamedSource<String>,
        /// What does not make sense, in the order of the file.
        #[related]
        problems: Vec<Problem>,
    },
}

fn count(problems: usize) -> String {
    match problems {
        1 => "1 problem".into(),
        _ => format!("{problems} problems"),
    }
}

/// One thing in the file that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct Problem {
    /// What is wrong: field, value and what would be right.
    pub message: String,
    /// The bytes of the file it is about.
    #[label("here")]
    pub span: Range<usize>,
}

impl ConfigError {
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.into(), source }
    }

    pub(crate) fn problems(name: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.start);
        let source = NamedSource::new(name, text.to_owned()).with_language("TOML");
        Self::Problems { name: name.into(), text: source, problems }
    }
}
