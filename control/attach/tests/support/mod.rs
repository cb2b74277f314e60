//! What the tests share.

use paceline_attach::{Link, Links};
use paceline_sys::{IfName, NetNs};
use paceline_tap::{Options, Tap, TapError};

pub fn name(text: &str) -> IfName {
    text.parse().expect("a name")
}

pub async fn get(links: &Links, link: &str) -> Link {
    links.find(name(link)).await.expect("found out").unwrap_or_else(|| panic!("no link {link}"))
}

/// Opens a tap as a port does. A test that starts a program at this moment lends it our descriptors until its exec(2), so
/// that a tap just closed can be busy yet.
#[allow(dead_code, reason = "not every test opens one")]
pub fn open(net: &NetNs, link: &str, options: Options) -> Tap {
    loop {
        match net.run(|| Tap::open(link, options)).expect("namespace") {
            Err(TapError::Busy(_)) => std::thread::yield_now(),
            opened => return opened.expect("opened"),
        }
    }
}

/// The link, once nobody has it open; see [`open`].
#[allow(dead_code, reason = "not every test closes one")]
pub async fn get_idle(links: &Links, link: &str) -> Link {
    loop {
        let link = get(links, link).await;
        if !link.carrier {
            return link;
        }
    }
}
