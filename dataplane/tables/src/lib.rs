//! Lookup tables of the fast path. Readers never wait; each table has a slow, obvious twin in its tests.
//!
//! | table | what it answers | how |
//! |---|---|---|
//! | [`MacTable`] | the port behind a MAC address | hash table, learned by any worker |
//! | [`Fib4`] | the longest prefix of an IPv4 address | DIR-24-8, edited by its [`Rib4`] |
//! | [`Fib6`] | the longest prefix of an IPv6 address | trie of nodes as wide as they are full, edited by its [`Rib6`] |
//! | [`Acl`] | the first rule that matches a packet | tuple space search, never changed |
//! | [`MulticastTable`] | the ports that asked for a multicast group | hash table with a bit for each port, written by one thread |
//! | [`Sessions`] | what the flow of a packet becomes | hash table with lists by age, written by one worker |
#![forbid(unsafe_code)]

#[cfg(not(loom))]
mod acl;
mod fib;
mod mac;
#[cfg(not(loom))]
mod multicast;
#[cfg(not(loom))]
mod sessions;
mod sync;

#[cfg(not(loom))]
pub use acl::{Acl, AclAddress, AclError, AclFields, AclKey, AclRule, MAX_ENTRIES, NO_RULE, acl_word};
pub use fib::{Fib4, Fib6, MAX_VALUE, Mark, NO_ROUTE, Rib, Rib4, Rib6, RouteError};
pub use mac::{Learn, MacEntry, MacReader, MacTable};
#[cfg(not(loom))]
pub use multicast::{Mode as MulticastMode, MulticastTable, NoPlace, PortSet};
#[cfg(not(loom))]
pub use sessions::{Address, CLASSES, Full, Reader, Session, SessionEntry, Sessions, State, Tuple};
