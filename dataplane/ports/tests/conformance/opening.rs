//! Opening ports, and what is said when that fails.

use paceline_buf::{Pool, Vector};
use paceline_graph::Drops;
use paceline_ports::{
    AfxdpConfig, AfxdpContext, AfxdpPort, Filter, Io, LinkState, PacketConfig, PacketPort, Port, PortError,
    TapConfig, TapPort,
};
use paceline_sys::netns::{Scratch, in_time};

fn tap(net: &Scratch, device: &str, queues: usize) -> Result<Vec<TapPort>, PortError> {
    let config = TapConfig { device: device.into(), queues, ..TapConfig::default() };
    net.run(|| TapPort::open(&config)).expect("setns")
}

#[test]
fn a_tap_has_a_port_for_each_queue() {
    let Some(net) = Scratch::for_test() else { return };
    let ports = tap(&net, "tap%d", 3).expect("a tap");
    assert_eq!(ports.len(), 3);
    for port in &ports {
        assert_eq!(port.tap().name().expect("a name").as_str(), "tap0");
        assert!(port.wake_fd().is_some() && port.kind() == "tap");
    }
    assert_eq!(
        tap(&net, "tap0", 1).err().expect("other queues").to_string(),
        "tap tap0: exists and is no tap with one queue"
    );
}

#[test]
fn faults_name_the_device() {
    let Some(net) = Scratch::for_test() else { return };
    let said = tap(&net, "tap0", 0).err().expect("no queue").to_string();
    assert_eq!(said, "tap0: queues is 0: must lie between 1 and 256");
    assert!(tap(&net, "no/name", 1).err().expect("no name").to_string().contains("\"no/name\""));
    let config = PacketConfig { device: "nowhere".into() };
    let said = net.run(|| PacketPort::open(&config)).expect("setns").err().expect("no device").to_string();
    assert!(said.starts_with("nowhere: ") && said.contains("must exist"), "{said}");
}

#[test]
fn a_second_afxdp_port_on_a_queue_is_refused_and_leaks_nothing() {
    let Some(net) = Scratch::for_test() else { return };
    net.ip("link add port type veth peer name far");
    let pool = Pool::small(256);
    let context = AfxdpContext::new(&pool).expect("a UMEM");
    let config = AfxdpConfig { device: "port".into(), ring_size: 64, ..AfxdpConfig::default() };
    let open = |config: &AfxdpConfig| net.run(|| AfxdpPort::open(&context, config)).expect("setns");
    let refused = |config: &AfxdpConfig| open(config).err().expect("refused").to_string();

    let mut first = open(&config).expect("a port").remove(0);
    assert_eq!(pool.stats().in_use, 64, "the ring size is lent");
    assert!(refused(&config).starts_with("port: AF_XDP on interface "));
    assert!(refused(&AfxdpConfig { queues: 2, ..config.clone() }).starts_with("port: "));
    assert!(refused(&AfxdpConfig { ring_size: 100, ..config.clone() }).contains("ring size 100"));
    assert!(refused(&AfxdpConfig { device: "nowhere".into(), ..config.clone() }).contains("must exist"));
    assert_eq!(pool.stats().in_use, 64);

    let (mut cache, drops) = (pool.cache(), Drops::default());
    first.close(&mut Io::new(&mut cache, &drops));
    assert_eq!(first.state(), LinkState::Down("closed"));
    drop((first, cache));
    assert_eq!(pool.stats().free, 256);
    let mut again = in_time(|| open(&config)).remove(0);
    again.close(&mut Io::new(&mut pool.cache(), &drops));
}

#[test]
fn a_shared_device_gives_what_is_ours_and_needs_all_queues() {
    let Some(net) = Scratch::for_test() else { return };
    net.ip("link add port address 02:00:00:00:00:01 numrxqueues 2 type veth peer name far");
    net.up(&["port", "far"]);
    let pool = Pool::small(256);
    let context = AfxdpContext::new(&pool).expect("a UMEM");
    let filter = Filter { macs: [[2, 0, 0, 0, 0, 9]].into(), ..Filter::default() };
    let filter = Some(filter);
    let config = AfxdpConfig { device: "port".into(), ring_size: 64, filter, ..AfxdpConfig::default() };
    let open = |config: &AfxdpConfig| net.run(|| AfxdpPort::open(&context, config)).expect("setns");
    let said = open(&config).err().expect("a queue without a socket").to_string();
    assert!(said.contains("receives by 2 queues") && said.contains("ethtool -L port combined 1"), "{said}");
    assert_eq!(pool.stats().in_use, 0);

    let mut ports = open(&AfxdpConfig { queues: 2, ..config }).expect("ports");
    let far = net.run(|| PacketPort::open(&PacketConfig { device: "far".into() }));
    let mut far = far.expect("setns").expect("a socket");
    let (mut cache, drops) = (pool.cache(), Drops::default());
    let handle = ports[0].filter().expect("it is shared");
    let mut vector = Vector::new();
    let mut count = |ports: &mut [AfxdpPort]| {
        for last in [1, 9] {
            let mut packet = cache.alloc().expect("a chunk");
            packet.set_len(60);
            packet.data_mut().fill(0);
            packet.data_mut()[..6].copy_from_slice(&[2, 0, 0, 0, 0, last]);
            vector.push(packet).expect("room");
            far.transmit(&mut Io::new(&mut cache, &drops), &mut vector);
        }
        for port in ports {
            port.receive(&mut Io::new(&mut cache, &drops), &mut vector);
        }
        let count = vector.len();
        cache.free_all(&mut vector);
        count
    };
    assert_eq!(count(&mut ports), 1);
    handle.set(&Filter::default()).expect("set");
    assert_eq!(count(&mut ports), 0);
    for port in &mut ports {
        port.close(&mut Io::new(&mut pool.cache(), &drops));
    }
    assert!(ports[0].filter().is_none());
    handle.set(&Filter::default()).expect("it does no harm");
}
