//! `POST /v1/route/add`, `POST /v1/route/del`: routes of the operator.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use ipnet::IpNet;
use paceline_model::{Model, Route, RouteId, VrfName, route};
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
    let before = switch.update(|model| {
        let before = model.routes.get(&id).cloned();
        route::add(switch.config(), model, id.clone(), route.clone())?;
        Ok::<_, ApiError>(before)
    })?;
    if let Err(error) = make(&switch, &id).await {
        take_back(&switch, &id, &route, before).await;
        return Err(error);
    }
    Ok(Json(id))
}

/// Brings the workers to a route that was added.
async fn make(switch: &Switch, id: &RouteId) -> Result<(), ApiError> {
    switch.requests().make().await?;
    let unmade = switch.engine(|engine| engine.route_error(id.vrf.as_str(), |prefix| *prefix == id.prefix));
    unmade.map_or(Ok(()), |why| Err(ApiError::RouteNotMade { id: id.clone(), why }))
}

/// Undoes an addition, unless somebody else has done more since. The error to tell is that of the addition.
async fn take_back(switch: &Switch, id: &RouteId, added: &Route, before: Option<Route>) {
    let edit = |model: &mut Model| {
        if model.routes.get(id) == Some(added) {
            match before {
                Some(before) => drop(model.routes.insert(id.clone(), before)),
                None => drop(model.routes.remove(id)),
            }
        }
        Ok::<_, ApiError>(())
    };
    let undone = async {
        switch.update(edit)?;
        Ok::<_, ApiError>(switch.requests().make().await?)
    };
    if let Err(error) = undone.await {
        tracing::warn!(route = %id, %error, "a route that failed could not be undone in full; it is tried again");
    }
}

pub async fn remove(
    State(switch): State<Arc<Switch>>,
    request: Result<Json<RemoveRoute>, JsonRejection>,
) -> Result<Json<RouteId>, ApiError> {
    let Json(RemoveRoute { vrf, prefix }) = request?;
    let id = RouteId { vrf, prefix };
    switch.update(|model| Ok::<_, ApiError>(route::remove(switch.config(), model, &id)?))?;
    switch.requests().make().await?;
    Ok(Json(id))
}
