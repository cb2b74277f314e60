//! The life of a switch, from start to stop.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use paceline_attach::Links;
use paceline_cnm::{Socket, SocketError};
use paceline_host::Host;
use paceline_model::Config;
use paceline_store::{Store, StoreError};
use paceline_worker::EngineError;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::docker::Docker;
use crate::privilege::Unprivileged;
use crate::reconcile::{Reconciler, Sweeper, Unmade};
use crate::{Switch, api, engine, files, privilege};

/// How long requests that are being served may take after a signal to stop.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why the switch does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The process may not do what is asked for.
    #[error(transparent)]
    Unprivileged(#[from] Unprivileged),
    /// A socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The durable state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The packet memory, as ports see it.
    #[error(transparent)]
    Port(#[from] paceline_ports::PortError),
    /// Netlink.
    #[error(transparent)]
    Links(#[from] paceline_attach::Error),
    /// Signals.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
    /// A defect.
    #[error("the reconciler ended by itself: {}", .0.as_deref().unwrap_or("nobody asked it to"))]
    Reconciler(Option<String>),
}

/// Runs a switch until SIGTERM or SIGINT, or until a thread of the engine ends by itself.
///
/// Sockets are listened on before anything slow is done, and served when all is done: calls wait meanwhile. At the end ports
/// are closed and sockets removed; links of containers stay, for the next start to take up.
///
/// # Errors
/// See [`RunError`]. Whatever the start had made by then is gone again; after a thread of the engine has ended, all is left for
/// the next start to take up, as after a kill.
pub async fn run(config: Config) -> Result<(), RunError> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate()).map_err(RunError::Signals)?,
        signal(SignalKind::interrupt()).map_err(RunError::Signals)?,
    );
    privilege::check(&config)?;
    files::raise();
    let api_socket = Socket::bind(&config.api.socket)?;
    let docker_socket = config.docker.enabled.then(|| Socket::bind(&config.docker.socket)).transpose()?;

    let tag = tag(&config.state.dir);
    let links = Links::host(&tag)?;
    let host = Host::new(links.clone(), &tag);
    let store = tokio::task::block_in_place(|| Store::open(&config.state.dir))?;
    let engine = tokio::task::block_in_place(|| engine::start(&config))?;
    let switch = Arc::new(Switch::new(config, store, engine));

    let sweeper = Sweeper::new(&switch, links.clone());
    let mut reconciler = Reconciler::new(&switch, links, sweeper.clone(), host)?;
    reconciler.start().await;
    let (stop_reconciler, stopped) = watch::channel(false);
    let mut reconciler = tokio::spawn(reconciler.run(stopped));

    let mut servers = vec![serve_api(api_socket, &switch)];
    servers.extend(docker_socket.map(|socket| serve_docker(socket, &switch, sweeper)));
    ready(&switch);
    let ended = tokio::select! {
        _ = terminate.recv() => { tracing::info!("SIGTERM: stopping; containers stay attached"); Ok(()) }
        _ = interrupt.recv() => { tracing::info!("SIGINT: stopping; containers stay attached"); Ok(()) }
        ended = &mut reconciler => Err(match ended {
            Ok(Err(error)) => RunError::Engine(error),
            ended => RunError::Reconciler(ended.err().map(|error| error.to_string())),
        }),
    };
    if let Err(error) = &ended {
        switch.requests().end(Unmade::new(&error.to_string()));
    }
    notify(&[NotifyState::Stopping]);
    switch.stop();
    for server in servers {
        if tokio::time::timeout(FAREWELL, server).await.is_err() {
            tracing::warn!("a request is cut off: it takes longer than {FAREWELL:?}");
        }
    }
    // Last, as requests wait for it.
    if ended.is_ok() {
        stop_reconciler.send_replace(true);
        reconciler.await.map_err(|error| RunError::Reconciler(Some(error.to_string())))??;
    }
    ended
}

/// The mark of our links. Two switches on one host have two state directories, and one switch keeps its own over restarts.
fn tag(state_dir: &Path) -> String {
    format!("paceline {}", std::path::absolute(state_dir).unwrap_or_else(|_| state_dir.into()).display())
}

fn serve_api(socket: Socket, switch: &Arc<Switch>) -> JoinHandle<()> {
    let (router, stopping) = (api::router(Arc::clone(switch)), stopping(switch));
    serve("API", async move { axum::serve(socket, router).with_graceful_shutdown(stopping).await })
}

fn serve_docker(socket: Socket, switch: &Arc<Switch>, sweeper: Sweeper) -> JoinHandle<()> {
    let driver = Docker::driver(Arc::clone(switch), sweeper);
    serve("Docker", paceline_cnm::serve(socket, driver, stopping(switch)))
}

fn serve(
    what: &'static str,
    served: impl Future<Output = io::Result<()>> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = served.await {
            tracing::error!("{what} is no longer served: {error}");
        }
    })
}

fn stopping(switch: &Arc<Switch>) -> impl Future<Output = ()> + Send + 'static {
    let switch = Arc::clone(switch);
    async move { switch.stopping().await }
}

fn ready(switch: &Switch) {
    let (workers, interfaces) = switch.engine(|engine| (engine.workers(), engine.attached().len()));
    let config = switch.config();
    let docker = config.docker.socket.display();
    let docker = if config.docker.enabled { format!("Docker on {docker}") } else { "no Docker".into() };
    let api = config.api.socket.display();
    tracing::info!("ready: workers: {workers}, interfaces: {interfaces}, {docker}, API on {api}");
    notify(&[NotifyState::Ready]);
}

/// Tells systemd, if it asked.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("systemd was not told: {error}");
    }
}
