//! MAC addresses for containers that were given none.

use std::net::Ipv4Addr;

use paceline_model::{EndpointId, MacAddr};

/// An address that is not `taken`: 02:42 and the IPv4 address, as Docker's own bridge has it, so that a container which
/// comes back with its address is no stranger to its neighbours' ARP caches. Without one, or if that is taken, one that is made
/// of the endpoint's ID. Locally administered (IEEE 802) in both cases.
pub(super) fn choose(ipv4: Option<Ipv4Addr>, id: &EndpointId, taken: impl Fn(MacAddr) -> bool) -> MacAddr {
    let by_address = ipv4.map(|address| {
        let [a, b, c, d] = address.octets();
        MacAddr::new([0x02, 0x42, a, b, c, d])
    });
    let by_id = (0..=u64::MAX).map(|nth| MacAddr::made_of(id.as_str(), nth));
    let mut free = by_address.into_iter().chain(by_id).filter(|&mac| !taken(mac));
    free.next().expect("a network has less than 2^39 endpoints")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_address_then_by_id_then_the_next() {
        let id: EndpointId = "e1".parse().unwrap();
        let address = Some(Ipv4Addr::new(10, 77, 0, 2));
        let first = choose(address, &id, |_| false);
        assert_eq!(first.to_string(), "02:42:0a:4d:00:02");
        let second = choose(address, &id, |mac| mac == first);
        assert_eq!(second, choose(None, &id, |_| false));
        let third = choose(None, &id, |mac| mac == second);
        assert!(third != second && third.is_local() && third.is_unicast());
        assert_ne!(choose(None, &"e2".parse().unwrap(), |_| false), second);
    }
}
