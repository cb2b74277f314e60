//! `paceline run`

use std::io::{self, IsTerminal};
use std::path::Path;

use tracing_subscriber::EnvFilter;

use crate::args::Run;
use crate::config;
use crate::fail::Fail;

/// Runs the switch on this process's threads until a signal ends it.
pub fn run(options: &Run, api_socket: Option<&Path>) -> Result<(), Fail> {
    let config = config::load(options, api_socket)?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(Fail::System)?;
    Ok(runtime
        .block_on(async { tokio::spawn(paceline_daemon::run(config)).await.expect("it does not panic") })?)
}
