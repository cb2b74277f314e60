//! Gateways and published ports.
#![forbid(unsafe_code)]

mod support;

use paceline_cnm::Subject;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Plugin, endpoint, join, of};

const CREATE: &str = "NetworkDriver.CreateNetwork";
const ENDPOINT: &str = "NetworkDriver.CreateEndpoint";
const JOIN: &str = "NetworkDriver.Join";
const PROGRAM: &str = "NetworkDriver.ProgramExternalConnectivity";
const REVOKE: &str = "NetworkDriver.RevokeExternalConnectivity";

/// A `CreateNetwork` of both families with gateways.
fn dual(id: &str, options: &Value, internal: bool) -> Value {
    json!({
        "NetworkID": id,
        "Options": { "com.docker.network.generic": options, "com.docker.network.internal": internal },
        "IPv4Data": [{ "Pool": "10.77.0.0/24", "Gateway": "10.77.0.1/24" }],
        "IPv6Data": [{ "Pool": "fd77::/64", "Gateway": "fd77::1/64" }],
    })
}

/// A plugin with such a network `n1`, and containers `e1` to `e3`, joined; the answer to the first join.
async fn with(options: &Value, internal: bool) -> (Plugin, Value) {
    let plugin = Plugin::start();
    plugin.done(CREATE, &dual("n1", options, internal)).await;
    let mut answer = Value::Null;
    for number in (1..=3).rev() {
        let id = format!("e{number}");
        let mut request = endpoint("n1", &id, &format!("10.77.0.1{number}/24"), "");
        request["Interface"]["AddressIPv6"] = json!(format!("fd77::1{number}/64"));
        // The engine tells of ports here too, whichever network will publish them.
        request["Options"]["com.docker.network.portmap"] = json!([tcp(80, 8080)]);
        plugin.done(ENDPOINT, &request).await;
        answer = plugin.done(JOIN, &join("n1", &id, &format!("/ns/{number}"))).await;
    }
    assert_eq!(plugin.control.held(), [""; 0]);
    plugin.control.reconciled();
    (plugin, answer)
}

fn tcp(port: u16, host_port: u16) -> Value {
    json!({ "Proto": 6, "Port": port, "HostPort": host_port, "HostPortEnd": host_port })
}

fn publish(id: &str, ports: &Value) -> Value {
    json!({ "NetworkID": "n1", "EndpointID": id, "Options": { "com.docker.network.portmap": ports } })
}

impl Plugin {
    /// The ports of an endpoint in the model, in words.
    fn ports(&self, id: &str) -> Vec<String> {
        let model = self.control.model();
        model.endpoints.get(id).iter().flat_map(|endpoint| &endpoint.ports).map(ToString::to_string).collect()
    }
}

#[tokio::test]
async fn a_container_s_gateways_are_those_of_its_network() {
    let nothing = json!({});
    for (options, internal, expected) in [
        (&nothing, false, [json!("10.77.0.1"), json!("fd77::1"), Value::Null]),
        (&nothing, true, [Value::Null, Value::Null, json!(true)]),
        (&json!({ "gateway_mode": "routed" }), false, [json!("10.77.0.1"), json!("fd77::1"), Value::Null]),
        (&json!({ "gateway_mode": "isolated" }), false, [Value::Null, Value::Null, json!(true)]),
        (
            &json!({ "com.docker.network.bridge.gateway_mode_ipv4": "isolated" }),
            false,
            [Value::Null, json!("fd77::1"), Value::Null],
        ),
    ] {
        let (_plugin, answer) = with(options, internal).await;
        let got = ["Gateway", "GatewayIPv6", "DisableGatewayService"].map(|field| answer[field].clone());
        assert_eq!(got, expected, "{options} {internal}");
    }
}

#[tokio::test]
async fn a_life_of_ports() {
    let (plugin, _) = with(&json!({}), false).await;
    let ports = json!([
        tcp(80, 8080),
        { "Proto": 17, "Port": 53, "HostIP": "127.0.0.1", "HostPort": 0 },
        { "Proto": 132, "Port": 9, "HostIP": "::1", "HostPort": 8080, "HostPortEnd": 8083 },
    ]);
    let expected = ["*:8080->80/tcp", "127.0.0.1:32768->53/udp", "[::1]:8081->9/sctp"];
    // The engine may repeat it.
    for _ in 0..2 {
        plugin.done(PROGRAM, &publish("e1", &ports)).await;
        assert_eq!(plugin.ports("e1"), expected);
        assert_eq!(plugin.control.held(), expected);
        assert_eq!(plugin.control.reconciled(), [Subject::Endpoint("e1".parse().unwrap())]);
    }
    let info = plugin.done("NetworkDriver.EndpointOperInfo", &of("n1", "e1")).await;
    assert_eq!(info["Value"]["published"], json!(expected));

    let plugin = plugin.restart().await;
    assert_eq!(
        (plugin.ports("e1"), plugin.control.held()),
        (expected.map(Into::into).into(), expected.map(Into::into).into())
    );
    plugin.done(PROGRAM, &publish("e1", &ports)).await;
    assert_eq!(plugin.ports("e1"), expected, "the same after a restart");

    for _ in 0..2 {
        plugin.done(REVOKE, &of("n1", "e1")).await;
        assert_eq!((plugin.ports("e1").len(), plugin.control.held().len()), (0, 0));
        assert!(plugin.control.model().endpoints["e1"].joined());
    }
    plugin.done(REVOKE, &of("n1", "none")).await;
}

#[tokio::test]
async fn ports_end_with_each_end_of_the_endpoint() {
    let ends = ["NetworkDriver.Leave", "NetworkDriver.DeleteEndpoint", "NetworkDriver.DeleteNetwork"];
    for end in ends {
        let (plugin, _) = with(&json!({}), false).await;
        plugin.done(PROGRAM, &publish("e1", &json!([tcp(80, 8080)]))).await;
        plugin.done(end, &of("n1", "e1")).await;
        assert_eq!((plugin.ports("e1").len(), plugin.control.held().len()), (0, 0), "{end}");
    }
    // The engine has forgotten this one, and its port is another's now.
    let (plugin, _) = with(&json!({}), false).await;
    plugin.done(PROGRAM, &publish("e1", &json!([tcp(80, 8080)]))).await;
    plugin.control.end_sandbox("/ns/1");
    plugin.done(ENDPOINT, &endpoint("n1", "e4", "10.77.0.11/24", "")).await;
    plugin.done(PROGRAM, &publish("e2", &json!([tcp(80, 8080)]))).await;
    assert_eq!(plugin.control.held(), ["*:8080->80/tcp"]);
}

#[tokio::test]
async fn a_port_that_cannot_be_had_leaves_all_as_it_was() {
    let (plugin, _) = with(&json!({}), false).await;
    plugin.done(PROGRAM, &publish("e1", &json!([tcp(80, 8080)]))).await;
    plugin.control.reconciled();
    let error = plugin.refused(PROGRAM, &publish("e2", &json!([tcp(81, 8081), tcp(80, 8080)]))).await;
    assert_eq!(error, "port *:8080->80/tcp: is in use: choose another");
    assert_eq!(plugin.ports("e2"), [""; 0]);
    assert_eq!(plugin.control.held(), ["*:8080->80/tcp"]);
    assert_eq!(plugin.control.reconciled(), []);
    // Nor is what it had before lost.
    let more = json!([tcp(80, 8080), tcp(81, 8081)]);
    plugin.control.fail_next("nf_tables: no such file");
    let error = plugin.refused(PROGRAM, &publish("e1", &more)).await;
    assert_eq!(error, "nf_tables: no such file");
    assert_eq!(
        (plugin.ports("e1"), plugin.control.held()),
        (vec!["*:8080->80/tcp".into()], vec!["*:8080->80/tcp".into()])
    );
    plugin.control.fail_next("nf_tables: no such file");
    plugin.refused(PROGRAM, &publish("e2", &json!([tcp(81, 8081)]))).await;
    assert_eq!((plugin.ports("e2").len(), plugin.control.held()), (0, vec!["*:8080->80/tcp".into()]));
    // A repeated one does not undo the first.
    plugin.control.fail_next("busy");
    plugin.refused(PROGRAM, &publish("e1", &json!([tcp(80, 8080)]))).await;
    assert_eq!((plugin.ports("e1").len(), plugin.control.held().len()), (1, 1));
}

#[tokio::test]
async fn another_request_takes_the_place_of_the_one_before() {
    let (plugin, _) = with(&json!({}), false).await;
    plugin.done(PROGRAM, &publish("e1", &json!([tcp(80, 8080), tcp(81, 8081)]))).await;
    plugin.done(PROGRAM, &publish("e1", &json!([tcp(81, 8081), tcp(82, 8082)]))).await;
    assert_eq!(plugin.control.held(), ["*:8081->81/tcp", "*:8082->82/tcp"]);
    assert_eq!(plugin.ports("e1"), plugin.control.held());
    plugin.done(PROGRAM, &publish("e1", &Value::Null)).await;
    assert_eq!((plugin.ports("e1").len(), plugin.control.held().len()), (0, 0));
}

#[tokio::test]
async fn gateway_modes_say_what_a_port_takes() {
    let ports = json!([
        tcp(80, 8080),
        { "Proto": 6, "Port": 81, "HostIP": "192.0.2.1", "HostPort": 0 },
        { "Proto": 6, "Port": 82, "HostIP": "::1", "HostPort": 8082 },
    ]);
    for (options, internal, expected, held) in [
        (
            json!({ "gateway_mode": "routed" }),
            false,
            vec!["*:80->80/tcp", "192.0.2.1:81->81/tcp", "[::1]:82->82/tcp"],
            vec![],
        ),
        (
            json!({ "com.docker.network.bridge.gateway_mode_ipv6": "routed" }),
            false,
            vec!["0.0.0.0:8080->80/tcp", "[::]:80->80/tcp", "192.0.2.1:32768->81/tcp", "[::1]:82->82/tcp"],
            vec!["0.0.0.0:8080->80/tcp", "192.0.2.1:32768->81/tcp"],
        ),
        (
            json!({ "com.docker.network.bridge.gateway_mode_ipv4": "isolated", "host_binding": "192.0.2.9" }),
            false,
            vec!["[::1]:8082->82/tcp"],
            vec!["[::1]:8082->82/tcp"],
        ),
        (
            json!({ "host_binding": "192.0.2.9" }),
            false,
            vec!["192.0.2.9:8080->80/tcp", "192.0.2.1:32768->81/tcp", "[::1]:8082->82/tcp"],
            vec!["192.0.2.9:8080->80/tcp", "192.0.2.1:32768->81/tcp", "[::1]:8082->82/tcp"],
        ),
        (json!({ "gateway_mode": "isolated" }), false, vec![], vec![]),
        // Engine 29 calls for these too.
        (json!({}), true, vec![], vec![]),
    ] {
        let (plugin, _) = with(&options, internal).await;
        plugin.done(PROGRAM, &publish("e1", &ports)).await;
        assert_eq!(plugin.ports("e1"), expected, "{options}");
        assert_eq!(plugin.control.held(), held, "{options}");
    }
}

#[tokio::test]
async fn what_a_network_may_not_take() {
    let plugin = Plugin::start();
    let request = |subnet: &str, gateway: &str, options: Value| {
        let data = json!([{ "Pool": subnet, "Gateway": gateway }]);
        json!({ "NetworkID": "n1", "Options": { "com.docker.network.generic": options }, "IPv4Data": data })
    };
    let error = plugin.refused(CREATE, &request("192.0.2.128/25", "192.0.2.129/25", json!({}))).await;
    assert_eq!(
        error,
        "subnet 192.0.2.128/25 of network n1 overlaps 192.0.2.0/24 of interface \"wan\" in the configuration file: \
         choose another --subnet"
    );
    // One that is not routed is not in the way of anything.
    let isolated = json!({ "gateway_mode": "isolated" });
    plugin.done(CREATE, &request("192.0.2.128/25", "192.0.2.129/25", isolated)).await;
    let mac = plugin.control.model().gateway_macs().into_values().next().unwrap();
    let error = plugin.refused(ENDPOINT, &endpoint("n1", "e1", "192.0.2.130/25", &mac.to_string())).await;
    assert_eq!(error, format!("MAC address {mac}: is that of the gateway of network n1: choose another"));
}

#[derive(Debug, Clone)]
enum Step {
    Publish(u8, Vec<(u16, u16)>),
    Revoke(u8),
    Leave(u8),
    Join(u8),
    Fail,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let ports = prop::collection::vec((1u16..4, 8080u16..8084), 0..3);
    prop_oneof![
        4 => (1u8..4, ports).prop_map(|(id, ports)| Step::Publish(id, ports)),
        1 => (1u8..4).prop_map(Step::Revoke),
        1 => (1u8..4).prop_map(Step::Leave),
        1 => (1u8..4).prop_map(Step::Join),
        1 => Just(Step::Fail),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is asked for and fails, in any order, what is on disk is what is held.
    #[test]
    fn what_is_on_disk_is_what_is_held(steps in prop::collection::vec(step(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut plugin, _) = with(&json!({}), false).await;
            for step in steps {
                match step {
                    Step::Publish(id, ports) => {
                        let ports: Vec<_> = ports.into_iter().map(|(port, host)| tcp(port, host)).collect();
                        plugin.call(PROGRAM, &publish(&format!("e{id}"), &json!(ports))).await;
                    }
                    Step::Revoke(id) => drop(plugin.call(REVOKE, &of("n1", &format!("e{id}"))).await),
                    Step::Leave(id) => drop(plugin.call("NetworkDriver.Leave", &of("n1", &format!("e{id}"))).await),
                    Step::Join(id) => {
                        drop(plugin.call(JOIN, &join("n1", &format!("e{id}"), &format!("/ns/{id}"))).await);
                    }
                    Step::Fail => plugin.control.fail_next("no"),
                    Step::Restart => plugin = plugin.restart().await,
                }
                let model = plugin.control.model();
                let ports = model.endpoints.values().flat_map(|endpoint| &endpoint.ports);
                let ports: Vec<_> = ports.map(ToString::to_string).collect();
                assert_eq!(ports, plugin.control.held());
            }
        });
    }
}
