//! HTTP: which method, how large a body, what an error looks like.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::wire::network::{Discovery, NetworkRef};
use crate::wire::{self, Activation, Done, Failure, MAX_BODY, WireError, decode};
use crate::{Control, Driver, DriverError, Socket};

/// How long calls may take to end after a stop, so that a peer that never finishes its request does not hold it up.
const GRACE: Duration = Duration::from_secs(5);

/// Serves the engine on this socket until `stop`, then lets the calls that are on their way end. The socket's file goes when
/// this returns.
///
/// # Errors
/// The socket cannot be served.
pub async fn serve<C: Control>(
    socket: Socket,
    driver: Arc<Driver<C>>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopping, stopped) = oneshot::channel();
    let router = Router::new().fallback(handle::<C>).with_state(driver);
    let serving = axum::serve(socket, router).with_graceful_shutdown(async {
        stop.await;
        // Nobody waits for it only if the server has ended already.
        let _ = stopping.send(());
    });
    let mut serving = pin!(serving.into_future());
    tokio::select! {
        served = &mut serving => return served,
        _ = stopped => {}
    }
    tokio::time::timeout(GRACE, serving).await.unwrap_or(Ok(()))
}

async fn handle<C: Control>(State(driver): State<Arc<Driver<C>>>, request: Request) -> Response {
    let is_post = request.method() == Method::POST;
    let method = request.uri().path().trim_start_matches('/').to_owned();
    let body = read(&method, request.into_body()).await;
    if !is_post {
        return respond(StatusCode::NOT_FOUND, &Failure::new("must be called by POST"));
    }
    // A task of its own: a call that has begun ends, also when the engine dies and its connection with it.
    let call = tokio::spawn(async move { answer(&driver, &method, body).await });
    call.await
        .unwrap_or_else(|error| respond(StatusCode::OK, &Failure::new(&format!("internal error: {error}"))))
}

/// The whole body. What is too much is read all the same and thrown away: an engine that is still writing would not see our
/// answer but a broken connection, and would try again.
async fn read(method: &str, mut body: Body) -> Result<Bytes, WireError> {
    let method = || method.to_owned();
    let (mut bytes, mut total) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| WireError::Incomplete { method: method(), why: error.to_string() })?;
        let data = frame.into_data().unwrap_or_default();
        total += data.len();
        if total <= MAX_BODY {
            bytes.extend_from_slice(&data);
        } else {
            bytes = Vec::new();
        }
    }
    if total > MAX_BODY { Err(WireError::TooLarge { method: method() }) } else { Ok(bytes.into()) }
}

/// The answer to one call: status 200, an error or not; 404 for a method that there is not, which the engine takes for 'not
/// implemented'.
async fn answer<C: Control>(driver: &Driver<C>, method: &str, body: Result<Bytes, WireError>) -> Response {
    let since = Instant::now();
    let called = async { dispatch(driver, method, &body?).await }.await;
    let ms = since.elapsed().as_secs_f64() * 1e3;
    match called {
        Ok(Some(answer)) => {
            tracing::debug!(method, ms, "called");
            answer
        }
        Ok(None) => {
            let message = format!("{method}: there is no such method");
            tracing::debug!(message);
            respond(StatusCode::NOT_FOUND, &Failure::new(&message))
        }
        Err(error) => {
            tracing::warn!(method, ms, %error, "refused");
            respond(StatusCode::OK, &Failure::new(&error.to_string()))
        }
    }
}

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// Calls the method; none if there is no such.
async fn dispatch<C: Control>(
    driver: &Driver<C>,
    method: &str,
    body: &[u8],
) -> Result<Option<Response>, CallError> {
    macro_rules! request {
        () => {
            decode(method, body)?
        };
    }
    let answer = match method {
        "Plugin.Activate" => ok(&Activation::OURS),
        "NetworkDriver.GetCapabilities" => ok(&driver.capabilities()),
        "NetworkDriver.GwAllocCheck" => ok(&driver.gw_alloc_check(&request!())),
        "NetworkDriver.AllocateNetwork" => ok(&driver.allocate_network(request!())?),
        "NetworkDriver.CreateNetwork" => done(driver.create_network(request!()).await?),
        "NetworkDriver.DeleteNetwork" => done(driver.delete_network(request!()).await?),
        "NetworkDriver.CreateEndpoint" => ok(&driver.create_endpoint(request!()).await?),
        "NetworkDriver.DeleteEndpoint" => done(driver.delete_endpoint(request!()).await?),
        "NetworkDriver.EndpointOperInfo" => ok(&driver.endpoint_info(request!()).await?),
        "NetworkDriver.Join" => ok(&driver.join(request!()).await?),
        "NetworkDriver.Leave" => done(driver.leave(request!()).await?),
        "NetworkDriver.ProgramExternalConnectivity" => {
            done(driver.program_external_connectivity(request!()).await?)
        }
        "NetworkDriver.RevokeExternalConnectivity" => {
            done(driver.revoke_external_connectivity(request!()).await?)
        }
        "IpamDriver.GetCapabilities" => ok(&driver.ipam_capabilities()),
        "IpamDriver.GetDefaultAddressSpaces" => ok(&driver.default_address_spaces()),
        "IpamDriver.RequestPool" => ok(&driver.request_pool(request!()).await?),
        "IpamDriver.ReleasePool" => done(driver.release_pool(request!()).await?),
        "IpamDriver.RequestAddress" => ok(&driver.request_address(request!()).await?),
        "IpamDriver.ReleaseAddress" => done(driver.release_address(request!()).await?),
        // `AllocateNetwork`, which this undoes, keeps nothing.
        "NetworkDriver.FreeNetwork" => nothing::<NetworkRef>(&request!()),
        // Other hosts come and go, which no network of this host reaches.
        "NetworkDriver.DiscoverNew" | "NetworkDriver.DiscoverDelete" => nothing::<Discovery>(&request!()),
        _ => return Ok(None),
    };
    Ok(Some(answer))
}

fn ok(answer: &impl Serialize) -> Response {
    respond(StatusCode::OK, answer)
}

fn done((): ()) -> Response {
    ok(&Done {})
}

/// There is nothing to do, for a request of this type.
fn nothing<Request>(_: &Request) -> Response {
    ok(&Done {})
}

fn respond(status: StatusCode, answer: &impl Serialize) -> Response {
    match serde_json::to_vec(answer) {
        Ok(body) => (status, [(CONTENT_TYPE, wire::CONTENT_TYPE)], body).into_response(),
        // Answers are structs and maps by text: they are JSON.
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
