//! What control says in a station's place.

use paceline_wire::arp::Arp;
use paceline_wire::ethernet::{ETHERTYPE_IPV6, addresses, ethertype};
use paceline_wire::ndp::{self, Message};

use super::*;

#[test]
fn a_station_that_came_is_known_to_all() {
    for workers in [1, 2] {
        let mut engine = engine(workers, Mode::Adaptive);
        let peers = ["a", "b", "c"].map(|name| attach(&mut engine, name));
        let mut topology = topology(&["a", "b", "c", "d"]);
        // Another bridge hears nothing of it.
        let bridge = topology.bridges.get_mut("br").expect("it");
        let away = bridge.members.remove("d").expect("it");
        let other = BridgeSpec { members: [("d".to_string(), away)].into(), ..bridge.clone() };
        topology.bridges.insert("another".into(), other);
        let stranger = attach(&mut engine, "d");
        engine.configure(topology).expect("configured");
        // It was behind another port until now.
        peers[1].send(&frame(9, 2));
        assert!(arrives(&peers[0], &frame(9, 2)) && arrives(&peers[2], &frame(9, 2)));

        let mac = Mac::from_octets([2, 0, 0, 0, 0, 9]);
        let own: [IpAddr; 2] = ["10.0.0.9", "fd00::9"].map(|text| text.parse().expect("an address"));
        engine.announce("a", mac, &own);
        engine.announce("nobody", mac, &own);
        for peer in [&peers[1], &peers[2]] {
            let mut heard = Vec::new();
            eventually(|| {
                heard.extend(std::iter::from_fn(|| peer.receive()));
                heard.len() == 2
            });
            assert!(heard.iter().all(|frame| addresses(frame).is_some_and(|(_, from)| from == mac)));
            let arp = Arp::parse(&heard[0]).expect("ARP");
            assert!(arp.is_announcement() && arp.sender == [10, 0, 0, 9]);
            assert_eq!(ethertype(&heard[1]), Some(ETHERTYPE_IPV6));
            let Ok(Message::Advertisement(tell)) = ndp::parse(&heard[1][14..]) else { panic!("{heard:?}") };
            assert!(tell.overrides && !tell.router && !tell.solicited && tell.link_layer == Some(mac));
        }
        assert!(peers[0].receive().is_none() && stranger.receive().is_none());
        let macs = engine.macs(None);
        assert_eq!(macs.iter().map(|m| m.interface.as_str()).collect::<Vec<_>>(), ["a"], "it moved");
        full_again(engine);
    }
}
