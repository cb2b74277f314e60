//! Ports of packets that come in parts: the first part has them, and the later ones are told by their identification.

use paceline_tables::{Address, Tuple};

/// Sets of four places.
const SETS: usize = 256;
const WAYS: usize = 4;
/// Seconds that later parts may come after the first.
const LIFETIME: u32 = 2;

/// What the parts of a packet have in common.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Parts<T> {
    /// Addresses and protocol.
    flow: Tuple<T>,
    id: u32,
}

/// A packet's parts, its ports, and the second of its first part.
type Place<T> = (Parts<T>, u32, u32);

/// The last 1024 packets that came in parts. Of a flood, the oldest of a set make way.
pub struct Fragments<T> {
    places: Vec<Place<T>>,
}

impl<T: Address> Default for Fragments<T> {
    fn default() -> Self {
        Fragments { places: vec![(Parts::default(), 0, 0); SETS * WAYS] }
    }
}

impl<T: Address> Fragments<T> {
    fn set(&mut self, flow: &Tuple<T>, id: u32) -> (Parts<T>, &mut [Place<T>]) {
        let flow = Tuple { ports: 0, ..*flow };
        let start = (flow.hash(id.into()) >> 32) as usize % SETS * WAYS;
        (Parts { flow, id }, &mut self.places[start..start + WAYS])
    }

    /// Notes the ports of a first part.
    pub fn note(&mut self, flow: &Tuple<T>, id: u32, now: u32) {
        let (parts, set) = self.set(flow, id);
        let known = set.iter().position(|place| place.0 == parts);
        let oldest = || (0..WAYS).min_by_key(|way| set[*way].2);
        if let Some(place) = known.or_else(oldest).and_then(|way| set.get_mut(way)) {
            *place = (parts, flow.ports, now);
        }
    }

    /// The ports of a later part.
    pub fn ports(&mut self, flow: &Tuple<T>, id: u32, now: u32) -> Option<u32> {
        let (parts, set) = self.set(flow, id);
        let is_alive = |place: &&mut Place<T>| place.0 == parts && now.wrapping_sub(place.2) <= LIFETIME;
        set.iter_mut().find(is_alive).map(|place| place.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_parts_have_the_ports_of_the_first_for_a_while() {
        let mut all = Fragments::<u32>::default();
        let flow = Tuple { source: 1, destination: 2, ports: 0x0003_0004, protocol: 17, scope: 0 };
        let later = Tuple { ports: 0, ..flow };
        assert_eq!(all.ports(&later, 9, 5), None);
        all.note(&flow, 9, 5);
        assert_eq!(all.ports(&later, 9, 7), Some(flow.ports));
        assert_eq!(all.ports(&later, 9, 8), None);
        assert_eq!(all.ports(&later, 8, 5), None);
        assert_eq!(all.ports(&later.reversed(), 9, 5), None);
        for id in 0..100_000 {
            all.note(&flow, id, 6);
        }
        assert_eq!(all.ports(&later, 99_999, 6), Some(flow.ports), "a flood does not grow it");
    }
}
