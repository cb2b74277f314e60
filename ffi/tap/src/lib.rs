//! TAP devices with virtio-net headers and offloads.
