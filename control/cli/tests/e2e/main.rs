//! Paceline as users meet it: the built program, a real Docker Engine, containers.
//!
//! One private engine (see `scripts/engine`) serves all cases; every case starts a switch of its own under its own driver name,
//! so that nothing is shared but the engine. After each case the engine's namespace must hold the links it held before.
//! Without root there is nothing to test here, and the run says so.
#![forbid(unsafe_code)]

mod cases;
mod command;
mod container;
mod engine;
mod host;
mod http;
mod network;
mod outside;
mod place;
mod station;
mod switch;
mod underlay;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use engine::Engine;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each case has two cores' worth of engine, switch and containers of its own.
    arguments.test_threads.get_or_insert(1);
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: end-to-end tests need root (network namespaces, a Docker Engine)");
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("PACELINE_E2E").is_some_and(|wish| wish == "skip") {
        println!("skipped: PACELINE_E2E=skip");
        return ExitCode::SUCCESS;
    }
    let engine = match Engine::start() {
        Ok(engine) => Arc::new(engine),
        Err(error) => {
            eprintln!("error: the private Docker Engine did not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials(Some(&engine)));
    engine.stop();
    conclusion.exit_code()
}

/// All cases; without an engine they can be listed but not run.
fn trials(engine: Option<&Arc<Engine>>) -> Vec<Trial> {
    let trial = |(module, name, case): cases::Named| {
        let engine = engine.cloned();
        Trial::test(format!("{module}::{name}"), move || {
            let engine = engine.ok_or("listed only")?;
            let before = engine.links();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case(&engine))) {
                engine.sweep();
                resume_unwind(panic);
            }
            let after = engine.links();
            if before == after {
                Ok(())
            } else {
                Err(format!("links left behind: {before:?} became {after:?}").into())
            }
        })
    };
    cases::all().map(trial).collect()
}
