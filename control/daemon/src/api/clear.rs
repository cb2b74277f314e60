//! `POST /v1/clear/…`: to forget what was learned.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use paceline_cnm::forget_network;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::trace::Cleared;
use crate::Switch;

/// Which addresses to forget.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClearMacs {
    /// Those of this bridge; none: all.
    pub bridge: Option<String>,
}

/// Which network to forget.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearNetwork {
    /// Its ID, or so much of the beginning that no other has it.
    pub network: String,
}

pub async fn network(
    State(switch): State<Arc<Switch>>,
    request: Result<Json<ClearNetwork>, JsonRejection>,
) -> Result<Json<Cleared>, ApiError> {
    let Json(ClearNetwork { network }) = request?;
    switch.update(|model| {
        let mut ids = model.networks.keys().filter(|id| id.as_str().starts_with(&network));
        let (Some(id), None) = (ids.next().cloned(), ids.next()) else {
            return Err(ApiError::Network(network));
        };
        Ok(forget_network(model, &id)?)
    })?;
    switch.requests().make().await?;
    Ok(Json(Cleared { cleared: 1 }))
}

pub async fn macs(
    State(switch): State<Arc<Switch>>,
    request: Result<Json<ClearMacs>, JsonRejection>,
) -> Result<Json<Cleared>, ApiError> {
    let Json(ClearMacs { bridge }) = request?;
    let cleared = switch.engine(|engine| match bridge {
        Some(name) if engine.bridges().iter().all(|bridge| bridge.name != name) => {
            Err(ApiError::Bridge(name))
        }
        bridge => Ok(engine.clear_macs(bridge.as_deref())),
    })?;
    Ok(Json(Cleared { cleared }))
}
