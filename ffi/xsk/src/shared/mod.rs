//! The program of a device that is shared with the kernel.
//!
//! ```text
//!  to a group of stations ────────────────────────────────────────────▶ kernel
//!  Ethernet address in `macs` ──────────────────────────▶ socket
//!  not IP (ARP, VLAN tags, …) ────────────────────────────────────────▶ kernel
//!  neighbour discovery ───────────────────────────────────────────────▶ kernel
//!  IP address in `addresses` ───────────────────────────▶ socket
//!  IP address not in `shared` ────────────────────────────────────────▶ kernel
//!  later fragment (IPv4) ──▶ as its first one went, by `fragments`
//!  TCP, UDP, SCTP: destination port ┐
//!  ICMP answer: identifier          ├─ in the range or in `services` ─▶ socket, or else the kernel
//!  ICMP error: source port or identifier of the packet that it quotes ┘
//! ```
//!
//! Later fragments of a shared address that come before their first go to the kernel, which forgets them after a while. Only
//! errors that end something are looked into: destination unreachable, time exceeded, parameter problem (RFC 792) and types 1 to
//! 4 of RFC 4443. Redirects are the kernel's.
//!
//! Nothing loops: at most some 120 instructions for a packet, and four lookups.

mod ip4;
mod ip6;

use crate::assemble::{Assembler, Do, Helper, If, R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, Register, Size};
use crate::bpf::{Instruction, Map};
use crate::filter::Maps;

/// In `struct xdp_md` (linux/bpf.h).
mod context {
    pub const DATA: i16 = 0;
    pub const DATA_END: i16 = 4;
    pub const RX_QUEUE_INDEX: i16 = 16;
}

/// Places on the stack, from its end.
mod stack {
    /// Key of `services`, whose first part is the key of `addresses` and `shared`: the address …
    pub const ADDRESS: i16 = -24;
    /// … its part that is IPv4's …
    pub const ADDRESS4: i16 = -12;
    /// … the protocol and a zero …
    pub const PROTOCOL: i16 = -8;
    /// … and the port, in network order.
    pub const PORT: i16 = -6;
    /// Key of `macs`.
    pub const MAC: i16 = -40;
    /// Key of `fragments`; the Ethernet address is not needed any more.
    pub const FRAGMENT: i16 = -40;
    /// A value for `fragments`.
    pub const YES: i16 = -48;
    /// The range of a shared address.
    pub const FIRST: i16 = -56;
    pub const LAST: i16 = -54;
    /// Bytes of the IPv4 header.
    pub const HEADER: i16 = -64;
}

const XDP_PASS: i32 = 2;

const TCP: i32 = 6;
const UDP: i32 = 17;
const SCTP: i32 = 132;
const ICMP: i32 = 1;
const ICMPV6: i32 = 58;

#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Ip4,
    /// IPv6 that is no neighbour discovery.
    Ip6,
    Error4,
    /// `R7` is at the header of TCP, UDP or SCTP.
    Port,
    /// The same, in a packet that an error quotes.
    QuotedPort,
    /// `R7` is at the ICMP header of an answer, or of a quoted query.
    Identifier,
    /// The key of `services` is complete.
    Decide,
    Service,
    /// A later fragment.
    Later,
    Ours,
    Theirs,
    Redirect,
    Pass,
}

/// Registers that stay: R6 the context, R7 where the program is in the frame, R8 the frame's end, R9 not zero in a first fragment
/// of several.
type Code = Assembler<At>;

/// The program, on these maps.
pub fn program(sockets: &Map, maps: &Maps) -> Vec<Instruction> {
    let mut code = Code::new();
    ethernet(&mut code, maps);
    ip6::write(&mut code, maps);
    ip4::write(&mut code, maps);
    decide(&mut code, maps);
    ends(&mut code, sockets, maps);
    code.finish()
}

fn ethernet(code: &mut Code, maps: &Maps) {
    const GROUP: i32 = 1;
    const IPV4: i32 = 0x0800_u16.to_be() as i32;
    const IPV6: i32 = 0x86dd_u16.to_be() as i32;

    code.alu(Do::Set, R6, R1);
    code.load(Size::Word, R7, R6, context::DATA);
    code.load(Size::Word, R8, R6, context::DATA_END);
    has(code, 14, At::Pass);
    code.load(Size::Byte, R1, R7, 0);
    code.jump_if(R1, If::Share, GROUP, At::Pass);
    code.load(Size::Word, R1, R7, 0);
    code.store(Size::Word, R10, stack::MAC, R1);
    code.load(Size::Half, R1, R7, 4);
    code.store(Size::Half, R10, stack::MAC + 4, R1);
    code.store_number(Size::Half, R10, stack::MAC + 6, 0);
    code.lookup(&maps.macs.map, stack::MAC);
    code.jump_if(R0, If::Differ, 0, At::Redirect);

    code.alu(Do::Set, R9, 0);
    code.store_number(Size::Half, R10, stack::PROTOCOL, 0);
    code.load(Size::Half, R1, R7, 12);
    code.alu(Do::Add, R7, 14);
    code.jump_if(R1, If::Equal, IPV4, At::Ip4);
    code.jump_if(R1, If::Differ, IPV6, At::Pass);
}

fn decide(code: &mut Code, maps: &Maps) {
    code.label(At::Port);
    has(code, 4, At::Theirs);
    code.load(Size::Half, R1, R7, 2);
    code.jump(At::Decide);
    code.label(At::QuotedPort);
    code.load(Size::Half, R1, R7, 0);
    code.jump(At::Decide);
    code.label(At::Identifier);
    code.load(Size::Half, R1, R7, 4);

    code.label(At::Decide);
    code.store(Size::Half, R10, stack::PORT, R1);
    code.host_order(R1);
    code.load(Size::Half, R2, R10, stack::FIRST);
    code.jump_if(R1, If::Below, R2, At::Service);
    code.load(Size::Half, R2, R10, stack::LAST);
    code.jump_if(R1, If::AtMost, R2, At::Ours);
    code.label(At::Service);
    code.lookup(&maps.services.map, stack::ADDRESS);
    code.jump_if(R0, If::Equal, 0, At::Theirs);
}

fn ends(code: &mut Code, sockets: &Map, maps: &Maps) {
    code.label(At::Ours);
    code.jump_if(R9, If::Equal, 0, At::Redirect);
    code.store_number(Size::Word, R10, stack::YES, 1);
    code.key(&maps.fragments, stack::FRAGMENT);
    code.alu(Do::Set, R3, R10);
    code.alu(Do::Add, R3, i32::from(stack::YES));
    code.alu(Do::Set, R4, 0);
    code.call(Helper::Update);
    redirect(code, sockets);

    code.label(At::Theirs);
    code.jump_if(R9, If::Equal, 0, At::Pass);
    // An earlier packet may have had the same identification, and been ours.
    code.key(&maps.fragments, stack::FRAGMENT);
    code.call(Helper::Delete);
    code.label(At::Pass);
    code.alu(Do::Set, R0, XDP_PASS);
    code.exit();
}

/// To the socket of the queue; if there is none, to the kernel.
fn redirect(code: &mut Code, sockets: &Map) {
    code.label(At::Redirect);
    code.load(Size::Word, R2, R6, context::RX_QUEUE_INDEX);
    code.map(R1, sockets);
    code.alu(Do::Set, R3, XDP_PASS);
    code.call(Helper::RedirectMap);
    code.exit();
}

/// The program of a device that is ours alone: every frame to the socket of its queue, or else to the kernel.
pub fn everything(sockets: &Map) -> Vec<Instruction> {
    let mut code = Code::new();
    code.alu(Do::Set, R6, R1);
    redirect(&mut code, sockets);
    code.finish()
}

/// So many bytes are left from `R7` on.
fn has(code: &mut Code, bytes: i32, otherwise: At) {
    code.alu(Do::Set, R2, R7);
    code.alu(Do::Add, R2, bytes);
    code.jump_if(R2, If::Above, R8, otherwise);
}

/// The IP header is of this version.
fn version(code: &mut Code, header: Register, version: i32, otherwise: At) {
    code.load(Size::Byte, R1, header, 0);
    code.alu(Do::And, R1, 0xf0);
    code.jump_if(R1, If::Differ, version, otherwise);
}

/// Goes on with an address that is shared only.
fn whose(code: &mut Code, maps: &Maps) {
    code.lookup(&maps.addresses.map, stack::ADDRESS);
    code.jump_if(R0, If::Differ, 0, At::Redirect);
    code.lookup(&maps.shared.map, stack::ADDRESS);
    code.jump_if(R0, If::Equal, 0, At::Pass);
    code.load(Size::Word, R1, R0, 0);
    code.store(Size::Word, R10, stack::FIRST, R1);
}

/// The protocol has ports.
fn ports(code: &mut Code, protocol: Register, to: At) {
    for number in [TCP, UDP, SCTP] {
        code.jump_if(protocol, If::Equal, number, to);
    }
}
