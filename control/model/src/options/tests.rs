use super::*;

const DOCKER_MTU: &str = "com.docker.network.driver.mtu";

/// A host whose underlay `eth0` has 192.0.2.1 and 2001:db8::1.
fn vtep(overlay: &Overlay) -> Result<Vtep, OverlayError> {
    let text = r#"
        port = [{ name = "eth0", kind = "null" }]
        interface = [{ port = "eth0", addresses = ["192.0.2.1/24", "2001:db8::1/64"] }]
    "#;
    let config = crate::Config::parse("test", text, &crate::config::Host::default()).unwrap();
    overlay.vtep(&config, &crate::Uplinks::new())
}

fn parse(options: &[(&str, &str)]) -> Result<NetworkOptions, String> {
    let options = options.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    NetworkOptions::parse(&options, vtep).map_err(|error| error.to_string())
}

#[test]
fn all_options() {
    let parsed = parse(&[
        ("mode", "bridge"),
        ("attach", "veth"),
        ("mtu", "9000"),
        ("masquerade", "false"),
        ("icc", "0"),
        ("gateway_mode", "routed"),
        ("host_binding", "192.0.2.1"),
        ("uplink", "host"),
        ("labels", "role=db,env=prod"),
        ("dscp", "ef"),
        ("snooping", "querier"),
    ]);
    let expected = NetworkOptions {
        mode: Mode::Bridge,
        attach: Some(Attach::Veth),
        mtu: 9000,
        masquerade: false,
        icc: false,
        gateway_ipv4: GatewayMode::Routed,
        gateway_ipv6: GatewayMode::Routed,
        host_binding: "192.0.2.1".parse().ok(),
        uplink: None,
        overlay: None,
        labels: "env=prod,role=db".parse().unwrap(),
        snooping: Snooping::Querier,
        link: LinkOptions { dscp: Some(46), ..LinkOptions::default() },
    };
    assert_eq!(parsed.unwrap(), expected);
    assert_eq!(parse(&[]).unwrap(), NetworkOptions::default());
    assert_eq!(parse(&[("uplink", "eth0")]).unwrap().uplink, "eth0".parse().ok());
}

#[test]
fn docker_s_names_mean_the_same() {
    let bridge = |name: &str| format!("com.docker.network.bridge.{name}");
    let options = [
        (DOCKER_MTU.to_owned(), "9000"),
        (bridge("enable_ip_masquerade"), "False"),
        (bridge("enable_icc"), "f"),
        (bridge("gateway_mode_ipv4"), "isolated"),
        (bridge("gateway_mode_ipv6"), "routed"),
        (bridge("host_binding_ipv4"), "::1"),
        (bridge("name"), "br0"),
    ];
    let parsed = parse(&options.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>());
    let parsed = parsed.unwrap();
    assert_eq!((parsed.mtu, parsed.masquerade, parsed.icc), (9000, false, false));
    assert_eq!((parsed.gateway_ipv4, parsed.gateway_ipv6), (GatewayMode::Isolated, GatewayMode::Routed));
    assert_eq!(parsed.host_binding, "::1".parse().ok());
    assert_eq!(parse(&[("host_binding", "0.0.0.0")]).unwrap().host_binding, None);
    assert_eq!(parse(&[("host_binding", "::")]).unwrap().host_binding, "::".parse().ok());
}

#[test]
fn two_names_of_one_option_agree() {
    assert_eq!(parse(&[("mtu", "1400"), (DOCKER_MTU, "1400")]).unwrap().mtu, 1400);
    assert_eq!(
        parse(&[("mtu", "1400"), (DOCKER_MTU, "1500")]).unwrap_err(),
        "options mtu=1400 and com.docker.network.driver.mtu=1500: give one of them, or both the same"
    );
    let icc = "com.docker.network.bridge.enable_icc";
    assert!(!parse(&[("icc", "0"), (icc, "false")]).unwrap().icc);
    assert!(parse(&[("icc", "1"), (icc, "false")]).is_err());
    let ipv6 = "com.docker.network.bridge.gateway_mode_ipv6";
    assert!(parse(&[("gateway_mode", "nat"), (ipv6, "routed")]).is_err());
    assert_eq!(parse(&[(ipv6, "routed")]).unwrap().gateway_ipv4, GatewayMode::Nat);
}

#[test]
fn each_error_names_option_value_and_what_is_right() {
    for (name, value, right) in [
        ("mtu", "67", "a number from 68 to 65535"),
        ("mode", "x", "bridge or overlay"),
        ("attach", "", "tap, veth or afxdp"),
        ("masquerade", "on", "true or false"),
        ("icc", "yes", "true or false"),
        ("gateway_mode", "nat-unprotected", "nat, routed or isolated"),
        ("host_binding", "eth0", "an address of the host, as 192.0.2.1"),
        ("snooping", "true", "off, on or querier"),
        (
            "storm",
            "500",
            "frames a second from 1 to 100000000, as in broadcast=500,multicast=1000,unknown_unicast=1000",
        ),
        ("uplink", "eth 0", "host or the device of an [[uplink]] of the configuration"),
    ] {
        let error = parse(&[(name, value)]).unwrap_err();
        assert_eq!(error, format!("option {name}={value:?}: must be {right}"));
    }
    let unknown = parse(&[("atach", "tap")]).unwrap_err();
    assert!(unknown.starts_with("option \"atach\": there is none of this name"), "{unknown}");
    for names in names::ALL.iter().chain(&overlay::names::ALL) {
        for name in *names {
            let name = name.trim_start_matches("com.docker.network.bridge.");
            assert!(unknown.contains(name), "{name} in {unknown}");
        }
    }
}

#[test]
fn state_has_what_is_not_the_default() {
    let old = r#"{"mode":"bridge","attach":null,"mtu":1500}"#;
    assert_eq!(serde_json::from_str::<NetworkOptions>(old).unwrap(), NetworkOptions::default());
    assert_eq!(serde_json::to_string(&NetworkOptions::default()).unwrap(), old);
    let all = NetworkOptions {
        masquerade: false,
        icc: false,
        gateway_ipv4: GatewayMode::Isolated,
        gateway_ipv6: GatewayMode::Routed,
        host_binding: "192.0.2.1".parse().ok(),
        uplink: "eth0".parse().ok(),
        snooping: Snooping::On,
        ..NetworkOptions::default()
    };
    let json = serde_json::to_string(&all).unwrap();
    assert_eq!(serde_json::from_str::<NetworkOptions>(&json).unwrap(), all);
}

/// Options of an overlay that is right, with others instead of them.
fn overlay(others: &[(&'static str, &'static str)]) -> Result<NetworkOptions, String> {
    let mut options: BTreeMap<_, _> =
        [("mode", "overlay"), ("vni", "42"), ("underlay", "eth0"), ("peers", "192.0.2.2")].into();
    options.extend(others.iter().copied());
    parse(&options.into_iter().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>())
}

#[test]
fn an_overlay_s_mtu_follows_its_underlay() {
    let plain = overlay(&[]).unwrap();
    assert_eq!((plain.mode, plain.mtu), (Mode::Overlay, 1450));
    let segment = plain.overlay.unwrap();
    assert_eq!((segment.vni.get(), segment.port, segment.ttl, segment.dscp), (42, 4789, Some(64), Some(0)));
    assert!(!segment.learn_peers && segment.checksum.is_none());
    assert_eq!(overlay(&[("peers", "2001:db8::2")]).unwrap().mtu, 1430);
    assert_eq!(overlay(&[("mtu", "1400")]).unwrap().mtu, 1400);
    let error = overlay(&[("mtu", "1451")]).unwrap_err();
    let right = "a number from 68 to 1450: underlay eth0 takes 1500 bytes, of which VXLAN needs 50";
    assert_eq!(error, format!("option mtu=\"1451\": must be {right}"));
}

#[test]
fn an_overlay_has_all_its_options() {
    let all = [
        ("underlay", "192.0.2.1"),
        ("peers", "192.0.2.2, 192.0.2.3"),
        ("group", "239.0.0.42"),
        ("port", "8472"),
        ("ttl", "inherit"),
        ("outer_dscp", "46"),
        ("checksum", "true"),
    ];
    let options = overlay(&all).unwrap();
    let segment = options.overlay.clone().unwrap();
    assert_eq!((segment.peers.len(), segment.port, segment.ttl, segment.dscp), (2, 8472, None, Some(46)));
    assert!(segment.learn_peers, "where there is a group");
    let json = serde_json::to_string(&options).unwrap();
    assert_eq!(serde_json::from_str::<NetworkOptions>(&json).unwrap(), options);
}

#[test]
fn what_is_no_overlay_is_refused() {
    for (others, right) in [
        (&[("vni", "")][..], "option mode=overlay: needs vni, from 1 to 16777215: the same on all hosts"),
        (&[("vni", "16777216")], "option vni=\"16777216\": must be a number from 1 to 16777215"),
        (&[("vni", "0")], "option vni=\"0\": must be a number from 1 to 16777215"),
        (&[("mode", "bridge")], "option vni: goes with mode=overlay only, as do vni, underlay, peers"),
        (&[("mode", "")], "option vni: goes with mode=overlay only, as do vni, underlay, peers"),
        (&[("peers", "")], "option mode=overlay: needs peers, like 192.0.2.2, a multicast group"),
        (&[("peers", "192.0.2.2,x")], "option peers=\"192.0.2.2,x\": must be addresses of other hosts"),
        (&[("peers", "192.0.2.2,192.0.2.2")], "option peers: peer 192.0.2.2: is there twice"),
        (&[("peers", "192.0.2.1")], "option peers: peer 192.0.2.1: is an address of this switch, on eth0"),
        (&[("peers", "192.0.2.2,2001:db8::2")], "option peers: 2001:db8::2: all ends of a segment must be"),
        (&[("peers", "239.0.0.1")], "option peers: peer 239.0.0.1: must be the address of one other host"),
        (&[("group", "192.0.2.9")], "option group: group 192.0.2.9: must be a multicast address"),
        (&[("underlay", "")], "option mode=overlay: needs an underlay, a routed [[interface]]"),
        (&[("underlay", "eth7")], "option underlay: underlay \"eth7\": must be a routed [[interface]]"),
        (&[("underlay", "192.0.2.9")], "option underlay: 192.0.2.9: must be an address of a routed"),
        (&[("icc", "false")], "option icc=false: goes with mode=bridge only"),
        (&[("ttl", "0")], "option ttl=\"0\": must be 1 to 255, or inherit"),
        (&[("outer_dscp", "64")], "option outer_dscp=\"64\": must be 0 to 63, or inherit"),
        (&[("port", "0")], "option port=\"0\": must be a UDP port from 1 to 65535"),
    ] {
        let error = overlay(others).unwrap_err();
        assert!(error.starts_with(right), "{error}");
    }
}
