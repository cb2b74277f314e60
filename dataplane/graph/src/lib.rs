//! Nodes, dispatch, feature arcs, counters, trace and the configuration snapshot.
#![forbid(unsafe_code)]
