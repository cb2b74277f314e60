//! What the driver needs of the daemon.

use std::future::Future;
use std::path::Path;

use paceline_model::{EndpointId, Model, NetworkId, Overlay, OverlayError, PortRequest, PublishedPort, Vtep};

use super::DriverError;

/// What a reconciliation is awaited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The bridge of this network is there, or gone if the network is.
    Network(NetworkId),
    /// The port of this endpoint is there and its link can be moved into the container; or both are gone, if the endpoint
    /// is. Of an endpoint that has left, the port is gone and the link stays until the endpoint goes.
    Endpoint(EndpointId),
}

/// The daemon, as far as the driver needs it: the model on disk, and the reconciler.
pub trait Control: Send + Sync + 'static {
    /// Runs `edit` on the model and makes the result durable before it returns. When it returns an error, of `edit` or of
    /// the disk, nothing has changed. Edits are run one after the other.
    fn edit<T, F>(&self, edit: F) -> impl Future<Output = Result<T, DriverError>> + Send
    where
        T: Send + 'static,
        F: FnOnce(&mut Model) -> Result<T, DriverError> + Send + 'static;

    /// Brings links and workers to the model, as it is when this is called or later, and returns when that is done for
    /// `subject`. Only what hinders the subject is an error: of fifty containers that start at once, one that fails must not
    /// fail the others. What the model asks for and failed is tried again at the next call.
    fn reconcile(&self, subject: Subject) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Takes ports of the host for an endpoint, so that nobody else has them, and answers with one for each request, in their
    /// order. They are in place of what was held for the endpoint before, which may be among them; so the same request again
    /// changes nothing. When it returns an error nothing has changed.
    ///
    /// What is held for endpoints that the model no longer has is free, as they end without a call too. After a start
    /// the daemon takes by itself what the model says.
    ///
    /// The error is [`DriverError::Port`], which names the port.
    fn reserve(
        &self,
        endpoint: &EndpointId,
        ports: Vec<PortRequest>,
    ) -> impl Future<Output = Result<Vec<PublishedPort>, DriverError>> + Send;

    /// Gives back the ports that are held for an endpoint, if any.
    fn release(&self, endpoint: &EndpointId) -> impl Future<Output = ()> + Send;

    /// This host's end of an overlay, with the devices of uplinks as they were a moment ago.
    ///
    /// # Errors
    /// See [`Overlay::vtep`].
    fn vtep(&self, overlay: &Overlay) -> Result<Vtep, OverlayError>;

    /// Whether there is a network namespace at this path still. Called within edits: it must not wait for one.
    fn is_sandbox(&self, path: &Path) -> bool;
}
