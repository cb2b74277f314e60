//! IP addresses of the links of one namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nix::errno::Errno;
use paceline_sys::IfName;
use rtnetlink::AddressMessageBuilder;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol,
};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};

use crate::error::Error;
use crate::info::Link;
use crate::links::{Links, Which};

/// The mark of addresses that we set (`IFA_PROTO`, Linux 5.18 or later; `ip` calls it the address's `proto`). The kernel uses
/// 1 to 3 and the rest is free: this is `p`.
const OURS: AddressProtocol = AddressProtocol::Other(b'p');

/// An address as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Index of its link.
    pub index: u32,
    /// The address, with the prefix length of its subnet.
    pub net: IpNet,
    /// Whether it is there to stay and in use: no temporary one of IPv6 (RFC 8981), none that is deprecated or not yet, or in
    /// vain, checked for a double.
    pub lasting: bool,
    /// Whether [`Links::add_address`] set it. A kernel before 5.18 forgets that.
    pub ours: bool,
}

impl Links {
    /// All addresses here, of both families.
    ///
    /// # Errors
    /// [`Error::Kernel`], [`Error::Closed`].
    pub async fn addresses(&self) -> Result<Vec<Address>, Error> {
        let all = self.netlink.addresses().await.map_err(|error| self.error("list", &"addresses", error))?;
        Ok(all.iter().filter_map(Address::read).collect())
    }

    /// Gives the link of this index an address, whose subnet is from then on reached by it. An IPv6 address is used at once,
    /// without a check that nobody else has it. Fine when the link has it already.
    ///
    /// # Errors
    /// [`Error::NotFound`] without the link; [`Error::Kernel`] with EACCES when its IPv6 is off.
    pub async fn add_address(&self, index: u32, net: IpNet) -> Result<(), Error> {
        let mut message = message(index, net);
        message.attributes.push(AddressAttribute::Protocol(OURS));
        match self.netlink.add_address(message).await {
            Err(error) if is(&error, Errno::EEXIST) => Ok(()),
            done => done.map_err(|error| self.error("add address to", &with(index, net), error)),
        }
    }

    /// Takes an address from the link of this index. Fine when it does not have it.
    ///
    /// # Errors
    /// [`Error::Kernel`], [`Error::Closed`].
    pub async fn delete_address(&self, index: u32, net: IpNet) -> Result<(), Error> {
        match self.netlink.delete_address(message(index, net)).await {
            Err(error) if is(&error, Errno::EADDRNOTAVAIL) || is(&error, Errno::ENODEV) => Ok(()),
            done => done.map_err(|error| self.error("delete address of", &with(index, net), error)),
        }
    }

    /// Makes a link one with a single other end, known by `mac`, which is also its own address: the kernel asks nobody for
    /// neighbours and sends all to that address (`IFF_NOARP`). Sets its MTU in bytes, and takes it up.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Kernel`] with EINVAL when the device does not take the MTU.
    pub async fn set_up_single(&self, name: IfName, mac: [u8; 6], mtu: u32) -> Result<(), Error> {
        let step = "set up";
        let which = Which::Name(name);
        let now = self
            .netlink
            .get(which.message().build())
            .await
            .map_err(|error| self.error(step, &name, error))?;
        let is_so = |link: Link| link.mac == mac && link.mtu == mtu && link.up;
        // Each change is told to whoever watches links, also one that changes nothing.
        if now.header.flags.contains(LinkFlags::Noarp) && Link::read(&now, &self.tag).is_some_and(is_so) {
            return Ok(());
        }
        let message = which.message().address(mac.to_vec()).mtu(mtu).arp(false).up();
        self.set(step, &name, message.build()).await
    }

    /// The names of all links here, with their indexes.
    ///
    /// # Errors
    /// As [`addresses`](Self::addresses).
    pub async fn names(&self) -> Result<Vec<(u32, IfName)>, Error> {
        let all = self.netlink.dump().await.map_err(|error| self.error("list", &"links", error))?;
        let name = |attribute: &LinkAttribute| match attribute {
            LinkAttribute::IfName(name) => name.parse().ok(),
            _ => None,
        };
        let named =
            all.iter().filter_map(|link| Some((link.header.index, link.attributes.iter().find_map(name)?)));
        Ok(named.collect())
    }
}

impl Address {
    fn read(message: &AddressMessage) -> Option<Self> {
        let (mut local, mut address, mut ours) = (None, None, false);
        let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
        for attribute in &message.attributes {
            match attribute {
                // On a link of two, `Address` is the other end's.
                AddressAttribute::Local(ip) => local = Some(*ip),
                AddressAttribute::Address(ip) => address = Some(*ip),
                AddressAttribute::Flags(all) => flags = *all,
                AddressAttribute::Protocol(protocol) => ours = *protocol == OURS,
                _ => {}
            }
        }
        let net = IpNet::new(local.or(address)?, message.header.prefix_len).ok()?;
        // The first bit means "secondary" with IPv4, which is no fault.
        let passing = AddressFlags::Secondary
            | AddressFlags::Deprecated
            | AddressFlags::Tentative
            | AddressFlags::Dadfailed;
        let lasting = net.addr().is_ipv4() || !flags.intersects(passing);
        Some(Self { index: message.header.index, net, lasting, ours })
    }
}

fn message(index: u32, net: IpNet) -> AddressMessage {
    let mut message = match net.addr() {
        IpAddr::V4(ip) => {
            AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(ip, net.prefix_len()).build()
        }
        IpAddr::V6(ip) => {
            AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(ip, net.prefix_len()).build()
        }
    };
    if net.addr().is_ipv6() {
        message.header.flags |= AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    message
}

fn with(index: u32, net: IpNet) -> String {
    format!("link {index}: {net}")
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}
