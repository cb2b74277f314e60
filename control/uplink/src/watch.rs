//! What the kernel has on a device.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use paceline_attach::{LinkRoute, Links};
use paceline_model::{IfName, UplinkState};

use crate::error::UplinkError;

/// Looks at a device of the namespace that its [`Links`] are of, as often as it is told to: once a second is right. That costs
/// four requests, and one or two more for each router.
#[derive(Debug, Clone)]
pub struct Watch {
    links: Links,
    device: IfName,
}

impl Watch {
    /// For a device, which need not be there yet.
    pub fn new(links: Links, device: IfName) -> Self {
        Self { links, device }
    }

    /// The device as it is; none if it is not there, or down. Who the routers are and who has the addresses of `wanted`, the kernel is
    /// asked, and made to find out where it does not know or is not sure: then it is there when this is called again.
    ///
    /// A neighbour that did not answer of late is none, so that nothing is sent to where nobody is.
    ///
    /// # Errors
    /// [`UplinkError::Link`].
    pub async fn look(&self, wanted: &BTreeSet<IpAddr>) -> Result<Option<UplinkState>, UplinkError> {
        let Some(link) = self.links.find(self.device).await?.filter(|link| link.up) else {
            return Ok(None);
        };
        let addresses = self.links.addresses().await?;
        let addresses =
            addresses.into_iter().filter(|address| address.index == link.index && address.lasting);
        let routes = best(self.links.routes(link.index).await?);
        let mut state = UplinkState {
            mac: link.mac.into(),
            mtu: u16::try_from(link.mtu).unwrap_or(u16::MAX),
            addresses: addresses.map(|address| address.net).filter(|net| !is_of_link(*net)).collect(),
            routes,
            neighbours: BTreeMap::new(),
        };
        let whom: BTreeSet<_> = state.routers().chain(wanted.iter().copied()).collect();
        for address in whom {
            let neighbour = self.links.neighbour(link.index, address).await?;
            state.neighbours.extend(neighbour.mac.map(|mac| (address, mac.into())));
            if neighbour.idle {
                self.links.ask_for_neighbour(link.index, address).await?;
            }
        }
        Ok(Some(state))
    }
}

/// The best of the routes to each destination. They are sorted; of several that are as good the first is taken.
fn best(routes: Vec<LinkRoute>) -> BTreeMap<IpNet, Option<IpAddr>> {
    let mut best = BTreeMap::new();
    for route in routes.into_iter().filter(|route| !is_of_link(route.prefix)) {
        best.entry(route.prefix).or_insert(route.via);
    }
    best
}

/// Whether a net is of `fe80::/10`, which each link has for itself.
fn is_of_link(net: IpNet) -> bool {
    matches!(net.addr(), IpAddr::V6(address) if Ipv6Addr::is_unicast_link_local(&address))
}
