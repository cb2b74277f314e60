//! Requests and answers of every method, as JSON.
//!
//! The engine is Go: missing, `null` and `""` all say 'not given', and later versions add fields. Requests are read that way.
//! Names and shapes are those of moby's `daemon/libnetwork/drivers/remote/api` and `ipams/remote/api`.

mod decode;
mod field;
pub mod ipam;
pub mod network;
pub mod options;

pub use decode::{MAX_BODY, WireError, decode};
pub use options::Options;

use serde::Serialize;

/// The media type of answers; the engine asks for it in `Accept`.
pub const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// The answer to `Plugin.Activate`: the drivers behind this socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Activation {
    /// Names of the protocols.
    pub implements: [&'static str; 2],
}

impl Activation {
    /// Both drivers.
    pub const OURS: Self = Self { implements: ["NetworkDriver", "IpamDriver"] };
}

/// The answer `{}`: done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Done {}

/// The answer that says why not. `NetworkDriver` clients read one key and `IpamDriver` clients the other; an answer with
/// only the wrong one reads as success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure<'a> {
    /// For `NetworkDriver`.
    #[serde(rename = "Err")]
    pub network: &'a str,
    /// For `IpamDriver`.
    #[serde(rename = "Error")]
    pub ipam: &'a str,
}

impl<'a> Failure<'a> {
    /// The failure of this message.
    pub const fn new(message: &'a str) -> Self {
        Self { network: message, ipam: message }
    }
}
