//! What a shared program takes for the socket: as it is said, and as maps of the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::XskError;
use crate::bpf::{Kind, Map};

/// First fragments that are remembered, so that those that follow go where they went.
const FRAGMENTS: u32 = 4096;
/// Keys of the map of fragments: source, destination, identification, protocol, and a zero.
const FRAGMENT: usize = 12;

/// What of a device's frames is ours; everything else is the kernel's.
///
/// Whatever is here, the kernel keeps frames to groups of stations (so what ARP and neighbour discovery ask), ARP and neighbour
/// discovery to its own Ethernet address, and VLAN tags. It keeps IPv6 with extension headers to a shared address, and what
/// is too short to tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Ethernet addresses that are wholly ours, beside that of the device: at most 4096.
    pub macs: BTreeSet<[u8; 6]>,
    /// IP addresses that are wholly ours: at most 4096.
    pub addresses: BTreeSet<IpAddr>,
    /// IP addresses that the kernel has too, each with the ports that are ours at it, of TCP, UDP and SCTP. They are also the
    /// identifiers of ICMP queries whose answers are ours. At most 256.
    pub shared: BTreeMap<IpAddr, RangeInclusive<u16>>,
    /// Single ports of shared addresses that are ours, beside those: at most 65536. Those of other addresses mean nothing.
    pub services: BTreeSet<Service>,
}

/// A port of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    /// The address.
    pub address: IpAddr,
    /// IP protocol number: 6 for TCP, 17 for UDP, 132 for SCTP. Of others nothing is taken.
    pub protocol: u8,
    /// The port.
    pub port: u16,
}

impl Service {
    /// As the program looks for it.
    fn key(&self) -> [u8; 20] {
        let mut key = [0; 20];
        key[..16].copy_from_slice(&octets(self.address));
        key[16] = self.protocol;
        key[18..].copy_from_slice(&self.port.to_be_bytes());
        key
    }
}

/// What a loaded shared program takes, for who changes it. All clones are of the same program, which goes with its sockets and
/// its place on the device, not with this.
#[derive(Debug, Clone)]
pub struct FilterHandle(Arc<Mutex<Maps>>);

impl FilterHandle {
    pub(crate) fn new(maps: Maps) -> Self {
        Self(Arc::new(Mutex::new(maps)))
    }

    /// From now on this is ours. What stays is taken without a gap: the new is put in before the old goes.
    ///
    /// # Errors
    /// [`XskError::Filter`] when there is too much of something: then nothing was changed. [`XskError::System`]: then some of
    /// it was, and the next call makes it good.
    pub fn set(&self, filter: &Filter) -> Result<(), XskError> {
        self.maps().set(filter)
    }

    /// What is ours now.
    pub fn get(&self) -> Filter {
        self.maps().filter.clone()
    }

    /// A thread that panicked has left whole entries.
    fn maps(&self) -> MutexGuard<'_, Maps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The maps of a shared program.
#[derive(Debug)]
pub struct Maps {
    filter: Filter,
    pub macs: Table<8>,
    pub addresses: Table<16>,
    pub shared: Table<16>,
    pub services: Table<20>,
    /// First fragments that went to the socket.
    pub fragments: Map,
}

impl Maps {
    pub fn new(filter: &Filter) -> Result<Self, XskError> {
        let failed = |source| XskError::System { ifindex: 0, step: "bpf(BPF_MAP_CREATE)", source };
        let mut maps = Self {
            filter: Filter::default(),
            macs: Table::new("Ethernet addresses", 4096)?,
            addresses: Table::new("IP addresses", 4096)?,
            shared: Table::new("shared IP addresses", 256)?,
            services: Table::new("ports", 65536)?,
            fragments: Map::new(Kind::LruHash, FRAGMENT, 4, FRAGMENTS).map_err(failed)?,
        };
        maps.set(filter)?;
        Ok(maps)
    }

    fn set(&mut self, filter: &Filter) -> Result<(), XskError> {
        const YES: [u8; 4] = [1, 0, 0, 0];
        let macs: BTreeMap<_, _> = filter.macs.iter().map(|mac| (padded(*mac), YES)).collect();
        let addresses: BTreeMap<_, _> = filter.addresses.iter().map(|ip| (octets(*ip), YES)).collect();
        let shared: BTreeMap<_, _> =
            filter.shared.iter().map(|(ip, ports)| (octets(*ip), range(ports))).collect();
        let services: BTreeMap<_, _> = filter.services.iter().map(|service| (service.key(), YES)).collect();
        self.macs.fits(&macs)?;
        self.addresses.fits(&addresses)?;
        self.shared.fits(&shared)?;
        self.services.fits(&services)?;
        // What moves from one map to another is in both for a moment. Ports first: an address that comes has them at once.
        self.services.add(&services)?;
        self.shared.add(&shared)?;
        self.addresses.add(&addresses)?;
        self.macs.add(&macs)?;
        self.macs.retain(&macs)?;
        self.addresses.retain(&addresses)?;
        self.shared.retain(&shared)?;
        self.services.retain(&services)?;
        self.filter = filter.clone();
        Ok(())
    }
}

/// One map, and what is in it.
#[derive(Debug)]
pub struct Table<const KEY: usize> {
    pub map: Map,
    what: &'static str,
    limit: usize,
    entries: BTreeMap<[u8; KEY], [u8; 4]>,
}

impl<const KEY: usize> Table<KEY> {
    fn new(what: &'static str, limit: usize) -> Result<Self, XskError> {
        let failed = |source: io::Error| match source.raw_os_error() {
            Some(libc::EPERM) => XskError::Permission { ifindex: 0 },
            _ => XskError::System { ifindex: 0, step: "bpf(BPF_MAP_CREATE)", source },
        };
        // Room for what comes beside what goes.
        let map = Map::new(Kind::Hash, KEY, 4, 2 * limit as u32).map_err(failed)?;
        Ok(Self { map, what, limit, entries: BTreeMap::new() })
    }

    fn fits(&self, wanted: &BTreeMap<[u8; KEY], [u8; 4]>) -> Result<(), XskError> {
        let Self { what, limit, .. } = *self;
        if wanted.len() > limit {
            return Err(XskError::Filter { what, count: wanted.len(), limit });
        }
        Ok(())
    }

    fn add(&mut self, wanted: &BTreeMap<[u8; KEY], [u8; 4]>) -> Result<(), XskError> {
        for (key, value) in wanted {
            if self.entries.get(key) != Some(value) {
                self.map.update(key, value).map_err(|source| XskError::System {
                    ifindex: 0,
                    step: "bpf(BPF_MAP_UPDATE_ELEM)",
                    source,
                })?;
                self.entries.insert(*key, *value);
            }
        }
        Ok(())
    }

    fn retain(&mut self, wanted: &BTreeMap<[u8; KEY], [u8; 4]>) -> Result<(), XskError> {
        let old: Vec<_> = self.entries.keys().filter(|key| !wanted.contains_key(*key)).copied().collect();
        for key in old {
            match self.map.delete(&key) {
                Err(source) if source.raw_os_error() != Some(libc::ENOENT) => {
                    return Err(XskError::System { ifindex: 0, step: "bpf(BPF_MAP_DELETE_ELEM)", source });
                }
                _ => self.entries.remove(&key),
            };
        }
        Ok(())
    }
}

fn padded(mac: [u8; 6]) -> [u8; 8] {
    let mut key = [0; 8];
    key[..6].copy_from_slice(&mac);
    key
}

/// 16 bytes for both families (RFC 4291, section 2.5.5.2). That such an address is none of IPv6 on a link is left to the switch.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// First and last port, for the program to compare.
fn range(ports: &RangeInclusive<u16>) -> [u8; 4] {
    let (first, last) = if ports.is_empty() { (u16::MAX, 0) } else { (*ports.start(), *ports.end()) };
    let ([a, b], [c, d]) = (first.to_ne_bytes(), last.to_ne_bytes());
    [a, b, c, d]
}
