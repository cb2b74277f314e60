//! The routes, and the table made of them.

use std::sync::Arc;

use prefix_trie::{Prefix, PrefixMap};

use super::{MAX_VALUE, Mark, RouteError, v4, v6};

/// A kind of forwarding table, as its writer sees it.
pub trait Family: Sized {
    /// A prefix of addresses.
    type Prefix: Prefix + Copy;
    /// The table that workers read.
    type Fib;

    /// An empty table.
    ///
    /// # Errors
    /// [`RouteError::Memory`].
    fn new() -> Result<Self, RouteError>;
    /// The table.
    fn fib(&self) -> &Arc<Self::Fib>;
    /// See [`Rib::expect`].
    fn expect(&mut self, routes: usize);
    /// Writes a route that the RIB has already; `old` is the value it had before.
    ///
    /// # Errors
    /// Limits, only for a route that is new.
    fn insert(
        &mut self,
        rib: &Routes<Self>,
        prefix: Self::Prefix,
        value: u32,
        old: Option<u32>,
    ) -> Result<(), RouteError>;
    /// Takes a route out that the RIB has no more.
    fn remove(&mut self, rib: &Routes<Self>, prefix: Self::Prefix);
    /// See [`Rib::mark`].
    fn mark(&self) -> Mark;
    /// See [`Rib::quiet`].
    fn quiet(&mut self, before: Mark);
    /// Bytes of the table that are in use.
    fn bytes(&self) -> usize;
}

/// The routes of a family.
pub type Routes<F> = PrefixMap<<F as Family>::Prefix, u32>;

/// Routes of IPv4 and their [`Fib4`](super::Fib4). A change writes 1 word for a /24 or a /32, 65 536 for a /8.
pub type Rib4 = Rib<v4::Writer>;
/// Routes of IPv6 and their [`Fib6`](super::Fib6). A change writes a few words, or one for each place under the prefix that has no
/// longer one. When routes under a node have doubled, it is built anew: at 200 000 routes, one insertion takes 0.1 to 0.2 s.
pub type Rib6 = Rib<v6::Writer>;

/// The routes of one routing table, and the forwarding table made of them. For one thread, control's.
///
/// A prefix is taken without its host bits: `10.0.0.1/8` is `10.0.0.0/8`. A value is 1 to [`MAX_VALUE`]; what it means (the
/// number of an adjacency, say) is the caller's.
pub struct Rib<F: Family> {
    routes: Routes<F>,
    family: F,
}

impl<F: Family> Rib<F> {
    /// No routes.
    ///
    /// # Errors
    /// [`RouteError::Memory`].
    pub fn new() -> Result<Self, RouteError> {
        Ok(Rib { routes: PrefixMap::new(), family: F::new()? })
    }

    /// The forwarding table, for workers to keep.
    pub fn fib(&self) -> &Arc<F::Fib> {
        self.family.fib()
    }

    /// Says that so many routes will come. From 1024 on, an IPv4 table asks for huge pages; by itself it does so when it has so many
    /// routes, and by then most of its pages may be small ones, which the kernel replaces slowly. 1 M routes on huge pages: 12
    /// cycles a lookup, on small ones 20.
    pub fn expect(&mut self, routes: usize) {
        self.family.expect(routes);
    }

    /// Adds a route or gives it another value. Returns the value it had.
    ///
    /// # Errors
    /// [`RouteError`]; nothing has changed then. A route that is there never fails to take a value in range.
    pub fn insert(&mut self, prefix: F::Prefix, value: u32) -> Result<Option<u32>, RouteError> {
        if value == 0 || value > MAX_VALUE {
            return Err(RouteError::Value(value));
        }
        let prefix = masked(&prefix);
        let old = self.routes.insert(prefix, value);
        if old == Some(value) {
            return Ok(old);
        }
        if let Err(error) = self.family.insert(&self.routes, prefix, value, old) {
            self.routes.remove(&prefix);
            return Err(error);
        }
        Ok(old)
    }

    /// Takes a route out. Returns its value.
    pub fn remove(&mut self, prefix: F::Prefix) -> Option<u32> {
        let prefix = masked(&prefix);
        let value = self.routes.remove(&prefix)?;
        self.family.remove(&self.routes, prefix);
        Some(value)
    }

    /// The value of the route with exactly this prefix.
    pub fn get(&self, prefix: F::Prefix) -> Option<u32> {
        self.routes.get(&masked(&prefix)).copied()
    }

    /// The longest route that covers a prefix whole; the route with this prefix, if there is one.
    pub fn covering(&self, prefix: F::Prefix) -> Option<(F::Prefix, u32)> {
        self.routes.get_lpm(&masked(&prefix)).map(|(prefix, value)| (prefix, *value))
    }

    /// All routes, in the order of their addresses, shorter prefixes first.
    pub fn iter(&self) -> impl Iterator<Item = (F::Prefix, u32)> {
        self.routes.iter().map(|(prefix, value)| (prefix, *value))
    }

    /// Number of routes.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Notes what was taken out of the forwarding table until now, for [`quiet`](Rib::quiet).
    pub fn mark(&self) -> Mark {
        self.family.mark()
    }

    /// Makes memory free that was taken out of the forwarding table before a mark. To be called when every worker has passed a
    /// quiet point since the mark was made; routes may have changed meanwhile. Called too early, a lookup may answer with the
    /// route of another address; it never fails.
    pub fn quiet(&mut self, before: Mark) {
        self.family.quiet(before);
    }

    /// Bytes of memory: routes and forwarding table.
    pub fn bytes(&self) -> usize {
        self.routes.mem_size() + self.fib_bytes()
    }

    /// Bytes of the forwarding table that are in use.
    pub fn fib_bytes(&self) -> usize {
        self.family.bytes()
    }
}

/// A prefix without host bits.
fn masked<P: Prefix>(prefix: &P) -> P {
    P::from_repr_len(prefix.mask(), prefix.prefix_len())
}
