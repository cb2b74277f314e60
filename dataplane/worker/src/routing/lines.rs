//! Who has which adjacency, and for how long.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use paceline_graph::{Action, Adjacencies, Adjacency, IpVersion, Link};
use paceline_wire::ethernet::Mac;

/// What an adjacency is for. With the link in it, so that an interface whose MTU or address changed gets new ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// Whoever is on the link of an interface: each destination is a neighbour.
    Glean(Link),
    /// One neighbour.
    Neighbour(Link, IpAddr),
    /// The one at the other end of a link of two.
    Peer(Link, Mac),
    /// No neighbour at all.
    Act(Action),
    /// Several others of these, by number.
    Balance(Vec<u32>),
}

struct Line {
    target: Target,
    uses: usize,
    /// Routes that lead to it as a next hop.
    leads: usize,
    /// Those that flows are spread by, and that it is one of.
    balances: Vec<u32>,
}

/// All adjacencies. Their numbers are given away again after a quiet point.
pub(crate) struct Lines {
    table: Arc<Adjacencies>,
    by_number: Vec<Option<Line>>,
    numbers: HashMap<Target, u32>,
    free: Vec<u32>,
    /// Out of use, but workers may still read them.
    retired: Vec<u32>,
    /// Next hops that became or ceased to be one.
    changed: BTreeSet<(u16, IpAddr)>,
}

/// The version of an address.
pub(crate) fn version(address: IpAddr) -> IpVersion {
    if address.is_ipv4() { IpVersion::V4 } else { IpVersion::V6 }
}

impl Lines {
    /// As many as fit into a first-level cache at first.
    const FIRST: usize = 256;
    /// So few that more are to be made.
    const FEW: usize = 32;
    /// As many as a forwarding table can name.
    const MOST: usize = paceline_tables::MAX_VALUE as usize + 1;

    pub(crate) fn new() -> Lines {
        Lines {
            table: Arc::new(Adjacencies::new(Lines::FIRST)),
            // Number 0 is no route.
            by_number: vec![None],
            numbers: HashMap::new(),
            free: Vec::new(),
            retired: Vec::new(),
            changed: BTreeSet::new(),
        }
    }

    /// What workers read. It is another one after a growth, which takes effect when they are told.
    pub(crate) fn table(&self) -> &Arc<Adjacencies> {
        &self.table
    }

    /// What a number is for.
    pub(crate) fn target(&self, number: u32) -> Option<&Target> {
        self.by_number.get(number as usize)?.as_ref().map(|line| &line.target)
    }

    /// The interfaces that packets of an adjacency leave by; `None` if they leave by none.
    pub(crate) fn interfaces(&self, number: u32) -> Option<Vec<u16>> {
        match self.target(number)? {
            Target::Glean(link) | Target::Neighbour(link, _) | Target::Peer(link, _) => {
                Some(vec![link.interface])
            }
            Target::Act(_) => None,
            Target::Balance(paths) => paths.iter().map(|path| self.interfaces(*path)?.pop()).collect(),
        }
    }

    /// The number that a target has, if it is in use.
    pub(crate) fn number(&self, target: &Target) -> Option<u32> {
        self.numbers.get(target).copied()
    }

    /// The adjacency for a target, used once more. A new one is written: that of a neighbour with `mac`, where that is known.
    /// `None` if there is no number left: see [`reserve`](Lines::reserve).
    pub(crate) fn take(&mut self, target: Target, mac: Option<Mac>) -> Option<u32> {
        if let Some(&number) = self.numbers.get(&target) {
            if let Some(Some(line)) = self.by_number.get_mut(number as usize) {
                line.uses += 1;
            }
            return Some(number);
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.by_number.len() < self.table.capacity() => {
                self.by_number.push(None);
                self.by_number.len() as u32 - 1
            }
            None => return None,
        };
        if let Target::Balance(paths) = &target {
            for path in paths {
                if let Some(Some(line)) = self.by_number.get_mut(*path as usize) {
                    line.uses += 1;
                    line.balances.push(number);
                }
            }
        }
        self.write(number, &target, mac);
        self.numbers.insert(target.clone(), number);
        self.by_number[number as usize] = Some(Line { target, uses: 1, leads: 0, balances: Vec::new() });
        Some(number)
    }

    /// Uses an adjacency once less.
    pub(crate) fn give(&mut self, number: u32) {
        let Some(slot) = self.by_number.get_mut(number as usize) else { return };
        let Some(line) = slot else { return };
        line.uses -= 1;
        if line.uses > 0 {
            return;
        }
        let Some(line) = slot.take() else { return };
        self.numbers.remove(&line.target);
        self.retired.push(number);
        if let Target::Balance(paths) = line.target {
            for path in paths {
                if let Some(Some(line)) = self.by_number.get_mut(path as usize) {
                    line.balances.retain(|balance| *balance != number);
                }
                self.give(path);
            }
        }
    }

    /// A route leads to an adjacency from now on. The neighbours that it needs are next hops, but for the destination itself.
    pub(crate) fn lead(&mut self, prefix: IpNet, number: u32) {
        self.count(prefix, number, true);
    }

    /// A route does not lead to an adjacency any more, and uses it once less.
    pub(crate) fn leave(&mut self, prefix: IpNet, number: u32) {
        self.count(prefix, number, false);
        self.give(number);
    }

    fn count(&mut self, prefix: IpNet, number: u32, more: bool) {
        let Some(Some(line)) = self.by_number.get_mut(number as usize) else { return };
        match &line.target {
            Target::Neighbour(link, address) if IpNet::from(*address) != prefix => {
                let before = line.leads;
                line.leads = if more { before + 1 } else { before.saturating_sub(1) };
                if before == 0 || line.leads == 0 {
                    self.changed.insert((link.interface, *address));
                }
            }
            Target::Balance(paths) => {
                for path in paths.clone() {
                    self.count(prefix, path, more);
                }
            }
            _ => {}
        }
    }

    /// Neighbours that became or ceased to be a next hop since this was asked last.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<(u16, IpAddr)> {
        std::mem::take(&mut self.changed)
    }

    /// Whether a target is a next hop.
    pub(crate) fn is_next_hop(&self, target: &Target) -> bool {
        let line = self.number(target).and_then(|number| self.by_number.get(number as usize)?.as_ref());
        line.is_some_and(|line| line.leads > 0)
    }

    /// All neighbours that are next hops, each with the interface it is behind.
    pub(crate) fn next_hops(&self) -> impl Iterator<Item = (u16, IpAddr)> {
        let used = self.by_number.iter().flatten().filter(|line| line.leads > 0);
        used.filter_map(|line| match line.target {
            Target::Neighbour(link, address) => Some((link.interface, address)),
            _ => None,
        })
    }

    /// Sends to a neighbour, or asks for it from now on. While it does not answer, flows that are spread over it and others
    /// go by those that do.
    pub(crate) fn set(&self, link: Link, address: IpAddr, mac: Option<Mac>) {
        let target = Target::Neighbour(link, address);
        let Some(number) = self.number(&target) else { return };
        self.write(number, &target, mac);
        let line = self.by_number.get(number as usize).and_then(Option::as_ref);
        for balance in line.into_iter().flat_map(|line| &line.balances) {
            if let Some(target) = self.target(*balance) {
                self.write(*balance, target, None);
            }
        }
    }

    fn write(&self, number: u32, target: &Target, mac: Option<Mac>) {
        let line = self.table.get(number);
        match target {
            Target::Glean(link) => line.resolve(*link),
            Target::Neighbour(link, _) => match mac {
                Some(mac) => line.forward(*link, mac),
                None => line.resolve(*link),
            },
            Target::Peer(link, mac) => line.forward(*link, *mac),
            Target::Act(action) => line.act(*action),
            Target::Balance(paths) => line.balance(&places(paths, |path| self.answers(path))),
        }
    }

    /// Whether packets may be sent there: not to a neighbour that is asked for in vain.
    fn answers(&self, number: u32) -> bool {
        let is_neighbour = matches!(self.target(number), Some(Target::Neighbour(..)));
        !is_neighbour || self.table.get(number).target().action() == Action::Forward
    }

    /// Adjacencies that are in use.
    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        self.by_number.iter().flatten().count()
    }

    /// Whether a quiet point is wanted: numbers wait for it, or there are few left.
    pub(crate) fn waits(&self) -> bool {
        let is_few = self.free.len() + self.table.capacity() - self.by_number.len() < Lines::FEW;
        // What is as large as it can be does not grow by waiting.
        !self.retired.is_empty() || is_few && self.table.capacity() < Lines::MOST
    }

    /// The numbers that are out of use by now, to be given to [`quiet`](Lines::quiet) after a quiet point.
    pub(crate) fn mark(&self) -> usize {
        self.retired.len()
    }

    /// Gives away again what was out of use at the mark.
    pub(crate) fn quiet(&mut self, mark: usize) {
        self.free.extend(self.retired.drain(..mark.min(self.retired.len())));
    }

    /// Makes room for so many further ones, as far as there can be. What [`table`](Lines::table) gives is another one then, which
    /// must be published before a number that is new in it is used.
    pub(crate) fn reserve(&mut self, further: usize) {
        let want = (self.by_number.len() + further.saturating_sub(self.free.len())).min(Lines::MOST);
        if want <= self.table.capacity() {
            return;
        }
        let larger = Adjacencies::new(want.next_power_of_two());
        for number in 0..self.table.capacity() as u32 {
            larger.get(number).copy(self.table.get(number));
        }
        self.table = Arc::new(larger);
    }
}

/// The places of next hops among which flows are spread, as many of each as there can be. Those of one that does not answer are shared
/// among the ones that do: their own flows stay where they are, and those of the other return when it does. If none answers, all
/// are asked for.
fn places(paths: &[u32], answers: impl Fn(u32) -> bool) -> Vec<u32> {
    let each = (Adjacency::PATHS / paths.len().max(1)).max(1);
    let alive: Vec<u32> = paths.iter().copied().filter(|path| answers(*path)).collect();
    let mut others = alive.iter().copied().cycle();
    let mut place = |path: u32| if alive.contains(&path) { path } else { others.next().unwrap_or(path) };
    paths.iter().flat_map(|path| std::iter::repeat_n(*path, each)).map(&mut place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(interface: u16) -> Link {
        Link { interface, mtu: 1500, source: Mac(2), version: IpVersion::V4 }
    }

    fn neighbour(last: u8) -> Target {
        Target::Neighbour(link(1), [10, 0, 0, last].into())
    }

    #[test]
    fn a_number_is_given_again_after_its_last_use_and_a_quiet_point() {
        let mut lines = Lines::new();
        let first = lines.take(neighbour(1), None).expect("room");
        assert_eq!(lines.take(neighbour(1), None), Some(first));
        let second = lines.take(neighbour(2), Some(Mac(9))).expect("room");
        let both = lines.take(Target::Balance(vec![first, second]), None).expect("room");
        lines.give(first);
        lines.give(first);
        lines.give(second);
        assert_eq!(lines.mark(), 0, "the balancing one uses both");
        lines.give(both);
        let mark = lines.mark();
        assert_eq!((mark, lines.number(&neighbour(1))), (3, None));
        assert_eq!(lines.take(neighbour(3), None), Some(4));
        lines.quiet(mark);
        assert!([first, second, both].contains(&lines.take(neighbour(4), None).expect("room")));
    }

    #[test]
    fn growth_keeps_what_was_written() {
        let mut lines = Lines::new();
        let mut numbers = Vec::new();
        assert!((0..300).any(|n| lines.take(Target::Balance(vec![n]), None).is_none()), "no room");
        lines.reserve(1000);
        for n in 0..1000_u32 {
            let target = Target::Neighbour(link(1), (0x0a00_0000 + n).to_be_bytes().into());
            numbers.push(lines.take(target, Some(Mac(u64::from(n)))).expect("room"));
        }
        assert!(lines.table().capacity() >= 1255);
        for (n, number) in numbers.iter().enumerate() {
            let line = lines.table().get(*number);
            assert_eq!(line.target().action(), Action::Forward);
            assert_eq!(line.header().0[..6], (n as u64).to_be_bytes()[2..]);
        }
        lines.set(link(1), [10, 0, 0, 5].into(), None);
        assert_eq!(lines.table().get(numbers[5]).target().action(), Action::Resolve);
        lines.set(link(1), [10, 0, 0, 5].into(), Some(Mac(7)));
        assert_eq!(lines.table().get(numbers[5]).header().0[..6], [0, 0, 0, 0, 0, 7]);
    }
}
