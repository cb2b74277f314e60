//! Devices of the kernel, opened inside their namespaces.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use paceline_buf::Pool;
use paceline_graph::Drops;
use paceline_model::config::{self, XdpMode};
use paceline_model::{IfName, MacAddr};
use paceline_ports::{
    AfxdpConfig, AfxdpContext, AfxdpPort, Filter, FilterHandle, Io, PacketConfig, PacketPort, Port,
    PortError, TapPort,
};
use paceline_sys::{NetNs, ethtool, link};
use paceline_tap::{Options, Tap};

use super::open::{OpenError, Queues};

/// A device and where it is.
pub struct Device {
    name: IfName,
    /// None: in the switch's own namespace.
    netns: Option<PathBuf>,
    /// The address it is to have.
    mac: Option<MacAddr>,
}

impl Device {
    /// The device `name` of the namespace `netns`: a name of `ip netns`, a path, or ours. It is to have the address `mac`.
    pub fn new(name: IfName, netns: Option<&str>, mac: Option<MacAddr>) -> Self {
        let path = |netns: &str| {
            if netns.contains('/') { netns.into() } else { PathBuf::from("/run/netns").join(netns) }
        };
        Self { name, netns: netns.map(path), mac }
    }

    /// The device `name` of the namespace at a path.
    pub fn at(name: IfName, netns: Option<PathBuf>) -> Self {
        Self { name, netns, mac: None }
    }

    /// Runs `open` inside the namespace, on a thread that may block.
    ///
    /// # Errors
    /// [`OpenError::Namespace`], and those of `open`.
    pub async fn open(
        self,
        open: impl FnOnce(IfName) -> Result<Queues, OpenError> + Send + 'static,
    ) -> Result<Queues, OpenError> {
        let Self { name, netns, mac } = self;
        let open = move |name| {
            let queues = open(name)?;
            mac.map_or(Ok(()), |mac| set_mac(name, mac)).map(|()| queues)
        };
        blocking(move || match netns {
            None => open(name),
            Some(path) => {
                let inside = NetNs::open(&path).and_then(|netns| netns.run(|| open(name)));
                inside.map_err(|source| OpenError::Namespace { path, source })?
            }
        })
        .await
    }
}

/// Runs `work` on a thread that may block.
///
/// # Errors
/// Those of `work`, and [`OpenError::Stopping`].
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(OpenError::Stopping),
        },
    }
}

/// Opens so many queues of a TAP. A device of several queues is opened as such, even if only one is wanted.
pub fn tap(name: IfName, options: Options, queues: usize) -> Result<Queues, OpenError> {
    let first = Tap::open(name.as_str(), options).map_err(PortError::from)?;
    let further = (1..queues).map(|_| first.attach_queue()).collect::<Result<Vec<_>, _>>();
    let further = further.map_err(PortError::from)?;
    let port = |tap| Box::new(TapPort::new(tap)) as Box<dyn Port>;
    Ok(std::iter::once(first).chain(further).map(port).collect())
}

/// Opens a packet socket.
pub fn packet(name: IfName) -> Result<Queues, OpenError> {
    Ok(vec![Box::new(PacketPort::open(&PacketConfig { device: name.to_string() })?)])
}

/// Opens AF_XDP sockets on so many queues. Zero copy is used where the driver has it.
pub fn afxdp(
    name: IfName,
    options: &config::Afxdp,
    queues: usize,
    context: &AfxdpContext,
    pool: &Arc<Pool>,
) -> Result<Queues, OpenError> {
    let unsupported = |setting: &str, why: &str| OpenError::Setting {
        device: name,
        setting: setting.into(),
        source: io::Error::new(io::ErrorKind::Unsupported, why),
    };
    if options.queue != 0 {
        return Err(unsupported(&format!("queue = {}", options.queue), "ports begin at queue 0"));
    }
    let config = AfxdpConfig { device: name.to_string(), queues, zero_copy: true, ..AfxdpConfig::default() };
    let ports = AfxdpPort::open(context, &config)?;
    let (native, zero_copy) =
        ports.first().map_or((true, true), |port| (port.is_native(), port.is_zero_copy()));
    let refused = match options.mode {
        XdpMode::Native if !native => {
            Some(unsupported("mode = \"native\"", "the driver has no XDP: use \"auto\""))
        }
        XdpMode::Generic if native => {
            Some(unsupported("mode = \"generic\"", "the driver has XDP and it is used: use \"auto\""))
        }
        _ if options.zerocopy && !zero_copy => {
            Some(unsupported("zerocopy = true", "the driver does not do it: use false"))
        }
        _ => None,
    };
    match refused {
        Some(error) => {
            // Only a port that is closed gives back the chunks that the kernel has.
            let (mut cache, drops) = (pool.cache(), Drops::default());
            for mut port in ports {
                port.close(&mut Io::new(&mut cache, &drops));
            }
            Err(error)
        }
        None => Ok(ports.into_iter().map(|port| Box::new(port) as Box<dyn Port>).collect()),
    }
}

/// Opens AF_XDP sockets on all queues of an uplink's device; with a filter, it stays the kernel's too. Such a device has to have as
/// many queues as there are workers, or fewer.
pub fn uplink(
    device: IfName,
    filter: Option<Filter>,
    workers: usize,
    context: &AfxdpContext,
) -> Result<(Queues, Option<FilterHandle>), OpenError> {
    let has = ethtool::receive_queues(&device).unwrap_or(1);
    let queues = workers.min(has as usize).max(1);
    let device = device.to_string();
    let config = AfxdpConfig { device, queues, zero_copy: true, filter, ..AfxdpConfig::default() };
    let ports = AfxdpPort::open(context, &config)?;
    let handle = ports.first().and_then(AfxdpPort::filter);
    Ok((ports.into_iter().map(|port| Box::new(port) as Box<dyn Port>).collect(), handle))
}

/// Sets the MTU of a device of the calling thread's namespace.
pub fn set_mtu(device: IfName, mtu: u16) -> Result<(), OpenError> {
    link::set_mtu(&device, mtu.into()).map_err(cannot_set(device, format!("mtu {mtu}")))
}

fn set_mac(device: IfName, mac: MacAddr) -> Result<(), OpenError> {
    link::set_mac(&device, mac.octets()).map_err(cannot_set(device, format!("mac {mac}")))
}

fn cannot_set(device: IfName, what: String) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Setting { device, setting: format!("cannot set {what}"), source }
}
