//! `AF_PACKET` sockets with virtio-net headers (packet(7)): the switch's end of a veth or of any other interface, whose
//! frames pass with their offloads, super-packets and open checksums, as on a TAP.
//!
//! [`PacketSocket`] moves frames in batches with recvmmsg and sendmmsg. What forwarding a frame from veth to veth costs our
//! core by the ways there are (`examples/compare.rs`, Linux 6.18 on a 2-core VM, medians of 2000 bursts of 32 and 8 frames,
//! each frame copied into our memory once):
//!
//! | way | 64-byte frame | 64 KiB super-packet |
//! |---|---|---|
//! | recvmsg, sendmsg | 3000 ns · 333 kpps | 8.1 µs · 64 Gbit/s |
//! | **recvmmsg, sendmmsg** | 1730 ns · 580 kpps | 7.1 µs · 72 Gbit/s |
//! | the same with `PACKET_QDISC_BYPASS` | 1710 ns · 586 kpps | 7.2 µs · 71 Gbit/s |
//! | `TPACKET_V2` ring, sendmmsg | 1180 ns · 851 kpps | 6.3 µs · 82 Gbit/s |
//!
//! The ring is not chosen in spite of its figures. Its frames have one size, so to take super-packets it pins 64 KiB and more
//! for each: 16 MiB per port for 256 frames, with hundreds of containers on a host. `TPACKET_V3` packs frames, but hands
//! them over a block at a time or after a timeout of a millisecond, thirty times the round trip that we aim at. And a part
//! of the gain is the copy into the ring, which the sender's core makes instead of ours.

mod error;
mod socket;

pub use error::{PacketError, is_down, is_gone};
pub use socket::{BATCH, HEADER, PacketSocket, RxSlot, VlanTag};
