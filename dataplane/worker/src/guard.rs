//! Threads that end only when they are told to.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Lives the life of a thread. If that ends in a panic the log says so; [`Engine::failed`](crate::Engine::failed) tells control.
pub(crate) fn guard(thread: &str, live: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(live)) {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let why = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?");
        tracing::error!(thread, why, "a thread panicked: the switch must be started again");
    }
}
