//! The drivers behind a real socket, over a real store. Only links are missing: reconciling does what a test says.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use paceline_cnm::{Control, Driver, DriverError, Settings, Socket, Subject, serve};
use paceline_ipam::Plan;
use paceline_model::{
    Attach, Config, EndpointId, Model, Overlay, OverlayError, PortRequest, PublishedPort, Uplinks, Vtep,
};
use paceline_store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The daemon as the driver sees it.
pub struct TestControl {
    store: Mutex<Store>,
    /// What was reconciled, in order.
    reconciled: Mutex<Vec<Subject>>,
    /// What the next reconciliations fail with, last first.
    failures: Mutex<Vec<&'static str>>,
    /// Namespaces that are gone.
    gone: Mutex<BTreeSet<PathBuf>>,
    /// Ports of the host that are held for endpoints.
    held: Mutex<BTreeMap<EndpointId, Vec<PublishedPort>>>,
    /// The MTU of the underlay of overlays, if there is one.
    underlay: Mutex<Option<u16>>,
    /// Whether it goes after the next look at it.
    is_leaving: AtomicBool,
}

impl TestControl {
    fn open(dir: &Path) -> Self {
        let store = Mutex::new(Store::open(dir).expect("a temporary directory can be written"));
        let control = Self {
            store,
            reconciled: Mutex::default(),
            failures: Mutex::default(),
            gone: Mutex::default(),
            held: Mutex::default(),
            underlay: Mutex::new(Some(1500)),
            is_leaving: AtomicBool::new(false),
        };
        // As the daemon does after a start.
        let model = control.model();
        let held = model.endpoints.values().filter(|endpoint| !endpoint.ports.is_empty());
        lock(&control.held).extend(held.map(|endpoint| (endpoint.id.clone(), endpoint.ports.clone())));
        control
    }

    /// The model, as it is on disk.
    pub fn model(&self) -> Model {
        lock(&self.store).model().clone()
    }

    /// What was reconciled since the last call.
    pub fn reconciled(&self) -> Vec<Subject> {
        std::mem::take(&mut lock(&self.reconciled))
    }

    /// Makes the next reconciliation fail.
    pub fn fail_next(&self, why: &'static str) {
        lock(&self.failures).push(why);
    }

    /// Ports of the host that are held, in words.
    pub fn held(&self) -> Vec<String> {
        lock(&self.held).values().flatten().map(ToString::to_string).collect()
    }

    /// Gives the underlay of overlays another MTU, or takes it away.
    pub fn set_underlay(&self, mtu: Option<u16>) {
        *lock(&self.underlay) = mtu;
    }

    /// Has the underlay go after the next look at it.
    pub fn lose_underlay(&self) {
        self.is_leaving.store(true, Relaxed);
    }

    /// Ends a network namespace.
    pub fn end_sandbox(&self, path: &str) {
        lock(&self.gone).insert(path.into());
    }
}

impl Control for TestControl {
    async fn edit<T, F>(&self, edit: F) -> Result<T, DriverError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Model) -> Result<T, DriverError> + Send + 'static,
    {
        lock(&self.store).update(edit)
    }

    async fn reconcile(&self, subject: Subject) -> Result<(), DriverError> {
        lock(&self.reconciled).push(subject);
        lock(&self.failures).pop().map_or(Ok(()), |why| Err(DriverError::Reconcile(why.into())))
    }

    async fn reserve(
        &self,
        endpoint: &EndpointId,
        ports: Vec<PortRequest>,
    ) -> Result<Vec<PublishedPort>, DriverError> {
        let known = self.model().endpoints;
        let mut held = lock(&self.held);
        held.retain(|id, _| known.contains_key(id));
        let mut settled: Vec<PublishedPort> = Vec::new();
        for port in ports {
            let others = held.iter().filter(|(id, _)| *id != endpoint).flat_map(|(_, ports)| ports);
            let taken: BTreeSet<_> = others.chain(&settled).map(|port| port.host_port).collect();
            let (first, last) = port.host_ports.map_or((32768, 60999), |ports| (ports.first(), ports.last()));
            let free = (first..=last).find(|port| !taken.contains(port));
            let in_use = || DriverError::Port { port, why: "is in use: choose another".into() };
            settled.push(port.with(free.ok_or_else(in_use)?));
        }
        held.insert(endpoint.clone(), settled.clone());
        Ok(settled)
    }

    async fn release(&self, endpoint: &EndpointId) {
        lock(&self.held).remove(endpoint);
    }

    fn vtep(&self, overlay: &Overlay) -> Result<Vtep, OverlayError> {
        let text = lock(&self.underlay).map_or_else(String::new, |mtu| {
            format!(
                r#"
                port = [{{ name = "eth0", kind = "null", mtu = {mtu} }}]
                interface = [{{ port = "eth0", addresses = ["192.0.2.1/24"] }}]
                "#
            )
        });
        if self.is_leaving.swap(false, Relaxed) {
            self.set_underlay(None);
        }
        let config = Config::parse("test", &text, &paceline_model::config::Host::default());
        overlay.vtep(&config.expect("it is right"), &Uplinks::new())
    }

    fn is_sandbox(&self, path: &Path) -> bool {
        !lock(&self.gone).contains(path)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds this")
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: Value,
}

/// A served plugin in a temporary directory.
pub struct Plugin {
    pub control: Arc<TestControl>,
    pub socket: PathBuf,
    dir: TempDir,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Plugin {
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary directory"))
    }

    fn start_in(dir: TempDir) -> Self {
        let control = Arc::new(TestControl::open(&dir.path().join("state")));
        let interfaces = vec![("wan".parse().unwrap(), "192.0.2.1/24".parse().unwrap())];
        let settings = Settings {
            attach: Attach::Tap,
            plan: Plan::for_host(b"test"),
            interfaces,
            uplinks: vec!["eth1".parse().unwrap()],
            segments: [(7.try_into().unwrap(), "lan".parse().unwrap())].into(),
            ports: vec!["span".parse().unwrap()],
        };
        let driver = Arc::new(Driver::new(control.clone(), settings));
        let socket = dir.path().join("plugins/paceline.sock");
        let bound = Socket::bind(&socket).expect("a new socket");
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(bound, driver, async move { drop(stopped.await) }));
        Self { control, socket, dir, stop: Some(stop), served }
    }

    /// Stops gracefully.
    pub async fn stop(mut self) -> TempDir {
        drop(self.stop.take());
        self.served.await.expect("it does not panic").expect("it was served");
        self.dir
    }

    /// Stops and starts again, on the same state.
    pub async fn restart(self) -> Self {
        Self::start_in(self.stop().await)
    }

    /// A connection of its own.
    pub async fn connect(&self) -> Client {
        let stream = UnixStream::connect(&self.socket).await.expect("it is served");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
        tokio::spawn(connection);
        Client { sender }
    }

    /// One call on a connection of its own.
    pub async fn call(&self, method: &str, request: &Value) -> Answer {
        self.connect().await.call(method, request).await
    }

    /// The same for a call that must succeed; returns its answer.
    #[track_caller]
    pub fn done(&self, method: &str, request: &Value) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            let answer = self.call(method, request).await;
            assert!(answer.status == 200 && answer.body.get("Err").is_none(), "{at}: {answer:?}");
            answer.body
        }
    }

    /// The same for a call that must be refused; returns the message.
    #[track_caller]
    pub fn refused(&self, method: &str, request: &Value) -> impl Future<Output = String> {
        let at = std::panic::Location::caller();
        async move {
            let answer = self.call(method, request).await;
            assert_eq!(answer.body["Err"], answer.body["Error"], "{at}");
            let message = answer.body["Err"].as_str().map(str::to_owned);
            message.unwrap_or_else(|| panic!("{at}: not refused: {answer:?}"))
        }
    }
}

/// A connection as the engine makes it: no `Content-Type`, an empty host.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub async fn call(&mut self, method: &str, request: &Value) -> Answer {
        let body = if request.is_null() { String::new() } else { request.to_string() };
        self.send("POST", &format!("/{method}"), body).await
    }

    pub async fn send(&mut self, verb: &str, path: &str, body: impl Into<Bytes>) -> Answer {
        let request = Request::builder()
            .method(verb)
            .uri(path)
            .header("Host", "")
            .header("Accept", "application/vnd.docker.plugins.v1.2+json")
            .body(Full::new(body.into()))
            .expect("a request");
        self.sender.ready().await.expect("the connection is kept");
        let response = self.sender.send_request(request).await.expect("an answer");
        let status = response.status().as_u16();
        let content_type =
            response.headers().get("content-type").map(|value| value.to_str().expect("text").into());
        let body = response.into_body().collect().await.expect("all of it").to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body:?}"));
        Answer { status, content_type: content_type.unwrap_or_default(), body }
    }
}

/// A `CreateNetwork` with these options of the user and this IPv4 subnet of our IPAM driver.
pub fn network(id: &str, options: &Value, subnet: &str) -> Value {
    json!({
        "NetworkID": id,
        "Options": { "com.docker.network.generic": options },
        "IPv4Data": [{ "AddressSpace": "paceline-local", "Pool": subnet }],
        "IPv6Data": [],
    })
}

/// A `CreateEndpoint` with this IPv4 address and MAC address.
pub fn endpoint(network: &str, id: &str, address: &str, mac: &str) -> Value {
    let interface = json!({ "Address": address, "AddressIPv6": "", "MacAddress": mac });
    json!({ "NetworkID": network, "EndpointID": id, "Interface": interface, "Options": {} })
}

/// `Leave`, `DeleteEndpoint` and the like.
pub fn of(network: &str, endpoint: &str) -> Value {
    json!({ "NetworkID": network, "EndpointID": endpoint })
}

/// A `Join`.
pub fn join(network: &str, endpoint: &str, sandbox: &str) -> Value {
    json!({ "NetworkID": network, "EndpointID": endpoint, "SandboxKey": sandbox, "Options": {} })
}
