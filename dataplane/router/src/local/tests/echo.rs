//! Pings, of others and our own, and the parts that they come in.

use paceline_wire::checksum::Sum;

use super::*;

#[test]
fn two_of_them_ping_each_other() {
    for pair in PAIRS {
        for size in [0, 1, 56, 548, 1452, 4000, 40_000, Ping::MAX_SIZE] {
            let (mut near, mut far) = (local(), local());
            let (mut there, mut back) = (Vec::new(), Vec::new());
            near.ping(NOW, ping(pair, size), |packet| there.push(packet.to_vec())).expect("it can be sent");
            assert!(there.iter().all(|packet| packet[0] >> 4 == 4 || packet.len() <= 1280));
            for packet in there.iter().flat_map(|packet| cut_if_v4(packet)) {
                back.extend(input(&mut far, &packet));
            }
            assert_eq!((far.counters().echoed, far.reassembly.bytes()), (1, 0), "{pair:?} {size}");
            for packet in back.iter().flat_map(|packet| cut_if_v4(packet)) {
                assert!(input(&mut near, &packet).is_empty());
            }
            let answers: Vec<_> = near.answers().map(|answer| answer.outcome).collect();
            assert_eq!(answers, [Outcome::Reply { size: size.into(), ttl: 64 }], "{pair:?} {size}");
            assert_eq!(near.next_deadline(), None);
        }
    }
}

fn cut_if_v4(packet: &[u8]) -> Vec<Vec<u8>> {
    if packet[0] >> 4 == 4 { parts_v4(packet) } else { vec![packet.to_vec()] }
}

#[test]
fn parts_may_come_in_any_order_and_twice() {
    for pair in PAIRS {
        let mut parts = request(pair, 4000);
        parts.reverse();
        parts.splice(1..1, [parts[0].clone()]);
        let mut local = local();
        let out: Vec<_> = parts.iter().flat_map(|part| input(&mut local, part)).collect();
        assert_eq!((local.counters().echoed, local.counters().parts), (1, parts.len() as u64 - 1));
        assert!(out.iter().map(Vec::len).sum::<usize>() > 4000);
    }
}

#[test]
fn parts_that_overlap_end_the_packet() {
    let parts = request(PAIRS[0], 4000);
    let mut local = local();
    let mut shifted = parts[1].clone();
    let header = Ipv4Header::read_mut(&mut shifted).expect("IPv4");
    header.fragment.set(header.fragment.get() - 1);
    ipv4::fill_checksum(&mut shifted[..20]);
    input(&mut local, &parts[0]);
    input(&mut local, &shifted);
    assert_eq!((local.counters().malformed, local.reassembly.bytes()), (1, 0));
    assert_eq!((local.counters().incomplete, local.next_deadline()), (1, None));
}

#[test]
fn parts_are_given_up_in_time_and_their_sender_is_told() {
    for pair in PAIRS {
        let mut local = local();
        input(&mut local, &request(pair, 4000)[0]);
        assert_eq!(local.next_deadline(), Some(NOW + Duration::from_secs(30)));
        let mut out = Vec::new();
        local.poll(NOW + Duration::from_secs(30), |packet| out.push(packet.to_vec()));
        let offset = if out[0][0] >> 4 == 4 { 20 } else { 40 };
        let kind = if offset == 20 { icmpv4::TIME_EXCEEDED } else { icmpv6::TIME_EXCEEDED };
        assert_eq!((out.len(), &out[0][offset..offset + 2]), (1, &[kind, 1][..]));
        assert_eq!((local.reassembly.bytes(), local.counters().incomplete), (0, 1));
    }
}

#[test]
fn parts_without_end_are_bounded() {
    let limits = Limits { packets: 8, parts: 16, bytes: 20_000, ..Limits::default() };
    let mut local = Local::new(NOW, limits);
    let part = request(PAIRS[0], 4000).swap_remove(1);
    for number in 0..10_000_u32 {
        let mut part = part.clone();
        let header = Ipv4Header::read_mut(&mut part).expect("IPv4");
        header.id.set((number / 7) as u16);
        header.fragment.set(0x2000 | (number % 90 * 80) as u16);
        ipv4::fill_checksum(&mut part[..20]);
        input(&mut local, &part);
        assert!(local.reassembly.bytes() <= limits.bytes);
    }
    local.poll(NOW + Duration::from_secs(60), |_| {});
    assert_eq!((local.reassembly.bytes(), local.next_deadline()), (0, None));
}

#[test]
fn a_reply_to_ipv4_may_be_cut() {
    let mut whole = request(PAIRS[0], 56).remove(0);
    Ipv4Header::read_mut(&mut whole).expect("IPv4").fragment.set(ipv4::DONT_FRAGMENT);
    ipv4::fill_checksum(&mut whole[..20]);
    let reply = input(&mut local(), &whole).remove(0);
    let header = Ipv4Header::read(&reply).expect("IPv4");
    assert_eq!((header.fragment.get(), Sum::of(&reply[..20]).finish()), (0, 0));
    assert_ne!(header.id.get(), 0);
}

#[test]
fn a_ping_ends_by_an_error_or_by_silence() {
    for pair in PAIRS {
        let (mut near, mut far) = (local(), local());
        let mut sent = Vec::new();
        let mut ask = |near: &mut Local, ping| near.ping(NOW, ping, |packet| sent.push(packet.to_vec()));
        let first = ping(pair, 56);
        assert_eq!(ask(&mut near, first), Ok(()));
        assert_eq!(ask(&mut near, first), Err(PingRefused::Twice));
        assert_eq!(ask(&mut near, Ping { sequence: 2, ..first }), Ok(()));
        assert_eq!(ask(&mut near, Ping { size: 65_001, ..first }), Err(PingRefused::Size(65_001)));
        let mut error = Vec::new();
        assert!(refuse::unreachable(&View::read(&datagram(pair)).expect("sound"), &mut error));
        assert!(input(&mut near, &error).is_empty(), "about another packet");
        error.resize(1280, 0);
        let router = if ip(pair.0).is_ipv4() { ip("10.9.9.9") } else { ip("fd09::9") };
        let len = match router {
            IpAddr::V4(router) => {
                icmpv4::write_error(&sent[0], icmpv4::Problem::TtlExceeded, router.octets(), &mut error)
            }
            IpAddr::V6(router) => {
                icmpv6::write_error(&sent[0], icmpv6::Problem::HopLimitExceeded, &router.octets(), &mut error)
            }
        };
        input(&mut near, &error[..len.expect("an error")]);
        input(&mut far, &error[..len.expect("an error")]);
        assert_eq!(far.counters().ignored, 1, "it has not asked");
        assert_eq!(near.next_deadline(), Some(NOW + Duration::from_secs(10)));
        near.poll(NOW + Duration::from_secs(10), |_| {});
        let outcomes: Vec<_> = near.answers().map(|answer| (answer.ping.sequence, answer.outcome)).collect();
        let kind = if router.is_ipv4() { 11 } else { 3 };
        assert_eq!(outcomes, [(1, Outcome::Error { from: router, kind, code: 0 }), (2, Outcome::Silence)]);
    }
    assert_eq!(local().ping(NOW, ping(("10.0.0.1", "fd00::1"), 1), |_| {}), Err(PingRefused::Family));
}

#[test]
fn no_more_pings_are_under_way_than_are_remembered() {
    let mut local = local();
    let mut ask = |sequence| local.ping(NOW, Ping { sequence, ..ping(PAIRS[0], 1) }, |_| {});
    assert!((0..1024).all(|sequence| ask(sequence).is_ok()));
    assert_eq!(ask(2000), Err(PingRefused::TooMany));
    local.poll(NOW + Duration::from_secs(60), |_| {});
    assert_eq!(
        local.ping(NOW, ping(PAIRS[0], 1), |_| {}),
        Err(PingRefused::TooMany),
        "answers are not fetched"
    );
    assert_eq!(local.answers().count(), 1024);
    assert_eq!(local.ping(NOW, ping(PAIRS[0], 1), |_| {}), Ok(()));
}
