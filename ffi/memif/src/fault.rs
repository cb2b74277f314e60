//! Why there is no connection, or no more.

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Why a connection did not come about, or was given up. All that a peer can do wrong is one of these.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[error("{}", self.text())]
        #[repr(u8)]
        pub enum Fault { $($(#[doc = $doc])+ $name,)+ }

        impl Fault {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Fault] = &[$(Fault::$name,)+];

            /// What it is, in words.
            pub const fn text(self) -> &'static str {
                match self { $(Fault::$name => $text,)+ }
            }
        }
    };
}

faults! {
    /// As server: no client is there.
    NoClient = "no client is connected",
    /// As client: the socket is missing, or nobody listens there.
    NoServer = "no server listens on the socket",
    /// The connection was closed without a word.
    Closed = "the peer closed the connection",
    /// The peer said that it goes.
    Disconnected = "the peer disconnected",
    /// The port itself is going.
    Stopped = "closed",
    /// There is a connection already.
    Busy = "already connected",
    /// The peer took too long to connect.
    Slow = "the peer did not finish connecting in time",
    /// Messages have 128 bytes.
    MessageSize = "the peer sent a message that is not 128 bytes long",
    /// A message of no known type, or not now.
    Message = "the peer sent a message out of turn",
    /// A message carries one descriptor at most, and only some do.
    Descriptors = "the peer sent file descriptors that it should not",
    /// Regions and rings come with one.
    NoDescriptor = "the peer sent a region or ring without its file descriptor",
    /// Only version 2.0 is spoken here.
    Version = "the peer does not speak memif 2.0",
    /// A client asks for the interface by its number.
    Id = "the peer asked for another interface id",
    /// Only Ethernet frames are carried.
    Mode = "the peer's mode is not ethernet",
    /// The secrets differ.
    Secret = "the peer's secret is wrong",
    /// Queues are pairs, and both sides must have the same number of them.
    Queues = "the peer's number of queues is not that of the port",
    /// Regions are numbered from 0, without gaps.
    RegionIndex = "the peer's regions are too many or out of order",
    /// More than the file has, or than offsets can reach.
    RegionSize = "the peer's region is larger than its memory, or all are larger than 1 GiB",
    /// A file that can shrink would kill who reads it.
    RegionSeal = "the peer's region is no memfd sealed against shrinking",
    /// A hole in these is filled only while there are free pages, else who reads it is killed.
    RegionHuge = "the peer's region is on huge pages",
    /// Rings are numbered from 0, and given once.
    RingIndex = "the peer's rings are too many or out of order",
    /// From 2 to 16384 slots.
    RingSize = "the peer's ring has an impossible size",
    /// Outside its region, or not aligned to a descriptor.
    RingPlace = "the peer's ring lies outside its region",
    /// What lies there is no ring.
    Cookie = "the peer's ring does not begin with the memif cookie",
    /// What should wake either side cannot.
    Interrupt = "the peer's interrupt is no eventfd",
    /// An index is more than the ring's size ahead.
    Jump = "the peer moved a ring index too far",
    /// Of a buffer.
    Descriptor = "the peer's descriptor lies outside its region",
    /// Longer than what we gave.
    Length = "the peer's descriptor is longer than its buffer",
    /// More pieces than a frame can have.
    Chain = "the peer's chain of descriptors has no end",
    /// Memory, descriptors or the kernel's AIO.
    System = "the system has no memory or file descriptor left for the connection",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_indices_and_texts_differ() {
        assert!(Fault::ALL.iter().enumerate().all(|(at, fault)| *fault as usize == at));
        let texts: std::collections::BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.text()).collect();
        assert_eq!(texts.len(), Fault::ALL.len());
        // A message of disconnection has 96 bytes for it.
        assert!(texts.iter().all(|text| text.len() < 96));
    }
}
