//! Links that are left over: ours by their mark, of endpoints that the model does not have.

use std::sync::Arc;

use paceline_attach::{Error, Links};
use tokio::sync::Mutex;

use crate::switch::Switch;

/// Deletes left-over links. The kernel takes some 20 ms for each, so it is done beside everything else.
#[derive(Clone)]
pub struct Sweeper {
    switch: Arc<Switch>,
    links: Links,
    /// One sweep at a time.
    turn: Arc<Mutex<()>>,
}

impl Sweeper {
    /// Of the links in this namespace. Those in containers' namespaces go with these.
    pub fn new(switch: &Arc<Switch>, links: Links) -> Self {
        Self { switch: Arc::clone(switch), links, turn: Arc::default() }
    }

    /// Sweeps in a task of its own.
    pub fn sweep_soon(&self) {
        let this = self.clone();
        tokio::spawn(async move { this.sweep().await });
    }

    /// Deletes all left-over links; after those of any sweep before.
    pub async fn sweep(&self) {
        let _turn = self.turn.lock().await;
        if let Err(error) = self.try_sweep().await {
            tracing::warn!("links of ended containers may be left behind: {error}");
        }
    }

    async fn try_sweep(&self) -> Result<(), Error> {
        // First the links, then the model: what is made meanwhile was in the model before.
        let ours = self.links.ours().await?;
        for link in ours {
            let Some(mark) = &link.mark else { continue };
            let wanted = self.switch.model(|model| model.endpoints.contains_key(mark.id.as_str()));
            if !wanted {
                tracing::debug!(link = %link.name, endpoint = mark.id, "deleting a left-over link");
                self.links.delete(link.index).await?;
            }
        }
        Ok(())
    }
}
