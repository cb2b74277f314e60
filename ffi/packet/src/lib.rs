//! AF_PACKET sockets with virtio-net headers.
