//! Frames with a virtio-net header before them, as TAPs and packet sockets have them.

use std::fs;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::LazyLock;

use paceline_buf::{DATA_OFFSET, Packet, ROOM_OFFSET, VnetHdr};
use paceline_graph::{Capabilities, Reason};
use paceline_wire::ethernet::HEADER_LEN;
use paceline_wire::vlan::TAG_LEN;

/// Bytes of header before a frame.
pub const HEADER: usize = VnetHdr::LEN;
/// Header and frame of the largest super-packet: an IP packet of 64 KiB behind an Ethernet header and a tag.
pub const LARGEST: usize = HEADER + HEADER_LEN + TAG_LEN + 65_536;
/// Headroom of a chunk into which header and frame are received, so that the frame starts where all frames do.
pub const HEADROOM: usize = DATA_OFFSET - ROOM_OFFSET - HEADER;
/// Bytes after which a vector is sent on, full or not: a quarter of a usual second-level cache, so that what was copied in is
/// still there when it is copied out. A full vector of super-packets would be 16 MiB.
pub const ENOUGH: usize = 256 << 10;
/// Most pieces that a frame may be sent in: a super-packet in chunks of 2048 bytes, some of them replicated, needs 40.
const PIECES: usize = 64;

/// The first version of Linux that takes UDP to be cut with such a header (`VIRTIO_NET_HDR_GSO_UDP_L4`); older ones refuse the frame.
const KNOWS_USO: (u32, u32) = (6, 2);

/// What this kernel does for frames with such a header.
pub fn capabilities() -> Capabilities {
    static KERNEL: LazyLock<Capabilities> = LazyLock::new(|| {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Capabilities {
            uso: version(&release).is_some_and(|version| version >= KNOWS_USO),
            ..Capabilities::ALL
        }
    });
    *KERNEL
}

/// The first two numbers of a release of Linux.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Takes the header off a packet that was received with it, and leaves what it says on the packet.
///
/// The kernel writes this header, but from what a container (or its virtual machine) said: a checksum that lies outside the
/// frame would make a later port write there.
#[inline]
pub fn accept(packet: &mut Packet) -> Result<(), Reason> {
    let Some(&bytes) = packet.data().first_chunk::<HEADER>() else { return Err(Reason::Runt) };
    packet.trim_front(HEADER);
    accept_with(packet, &bytes)
}

/// As [`accept`], of a packet that was received without the header, which came beside it.
#[inline]
pub fn accept_with(packet: &mut Packet, header: &[u8; HEADER]) -> Result<(), Reason> {
    if packet.len() < HEADER_LEN {
        return Err(Reason::Runt);
    }
    if *header != [0; HEADER] {
        return accept_offload(packet, VnetHdr::from_bytes(header));
    }
    Ok(())
}

fn accept_offload(packet: &mut Packet, header: VnetHdr) -> Result<(), Reason> {
    let field = usize::from(header.csum_start) + usize::from(header.csum_offset);
    let outside = header.needs_csum() && field + 2 > packet.total_len();
    if outside || (header.is_gso() && header.gso_size == 0) {
        return Err(Reason::BadOffload);
    }
    packet.set_offload(header);
    Ok(())
}

/// The header that a packet is sent with.
#[inline]
pub fn header(packet: &Packet) -> [u8; HEADER] {
    packet.offload().map_or([0; HEADER], VnetHdr::to_bytes)
}

/// Calls `send` with the pieces of header and frame.
#[inline]
pub fn gather<R>(
    header: &[u8],
    packet: &Packet,
    send: impl FnOnce(&[IoSlice<'_>]) -> R,
) -> Result<R, Reason> {
    let mut pieces = [IoSlice::new(&[]); PIECES];
    pieces[0] = IoSlice::new(header);
    let mut count = 1;
    for segment in packet.segments() {
        *pieces.get_mut(count).ok_or(Reason::TxTooLong)? = IoSlice::new(segment);
        count += 1;
    }
    Ok(send(&pieces[..count]))
}

/// What the kernel's refusal of a frame means.
#[cold]
pub fn refusal(error: &io::Error, packet: &Packet) -> Reason {
    use nix::errno::Errno;
    match (error.kind(), error.raw_os_error().map(Errno::from_raw)) {
        (ErrorKind::WouldBlock, _) | (_, Some(Errno::ENOBUFS | Errno::ENOMEM)) => Reason::TxFull,
        (_, Some(Errno::EIO | Errno::EBADFD | Errno::ENETDOWN | Errno::ENXIO | Errno::ENODEV)) => {
            Reason::PortDown
        }
        (_, Some(Errno::EMSGSIZE)) => Reason::TooBig,
        (_, Some(Errno::EINVAL)) if packet.offload().is_some() => Reason::BadOffload,
        _ => Reason::TxError,
    }
}

/// Whether the packets behind a refused one would be refused as well, so that trying each would only cost system calls.
#[inline]
pub fn is_lasting(reason: Reason) -> bool {
    matches!(reason, Reason::TxFull | Reason::PortDown)
}

#[cfg(test)]
mod tests {
    use paceline_buf::Pool;
    use proptest::prelude::*;

    use super::*;
    use crate::frame;

    proptest! {
        #[test]
        fn any_bytes_are_accepted_or_refused(
            header in prop_oneof![Just([0; HEADER]), any::<[u8; HEADER]>()],
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let pool = Pool::small(64);
            let mut cache = pool.cache();
            let mut packet = frame::copy_in(&mut cache, &[&header[..], &body].concat()).expect("a chunk");
            match accept(&mut packet) {
                Ok(()) => {
                    prop_assert_eq!(packet.data(), &body[..]);
                    prop_assert_eq!(super::header(&packet), header);
                    if let Some(offload) = packet.offload().filter(VnetHdr::needs_csum) {
                        prop_assert!(usize::from(offload.csum_start) + usize::from(offload.csum_offset) + 2 <= body.len());
                    }
                }
                Err(reason) => prop_assert_eq!(reason == Reason::Runt, body.len() < 14),
            }
            cache.free(packet);
        }
    }

    #[test]
    fn releases_of_linux_are_told_apart() {
        let all = ["6.18.44-fc", "6.2.0", "6.1.0-13-amd64", "5.15.0-91-generic\n", "10.0"];
        assert_eq!(all.map(|release| version(release) >= Some(KNOWS_USO)), [true, true, false, false, true]);
        assert_eq!([version("6"), version("linux"), version("")], [None; 3]);
    }

    #[test]
    fn too_many_pieces_are_refused() {
        let pool = Pool::small(128);
        let mut cache = pool.cache();
        let mut packet = frame::copy_in(&mut cache, &[1; 14]).expect("a chunk");
        for segments in 2..=64 {
            let tail = frame::copy_in(&mut cache, &[2; 10]).expect("a chunk");
            packet.push_tail(tail);
            let pieces = gather(&[0; HEADER], &packet, |pieces| pieces.len());
            assert_eq!(pieces, if segments < 64 { Ok(segments + 1) } else { Err(Reason::TxTooLong) });
        }
        cache.free(packet);
    }
}
