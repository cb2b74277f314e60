//! `POST /v1/ping`: an echo request from the switch, and what became of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use paceline_model::{PortName, VrfName};
use paceline_worker::{PingRequest, PingView};
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use crate::Switch;

/// Time between two looks for the answer. What it says of time does not depend on this.
const LOOK: Duration = Duration::from_millis(1);
/// More than the router waits for an answer.
const PATIENCE: Duration = Duration::from_secs(12);
/// Bytes behind the ICMP header, as ping(8) has it.
const SIZE: u16 = 56;

/// An echo request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskPing {
    /// Who is asked.
    pub address: IpAddr,
    /// The routing table; none: `default`.
    #[serde(default)]
    pub vrf: VrfName,
    /// The interface to ask by; none: the one that a route leads by.
    #[serde(default)]
    pub interface: Option<PortName>,
    /// The address to ask from; none: that of the interface that leads there.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// Bytes behind the ICMP header, up to 65000.
    #[serde(default = "size")]
    pub size: u16,
    /// Time to live or hop limit.
    #[serde(default = "ttl")]
    pub ttl: u8,
    /// Whether routers may not cut it.
    #[serde(default)]
    pub whole: bool,
}

fn size() -> u16 {
    SIZE
}

fn ttl() -> u8 {
    64
}

pub async fn ping(
    State(switch): State<Arc<Switch>>,
    request: Result<Json<AskPing>, JsonRejection>,
) -> Result<Json<PingView>, ApiError> {
    let Json(AskPing { address, vrf, interface, source, size, ttl, whole }) = request?;
    if ttl == 0 {
        return Err(ApiError::Field { field: "ttl", value: ttl.to_string(), right: "1 to 255" });
    }
    let (vrf, interface) = (vrf.to_string(), interface.map(|name| name.to_string()));
    let request = PingRequest { destination: address, vrf, interface, source, size, ttl, whole };
    let ticket = switch.engine(|engine| engine.ping(&request))?;
    // It gives up by itself, unless the switch stops first.
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
        if let Some(answer) = switch.engine(|engine| engine.ping_answer(ticket)) {
            return Ok(Json(answer));
        }
        if switch.is_stopping() {
            return Err(ApiError::Stopping);
        }
    }
    Err(ApiError::Router)
}
