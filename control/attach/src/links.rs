//! The links of one namespace: found, changed, removed.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paceline_sys::{IfName, NetNs, ethtool};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use tokio::runtime;
use tokio::task::spawn_blocking;

use crate::error::Error;
use crate::info::Link;
use crate::mark::End;
use crate::netlink::Netlink;

/// Which link, within a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// By its index.
    Index(u32),
    /// By its present name.
    Name(IfName),
}

/// A netlink connection into one namespace, and all that is done to the links there. Cheap to clone.
///
/// Needs a tokio runtime. The kernel answers a request within the system call that sends it, so a request occupies its
/// thread of the runtime as long as others hold the kernel's link lock: use the multi-threaded one beside other work.
#[derive(Debug, Clone)]
pub struct Links {
    pub(crate) netlink: Netlink,
    pub(crate) tag: Arc<str>,
    netns: Arc<NetNs>,
    path: Option<Arc<Path>>,
}

impl Links {
    /// The links of the calling thread's namespace: open it once and keep it.
    ///
    /// Links are marked with `tag` ([`Mark`](crate::Mark)), and only those with it are ours: a second switch on the same
    /// host takes another.
    ///
    /// # Errors
    /// [`Error::Namespace`] when no socket can be had.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn host(tag: &str) -> Result<Self, Error> {
        let here = |source| Error::namespace("/proc/thread-self/ns/net".into(), source);
        let netns = Arc::new(NetNs::current().map_err(here)?);
        Ok(Self { netlink: Netlink::connect().map_err(here)?, tag: tag.into(), netns, path: None })
    }

    /// The links of the namespace at `path`, such as Docker's `SandboxKey`, with the same tag. It costs a thread and a
    /// socket for a moment (some 100 µs): open it when needed.
    ///
    /// The value holds the namespace open: drop it soon after the container is to go.
    ///
    /// # Errors
    /// [`Error::Gone`] when there is no namespace at `path`, [`Error::Namespace`].
    pub async fn at(&self, path: impl Into<PathBuf>) -> Result<Self, Error> {
        let (path, runtime) = (path.into(), runtime::Handle::current());
        let open = {
            let path = path.clone();
            move || -> io::Result<_> {
                let netns = NetNs::open(path)?;
                // A netlink socket belongs to the namespace of the thread that makes it; the runtime may use it anywhere.
                let netlink = netns.run(|| {
                    let _context = runtime.enter();
                    Netlink::connect()
                })??;
                Ok((netns, netlink))
            }
        };
        let opened = spawn_blocking(open).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let (netns, netlink) = opened.map_err(|source| Error::namespace(path.clone(), source))?;
        Ok(Self { netlink, tag: self.tag.clone(), netns: Arc::new(netns), path: Some(path.into()) })
    }

    /// The link, if there is one.
    ///
    /// # Errors
    /// [`Error::Kernel`], [`Error::Closed`].
    pub async fn find(&self, which: impl Into<Which>) -> Result<Option<Link>, Error> {
        let which = which.into();
        match self.netlink.get(which.message().build()).await {
            Ok(message) => Ok(Link::read(&message, &self.tag)),
            Err(error) => absent_is_fine(self.error("find", &which, error)).map(|()| None),
        }
    }

    /// The container's end of the attachment `id`, by its mark, whatever it is called now.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn find_container_end(&self, id: &str) -> Result<Option<Link>, Error> {
        let is_it =
            |link: &Link| link.mark.as_ref().is_some_and(|mark| mark.end == End::Container && mark.id == id);
        Ok(self.ours().await?.into_iter().find(is_it))
    }

    /// All links here with a mark of our tag.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn ours(&self) -> Result<Vec<Link>, Error> {
        let all = self.netlink.dump().await.map_err(|error| self.error("list", &"links", error))?;
        let read = all.iter().filter_map(|message| Link::read(message, &self.tag));
        Ok(read.filter(|link| link.mark.is_some()).collect())
    }

    /// Removes the link, with its peer if it has one. Fine when there is none.
    ///
    /// # Errors
    /// [`Error::Kernel`], [`Error::Closed`].
    pub async fn delete(&self, which: impl Into<Which>) -> Result<(), Error> {
        let which = which.into();
        let deleted = self.netlink.delete(which.message().build()).await;
        deleted.or_else(|error| absent_is_fine(self.error("delete", &which, error)))
    }

    /// Sets the MTU, in bytes without the Ethernet header.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Kernel`] with EINVAL when the device does not take that many.
    pub async fn set_mtu(&self, which: impl Into<Which>, bytes: u32) -> Result<(), Error> {
        let which = which.into();
        self.set("set the mtu of", &which, which.message().mtu(bytes).build()).await
    }

    /// Sets the link up or down.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Kernel`].
    pub async fn set_up(&self, which: impl Into<Which>, up: bool) -> Result<(), Error> {
        let which = which.into();
        let message = if up { which.message().up() } else { which.message().down() };
        self.set("set up or down", &which, message.build()).await
    }

    /// Moves a link to another namespace and renames it, in one step. It arrives down and without addresses; mark, MAC,
    /// MTU and offloads stay. Its index may change.
    ///
    /// # Errors
    /// [`Error::InUse`] when `name` is taken there, [`Error::NotFound`], [`Error::Kernel`].
    pub async fn move_to(&self, index: u32, to: &Self, name: IfName) -> Result<(), Error> {
        let namespace = to.netns.as_fd().as_raw_fd();
        let message = Which::Index(index).message().name(name.as_str()).setns_by_fd(namespace);
        self.set("move", &Which::Index(index), message.build()).await
    }

    /// Makes the kernel finish checksums, and so segments, before it sends a frame out of this link. For the container's
    /// end of a veth whose host end is bound by AF_XDP, where frames arrive without the metadata to finish them.
    ///
    /// It stays through a move and a rename.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Kernel`].
    pub async fn disable_tx_checksum(&self, name: IfName) -> Result<(), Error> {
        let done = self.inside(move || ethtool::set_tx_checksum(&name, false)).await.and_then(|done| done);
        done.map_err(|error| self.error("disable tx checksums of", &name, error))
    }

    pub(crate) async fn set(
        &self,
        step: &'static str,
        which: &(impl fmt::Display + ?Sized),
        message: LinkMessage,
    ) -> Result<(), Error> {
        self.netlink.set(message).await.map_err(|error| self.error(step, which, error))
    }

    /// Runs `work`, which may block, on a thread inside the namespace.
    pub(crate) async fn inside<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> io::Result<R> {
        let netns = self.netns.clone();
        match spawn_blocking(move || netns.run(work)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
            },
        }
    }

    pub(crate) fn error(
        &self,
        step: &'static str,
        which: &(impl fmt::Display + ?Sized),
        source: io::Error,
    ) -> Error {
        let link = match &self.path {
            Some(path) => format!("{which} in {}", path.display()),
            None => which.to_string(),
        };
        Error::kernel(step, link, source)
    }
}

impl Which {
    /// A message that names the link; with an index, a name in it is a new one.
    pub(crate) fn message(&self) -> LinkMessageBuilder<LinkUnspec> {
        match self {
            Self::Index(index) => LinkUnspec::new_with_index(*index),
            Self::Name(name) => LinkUnspec::new_with_name(name.as_str()),
        }
    }
}

impl From<u32> for Which {
    fn from(index: u32) -> Self {
        Self::Index(index)
    }
}

impl From<IfName> for Which {
    fn from(name: IfName) -> Self {
        Self::Name(name)
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "link {index}"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

fn absent_is_fine(error: Error) -> Result<(), Error> {
    if matches!(error, Error::NotFound { .. }) { Ok(()) } else { Err(error) }
}
