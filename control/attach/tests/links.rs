//! Links as the kernel makes them, in namespaces of each test's own.

use std::collections::HashSet;

use futures_util::FutureExt;
use paceline_attach::{End, Error, Kind, Links, Mark, Spec};
use paceline_sys::ethtool;
use paceline_sys::netns::Scratch;
use paceline_tap::Options;

mod support;
use support::{get, get_idle, name, open};

const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 5];

fn spec(link: &str, id: &str) -> Spec {
    Spec { name: name(link), id: id.into(), mac: MAC, mtu: 1400, queues: 1 }
}

fn mark(end: End, id: &str) -> Mark {
    Mark { end, id: id.into() }
}

async fn links(net: &Scratch) -> Links {
    Links::host("paceline").expect("host").at(net.path()).await.expect("namespace")
}

#[tokio::test]
async fn a_tap_is_made_whole() {
    let Some(net) = Scratch::for_test() else { return };
    let links = links(&net).await;
    links.create_tap(&spec("plc0", "e1")).await.expect("created");
    links.create_tap(&Spec { queues: 4, ..spec("plc1", "e2") }).await.expect("created");
    let tap = get(&links, "plc0").await;
    assert_eq!(tap.kind, Kind::Tap { multi_queue: false });
    assert_eq!((tap.mac, tap.mtu, tap.up, tap.peer), (MAC, 1400, false, None));
    assert_eq!(tap.mark, Some(mark(End::Container, "e1")));
    assert_eq!(get(&links, "plc1").await.kind, Kind::Tap { multi_queue: true });
    links.set_up(name("plc0"), true).await.expect("up");
    get_idle(&links, "plc0").await;
    let open = open(&net, "plc0", Options::default());
    assert!(get(&links, "plc0").await.carrier);
    drop(open);
    assert!(get_idle(&links, "plc0").await.up, "persistent");
}

#[tokio::test]
async fn a_veth_is_made_whole() {
    let Some(net) = Scratch::for_test() else { return };
    let links = links(&net).await;
    let wanted = Spec { queues: 2, ..spec("plc0", "e1") };
    links.create_veth(name("plh0"), &wanted).await.expect("created");
    let (host, peer) = (get(&links, "plh0").await, get(&links, "plc0").await);
    assert_eq!((&host.kind, &peer.kind), (&Kind::Veth, &Kind::Veth));
    assert_eq!((host.mark, peer.mark), (Some(mark(End::Host, "e1")), Some(mark(End::Container, "e1"))));
    assert_eq!((host.mtu, peer.mtu, peer.mac), (1400, 1400, MAC));
    assert!(host.up && !host.carrier && !peer.up);
    assert_eq!(host.peer.map(|peer| (peer.index, peer.netns)), Some((peer.index, None)));
    assert_eq!(peer.peer.map(|peer| (peer.index, peer.netns)), Some((host.index, None)));
    let detail = net.ip("-d link show plc0");
    assert!(detail.contains("numtxqueues 2 numrxqueues 2"), "{detail}");
}

#[tokio::test]
async fn a_name_in_use_is_refused_and_nothing_of_the_holder_changes() {
    let Some(net) = Scratch::for_test() else { return };
    let links = links(&net).await;
    links.create_tap(&spec("plc0", "e1")).await.expect("created");
    let before = links.ours().await.expect("listed");
    let other = Spec { mac: [2; 6], mtu: 9000, ..spec("plc0", "e2") };
    for result in [
        links.create_tap(&other).await,
        links.create_veth(name("plh0"), &other).await,
        links.create_veth(name("plc0"), &spec("plc1", "e3")).await,
    ] {
        assert!(matches!(result, Err(Error::InUse { .. })), "{result:?}");
    }
    assert_eq!(links.ours().await.expect("listed"), before);
}

#[tokio::test]
async fn bad_specs_are_refused_before_anything_is_made() {
    let Some(net) = Scratch::for_test() else { return };
    let links = links(&net).await;
    let good = spec("plc0", "e1");
    let bad = [
        Spec { mtu: 67, ..good.clone() },
        Spec { mtu: 65522, ..good.clone() },
        Spec { queues: 0, ..good.clone() },
        Spec { queues: 257, ..good.clone() },
        Spec { mac: [0; 6], ..good.clone() },
        Spec { mac: [0xff; 6], ..good.clone() },
        Spec { id: String::new(), ..good.clone() },
        Spec { id: "x".repeat(Mark::MAX), ..good.clone() },
    ];
    for spec in bad {
        links.create_tap(&spec).await.expect_err("tap");
        links.create_veth(name("plh0"), &spec).await.expect_err("veth");
    }
    assert_eq!(links.ours().await.expect("listed"), []);
    let longest = Spec { id: "x".repeat(Mark::MAX - "paceline".len()), mtu: 65521, queues: 256, ..good };
    links.create_veth(name("plh0"), &longest).await.expect("the largest veth");
    links.delete(name("plh0")).await.expect("deleted");
    links.create_tap(&longest).await.expect("the largest tap");
    assert_eq!(get(&links, "plc0").await.mark, Some(mark(End::Container, &longest.id)));
}

#[tokio::test]
async fn the_mark_survives_move_and_rename_and_a_return() {
    let (Some(host), Some(sandbox)) = (Scratch::for_test(), Scratch::for_test()) else { return };
    let (outside, inside) = (links(&host).await, links(&sandbox).await);
    outside.create_tap(&spec("plc0", "e1")).await.expect("created");
    outside.create_veth(name("plh1"), &spec("plc1", "e2")).await.expect("created");
    outside.disable_tx_checksum(name("plc1")).await.expect("checksums off");
    for (link, id, new) in [("plc0", "e1", "eth0"), ("plc1", "e2", "eth1")] {
        outside.move_to(get(&outside, link).await.index, &inside, name(new)).await.expect("moved");
        assert_eq!(outside.find(name(link)).await.expect("looked"), None);
        assert_eq!(outside.find_container_end(id).await.expect("looked"), None);
        let found = inside.find_container_end(id).await.expect("looked").expect("its mark");
        assert_eq!((found.name, found.mac, found.mtu), (name(new), MAC, 1400));
    }
    let peer = get(&outside, "plh1").await.peer.expect("a peer");
    assert_eq!(peer.index, get(&inside, "eth1").await.index);
    assert!(peer.netns.is_some(), "the peer is elsewhere");
    assert!(!sandbox.run(|| ethtool::tx_checksum(&name("eth1")).expect("asked")).expect("inside"));
    let back = get(&inside, "eth0").await;
    inside.move_to(back.index, &outside, name("plc0")).await.expect("returned");
    assert_eq!(get(&outside, "plc0").await.mark, Some(mark(End::Container, "e1")));
}

#[tokio::test]
async fn another_tag_sees_none_of_ours() {
    let Some(net) = Scratch::for_test() else { return };
    links(&net).await.create_veth(name("plh0"), &spec("plc0", "e1")).await.expect("created");
    let other = Links::host("other").expect("host").at(net.path()).await.expect("namespace");
    assert_eq!(other.ours().await.expect("listed"), []);
    assert_eq!(get(&other, "plc0").await.mark, None);
}

#[tokio::test]
async fn delete_can_be_repeated_and_takes_the_peer_with_it() {
    let (Some(host), Some(sandbox)) = (Scratch::for_test(), Scratch::for_test()) else { return };
    let (outside, inside) = (links(&host).await, links(&sandbox).await);
    outside.create_veth(name("plh0"), &spec("plc0", "e1")).await.expect("created");
    outside.create_tap(&spec("plc1", "e2")).await.expect("created");
    let (veth, tap) = (get(&outside, "plc0").await.index, get(&outside, "plc1").await.index);
    outside.move_to(veth, &inside, name("eth0")).await.expect("moved");
    outside.move_to(tap, &inside, name("eth1")).await.expect("moved");
    for _ in 0..2 {
        outside.delete(name("plh0")).await.expect("by name");
        assert_eq!(inside.find(veth).await.expect("looked"), None);
        inside.delete(tap).await.expect("by index");
        assert_eq!(inside.ours().await.expect("listed"), []);
    }
}

#[tokio::test]
async fn settings_of_a_link_and_of_none() {
    let Some(net) = Scratch::for_test() else { return };
    let links = links(&net).await;
    links.create_tap(&spec("plc0", "e1")).await.expect("created");
    let index = get(&links, "plc0").await.index;
    links.set_mtu(index, 9000).await.expect("mtu");
    links.set_up(name("plc0"), true).await.expect("up");
    assert_eq!(get(&links, "plc0").await, links.find(index).await.expect("looked").expect("by index"));
    assert_eq!((get(&links, "plc0").await.mtu, get(&links, "plc0").await.up), (9000, true));
    links.set_up(index, false).await.expect("down");
    assert!(!get(&links, "plc0").await.up);
    let refused = links.set_mtu(index, 70_000).await.expect_err("too large").to_string();
    assert!(refused.starts_with(&format!("set the mtu of link {index} in /proc/")), "{refused}");
    let nobody = name("nobody");
    for missing in [
        links.set_mtu(nobody, 1500).await,
        links.set_up(nobody, true).await,
        links.disable_tx_checksum(nobody).await,
        links.move_to(99, &links, nobody).await,
    ] {
        assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    }
    assert_eq!(links.find(nobody).await.expect("looked"), None);
}

#[tokio::test]
async fn a_namespace_that_is_gone_says_so() {
    let host = Links::host("paceline").expect("host");
    // As /run/docker/netns looks when a container has ended: the mount is gone, and then the file.
    let unmounted = tempfile::NamedTempFile::new().expect("file");
    let missing = unmounted.path().with_extension("gone");
    for path in [unmounted.path().into(), missing] {
        let error = host.at(&path).await.expect_err("gone");
        assert!(matches!(&error, Error::Gone(at) if *at == path), "{error}");
    }
}

#[tokio::test]
async fn a_creation_that_nobody_waits_for_is_finished() {
    let Some(net) = Scratch::for_test() else { return };
    let links = links(&net).await;
    assert!(links.create_tap(&spec("plc0", "e1")).now_or_never().is_none(), "dropped in the middle");
    assert!(
        links.create_veth(name("plh1"), &spec("plc1", "e2")).now_or_never().is_none(),
        "dropped in the middle"
    );
    while links.ours().await.expect("listed").len() < 3 {
        tokio::task::yield_now().await;
    }
    open(&net, "plc0", Options::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once() {
    let Some(net) = Scratch::for_test() else { return };
    let links = links(&net).await;
    let tasks: Vec<_> = (0..50)
        .map(|i| {
            let links = links.clone();
            tokio::spawn(async move {
                let spec = spec(&format!("plc{i}"), &format!("e{i}"));
                if i % 2 == 0 {
                    links.create_tap(&spec).await.expect("tap");
                } else {
                    links.create_veth(name(&format!("plh{i}")), &spec).await.expect("veth");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("made");
    }
    let ours = links.ours().await.expect("listed");
    let marks: HashSet<_> = ours.iter().filter_map(|link| link.mark.clone()).collect();
    assert_eq!((ours.len(), marks.len()), (75, 75));
    for link in ours {
        links.delete(link.index).await.expect("deleted");
    }
    assert_eq!(links.ours().await.expect("listed"), []);
}
