//! Address translation of one version of IP: what is configured, and the sessions of each worker.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use paceline_tables::{Address, RouteError, Sessions, Tuple};

use super::config::{NatConfig, NatError, NatMapping};
use super::ports::Ports;
use super::{INBOUND, NatCounters, STATIC, TWICE};

/// IP protocol number of SCTP.
const SCTP: u8 = 132;
/// Least places for counts of inside hosts.
const LEAST_HOSTS: usize = 1 << 17;

/// The outside end of a mapping: protocol, address, port.
type Outside<T> = (u8, T, u16);
/// The inside end: routing table, protocol, address, port.
type Inside<T> = (u16, u8, T, u16);

/// Address translation of one version of IP.
pub struct NatSide<T: Address> {
    addresses: Box<[T]>,
    inside: Box<[(T, u8)]>,
    /// Inside ends of mappings; without an address, the one that the host has.
    outward: HashMap<Inside<T>, (Option<T>, u16)>,
    /// Outside ends of mappings: the routing table, the host there, its port.
    inward: HashMap<Outside<T>, (u16, T, u16)>,
    tables: Arc<[NatTable<T>]>,
    seed: u64,
}

/// What belongs to one worker.
pub struct NatTable<T: Address> {
    /// Its sessions.
    pub sessions: Sessions<T>,
    /// What it counts.
    pub counters: NatCounters,
    /// Sessions of each inside host, by hash.
    hosts: Box<[AtomicU32]>,
    /// The configuration that all sessions were last held against.
    pub(super) swept: AtomicU32,
    /// The one that they are being held against, and the slot at which that goes on.
    pub(super) sweeping: AtomicU32,
    pub(super) sweep_at: AtomicU32,
}

impl<T: Address> NatTable<T> {
    fn new(limit: u32, per_host: u32) -> Result<NatTable<T>, RouteError> {
        let sessions = Sessions::new(limit)?;
        let places = (2 * sessions.limit()).next_power_of_two().max(LEAST_HOSTS);
        let hosts = if per_host == 0 { 0 } else { places };
        Ok(NatTable {
            sessions,
            counters: NatCounters::default(),
            hosts: (0..hosts).map(|_| AtomicU32::new(0)).collect(),
            swept: AtomicU32::new(0),
            sweeping: AtomicU32::new(0),
            sweep_at: AtomicU32::new(0),
        })
    }

    /// Bytes of memory, if all of it is in use.
    pub fn bytes(&self) -> usize {
        self.sessions.bytes() + size_of_val(&*self.hosts)
    }

    /// The count of a host's sessions, if hosts have a limit.
    #[inline]
    pub fn host(&self, hash: u64) -> Option<&AtomicU32> {
        self.hosts.get(hash as usize & self.hosts.len().wrapping_sub(1))
    }
}

impl<T: Address> NatSide<T> {
    pub(super) fn new(
        config: &NatConfig,
        ports: &Ports,
        addresses: &[IpAddr],
        before: Option<&NatSide<T>>,
    ) -> Result<NatSide<T>, NatError> {
        let addresses: Box<[T]> = addresses.iter().filter_map(|address| T::from_ip(*address)).collect();
        let inside = config.inside.iter();
        let inside = inside.filter_map(|net| Some((T::from_ip(net.network())?, net.prefix_len()))).collect();
        let (limits, count) = (config.limits, if addresses.is_empty() { 0 } else { ports.workers() });
        let limit = limits.sessions.clamp(1, Sessions::<T>::MAX);
        let is_same = |tables: &&Arc<[NatTable<T>]>| {
            tables.len() == count
                && tables.iter().all(|table| {
                    table.sessions.limit() == limit as usize
                        && table.hosts.is_empty() == (limits.per_host == 0)
                })
        };
        let tables = match before.map(|side| &side.tables).filter(is_same) {
            Some(tables) => Arc::clone(tables),
            None => (0..count).map(|_| NatTable::new(limit, limits.per_host)).collect::<Result<_, _>>()?,
        };
        let seed = before.map_or_else(|| RandomState::new().hash_one(1_u64), |side| side.seed);
        let (outward, inward) = (HashMap::new(), HashMap::new());
        let mut side = NatSide { addresses, inside, outward, inward, tables, seed };
        for mapping in &config.mappings {
            side.map(mapping, &config.vrfs)?;
        }
        Ok(side)
    }

    /// Takes a mapping, if it is of this version.
    fn map(&mut self, mapping: &NatMapping, vrfs: &BTreeMap<Arc<str>, u16>) -> Result<(), NatError> {
        let NatMapping { protocol, outside_port, inside_port, .. } = *mapping;
        let Some(host) = T::from_ip(mapping.inside) else { return Ok(()) };
        let Some(vrf) = vrfs.get(&mapping.vrf).copied() else {
            return Err(NatError::Vrf { protocol, port: outside_port, vrf: Arc::clone(&mapping.vrf) });
        };
        // Such a packet would be translated for ever.
        if self.is_own(host) {
            return Err(NatError::Mapping { protocol, port: outside_port });
        }
        let outside = match mapping.outside {
            None => None,
            Some(address) => {
                let own = T::from_ip(address).filter(|own| self.is_own(*own));
                Some(own.ok_or(NatError::Mapping { protocol, port: outside_port })?)
            }
        };
        if protocol == SCTP && outside_port != inside_port {
            return Err(NatError::Sctp(outside_port));
        }
        let claimed = |address: T, port| NatError::Claimed { protocol, address: address.ip(), port };
        for address in self.addresses.iter().filter(|own| outside.is_none_or(|only| **own == only)) {
            match self.inward.entry((protocol, *address, outside_port)) {
                Entry::Vacant(place) => place.insert((vrf, host, inside_port)),
                Entry::Occupied(_) => return Err(claimed(*address, outside_port)),
            };
        }
        // A port may be reached under several outside ports: what it sends by itself leaves by the first.
        self.outward.entry((vrf, protocol, host, inside_port)).or_insert((outside, outside_port));
        Ok(())
    }

    /// Whether packets of this version are translated.
    #[inline]
    pub fn is_on(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// A worker's sessions.
    #[inline]
    pub fn table(&self, worker: usize) -> Option<&NatTable<T>> {
        self.tables.get(worker)
    }

    /// All workers' sessions.
    pub fn tables(&self) -> &[NatTable<T>] {
        &self.tables
    }

    /// Whether an address is one that inside hosts appear under.
    pub fn is_own(&self, address: T) -> bool {
        self.addresses.contains(&address)
    }

    /// Whether packets from an address are to be translated.
    pub fn is_inside(&self, address: T) -> bool {
        self.inside.is_empty()
            || self.inside.iter().any(|(network, length)| address.network(*length) == *network)
    }

    /// A hash of an inside host in a routing table.
    pub fn host_hash(&self, vrf: u16, host: T) -> u64 {
        T::hash_hosts(self.seed ^ u64::from(vrf), host, T::default())
    }

    /// A hash of a remote host.
    pub fn remote_hash(&self, host: T) -> u64 {
        T::hash_hosts(self.seed, host, T::default())
    }

    /// The address that an inside host in a routing table appears under.
    pub fn address_of(&self, vrf: u16, host: T) -> Option<T> {
        // Other bits than choose its worker, so that both are spread over all.
        let at = ((self.host_hash(vrf, host) & 0xffff_ffff) * self.addresses.len() as u64) >> 32;
        self.addresses.get(at as usize).copied()
    }

    /// What the source of a flow becomes by a mapping.
    pub fn outward(&self, flow: &Tuple<T>) -> Option<(T, u16)> {
        if self.outward.is_empty() {
            return None;
        }
        let (vrf, port) = (flow.scope, flow.source_port());
        let (address, port) = self.outward.get(&(vrf, flow.protocol, flow.source, port))?;
        Some((address.or_else(|| self.address_of(vrf, flow.source))?, *port))
    }

    /// What a destination becomes by a mapping: the routing table, the host there, its port.
    pub fn inward(&self, protocol: u8, address: T, port: u16) -> Option<(u16, T, u16)> {
        if self.inward.is_empty() {
            return None;
        }
        self.inward.get(&(protocol, address, port)).copied()
    }

    /// Whether a session is as the configuration has it: its addresses are ours, and the mapping that it began by is there.
    pub fn holds(&self, before: &Tuple<T>, after: &Tuple<T>, flags: u8) -> bool {
        if flags & INBOUND != 0 {
            let end = (after.scope, after.destination, after.destination_port());
            return self.inward(before.protocol, before.destination, before.destination_port()) == Some(end)
                && (flags & TWICE == 0 || self.is_own(after.source));
        }
        // An inside port that has a mapping now leaves by that alone, so that its flows are not told in two ways.
        let mapped = if flags & STATIC == 0 { None } else { Some((after.source, after.source_port())) };
        self.is_own(after.source) && self.outward(before) == mapped
    }

    /// A hash of the inside host of a session.
    pub fn inside_hash(&self, before: &Tuple<T>, after: &Tuple<T>, flags: u8) -> u64 {
        if flags & INBOUND == 0 {
            self.host_hash(before.scope, before.source)
        } else {
            self.host_hash(after.scope, after.destination)
        }
    }

    /// Sessions of an inside host, of which one begins or ends.
    pub fn count_host(
        &self,
        table: &NatTable<T>,
        before: &Tuple<T>,
        after: &Tuple<T>,
        flags: u8,
        more: bool,
    ) {
        if let Some(count) = table.host(self.inside_hash(before, after, flags)) {
            let was = count.load(Relaxed);
            count.store(if more { was.saturating_add(1) } else { was.saturating_sub(1) }, Relaxed);
        }
    }
}
