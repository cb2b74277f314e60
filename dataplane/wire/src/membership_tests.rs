use etherparse::{NetSlice, SlicedPacket};
use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

const HOST: Mac = Mac(0x0200_0000_0001);

fn said(source: &str, group: &str, say: Say, dialect: Dialect) -> Vec<u8> {
    let mut out = vec![0; MAX_LEN];
    let len = write(HOST, ip(source), ip(group), say, dialect, &mut out).expect("room");
    out.truncate(len);
    out
}

#[test]
fn igmp_is_said_as_the_rfcs_write_it() {
    for (say, dialect, to, want) in [
        (
            Say::Join,
            Dialect::New,
            [224, 0, 0, 22],
            &[0x22, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 239, 1, 2, 3][..],
        ),
        (Say::Member, Dialect::New, [224, 0, 0, 22], &[0x22, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 239, 1, 2, 3]),
        (Say::Leave, Dialect::New, [224, 0, 0, 22], &[0x22, 0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 0, 239, 1, 2, 3]),
        (Say::Join, Dialect::Old, [239, 1, 2, 3], &[0x16, 0, 0, 0, 239, 1, 2, 3]),
        (Say::Member, Dialect::Old, [239, 1, 2, 3], &[0x16, 0, 0, 0, 239, 1, 2, 3]),
        (Say::Leave, Dialect::Old, [224, 0, 0, 2], &[0x17, 0, 0, 0, 239, 1, 2, 3]),
    ] {
        let frame = said("192.0.2.1", "239.1.2.3", say, dialect);
        let Some(NetSlice::Ipv4(packet)) = SlicedPacket::from_ethernet(&frame).expect("a packet").net else {
            panic!("no IPv4");
        };
        let header = packet.header().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!((header.time_to_live, header.protocol.0, header.destination), (1, IGMP, to));
        assert_eq!(&header.options[..], ROUTER_ALERT_V4);
        assert_eq!(frame[..6], Mac::of_group_v4(to).octets());
        let mut message = packet.payload().payload.to_vec();
        assert_eq!(Sum::of(&message).finish(), 0);
        message[2..4].fill(0);
        assert_eq!(message, want);
        assert!(is_membership(&frame[14..]));
    }
}

#[test]
fn mld_is_said_as_the_rfcs_write_it() {
    let group = ip("ff15::7");
    let IpAddr::V6(group) = group else { unreachable!("it is") };
    for (say, dialect, to, kind, record) in [
        (Say::Join, Dialect::New, "ff02::16", 143, Some(4)),
        (Say::Member, Dialect::New, "ff02::16", 143, Some(2)),
        (Say::Leave, Dialect::New, "ff02::16", 143, Some(3)),
        (Say::Join, Dialect::Old, "ff15::7", 131, None),
        (Say::Leave, Dialect::Old, "ff02::2", 132, None),
    ] {
        let frame = said("fe80::1", "ff15::7", say, dialect);
        let header = Ipv6Header::read(&frame[14..]).expect("IPv6");
        assert_eq!((header.hop_limit, header.next_header), (1, 0));
        assert_eq!(IpAddr::from(Ipv6Addr::from(header.destination)), ip(to));
        assert_eq!(frame[54..62], ROUTER_ALERT_V6);
        let message = &frame[62..];
        assert_eq!(icmpv6::sum(header, message).finish(), 0);
        assert_eq!(message[0], kind);
        match record {
            Some(record) => {
                assert_eq!(message[4..12], [0, 0, 0, 1, record, 0, 0, 0]);
                assert_eq!(message[12..], group.octets());
            }
            None => assert_eq!(message[8..], group.octets()),
        }
        assert!(is_membership(&frame[14..]) && query(&frame[14..]).is_none());
    }
}

/// A question as a router sends it, from its IP header on.
fn asked(v6: bool, code: u16, group: Option<&str>, new: bool) -> Vec<u8> {
    let mut message = vec![0; if v6 { 24 } else { 8 }];
    if v6 {
        message[0] = 130;
        message[4..6].copy_from_slice(&code.to_be_bytes());
    } else {
        (message[0], message[1]) = (0x11, code as u8);
    }
    match group.map(ip) {
        Some(IpAddr::V4(group)) => message[4..8].copy_from_slice(&group.octets()),
        Some(IpAddr::V6(group)) => message[8..24].copy_from_slice(&group.octets()),
        None => {}
    }
    if new {
        message.extend([2, 125, 0, 0]);
    }
    // A frame of the other kind of message has the right headers already.
    let mut packet = said(
        if v6 { "fe80::9" } else { "192.0.2.9" },
        if v6 { "ff15::1" } else { "239.0.0.1" },
        Say::Join,
        Dialect::New,
    );
    packet.drain(..14);
    let front = if v6 { 48 } else { 24 };
    packet.truncate(front);
    let sum = if v6 {
        let header = Ipv6Header::read_mut(&mut packet).expect("IPv6");
        header.payload_len.set((8 + message.len()) as u16);
        let mut sum = pseudo_v6(&header.source, &header.destination, icmpv6::PROTOCOL, message.len() as u32);
        sum.add(&message);
        sum.finish()
    } else {
        Ipv4Header::read_mut(&mut packet).expect("IPv4").total_len.set((24 + message.len()) as u16);
        fill_checksum(&mut packet[..24]);
        Sum::of(&message).finish()
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    packet.extend(message);
    packet
}

#[test]
fn questions_are_read_and_others_are_not_believed() {
    for (v6, code, group, new, millis) in [
        (false, 100, None, false, 10_000),
        (false, 0, None, false, 10_000),
        (false, 10, Some("239.1.2.3"), false, 1000),
        (false, 100, None, true, 10_000),
        (false, 0xff, None, true, 31_744 * 100),
        (true, 10_000, None, false, 10_000),
        (true, 1000, Some("ff15::7"), true, 1000),
        (true, 0x8000, None, true, 32_768),
    ] {
        let packet = asked(v6, code, group, new);
        let dialect = if new { Dialect::New } else { Dialect::Old };
        let want = Query {
            dialect,
            group: group.map(ip),
            within: Duration::from_millis(millis),
            holds: Duration::from_secs(250),
            is_last: group.is_some(),
        };
        assert_eq!(query(&packet), Some(want), "{packet:02x?}");
        for at in 0..packet.len() {
            let mut wrong = packet.clone();
            wrong[at] ^= 0x40;
            // Of the headers not all is covered by a sum that is checked here.
            let is_message = at >= if v6 { 48 } else { 24 };
            assert!(query(&wrong).is_none() || !is_message, "byte {at}");
            assert!(query(&packet[..at]).is_none());
        }
        let mut routed = packet.clone();
        routed[if v6 { 7 } else { 8 }] = 2;
        assert_eq!(query(&routed), None, "it came by a router");
    }
    assert_eq!(unspecified(ip("239.1.1.1")), ip("0.0.0.0"));
    assert_eq!(unspecified(ip("ff15::1")), ip("::"));
}

/// What a switch asks is what hosts read, and what those answer is what the switch reads.
#[test]
fn a_switch_and_its_hosts_understand_each_other() {
    for (asker, host, group) in [("0.0.0.0", "192.0.2.1", "239.1.2.3"), ("fe80::9", "fe80::1", "ff15::7")] {
        for about in [None, Some(ip(group))] {
            let mut out = [0; MAX_LEN];
            let within = Duration::from_secs(10);
            let len = ask(HOST, ip(asker), about, within, &mut out).expect("room");
            let packet = &out[HEADER_LEN..len];
            let holds = Duration::from_secs(250);
            let want = Query { dialect: Dialect::New, group: about, within, holds, is_last: about.is_some() };
            assert_eq!((query(packet), kind(packet)), (Some(want), Some(Kind::Query)));
            let Some(Heard::Query { query, source }) = hear(packet) else { panic!("no question") };
            assert_eq!((query, source), (want, ip(asker)));
        }
        for dialect in [Dialect::Old, Dialect::New] {
            for (say, heard) in
                [(Say::Join, Say::Member), (Say::Member, Say::Member), (Say::Leave, Say::Leave)]
            {
                let frame = said(host, group, say, dialect);
                let Some(Heard::Report(records)) = hear(&frame[HEADER_LEN..]) else { panic!("no report") };
                assert_eq!(records.collect::<Vec<_>>(), [(ip(group), heard)]);
                assert_eq!(kind(&frame[HEADER_LEN..]), Some(Kind::Report));
            }
        }
    }
    // Of IPv6 only those who are on the link, or have no address yet, say something.
    assert!(hear(&said("2001:db8::1", "ff15::7", Say::Join, Dialect::New)[HEADER_LEN..]).is_none());
    assert!(hear(&said("::", "ff15::7", Say::Join, Dialect::New)[HEADER_LEN..]).is_some());
}

proptest! {
    #[test]
    fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = (query(&bytes), is_membership(&bytes), kind(&bytes));
        if let Some(Heard::Report(records)) = hear(&bytes) {
            prop_assert!(records.count() <= bytes.len());
        }
    }
}
