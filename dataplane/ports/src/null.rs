//! `null`: receives nothing and takes everything, as `/dev/null` does.

use paceline_buf::Vector;
use paceline_graph::Capabilities;

use crate::{Io, Port};

/// A port that swallows what it is sent.
#[derive(Default)]
pub struct NullPort;

impl Port for NullPort {
    fn kind(&self) -> &'static str {
        "null"
    }

    fn receive(&mut self, _io: &mut Io<'_>, _out: &mut Vector) {}

    #[inline]
    fn transmit(&mut self, io: &mut Io<'_>, vector: &mut Vector) {
        io.cache.free_all(vector);
    }

    fn is_source(&self) -> bool {
        false
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }
}
