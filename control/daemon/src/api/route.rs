//! `POST /v1/route/add`, `POST /v1/route/del`: routes of the operator.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use ipnet::IpNet;
use paceline_model::{Route, RouteId, VrfName, route};
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use crate::Switch;

/// A route to add, or to change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddRoute {
    /// The routing table; none: `default`.
    #[serde(default)]
    pub vrf: VrfName,
    /// Its prefix.
    pub prefix: IpNet,
    /// Where it leads.
    pub route: Route,
}

/// A route to take out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveRoute {
    /// The routing table; none: `default`.
    #[serde(default)]
    pub vrf: VrfName,
    /// Its prefix.
    pub prefix: IpNet,
}

pub async fn add(
    State(switch): State<Arc<Switch>>,
    request: Result<Json<AddRoute>, JsonRejection>,
) -> Result<Json<RouteId>, ApiError> {
    let Json(AddRoute { vrf, prefix, route }) = request?;
    let id = RouteId { vrf, prefix };
    switch.update(|model| Ok::<_, ApiError>(route::add(switch.config(), model, id.clone(), route)?))?;
    switch.requests().make().await;
    Ok(Json(id))
}

pub async fn remove(
    State(switch): State<Arc<Switch>>,
    request: Result<Json<RemoveRoute>, JsonRejection>,
) -> Result<Json<RouteId>, ApiError> {
    let Json(RemoveRoute { vrf, prefix }) = request?;
    let id = RouteId { vrf, prefix };
    switch.update(|model| Ok::<_, ApiError>(route::remove(switch.config(), model, &id)?))?;
    switch.requests().make().await;
    Ok(Json(id))
}
