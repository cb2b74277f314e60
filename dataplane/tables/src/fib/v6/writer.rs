//! Edits the trie in place.

use std::sync::Arc;

use ipnet::Ipv6Net;

use super::arena::Arena;
use super::build::{Weight, range};
use super::change::Change;
use super::memory::{FIRST, UNIT};
use super::reader::Fib6;
use super::word::{Answer, Node, Target, Word};
use super::{Key, Route, common};
use crate::fib::RouteError;
use crate::fib::retired::Mark;
use crate::fib::rib::{Family, Routes};

/// Control's side of a [`Fib6`].
pub struct Writer {
    pub(super) arena: Arena,
}

/// A place in the trie: a word, and the bits that lead to it.
#[derive(Clone, Copy)]
struct Place {
    number: u32,
    end: u32,
}

const TOP: Place = Place { number: FIRST << UNIT, end: 0 };

impl Writer {
    /// Links what was built.
    fn link(&mut self, place: Place, word: Word) {
        self.arena.store(place.number, word);
        self.arena.commit();
    }

    /// Builds the subtree of a place anew from its routes, as wide as they need it now.
    fn rebuild(&mut self, rib: &Routes<Self>, place: Place, node: Node) -> Result<(), RouteError> {
        let Ok(net) = Ipv6Net::new(self.arena.path(node).into(), node.start as u8) else { return Ok(()) };
        let routes = rib.children(&net).map(|(net, value)| Route { key: net.into(), value: *value });
        // One that ends where the place begins is of the node above.
        let mut routes: Vec<Route> = routes.filter(|route| u32::from(route.key.len) > place.end).collect();
        routes.sort_unstable();
        let word = self.arena.build(&routes, place.end, self.arena.cover(node))?;
        let old = self.arena.load(place.number);
        self.link(place, word);
        self.arena.retire_all(old);
        Ok(())
    }

    /// Adds a route to the one or two of a word, or to none.
    fn join(
        &mut self,
        place: Place,
        units: std::ops::Range<u32>,
        cover: Answer,
        route: Route,
    ) -> Result<(), RouteError> {
        let mut routes = vec![route];
        for unit in units {
            let (other, cover) = self.arena.route(unit);
            if other.key == route.key {
                self.arena.store_answers(unit, route, cover);
                return Ok(());
            }
            routes.push(other);
        }
        routes.sort_unstable();
        let word = self.arena.build(&routes, place.end, cover)?;
        let old = self.arena.load(place.number);
        self.link(place, word);
        self.arena.retire_all(old);
        Ok(())
    }

    /// Puts a node between a place and its node, where a route leaves the way there.
    ///
    /// It counts as built for fewer routes than there are, so that after some such nodes, or some routes more, all is built anew:
    /// routes with rising numbers would make a chain of them.
    fn wrap(
        &mut self,
        rib: &Routes<Self>,
        place: Place,
        inner: Node,
        route: Route,
    ) -> Result<(), RouteError> {
        let (path, cover) = (self.arena.path(inner), self.arena.cover(inner));
        let Weight { now, built } = self.arena.weight(inner);
        let len = u32::from(route.key.len);
        let start = common(path, route.key.bits).min(len);
        let outer = self.arena.take_node(start, (inner.start - start).min(UNIT), start > place.end)?;
        let within = if len == start { route.answer() } else { cover };
        let bits = path & !u128::MAX.checked_shr(start).unwrap_or(0);
        self.arena.store_unit(outer.header, bits, [u64::from(cover.bits()), 0]);
        self.arena.set_weight(outer, Weight { now: now.saturating_add(1), built: built - built / 4 });
        self.arena.fill(outer, 0..1 << outer.stride, within);
        if len > outer.end() {
            let word = self.arena.build(&[route], outer.end(), cover)?;
            self.arena.store(outer.word(route.key.bits), word);
        } else if len > start {
            self.arena.fill(outer, range(outer, route.key), route.answer());
        }
        // The header is new: readers of the old one still ask it about addresses that are outside of the new node.
        let moved = Node { header: self.arena.take(0)?, skips: inner.start > outer.end(), ..inner };
        let whole = Ipv6Net::new(path.into(), inner.start as u8).ok().filter(|_| !moved.skips);
        let whole = whole.and_then(|net| rib.get(&net)).map(|value| Answer::new(*value, inner.start as u8));
        self.arena.store_unit(moved.header, path, [u64::from(whole.unwrap_or(cover).bits()), 0]);
        self.arena.set_weight(moved, self.arena.weight(inner));
        self.arena.store(outer.word(path), Word::new(Target::Node(moved)));
        self.link(place, Word::new(Target::Node(outer)));
        self.arena.retire(inner.header, 0);
        if len == start {
            self.arena.change(outer.word(path), Change::Insert(route.answer()));
        }
        Ok(())
    }

    /// Whether a prefix does not belong in a node, but beside it or around it.
    fn parts(&self, node: Node, key: Key) -> bool {
        common(self.arena.path(node), key.bits).min(u32::from(key.len)) < node.start
    }

    /// Adds a route or changes its value.
    fn add(&mut self, rib: &Routes<Self>, route: Route, new: bool) -> Result<(), RouteError> {
        let change = Change::Insert(route.answer());
        let (mut place, mut above) = (TOP, Vec::new());
        if route.key.len == 0 {
            self.arena.change(TOP.number, change);
            return Ok(());
        }
        let done = loop {
            match self.arena.load(place.number).target() {
                Target::Answer(cover) => break self.join(place, 0..0, cover, route),
                Target::Routes { first, last } => {
                    break self.join(place, first..last + 1, self.arena.route(first).1, route);
                }
                Target::Node(node) if self.parts(node, route.key) => {
                    break self.wrap(rib, place, node, route);
                }
                Target::Node(node) if new && self.arena.weight(node).is_heavy() => {
                    break self.rebuild(rib, place, node);
                }
                Target::Node(node) => {
                    above.push(node);
                    if u32::from(route.key.len) <= node.end() {
                        self.arena.change_words(node, range(node, route.key), change);
                        break Ok(());
                    }
                    place = Place { number: node.word(route.key.bits), end: node.end() };
                }
            }
        };
        match done {
            Ok(()) if new => self.weigh(&above, 1),
            Ok(()) => (),
            Err(_) => self.arena.undo(),
        }
        done
    }

    /// Takes a route out that `cover` covers.
    fn take_out(&mut self, rib: &Routes<Self>, key: Key, cover: Answer) {
        let change = Change::Remove { len: key.len, cover };
        let (mut place, mut above) = (TOP, Vec::new());
        if key.len == 0 {
            return self.arena.change(TOP.number, change);
        }
        loop {
            match self.arena.load(place.number).target() {
                Target::Routes { first, last } if self.arena.route(first).0.key == key => {
                    let rest = Target::Routes { first: last, last };
                    let rest = if first == last { Target::Answer(self.arena.route(first).1) } else { rest };
                    break self.leave(place, rest, first);
                }
                Target::Routes { first, last } if self.arena.route(last).0.key == key => {
                    break self.leave(place, Target::Routes { first, last: first }, last);
                }
                Target::Node(node) if !self.parts(node, key) => {
                    if self.arena.weight(node).is_light() {
                        if self.rebuild(rib, place, node).is_ok() {
                            break;
                        }
                        // Without memory for a smaller one, the node stays.
                        self.arena.undo();
                    }
                    above.push(node);
                    if u32::from(key.len) <= node.end() {
                        break self.arena.change_words(node, range(node, key), change);
                    }
                    place = Place { number: node.word(key.bits), end: node.end() };
                }
                _ => return debug_assert!(false, "{key:?} is in the RIB and not in the trie"),
            }
        }
        self.weigh(&above, -1);
    }

    /// Takes one unit out of a place, where `rest` stays. Needs no memory: withdrawing never fails.
    fn leave(&mut self, place: Place, rest: Target, unit: u32) {
        self.link(place, Word::new(rest));
        self.arena.retire(unit, 0);
    }

    /// Counts a route in the nodes above it.
    fn weigh(&self, above: &[Node], routes: i32) {
        for node in above {
            let Weight { now, built } = self.arena.weight(*node);
            self.arena.set_weight(*node, Weight { now: now.saturating_add_signed(routes), built });
        }
    }
}

impl Family for Writer {
    type Prefix = Ipv6Net;
    type Fib = Fib6;

    fn new() -> Result<Self, RouteError> {
        Ok(Writer { arena: Arena::new()? })
    }

    fn fib(&self) -> &Arc<Fib6> {
        &self.arena.fib
    }

    // Its memory is laid out for what it holds.
    fn expect(&mut self, _: usize) {}

    fn insert(
        &mut self,
        rib: &Routes<Self>,
        prefix: Ipv6Net,
        value: u32,
        old: Option<u32>,
    ) -> Result<(), RouteError> {
        self.add(rib, Route { key: prefix.into(), value }, old.is_none())
    }

    fn remove(&mut self, rib: &Routes<Self>, prefix: Ipv6Net) {
        let cover =
            rib.get_lpm(&prefix).map_or(Answer::NONE, |(net, value)| Answer::new(*value, net.prefix_len()));
        self.take_out(rib, prefix.into(), cover);
    }

    fn mark(&self) -> Mark {
        self.arena.mark()
    }

    fn quiet(&mut self, before: Mark) {
        self.arena.quiet(before);
    }

    fn bytes(&self) -> usize {
        self.arena.bytes()
    }
}
