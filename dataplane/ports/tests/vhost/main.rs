//! vhost-user beyond what all ports do: what is agreed upon, who comes and goes, who breaks the rules, and DPDK at the other end.

#[path = "../guest/mod.rs"]
mod guest;
mod hostile;
mod peers;
mod switch;
mod terms;
mod testpmd;
