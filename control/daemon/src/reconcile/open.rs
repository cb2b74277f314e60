//! From a port that should be to its queues, opened.

use std::path::PathBuf;
use std::sync::Arc;

use paceline_attach::Links;
use paceline_buf::Pool;
use paceline_model::config::{self, PortKind, Replay, Role};
use paceline_model::{DesiredKind, DesiredPort, IfName, PortName};
use paceline_ports::{
    AfxdpContext, GeneratorPort, MemifConfig, MemifPort, MemifRole, NullPort, PcapConfig, PcapPort, Port,
    PortError, RecordConfig, ReplayConfig, VhostConfig, VhostPort, VhostRole,
};
use paceline_tap::{Offloads, Options, TapError};
use paceline_worker::{Engine, EngineError};

use super::device::{self, Device};
use super::uplink::Filters;
use super::{container, generator};

/// The queues of one port, to be given to as many workers.
pub type Queues = Vec<Box<dyn Port>>;

/// Bytes of a frame that a `pcap` port writes at most: all of it, whatever the MTU.
const SNAP: u32 = 262_144;

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The port itself.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The link of a container.
    #[error(transparent)]
    Link(#[from] paceline_attach::Error),
    /// The workers did not take it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The link of a container that joined before this start is nowhere.
    #[error(
        "link {link} of the container is gone, from here and from {}: restart the container",
        sandbox.display()
    )]
    Lost {
        /// Its name at first.
        link: IfName,
        /// Where the container is.
        sandbox: PathBuf,
    },
    /// A namespace that cannot be entered.
    #[error("network namespace {}: {source}", path.display())]
    Namespace {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// More queues than the kind of port has.
    #[error("queues = {queues}: a {kind} port has one")]
    Queues {
        /// The kind.
        kind: &'static str,
        /// As configured.
        queues: usize,
    },
    /// A setting that the device does not take.
    #[error("device {device}: {setting}: {source}")]
    Setting {
        /// The device.
        device: IfName,
        /// The setting and its value.
        setting: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The runtime is shutting down.
    #[error("the switch is stopping")]
    Stopping,
}

/// What ports are opened with.
pub struct Opener {
    /// The host's links.
    pub links: Links,
    /// The packet memory.
    pub pool: Arc<Pool>,
    /// The same, as AF_XDP shares it with the kernel.
    pub xdp: AfxdpContext,
    /// Number of workers, and so of queues where there is a choice.
    pub workers: usize,
    /// What of uplinks is ours.
    pub filters: Filters,
}

impl Opener {
    /// With the memory and workers of this engine.
    ///
    /// # Errors
    /// None for an engine that runs.
    pub fn new(links: Links, engine: &Engine) -> Result<Self, PortError> {
        let pool = Arc::clone(engine.pool());
        let (xdp, workers) = (AfxdpContext::new(&pool)?, engine.workers());
        Ok(Self { links, xdp, pool, workers, filters: Filters::default() })
    }

    /// Opens all queues of a port. The link of a container is made if there is none and `create` is set.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing that was made for the port is left.
    pub async fn open(&self, name: &PortName, port: &DesiredPort, create: bool) -> Result<Queues, OpenError> {
        match &port.kind {
            DesiredKind::Configured(kind) => self.configured(name, port, kind).await,
            DesiredKind::Container(link) => container::open(self, link, port, create).await,
            DesiredKind::Uplink(uplink) => {
                let (xdp, device, workers) = (self.xdp.clone(), uplink.device, self.workers);
                let filter = uplink.shared.then(|| self.filters.wanted(name));
                let open = move || device::uplink(device, filter, workers, &xdp);
                let (queues, handle) = device::blocking(open).await?;
                self.filters.opened(name, handle);
                Ok(queues)
            }
            DesiredKind::Host(device) => {
                let device = Device::new(*device, None, port.mac);
                let (queues, mtu) = (usize::from(port.queues), port.mtu);
                open_tap(device, false, queues, mtu).await
            }
        }
    }

    async fn configured(
        &self,
        name: &PortName,
        port: &DesiredPort,
        kind: &PortKind,
    ) -> Result<Queues, OpenError> {
        let queues = usize::from(port.queues);
        let single = matches!(
            kind,
            PortKind::Packet(_) | PortKind::VhostUser(_) | PortKind::Pcap(_) | PortKind::Generator(_)
        );
        if single && queues != 1 {
            return Err(OpenError::Queues { kind: kind.name(), queues });
        }
        match kind {
            PortKind::Null => Ok((0..queues).map(|_| Box::new(NullPort) as _).collect()),
            PortKind::Generator(config) => {
                Ok(vec![Box::new(GeneratorPort::open(&generator::config(config))?)])
            }
            PortKind::Memif(config) => {
                let config = memif(name, config, queues);
                let open = move || {
                    Ok(MemifPort::open(&config)?.into_iter().map(|port| Box::new(port) as _).collect())
                };
                device::blocking(open).await
            }
            PortKind::Pcap(config) => {
                let (config, pool) = (pcap(config), Arc::clone(&self.pool));
                // It reads the whole file.
                device::blocking(move || Ok(vec![Box::new(PcapPort::open(&config, &pool)?) as _])).await
            }
            PortKind::VhostUser(config) => {
                let role = match config.role {
                    Role::Server => VhostRole::Server,
                    Role::Client => VhostRole::Client,
                };
                let config = VhostConfig { socket: config.socket.clone(), role };
                Ok(vec![Box::new(VhostPort::open(&config)?)])
            }
            PortKind::Tap(config) => {
                let own = || name.as_str().parse().map_err(|error| PortError::Tap(TapError::Name(error)));
                let device =
                    Device::new(config.device.map_or_else(own, Ok)?, config.netns.as_deref(), port.mac);
                open_tap(device, config.persist, queues, port.mtu).await
            }
            PortKind::Packet(config) => {
                Device::new(config.device, config.netns.as_deref(), port.mac).open(device::packet).await
            }
            PortKind::Afxdp(config) => {
                let (xdp, pool, options) = (self.xdp.clone(), Arc::clone(&self.pool), config.clone());
                Device::new(config.device, config.netns.as_deref(), port.mac)
                    .open(move |name| device::afxdp(name, &options, queues, &xdp, &pool))
                    .await
            }
        }
    }
}

/// Opens a TAP in the namespace of its device, which is made if there is none.
async fn open_tap(device: Device, persist: bool, queues: usize, mtu: u16) -> Result<Queues, OpenError> {
    let options = Options { multi_queue: queues > 1, persist, offloads: Offloads::ALL };
    let open = move |name| {
        let opened = device::tap(name, options, queues)?;
        device::set_mtu(name, mtu)?;
        Ok(opened)
    };
    device.open(open).await
}

fn memif(name: &PortName, config: &config::Memif, queues: usize) -> MemifConfig {
    MemifConfig {
        socket: config.socket.clone(),
        id: config.id,
        role: match config.role {
            Role::Server => MemifRole::Server,
            Role::Client => MemifRole::Client,
        },
        name: name.as_str().into(),
        queues,
        ring_size: config.ring_size,
        buffer_size: config.buffer_size,
        secret: config.secret.clone(),
    }
}

fn pcap(config: &config::Pcap) -> PcapConfig {
    let replay = |file: &PathBuf| ReplayConfig {
        file: file.clone(),
        repeat: config.replay == Replay::Loop,
        timed: config.replay == Replay::Timed,
    };
    let record = |file: &PathBuf| RecordConfig { file: file.clone(), snap: SNAP };
    PcapConfig { replay: config.read.as_ref().map(replay), record: config.write.as_ref().map(record) }
}
