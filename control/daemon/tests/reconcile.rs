//! The reconciler with real links: one namespace stands for the host's, others for containers'.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use paceline_attach::Links;
use paceline_buf::{HugePages, PoolConfig};
use paceline_daemon::Switch;
use paceline_daemon::reconcile::{Reconciler, Sweeper, Unmade};

use paceline_model::config::Host;
use paceline_model::{Attach, Config, Endpoint, EndpointId, Model, Network, NetworkId, NetworkOptions};
use paceline_store::{Store, StoreError};
use paceline_sys::NetNs;
use paceline_sys::netns::Scratch;
use paceline_worker::{Engine, EngineConfig, EngineError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const TAG: &str = "paceline-test";

/// One run of the switch: from start to stop, or to a crash.
struct Run {
    switch: Arc<Switch>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), EngineError>>,
}

impl Run {
    async fn start(state: &Path, config: &str) -> Self {
        let config = Config::parse("test", config, &Host::default()).unwrap();
        let pool = PoolConfig { count: 2048, size: 4096, huge_pages: HugePages::Never };
        let engine = Engine::start(&EngineConfig { pool, ..EngineConfig::default() }).unwrap();
        let switch = Arc::new(Switch::new(config, Store::open(state).unwrap(), engine));
        let links = Links::host(TAG).unwrap();
        let sweeper = Sweeper::new(&switch, links.clone());
        let mut reconciler =
            Reconciler::new(&switch, links.clone(), sweeper, paceline_host::Host::new(links, "test"))
                .unwrap();
        reconciler.start().await;
        let (stop, stopped) = watch::channel(false);
        Self { switch, stop, task: tokio::spawn(reconciler.run(stopped)) }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap().unwrap();
    }

    /// Edits the model and waits until it is so.
    async fn edit(&self, edit: impl FnOnce(&mut Model)) {
        self.try_edit(edit).await.unwrap();
    }

    /// Edits the model and waits for the pass.
    async fn try_edit(&self, edit: impl FnOnce(&mut Model)) -> Result<(), Unmade> {
        let edit = |model: &mut Model| {
            edit(model);
            Ok::<_, StoreError>(())
        };
        self.switch.update(edit).unwrap();
        self.switch.requests().make().await
    }

    /// The state of an interface, with the reason if it is down; none if it is not attached.
    fn state(&self, name: &str) -> Option<String> {
        let views = self.switch.engine(Engine::interfaces);
        let view = views.into_iter().find(|view| view.name == name)?;
        Some(view.reason.unwrap_or(view.state))
    }

    fn failure(&self, name: &str) -> Option<String> {
        self.switch.failure(&name.parse().unwrap())
    }

    fn endpoints(&self) -> usize {
        self.switch.model(|model| model.endpoints.len())
    }
}

/// Runs `test` with a runtime all of whose threads are in a namespace of their own. Without root it is skipped.
fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce(Arc<Scratch>, PathBuf) -> F + Send) {
    let Some(host) = Scratch::for_test() else { return };
    let (host, state) = (Arc::new(host), tempfile::tempdir().unwrap());
    let run = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(test(Arc::clone(&host), state.path().join("state")));
    };
    host.run(run).unwrap();
}

/// Waits for what the reconciler does by itself.
async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

const NO_DOCKER: &str = "[docker]\nenabled = false\n";

fn id(number: u8) -> EndpointId {
    format!("{number:02x}").repeat(32).parse().unwrap()
}

fn link(number: u8) -> String {
    format!("plc{}", &id(number).as_str()[..11])
}

fn port(number: u8) -> String {
    format!("e-{}", &id(number).as_str()[..12])
}

/// A container in the network, joined in the namespace at `sandbox`.
fn join(model: &mut Model, number: u8, attach: Attach, sandbox: &Path) {
    let network: NetworkId = "f00d".parse().unwrap();
    if !model.networks.contains_key(&network) {
        let bridge = model.bridge_name(&network);
        let made = Network {
            id: network.clone(),
            bridge,
            options: NetworkOptions { mtu: 1400, ..NetworkOptions::default() },
            ipv4: Vec::new(),
            ipv6: Vec::new(),
            internal: false,
            enable_ipv6: false,
            request: serde_json::Value::Null,
        };
        model.networks.insert(network.clone(), made);
    }
    let endpoint = Endpoint {
        id: id(number),
        network,
        port: model.port_name(&id(number)),
        link: model.link_name(&id(number)),
        attach,
        mac: [2, 0, 0, 0, 0, number].into(),
        mac_given: true,
        ipv4: None,
        ipv6: None,
        sandbox: Some(sandbox.into()),
        ports: Vec::new(),
        labels: paceline_model::Labels::default(),
        link_options: paceline_model::options::LinkOptions::default(),
        request: serde_json::Value::Null,
    };
    model.endpoints.insert(id(number), endpoint);
}

/// As Docker does after Join.
fn move_into(host: &Scratch, container: &Scratch, number: u8) {
    host.ip(&format!("link set {} netns {}", link(number), container.path().display()));
    container.ip(&format!("link set {} name eth0", link(number)));
    container.ip(&format!("addr add 10.0.0.{number}/24 dev eth0"));
    container.ip("link set eth0 up");
}

fn ping(from: &NetNs, to: &str) -> bool {
    let ping = || std::process::Command::new("ping").args(["-c", "1", "-W", "5", to]).output();
    from.run(ping).unwrap().expect("ping: is iputils-ping there?").status.success()
}

fn containers_talk_before_and_after_a_restart(attach: Attach) {
    in_namespace(|host, state| async move {
        let containers = [Scratch::new().unwrap(), Scratch::new().unwrap()];
        let run = Run::start(&state, NO_DOCKER).await;
        for (number, container) in (1..).zip(&containers) {
            run.edit(|model| join(model, number, attach, &container.path())).await;
            assert_eq!(run.failure(&port(number)), None);
            let made = host.ip(&format!("link show {}", link(number)));
            assert!(
                made.contains("mtu 1400") && made.contains(&format!("02:00:00:00:00:0{number}")),
                "{made}"
            );
            move_into(&host, container, number);
        }
        assert!(ping(&containers[0], "10.0.0.2"));
        let before = containers[0].ip("-o link show eth0");
        run.stop().await;
        let after = containers[0].ip("-o addr show eth0");
        assert!(after.contains("10.0.0.1"), "a stop leaves the container its link: {after}");

        let run = Run::start(&state, NO_DOCKER).await;
        assert!(ping(&containers[1], "10.0.0.1"), "after the restart");
        let index = |line: &str| line.split(':').next().map(str::to_owned);
        assert_eq!(index(&containers[0].ip("-o link show eth0")), index(&before), "it is the same link");

        // Leave: the link comes back and stays. DeleteEndpoint: it goes.
        containers[0].ip("link set eth0 down");
        containers[0].ip(&format!("link set eth0 name {} netns {}", link(1), host.path().display()));
        run.edit(|model| model.endpoints.get_mut(&id(1)).unwrap().sandbox = None).await;
        assert_eq!(run.state(&port(1)), None);
        host.ip(&format!("link show {}", link(1)));
        run.edit(|model| drop(model.endpoints.remove(&id(1)))).await;
        eventually("the link goes with its endpoint", || !host.ip("-o link").contains(&link(1))).await;
        assert_eq!(run.state(&port(2)).as_deref(), Some("up"), "the other one is left alone");
        run.stop().await;
    });
}

#[test]
fn tap() {
    containers_talk_before_and_after_a_restart(Attach::Tap);
}

#[test]
fn veth() {
    containers_talk_before_and_after_a_restart(Attach::Veth);
}

#[test]
fn afxdp() {
    containers_talk_before_and_after_a_restart(Attach::Afxdp);
}

#[test]
fn fifty_at_once_are_there_when_their_calls_return() {
    in_namespace(|host, state| async move {
        let run = Run::start(&state, NO_DOCKER).await;
        let (run, sandbox) = (&run, &host.path());
        let joins = (1..=50).map(|number| async move {
            run.edit(|model| join(model, number, Attach::Tap, sandbox)).await;
            assert!(run.state(&port(number)).is_some(), "{number}");
        });
        futures_util::future::join_all(joins).await;
        assert_eq!(host.ip("-o link").matches(TAG).count(), 50);
        run.edit(|model| (1..=50).for_each(|number| drop(model.endpoints.remove(&id(number))))).await;
        eventually("all links go", || !host.ip("-o link").contains(TAG)).await;
    });
}

#[test]
fn one_port_that_fails_stops_no_other_and_comes_when_it_can() {
    in_namespace(|host, state| async move {
        let config = format!(
            "{NO_DOCKER}[[port]]\nname = \"up\"\nkind = \"packet\"\ndevice = \"late\"\n\
             [[port]]\nname = \"host1\"\nkind = \"tap\"\nmtu = 9000\n"
        );
        let run = Run::start(&state, &config).await;
        assert!(host.ip("link show host1").contains("mtu 9000"));
        let error = run.failure("up").unwrap();
        assert!(error.contains("late"), "the device is named: {error}");
        host.ip("link add late type veth peer name far");
        // The engine has it a moment before the failure is taken back.
        eventually("it is opened", || run.state("up").is_some() && run.failure("up").is_none()).await;
        host.ip("link del late");
        eventually("it is known to be gone", || run.failure("up").is_some()).await;
        host.ip("link add late type veth peer name far");
        eventually("it is opened again", || run.state("up").is_some()).await;
        run.stop().await;
        assert!(!host.ip("-o link").contains("host1"), "a tap that is not persistent goes");
    });
}

#[test]
fn what_is_not_ours_is_not_touched() {
    in_namespace(|host, state| async move {
        host.ip("link add plcforeign type veth peer name other");
        host.ip("link add strange type veth peer name stranger");
        host.ip("link set strange alias paceline:container:0123");
        let run = Run::start(&state, NO_DOCKER).await;
        // In the way of the link to be.
        host.ip(&format!("link add {} type veth peer name blocker", link(1)));
        run.edit(|model| join(model, 1, Attach::Tap, &host.path())).await;
        let error = run.failure(&port(1)).unwrap();
        assert!(error.contains("in use"), "{error}");
        run.edit(|model| drop(model.endpoints.remove(&id(1)))).await;
        run.stop().await;
        let links = host.ip("-o link");
        for name in ["plcforeign", "strange", &link(1)] {
            assert!(links.contains(name), "{name}: {links}");
        }
    });
}

#[test]
fn endpoints_of_containers_that_went_are_forgotten() {
    in_namespace(|host, state| async move {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = |number| dir.path().join(format!("sandbox{number}"));
        let containers: Vec<_> = (1..=4).map(|_| Scratch::new().unwrap()).collect();
        let run = Run::start(&state, NO_DOCKER).await;
        for (number, container) in (1..).zip(&containers) {
            std::os::unix::fs::symlink(container.path(), sandbox(number)).unwrap();
            run.edit(|model| join(model, number, Attach::Tap, &sandbox(number))).await;
            move_into(&host, container, number);
        }
        // While it runs: the engine crashed and took the container with it.
        let mut containers = containers.into_iter();
        assert!(run.switch.may_live(&sandbox(1)));
        std::fs::remove_file(sandbox(1)).unwrap();
        drop(containers.next());
        eventually("the first is forgotten", || run.endpoints() == 3).await;
        run.stop().await;
        // While it does not run: one whose namespace goes with its link, and one whose link was given back before.
        std::fs::remove_file(sandbox(2)).unwrap();
        drop(containers.next());
        let third = containers.next().unwrap();
        third.ip(&format!("link set eth0 down name {}", link(3)));
        third.ip(&format!("link set {} netns {}", link(3), host.path().display()));
        std::fs::remove_file(sandbox(3)).unwrap();
        std::fs::write(sandbox(3), "").unwrap();
        let run = Run::start(&state, NO_DOCKER).await;
        assert_eq!(run.endpoints(), 1);
        assert!(!host.ip("-o link").contains(&link(3)), "nor is its link left");
        assert!(ping(&containers.next().unwrap(), "10.0.0.4"));
        assert_eq!(run.failure(&port(4)), None);
        run.stop().await;
    });
}

#[test]
fn a_link_that_was_lost_is_not_made_anew_in_the_wrong_place() {
    in_namespace(|host, state| async move {
        let container = Scratch::new().unwrap();
        let run = Run::start(&state, NO_DOCKER).await;
        run.edit(|model| join(model, 1, Attach::Tap, &container.path())).await;
        move_into(&host, &container, 1);
        run.stop().await;
        container.ip("link del eth0");
        let run = Run::start(&state, NO_DOCKER).await;
        let error = run.failure(&port(1)).unwrap();
        assert!(error.contains("restart the container"), "{error}");
        assert_eq!(run.endpoints(), 1);
        assert!(!host.ip("-o link").contains(&link(1)));
        run.stop().await;
    });
}
