//! `police-input` and `police-output`: let in and out no more than a rate.
//!
//! Next: the rest of the arc.
//!
//! Cost: a compare-and-swap for each packet, as all workers take of one bucket.

use paceline_buf::Vector;
use paceline_graph::{Context, Node, Reason};
use paceline_sys::cpu::tsc;

use crate::feature::Hops;

/// Either of the two nodes.
#[derive(Default)]
pub struct Police<const OUT: bool> {
    hops: Hops,
}

impl<const OUT: bool> Node for Police<OUT> {
    fn name(&self) -> &'static str {
        if OUT { "police-output" } else { "police-input" }
    }

    fn process(&mut self, cx: &mut Context<'_>, vector: &mut Vector) {
        let now = tsc();
        self.hops.walk::<OUT>(cx, vector, |_, packet, filter| match &filter.policers[usize::from(OUT)] {
            Some(policer) if !policer.passes(now, packet.total_len()) => Err(Reason::Policed),
            _ => Ok(()),
        });
    }
}
