//! From the IPv4 header to the port.

use super::{At, Code, ICMP, has, ports, stack, version, whose};
use crate::assemble::{Do, If, R0, R1, R2, R3, R7, R9, R10, Size};
use crate::filter::Maps;

pub fn write(code: &mut Code, maps: &Maps) {
    const OFFSET: i32 = 0x1fff;
    const MORE: i32 = 0x2000;
    const SHORTEST: i32 = 5;
    const ECHO_REPLY: i32 = 0;
    const ECHO: i32 = 8;
    const TIMESTAMP: i32 = 13;
    const TIMESTAMP_REPLY: i32 = 14;
    const ERRORS: [i32; 3] = [3, 11, 12];

    code.label(At::Ip4);
    has(code, 20, At::Pass);
    version(code, R7, 0x40, At::Pass);
    code.load(Size::Byte, R1, R7, 0);
    code.alu(Do::And, R1, 0x0f);
    code.jump_if(R1, If::Below, SHORTEST, At::Pass);
    code.alu(Do::ShiftLeft, R1, 2);
    code.store(Size::Double, R10, stack::HEADER, R1);
    code.store_number(Size::Double, R10, stack::ADDRESS, 0);
    code.store_number(Size::Half, R10, stack::ADDRESS + 8, 0);
    code.store_number(Size::Half, R10, stack::ADDRESS + 10, 0xffff);
    code.load(Size::Word, R1, R7, 16);
    code.store(Size::Word, R10, stack::ADDRESS4, R1);
    code.load(Size::Byte, R1, R7, 9);
    code.store(Size::Byte, R10, stack::PROTOCOL, R1);
    whose(code, maps);

    for (size, from, to) in [(Size::Word, 12, 0), (Size::Word, 16, 4), (Size::Half, 4, 8)] {
        code.load(size, R1, R7, from);
        code.store(size, R10, stack::FRAGMENT + to, R1);
    }
    code.load(Size::Half, R1, R10, stack::PROTOCOL);
    code.store(Size::Half, R10, stack::FRAGMENT + 10, R1);
    code.load(Size::Half, R1, R7, 6);
    code.host_order(R1);
    code.jump_if(R1, If::Share, OFFSET, At::Later);
    code.alu(Do::And, R1, MORE);
    code.alu(Do::Set, R9, R1);
    code.load(Size::Double, R1, R10, stack::HEADER);
    code.alu(Do::Add, R7, R1);
    code.load(Size::Byte, R1, R10, stack::PROTOCOL);
    ports(code, R1, At::Port);
    code.jump_if(R1, If::Differ, ICMP, At::Theirs);

    has(code, 8, At::Theirs);
    code.load(Size::Byte, R1, R7, 0);
    code.jump_if(R1, If::Equal, ECHO_REPLY, At::Identifier);
    code.jump_if(R1, If::Equal, TIMESTAMP_REPLY, At::Identifier);
    for error in ERRORS {
        code.jump_if(R1, If::Equal, error, At::Error4);
    }
    code.jump(At::Theirs);

    code.label(At::Error4);
    code.alu(Do::Add, R7, 8);
    has(code, 20, At::Theirs);
    version(code, R7, 0x40, At::Theirs);
    // What the error quotes was sent by who gets the error.
    code.load(Size::Word, R1, R7, 12);
    code.load(Size::Word, R2, R10, stack::ADDRESS4);
    code.jump_if(R1, If::Differ, R2, At::Theirs);
    code.load(Size::Half, R1, R7, 6);
    code.host_order(R1);
    code.jump_if(R1, If::Share, OFFSET, At::Theirs);
    code.load(Size::Byte, R3, R7, 0);
    code.alu(Do::And, R3, 0x0f);
    code.jump_if(R3, If::Below, SHORTEST, At::Theirs);
    code.alu(Do::ShiftLeft, R3, 2);
    code.load(Size::Byte, R1, R7, 9);
    code.store(Size::Byte, R10, stack::PROTOCOL, R1);
    code.alu(Do::Add, R7, R3);
    has(code, 8, At::Theirs);
    ports(code, R1, At::QuotedPort);
    code.jump_if(R1, If::Differ, ICMP, At::Theirs);
    code.load(Size::Byte, R1, R7, 0);
    code.jump_if(R1, If::Equal, ECHO, At::Identifier);
    code.jump_if(R1, If::Equal, TIMESTAMP, At::Identifier);
    code.jump(At::Theirs);

    code.label(At::Later);
    code.lookup(&maps.fragments, stack::FRAGMENT);
    code.jump_if(R0, If::Differ, 0, At::Redirect);
    code.jump(At::Pass);
}
