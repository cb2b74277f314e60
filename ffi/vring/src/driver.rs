//! The driver's side of a queue, as plain as it can be, for tests: every access to the memory is a system call on its file.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::sys::memfd::{MFdFlags, memfd_create};
use paceline_sys::EventFd;

use crate::descriptor::{Descriptor, INDIRECT, LEN, NEXT, WRITE};
use crate::memory::{GuestMemory, RegionSpec};
use crate::queue::{Access, Queue, QueueError, QueueSpec};
use crate::signal::Signal;

/// Guest's address of the memory's first byte.
pub const GUEST: u64 = 0x4000_0000;
/// Address of the same byte in a process that would run the guest.
pub const USER: u64 = 0x7f00_0000_0000;

/// How a queue of the driver is laid out.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// What the device does.
    pub access: Access,
    /// The format.
    pub packed: bool,
    /// Entries.
    pub size: u16,
    /// Whether chains lie in tables of their own.
    pub indirect: bool,
    /// Whether signals are asked for by index.
    pub event_index: bool,
    /// Bytes of each entry's buffer.
    pub buffer: usize,
    /// Where in the file its part begins, on a multiple of 4096.
    pub start: u64,
}

impl Layout {
    fn table(&self) -> u64 {
        self.start
    }

    fn driver(&self) -> u64 {
        self.table() + u64::from(self.size) * LEN as u64
    }

    fn device(&self) -> u64 {
        (self.driver() + 6 + 2 * u64::from(self.size)).next_multiple_of(64)
    }

    /// A table of indirect descriptors for each entry, as long as the ring may be.
    fn tables(&self) -> u64 {
        (self.device() + 6 + 8 * u64::from(self.size)).next_multiple_of(64)
    }

    fn buffers(&self) -> u64 {
        self.tables()
            + if self.indirect { u64::from(self.size) * u64::from(self.size) * LEN as u64 } else { 0 }
    }

    /// Where the part ends, on a multiple of 4096.
    pub fn end(&self) -> u64 {
        (self.buffers() + u64::from(self.size) * self.buffer as u64).next_multiple_of(4096)
    }

    /// What the device is told.
    pub fn spec(&self) -> QueueSpec {
        QueueSpec {
            access: self.access,
            packed: self.packed,
            size: self.size,
            descriptors: USER + self.table(),
            driver: USER + self.driver(),
            device: USER + self.device(),
            base: if self.packed { 0x8000_8000 } else { 0 },
            event_index: self.event_index,
            indirect: self.indirect,
        }
    }
}

/// A file for a guest's memory.
pub fn memory(len: u64) -> File {
    let fd: OwnedFd = memfd_create("guest", MFdFlags::MFD_CLOEXEC).expect("a memfd");
    let file = File::from(fd);
    file.set_len(len).expect("a length");
    file
}

/// The one region that such a file is.
pub fn region(file: &File) -> (RegionSpec, File) {
    let size = file.metadata().expect("a file").len();
    (RegionSpec { guest: GUEST, user: USER, size, offset: 0 }, file.try_clone().expect("a descriptor"))
}

/// The driver of one queue.
pub struct Driver {
    /// How it is laid out.
    pub layout: Layout,
    file: File,
    /// Raised for the device.
    pub kick: EventFd,
    /// Raised by the device.
    pub call: EventFd,
    free: Vec<u16>,
    /// Entries whose buffers the device has, by the first of them.
    offered: HashMap<u16, Vec<u16>>,
    /// Next place in the available ring or the packed ring, and the counter of its round.
    next: u16,
    wrap: bool,
    used: u16,
    used_wrap: bool,
    /// The driver was told to be woken.
    pub kicks: u64,
}

impl Driver {
    /// A driver in a part of a file. The ring is empty.
    pub fn new(file: &File, layout: Layout) -> Driver {
        let zeros = vec![0; (layout.tables() - layout.start) as usize];
        file.write_all_at(&zeros, layout.start).expect("written");
        Driver {
            layout,
            file: file.try_clone().expect("a descriptor"),
            kick: EventFd::new().expect("an eventfd"),
            call: EventFd::new().expect("an eventfd"),
            free: (0..layout.size).rev().collect(),
            offered: HashMap::new(),
            next: 0,
            wrap: true,
            used: 0,
            used_wrap: true,
            kicks: 0,
        }
    }

    /// The device's side.
    ///
    /// # Errors
    /// As [`Queue::new`].
    pub fn device(&self, memory: &Arc<GuestMemory>) -> Result<Queue, QueueError> {
        let signal = |event: &EventFd| {
            let copy = event.as_fd().try_clone_to_owned().expect("a descriptor");
            Some(Signal::new(File::from(copy)).expect("an eventfd"))
        };
        Queue::new(memory, &self.layout.spec(), signal(&self.kick), signal(&self.call))
    }

    /// Entries that are free.
    pub fn room(&self) -> usize {
        self.free.len()
    }

    fn half(&self, at: u64) -> u16 {
        let mut bytes = [0; 2];
        self.file.read_exact_at(&mut bytes, at).expect("read");
        u16::from_le_bytes(bytes)
    }

    fn set_half(&self, at: u64, value: u16) {
        self.file.write_all_at(&value.to_le_bytes(), at).expect("written");
    }

    fn buffer(&self, entry: u16) -> u64 {
        self.layout.buffers() + u64::from(entry) * self.layout.buffer as u64
    }

    /// Makes a chain of buffers available, with `parts` as their bytes (which the device reads), or of their lengths (it writes).
    /// False: there is no room.
    pub fn offer(&mut self, parts: &[Vec<u8>]) -> bool {
        assert!(parts.iter().all(|part| part.len() <= self.layout.buffer), "a part is longer than a buffer");
        let indirect = self.layout.indirect && parts.len() > 1;
        if parts.is_empty() || parts.len() > self.free.len() {
            return false;
        }
        let buffers: Vec<u16> = self.free.split_off(self.free.len() - parts.len());
        let write = if self.layout.access == Access::Write { WRITE } else { 0 };
        let mut descriptors: Vec<Descriptor> = Vec::new();
        for (part, buffer) in parts.iter().zip(&buffers) {
            let at = self.buffer(*buffer);
            if write == 0 {
                self.file.write_all_at(part, at).expect("written");
            }
            let (address, len) = (GUEST + at, part.len() as u32);
            descriptors.push(Descriptor { address, len, flags: write | NEXT, next: 0 });
        }
        descriptors.last_mut().expect("there are some").flags &= !NEXT;
        if indirect {
            let table =
                self.layout.tables() + u64::from(buffers[0]) * u64::from(self.layout.size) * LEN as u64;
            for (at, descriptor) in descriptors.iter().enumerate() {
                let next = Descriptor { next: at as u16 + 1, ..*descriptor };
                let bytes = if self.layout.packed { packed(&next) } else { split(&next) };
                self.file.write_all_at(&bytes, table + (at * LEN) as u64).expect("written");
            }
            let len = (descriptors.len() * LEN) as u32;
            descriptors = vec![Descriptor { address: GUEST + table, len, flags: INDIRECT, next: 0 }];
        }
        let id = buffers[0];
        if self.layout.packed {
            self.offer_packed(id, &descriptors);
        } else {
            self.offer_split(&buffers, &mut descriptors);
        }
        self.offered.insert(id, buffers);
        true
    }

    fn offer_split(&mut self, entries: &[u16], descriptors: &mut [Descriptor]) {
        for at in 0..descriptors.len() {
            descriptors[at].next = if at + 1 < descriptors.len() { entries[at + 1] } else { 0 };
            let place = self.layout.table() + u64::from(entries[at]) * LEN as u64;
            self.file.write_all_at(&split(&descriptors[at]), place).expect("written");
        }
        let slot = u64::from(self.next % self.layout.size);
        self.set_half(self.layout.driver() + 4 + 2 * slot, entries[0]);
        self.next = self.next.wrapping_add(1);
        self.set_half(self.layout.driver() + 2, self.next);
        let wanted = if self.layout.event_index {
            self.half(self.layout.device() + 4 + 8 * u64::from(self.layout.size)) == self.next.wrapping_sub(1)
        } else {
            self.half(self.layout.device()) == 0
        };
        self.wake(wanted);
    }

    fn offer_packed(&mut self, id: u16, descriptors: &[Descriptor]) {
        let head = (self.next, self.wrap);
        let mut first = 0;
        for (at, descriptor) in descriptors.iter().enumerate() {
            let round = if self.wrap { 1 << 7 } else { 1 << 15 };
            let mut written = Descriptor { flags: descriptor.flags | round, next: id, ..*descriptor };
            if at == 0 {
                // Shown last.
                first = written.flags;
                written.flags = self.half(self.layout.table() + u64::from(self.next) * LEN as u64 + 14);
            }
            let place = self.layout.table() + u64::from(self.next) * LEN as u64;
            self.file.write_all_at(&packed(&written), place).expect("written");
            self.next += 1;
            if self.next == self.layout.size {
                (self.next, self.wrap) = (0, !self.wrap);
            }
        }
        self.set_half(self.layout.table() + u64::from(head.0) * LEN as u64 + 14, first);
        let wanted = self.half(self.layout.device() + 2) != 1;
        self.wake(wanted);
    }

    fn wake(&mut self, wanted: bool) {
        if wanted {
            self.kicks += 1;
            self.kick.signal();
        }
    }

    /// Asks to be woken by the next chain that is given back, or not to be woken.
    pub fn set_calls(&mut self, wanted: bool) {
        if self.layout.packed {
            self.set_half(self.layout.driver() + 2, u16::from(!wanted));
        } else if self.layout.event_index {
            let event = if wanted { self.used } else { self.used.wrapping_sub(1) };
            self.set_half(self.layout.driver() + 4 + 2 * u64::from(self.layout.size), event);
        } else {
            self.set_half(self.layout.driver(), u16::from(!wanted));
        }
    }

    /// The next chain that the device gave back: what it wrote to it.
    ///
    /// # Panics
    /// If the device gives back what it was not given, or claims to have written more than there was room for.
    pub fn take_back(&mut self) -> Option<Vec<u8>> {
        let (id, written) = if self.layout.packed {
            let place = self.layout.table() + u64::from(self.used) * LEN as u64;
            let flags = self.half(place + 14);
            if (flags & 1 << 7 != 0) != self.used_wrap || (flags & 1 << 15 != 0) != self.used_wrap {
                return None;
            }
            let mut bytes = [0; 6];
            self.file.read_exact_at(&mut bytes, place + 8).expect("read");
            (
                u16::from_le_bytes([bytes[4], bytes[5]]),
                u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            )
        } else {
            if self.half(self.layout.device() + 2) == self.used {
                return None;
            }
            let place = self.layout.device() + 4 + 8 * u64::from(self.used % self.layout.size);
            let mut bytes = [0; 8];
            self.file.read_exact_at(&mut bytes, place).expect("read");
            let word = u64::from_le_bytes(bytes);
            (u16::try_from(word as u32).expect("an entry"), (word >> 32) as u32)
        };
        let buffers = self.offered.remove(&id).expect("the device has it");
        if self.layout.packed {
            self.used += if self.layout.indirect { 1 } else { buffers.len() as u16 };
            if self.used >= self.layout.size {
                (self.used, self.used_wrap) = (self.used - self.layout.size, !self.used_wrap);
            }
        } else {
            self.used = self.used.wrapping_add(1);
        }
        let (mut left, mut got) = (written as usize, Vec::new());
        for buffer in &buffers {
            let mut bytes = vec![0; left.min(self.layout.buffer)];
            self.file.read_exact_at(&mut bytes, self.buffer(*buffer)).expect("read");
            left -= bytes.len();
            got.extend(bytes);
        }
        assert_eq!(left, 0, "more was written than there is room for");
        self.free.extend(buffers);
        Some(got)
    }
}

fn split(descriptor: &Descriptor) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&descriptor.address.to_le_bytes());
    bytes[8..12].copy_from_slice(&descriptor.len.to_le_bytes());
    bytes[12..14].copy_from_slice(&descriptor.flags.to_le_bytes());
    bytes[14..].copy_from_slice(&descriptor.next.to_le_bytes());
    bytes
}

fn packed(descriptor: &Descriptor) -> [u8; LEN] {
    split(&Descriptor { flags: descriptor.next, next: descriptor.flags, ..*descriptor })
}
