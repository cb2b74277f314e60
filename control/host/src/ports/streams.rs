//! TCP connections passed on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::room::{Place, Room};

/// Connections at one port; more wait in the kernel.
const MAX: usize = 1024;
/// How long a container may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Passes on each connection, until it is dropped; then they end too.
pub async fn serve(listener: TcpListener, target: SocketAddr, room: Arc<Room>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((client, _)) => {
                let place = room.wait().await;
                connections.spawn(pass_on(client, target, place));
            }
            Err(error) => {
                tracing::debug!(%target, "a connection to a published port is not taken: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// When the container does not take the connection, the client's is closed.
async fn pass_on(mut client: TcpStream, target: SocketAddr, _place: Option<Place>) {
    let mut container = match timeout(PATIENCE, TcpStream::connect(target)).await {
        Ok(Ok(container)) => container,
        Ok(Err(error)) => return tracing::debug!(%target, "a published port does not answer: {error}"),
        Err(_) => return tracing::debug!(%target, "a published port does not answer in {PATIENCE:?}"),
    };
    // Each side waits for the other's next few bytes as long as the two would without us.
    let _ = (client.set_nodelay(true), container.set_nodelay(true));
    let _ = copy_bidirectional(&mut client, &mut container).await;
}
