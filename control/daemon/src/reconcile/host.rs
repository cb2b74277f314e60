//! The host's own stack, as a part of each pass.

use paceline_host::{Host, Report};
use paceline_model::{Desired, PortName};

use super::Reconciler;

/// The host's stack, and whether it may hold something of ours.
pub struct Stack {
    host: Host,
    /// Also before the first pass: an earlier process may have been killed.
    dirty: bool,
    /// It was told that something could not be removed.
    told: bool,
}

impl Stack {
    pub fn new(host: Host) -> Self {
        Self { host, dirty: true, told: false }
    }

    /// Takes all away.
    pub async fn remove(&mut self) {
        if !self.dirty {
            return;
        }
        match self.host.remove().await {
            Ok(()) => self.dirty = false,
            Err(error) if self.told => tracing::debug!("rules or addresses are still there: {error}"),
            Err(error) => {
                self.told = true;
                tracing::warn!(
                    "rules or addresses may be left behind on this host: {error}; it is tried again"
                );
            }
        }
    }
}

impl Reconciler {
    /// Brings the host's stack to what should be. Its device must be open.
    pub(super) async fn bring_host(&mut self, desired: &Desired) {
        let Some(plan) = &desired.host else {
            self.switch.host_is(Ok(Report::default()));
            if self.switch.config().docker.enabled {
                self.stack.remove().await;
            }
            return;
        };
        if !self.actual.contains_key(PortName::HOST) {
            let why = self.switch.failure(&PortName::host()).unwrap_or_default();
            return self.switch.host_is(Err(format!("device {}: {why}", plan.device)));
        }
        (self.stack.dirty, self.stack.told) = (true, false);
        match self.stack.host.apply(plan).await {
            Ok(report) => {
                for note in &report.notes {
                    tracing::warn!("{note}");
                }
                self.switch.host_is(Ok(report));
            }
            Err(error) => self.switch.host_is(Err(error.to_string())),
        }
    }
}
