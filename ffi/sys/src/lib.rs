//! What Paceline asks of Linux and the CPU: memory regions, clocks, prefetch, network namespaces.
