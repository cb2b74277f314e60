//! Where automatic subnets come from.

use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Blocks that automatic subnets are cut from, /24 for IPv4 and /64 for IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    v4: Vec<IpNet>,
    v6: Vec<IpNet>,
}

impl Plan {
    /// The plan for the host of this identity, such as the text of `/etc/machine-id`.
    ///
    /// IPv4: some of each private block of RFC 1918, so that a host with a route to one of them still has the others; far
    /// from what Docker's own driver (172.17 upwards) and people (10.0, 192.168.0) take first. IPv6: a unique local /48 of
    /// RFC 4193, whose 40 bits are derived from the identity, so that networks of two hosts can meet.
    pub fn for_host(identity: &[u8]) -> Self {
        let v4 = [([10, 200, 0, 0], 13), ([172, 30, 0, 0], 15), ([192, 168, 192, 0], 18)];
        let v4 = v4.map(|(address, len)| IpNet::V4(Ipv4Net::new_assert(address.into(), len)));
        // Spreads any identity over 40 bits.
        let hash = paceline_sys::fnv1a(identity.iter().copied());
        let id = u128::from((hash ^ (hash >> 40)) & 0xff_ffff_ffff);
        let v6 = Ipv6Addr::from_bits(0xfd << 120 | id << 80);
        Self { v4: v4.to_vec(), v6: vec![IpNet::V6(Ipv6Net::new_assert(v6, 48))] }
    }

    /// Prefix length of automatic subnets.
    pub(crate) fn prefix_len(v6: bool) -> u8 {
        if v6 { 64 } else { 24 }
    }

    pub(crate) fn blocks(&self, v6: bool) -> &[IpNet] {
        if v6 { &self.v6 } else { &self.v4 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_own_local_addresses() {
        let (one, other) = (Plan::for_host(b"one"), Plan::for_host(b"other"));
        assert_ne!(one.v6, other.v6);
        assert_eq!(one, Plan::for_host(b"one"));
        let local: IpNet = "fd00::/8".parse().unwrap();
        assert!(local.contains(&one.v6[0]) && one.v6[0].prefix_len() == 48 && one.v6[0] == one.v6[0].trunc());
    }
}
