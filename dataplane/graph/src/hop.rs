//! Where a packet goes next.

/// Interfaces that a switch can have.
pub const MAX_INTERFACES: usize = 4096;

/// The next stop of a packet: a node, or the transmit queue of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hop(u16);

impl Hop {
    const PORT: u16 = 0x8000;

    /// No node: the packet is dropped under the reason that it carries.
    pub const DROP: Hop = Hop(0x7fff);
    /// The output of an interface that does not exist (any more): dropped as `no-port`.
    pub const NOWHERE: Hop = Hop(0x7ffe);

    /// A node, by its place in the graph.
    pub const fn node(index: u16) -> Hop {
        assert!(index < 64, "a graph has at most 64 nodes");
        Hop(index)
    }

    /// The transmit queue of an interface, by its index below [`MAX_INTERFACES`].
    pub const fn port(interface: u16) -> Hop {
        assert!((interface as usize) < MAX_INTERFACES, "an interface index is below 4096");
        Hop(interface | Self::PORT)
    }

    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    /// The interface, if the hop is one's transmit queue.
    #[inline(always)]
    pub const fn as_port(self) -> Option<u16> {
        if self.0 & Self::PORT == 0 { None } else { Some(self.0 & !Self::PORT) }
    }

    /// The node's place in the graph, if the hop is a node.
    #[inline(always)]
    pub const fn as_node(self) -> Option<u16> {
        if self.0 & Self::PORT == 0 { Some(self.0) } else { None }
    }
}
