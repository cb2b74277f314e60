//! What the API shows beside the engine's own views. Field names are stable: programs read them.

use paceline_buf::PoolStats;
use paceline_model::{
    BridgeName, Endpoint, Model, Network, OverlayError, PortName, Protocol, PublishedPort, Storm, Vni,
};
use paceline_worker::{Engine, GuardSpec, InterfaceView, PolicerSpec, TunnelView};
use serde::Serialize;

use crate::Switch;

/// The switch itself.
#[derive(Debug, Serialize)]
pub struct VersionView {
    /// Of this program.
    pub version: &'static str,
    /// Its process.
    pub pid: u32,
    /// Since the workers started.
    pub uptime_s: u64,
    /// Workers.
    pub workers: usize,
    /// Docker's name of the driver, if there is one.
    pub docker_driver: Option<String>,
    /// Where the model is kept.
    pub state_dir: String,
}

/// Packet memory.
#[derive(Debug, Serialize)]
pub struct BuffersView {
    /// Buffers in all.
    pub total: usize,
    /// Free ones that no worker keeps.
    pub free: usize,
    /// Free ones that workers keep at hand.
    pub cached: usize,
    /// Those that hold packets, or are lent to a device.
    pub in_use: usize,
    /// Packets dropped for want of a buffer.
    pub exhausted: u64,
    /// Bytes of a buffer.
    pub size: usize,
    /// Bytes of a page.
    pub page_size: usize,
}

impl From<PoolStats> for BuffersView {
    fn from(stats: PoolStats) -> Self {
        let PoolStats { total, free, cached, in_use, exhausted, size, page_size } = stats;
        Self { total, free, cached, in_use, exhausted, size, page_size }
    }
}

/// A Docker network.
#[derive(Debug, Serialize)]
pub struct NetworkView {
    /// Docker's ID.
    pub id: String,
    /// Our bridge for it.
    pub bridge: String,
    /// How it is built.
    pub mode: paceline_model::network::Mode,
    /// Its segment, in mode `overlay`.
    pub vni: Option<u32>,
    /// How containers are attached.
    pub attach: paceline_model::Attach,
    /// Largest Ethernet payload, in bytes.
    pub mtu: u16,
    /// `--internal`.
    pub internal: bool,
    /// Its subnets.
    pub subnets: Vec<String>,
    /// Their gateways.
    pub gateways: Vec<String>,
    /// How many endpoints it has.
    pub endpoints: usize,
}

/// A container's place in a network.
#[derive(Debug, Serialize)]
pub struct EndpointView {
    /// Docker's ID.
    pub id: String,
    /// Docker's ID of its network.
    pub network: String,
    /// Our bridge of that network.
    pub bridge: Option<String>,
    /// Our port for it.
    pub port: String,
    /// How it is attached.
    pub attach: paceline_model::Attach,
    /// Its address.
    pub mac: String,
    /// With the prefix length.
    pub ipv4: Option<String>,
    /// With the prefix length.
    pub ipv6: Option<String>,
    /// Its labels, over those of its network, as in `env=prod,role=db`.
    pub labels: String,
    /// Whether it may use only its own addresses.
    pub port_security: bool,
    /// Bits a second that it may send, and as many that it may receive.
    pub rate: Option<u64>,
    /// Bytes of that at once.
    pub burst: Option<u64>,
    /// Code point of what it sends.
    pub dscp: Option<u8>,
    /// Frames a second that the bridge floods of it, by kind.
    pub storm: Option<Storm>,
    /// The port that copies of its packets are sent to.
    pub mirror: Option<String>,
    /// The container's network namespace.
    pub sandbox: Option<String>,
    /// `created` before a container is there, `up`, `down`, or `error`.
    pub state: String,
    /// Why it is down, or in error.
    pub error: Option<String>,
}

/// A VXLAN tunnel, or a segment that has none as it should.
#[derive(Debug, Serialize)]
pub struct TunnelRow {
    /// Its interface; of a segment `vxlan:` and its number.
    pub name: String,
    /// VXLAN network identifier.
    pub vni: u32,
    /// Bridge that it is in.
    pub bridge: Option<String>,
    /// Routing table of the outer packets.
    pub vrf: Option<String>,
    /// This end.
    pub local: Option<String>,
    /// The other end, or a multicast group.
    pub remote: Option<String>,
    /// UDP port.
    pub port: Option<u16>,
    /// The interface that packets for the group leave by, if it is one.
    pub group_interface: Option<String>,
    /// Largest inner Ethernet payload, in bytes.
    pub mtu: Option<u32>,
    /// Made because the other end sent something, not configured.
    pub is_learned: bool,
    /// `up`, `down` or, of a segment without tunnels, `error`.
    pub state: String,
    /// Why it is not up.
    pub error: Option<String>,
    /// Inner frames received.
    pub rx_packets: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Inner frames sent.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Inner frames dropped that came in here, or should have left here.
    pub drops: u64,
}

/// A rule of a policy or list at an interface, or what else is done there.
#[derive(Debug, Serialize)]
pub struct FilterRuleView {
    /// The interface.
    pub interface: String,
    /// `input` for what comes in by it, `output` for what leaves.
    pub direction: &'static str,
    /// Policies or lists; none if this is no rule of one.
    pub policy: Option<String>,
    /// Whether answers to what it permits are permitted.
    pub stateful: bool,
    /// Tier or list; empty for what becomes of the rest.
    pub tier: String,
    /// The rule; `default` is the end of its tier. Without a policy `port-security`, `rate`,
    /// `dscp`, `mirror`, or `storm-` and a kind of frames.
    pub rule: String,
    /// `permit`, `deny`, `reject` or `pass`; or in words what else is done.
    pub action: String,
    /// Packets that it decided about, at all interfaces with the same policy. Of flows that are remembered, the first. None without a
    /// policy: drops have their reasons.
    pub packets: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
}

/// All rules of all interfaces, and what else filters do there.
pub fn filters(switch: &Switch) -> Vec<FilterRuleView> {
    let (filters, specs) = switch.engine(|engine| (engine.filters(), engine.filter_specs()));
    let mut rows = Vec::new();
    for (interface, spec) in &specs {
        let mut row = |direction, rule: &str, action| {
            rows.push(FilterRuleView {
                interface: interface.clone(),
                direction,
                policy: None,
                stateful: false,
                tier: String::new(),
                rule: rule.into(),
                action,
                packets: None,
                bytes: None,
            });
        };
        if let Some(guard) = &spec.guard {
            row("input", "port-security", guarded(guard));
        }
        for (direction, rate) in [("input", spec.police_input), ("output", spec.police_output)] {
            if let Some(PolicerSpec { rate, burst }) = rate {
                row(direction, "rate", format!("{rate} bit/s, burst {burst} bytes"));
            }
        }
        if let Some(dscp) = spec.dscp {
            row("input", "dscp", format!("set to {dscp}"));
        }
        if let Some(port) = &spec.mirror {
            row("input", "mirror", format!("to {port}"));
            row("output", "mirror", format!("to {port}"));
        }
    }
    for filter in filters {
        rows.extend(filter.rules.iter().map(|rule| FilterRuleView {
            interface: filter.interface.clone(),
            direction: filter.direction,
            policy: Some(filter.policy.clone()),
            stateful: filter.stateful,
            tier: rule.tier.clone(),
            rule: rule.name.clone(),
            action: rule.action.into(),
            packets: Some(rule.packets),
            bytes: Some(rule.bytes),
        }));
    }
    rows.extend(switch.engine(|engine| engine.storms()).into_iter().map(|storm| FilterRuleView {
        interface: storm.interface,
        direction: "input",
        policy: None,
        stateful: false,
        tier: String::new(),
        rule: format!("storm-{}", storm.kind),
        action: format!("at most {} frames/s", storm.frames),
        packets: Some(storm.packets),
        bytes: Some(storm.bytes),
    }));
    rows.sort_by(|a, b| a.interface.cmp(&b.interface));
    rows
}

/// What port security lets in.
fn guarded(guard: &GuardSpec) -> String {
    let macs = guard.macs.iter().map(ToString::to_string);
    let all: Vec<_> = macs.chain(guard.addresses.iter().map(ToString::to_string)).collect();
    format!("from {}", all.join(" "))
}

/// A published port.
#[derive(Debug, Serialize)]
pub struct PortView {
    /// As `docker port` writes it; `*` stands for all addresses of the host.
    pub published: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: Protocol,
    /// The host's address; none: all.
    pub host_ip: Option<String>,
    /// The host's port.
    pub host_port: u16,
    /// The container's port.
    pub container_port: u16,
    /// The container's addresses.
    pub addresses: Vec<String>,
    /// Docker's ID of its endpoint.
    pub endpoint: String,
    /// Docker's ID of the network.
    pub network: String,
}

/// All published ports, ordered by protocol and the host's port.
pub fn ports(switch: &Switch) -> Vec<PortView> {
    let of = |endpoint: &Endpoint, port: PublishedPort| PortView {
        published: port.to_string(),
        protocol: port.protocol,
        host_ip: port.host_ip.map(|ip| ip.to_string()),
        host_port: port.host_port,
        container_port: port.port,
        addresses: endpoint.addresses().map(|address| address.to_string()).collect(),
        endpoint: endpoint.id.to_string(),
        network: endpoint.network.to_string(),
    };
    let mut views: Vec<_> = switch.model(|model| {
        let all = model
            .endpoints
            .values()
            .flat_map(|endpoint| endpoint.ports.iter().map(move |port| (endpoint, *port)));
        all.map(|(endpoint, port)| of(endpoint, port)).collect()
    });
    views.sort_by(|a, b| (a.protocol, a.host_port, &a.host_ip).cmp(&(b.protocol, b.host_port, &b.host_ip)));
    views
}

/// All interfaces, ordered by name, and those ports that could not be opened: their state is `error`.
pub fn interfaces(switch: &Switch) -> Vec<InterfaceView> {
    let mut views = switch.engine(Engine::interfaces);
    for (name, failure) in switch.failures() {
        views.retain(|view| view.name != name.as_str());
        views.push(InterfaceView {
            name: name.to_string(),
            kind: failure.kind.into(),
            state: "error".into(),
            reason: Some(failure.error),
            mtu: failure.mtu.into(),
            bridge: None,
            queues: 0,
            rx_packets: 0,
            rx_bytes: 0,
            tx_packets: 0,
            tx_bytes: 0,
            drops: 0,
        });
    }
    views.sort_by(|a, b| a.name.cmp(&b.name));
    views
}

/// All tunnels, ordered by name, and the segments that should have some and cannot.
pub fn tunnels(switch: &Switch) -> Vec<TunnelRow> {
    let (tunnels, interfaces) = switch.engine(|engine| (engine.tunnel_views(), engine.interfaces()));
    let row = |view: TunnelView| {
        let counters = interfaces.iter().find(|interface| interface.name == view.name);
        let count = |of: fn(&InterfaceView) -> u64| counters.map_or(0, of);
        TunnelRow {
            name: view.name,
            vni: view.vni,
            bridge: view.bridge,
            vrf: Some(view.vrf),
            local: Some(view.local),
            remote: Some(view.remote),
            port: Some(view.port),
            group_interface: view.group_interface,
            mtu: Some(view.mtu),
            is_learned: view.is_learned,
            state: counters.map_or_else(|| "down".into(), |of| of.state.clone()),
            error: counters.and_then(|of| of.reason.clone()),
            rx_packets: count(|of| of.rx_packets),
            rx_bytes: count(|of| of.rx_bytes),
            tx_packets: count(|of| of.tx_packets),
            tx_bytes: count(|of| of.tx_bytes),
            drops: count(|of| of.drops),
        }
    };
    let hindered = |((bridge, vni), error): ((BridgeName, Vni), OverlayError)| TunnelRow {
        name: format!("{}{vni}", PortName::VXLAN),
        vni: vni.get(),
        bridge: Some(bridge.to_string()),
        vrf: None,
        local: None,
        remote: None,
        port: None,
        group_interface: None,
        mtu: None,
        is_learned: false,
        state: "error".into(),
        error: Some(error.to_string()),
        rx_packets: 0,
        rx_bytes: 0,
        tx_packets: 0,
        tx_bytes: 0,
        drops: 0,
    };
    let mut rows: Vec<_> =
        tunnels.into_iter().map(row).chain(switch.hindered().into_iter().map(hindered)).collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}

/// All networks, ordered by ID.
pub fn networks(switch: &Switch) -> Vec<NetworkView> {
    let default = switch.config().docker.attach;
    let view = |model: &Model, network: &Network| {
        let data = || network.ipv4.iter().chain(&network.ipv6);
        NetworkView {
            id: network.id.to_string(),
            bridge: network.bridge.to_string(),
            mode: network.options.mode,
            vni: network.options.overlay.as_ref().map(|overlay| overlay.vni.get()),
            attach: network.options.attach.unwrap_or(default),
            mtu: network.options.mtu,
            internal: network.internal,
            subnets: data().map(|data| data.pool.to_string()).collect(),
            gateways: data().filter_map(|data| Some(data.gateway?.addr().to_string())).collect(),
            endpoints: model.endpoints_of(&network.id).count(),
        }
    };
    switch.model(|model| model.networks.values().map(|network| view(model, network)).collect())
}

/// All endpoints, ordered by ID.
pub fn endpoints(switch: &Switch) -> Vec<EndpointView> {
    let interfaces = interfaces(switch);
    let view = |model: &Model, endpoint: &Endpoint| {
        let port = endpoint.port.as_str();
        let interface = interfaces.iter().find(|interface| interface.name == port);
        let (state, error) = state(endpoint, interface);
        let link = model.link_of(endpoint);
        EndpointView {
            id: endpoint.id.to_string(),
            network: endpoint.network.to_string(),
            bridge: model.networks.get(&endpoint.network).map(|network| network.bridge.to_string()),
            port: port.into(),
            attach: endpoint.attach,
            mac: endpoint.mac.to_string(),
            ipv4: endpoint.ipv4.map(|address| address.to_string()),
            ipv6: endpoint.ipv6.map(|address| address.to_string()),
            labels: model.labels_of(endpoint).to_string(),
            port_security: link.has_port_security(),
            rate: link.rate.map(|rate| rate.bits),
            burst: link.rate.map(|rate| rate.burst),
            dscp: link.dscp,
            storm: link.storm,
            mirror: link.mirror.map(|port| port.to_string()),
            sandbox: endpoint.sandbox.as_ref().map(|path| path.display().to_string()),
            state,
            error,
        }
    };
    switch.model(|model| model.endpoints.values().map(|endpoint| view(model, endpoint)).collect())
}

fn state(endpoint: &Endpoint, interface: Option<&InterfaceView>) -> (String, Option<String>) {
    match interface {
        Some(interface) => (interface.state.clone(), interface.reason.clone()),
        None if endpoint.joined() => ("down".into(), Some("it is being attached".into())),
        None => ("created".into(), None),
    }
}
