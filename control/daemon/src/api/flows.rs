//! `POST /v1/flows`: the flow log.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use crate::Switch;
use crate::flows::FlowsView;

/// Which events.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AskFlows {
    /// Those after the one of this number.
    pub after: u64,
}

pub async fn flows(
    State(switch): State<Arc<Switch>>,
    request: Result<Json<AskFlows>, JsonRejection>,
) -> Result<Json<FlowsView>, ApiError> {
    let Json(AskFlows { after }) = request?;
    Ok(Json(switch.flows_after(after)))
}
