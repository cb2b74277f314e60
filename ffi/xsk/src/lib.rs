//! AF_XDP sockets and the XDP program that feeds them, without libbpf.
