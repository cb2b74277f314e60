//! Which addresses of a subnet a host may have, as numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// An address as a number.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of this number, of the same IP version as `like`.
pub(crate) fn address(number: u128, like: &IpNet) -> IpAddr {
    match like {
        IpNet::V4(_) => Ipv4Addr::from_bits(number as u32).into(),
        IpNet::V6(_) => Ipv6Addr::from_bits(number).into(),
    }
}

/// All addresses of a subnet.
pub(crate) fn all(net: &IpNet) -> RangeInclusive<u128> {
    number(net.network())..=number(net.broadcast())
}

/// What an address of the subnet is, if no host can have it.
///
/// IPv4: the network and broadcast address, but for /31 (RFC 3021) and /32. IPv6: the subnet-router anycast address
/// (RFC 4291, 2.6.1), but for /127 (RFC 6164) and /128.
pub(crate) fn reserved(address: IpAddr, subnet: &IpNet) -> Option<&'static str> {
    if subnet.max_prefix_len() - subnet.prefix_len() < 2 {
        return None;
    }
    match subnet {
        IpNet::V4(_) if address == subnet.network() => Some("network"),
        IpNet::V4(_) if address == subnet.broadcast() => Some("broadcast"),
        IpNet::V6(_) if address == subnet.network() => Some("subnet-router anycast"),
        _ => None,
    }
}

/// The addresses that hosts may have, of `range` or of all of `subnet`; empty if there are none. They have no gap, as
/// only the first and the last of a subnet can be reserved.
pub(crate) fn usable(subnet: &IpNet, range: Option<&IpNet>) -> RangeInclusive<u128> {
    let (first, last) = all(range.unwrap_or(subnet)).into_inner();
    let taken_off = |number: u128| u128::from(reserved(address(number, subnet), subnet).is_some());
    let (first_off, last_off) = (taken_off(first), taken_off(last));
    // The only range in which both ends are one.
    if first == last && first_off == 1 {
        return RangeInclusive::new(1, 0);
    }
    first + first_off..=last - last_off
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(subnet: &str, range: Option<&str>) -> Option<(String, String)> {
        let subnet: IpNet = subnet.parse().unwrap();
        let range = range.map(|range| range.parse::<IpNet>().unwrap());
        let usable = usable(&subnet, range.as_ref());
        let text = |&number: &u128| address(number, &subnet).to_string();
        (!usable.is_empty()).then(|| (text(usable.start()), text(usable.end())))
    }

    #[test]
    fn what_hosts_may_have() {
        for (subnet, range, first, last) in [
            ("10.0.0.0/24", None, "10.0.0.1", "10.0.0.254"),
            ("10.0.0.0/30", None, "10.0.0.1", "10.0.0.2"),
            ("10.0.0.0/31", None, "10.0.0.0", "10.0.0.1"),
            ("10.0.0.7/32", None, "10.0.0.7", "10.0.0.7"),
            ("10.0.0.0/24", Some("10.0.0.0/25"), "10.0.0.1", "10.0.0.127"),
            ("10.0.0.0/24", Some("10.0.0.128/25"), "10.0.0.128", "10.0.0.254"),
            ("10.0.0.0/24", Some("10.0.0.64/32"), "10.0.0.64", "10.0.0.64"),
            ("fd00::/64", None, "fd00::1", "fd00::ffff:ffff:ffff:ffff"),
            ("fd00::/126", None, "fd00::1", "fd00::3"),
            ("fd00::/127", None, "fd00::", "fd00::1"),
            ("fd00::5/128", None, "fd00::5", "fd00::5"),
        ] {
            assert_eq!(ends(subnet, range), Some((first.into(), last.into())), "{subnet} {range:?}");
        }
        assert_eq!(ends("10.0.0.0/24", Some("10.0.0.0/32")), None);
        assert_eq!(ends("10.0.0.0/24", Some("10.0.0.255/32")), None);
        assert_eq!(ends("fd00::/64", Some("fd00::/128")), None);
    }
}
