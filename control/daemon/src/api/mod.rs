//! The API: HTTP with JSON on a Unix socket, for the command line and for programs.
//!
//! | | |
//! |---|---|
//! | `GET /v1/version`, `interfaces`, `bridges`, `macs`, `tunnels`, `vrfs`, `routes`, `neighbours`, `nat`, `nat/sessions`, `runtime`, `drops`, `buffers`, `workers`, `filters`, `sessions` | what the workers do |
//! | `GET /v1/networks`, `endpoints`, `ports` | what Docker asked for |
//! | `POST /v1/route/add {"vrf", "prefix", "route"}`, `route/del {"vrf", "prefix"}` | routes of the operator |
//! | `GET /v1/policy`, `POST /v1/policy/apply {"name", "text", "dry_run"}`, `policy/delete {"policy"}`, `policy/test {"from", "to", "port"}` | policies by labels |
//! | `POST /v1/flows {"after"}` | what rules with `log` have decided |
//! | `POST /v1/trace {"count", "port"}`, `GET`, `DELETE` | the ways of packets |
//! | `POST /v1/clear/macs {"bridge"}`, `clear/network {"network"}`, `clear/trace` | forget |
//! | `POST /v1/ping {"address", "vrf", "source", "size", "ttl", "whole"}` | an echo request, and what became of it |
//! | `POST /v1/capture {"port", "snap", "count", "seconds"}` | frames, as a pcap stream |
//!
//! Lists are arrays of objects. Errors are `{"error": "…"}` with a status of 4xx or 5xx.

mod capture;
mod clear;
mod error;
mod flows;
mod ping;
mod policy;
mod route;
mod show;
mod trace;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::routing::{get, post};

pub use capture::CaptureRequest;
pub use clear::{ClearMacs, ClearNetwork};
pub use error::ApiError;
pub use flows::AskFlows;
pub use ping::AskPing;
pub use policy::{ApplyPolicies, DeletePolicy, TestPolicies};
pub use route::{AddRoute, RemoveRoute};
pub use trace::TraceRequest;

use crate::Switch;

/// All paths, on a switch.
pub fn router(switch: Arc<Switch>) -> Router {
    let v1 = Router::new()
        .route("/version", get(show::version))
        .route("/interfaces", get(show::interfaces))
        .route("/bridges", get(show::bridges))
        .route("/macs", get(show::macs))
        .route("/groups", get(show::groups))
        .route("/tunnels", get(show::tunnels))
        .route("/vrfs", get(show::vrfs))
        .route("/routes", get(show::routes))
        .route("/nat", get(show::nat))
        .route("/nat/sessions", get(show::nat_sessions))
        .route("/neighbours", get(show::neighbours))
        .route("/runtime", get(show::runtime))
        .route("/drops", get(show::drops))
        .route("/buffers", get(show::buffers))
        .route("/workers", get(show::workers))
        .route("/networks", get(show::networks))
        .route("/endpoints", get(show::endpoints))
        .route("/trace", get(trace::show).post(trace::add).delete(trace::clear))
        .route("/clear/macs", post(clear::macs))
        .route("/clear/network", post(clear::network))
        .route("/clear/trace", post(trace::clear))
        .route("/ping", post(ping::ping))
        .route("/route/add", post(route::add))
        .route("/route/del", post(route::remove))
        .route("/filters", get(show::filters))
        .route("/sessions", get(show::sessions))
        .route("/flows", post(flows::flows))
        .route("/policy", get(policy::show))
        .route("/policy/apply", post(policy::apply).layer(DefaultBodyLimit::max(policy::MAX_REQUEST)))
        .route("/policy/delete", post(policy::delete))
        .route("/policy/test", post(policy::test))
        .route("/ports", get(show::ports))
        .route("/capture", post(capture::capture))
        .method_not_allowed_fallback(async |method: Method| ApiError::Method(method.to_string()));
    Router::new()
        .nest("/v1", v1)
        .fallback(async |uri: Uri| ApiError::Path(uri.path().to_owned()))
        .with_state(switch)
}
