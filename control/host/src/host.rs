//! The host's stack, brought to a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use paceline_attach::Links;
use paceline_model::{HostPlan, IfName, NetworkId};
use paceline_sys::link;
use tokio::task::spawn_blocking;

use crate::conntrack::{self, Translated};
use crate::device::{self, Now};
use crate::error::{Conflict, HostError};
use crate::forwarding;
use crate::nft::Nft;
use crate::others::{Tables, is_docker_bridge};
use crate::plan::gateways;
use crate::rules::{self, Rules, table_name};

/// How old what we know of the host's tables may be. Others change them: an engine that starts after the switch, a firewall that
/// is loaded anew.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What came of bringing the host's stack to a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What was changed of the host beside our own things, and what keeps packets from their way, with what to do about it:
    /// for the log. Each is told once.
    pub notes: Vec<String>,
    /// Networks that were left out, as the host has addresses of theirs elsewhere: told each time.
    pub conflicts: BTreeMap<NetworkId, Conflict>,
}

/// The host's own network stack, as far as it is ours: a table of nftables, addresses of the TAP that leads to the switch, two
/// rules among Docker's, and the kernel's forwarding.
#[derive(Debug)]
pub struct Host {
    links: Links,
    table: String,
    nft: Option<Nft>,
    /// The rules that are in the kernel, as far as we know.
    rules: Option<Rules>,
    /// The device and the addresses that we gave it.
    device: Option<(IfName, BTreeSet<IpNet>)>,
    applied: Option<Applied>,
    /// What datagrams are translated to, in conversations that began since.
    translated: Translated,
    /// What was told.
    told: BTreeSet<String>,
}

/// That all is as it should be.
#[derive(Debug)]
struct Applied {
    plan: HostPlan,
    report: Report,
    /// The device: another may have its name by now.
    index: u32,
    /// When that was looked at.
    at: Instant,
}

impl Host {
    /// The stack of the namespace that `links` is of, which must be that of the calling thread, now and later. Nothing is done
    /// yet. Two switches on a host have two tags; see [`table_name`].
    pub fn new(links: Links, tag: &str) -> Self {
        let table = table_name(tag);
        Self {
            links,
            table,
            nft: None,
            rules: None,
            device: None,
            applied: None,
            translated: Translated::new(),
            told: BTreeSet::new(),
        }
    }

    /// Whether a network with these gateways can be: for an error while the user waits.
    ///
    /// # Errors
    /// [`HostError::Link`].
    pub async fn conflict(&self, gateways: &[IpNet], device: IfName) -> Result<Option<Conflict>, HostError> {
        let now = Now::look(&self.links).await?;
        Ok(gateways.iter().find_map(|gateway| now.conflict(*gateway, device)))
    }

    /// Brings the stack to a plan. The device must be there: the data plane opens it first.
    ///
    /// With the plan that is applied already it does nothing, but every ten seconds look whether the tables are as they were.
    /// After an error call it again; what was done is not done twice.
    ///
    /// # Errors
    /// See [`HostError`].
    pub async fn apply(&mut self, plan: &HostPlan) -> Result<Report, HostError> {
        if let Some(Applied { plan: applied, report, index, at }) = &self.applied
            && applied == plan
            && report.conflicts.is_empty()
            && at.elapsed() < LOOK_AGAIN
            && link::index(plan.device.as_str()).is_ok_and(|now| now == *index)
        {
            return Ok(Report::default());
        }
        self.applied = None;
        check(plan.device)?;
        let nft = self.nft()?;
        let now = Now::look(&self.links).await?;
        let conflicts = now.conflicts(plan);
        let mut possible = plan.clone();
        possible.networks.retain(|id, _| !conflicts.contains_key(id));

        let tables = Tables::look(&nft, &self.table).await?;
        // First what keeps packets out.
        self.bring_rules(&nft, &tables, Rules::new(&self.table, &possible)).await?;
        self.bring_device(&now, &possible).await?;
        let mut notes = forwarding::bring(&possible)?;
        let bridges: Vec<_> = now.names().filter(|name| is_docker_bridge(*name)).collect();
        tables.allow(&nft, &self.table, plan.device, &bridges).await?;
        notes.extend(tables.warnings(plan.device));
        self.forget_conversations(&now, &possible).await;

        notes.retain(|note| self.told.insert(note.clone()));
        let report = Report { notes, conflicts };
        let index = now.index(plan.device)?;
        self.applied =
            Some(Applied { plan: plan.clone(), report: report.clone(), index, at: Instant::now() });
        Ok(report)
    }

    /// Has the next [`apply`](Self::apply) look at everything, as when an engine has just started: it may have made its tables.
    pub fn look_again(&mut self) {
        self.applied = None;
    }

    /// Takes away what [`apply`](Self::apply) made, also if that was another process: table, rules among Docker's, addresses.
    /// Settings of the kernel stay: others may rely on them by now.
    ///
    /// # Errors
    /// See [`HostError`].
    pub async fn remove(&mut self) -> Result<(), HostError> {
        self.applied = None;
        let nft = self.nft()?;
        let tables = Tables::look(&nft, &self.table).await?;
        tables.forget(&nft, &self.table).await?;
        if tables.ours {
            nft.run(&rules::remove(&self.table)).await?;
        }
        self.rules = None;
        if let Some((device, addresses)) = &self.device {
            device::clear(&self.links, *device, addresses).await?;
        }
        self.device = None;
        Ok(())
    }

    async fn bring_rules(&mut self, nft: &Nft, tables: &Tables, rules: Rules) -> Result<(), HostError> {
        let before = self.rules.take().filter(|_| tables.ours);
        let done = match before.and_then(|before| rules.since(&before)) {
            Some(nothing) if nothing.is_empty() => true,
            Some(change) => match nft.run(&change).await {
                Ok(()) => true,
                // Somebody has changed our table.
                Err(error) => {
                    tracing::warn!("table {}: {error}: it is made anew", self.table);
                    false
                }
            },
            None => false,
        };
        if !done {
            nft.run(&rules.whole()).await?;
        }
        self.rules = Some(rules);
        Ok(())
    }

    /// Only now, as the next datagram begins a new one.
    async fn forget_conversations(&mut self, now: &Now, plan: &HostPlan) {
        let translated = conntrack::translated(plan);
        if translated == self.translated {
            return;
        }
        // What the device was given just now nobody has talked to yet.
        let (before, after, host) = (self.translated.clone(), translated.clone(), now.host());
        let forget = move || conntrack::forget(&before, &after, &host);
        match spawn_blocking(forget).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(count)) => tracing::debug!(count, "conversations with ports that changed begin anew"),
            Ok(Err(error)) => tracing::warn!(
                "cannot end what the kernel knows of UDP conversations with published ports: {error}: they may go on with \
                 containers that are gone, until they are silent for two minutes"
            ),
        }
        self.translated = translated;
    }

    async fn bring_device(&mut self, now: &Now, plan: &HostPlan) -> Result<(), HostError> {
        let mut mine = match self.device.take() {
            Some((device, addresses)) if device == plan.device => addresses,
            Some((other, addresses)) => {
                device::clear(&self.links, other, &addresses).await?;
                BTreeSet::new()
            }
            None => BTreeSet::new(),
        };
        let brought = device::bring(&self.links, now, plan, &mine).await;
        let wanted = plan.networks.values().flat_map(gateways);
        if brought.is_ok() {
            mine.clear();
        }
        // After an error some of both may be there.
        mine.extend(wanted);
        self.device = Some((plan.device, mine));
        brought
    }

    fn nft(&mut self) -> Result<Nft, HostError> {
        let nft = match self.nft.take() {
            Some(nft) => nft,
            None => Nft::find()?,
        };
        Ok(self.nft.insert(nft).clone())
    }
}

/// A name with a `*` at its end stands for many in nftables, and one with a quote for none.
fn check(device: IfName) -> Result<(), HostError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if device.as_str().bytes().all(fits) { Ok(()) } else { Err(HostError::DeviceName(device)) }
}
