//! Multicast groups that tunnels are to hear: joined on their interfaces.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use paceline_router::groups::{Member, Report};

use super::{Routing, Way};

impl Routing {
    /// Joins the groups that are wanted, leaves the others, and says what is due.
    pub(super) fn serve_groups(&mut self, now: Duration, way: &mut Way) {
        let (mut wanted, mut reports) = (BTreeMap::new(), Vec::new());
        for leg in self.legs.values() {
            let Some(groups) = self.ends.groups.get(&*leg.name) else { continue };
            let address4 = leg.addresses.iter().map(ipnet::IpNet::addr).find(IpAddr::is_ipv4);
            let groups = groups.iter().copied().collect();
            wanted.insert(
                leg.number,
                Member { mac: leg.mac, address4, link_local: leg.mac.link_local(), groups },
            );
        }
        self.groups.set(now, &wanted, &mut reports);
        self.groups.poll(now, &mut reports);
        for report in &reports {
            self.report(report, way);
        }
    }

    fn report(&self, report: &Report, way: &mut Way) {
        let Some(leg) = self.legs.get(&report.interface) else { return };
        if let Some(mut packet) = way.packet(report.frame()) {
            (packet.rx, packet.tx) = (report.interface, report.interface);
            way.send(leg.out, packet);
        }
    }
}
