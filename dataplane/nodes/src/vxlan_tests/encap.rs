//! What leaves by a tunnel.

use std::collections::HashMap;

use crossbeam::queue::ArrayQueue;
use paceline_buf::VnetHdr;
use paceline_graph::{Reason, Zone};

use super::*;
use crate::hop;
use crate::testing::frame;

#[test]
fn frames_leave_with_the_headers_of_their_tunnel() {
    for v6 in [false, true] {
        let mut rig = switch(v6, 1, 2);
        let mut ports = Vec::new();
        for (n, inner) in
            [frame(1, 2, 60), frame(1, 255, 1514), ip(false, 0, 9, (1, 2), 1400), ip(true, 0, 9, (1, 2), 9)]
                .into_iter()
                .chain((0..200).map(|port| ip(port % 2 == 0, 0, 64, (port, 80), 30)))
                .enumerate()
        {
            let bytes = encapsulated(&mut rig, &inner);
            assert_eq!(bytes[..12], [mac(2).octets(), mac(1).octets()].concat());
            let outer = outer(v6, &bytes, 1, 2);
            assert_eq!((outer.class, outer.ttl, outer.checksum), (0, 64, 0), "{n}");
            assert!(outer.source_port >= 49_152 && outer.inner == inner);
            ports.push(outer.source_port);
        }
        ports.sort_unstable();
        ports.dedup();
        assert!(ports.len() > 150, "flows are told apart: {}", ports.len());
        let first = encapsulated(&mut rig, &ip(false, 0, 9, (5, 6), 100));
        let second = encapsulated(&mut rig, &ip(false, 0, 9, (5, 6), 700));
        assert_eq!(outer(v6, &first, 1, 2).source_port, outer(v6, &second, 1, 2).source_port, "a flow stays");
        let counters = &rig.snapshot.interface(TUNNEL).expect("there").counters[0];
        assert_eq!(counters.tx_packets.get(), 206);
    }
}

#[test]
fn class_and_time_to_live_are_set_or_inherited_and_ecn_always_copied() {
    for v6 in [false, true] {
        let mut rig = switch(v6, 1, 2);
        for (dscp, ttl) in [(Some(0), Some(64)), (Some(46), Some(255)), (None, None), (Some(10), None)] {
            set(&mut rig, &Tunnel { dscp, ttl, ..tunnel(v6, 1, 2) });
            for inner_v6 in [false, true] {
                for class in [0, 1, 2, 3, 0xb8, 0xbb] {
                    let bytes = encapsulated(&mut rig, &ip(inner_v6, class, 17, (1, 2), 10));
                    let outer = outer(v6, &bytes, 1, 2);
                    assert_eq!(outer.class, dscp.map_or(class, |dscp| dscp << 2 | class & 3));
                    assert_eq!(outer.ttl, ttl.unwrap_or(17));
                }
            }
            let bytes = encapsulated(&mut rig, &frame(1, 2, 64));
            let outer = outer(v6, &bytes, 1, 2);
            assert_eq!((outer.class, outer.ttl), (dscp.unwrap_or(0) << 2, ttl.unwrap_or(64)), "not IP");
        }
    }
}

#[test]
fn a_checksum_is_right_where_it_is_asked_for() {
    for v6 in [false, true] {
        let (mut rig, mut far) = (switch(v6, 1, 2), switch(v6, 2, 1));
        set(&mut rig, &Tunnel { checksum: true, ..tunnel(v6, 1, 2) });
        for inner in [frame(1, 2, 61), frame(1, 2, 1000)] {
            let bytes = encapsulated(&mut rig, &inner);
            let parsed = SlicedPacket::from_ethernet(&bytes).expect("a packet");
            let Some(TransportSlice::Udp(udp)) = &parsed.transport else { panic!("no UDP") };
            let header = udp.to_header();
            let want = match &parsed.net {
                Some(NetSlice::Ipv4(ip)) => {
                    header.calc_checksum_ipv4(&ip.header().to_header(), udp.payload())
                }
                Some(NetSlice::Ipv6(ip)) => {
                    header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload())
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(udp.checksum(), want.expect("short"));
            assert_eq!(far.send(UNDERLAY, &bytes), [(PORT, inner.clone())], "and is taken");
            let mut wrong = bytes.clone();
            *wrong.last_mut().expect("bytes") ^= 1;
            assert_eq!(far.send(UNDERLAY, &wrong), [], "and a wrong one is not");
            // One that another program on this host left to be filled in is not looked at.
            let l4 = if v6 { 54 } else { 34 };
            let report =
                VnetHdr { flags: VnetHdr::NEEDS_CSUM, csum_start: l4, csum_offset: 6, ..VnetHdr::default() };
            assert_eq!(far.send_offload(UNDERLAY, &wrong, Some(report)).len(), 1);
        }
        assert_eq!(far.drops(hop::VXLAN_DECAP, Reason::UdpChecksum), 2);
    }
}

#[test]
fn the_way_is_the_routing_table_s() {
    for v6 in [false, true] {
        let (mut rig, inner) = (switch(v6, 1, 2), frame(1, 2, 100));
        let to = |rig: &mut Rig, last| set(rig, &tunnel(v6, 1, last));
        // Flows are spread, and each stays on its way.
        rig.snapshot.l2_out[SECOND as usize].zone = Zone::default();
        to(&mut rig, 14);
        let mut ways = HashMap::new();
        for port in (0..100).chain(0..100) {
            let out = rig.send(PORT, &ip(false, 0, 9, (port, 9), 40));
            assert_eq!(outer(v6, &out[0].1, 1, 14).ttl, 64);
            assert_eq!(*ways.entry(port).or_insert(out[0].0), out[0].0);
        }
        assert!((30..70).contains(&ways.values().filter(|way| **way == SECOND).count()));
        // From an isolated origin nothing goes to an isolated interface.
        to(&mut rig, 16);
        assert_eq!(rig.ports(PORT, &inner), [SECOND]);
        for port in [UNDERLAY, SECOND] {
            rig.snapshot.l2_out[port as usize].zone = Zone::new(0, true);
        }
        assert_eq!(rig.ports(PORT, &inner), []);
        let node = if v6 { hop::IP6_ROUTE } else { hop::IP4_ROUTE };
        assert_eq!(rig.drops(node, Reason::SplitHorizon), 1);
        // Who must be asked for, is: the packet waits with control, as it will be sent.
        let punt = Arc::new(ArrayQueue::new(4));
        rig.snapshot.punt = Some(Arc::clone(&punt));
        to(&mut rig, 13);
        assert_eq!(rig.ports(PORT, &inner), []);
        let mut packet = punt.pop().expect("punted");
        assert_eq!((packet.reason, packet.rx, packet.tx), (Reason::NoNeighbour as u16, UNDERLAY, UNDERLAY));
        assert_eq!(outer(v6, packet.data(), 1, 13).ttl, 65, "a routing node takes one");
        packet.set_len(0);
        rig.release(vec![packet]);
        // Nowhere, to the switch itself, or by a table that is not there.
        to(&mut rig, 17);
        assert_eq!(rig.ports(PORT, &inner), []);
        assert_eq!(rig.drops(hop::ICMP_ERROR, Reason::NoRoute), 1);
        to(&mut rig, 15);
        assert_eq!(rig.ports(PORT, &inner), []);
        assert_eq!(rig.drops(hop::VXLAN_ENCAP, Reason::TunnelLoop), 1);
        set(&mut rig, &Tunnel { vrf: 9, ..tunnel(v6, 1, 2) });
        assert_eq!(rig.ports(PORT, &inner), []);
        assert_eq!(rig.drops(hop::VXLAN_ENCAP, Reason::NoVrf), 1);
        rig.snapshot.interfaces[TUNNEL as usize].as_mut().expect("there").tunnel = None;
        assert_eq!(rig.ports(PORT, &inner), []);
        assert_eq!(rig.drops(hop::VXLAN_ENCAP, Reason::TunnelDown), 1);
    }
}

#[test]
fn what_is_too_long_or_has_no_room_is_dropped() {
    for v6 in [false, true] {
        let mut rig = switch(v6, 1, 2);
        rig.snapshot.l2_out[TUNNEL as usize].max_frame = 9000;
        let headers = if v6 { 56 } else { 36 };
        assert_eq!(encapsulated(&mut rig, &frame(1, 2, 1600 - headers)).len(), 1614);
        assert_eq!(rig.ports(PORT, &frame(1, 2, 1601 - headers)), []);
        assert_eq!(rig.drops(hop::VXLAN_ENCAP, Reason::TooBig), 1);
        rig.headroom = headers + HEADER_LEN - 1;
        assert_eq!(rig.ports(PORT, &frame(1, 2, 64)), []);
        assert_eq!(rig.drops(hop::VXLAN_ENCAP, Reason::NoHeadroom), 1);
        // Nor is it counted as sent, where nothing else was.
        set(&mut rig, &tunnel(v6, 1, 15));
        assert_eq!(rig.ports(PORT, &frame(1, 2, 64)), []);
        let counters = &rig.snapshot.interface(TUNNEL).expect("there").counters[0];
        assert_eq!((counters.tx_packets.get(), counters.tx_bytes.get()), (1, 1600 - headers as u64));
    }
}

#[test]
fn a_loop_of_tunnels_ends() {
    // Both ends are the switch's own, in two tables, and a bridge is at either end of it all.
    let mut rig = switch(false, 1, 2);
    rig.interface(4, Features { patch: true, ..Features::default() }, |i| i.peer = Some(5));
    rig.interface(5, Features { patch: true, routed: true, ..Features::default() }, |i| {
        (i.peer, i.domain) = (Some(4), 1);
        i.l3 = Some(L3 { mac: mac(2), address4: None, address6: None, mtu: 1600 });
    });
    rig.interface(6, Features { tunnel: true, ..Features::default() }, |_| ());
    // What is for the other end leaves by a patch, comes in there and is that end's; its bridge is the one that it came from.
    let link = Link { interface: 4, mtu: 1600, source: mac(1), version: IpVersion::V4 };
    let lines = Adjacencies::new(4);
    lines.get(1).act(Action::Tunnel);
    lines.get(2).forward(link, mac(2));
    rig.snapshot.adjacencies = Arc::new(lines);
    let mut rib4 = Rib4::new().expect("room");
    rib4.insert("192.0.2.2/32".parse().expect("a prefix"), 1).expect("room");
    let (fib4, fib6) = (Arc::clone(rib4.fib()), Arc::clone(&rig.snapshot.vrfs[0].fib6));
    rig.snapshot.vrfs.push(Vrf { name: "far".into(), fib4, fib6 });
    let (near, far) = (tunnel(false, 1, 2), Tunnel { vrf: 1, origin: 5, ..tunnel(false, 2, 1) });
    let interface = rig.snapshot.interfaces[6].as_mut().expect("there");
    interface.tunnel = Some(Arc::new(far.clone()));
    rig.snapshot.tunnels = TunnelEnds::new([(TUNNEL, &near), (6, &far)].into_iter());
    rig.snapshot.l2_out[4].max_frame = 2000;
    let out = rig.ports(PORT, &frame(1, 255, 64));
    assert!(out.iter().all(|port| *port == PORT), "{out:?}");
    assert_eq!(rig.drops(hop::VXLAN_ENCAP, Reason::TunnelLoop), 1);
}

#[test]
fn super_packets_and_unfinished_ones_are_finished_before() {
    let mut rig = switch(false, 1, 2);
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([1; 4], [2; 4], 9)
        .tcp(1, 2, 3, 4)
        .write(&mut bytes, &[7; 3000])
        .expect("written");
    let request = VnetHdr {
        flags: VnetHdr::NEEDS_CSUM,
        gso_type: VnetHdr::GSO_TCPV4,
        hdr_len: 54,
        gso_size: 1000,
        csum_start: 34,
        csum_offset: 16,
    };
    let out = rig.send_offload(PORT, &bytes, Some(request));
    assert_eq!(out.len(), 3);
    for (port, bytes, offload) in out {
        assert_eq!((port, offload), (UNDERLAY, None));
        let inner = outer(false, &bytes, 1, 2).inner;
        assert_eq!(inner.len(), 1054);
        let parsed = SlicedPacket::from_ethernet(&inner).expect("a packet");
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (parsed.net, parsed.transport)
        else {
            panic!("no TCP");
        };
        assert_eq!(
            tcp.checksum(),
            tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination()).expect("short")
        );
    }
}

#[test]
fn a_trace_says_it_in_words() {
    let mut rig = switch(false, 1, 2);
    rig.graph.trace().add(2, None);
    encapsulated(&mut rig, &frame(1, 2, 64));
    let bytes = encapsulated(&mut switch(false, 2, 1), &frame(2, 1, 64));
    assert_eq!(rig.ports(UNDERLAY, &bytes), [PORT]);
    let records = rig.graph.trace().records();
    assert!(records[0].text.contains("vxlan-encap: p1: network 4660, to 192.0.2.2\n"), "{}", records[0].text);
    assert!(records[1].text.contains("vxlan-decap: came by p1\n"), "{}", records[1].text);
}
