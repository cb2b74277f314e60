//! The API through its real socket, on an engine with ports that need no privilege.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use paceline_buf::{HugePages, PoolConfig};
use paceline_cnm::Socket;
use paceline_daemon::api::{self, ApplyPolicies, CaptureRequest, ClearMacs, TestPolicies, TraceRequest};
use paceline_daemon::{Client, ClientError, Switch};
use paceline_graph::{Capabilities, UnknownUnicast};
use paceline_model::Config;
use paceline_ports::{MemoryPeer, MemoryPort};
use paceline_store::Store;
use paceline_worker::{BridgeSpec, Engine, EngineConfig, InterfaceSpec, MemberSpec, Topology};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A switch with two ports in one bridge, its API on a socket, and what is at the far ends.
struct Rig {
    client: Client,
    left: MemoryPeer,
    right: MemoryPeer,
    switch: Arc<Switch>,
    _dir: TempDir,
}

impl Rig {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pool = PoolConfig { count: 2048, size: 2048, huge_pages: HugePages::Never };
        let mut engine = Engine::start(&EngineConfig { pool, ..EngineConfig::default() }).unwrap();
        let (left, right) = (attach(&mut engine, "left"), attach(&mut engine, "right"));
        engine.configure(topology(&["left", "right"])).unwrap();
        let mut config = Config::default();
        config.docker.enabled = false;
        config.state.dir = dir.path().join("state");
        let store = Store::open(&config.state.dir).unwrap();
        let switch = Arc::new(Switch::new(config, store, engine));
        let socket = dir.path().join("api.sock");
        let router = api::router(Arc::clone(&switch));
        let listener = Socket::bind(&socket).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { client: Client::new(&socket), left, right, switch, _dir: dir }
    }

    async fn get(&self, what: &str) -> Value {
        self.client.get(&format!("/v1/{what}")).await.unwrap()
    }

    /// Sends a frame through the bridge and waits until it is out.
    async fn pass(&self, frame: &[u8]) {
        self.left.send(frame);
        for _ in 0..50_000 {
            if let Some(got) = self.right.receive() {
                assert_eq!(got, frame);
                return;
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        panic!("the frame does not come out");
    }
}

fn attach(engine: &mut Engine, name: &str) -> MemoryPeer {
    let (port, peer) = MemoryPort::pair(Capabilities::ALL);
    engine.attach(name, vec![Box::new(port)]).unwrap();
    peer
}

fn topology(members: &[&str]) -> Topology {
    let interfaces = members.iter().map(|name| ((*name).into(), InterfaceSpec { mtu: 1500 })).collect();
    let bridge = BridgeSpec {
        mac_limit: 100,
        mac_age_s: 300,
        learn: true,
        unknown_unicast: UnknownUnicast::Flood,
        members: members.iter().map(|name| ((*name).into(), MemberSpec::default())).collect(),
        static_macs: Vec::new(),
        snooping: None,
        neighbours: [].into(),
    };
    Topology { interfaces, bridges: [("br".into(), bridge)].into(), ..Topology::default() }
}

fn frame(mark: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];
    frame.resize(64, mark);
    frame
}

fn refused(answer: Result<Value, ClientError>) -> String {
    match answer {
        Err(ClientError::Refused(error)) => error,
        other => panic!("should be refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_is_shown_under_stable_names() {
    let rig = Rig::start();
    rig.pass(&frame(1)).await;
    let interfaces = rig.get("interfaces").await;
    assert_eq!(interfaces[0]["name"], "left");
    for (field, value) in [("kind", json!("memory")), ("state", json!("up")), ("bridge", json!("br"))] {
        assert_eq!(interfaces[0][field], value);
    }
    assert_eq!((&interfaces[0]["rx_packets"], &interfaces[1]["tx_packets"]), (&json!(1), &json!(1)));
    assert_eq!(rig.get("bridges").await[0]["members"], json!(["left", "right"]));
    let macs = rig.get("macs").await;
    assert_eq!((&macs[0]["mac"], &macs[0]["interface"]), (&json!("02:00:00:00:00:01"), &json!("left")));
    let runtime = rig.get("runtime").await;
    assert!(runtime.as_array().unwrap().iter().any(|node| node["name"] == "l2-bridge"), "{runtime}");
    assert_eq!(rig.get("buffers").await["total"], 2048);
    assert_eq!(rig.get("workers").await[0]["mode"], "adaptive");
    assert_eq!(rig.get("version").await["pid"], std::process::id());
    for empty in ["drops", "networks", "endpoints", "trace"] {
        assert_eq!(rig.get(empty).await, json!([]), "{empty}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_is_traced_in_words() {
    let rig = Rig::start();
    rig.client.post("/v1/trace", &TraceRequest { count: 1, port: Some("left".into()) }).await.unwrap();
    rig.pass(&frame(1)).await;
    rig.pass(&frame(2)).await;
    let records = rig.get("trace").await;
    let text = records[0]["text"].as_str().unwrap();
    assert!(text.contains("left") && text.contains("l2-bridge"), "{text}");
    assert_eq!(records.as_array().unwrap().len(), 1, "no more than was asked for");
    let cleared = rig.client.post("/v1/clear/trace", &Value::Null).await.unwrap();
    assert_eq!((cleared, rig.get("trace").await), (json!({ "cleared": 1 }), json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn learned_addresses_are_forgotten() {
    let rig = Rig::start();
    rig.pass(&frame(1)).await;
    let request = ClearMacs { bridge: Some("br".into()) };
    assert_eq!(rig.client.post("/v1/clear/macs", &request).await.unwrap(), json!({ "cleared": 1 }));
    assert_eq!(rig.get("macs").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_told_what_is_right() {
    let rig = Rig::start();
    let post = async |path: &str, body: Value| refused(rig.client.post(path, &body).await);
    let cases = [
        ("/v1/trace", json!({ "count": 0 }), "count is 0: must be 1 to 10000"),
        ("/v1/trace", json!({ "count": "many" }), "count"),
        ("/v1/trace", json!({ "number": 1 }), "number"),
        ("/v1/trace", json!({ "count": 1, "port": "nowhere" }), "there is no interface nowhere"),
        ("/v1/clear/macs", json!({ "bridge": "none" }), "there is no bridge none"),
        ("/v1/capture", json!({ "port": "none" }), "there is no interface none"),
        ("/v1/capture", json!({ "port": "left", "snap": 0 }), "snap is 0: must be 1 to 262144"),
        ("/v1/version", json!({}), "POST is not a method"),
        ("/v1/nothing", json!({}), "there is no /v1/nothing"),
        ("/", json!({}), "there is no /"),
    ];
    for (path, body, expected) in cases {
        let error = post(path, body.clone()).await;
        assert!(error.contains(expected), "{path} {body}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_captured_as_pcap() {
    let rig = Rig::start();
    let request = CaptureRequest { port: "right".into(), count: Some(2), ..CaptureRequest::default() };
    let mut stream = rig.client.stream("/v1/capture", &request).await.unwrap();
    let mut pcap = stream.next().await.unwrap().unwrap().to_vec();
    assert_eq!(pcap.len(), 24, "the header comes at once");
    rig.pass(&frame(1)).await;
    rig.pass(&frame(2)).await;
    while let Some(bytes) = stream.next().await.unwrap() {
        pcap.extend_from_slice(&bytes);
    }
    assert_eq!(pcap.len(), 24 + 2 * (16 + 64));
    assert_eq!(pcap[24 + 16..][..64], frame(1));
    assert_eq!(pcap[24 + 16 + 64 + 16..], frame(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_ends_its_capture() {
    let rig = Rig::start();
    let request = CaptureRequest { port: "left".into(), ..CaptureRequest::default() };
    let mut stream = rig.client.stream("/v1/capture", &request).await.unwrap();
    stream.next().await.unwrap();
    assert!(refused(rig.client.post("/v1/capture", &request).await).contains("already running"));
    drop(stream);
    for _ in 0..1000 {
        if rig.client.stream("/v1/capture", &request).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the capture goes on for nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_capture() {
    let rig = Rig::start();
    let request = CaptureRequest { port: "left".into(), ..CaptureRequest::default() };
    let mut stream = rig.client.stream("/v1/capture", &request).await.unwrap();
    rig.switch.stop();
    while stream.next().await.unwrap().is_some() {}
}

#[tokio::test]
async fn without_a_switch_the_error_says_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = Client::new(&dir.path().join("api.sock")).get("/v1/version").await.unwrap_err().to_string();
    assert!(
        error.contains("no paceline is listening on") && error.contains("start it with `paceline run`"),
        "{error}"
    );
}

impl Rig {
    async fn apply(&self, text: &str, dry_run: bool) -> Result<Value, ClientError> {
        let request = ApplyPolicies { name: "shop.toml".into(), text: text.into(), dry_run };
        self.client.post("/v1/policy/apply", &request).await
    }

    async fn delete(&self, policy: &str) -> Result<Value, ClientError> {
        self.client.post("/v1/policy/delete", &json!({ "policy": policy })).await
    }

    async fn test(&self, from: &str, to: &str, port: &str) -> Result<Value, ClientError> {
        let request = TestPolicies { from: from.into(), to: to.into(), port: port.into() };
        self.client.post("/v1/policy/test", &request).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_taken_whole_or_not_at_all() {
    let rig = Rig::start();
    // Nobody reconciles here; what is on disk is what counts.
    let served = async {
        loop {
            let round = rig.switch.requests().next().await;
            rig.switch.requests().done(round, Ok(()));
        }
    };
    let text = "[[policy]]\nname = \"db\"\nselector = 'role == \"db\"'\n\
                ingress = [{ action = \"allow\", from = \"192.0.2.0/24\" }]\n";
    let test = async {
        let dry = rig.apply(text, true).await.unwrap();
        assert_eq!(dry["changes"][0]["what"], "policy db in tier default, for role == \"db\"");
        assert_eq!(rig.get("policy").await, json!([]));
        rig.apply(text, false).await.unwrap();
        let rules = rig.get("policy").await;
        assert_eq!((&rules[0]["name"], &rules[0]["endpoints"]), (&json!("db/ingress/1"), &json!(0)));
        assert_eq!((&rules[1]["name"], &rules[1]["direction"]), (&Value::Null, &json!("ingress")));
        let error = rig.apply(&text.replace("allow", "alow"), false).await.unwrap_err().to_string();
        assert!(error.starts_with("shop.toml: unknown variant `alow`"), "{error}");
        assert_eq!(rig.get("policy").await, rules);
        let tested = rig.test("192.0.2.1", "198.51.100.0/24", "80").await.unwrap();
        assert_eq!((&tested["allowed"], &tested["ingress"]), (&json!(true), &Value::Null));
        for (from, to, port, expected) in [
            ("nobody", "192.0.2.1", "80", "\"nobody\": must be an endpoint"),
            ("192.0.2.1", "192.0.0.0/16", "80", "192.0.0.0/16: policies may tell 192.0.2.0/24 from the rest"),
            ("192.0.2.1", "fd00::1", "80", "192.0.2.1 and fd00::1: have no addresses of one version of IP"),
            ("192.0.2.1", "192.0.2.2", "80/tpc", "port \"80/tpc\": must be a port and perhaps a protocol"),
        ] {
            let error = rig.test(from, to, port).await.unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        // A file may be long.
        let long = format!("{text}{}", "# nothing\n".repeat(400_000));
        assert_eq!(rig.apply(&long, true).await.unwrap()["changes"], json!([]));
        assert_eq!(rig.delete("db").await.unwrap()["changes"][0]["kind"], "removed");
        let error = rig.delete("db").await.unwrap_err().to_string();
        assert_eq!(error, "there is no policy db; `paceline policy show` lists them");
        let flows = rig.client.post("/v1/flows", &json!({})).await.unwrap();
        assert_eq!(flows, json!({ "events": [], "last": 0, "lost": 0 }));
    };
    tokio::select! { () = served => {}, () = test => {} }
}
