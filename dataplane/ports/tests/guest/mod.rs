//! A guest with a vhost-user network device, and the process that would run it: our own driver's side of both queues, and the
//! messages as bytes, so that wrong ones can be sent too.
#![allow(dead_code)] // each test uses its own part

use std::fs::File;
use std::io::{IoSlice, Read};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use paceline_vring::Access;
use paceline_vring::driver::{self, Driver, Layout};

/// Requests of the protocol.
pub mod request {
    pub const GET_FEATURES: u32 = 1;
    pub const SET_FEATURES: u32 = 2;
    pub const SET_OWNER: u32 = 3;
    pub const SET_MEM_TABLE: u32 = 5;
    pub const SET_VRING_NUM: u32 = 8;
    pub const SET_VRING_ADDR: u32 = 9;
    pub const SET_VRING_BASE: u32 = 10;
    pub const GET_VRING_BASE: u32 = 11;
    pub const SET_VRING_KICK: u32 = 12;
    pub const SET_VRING_CALL: u32 = 13;
    pub const GET_PROTOCOL_FEATURES: u32 = 15;
    pub const SET_PROTOCOL_FEATURES: u32 = 16;
    pub const GET_QUEUE_NUM: u32 = 17;
    pub const SET_VRING_ENABLE: u32 = 18;
}

/// Bits of the features.
pub mod feature {
    pub const GUEST_CSUM: u64 = 1 << 1;
    pub const GUEST_TSO4: u64 = 1 << 7;
    pub const MRG_RXBUF: u64 = 1 << 15;
    pub const INDIRECT: u64 = 1 << 28;
    pub const EVENT_IDX: u64 = 1 << 29;
    pub const PROTOCOL: u64 = 1 << 30;
    pub const VERSION_1: u64 = 1 << 32;
    pub const PACKED: u64 = 1 << 34;
}

/// Entries of each queue.
const SIZE: u16 = 256;
const BUFFER: usize = 2048;

/// What kind of guest it is.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub packed: bool,
    pub indirect: bool,
    pub event_index: bool,
    pub mergeable: bool,
    /// Further features that it takes, if they are offered.
    pub more: u64,
}

impl Kind {
    /// A guest with split rings, as they were at first.
    pub const SPLIT: Kind =
        Kind { packed: false, indirect: false, event_index: false, mergeable: true, more: 0 };
    /// A guest with packed rings and all else that rings have.
    pub const PACKED: Kind =
        Kind { packed: true, indirect: true, event_index: true, mergeable: true, more: 0 };

    fn features(self) -> u64 {
        let chosen = |chosen, feature| if chosen { feature } else { 0 };
        feature::VERSION_1
            | feature::PROTOCOL
            | chosen(self.packed, feature::PACKED)
            | chosen(self.indirect, feature::INDIRECT)
            | chosen(self.event_index, feature::EVENT_IDX)
            | chosen(self.mergeable, feature::MRG_RXBUF)
            | self.more
    }
}

pub struct Guest {
    kind: Kind,
    pub file: File,
    pub stream: UnixStream,
    /// The queue that it sends by.
    pub tx: Driver,
    /// The queue that it receives by.
    pub rx: Driver,
}

impl Guest {
    /// Connects to a port that listens, with everything set up and running.
    pub fn connect(socket: &Path, kind: Kind) -> Guest {
        Guest::on(UnixStream::connect(socket).expect("a port that listens"), kind)
    }

    /// As [`connect`](Self::connect), on a connection.
    pub fn on(stream: UnixStream, kind: Kind) -> Guest {
        let mut guest = Guest::idle(stream, kind);
        guest.negotiate();
        guest.share_memory();
        guest.start();
        guest
    }

    /// A guest that has said nothing yet.
    pub fn idle(stream: UnixStream, kind: Kind) -> Guest {
        let layout = |access, start| Layout {
            access,
            packed: kind.packed,
            size: SIZE,
            indirect: kind.indirect,
            event_index: kind.event_index,
            buffer: BUFFER,
            start,
        };
        let rx = layout(Access::Write, 0);
        let tx = layout(Access::Read, rx.end());
        let file = driver::memory(tx.end());
        let (rx, tx) = (Driver::new(&file, rx), Driver::new(&file, tx));
        Guest { kind, file, stream, tx, rx }
    }

    /// Sends one message.
    pub fn message(&mut self, request: u32, body: &[u8], fds: &[RawFd]) {
        self.bytes(&header(request, body.len() as u32), body, fds);
    }

    /// Sends any bytes in the place of a message. A port that has hung up is no error.
    pub fn bytes(&mut self, header: &[u8], body: &[u8], fds: &[RawFd]) {
        let rights = [ControlMessage::ScmRights(fds)];
        let control = if fds.is_empty() { &[][..] } else { &rights[..] };
        let parts = [IoSlice::new(header), IoSlice::new(body)];
        let _ = sendmsg::<UnixAddr>(self.stream.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None);
    }

    /// Sends a message and reads its answer, a number.
    pub fn ask(&mut self, request: u32) -> u64 {
        self.message(request, &[], &[]);
        self.answer()
    }

    fn answer(&mut self) -> u64 {
        let mut bytes = [0; 20];
        self.stream.read_exact(&mut bytes).expect("an answer");
        u64::from_le_bytes(bytes[12..].try_into().expect("eight bytes"))
    }

    /// Sends a message of two words.
    pub fn pair(&mut self, request: u32, first: u32, second: u32) {
        self.message(request, &[first.to_le_bytes(), second.to_le_bytes()].concat(), &[]);
    }

    pub fn negotiate(&mut self) {
        let (offered, wanted) = (self.ask(request::GET_FEATURES), self.kind.features());
        assert_eq!(offered & wanted, wanted, "{offered:#x}");
        self.message(request::SET_OWNER, &[], &[]);
        self.message(request::SET_FEATURES, &wanted.to_le_bytes(), &[]);
        let protocol = self.ask(request::GET_PROTOCOL_FEATURES);
        self.message(request::SET_PROTOCOL_FEATURES, &protocol.to_le_bytes(), &[]);
        assert_eq!(self.ask(request::GET_QUEUE_NUM), 1);
    }

    /// Tells of the memory.
    pub fn share_memory(&mut self) {
        let size = self.file.metadata().expect("a file").len();
        let table = memory_table(&[[driver::GUEST, size, driver::USER, 0]]);
        let fd = self.file.as_raw_fd();
        self.message(request::SET_MEM_TABLE, &table, &[fd]);
    }

    /// Sets both queues up and starts them, with buffers to receive to.
    pub fn start(&mut self) {
        self.start_queues();
        self.refill();
    }

    /// Says where both queues are, and that they run.
    pub fn start_queues(&mut self) {
        for index in 0..2 {
            let spec = self.driver(index).layout.spec();
            self.pair(request::SET_VRING_NUM, index, spec.size.into());
            self.pair(request::SET_VRING_BASE, index, spec.base);
            let mut address = [index.to_le_bytes(), [0; 4]].concat();
            for word in [spec.descriptors, spec.device, spec.driver, 0] {
                address.extend(word.to_le_bytes());
            }
            self.message(request::SET_VRING_ADDR, &address, &[]);
            let call = self.driver(index).call.as_fd().as_raw_fd();
            self.message(request::SET_VRING_CALL, &u64::from(index).to_le_bytes(), &[call]);
            self.kick(index);
            self.pair(request::SET_VRING_ENABLE, index, 1);
        }
    }

    /// Starts a queue with its kick descriptor.
    pub fn kick(&mut self, index: u32) {
        let kick = self.driver(index).kick.as_fd().as_raw_fd();
        self.message(request::SET_VRING_KICK, &u64::from(index).to_le_bytes(), &[kick]);
    }

    fn driver(&self, index: u32) -> &Driver {
        if index == 0 { &self.rx } else { &self.tx }
    }

    /// Stops a queue: where it stopped. The worker must be at work meanwhile.
    pub fn stop(&mut self, index: u32) -> u32 {
        self.pair(request::GET_VRING_BASE, index, 0);
        (self.answer() >> 32) as u32
    }

    /// Gives the device buffers to write to.
    pub fn refill(&mut self) {
        let chain = if self.kind.mergeable { vec![vec![0; BUFFER]] } else { vec![vec![0; BUFFER]; 33] };
        while self.rx.offer(&chain) {}
    }

    /// Sends a frame with its header. False: the queue is full.
    pub fn send(&mut self, header: [u8; 10], frame: &[u8]) -> bool {
        while self.tx.take_back().is_some() {}
        let bytes = [&header[..], &[0; 2], frame].concat();
        let parts: Vec<_> = bytes.chunks(BUFFER).map(<[u8]>::to_vec).collect();
        self.tx.offer(&parts)
    }

    /// The next frame that the device sent, with its header.
    pub fn receive(&mut self) -> Option<([u8; 10], Vec<u8>)> {
        let mut bytes = self.rx.take_back()?;
        let count = u16::from_le_bytes([bytes[10], bytes[11]]);
        assert!(count > 0 && (count == 1 || self.kind.mergeable), "{count} buffers");
        for _ in 1..count {
            bytes.extend(self.rx.take_back().expect("all buffers of a frame come at once"));
        }
        self.refill();
        let header = *bytes.first_chunk().expect("a header");
        Some((header, bytes.split_off(12)))
    }
}

/// A header of a message.
pub fn header(request: u32, size: u32) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&request.to_le_bytes());
    bytes[4] = 1;
    bytes[8..].copy_from_slice(&size.to_le_bytes());
    bytes
}

/// A memory table of regions: guest's address, size, address in the process, offset.
pub fn memory_table(regions: &[[u64; 4]]) -> Vec<u8> {
    let mut table = [(regions.len() as u32).to_le_bytes(), [0; 4]].concat();
    for word in regions.iter().flatten() {
        table.extend(word.to_le_bytes());
    }
    table
}
