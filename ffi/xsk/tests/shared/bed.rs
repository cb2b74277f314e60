//! A host with a veth to another host outside, and frames made by hand.

use std::net::IpAddr;
use std::sync::Arc;

use paceline_sys::netns::Scratch;
use paceline_sys::{HugePages, NetNs, Region, ethtool, link};
use paceline_xsk::{Attachment, Desc, Filter, FilterHandle, Options, Program, Service, Umem, XskQueue};

pub const CHUNK: u32 = 2048;
pub const CHUNKS: u64 = 128;

/// The host's device, and the other end.
pub const HOST: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const OUTSIDE: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The host's addresses, shared.
pub const HOST4: &str = "192.0.2.1";
pub const HOST6: &str = "2001:db8::1";
/// Those of the other end.
pub const OUTSIDE4: &str = "192.0.2.2";
pub const OUTSIDE6: &str = "2001:db8::2";
/// Addresses that are wholly ours.
pub const OURS4: &str = "192.0.2.77";
pub const OURS6: &str = "2001:db8::77";
/// An Ethernet address that is wholly ours.
pub const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x77];

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Ports 40000 to 49999 of both addresses, port 8080 of TCP and 53 of UDP, VXLAN.
pub fn filter() -> Filter {
    let service = |protocol, port| [HOST4, HOST6].map(|host| Service { address: ip(host), protocol, port });
    Filter {
        macs: [OUR_MAC].into(),
        addresses: [OURS4, OURS6].map(ip).into(),
        shared: [HOST4, HOST6].map(|host| (ip(host), 40_000..=49_999)).into(),
        services: [service(TCP, 8080), service(UDP, 53), service(UDP, 4789)].into_iter().flatten().collect(),
    }
}

/// The host and the other one, by `eth0` of each.
pub fn hosts() -> Option<(Scratch, Scratch)> {
    let (host, outside) = (Scratch::for_test()?, Scratch::for_test()?);
    let text = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    host.ip(&format!(
        "link add eth0 address {} type veth peer name far address {}",
        text(HOST),
        text(OUTSIDE)
    ));
    host.ip(&format!("link set far netns {} name eth0", outside.path().display()));
    for (net, v4, v6) in [(&host, HOST4, HOST6), (&outside, OUTSIDE4, OUTSIDE6)] {
        net.ip(&format!("addr add {v4}/24 dev eth0"));
        net.ip(&format!("addr add {v6}/64 dev eth0 nodad"));
        // AF_XDP does not carry the order to finish checksums.
        net.run(|| ethtool::set_tx_checksum(&"eth0".parse().unwrap(), false)).unwrap().unwrap();
        net.ip("link set eth0 up");
    }
    host.up(&["eth0"]);
    outside.up(&["eth0"]);
    Some((host, outside))
}

/// A shared device: while this lives, what is ours comes to the socket.
pub struct Uplink {
    pub queue: XskQueue,
    pub program: Program,
    pub handle: FilterHandle,
    _attachment: Attachment,
    umem: Arc<Umem>,
}

impl Uplink {
    pub fn open(host: &NetNs, filter: &Filter) -> Uplink {
        let region = Region::new((CHUNKS * u64::from(CHUNK)) as usize, HugePages::Never).unwrap();
        let umem = Arc::new(Umem::new(Arc::new(region), CHUNK, 64).unwrap());
        host.run(|| {
            let ifindex = link::index("eth0").unwrap();
            let mut queue = XskQueue::open(&umem, ifindex, 0, Options::default()).unwrap();
            let all: Vec<_> = (0..CHUNKS).map(|chunk| chunk * u64::from(CHUNK)).collect();
            assert_eq!(queue.fill(&all) as u64, CHUNKS);
            let (program, handle) = Program::shared(1, filter).unwrap();
            program.direct(&queue).unwrap();
            let attachment = program.attach(ifindex).unwrap();
            Uplink { queue, program, handle, _attachment: attachment, umem: Arc::clone(&umem) }
        })
        .unwrap()
    }

    /// What came since: frames by their length. The kernel gives them to us before the sender goes on, as nothing else is
    /// done on a veth.
    pub fn taken(&mut self) -> usize {
        let mut frames = [Desc::default(); 64];
        let got = self.queue.rx(&mut frames).unwrap();
        let chunk = |frame: &Desc| frame.addr - frame.addr % u64::from(CHUNK);
        let back: Vec<_> = frames[..got].iter().map(chunk).collect();
        assert_eq!(self.queue.fill(&back), got);
        assert!(Arc::strong_count(&self.umem) > 0);
        got
    }
}

/// An Ethernet frame from outside.
pub fn ethernet(to: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &OUTSIDE, &ether_type.to_be_bytes(), payload].concat()
}

/// An IP packet with options of so many words and a fragment field, for IPv4.
pub fn ip4(from: &str, to: &str, protocol: u8, options: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (ip(from), ip(to)) else { panic!("IPv4") };
    let header = 20 + 4 * options as usize;
    let mut packet = vec![0x45 + options, 0];
    packet.extend(((header + payload.len()) as u16).to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.resize(header, 1);
    packet.extend(payload);
    packet
}

pub fn ip6(from: &str, to: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (ip(from), ip(to)) else { panic!("IPv6") };
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet
}

/// The beginning of TCP, UDP and SCTP.
pub fn ports(from: u16, to: u16) -> Vec<u8> {
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 16]].concat()
}

/// An ICMP header and what follows it.
pub fn icmp(kind: u8, identifier: u16, rest: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0], &identifier.to_be_bytes()[..], &[0, 1], rest].concat()
}
