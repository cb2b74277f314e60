//! Conversations that the kernel goes on translating as it did when they began.
//!
//! A published port may have another container by now, or one where there was none. A connection of TCP ends with the container
//! that it is with. But to the kernel datagrams of one client are one conversation, which keeps its first translation for as long
//! as the client goes on: it would talk to a container that is gone. So it is forgotten, and the next datagram begins another.
//!
//! Messages: linux/netfilter/nfnetlink_conntrack.h; each is a `struct nfgenmsg` and attributes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use paceline_model::{GatewayMode, HostPlan, Protocol};

use crate::plan::Family;

/// `NFNL_SUBSYS_CTNETLINK << 8`, and its messages.
const GET: u16 = 0x101;
const DELETE: u16 = 0x102;
/// Attributes of a message, of a tuple, and of a tuple's two parts.
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ZONE: u16 = 18;
const IP: u16 = 1;
const PROTO: u16 = 2;
const V4: [u16; 2] = [1, 2];
const V6: [u16; 2] = [3, 4];
const NUMBER: u16 = 1;
const PORTS: [u16; 2] = [2, 3];
/// `NLA_TYPE_MASK`, which takes off the flags, and `NLA_F_NESTED`.
const TYPE: u16 = 0x3fff;
const NESTED: u16 = 0x8000;
/// Bytes of `struct nlmsghdr` and `struct nfgenmsg`.
const HEADER: usize = 16;
const GENERIC: usize = 4;

/// Ports of the host that datagrams are translated at, by protocol number and port: to which containers.
pub type Translated = BTreeMap<(u8, u16), BTreeSet<SocketAddr>>;

/// Those of a plan.
pub fn translated(plan: &HostPlan) -> Translated {
    let mut all = Translated::new();
    for port in plan.ports.iter().filter(|port| port.port.protocol != Protocol::Tcp) {
        let Some(network) = plan.networks.get(&port.network) else { continue };
        for family in Family::BOTH {
            if let Some(ip) = family.container(port)
                && family.leaves(network)
                && family.mode(network) == GatewayMode::Nat
            {
                let key = (port.port.protocol.number(), port.port.host_port);
                all.entry(key).or_default().insert(SocketAddr::new(ip, port.port.port));
            }
        }
    }
    all
}

/// Forgets those conversations with `host`'s addresses whose translation differs between `before` and `now`, and is not as it is
/// now; how many.
///
/// # Errors
/// What the kernel says, as when it cannot list them (module `nf_conntrack_netlink`).
pub fn forget(before: &Translated, now: &Translated, host: &BTreeSet<IpAddr>) -> io::Result<usize> {
    let none = BTreeSet::new();
    let keys: BTreeSet<_> =
        before.keys().chain(now.keys()).filter(|key| before.get(key) != now.get(key)).collect();
    if keys.is_empty() {
        return Ok(0);
    }
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    let mut wrong = Vec::new();
    ask(&socket, GET, libc::NLM_F_DUMP, 0, &[], |family, attributes| {
        let tuple = |kind| find(attributes, kind).and_then(Tuple::read);
        let (Some(asked), Some(answers)) = (tuple(TUPLE_ORIG), tuple(TUPLE_REPLY)) else { return };
        let key = (asked.protocol, asked.to.port());
        if keys.contains(&key)
            && host.contains(&asked.to.ip())
            && !now.get(&key).unwrap_or(&none).contains(&answers.from)
        {
            // What names it: its first tuple, and its zone if it has one.
            let named = |kind| find(attributes, kind).map(|value| attribute(kind, value));
            wrong.push((
                family,
                [named(TUPLE_ORIG), named(ZONE)].into_iter().flatten().flatten().collect::<Vec<u8>>(),
            ));
        }
    })?;
    for (family, name) in &wrong {
        match ask(&socket, DELETE, libc::NLM_F_ACK, *family, name, |_, _| {}) {
            // It has ended meanwhile.
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {}
            done => done?,
        }
    }
    Ok(wrong.len())
}

/// One direction of a conversation.
struct Tuple {
    protocol: u8,
    from: SocketAddr,
    to: SocketAddr,
}

impl Tuple {
    fn read(attributes: &[u8]) -> Option<Self> {
        let (ips, proto) = (find(attributes, IP)?, find(attributes, PROTO)?);
        let ip = |at: usize| {
            let ipv4 = find(ips, V4[at]).and_then(|ip| <[u8; 4]>::try_from(ip).ok()).map(IpAddr::from);
            ipv4.or_else(|| find(ips, V6[at]).and_then(|ip| <[u8; 16]>::try_from(ip).ok()).map(IpAddr::from))
        };
        let port = |at: usize| find(proto, PORTS[at])?.try_into().ok().map(u16::from_be_bytes);
        let end = |at| Some(SocketAddr::new(ip(at)?, port(at)?));
        Some(Self { protocol: *find(proto, NUMBER)?.first()?, from: end(0)?, to: end(1)? })
    }
}

/// Sends a request, and gives the family and attributes of each message of the answer to `each`.
fn ask(
    socket: &OwnedFd,
    message: u16,
    flags: i32,
    family: u8,
    attributes: &[u8],
    mut each: impl FnMut(u8, &[u8]),
) -> io::Result<()> {
    let length = (HEADER + GENERIC + attributes.len()) as u32;
    let mut request = length.to_ne_bytes().to_vec();
    request.extend(message.to_ne_bytes());
    request.extend((flags as u16 | libc::NLM_F_REQUEST as u16).to_ne_bytes());
    // Sequence and sender, which nobody looks at, as there is one request at a time; then `struct nfgenmsg`.
    request.extend([0; 8]);
    request.extend([family, 0, 0, 0]);
    request.extend(attributes);
    sendto(socket.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    // The kernel fills at most 32 KiB at a time.
    let mut buffer = vec![0; 1 << 16];
    loop {
        let received = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = &buffer[..received];
        while let Some((kind, body, after)) = next(rest) {
            match i32::from(kind) {
                libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                    let code = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                    return if code < 0 { Err(io::Error::from_raw_os_error(-code)) } else { Ok(()) };
                }
                _ => {
                    if let Some((generic, attributes)) = body.split_at_checked(GENERIC) {
                        each(generic[0], attributes);
                    }
                }
            }
            rest = after;
        }
    }
}

/// The kind and body of a message, and what follows it.
fn next(messages: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (header, _) = messages.split_at_checked(HEADER)?;
    let length = u32::from_ne_bytes(*header.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let body = messages.get(HEADER..length)?;
    Some((kind, body, messages.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The value of the first attribute of a kind.
fn find(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let (header, _) = attributes.split_at_checked(4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([header[2], header[3]]) & TYPE == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// An attribute of a message, padded.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let nested = if kind == TUPLE_ORIG { NESTED } else { 0 };
    let mut bytes = (length as u16).to_ne_bytes().to_vec();
    bytes.extend((kind | nested).to_ne_bytes());
    bytes.extend(value);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_and_bytes_of_any_kind_are_survived() {
        let both = [attribute(ZONE, &[1, 2]), attribute(TUPLE_ORIG, &[3, 4, 5])].concat();
        assert_eq!(find(&both, ZONE), Some(&[1, 2][..]));
        assert_eq!(find(&both, TUPLE_ORIG), Some(&[3, 4, 5][..]));
        assert_eq!(find(&both, TUPLE_REPLY), None);
        for length in 0..both.len() {
            let _ = (find(&both[..length], TUPLE_REPLY), next(&both[..length]), Tuple::read(&both[..length]));
        }
        assert_eq!(find(&[0; 16], ZONE), None, "attributes of no length");
    }
}
