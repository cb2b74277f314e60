//! From the IPv6 header to the port.

use super::{At, Code, ICMPV6, has, ports, stack, version, whose};
use crate::assemble::{Do, If, R1, R2, R7, R10, Size};
use crate::filter::Maps;

pub fn write(code: &mut Code, maps: &Maps) {
    const SOLICITATION: i32 = 133; // Router solicitation, the first of neighbour discovery's types,
    const REDIRECT: i32 = 137; // and the last (RFC 4861, section 4).
    const ECHO_REQUEST: i32 = 128;
    const ECHO_REPLY: i32 = 129;
    const LAST_ERROR: i32 = 4; // Parameter problem (RFC 4443, section 3).

    has(code, 40, At::Pass);
    version(code, R7, 0x60, At::Pass);
    code.load(Size::Double, R1, R7, 24);
    code.store(Size::Double, R10, stack::ADDRESS, R1);
    code.load(Size::Double, R1, R7, 32);
    code.store(Size::Double, R10, stack::ADDRESS + 8, R1);
    code.load(Size::Byte, R1, R7, 6);
    code.store(Size::Byte, R10, stack::PROTOCOL, R1);
    code.alu(Do::Add, R7, 40);
    code.jump_if(R1, If::Differ, ICMPV6, At::Ip6);
    has(code, 8, At::Pass);
    code.load(Size::Byte, R1, R7, 0);
    code.jump_if(R1, If::Below, SOLICITATION, At::Ip6);
    code.jump_if(R1, If::AtMost, REDIRECT, At::Pass);

    code.label(At::Ip6);
    whose(code, maps);
    code.load(Size::Byte, R1, R10, stack::PROTOCOL);
    ports(code, R1, At::Port);
    code.jump_if(R1, If::Differ, ICMPV6, At::Pass);
    has(code, 8, At::Pass);
    code.load(Size::Byte, R1, R7, 0);
    code.jump_if(R1, If::Equal, ECHO_REPLY, At::Identifier);
    code.jump_if(R1, If::Equal, 0, At::Pass);
    code.jump_if(R1, If::Above, LAST_ERROR, At::Pass);

    // What the error quotes was sent by who gets the error.
    code.alu(Do::Add, R7, 8);
    has(code, 48, At::Pass);
    version(code, R7, 0x60, At::Pass);
    for half in [0, 8] {
        code.load(Size::Double, R1, R7, 8 + half);
        code.load(Size::Double, R2, R10, stack::ADDRESS + half);
        code.jump_if(R1, If::Differ, R2, At::Pass);
    }
    code.load(Size::Byte, R1, R7, 6);
    code.store(Size::Byte, R10, stack::PROTOCOL, R1);
    code.alu(Do::Add, R7, 40);
    ports(code, R1, At::QuotedPort);
    code.jump_if(R1, If::Differ, ICMPV6, At::Pass);
    code.load(Size::Byte, R1, R7, 0);
    code.jump_if(R1, If::Equal, ECHO_REQUEST, At::Identifier);
    code.jump(At::Pass);
}
