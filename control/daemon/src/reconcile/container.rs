//! Links of containers: found again wherever they are, or made.
//!
//! A tap is one device: in the host's namespace from Join until Docker moves it, in the container's afterwards. A veth has a
//! host end, which stays, and a container end. Both bear the endpoint's ID, by which they are found after a restart.

use paceline_attach::{End, Mark};
use paceline_attach::{Error, Kind, Link, Links, Spec};
use paceline_model::config::{self, XdpMode};
use paceline_model::{Attach, ContainerLink, DesiredPort, IfName, MacAddr};
use paceline_tap::{Offloads, Options};

use super::device::{self, Device};
use super::open::{OpenError, Opener, Queues};

/// The name of a veth's host end: that of the container's with another third letter, so as unique as that.
pub fn host_end(link: IfName) -> IfName {
    let name = link.as_str().replacen("plc", "plh", 1);
    name.parse().expect("a name stays one with another letter in it")
}

/// Whether the link is the one end of an endpoint's attachment.
pub fn is_marked(link: &Link, end: End, endpoint: &str) -> bool {
    matches!(&link.mark, Some(Mark { end: e, id }) if *e == end && id == endpoint)
}

/// Opens the switch's side of a container's link, which is made if there is none and `create` is set.
pub async fn open(
    opener: &Opener,
    link: &ContainerLink,
    port: &DesiredPort,
    create: bool,
) -> Result<Queues, OpenError> {
    match link.attach {
        Attach::Tap => tap(opener, link, port, create).await,
        Attach::Veth | Attach::Afxdp => veth(opener, link, port, create).await,
    }
}

async fn tap(
    opener: &Opener,
    link: &ContainerLink,
    port: &DesiredPort,
    create: bool,
) -> Result<Queues, OpenError> {
    let queues = opener.workers;
    let found = find_tap(&opener.links, link).await?;
    let (device, multi_queue) = if let Some((device, multi_queue)) = found {
        (device, multi_queue)
    } else {
        opener.links.create_tap(&spec(link, port, queues, create)?).await?;
        (Device::at(link.link, None), queues > 1)
    };
    // A tap from before a restart has the queues that there were workers then.
    let queues = if multi_queue { queues } else { 1 };
    let options = Options { multi_queue, persist: false, offloads: Offloads::ALL };
    device.open(move |name| device::tap(name, options, queues)).await
}

/// The endpoint's tap, in the host's namespace or the container's, and whether it has several queues.
async fn find_tap(links: &Links, link: &ContainerLink) -> Result<Option<(Device, bool)>, OpenError> {
    let id = link.endpoint.as_str();
    let multi_queue = |link: &Link| link.kind == Kind::Tap { multi_queue: true };
    if let Some(here) = links.find(link.link).await?.filter(|here| is_marked(here, End::Container, id)) {
        return Ok(Some((Device::at(here.name, None), multi_queue(&here))));
    }
    let inside = match links.at(&link.sandbox).await {
        Ok(inside) => inside.find_container_end(id).await?,
        // Docker makes it after Join.
        Err(Error::Gone(_)) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(inside.map(|there| (Device::at(there.name, Some(link.sandbox.clone())), multi_queue(&there))))
}

async fn veth(
    opener: &Opener,
    link: &ContainerLink,
    port: &DesiredPort,
    create: bool,
) -> Result<Queues, OpenError> {
    let (links, host) = (&opener.links, host_end(link.link));
    let found = links.find(host).await?.filter(|link_| is_marked(link_, End::Host, link.endpoint.as_str()));
    if found.is_none() {
        links.create_veth(host, &spec(link, port, 1, create)?).await?;
        if link.attach == Attach::Afxdp
            && let Err(error) = links.disable_tx_checksum(link.link).await
        {
            links.delete(host).await?;
            return Err(error.into());
        }
    }
    let device = Device::at(host, None);
    if link.attach == Attach::Veth {
        return device.open(device::packet).await;
    }
    let (xdp, pool) = (opener.xdp.clone(), opener.pool.clone());
    let options = config::Afxdp { device: host, queue: 0, netns: None, mode: XdpMode::Auto, zerocopy: false };
    device.open(move |name| device::afxdp(name, &options, 1, &xdp, &pool)).await
}

/// The link to make, if one may be made.
fn spec(link: &ContainerLink, port: &DesiredPort, queues: usize, create: bool) -> Result<Spec, OpenError> {
    if !create {
        return Err(OpenError::Lost { link: link.link, sandbox: link.sandbox.clone() });
    }
    Ok(Spec {
        name: link.link,
        id: link.endpoint.to_string(),
        mac: port.mac.map_or([0; 6], MacAddr::octets),
        mtu: port.mtu.into(),
        queues: queues as u16,
    })
}
