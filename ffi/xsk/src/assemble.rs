//! A small assembler for BPF (Documentation/bpf/standardization/instruction-set.rst): instructions with labels instead of
//! distances.

use crate::bpf::{Instruction, Map};

/// A register: [`R0`] is what calls return, `R1` to `R5` their arguments, which they spoil, `R6` to `R9` stay, [`R10`] is the
/// end of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(u8);

pub const R0: Register = Register(0);
pub const R1: Register = Register(1);
pub const R2: Register = Register(2);
pub const R3: Register = Register(3);
pub const R4: Register = Register(4);
pub const R6: Register = Register(6);
pub const R7: Register = Register(7);
pub const R8: Register = Register(8);
pub const R9: Register = Register(9);
pub const R10: Register = Register(10);

/// How much of memory is read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// One byte.
    Byte = 0x10,
    /// Two.
    Half = 0x08,
    /// Four.
    Word = 0x00,
    /// Eight.
    Double = 0x18,
}

/// How the two sides of a jump compare, as unsigned numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum If {
    Equal = 0x10,
    Above = 0x20,
    /// Have a bit in common.
    Share = 0x40,
    Differ = 0x50,
    Below = 0xa0,
    AtMost = 0xb0,
}

/// What is done to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Do {
    Add = 0x00,
    And = 0x50,
    ShiftLeft = 0x60,
    Set = 0xb0,
}

/// A function of the kernel (`enum bpf_func_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    Lookup = 1,
    Update = 2,
    Delete = 3,
    RedirectMap = 51,
}

/// The right side of a jump or a change.
#[derive(Clone, Copy, Debug)]
pub enum Operand {
    Register(Register),
    Number(i32),
}

impl From<Register> for Operand {
    fn from(register: Register) -> Self {
        Self::Register(register)
    }
}

impl From<i32> for Operand {
    fn from(number: i32) -> Self {
        Self::Number(number)
    }
}

/// A program that is being written; `L` names places in it.
#[derive(Debug)]
pub struct Assembler<L> {
    code: Vec<Instruction>,
    places: Vec<(L, usize)>,
    jumps: Vec<(usize, L)>,
}

impl<L: Copy + PartialEq + std::fmt::Debug> Assembler<L> {
    const X: u8 = 0x08;

    pub fn new() -> Self {
        Self { code: Vec::new(), places: Vec::new(), jumps: Vec::new() }
    }

    /// Names the next instruction.
    pub fn label(&mut self, place: L) {
        self.places.push((place, self.code.len()));
    }

    /// `register = memory[base + offset]`
    pub fn load(&mut self, size: Size, register: Register, base: Register, offset: i16) {
        self.push(0x61 | size as u8, register, base, offset, 0);
    }

    /// `memory[base + offset] = register`
    pub fn store(&mut self, size: Size, base: Register, offset: i16, register: Register) {
        self.push(0x63 | size as u8, base, register, offset, 0);
    }

    /// `memory[base + offset] = number`
    pub fn store_number(&mut self, size: Size, base: Register, offset: i16, number: i32) {
        self.push(0x62 | size as u8, base, R0, offset, number);
    }

    /// `register = register (what) operand`, in 64 bits.
    pub fn alu(&mut self, what: Do, register: Register, operand: impl Into<Operand>) {
        match operand.into() {
            Operand::Register(other) => self.push(0x07 | Self::X | what as u8, register, other, 0, 0),
            Operand::Number(number) => self.push(0x07 | what as u8, register, R0, 0, number),
        }
    }

    /// Makes a number of two bytes in network order one that can be compared.
    pub fn host_order(&mut self, register: Register) {
        self.push(0xdc, register, R0, 0, 16);
    }

    /// Goes to a place if the condition holds.
    pub fn jump_if(&mut self, register: Register, condition: If, operand: impl Into<Operand>, to: L) {
        self.jumps.push((self.code.len(), to));
        match operand.into() {
            Operand::Register(other) => self.push(0x05 | Self::X | condition as u8, register, other, 0, 0),
            Operand::Number(number) => self.push(0x05 | condition as u8, register, R0, 0, number),
        }
    }

    /// Goes to a place.
    pub fn jump(&mut self, to: L) {
        self.jumps.push((self.code.len(), to));
        self.push(0x05, R0, R0, 0, 0);
    }

    /// `register = map`
    pub fn map(&mut self, register: Register, map: &Map) {
        const PSEUDO_MAP_FD: Register = Register(1);
        self.push(0x18, register, PSEUDO_MAP_FD, 0, map.raw());
        self.push(0, R0, R0, 0, 0);
    }

    /// `r0 = helper(r1, …)`
    pub fn call(&mut self, helper: Helper) {
        self.push(0x85, R0, R0, 0, helper as i32);
    }

    /// `r0 = &map[memory[stack + offset]]`, or 0.
    pub fn lookup(&mut self, map: &Map, offset: i16) {
        self.key(map, offset);
        self.call(Helper::Lookup);
    }

    /// The first two arguments of what is done with a map and a key on the stack.
    pub fn key(&mut self, map: &Map, offset: i16) {
        self.map(R1, map);
        self.alu(Do::Set, R2, R10);
        self.alu(Do::Add, R2, i32::from(offset));
    }

    /// `return r0`
    pub fn exit(&mut self) {
        self.push(0x95, R0, R0, 0, 0);
    }

    /// The program, with distances for labels.
    ///
    /// # Panics
    /// A label that is nowhere, or too far away.
    pub fn finish(mut self) -> Vec<Instruction> {
        for (from, to) in self.jumps {
            let place = self.places.iter().find(|(label, _)| *label == to);
            let (_, place) = place.unwrap_or_else(|| panic!("label {to:?} is nowhere"));
            let distance = *place as i64 - from as i64 - 1;
            self.code[from].offset = i16::try_from(distance).expect("a program of few instructions");
        }
        self.code
    }

    fn push(&mut self, code: u8, destination: Register, source: Register, offset: i16, immediate: i32) {
        let registers = destination.0 | source.0 << 4;
        self.code.push(Instruction { code, registers, offset, immediate });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_distances() {
        let mut assembler = Assembler::new();
        assembler.jump_if(R1, If::Above, R8, "end");
        assembler.load(Size::Half, R2, R7, 12);
        assembler.alu(Do::Set, R3, 2);
        assembler.label("end");
        assembler.exit();
        let instruction =
            |code, registers, offset, immediate| Instruction { code, registers, offset, immediate };
        let wanted = [
            instruction(0x2d, 0x81, 2, 0),
            instruction(0x69, 0x72, 12, 0),
            instruction(0xb7, 0x03, 0, 2),
            instruction(0x95, 0, 0, 0),
        ];
        assert_eq!(assembler.finish(), wanted);
    }
}
