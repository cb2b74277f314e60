//! What the peer's messages do: memory, rings, features.

use std::fs::File;
use std::sync::Arc;

use paceline_graph::Capabilities;
use paceline_vring::{Access, GuestMemory, Queue, QueueSpec, RegionSpec, Signal};
use vhost::VhostUserMemoryRegionBase;
use vhost::vhost_user::message::{
    VhostTransferStateDirection, VhostTransferStatePhase, VhostUserConfigFlags, VhostUserInflight,
    VhostUserLog, VhostUserMemoryRegion, VhostUserProtocolFeatures, VhostUserShMemConfig, VhostUserSharedMsg,
    VhostUserSingleMemoryRegion, VhostUserVringAddrFlags, VhostUserVringState,
};
use vhost::vhost_user::{Error, GpuBackend, Result, VhostUserBackendReqHandlerMut};

use super::line::{Answer, ThreadEnd};
use super::peer::Why;
use super::transfer::Terms;

/// Bits of the features (virtio 1.2 §5.1.3, §6).
mod bit {
    pub const CSUM: u32 = 0;
    pub const GUEST_CSUM: u32 = 1;
    pub const GUEST_TSO4: u32 = 7;
    pub const GUEST_TSO6: u32 = 8;
    pub const GUEST_ECN: u32 = 9;
    pub const HOST_TSO4: u32 = 11;
    pub const HOST_TSO6: u32 = 12;
    pub const HOST_ECN: u32 = 13;
    pub const MRG_RXBUF: u32 = 15;
    pub const INDIRECT_DESC: u32 = 28;
    pub const EVENT_IDX: u32 = 29;
    pub const PROTOCOL_FEATURES: u32 = 30;
    pub const VERSION_1: u32 = 32;
    pub const RING_PACKED: u32 = 34;
}

/// What the device can do.
const OFFERED: [u32; 14] = [
    bit::CSUM,
    bit::GUEST_CSUM,
    bit::GUEST_TSO4,
    bit::GUEST_TSO6,
    bit::GUEST_ECN,
    bit::HOST_TSO4,
    bit::HOST_TSO6,
    bit::HOST_ECN,
    bit::MRG_RXBUF,
    bit::INDIRECT_DESC,
    bit::EVENT_IDX,
    bit::PROTOCOL_FEATURES,
    bit::VERSION_1,
    bit::RING_PACKED,
];

/// The queue that the guest receives by is the even one of a pair (virtio 1.2 §5.1.2).
const SIDES: [Access; 2] = [Access::Write, Access::Read];

/// One queue, as far as it is known.
#[derive(Default)]
struct Ring {
    size: u16,
    /// Descriptors, driver's part, device's part.
    addresses: Option<[u64; 3]>,
    base: u32,
    kick: Option<File>,
    call: Option<File>,
    enabled: bool,
    /// The worker has it.
    running: bool,
}

/// The device of one connection after the other.
pub struct Device {
    line: ThreadEnd,
    features: u64,
    memory: Option<Arc<GuestMemory>>,
    rings: [Ring; 2],
    /// Why the last message was refused, if it was by us.
    refused: Option<(Why, String)>,
}

impl Device {
    pub fn new(line: ThreadEnd) -> Device {
        Device { line, features: 0, memory: None, rings: Default::default(), refused: None }
    }

    /// The other end's.
    pub fn line(&mut self) -> &mut ThreadEnd {
        &mut self.line
    }

    /// Why the last message was refused, if it was by the device and not as a message.
    pub fn refusal(&mut self) -> Option<(Why, String)> {
        self.refused.take()
    }

    /// Takes in what the worker tells by itself.
    pub fn listen(&mut self) {
        while let Some(answer) = self.line.answer() {
            note(&mut self.rings, answer);
        }
    }

    /// Forgets the peer. What the worker does not give back in time stays mapped until it does.
    pub fn reset(&mut self) {
        for index in 0..SIDES.len() {
            let _ = self.stop(index);
        }
        (self.features, self.memory, self.rings, self.refused) = (0, None, Default::default(), None);
    }

    fn has(&self, bit: u32) -> bool {
        self.features >> bit & 1 == 1
    }

    fn terms(&self) -> Terms {
        let long = self.has(bit::VERSION_1) || self.has(bit::MRG_RXBUF);
        Terms {
            header: if long { 12 } else { 10 },
            mergeable: self.has(bit::MRG_RXBUF),
            capabilities: Capabilities {
                checksum: self.has(bit::GUEST_CSUM),
                tso4: self.has(bit::GUEST_TSO4),
                tso6: self.has(bit::GUEST_TSO6),
                uso: false,
            },
        }
    }

    fn ring(&mut self, index: impl Into<u32>) -> Result<(usize, &mut Ring)> {
        let index = index.into() as usize;
        self.rings.get_mut(index).map(|ring| (index, ring)).ok_or(Error::InvalidParam)
    }

    fn refuse(&mut self, why: Why, error: String) -> Error {
        self.refused = Some((why, error));
        Error::BackendInternalError
    }

    /// Takes a queue back from the worker, and notes where it stopped.
    fn stop(&mut self, index: usize) -> Result<()> {
        if !std::mem::take(&mut self.rings[index].running) {
            return Ok(());
        }
        let rings = &mut self.rings;
        match self.line.stop(SIDES[index], |answer| note(rings, answer)) {
            Ok(Some(queue)) => rings[index].base = queue.base(),
            Ok(None) => {}
            Err(stuck) => return Err(self.refuse(Why::Stuck, stuck.to_string())),
        }
        Ok(())
    }

    /// Gives a queue to the worker if all of it is known.
    fn start(&mut self, index: usize) -> Result<()> {
        let enabled = self.rings[index].enabled || !self.has(bit::PROTOCOL_FEATURES);
        let (terms, access) = (self.terms(), SIDES[index]);
        let ring = &self.rings[index];
        let (Some(memory), Some([descriptors, driver, device]), Some(kick), true, false) =
            (&self.memory, ring.addresses, &ring.kick, enabled && ring.size > 0, ring.running)
        else {
            return Ok(());
        };
        let spec = QueueSpec {
            access,
            packed: self.has(bit::RING_PACKED),
            size: ring.size,
            descriptors,
            driver,
            device,
            base: ring.base,
            event_index: self.has(bit::EVENT_IDX),
            indirect: self.has(bit::INDIRECT_DESC),
        };
        let signal = |file: &File| {
            let copy = file.try_clone().map_err(|error| error.to_string())?;
            Signal::new(copy).map_err(|error| error.to_string())
        };
        let made = signal(kick).and_then(|kick| {
            let call = ring.call.as_ref().map(signal).transpose()?;
            // What was put into the ring before, by a queue without it or by a switch that was killed, was perhaps not told.
            call.iter().for_each(Signal::raise);
            Queue::new(memory, &spec, Some(kick), call).map_err(|error| error.to_string())
        });
        let queue = made.map_err(|error| self.refuse(Why::Ring, format!("queue {index}: {error}")))?;
        let started = self.line.start(access, Box::new(queue), terms);
        started.map_err(|stuck| self.refuse(Why::Stuck, stuck.to_string()))?;
        self.rings[index].running = true;
        Ok(())
    }

    /// Changes something about a ring that a running queue has to know.
    fn change(&mut self, index: impl Into<u32>, change: impl FnOnce(&mut Ring)) -> Result<()> {
        let (index, _) = self.ring(index)?;
        self.stop(index)?;
        change(&mut self.rings[index]);
        self.start(index)
    }
}

/// What the worker tells: where a queue stopped that it has no use for.
fn note(rings: &mut [Ring; 2], answer: Answer) {
    match answer {
        Answer::Faulted(access, queue, fault) => {
            tracing::warn!(queue = ?access, %fault, "a vhost-user queue is stopped until its driver begins anew");
            for (ring, side) in rings.iter_mut().zip(SIDES) {
                if side == access {
                    ring.base = queue.base();
                }
            }
        }
        Answer::Stopped(..) => {}
    }
}

impl VhostUserBackendReqHandlerMut for Device {
    fn set_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_owner(&mut self) -> Result<()> {
        self.reset();
        Ok(())
    }

    fn reset_device(&mut self) -> Result<()> {
        self.reset();
        Ok(())
    }

    fn get_features(&mut self) -> Result<u64> {
        Ok(OFFERED.iter().map(|bit| 1 << bit).sum())
    }

    fn set_features(&mut self, features: u64) -> Result<()> {
        if features & !self.get_features()? != 0 {
            return Err(Error::FeatureMismatch);
        }
        for index in 0..SIDES.len() {
            self.stop(index)?;
        }
        self.features = features;
        (0..SIDES.len()).try_for_each(|index| self.start(index))
    }

    fn set_mem_table(
        &mut self,
        regions: &[VhostUserMemoryRegion],
        files: Vec<File>,
        _postcopy: Option<bool>,
    ) -> Result<Option<Vec<VhostUserMemoryRegionBase>>> {
        for index in 0..SIDES.len() {
            self.stop(index)?;
        }
        self.memory = None;
        let spec = |region: &VhostUserMemoryRegion| RegionSpec {
            guest: region.guest_phys_addr,
            user: region.user_addr,
            size: region.memory_size,
            offset: region.mmap_offset,
        };
        let regions: Vec<_> = regions.iter().map(spec).zip(files).collect();
        let memory =
            GuestMemory::map(&regions).map_err(|error| self.refuse(Why::Memory, error.to_string()))?;
        self.memory = Some(Arc::new(memory));
        (0..SIDES.len()).try_for_each(|index| self.start(index))?;
        Ok(None)
    }

    fn set_vring_num(&mut self, index: u32, num: u32) -> Result<()> {
        let size =
            u16::try_from(num).map_err(|_| self.refuse(Why::Ring, format!("a ring of {num} entries")))?;
        self.change(index, |ring| ring.size = size)
    }

    fn set_vring_addr(
        &mut self,
        index: u32,
        _flags: VhostUserVringAddrFlags,
        descriptor: u64,
        used: u64,
        available: u64,
        _log: u64,
    ) -> Result<()> {
        self.change(index, |ring| ring.addresses = Some([descriptor, available, used]))
    }

    fn set_vring_base(&mut self, index: u32, base: u32) -> Result<()> {
        self.change(index, |ring| ring.base = base)
    }

    fn get_vring_base(&mut self, index: u32) -> Result<VhostUserVringState> {
        let (at, _) = self.ring(index)?;
        self.stop(at)?;
        // It starts again with its next kick descriptor.
        self.rings[at].kick = None;
        Ok(VhostUserVringState::new(index, self.rings[at].base))
    }

    fn set_vring_kick(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        if fd.is_none() {
            return Err(self.refuse(Why::Ring, format!("queue {index} has no kick descriptor")));
        }
        self.change(index, |ring| ring.kick = fd)
    }

    fn set_vring_call(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        self.change(index, |ring| ring.call = fd)
    }

    fn set_vring_err(&mut self, index: u8, _fd: Option<File>) -> Result<()> {
        self.ring(index).map(drop)
    }

    fn get_protocol_features(&mut self) -> Result<VhostUserProtocolFeatures> {
        Ok(VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::REPLY_ACK)
    }

    fn set_protocol_features(&mut self, features: u64) -> Result<()> {
        let offered = self.get_protocol_features()?.bits();
        if features & !offered == 0 { Ok(()) } else { Err(Error::FeatureMismatch) }
    }

    /// Pairs of queues.
    fn get_queue_num(&mut self) -> Result<u64> {
        Ok(1)
    }

    fn set_vring_enable(&mut self, index: u32, enable: bool) -> Result<()> {
        self.change(index, |ring| ring.enabled = enable)
    }

    // What follows belongs to features that are not offered.

    fn get_config(&mut self, _offset: u32, _size: u32, _flags: VhostUserConfigFlags) -> Result<Vec<u8>> {
        Err(Error::InvalidOperation("there is no configuration space"))
    }

    fn set_config(&mut self, _offset: u32, _buf: &[u8], _flags: VhostUserConfigFlags) -> Result<()> {
        Err(Error::InvalidOperation("there is no configuration space"))
    }

    fn set_gpu_socket(&mut self, _gpu_backend: GpuBackend) -> Result<()> {
        Err(Error::InvalidOperation("this is a network device"))
    }

    fn get_shared_object(&mut self, _uuid: VhostUserSharedMsg) -> Result<File> {
        Err(Error::InvalidOperation("there are no shared objects"))
    }

    fn get_inflight_fd(&mut self, _inflight: &VhostUserInflight) -> Result<(VhostUserInflight, File)> {
        Err(Error::InvalidOperation("no buffer is kept in flight"))
    }

    fn set_inflight_fd(&mut self, _inflight: &VhostUserInflight, _file: File) -> Result<()> {
        Err(Error::InvalidOperation("no buffer is kept in flight"))
    }

    fn get_max_mem_slots(&mut self) -> Result<u64> {
        Err(Error::InvalidOperation("memory comes as one table"))
    }

    fn add_mem_region(
        &mut self,
        _region: &VhostUserSingleMemoryRegion,
        _fd: File,
        _postcopy: Option<bool>,
    ) -> Result<Option<VhostUserMemoryRegionBase>> {
        Err(Error::InvalidOperation("memory comes as one table"))
    }

    fn remove_mem_region(&mut self, _region: &VhostUserSingleMemoryRegion) -> Result<()> {
        Err(Error::InvalidOperation("memory comes as one table"))
    }

    fn set_device_state_fd(
        &mut self,
        _direction: VhostTransferStateDirection,
        _phase: VhostTransferStatePhase,
        _fd: File,
    ) -> Result<Option<File>> {
        Err(Error::InvalidOperation("the device has no state"))
    }

    fn check_device_state(&mut self) -> Result<()> {
        Err(Error::InvalidOperation("the device has no state"))
    }

    fn get_shmem_config(&mut self) -> Result<VhostUserShMemConfig> {
        Err(Error::InvalidOperation("there is no shared memory"))
    }

    fn set_log_base(&mut self, _log: &VhostUserLog, _file: File) -> Result<()> {
        Err(Error::InvalidOperation("writes are not logged"))
    }
}
