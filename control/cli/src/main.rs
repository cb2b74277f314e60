//! The `paceline` command: runs the switch, and looks into a running one.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod check;
mod config;
mod fail;
mod flows;
mod pcap;
mod ping;
mod policy;
mod route;
mod run;
mod show;
mod table;
mod trace;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use paceline_daemon::Client;

use args::{Args, Clear, Command};
use fail::Fail;

fn main() -> ExitCode {
    match execute(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => fail.report(),
    }
}

fn execute(args: Args) -> Result<(), Fail> {
    let client = Client::new(&args.api_socket());
    match args.command {
        Command::Run(ref options) => run::run(options, args.api_socket.as_deref()),
        Command::Check { file } => check::check(&file),
        Command::Show(show) => ask(show::show(&client, show)),
        Command::Trace(trace) => ask(trace::trace(&client, trace)),
        Command::Clear(Clear::Macs { bridge }) => ask(show::clear_macs(&client, bridge)),
        Command::Clear(Clear::Network { id }) => ask(show::clear_network(&client, id)),
        Command::Clear(Clear::Trace) => ask(trace::clear(&client)),
        Command::Pcap(options) => ask(pcap::capture(&client, options)),
        Command::Route(command) => ask(route::route(&client, command)),
        Command::Policy(command) => ask(policy::policy(&client, command)),
        Command::Flows(options) => ask(flows::flows(&client, options)),
        Command::Ping(options) => ask(ping::ping(&client, options)),
        Command::Bench(options) => bench::bench(&options),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "paceline", &mut io::stdout());
            Ok(())
        }
    }
}

/// Waits for what asks the running switch.
fn ask(answer: impl Future<Output = Result<(), Fail>>) -> Result<(), Fail> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fail::System)?.block_on(answer)
}
