//! Neighbours by the links of one namespace, as the kernel knows them.

use std::net::IpAddr;

use nix::errno::Errno;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};

use crate::error::Error;
use crate::links::Links;

/// What the kernel knows of who has an IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The Ethernet address, if it can be used.
    pub mac: Option<[u8; 6]>,
    /// The kernel does nothing by itself to learn it, or to make sure of it, as nobody has asked it lately.
    pub idle: bool,
}

impl Neighbour {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { mac: None, idle: true };
}

impl Links {
    /// Who has an address, on the link of this index.
    ///
    /// # Errors
    /// [`Error::Kernel`], [`Error::NotFound`] without the link, [`Error::Closed`].
    pub async fn neighbour(&self, index: u32, address: IpAddr) -> Result<Neighbour, Error> {
        match self.netlink.neighbour(message(index, address)).await {
            Ok(message) => Ok(Neighbour::read(&message)),
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(Neighbour::UNKNOWN),
            Err(error) => Err(self.error("find neighbour of", &by(index, address), error)),
        }
    }

    /// Has the kernel ask who has an address, as if it had a packet to send there (`NTF_USE`). What it knows already it uses on, and
    /// makes sure of it.
    ///
    /// # Errors
    /// As [`neighbour`](Self::neighbour). That nobody answers is none.
    pub async fn ask_for_neighbour(&self, index: u32, address: IpAddr) -> Result<(), Error> {
        let mut message = message(index, address);
        message.header.flags = NeighbourFlags::Use;
        let asked = self.netlink.set_neighbour(message).await;
        asked.map_err(|error| self.error("ask for neighbour of", &by(index, address), error))
    }
}

impl Neighbour {
    fn read(message: &NeighbourMessage) -> Self {
        let mac = message.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            _ => None,
        });
        let (valid, idle) = match message.header.state {
            NeighbourState::Reachable
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Noarp
            | NeighbourState::Permanent => (true, false),
            NeighbourState::Stale => (true, true),
            NeighbourState::Incomplete => (false, false),
            _ => (false, true),
        };
        Self { mac: mac.filter(|_| valid), idle }
    }
}

fn message(index: u32, address: IpAddr) -> NeighbourMessage {
    let (family, destination) = match address {
        IpAddr::V4(ip) => (AddressFamily::Inet, NeighbourAddress::Inet(ip)),
        IpAddr::V6(ip) => (AddressFamily::Inet6, NeighbourAddress::Inet6(ip)),
    };
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    message.header.ifindex = index;
    message.attributes.push(NeighbourAttribute::Destination(destination));
    message
}

fn by(index: u32, address: IpAddr) -> String {
    format!("link {index}: {address}")
}
