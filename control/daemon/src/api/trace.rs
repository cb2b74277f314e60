//! `/v1/trace`: the ways of packets through the graph.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use crate::Switch;

/// Packets of one request: each takes 4 KiB of text.
const MOST: usize = 10_000;

/// What to trace.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceRequest {
    /// Packets, 1 to 10 000.
    pub count: usize,
    /// Only those received on this port.
    pub port: Option<String>,
}

/// The way of one packet.
#[derive(Debug, Serialize)]
pub struct TraceView {
    /// Nanoseconds since its worker started.
    pub nanos: u64,
    /// One line per node: what it decided.
    pub text: String,
}

pub async fn show(State(switch): State<Arc<Switch>>) -> Result<Json<Vec<TraceView>>, ApiError> {
    let records = switch.engine(paceline_worker::Engine::trace_records)?;
    Ok(Json(records.into_iter().map(|record| TraceView { nanos: record.nanos, text: record.text }).collect()))
}

pub async fn add(
    State(switch): State<Arc<Switch>>,
    request: Result<Json<TraceRequest>, JsonRejection>,
) -> Result<Json<TraceRequest>, ApiError> {
    let Json(request) = request?;
    if !(1..=MOST).contains(&request.count) {
        let value = request.count.to_string();
        return Err(ApiError::Field { field: "count", value, right: "1 to 10000" });
    }
    switch.engine(|engine| engine.trace_add(request.count, request.port.as_deref()))?;
    Ok(Json(request))
}

/// What was cleared.
#[derive(Debug, Serialize)]
pub struct Cleared {
    /// How many there were.
    pub cleared: usize,
}

pub async fn clear(State(switch): State<Arc<Switch>>) -> Result<Json<Cleared>, ApiError> {
    let cleared = switch.engine(|engine| {
        let count = engine.trace_records()?.len();
        engine.trace_clear().map(|()| count)
    })?;
    Ok(Json(Cleared { cleared }))
}
