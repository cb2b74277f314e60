//! Arbitrary bytes and arbitrary values for every method: each is answered, in JSON and with a status that the engine knows,
//! and the drivers work as before.
//!
//! Runs for a moment under `cargo test`; `cargo bolero test` runs it for as long as one likes.
#![forbid(unsafe_code)]

mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Answer, Client, Plugin, network};
use tokio::runtime::{Builder, Runtime};

const METHODS: [&str; 23] = [
    "Plugin.Activate",
    "NetworkDriver.GetCapabilities",
    "NetworkDriver.GwAllocCheck",
    "NetworkDriver.AllocateNetwork",
    "NetworkDriver.FreeNetwork",
    "NetworkDriver.CreateNetwork",
    "NetworkDriver.DeleteNetwork",
    "NetworkDriver.CreateEndpoint",
    "NetworkDriver.DeleteEndpoint",
    "NetworkDriver.EndpointOperInfo",
    "NetworkDriver.Join",
    "NetworkDriver.Leave",
    "NetworkDriver.ProgramExternalConnectivity",
    "NetworkDriver.RevokeExternalConnectivity",
    "NetworkDriver.DiscoverNew",
    "NetworkDriver.DiscoverDelete",
    "IpamDriver.GetCapabilities",
    "IpamDriver.GetDefaultAddressSpaces",
    "IpamDriver.RequestPool",
    "IpamDriver.ReleasePool",
    "IpamDriver.RequestAddress",
    "IpamDriver.ReleaseAddress",
    "NetworkDriver.None",
];

/// A plugin, a connection to it and the runtime of both.
struct Rig {
    runtime: Runtime,
    plugin: Plugin,
    client: Client,
}

impl Rig {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (plugin, client) = runtime.block_on(async {
            let plugin = Plugin::start();
            let client = plugin.connect().await;
            (plugin, client)
        });
        Self { runtime, plugin, client }
    }

    fn send(&mut self, method: &str, body: Vec<u8>) {
        let Answer { status, body, .. } =
            self.runtime.block_on(self.client.send("POST", &format!("/{method}"), body));
        assert_eq!(status, if method == METHODS[22] { 404 } else { 200 }, "{method}: {body}");
        assert!(body.is_object() && body.get("Err") == body.get("Error"), "{method}: {body}");
        assert!(!body.to_string().contains("internal error"), "{method}: {body}");
    }

    /// Ends it: what it holds can be read again, and it still works.
    fn finish(self) {
        let Self { runtime, plugin, .. } = self;
        runtime.block_on(async {
            let before = plugin.control.model();
            let plugin = plugin.restart().await;
            assert_eq!(plugin.control.model(), before);
            plugin.done("NetworkDriver.CreateNetwork", &network("last", &json!({}), "198.51.100.0/24")).await;
        });
    }
}

#[test]
fn any_bytes() {
    let rig = std::panic::AssertUnwindSafe(std::cell::RefCell::new(Rig::new()));
    bolero::check!().with_iterations(4000).for_each(|bytes: &[u8]| {
        let Some((&method, body)) = bytes.split_first() else { return };
        rig.borrow_mut().send(METHODS[usize::from(method) % METHODS.len()], body.to_vec());
    });
    rig.0.into_inner().finish();
}

/// Values as they come, and near misses of those that are right.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-e]{0,2}",
        Just("paceline-local".to_owned()),
        Just("bridge".to_owned()),
        Just("AgAAAHcB".to_owned()),
        Just("02:00:00:00:00:01".to_owned()),
        Just("/ns/1".to_owned()),
        (0u8..4, 0u8..40).prop_map(|(a, len)| format!("10.77.{a}.0/{len}")),
        (0u8..4).prop_map(|a| format!("10.77.0.{a}")),
        (0u8..4).prop_map(|a| format!("10.77.0.{a}/24")),
        Just("isolated".to_owned()),
        Just("true".to_owned()),
        (0u8..4, 60u8..130).prop_map(|(a, len)| format!("fd77::{a}/{len}")),
        (0u8..4).prop_map(|a| format!("paceline-local/10.77.{a}.0/24")),
        ".{0,20}",
    ];
    let leaf = prop_oneof![
        8 => text.prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => prop::sample::select(vec![0u16, 6, 17, 80, 132]).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// The name of a field or option, as a rule one that means something.
fn name() -> impl Strategy<Value = String> {
    let known = [
        "NetworkID",
        "EndpointID",
        "Options",
        "IPv4Data",
        "IPv6Data",
        "Interface",
        "SandboxKey",
        "Address",
        "AddressIPv6",
        "MacAddress",
        "AddressSpace",
        "Pool",
        "SubPool",
        "Gateway",
        "AuxAddresses",
        "PoolID",
        "V6",
        "DiscoveryType",
        "RequestAddressType",
        "com.docker.network.generic",
        "com.docker.network.enable_ipv6",
        "com.docker.network.internal",
        "com.docker.network.portmap",
        "com.docker.network.endpoint.macaddress",
        "Proto",
        "Port",
        "HostIP",
        "HostPort",
        "HostPortEnd",
        "attach",
        "gateway_mode",
        "icc",
        "mode",
        "mtu",
    ];
    prop_oneof![9 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,10}"]
}

/// A request with the IDs that most need, so that it reaches the drivers.
fn request() -> impl Strategy<Value = Value> {
    let ids = ("[ab]", "[cd]", 0u8..3, prop::collection::vec((name(), value()), 0..6));
    ids.prop_map(|(network, endpoint, pool, more)| {
        let mut request = json!({
            "NetworkID": network,
            "EndpointID": endpoint,
            "PoolID": format!("paceline-local/10.77.{pool}.0/24"),
            "AddressSpace": "paceline-local",
            "SandboxKey": "/ns/1",
        });
        for (name, value) in more {
            request[name] = value;
        }
        request
    })
}

#[test]
fn any_requests() {
    let rig = std::cell::RefCell::new(Rig::new());
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(method in prop::sample::select(METHODS.to_vec()), request in request())| {
        rig.borrow_mut().send(method, request.to_string().into_bytes());
    });
    rig.into_inner().finish();
}
