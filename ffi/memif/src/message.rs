//! Messages on the socket: 128 bytes each, a type and its fields, packed, in the byte order of the host (VPP's `memif.h`).

use crate::Fault;

/// Bytes of a message.
pub const LEN: usize = 128;
/// The one version that is spoken: 2.0.
pub const VERSION: u16 = 0x200;
/// Bytes of a name; the last one is 0.
pub const NAME_LEN: usize = 32;
/// Bytes of a secret.
pub const SECRET_LEN: usize = 24;
/// The mode of interfaces that carry Ethernet frames.
pub const ETHERNET: u8 = 0;
const TEXT_LEN: usize = 96;
/// Flag of a ring in the direction from client to server.
const TO_SERVER: u16 = 1;

/// Text in a field of `N` bytes, ended by a 0 if it is shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<const N: usize>([u8; N]);

impl<const N: usize> Text<N> {
    /// The first bytes of a text, as many as there is room for beside the 0 at the end.
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; N];
        let len = text.len().min(N - 1);
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Self(bytes)
    }

    /// The bytes up to the first 0.
    pub fn bytes(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

/// What the two sides say to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// The last message was taken: client, go on.
    Ack,
    /// The server's first: what it can do.
    Hello {
        /// What it is.
        name: Text<NAME_LEN>,
        /// Its oldest and newest version.
        versions: (u16, u16),
        /// The largest number of a region.
        max_region: u16,
        /// The largest number of a ring to the client.
        max_to_client: u16,
        /// The largest number of a ring to the server.
        max_to_server: u16,
        /// The largest ring, as a power of two.
        max_log2_slots: u8,
    },
    /// The client's first: which interface it wants.
    Init {
        /// Its version.
        version: u16,
        /// The interface.
        id: u32,
        /// [`ETHERNET`].
        mode: u8,
        /// What proves that it may.
        secret: Text<SECRET_LEN>,
        /// What it is.
        name: Text<NAME_LEN>,
    },
    /// Memory of the client, with its file.
    AddRegion {
        /// Its number.
        index: u16,
        /// Bytes.
        size: u64,
    },
    /// A ring in the client's memory, with what wakes its receiver.
    AddRing {
        /// It leads from client to server.
        to_server: bool,
        /// Its number among those of the direction.
        index: u16,
        /// The region that it is in.
        region: u16,
        /// Where it begins there.
        offset: u32,
        /// Slots, as a power of two.
        log2_slots: u8,
    },
    /// The client has said everything.
    Connect {
        /// Its name of the interface.
        name: Text<NAME_LEN>,
    },
    /// The server agrees.
    Connected {
        /// Its name of the interface.
        name: Text<NAME_LEN>,
    },
    /// Either side goes.
    Disconnect {
        /// Why.
        text: Text<TEXT_LEN>,
    },
}

impl Message {
    /// A refusal or farewell.
    pub fn disconnect(why: Fault) -> Self {
        Self::Disconnect { text: Text::new(why.text()) }
    }

    /// As it goes over the socket.
    pub fn encode(&self) -> [u8; LEN] {
        let mut out = Out { bytes: [0; LEN], at: 0 };
        match self {
            Self::Ack => out.u16(1),
            Self::Hello { name, versions, max_region, max_to_client, max_to_server, max_log2_slots } => {
                out.u16(2);
                out.put(&name.0);
                for field in [versions.0, versions.1, *max_region, *max_to_client, *max_to_server] {
                    out.u16(field);
                }
                out.put(&[*max_log2_slots]);
            }
            Self::Init { version, id, mode, secret, name } => {
                out.u16(3);
                out.u16(*version);
                out.put(&id.to_ne_bytes());
                out.put(&[*mode]);
                out.put(&secret.0);
                out.put(&name.0);
            }
            Self::AddRegion { index, size } => {
                out.u16(4);
                out.u16(*index);
                out.put(&size.to_ne_bytes());
            }
            Self::AddRing { to_server, index, region, offset, log2_slots } => {
                out.u16(5);
                out.u16(if *to_server { TO_SERVER } else { 0 });
                out.u16(*index);
                out.u16(*region);
                out.put(&offset.to_ne_bytes());
                // No private bytes before a ring's descriptors.
                out.put(&[*log2_slots, 0, 0]);
            }
            Self::Connect { name } => {
                out.u16(6);
                out.put(&name.0);
            }
            Self::Connected { name } => {
                out.u16(7);
                out.put(&name.0);
            }
            Self::Disconnect { text } => {
                out.u16(8);
                out.put(&0_u32.to_ne_bytes());
                out.put(&text.0);
            }
        }
        out.bytes
    }

    /// What a peer's bytes mean.
    ///
    /// # Errors
    /// Not [`LEN`] bytes, or no message.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut rest =
            In(bytes.first_chunk::<LEN>().filter(|_| bytes.len() == LEN).ok_or(Fault::MessageSize)?);
        Ok(match rest.u16() {
            1 => Self::Ack,
            2 => Self::Hello {
                name: Text(rest.take()),
                versions: (rest.u16(), rest.u16()),
                max_region: rest.u16(),
                max_to_client: rest.u16(),
                max_to_server: rest.u16(),
                max_log2_slots: rest.u8(),
            },
            3 => Self::Init {
                version: rest.u16(),
                id: rest.u32(),
                mode: rest.u8(),
                secret: Text(rest.take()),
                name: Text(rest.take()),
            },
            4 => Self::AddRegion { index: rest.u16(), size: u64::from_ne_bytes(rest.take()) },
            5 => Self::AddRing {
                to_server: rest.u16() & TO_SERVER != 0,
                index: rest.u16(),
                region: rest.u16(),
                offset: rest.u32(),
                log2_slots: rest.u8(),
            },
            6 => Self::Connect { name: Text(rest.take()) },
            7 => Self::Connected { name: Text(rest.take()) },
            8 => {
                rest.u32();
                Self::Disconnect { text: Text(rest.take()) }
            }
            _ => return Err(Fault::Message),
        })
    }
}

struct Out {
    bytes: [u8; LEN],
    at: usize,
}

impl Out {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.at..][..bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn u16(&mut self, value: u16) {
        self.put(&value.to_ne_bytes());
    }
}

/// What was not read yet of a message, which is longer than all fields of any.
struct In<'a>(&'a [u8]);

impl In<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *head
    }

    fn u8(&mut self) -> u8 {
        u8::from_ne_bytes(self.take())
    }

    fn u16(&mut self) -> u16 {
        u16::from_ne_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_memif_h_has_them() {
        let hello = Message::Hello {
            name: Text::new("us"),
            versions: (VERSION, VERSION),
            max_region: 1,
            max_to_client: 2,
            max_to_server: 3,
            max_log2_slots: 10,
        };
        let bytes = hello.encode();
        assert_eq!(bytes[..5], [2, 0, b'u', b's', 0]);
        assert_eq!(bytes[34..46], [0, 2, 0, 2, 1, 0, 2, 0, 3, 0, 10, 0]);
        let init = Message::Init {
            version: VERSION,
            id: 0x0102_0304,
            mode: ETHERNET,
            secret: Text::new("s"),
            name: Text::new("n"),
        };
        let bytes = init.encode();
        assert_eq!(bytes[..11], [3, 0, 0, 2, 4, 3, 2, 1, 0, b's', 0]);
        assert_eq!(bytes[33], b'n');
        let ring = Message::AddRing { to_server: true, index: 1, region: 2, offset: 0x55, log2_slots: 9 };
        assert_eq!(ring.encode()[..15], [5, 0, 1, 0, 1, 0, 2, 0, 0x55, 0, 0, 0, 9, 0, 0]);
        assert_eq!(Message::AddRegion { index: 3, size: 0x77 }.encode()[..6], [4, 0, 3, 0, 0x77, 0]);
        assert_eq!(&Message::disconnect(Fault::Secret).encode()[6..14], b"the peer");
    }

    #[test]
    fn texts_are_cut_and_end() {
        assert_eq!(Text::<4>::new("abcdef").bytes(), b"abc");
        assert_eq!(Text::<4>([b'a'; 4]).bytes(), b"aaaa");
        assert_eq!(Text::<4>::new("").bytes(), b"");
    }

    /// `cargo bolero test` lets a fuzzer choose the bytes.
    #[test]
    fn any_bytes_are_a_message_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            if let Ok(message) = Message::decode(bytes) {
                assert_eq!(Message::decode(&message.encode()), Ok(message));
            } else if bytes.len() == LEN {
                assert!(!(1..=8).contains(&u16::from_ne_bytes([bytes[0], bytes[1]])));
            }
            let mut whole = [0; LEN];
            let count = bytes.len().min(LEN);
            whole[..count].copy_from_slice(&bytes[..count]);
            whole[0] %= 10;
            whole[1] = 0;
            if let Ok(message) = Message::decode(&whole) {
                assert_eq!(Message::decode(&message.encode()), Ok(message));
            }
        });
    }
}
