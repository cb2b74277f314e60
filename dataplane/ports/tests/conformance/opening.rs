//! Opening ports, and what is said when that fails.

use paceline_ports::{PacketConfig, PacketPort, Port, PortError, TapConfig, TapPort};
use paceline_sys::netns::Scratch;

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
    assert_eq!(said, "tap tap0: queues is 0: must lie between 1 and 256");
    assert!(tap(&net, "no/name", 1).err().expect("no name").to_string().contains("\"no/name\""));
    let config = PacketConfig { device: "nowhere".into() };
    let said = net.run(|| PacketPort::open(&config)).expect("setns").err().expect("no device").to_string();
    assert!(said.starts_with("nowhere: ") && said.contains("must exist"), "{said}");
}
