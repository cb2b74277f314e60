//! Errors as clients see them: a status and `{"error": "…"}`.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use paceline_cnm::DriverError;
use paceline_model::RouteId;
use paceline_model::route::RouteError;
use paceline_store::StoreError;
use paceline_worker::{EngineError, PingError};
use serde_json::json;

use crate::reconcile::Unmade;

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The body is not what the method takes.
    #[error("{0}")]
    Body(String),
    /// A field has a value that makes no sense.
    #[error("{field} is {value}: must be {right}")]
    Field {
        /// Which.
        field: &'static str,
        /// As given.
        value: String,
        /// What would be right.
        right: &'static str,
    },
    /// There is no such bridge.
    #[error("there is no bridge {0}; `paceline show bridges` lists them")]
    Bridge(String),
    /// There is no such network, or several.
    #[error("{0:?} is not the beginning of exactly one network's ID; `paceline show networks` lists them")]
    Network(String),
    /// Not all could be brought to what was asked for.
    #[error(transparent)]
    Unmade(#[from] Unmade),
    /// A route that the workers do not have.
    #[error("route {id}: {why}; it is not added")]
    RouteNotMade {
        /// Which.
        id: RouteId,
        /// What the engine said.
        why: String,
    },
    /// A route that cannot be.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// Policies that make no sense.
    #[error("{0}")]
    Policies(String),
    /// There is no such policy.
    #[error("there is no policy {0}; `paceline policy show` lists them")]
    Policy(String),
    /// An end of a packet's way that is nobody.
    #[error(
        "{0:?}: must be an endpoint (its port, or the beginning of its ID, as in `paceline show endpoints`), an address or a prefix"
    )]
    End(String),
    /// A prefix whose parts may be treated differently.
    #[error("{net}: policies may tell {parts} from the rest of it: ask for one of these, or for an address")]
    Parts {
        /// As given.
        net: IpNet,
        /// Prefixes within it.
        parts: String,
    },
    /// Two ends that do not speak one IP.
    #[error("{from} and {to}: have no addresses of one version of IP")]
    Versions {
        /// As given.
        from: String,
        /// As given.
        to: String,
    },
    /// No echo request was sent.
    #[error(transparent)]
    Ping(#[from] PingError),
    /// Nothing serves what is for the switch itself.
    #[error("the router does not answer; the log says why")]
    Router,
    /// The switch ended in the middle.
    #[error("the switch is stopping")]
    Stopping,
    /// The driver refused.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The model is not on disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such path.
    #[error("there is no {0} in this API")]
    Path(String),
    /// The path has no such method.
    #[error("{0} is not a method of this path")]
    Method(String),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Body(_)
            | Self::Field { .. }
            | Self::Policies(_)
            | Self::Parts { .. }
            | Self::Versions { .. } => StatusCode::BAD_REQUEST,
            Self::Engine(EngineError::Unknown(_)) | Self::Bridge(_) | Self::Network(_) | Self::Path(_) => {
                StatusCode::NOT_FOUND
            }
            Self::Ping(PingError::Vrf(_))
            | Self::Route(RouteError::NoRoute(_))
            | Self::Policy(_)
            | Self::End(_) => StatusCode::NOT_FOUND,
            Self::Engine(EngineError::Capturing(_)) | Self::Driver(_) | Self::Ping(_) | Self::Route(_) => {
                StatusCode::CONFLICT
            }
            Self::Stopping | Self::Router => StatusCode::SERVICE_UNAVAILABLE,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Engine(_) | Self::Store(_) | Self::Unmade(_) | Self::RouteNotMade { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status(), Json(json!({ "error": self.to_string() }))).into_response()
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::Body(rejection.body_text())
    }
}
