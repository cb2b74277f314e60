//! Ports held on a host.
