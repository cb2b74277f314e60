//! One rtnetlink connection into one namespace: a request, and its whole answer.

use std::io;

use futures_util::StreamExt;
use nix::errno::Errno;
use rtnetlink::Handle;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::neighbour::NeighbourMessage;
use rtnetlink::packet_route::route::RouteMessage;

/// The connection; it ends when the last clone is dropped.
///
/// Requests are written out here rather than through rtnetlink's request builders, as those take a connection that broke
/// for success, and a list that changed while it was read for a whole one.
#[derive(Debug, Clone)]
pub(crate) struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Connects in the namespace of the calling thread, which must be in the context of a tokio runtime. The kernel is asked to
    /// be strict, as then alone it lists a part of its routes.
    pub(crate) fn connect() -> io::Result<Self> {
        let (mut connection, handle, _) = rtnetlink::new_connection_with_strict_check()?;
        connection.set_forward_ack(true);
        connection.set_forward_done(true);
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// `RTM_NEWLINK`: creates.
    pub(crate) async fn create(&self, link: LinkMessage) -> io::Result<()> {
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.ask(RouteNetlinkMessage::NewLink(link), flags).await.map(drop)
    }

    /// `RTM_SETLINK`: changes.
    pub(crate) async fn set(&self, link: LinkMessage) -> io::Result<()> {
        self.ask(RouteNetlinkMessage::SetLink(link), NLM_F_ACK).await.map(drop)
    }

    /// `RTM_DELLINK`.
    pub(crate) async fn delete(&self, link: LinkMessage) -> io::Result<()> {
        self.ask(RouteNetlinkMessage::DelLink(link), NLM_F_ACK).await.map(drop)
    }

    /// `RTM_GETLINK` for one.
    pub(crate) async fn get(&self, link: LinkMessage) -> io::Result<LinkMessage> {
        let answer = self.ask(RouteNetlinkMessage::GetLink(link), 0).await?;
        answer.links.into_iter().next().ok_or_else(|| Errno::ENODEV.into())
    }

    /// `RTM_GETLINK` for all, as of one moment: asked again when a link came or went in between.
    pub(crate) async fn dump(&self) -> io::Result<Vec<LinkMessage>> {
        loop {
            let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
            let answer = self.ask(all, NLM_F_DUMP).await?;
            if !answer.interrupted {
                return Ok(answer.links);
            }
        }
    }

    /// `RTM_NEWADDR`: creates.
    pub(crate) async fn add_address(&self, address: AddressMessage) -> io::Result<()> {
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.ask(RouteNetlinkMessage::NewAddress(address), flags).await.map(drop)
    }

    /// `RTM_DELADDR`.
    pub(crate) async fn delete_address(&self, address: AddressMessage) -> io::Result<()> {
        self.ask(RouteNetlinkMessage::DelAddress(address), NLM_F_ACK).await.map(drop)
    }

    /// `RTM_GETADDR` for all, as of one moment.
    pub(crate) async fn addresses(&self) -> io::Result<Vec<AddressMessage>> {
        loop {
            let all = RouteNetlinkMessage::GetAddress(AddressMessage::default());
            let answer = self.ask(all, NLM_F_DUMP).await?;
            if !answer.interrupted {
                return Ok(answer.addresses);
            }
        }
    }

    /// `RTM_GETROUTE` for those that a message describes, as of one moment.
    pub(crate) async fn routes(&self, like: RouteMessage) -> io::Result<Vec<RouteMessage>> {
        loop {
            let answer = self.ask(RouteNetlinkMessage::GetRoute(like.clone()), NLM_F_DUMP).await?;
            if !answer.interrupted {
                return Ok(answer.routes);
            }
        }
    }

    /// `RTM_GETNEIGH` for one.
    pub(crate) async fn neighbour(&self, neighbour: NeighbourMessage) -> io::Result<NeighbourMessage> {
        let answer = self.ask(RouteNetlinkMessage::GetNeighbour(neighbour), 0).await?;
        answer.neighbours.into_iter().next().ok_or_else(|| Errno::ENOENT.into())
    }

    /// `RTM_NEWNEIGH`: creates or changes.
    pub(crate) async fn set_neighbour(&self, neighbour: NeighbourMessage) -> io::Result<()> {
        let flags = NLM_F_ACK | NLM_F_CREATE;
        self.ask(RouteNetlinkMessage::NewNeighbour(neighbour), flags).await.map(drop)
    }

    /// Fails with `BrokenPipe` when the connection ends before the answer does.
    async fn ask(&self, request: RouteNetlinkMessage, flags: u16) -> io::Result<Answer> {
        let mut request = NetlinkMessage::from(request);
        request.header.flags = NLM_F_REQUEST | flags;
        let mut stream = self.handle.clone().request(request).map_err(|_| io::ErrorKind::BrokenPipe)?;
        let mut answer = Answer::default();
        while let Some(message) = stream.next().await {
            answer.interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
            match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => answer.links.push(link),
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
                    answer.addresses.push(address);
                }
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
                    answer.routes.push(route);
                }
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(neighbour)) => {
                    answer.neighbours.push(neighbour);
                }
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                NetlinkPayload::Done(done) if done.code < 0 => {
                    return Err(io::Error::from_raw_os_error(-done.code));
                }
                NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answer),
                _ => {}
            }
            // The answer to a request for one thing has no end but itself.
            if flags == 0 {
                return Ok(answer);
            }
        }
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[derive(Default)]
struct Answer {
    links: Vec<LinkMessage>,
    addresses: Vec<AddressMessage>,
    routes: Vec<RouteMessage>,
    neighbours: Vec<NeighbourMessage>,
    interrupted: bool,
}
