//! The control thread: reconciler, API server, life cycle.
#![forbid(unsafe_code)]
