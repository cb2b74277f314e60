//! What becomes of those who ask for something when the engine cannot do it.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use paceline_attach::Links;
use paceline_buf::{HugePages, PoolConfig, Vector};
use paceline_cnm::Socket;
use paceline_daemon::api::{self, AddRoute};
use paceline_daemon::docker::Docker;
use paceline_daemon::reconcile::{Reconciler, Sweeper, Unmade};
use paceline_daemon::{Client, ClientError, Switch};
use paceline_host::Host;
use paceline_model::{Config, Route};
use paceline_ports::{Io, LinkState, NullPort, Port};
use paceline_store::Store;
use paceline_sys::netns::Scratch;
use paceline_worker::{Engine, EngineConfig, EngineError};
use serde_json::json;
use tokio::task::JoinHandle;

const TAG: &str = "paceline-test-faults";

const ROUTER: &str = r#"
    docker = { enabled = false }
    port = [{ name = "p0", kind = "null" }]
    interface = [{ port = "p0", addresses = ["10.0.0.1/24"] }]
"#;

/// A switch with its reconciler and both of its sockets.
struct Run {
    switch: Arc<Switch>,
    api: Client,
    docker: Client,
    task: JoinHandle<Result<(), EngineError>>,
}

impl Run {
    async fn start(dir: &Path, config: &str, prepare: impl FnOnce(&mut Engine)) -> Self {
        let config = Config::parse("test", config, &paceline_model::config::Host::default()).unwrap();
        let pool = PoolConfig { count: 2048, size: 2048, huge_pages: HugePages::Never };
        let mut engine = Engine::start(&EngineConfig { pool, ..EngineConfig::default() }).unwrap();
        prepare(&mut engine);
        let switch = Arc::new(Switch::new(config, Store::open(&dir.join("state")).unwrap(), engine));
        let links = Links::host(TAG).unwrap();
        let sweeper = Sweeper::new(&switch, links.clone());
        let mut reconciler =
            Reconciler::new(&switch, links.clone(), sweeper.clone(), Host::new(links, TAG)).unwrap();
        reconciler.start().await;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        // As the life cycle does it.
        let ended = Arc::clone(&switch);
        let task = tokio::spawn(async move {
            let _kept = stop;
            let served = reconciler.run(stopped).await;
            if let Err(error) = &served {
                ended.requests().end(Unmade::new(&error.to_string()));
            }
            served
        });
        let (api, docker) = (dir.join("api.sock"), dir.join("docker.sock"));
        let (listener, router) = (Socket::bind(&api).unwrap(), api::router(Arc::clone(&switch)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let driver = Docker::driver(Arc::clone(&switch), sweeper);
        tokio::spawn(paceline_cnm::serve(Socket::bind(&docker).unwrap(), driver, std::future::pending()));
        Self { switch, api: Client::new(&api), docker: Client::new(&docker), task }
    }
}

/// A port that panics when it is told to.
struct Faulty(Arc<AtomicBool>);

impl Port for Faulty {
    fn kind(&self) -> &'static str {
        "faulty"
    }

    fn receive(&mut self, _: &mut Io<'_>, _: &mut Vector) {}

    fn transmit(&mut self, io: &mut Io<'_>, vector: &mut Vector) {
        io.cache.free_all(vector);
    }

    fn state(&mut self) -> LinkState {
        assert!(!self.0.load(Relaxed), "as the test wants it");
        LinkState::Up
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_panics_ends_the_switch_and_all_who_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let fault = Arc::new(AtomicBool::new(false));
    let port = Box::new(Faulty(Arc::clone(&fault)));
    let run = Run::start(dir.path(), ROUTER, |engine| {
        engine.attach("faulty", vec![port]).unwrap();
    })
    .await;
    let route = |prefix: &str| AddRoute {
        vrf: paceline_model::VrfName::default(),
        prefix: prefix.parse().unwrap(),
        route: Route::Blackhole,
    };
    run.api.post("/v1/route/add", &route("192.0.2.0/24")).await.unwrap();

    fault.store(true, Relaxed);
    while run.switch.engine(|engine| engine.failed()).is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Before the reconciler has found out or after it: what it cannot do is not there.
    match run.api.post("/v1/route/add", &route("198.51.100.0/24")).await {
        Err(ClientError::Refused(error)) => assert!(error.contains("the log says why"), "{error}"),
        other => panic!("should be refused: {other:?}"),
    }
    let routes = run.switch.model(|model| model.routes.keys().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(routes, ["default/192.0.2.0/24"]);
    let ended = run.task.await.unwrap();
    assert!(matches!(ended, Err(EngineError::Ended(thread)) if thread == "worker-0"));
}

#[test]
fn a_network_that_the_workers_have_no_room_for_is_refused_and_gone() {
    let Some(host) = Scratch::for_test() else { return };
    let dir = tempfile::tempdir().unwrap();
    let test = async {
        let run = Run::start(dir.path(), "", |engine| {
            // Of 4096 two are left: for the way to the host, and for one of the two ends of a leg.
            for number in 0..4094 {
                engine.attach(&format!("null{number}"), vec![Box::new(NullPort)]).unwrap();
            }
        })
        .await;
        let network = |id: &str, subnet: &str, gateway: &str| {
            let data = json!({ "AddressSpace": "null", "Pool": subnet, "Gateway": gateway });
            json!({ "NetworkID": id, "IPv4Data": [data], "IPv6Data": [], "Options": {} })
        };
        let create = |request| run.docker.post("/NetworkDriver.CreateNetwork", request);
        let first = network(&"a".repeat(64), "10.1.0.0/24", "10.1.0.1/24");
        let answer = create(&first).await.unwrap();
        let error = answer["Err"].as_str().unwrap();
        assert!(error.contains("no more than 4096 interfaces are possible"), "{error}");
        assert!(run.switch.model(|model| model.networks.is_empty()), "it is taken back");
        assert!(!host.ip("-o link").contains("paceline0"), "and the way to the host with it");

        run.switch.engine(|engine| engine.detach("null3")).unwrap();
        // The numbers of what went are used again after ten seconds.
        let end = Instant::now() + Duration::from_secs(60);
        while create(&first).await.unwrap()["Err"].is_string() {
            assert!(Instant::now() < end, "now there is room");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let bridges = run.switch.engine(|engine| engine.bridges());
        assert_eq!(bridges.len(), 1);
    };
    let run = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(test);
    };
    host.run(run).unwrap();
}
