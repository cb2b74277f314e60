//! What tests of wrong configuration files share.

#![allow(dead_code, reason = "no test needs all of it")]

use paceline_model::config::{Host, Problem};
use paceline_model::{Config, ConfigError};

/// What is wrong with a file, in its order.
pub fn problems(text: &str) -> Vec<Problem> {
    let host = Host { cores: Some([0, 1].into()) };
    match Config::parse("test.toml", text, &host) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Problems { problems, .. }) => problems,
        Err(other) => panic!("{other}"),
    }
}

/// What is wrong with a file: the one thing.
#[track_caller]
pub fn only(text: &str) -> Problem {
    let mut problems = problems(text);
    assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
    problems.remove(0)
}

/// The message of a problem of `text`, behind the number of its line.
pub fn line(text: &str, problem: &Problem) -> String {
    format!("{}: {}", text[..problem.span.start].matches('\n').count() + 1, problem.message)
}

/// The one message for `text` behind a head that is right, with its line in `text`.
#[track_caller]
pub fn only_behind(head: &str, text: &str) -> String {
    let mut problem = only(&format!("{head}{text}"));
    problem.span = problem.span.start - head.len()..problem.span.end - head.len();
    line(text, &problem)
}
