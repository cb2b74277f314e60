//! Tunnels to the kernel's own vxlan device, over real links: what either end sends, the other one takes. Needs root.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use paceline_buf::{HugePages, PoolConfig};
use paceline_graph::UnknownUnicast;
use paceline_ports::{PacketConfig, PacketPort, Port};
use paceline_sys::netns::{Scratch, in_time};
use paceline_worker::{
    BridgeSpec, Engine, EngineConfig, InterfaceSpec, MemberSpec, OverSpec, RoutedSpec, Topology, TunnelSpec,
};

/// Bytes that are sent each way: some super-packets.
const BYTES: usize = 3 << 20;

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// A guest behind the switch, the switch's end of the links, and a host with a vxlan device of the kernel's.
struct Place {
    guest: Scratch,
    near: Scratch,
    far: Scratch,
}

impl Place {
    /// `device`: what the kernel's device is told of its other end.
    fn new(device: &str) -> Option<Place> {
        let (guest, near, far) = (Scratch::for_test()?, Scratch::for_test()?, Scratch::for_test()?);
        near.silence();
        for (own, name, place) in [("a0", "a1", &guest), ("u0", "u1", &far)] {
            near.ip(&format!("link add {own} type veth peer name {name} netns {}", place.path().display()));
        }
        guest.ip("addr add 10.9.0.1/24 dev a1");
        guest.ip("link set a1 mtu 1430");
        far.ip("addr add 192.0.2.2/24 dev u1");
        far.ip("addr add fd00::2/64 dev u1 nodad");
        far.ip(&format!("link add vx type vxlan id 7 dstport 4789 dev u1 {device}"));
        far.ip("addr add 10.9.0.2/24 dev vx");
        far.ip("link set vx mtu 1430");
        near.ip("link set a0 up");
        near.ip("link set u0 up");
        guest.up(&["a1"]);
        far.up(&["u1", "vx"]);
        Some(Place { guest, near, far })
    }

    fn port(&self, device: &str) -> Box<dyn Port> {
        let open = || PacketPort::open(&PacketConfig { device: device.into() });
        Box::new(self.near.run(open).expect("in the namespace").expect("a port"))
    }

    /// Sends bytes there and the same ones back, and looks that they are.
    fn talk(&self) {
        let address: SocketAddr = "10.9.0.2:5000".parse().expect("an address");
        let listener = self.far.run(|| TcpListener::bind(address)).expect("in the namespace").expect("bound");
        let echo = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
            let mut bytes = vec![0; BYTES];
            stream.read_exact(&mut bytes).expect("all of it");
            stream.write_all(&bytes).expect("sent back");
        });
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(5));
        let mut stream = in_time(|| self.guest.run(connect).expect("in the namespace"));
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        let sent: Vec<u8> = (0..BYTES).map(|at| (at * 7 + at / 251) as u8).collect();
        let mut sending = stream.try_clone().expect("a handle");
        let all = sent.clone();
        let sender = thread::spawn(move || sending.write_all(&all).expect("sent"));
        let mut got = vec![0; BYTES];
        stream.read_exact(&mut got).expect("all of it");
        assert!(got == sent, "what came back is not what was sent");
        sender.join().expect("it ended");
        echo.join().expect("it ended");
    }
}

fn topology(tunnels: Vec<(&str, TunnelSpec)>) -> Topology {
    let mut members: Vec<&str> = tunnels.iter().map(|(name, _)| *name).collect();
    members.push("a");
    let member = |name: &str| MemberSpec { group: u8::from(name != "a"), ..MemberSpec::default() };
    let bridge = BridgeSpec {
        mac_limit: 100,
        mac_age_s: 300,
        learn: true,
        unknown_unicast: UnknownUnicast::Flood,
        members: members.into_iter().map(|name| (name.to_string(), member(name))).collect(),
        static_macs: Vec::new(),
        snooping: None,
        neighbours: [].into(),
    };
    let routed = RoutedSpec {
        over: OverSpec::Port,
        vrf: "under".into(),
        mac: None,
        mtu: 1500,
        addresses: ["192.0.2.1/24", "fd00::1/64"].map(|net| net.parse().expect(net)).to_vec(),
        isolated: false,
        proxy_arp: false,
        neighbours: [].into(),
        internal: false,
        peer: None,
        nat: false,
        mss_clamp: false,
        source_check: false,
        owner: None,
        group: 0,
    };
    Topology {
        interfaces: ["a", "u"].map(|name| (name.to_string(), InterfaceSpec { mtu: 1500 })).into(),
        bridges: [("bridge".to_string(), bridge)].into(),
        routed: [("u".to_string(), routed)].into(),
        tunnels: tunnels.into_iter().map(|(name, spec)| (name.to_string(), spec)).collect(),
        ..Topology::default()
    }
}

/// Lets a guest talk to a host behind the kernel's device.
fn works(device: &str, tunnels: Vec<(&str, TunnelSpec)>) {
    let Some(place) = Place::new(device) else { return };
    let pool = PoolConfig { count: 8192, size: 2048, huge_pages: HugePages::Never };
    let mut engine = Engine::start(&EngineConfig { pool, ..EngineConfig::default() }).expect("an engine");
    engine.attach("a", vec![place.port("a0")]).expect("attached");
    engine.attach("u", vec![place.port("u0")]).expect("attached");
    engine.configure(topology(tunnels)).expect("configured");
    place.talk();
    let views = engine.interfaces();
    let by_tunnels: u64 = views.iter().filter(|view| view.kind == "vxlan").map(|view| view.rx_packets).sum();
    assert!(by_tunnels > 0, "{device}: {views:?}");
    // Super-packets are whole on their way, in and out: acknowledgments and all are fewer than segments.
    let most = (BYTES / 1400) as u64;
    for view in views.iter().filter(|view| view.kind == "packet") {
        assert!(view.rx_packets < most && view.tx_packets < most, "{device}: {most}, {view:?}");
    }
    engine.stop();
}

fn to(v6: bool) -> TunnelSpec {
    let (local, remote) = if v6 { ("fd00::1", "fd00::2") } else { ("192.0.2.1", "192.0.2.2") };
    TunnelSpec { mtu: 1430, ..TunnelSpec::new(7, "under", ip(local), ip(remote)) }
}

#[test]
fn the_kernel_s_device_is_understood_over_ipv4() {
    works("local 192.0.2.2 remote 192.0.2.1", vec![("t", to(false))]);
    works(
        "local 192.0.2.2 remote 192.0.2.1 udpcsum",
        vec![("t", TunnelSpec { checksum: true, ..to(false) })],
    );
}

#[test]
fn the_kernel_s_device_is_understood_over_ipv6() {
    works("local fd00::2 remote fd00::1", vec![("t", to(true))]);
    let without = TunnelSpec { checksum: false, ..to(true) };
    works("local fd00::2 remote fd00::1 udp6zerocsumtx udp6zerocsumrx", vec![("t", without)]);
}

#[test]
fn the_kernel_s_device_is_found_by_a_group() {
    let group = |v6: bool, remote: &str| {
        let group = TunnelSpec { remote: ip(remote), group_interface: Some("u".into()), ..to(v6) };
        vec![("t", to(v6)), ("group", group)]
    };
    works("local 192.0.2.2 group 239.1.2.3", group(false, "239.1.2.3"));
    works("local fd00::2 group ff15::7", group(true, "ff15::7"));
}
