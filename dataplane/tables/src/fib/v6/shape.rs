//! How wide a node is.

use super::{Route, common};

/// The widest node chooses by this many bits.
const WIDEST: u32 = 22;
/// The narrowest, unless the address ends: a unit of words.
const NARROWEST: u32 = 2;
/// Words of a node for each that has routes, at most. The more, the fewer routes share a word and need another node.
fn words_per_used(stride: u32) -> u64 {
    // Up to 512 KiB a node stays in a second-level cache.
    if stride <= 16 { 8 } else { 4 }
}

/// Bits that all of some routes have in common; in order, and two at least.
pub(super) fn start(routes: &[Route]) -> u32 {
    let [first, .., last] = routes else { return 0 };
    // A route shorter than what the others have in common covers them all and comes first.
    common(first.key.bits, last.key.bits).min(u32::from(first.key.len))
}

/// The bits that a node for some routes chooses by, from `start` on: as many as keep enough of its words in use.
pub(super) fn stride(routes: &[Route], start: u32) -> u32 {
    let room = 128 - start;
    // Neighbours that part at bit n are in different words of a node that ends behind it.
    let mut parted = [0_u64; 129];
    for pair in routes.windows(2) {
        parted[common(pair[0].key.bits, pair[1].key.bits) as usize] += 1;
    }
    let (mut used, mut best) = (1, NARROWEST.min(room));
    for stride in 1..=WIDEST.min(room) {
        used += parted[(start + stride - 1) as usize];
        if stride > best && 1 << stride <= used * words_per_used(stride) {
            best = stride;
        }
    }
    best
}

/// Words of a node as an order of units.
pub(super) fn order(stride: u32) -> u32 {
    stride.saturating_sub(super::memory::UNIT)
}
