//! `dscp-input`: gives IP packets that come in the differentiated services code point of the interface (RFC 2474, RFC 2475 §2.3.3).
//!
//! Next: the rest of the input arc.
//!
//! Cost: one or two bytes and, for IPv4, the header's checksum.

use paceline_buf::Vector;
use paceline_graph::{Context, Node};

use crate::acl::set_dscp;
use crate::feature::Hops;

/// The node.
#[derive(Default)]
pub struct Dscp {
    hops: Hops,
}

impl Node for Dscp {
    fn name(&self) -> &'static str {
        "dscp-input"
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        self.hops.walk::<false>(cx, vector, |_, packet, filter| {
            if let Some(dscp) = filter.dscp {
                set_dscp(packet, dscp);
            }
            Ok(())
        });
    }
}
