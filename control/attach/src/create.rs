//! Links made for containers and configured ports, whole or not at all.

use std::fs;
use std::future::Future;
use std::io;

use nix::errno::Errno;
use paceline_sys::IfName;
use paceline_tap::{Options, Tap};
use rtnetlink::LinkMessageBuilder;
use rtnetlink::LinkUnspec;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute};

use crate::error::Error;
use crate::links::{Links, Which};
use crate::mark::{End, Mark};

/// The interface that a container is to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Name at first: what Docker is told as `SrcName`, and renames.
    pub name: IfName,
    /// What the attachment is for; see [`Mark`].
    pub id: String,
    /// Ethernet address, unicast.
    pub mac: [u8; 6],
    /// Bytes without the Ethernet header, 68 to 65521.
    pub mtu: u32,
    /// Queues, 1 to 256. A tap with more than one is multi-queue, and is to be opened so.
    pub queues: u16,
}

impl Links {
    /// Creates a persistent tap, down and with no process on it. The data plane's port opens it by its name, with
    /// `multi_queue` as `spec.queues > 1`; its transmit queue takes the kernel's 1000 frames, which is also the size of
    /// the ring that the port reads from.
    ///
    /// Persistence is its last step: if this process dies before, nothing is left.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Tap`], [`Error::Kernel`]; [`Error::Mac`] and its like for a bad `spec`.
    pub async fn create_tap(&self, spec: &Spec) -> Result<(), Error> {
        spec.check(&self.tag)?;
        let spec = spec.clone();
        self.to_the_end(|links| async move { links.tap(&spec).await }).await
    }

    /// Creates a veth: `host`, which the switch binds to and which is up, and its peer for the container, which is down.
    ///
    /// The host's own stack stays out of it: `host` neither sends of its own accord nor takes what the container sends.
    ///
    /// # Errors
    /// As [`create_tap`](Self::create_tap).
    pub async fn create_veth(&self, host: IfName, spec: &Spec) -> Result<(), Error> {
        spec.check(&self.tag)?;
        let spec = spec.clone();
        self.to_the_end(|links| async move { links.veth(host, &spec).await }).await
    }

    async fn tap(&self, spec: &Spec) -> Result<(), Error> {
        let step = "create tap";
        // To open a name that is taken by an idle tap succeeds, and would make that one ours.
        if self.find(spec.name).await?.is_some() {
            return Err(self.error(step, &spec.name, Errno::EEXIST.into()));
        }
        let (name, options) = (spec.name, Options { multi_queue: spec.queues > 1, ..Options::default() });
        let opened = self.inside(move || Tap::open(name.as_str(), options)).await;
        // Until it is persistent, the device goes with this handle.
        let tap = opened.map_err(|error| self.error(step, &spec.name, error))??;
        self.set(step, &spec.name, spec.settings(self).build()).await?;
        tap.set_persist(true).map_err(|error| self.error(step, &spec.name, error))
    }

    async fn veth(&self, host: IfName, spec: &Spec) -> Result<(), Error> {
        let step = "create veth";
        let queues = u32::from(spec.queues);
        let end = |name: IfName| {
            let end = LinkUnspec::new_with_name(name.as_str()).mtu(spec.mtu);
            let end = end.append_extra_attribute(LinkAttribute::NumTxQueues(queues));
            end.append_extra_attribute(LinkAttribute::NumRxQueues(queues))
        };
        // The address goes with the creation: systemd-udevd gives another to links that come with a random one.
        let peer = end(spec.name).address(spec.mac.to_vec()).build();
        let mut pair = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        pair.attributes.extend(end(host).build().attributes);
        let names = format!("{host} and {}", spec.name);
        self.netlink.create(pair).await.map_err(|error| self.error(step, &names, error))?;
        // The kernel takes an alias for links that exist only.
        let finished = async {
            self.set(step, &spec.name, spec.settings(self).build()).await?;
            let deafened = self.inside(move || deafen(host)).await.and_then(|done| done);
            deafened.map_err(|error| self.error(step, &host, error))?;
            let alias = Mark::alias(&self.tag, End::Host, &spec.id);
            self.set(step, &host, Which::Name(host).message().alias(alias).arp(false).up().build()).await
        };
        let finished = finished.await;
        if finished.is_err()
            && let Err(error) = self.delete(host).await
        {
            tracing::warn!("left behind: {error}");
        }
        finished
    }

    /// Runs `work` to its end also when the caller's future is dropped, as when Docker hangs up: half-made links bear no mark.
    async fn to_the_end<F>(&self, work: impl FnOnce(Self) -> F) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        match tokio::spawn(work(self.clone())).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(self.error("create", "links", io::ErrorKind::BrokenPipe.into())),
            },
        }
    }
}

impl Spec {
    fn settings(&self, links: &Links) -> LinkMessageBuilder<LinkUnspec> {
        let alias = Mark::alias(&links.tag, End::Container, &self.id);
        Which::Name(self.name).message().address(self.mac.to_vec()).mtu(self.mtu).alias(alias)
    }

    fn check(&self, tag: &str) -> Result<(), Error> {
        let link = self.name;
        if !(68..=65521).contains(&self.mtu) {
            return Err(Error::Mtu { link, mtu: self.mtu });
        }
        if !(1..=256).contains(&self.queues) {
            return Err(Error::Queues { link, queues: self.queues });
        }
        if self.mac[0] & 1 != 0 || self.mac == [0; 6] {
            return Err(Error::Mac { link, mac: self.mac });
        }
        let max = Mark::MAX.saturating_sub(tag.len());
        if self.id.is_empty() || self.id.len() > max || self.id.chars().any(char::is_control) {
            return Err(Error::Id { link, id: self.id.clone(), max });
        }
        Ok(())
    }
}

/// Takes the host's stack off the host end of a veth, which would otherwise see every frame that the switch does: it would
/// answer and route what a container sends to that end's MAC, and send multicast reports into the container.
///
/// No IPv6; of IPv4 nothing whose source is not reached through this link, which with no address on it is nothing. ARP is
/// off by a flag of the link. (A tc filter would do too, but needs modules that small kernels lack.)
fn deafen(host: IfName) -> io::Result<()> {
    for (family, setting) in [("ipv6", "disable_ipv6"), ("ipv4", "rp_filter")] {
        match fs::write(format!("/proc/sys/net/{family}/conf/{host}/{setting}"), "1") {
            // No such protocol in the kernel, or an MTU below IPv6's 1280.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A container's read-only /proc: the switch works, its host is less closed.
            Err(error) if error.raw_os_error() == Some(Errno::EROFS as i32) => {
                tracing::warn!(
                    "{host}: cannot set {setting}: /proc/sys is read-only: containers can reach the host by it"
                );
            }
            done => done?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use paceline_sys::netns::Scratch;

    use super::*;

    #[tokio::test]
    async fn what_was_made_before_a_step_failed_is_gone() {
        let Some(net) = Scratch::for_test() else { return };
        let links = Links::host("paceline").expect("host").at(net.path()).await.expect("namespace");
        let name = |text: &str| text.parse::<IfName>().expect("a name");
        // Past the check, for the kernel to refuse the mark of a link that exists by then.
        let spec = Spec { name: name("plc0"), id: "x".repeat(300), mac: [2; 6], mtu: 1500, queues: 1 };
        for failed in [links.tap(&spec).await, links.veth(name("plh0"), &spec).await] {
            let failed = failed.expect_err("refused").to_string();
            assert!(failed.starts_with("create ") && failed.contains("plc0"), "{failed}");
            assert_eq!(net.ip("-o link").lines().count(), 1, "but the loopback");
        }
    }
}
