use super::*;

const DOCKER_MTU: &str = "com.docker.network.driver.mtu";

fn parse(options: &[(&str, &str)]) -> Result<NetworkOptions, String> {
    let options = options.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    NetworkOptions::parse(&options).map_err(|error| error.to_string())
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
        labels: "env=prod,role=db".parse().unwrap(),
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
        ("mode", "x", "bridge"),
        ("attach", "", "tap, veth or afxdp"),
        ("masquerade", "on", "true or false"),
        ("icc", "yes", "true or false"),
        ("gateway_mode", "nat-unprotected", "nat, routed or isolated"),
        ("host_binding", "eth0", "an address of the host, as 192.0.2.1"),
        ("uplink", "eth 0", "host or the device of an [[uplink]] of the configuration"),
    ] {
        let error = parse(&[(name, value)]).unwrap_err();
        assert_eq!(error, format!("option {name}={value:?}: must be {right}"));
    }
    let unknown = parse(&[("atach", "tap")]).unwrap_err();
    assert!(unknown.starts_with("option \"atach\": there is none of this name"), "{unknown}");
    for names in names::ALL {
        for name in names {
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
        ..NetworkOptions::default()
    };
    let json = serde_json::to_string(&all).unwrap();
    assert_eq!(serde_json::from_str::<NetworkOptions>(&json).unwrap(), all);
}
