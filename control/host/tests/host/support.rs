//! A host with a neighbour outside, a device that leads to a switch, and containers behind that.
//!
//! ```text
//! outside ── eth0 ─ host ─ pace0 ── host0 ─ switch ─ c0, c1, … ── eth0 of each container
//! ```
//! The kernel plays the switch: it routes within a network, and everything else to the host, by one rule for each network.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use paceline_attach::Links;
use paceline_host::{Host, HostError, Report};
use paceline_model::{GatewayMode, HostNetwork, HostPlan, HostPort, Protocol, PublishedPort};
use paceline_sys::NetNs;
use paceline_sys::netns::Scratch;
use tokio::runtime::{Builder, Runtime};

/// How long the answer to what is let through may take, and how long one to what is not is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(300);

/// The host outside.
pub const OUTSIDE: [&str; 2] = ["192.0.2.2", "2001:db8::2"];
/// The host itself, to the outside.
pub const HOST: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// One container: its number is that of its address, in network 77 or 88.
pub struct Container {
    pub net: Scratch,
    pub ips: [IpAddr; 2],
}

pub struct World {
    pub host: Scratch,
    pub switch: Scratch,
    pub outside: Scratch,
    /// Two in network 77, one in network 88.
    pub containers: Vec<Container>,
    pub runtime: Runtime,
}

impl World {
    /// None, after a word, when the test does not run as root.
    pub fn new() -> Option<Self> {
        let (host, switch, outside) = (Scratch::for_test()?, Scratch::for_test()?, Scratch::for_test()?);
        host.ip(
            "link add pace0 address 02:00:00:00:00:fe type veth peer name host0 address 02:00:00:00:00:fe",
        );
        host.ip(&format!("link set host0 netns {}", switch.path().display()));
        host.ip("link add eth0 type veth peer name peer0");
        host.ip(&format!("link set peer0 netns {} name eth0", outside.path().display()));
        for (net, [ipv4, ipv6]) in [(&host, HOST), (&outside, OUTSIDE)] {
            net.ip(&format!("addr add {ipv4}/24 dev eth0"));
            net.ip(&format!("addr add {ipv6}/64 dev eth0 nodad"));
        }
        set(&switch, "net/ipv4/ip_forward", "1");
        set(&switch, "net/ipv6/conf/all/forwarding", "1");
        switch.ip("link set host0 arp off");
        switch.up(&["host0"]);
        outside.up(&["eth0"]);
        host.up(&["eth0"]);
        outside.up(&["eth0"]);
        outside.ip("route add 10.0.0.0/8 via 192.0.2.1");
        outside.ip("-6 route add fd00::/16 via 2001:db8::1");
        switch.ip("route add default dev host0");
        switch.ip("-6 route add default dev host0");
        let containers = [(77, 10), (77, 11), (88, 10)]
            .iter()
            .zip(0..)
            .map(|(at, number)| container(&switch, *at, number));
        let containers = containers.collect::<Option<_>>()?;
        let runtime = host.run(|| Builder::new_multi_thread().worker_threads(1).enable_all().build());
        let runtime = runtime.expect("namespace").expect("a runtime");
        Some(Self { host, switch, outside, containers, runtime })
    }

    /// Runs `work` in the host's namespace and the runtime.
    pub fn on_host<R: Send>(&self, work: impl AsyncFnOnce() -> R + Send) -> R {
        self.host.run(|| self.runtime.block_on(work())).expect("namespace")
    }

    pub fn stack(&self) -> Host {
        self.on_host(async || Host::new(Links::host("paceline test").expect("links"), "paceline test"))
    }

    pub fn try_apply(&self, host: &mut Host, plan: &HostPlan) -> Result<Report, HostError> {
        self.on_host(async || host.apply(plan).await)
    }

    /// Applies a plan with what else an engine's host has, and waits for the device: it came up by that.
    pub fn apply(&self, host: &mut Host, plan: &HostPlan) -> Report {
        let report = self.try_apply(host, plan).expect("applied");
        self.switch.up(&["host0"]);
        self.host.up(&["pace0"]);
        report
    }

    pub fn remove(&self, host: &mut Host) {
        self.on_host(async || host.remove().await).expect("removed");
    }

    /// All rules on the host, without counters.
    pub fn rules(&self) -> String {
        self.nft("-s list ruleset")
    }

    pub fn nft(&self, args: &str) -> String {
        output(&self.host, "nft", args)
    }
}

fn container(switch: &Scratch, (network, number): (u8, u8), index: u8) -> Option<Container> {
    let net = Scratch::for_test()?;
    let (near, far) = (format!("02:00:00:00:02:{index:02x}"), format!("02:00:00:00:01:{index:02x}"));
    let [ipv4, ipv6] = [format!("10.{network}.0.{number}"), format!("fd00:{network}::{number}")];
    let link = format!("c{index}");
    switch.ip(&format!("link add {link} address {near} type veth peer name eth0 address {far}"));
    switch.ip(&format!("link set eth0 netns {}", net.path().display()));
    switch.up(&[&link]);
    net.ip(&format!("addr add {ipv4}/24 dev eth0"));
    net.ip(&format!("addr add {ipv6}/64 dev eth0 nodad"));
    net.up(&["eth0"]);
    switch.up(&[&link]);
    for (family, ip, gateway) in
        [("-4", &ipv4, format!("10.{network}.0.1")), ("-6", &ipv6, format!("fd00:{network}::1"))]
    {
        net.ip(&format!("neigh add {gateway} lladdr {near} dev eth0"));
        net.ip(&format!("{family} route add default via {gateway} dev eth0"));
        switch.ip(&format!("neigh add {ip} lladdr {far} dev {link}"));
        switch.ip(&format!("{family} route add {ip} dev {link}"));
        switch.ip(&format!("{family} rule add iif {link} lookup {network}"));
        switch.ip(&format!("{family} route add {ip} dev {link} table {network}"));
        switch.ip(&format!("{family} route replace default dev host0 table {network}"));
    }
    Some(Container { net, ips: [ipv4, ipv6].map(|ip| ip.parse().expect("an address")) })
}

pub fn set(net: &NetNs, setting: &str, value: &str) {
    net.run(|| fs::write(format!("/proc/sys/{setting}"), value)).expect("namespace").expect(setting);
}

pub fn get(net: &NetNs, setting: &str) -> String {
    let value = net.run(|| fs::read_to_string(format!("/proc/sys/{setting}"))).expect("namespace");
    value.expect(setting).trim().to_owned()
}

pub fn output(net: &NetNs, program: &str, args: &str) -> String {
    let out = net.run(|| Command::new(program).args(args.split_whitespace()).output()).expect("namespace");
    let out = out.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(out.status.success(), "{program} {args}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Answers everybody at a port, of all addresses of a namespace, by TCP and UDP, with the address that they come from.
pub fn serve(net: &NetNs, port: u16) {
    serve_at(net, SocketAddr::new("::".parse().expect("an address"), port));
}

pub fn serve_at(net: &NetNs, at: SocketAddr) {
    let bind = || (TcpListener::bind(at).expect("bound"), UdpSocket::bind(at).expect("bound"));
    let (listener, socket) = net.run(bind).expect("namespace");
    let who = |from: SocketAddr| from.ip().to_canonical().to_string();
    std::thread::spawn(move || {
        while let Ok((mut stream, from)) = listener.accept() {
            let _ = stream.write_all(who(from).as_bytes());
        }
    });
    std::thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 16]) {
            let _ = socket.send_to(who(from).as_bytes(), from);
        }
    });
}

/// Whom the server at an address sees when it is asked from a namespace; none if it cannot be reached.
pub fn ask(net: &NetNs, protocol: Protocol, ip: &str, port: u16) -> Option<String> {
    ask_for(net, protocol, ip, port, SOON)
}

fn ask_for(net: &NetNs, protocol: Protocol, ip: &str, port: u16, patience: Duration) -> Option<String> {
    let to = SocketAddr::new(ip.parse().expect("an address"), port);
    let mut answer = [0; 64];
    let length = net.run(|| -> std::io::Result<usize> {
        if protocol == Protocol::Tcp {
            let mut stream = TcpStream::connect_timeout(&to, patience)?;
            stream.set_read_timeout(Some(patience))?;
            return stream.read(&mut answer);
        }
        let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
        // Connected, so that an answer from another address than was asked is none.
        socket.connect(to)?;
        socket.set_read_timeout(Some(patience))?;
        socket.send(b"who am I?")?;
        socket.recv(&mut answer)
    });
    let length = length.expect("namespace").ok().filter(|length| *length > 0)?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// A server is reached by TCP and UDP, and sees `from`.
#[track_caller]
pub fn sees(net: &NetNs, ip: &str, port: u16, from: &str) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let seen = ask_for(net, protocol, ip, port, PATIENCE);
        assert_eq!(seen.as_deref(), Some(from), "who is seen at {ip} {port}/{protocol}");
    }
}

/// A server is reached by neither.
#[track_caller]
pub fn silent(net: &NetNs, ip: &str, port: u16) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        assert_eq!(ask(net, protocol, ip, port), None, "what is answered at {ip} {port}/{protocol}");
    }
}

pub fn pings(net: &NetNs, ip: &str) -> bool {
    let out = net.run(|| Command::new("ping").args(["-c1", "-W1", ip]).output());
    out.expect("namespace").expect("ping").status.success()
}

/// A network like those of the containers.
pub fn network(number: u8) -> HostNetwork {
    let nets = |host: u8| {
        let ends = [format!("10.{number}.0.{host}/24"), format!("fd00:{number}::{host}/64")];
        ends.map(|net| net.parse().expect("a net")).to_vec()
    };
    HostNetwork {
        subnets: nets(0),
        gateways: nets(1),
        ipv4: GatewayMode::Nat,
        ipv6: GatewayMode::Nat,
        masquerade: true,
        internal: false,
    }
}

/// Both networks, and no ports.
pub fn plan() -> HostPlan {
    let networks = [77, 88].map(|number| (format!("n{number}").parse().expect("an ID"), network(number)));
    HostPlan {
        device: "pace0".parse().expect("a name"),
        mac: [2, 0, 0, 0, 0, 0xfe].into(),
        mtu: 1500,
        networks: BTreeMap::from(networks),
        ports: Vec::new(),
    }
}

/// TCP and UDP of a container's port, on an address of the host or on all.
pub fn publish(plan: &mut HostPlan, container: &Container, host_ip: Option<&str>, host_port: u16, port: u16) {
    let [IpAddr::V4(ipv4), IpAddr::V6(ipv6)] = container.ips else { panic!("one of each family") };
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let host_ip = host_ip.map(|ip| ip.parse().expect("an address"));
        plan.ports.push(HostPort {
            endpoint: "e1".parse().expect("an ID"),
            network: format!("n{}", ipv4.octets()[1]).parse().expect("an ID"),
            port: PublishedPort { protocol, host_ip, host_port, port },
            ipv4: Some(ipv4),
            ipv6: Some(ipv6),
        });
    }
}

/// The plan's network of this number.
pub fn of(plan: &mut HostPlan, number: u8) -> &mut HostNetwork {
    plan.networks.get_mut(format!("n{number}").as_str()).expect("a network")
}
