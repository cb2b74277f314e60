//! Options of mode `overlay`.

use std::net::IpAddr;

use super::{Given, NetworkOptions, OptionError, link};
use crate::config::MIN_MTU;
use crate::network::Mode;
use crate::overlay::{Overlay, OverlayError, Part, Vni, Vtep};

/// Names of the options that only an overlay has.
pub(super) mod names {
    pub const VNI: &[&str] = &["vni"];
    pub const UNDERLAY: &[&str] = &["underlay"];
    pub const PEERS: &[&str] = &["peers"];
    pub const GROUP: &[&str] = &["group"];
    pub const LEARN_PEERS: &[&str] = &["learn_peers"];
    pub const PORT: &[&str] = &["port"];
    pub const TTL: &[&str] = &["ttl"];
    pub const OUTER_DSCP: &[&str] = &["outer_dscp"];
    pub const CHECKSUM: &[&str] = &["checksum"];
    pub const ALL: [&[&str]; 9] = [VNI, UNDERLAY, PEERS, GROUP, LEARN_PEERS, PORT, TTL, OUTER_DSCP, CHECKSUM];
}

/// [`names::ALL`], in words.
const ALLOWED: &str = "vni, underlay, peers, group, learn_peers, port, ttl, outer_dscp and checksum";

/// A reader of numbers that knows the word for none.
fn or_inherit(read: impl Fn(&str) -> Option<u8>) -> impl Fn(&str) -> Option<Option<u8>> {
    move |text| if text == "inherit" { Some(None) } else { read(text).map(Some) }
}

/// The segment that is asked for, if the mode is that.
pub(super) fn overlay(given: &Given<'_>, mode: Mode) -> Result<Option<Overlay>, OptionError> {
    if mode != Mode::Overlay {
        let name = names::ALL.iter().flat_map(|names| *names).find(|name| given.0.contains_key(**name));
        let stray = |name: &&str| OptionError::Overlay { name: (*name).into(), overlay: ALLOWED };
        return name.map_or(Ok(None), |name| Err(stray(name)));
    }
    let vni = |text: &str| text.parse::<i64>().ok()?.try_into().ok();
    let vni: Option<Vni> = given.one(names::VNI, vni, "a number from 1 to 16777215")?;
    let Some(vni) = vni else {
        return Err(OptionError::Needs { what: "vni, from 1 to 16777215: the same on all hosts" });
    };
    let underlay = |text: &str| match text.parse::<IpAddr>() {
        Ok(address) => Some((Some(address.to_canonical()), None)),
        Err(_) => text.parse().ok().map(|name| (None, Some(name))),
    };
    let right =
        "an address of this host, a routed [[interface]] or the device of an [[uplink]] of the configuration";
    let (local, underlay) = given.one(names::UNDERLAY, underlay, right)?.unwrap_or_default();
    let address = |text: &str| text.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let peers = |text: &str| text.split(',').map(address).collect::<Option<Vec<_>>>();
    let peers = given.one(names::PEERS, peers, "addresses of other hosts, as 192.0.2.2,192.0.2.3")?;
    let group = given.one(names::GROUP, address, "a multicast address, as 239.0.0.42")?;
    let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
    let ttl = |text: &str| text.parse().ok().filter(|ttl| *ttl > 0);
    Ok(Some(Overlay {
        vni,
        local,
        underlay,
        peers: peers.unwrap_or_default(),
        group,
        learn_peers: given.flag(names::LEARN_PEERS)?.unwrap_or(group.is_some()),
        port: given.one(names::PORT, port, "a UDP port from 1 to 65535")?.unwrap_or(Overlay::PORT),
        ttl: given.one(names::TTL, or_inherit(ttl), "1 to 255, or inherit")?.unwrap_or(Some(Overlay::TTL)),
        dscp: given
            .one(
                names::OUTER_DSCP,
                or_inherit(link::dscp),
                "a number from 0 to 63, cs0 to cs7, af11 to af43, ef, or inherit",
            )?
            .unwrap_or(Some(0)),
        checksum: given.flag(names::CHECKSUM)?,
    }))
}

impl NetworkOptions {
    /// The MTU of an overlay that is to be what fits a packet of its underlay.
    pub(super) const WHAT_FITS: u16 = 0;

    /// What is [asked for](Self::asked), with the largest Ethernet payload of the network: in mode `overlay` what fits a packet of
    /// this end, which the caller finds.
    ///
    /// # Errors
    /// An overlay without an end here, or whose MTU does not fit.
    pub fn settled(
        mut self,
        vtep: impl FnOnce(&Overlay) -> Result<Vtep, OverlayError>,
    ) -> Result<Self, OptionError> {
        let Some(overlay) = &self.overlay else { return Ok(self) };
        let wrong = |error: OverlayError| OptionError::Ends { part: error.part(overlay), error };
        if let Some(error) = overlay.problems().into_iter().next() {
            return Err(wrong(error));
        }
        let vtep = vtep(overlay).map_err(wrong)?;
        let most = vtep.payload();
        if self.mtu > most {
            let right = format!(
                "a number from {MIN_MTU} to {most}: underlay {} takes {} bytes, of which VXLAN needs {}",
                vtep.interface,
                vtep.mtu,
                vtep.overhead()
            );
            return Err(OptionError::Value { name: "mtu".into(), value: self.mtu.to_string(), right });
        }
        if self.mtu == Self::WHAT_FITS {
            self.mtu = most;
        }
        Ok(self)
    }
}

/// The option that is wrong, in words.
pub(super) fn option(part: Part) -> &'static str {
    match part {
        Part::Whole => "mode=overlay",
        Part::Local | Part::Underlay => "underlay",
        Part::Peer(_) => "peers",
        Part::Group => "group",
        Part::Port => "port",
    }
}
