//! What the calls leave in the model, on disk and with the reconciler.
#![forbid(unsafe_code)]

mod support;

use paceline_cnm::{Subject, forget_leftovers, forget_network};
use paceline_model::{Endpoint, EndpointId};
use serde_json::{Value, json};
use support::{Plugin, endpoint, join, network, of};

const N: &str = "NetworkDriver.";

fn call(method: &str) -> String {
    format!("{N}{method}")
}

/// A plugin with network `n1` on 10.77.0.0/24.
async fn with_network() -> Plugin {
    let plugin = Plugin::start();
    plugin.done(&call("CreateNetwork"), &network("n1", &json!({}), "10.77.0.0/24")).await;
    plugin.control.reconciled();
    plugin
}

/// The same with a joined endpoint `e1`, 10.77.0.2 by our IPAM driver, in `/ns/1`.
async fn with_container() -> Plugin {
    let plugin = with_network().await;
    let pool = json!({ "AddressSpace": "paceline-local", "Pool": "10.77.0.0/24" });
    plugin.done("IpamDriver.RequestPool", &pool).await;
    plugin.done("IpamDriver.RequestAddress", &address("10.77.0.2")).await;
    plugin.done(&call("CreateEndpoint"), &endpoint("n1", "e1", "10.77.0.2/24", "")).await;
    plugin.done(&call("Join"), &join("n1", "e1", "/ns/1")).await;
    plugin.control.reconciled();
    plugin
}

fn address(address: &str) -> Value {
    json!({ "PoolID": "paceline-local/10.77.0.0/24", "Address": address })
}

fn on_network(id: &str) -> Subject {
    Subject::Network(id.parse().unwrap())
}

fn on_endpoint(id: &str) -> Subject {
    Subject::Endpoint(id.parse().unwrap())
}

#[tokio::test]
async fn labels_and_links_are_of_the_network_and_of_the_endpoint() {
    let plugin = Plugin::start();
    let options = json!({ "labels": "env=prod,role=web", "rate": "10mbit", "port_security": "false" });
    plugin.done(&call("CreateNetwork"), &network("n1", &options, "10.77.0.0/24")).await;
    let mut own = endpoint("n1", "e1", "10.77.0.2/24", "");
    own["Options"] = json!({ "labels": "role=db", "mirror": "span", "port_security": "true" });
    for _ in 0..2 {
        plugin.done(&call("CreateEndpoint"), &own).await;
    }
    let model = plugin.control.model();
    let made = &model.endpoints["e1"];
    assert_eq!(model.labels_of(made).to_string(), "env=prod,role=db");
    let link = made.link_options.over(&model.networks["n1"].options.link);
    assert_eq!(
        (link.port_security, link.mirror.as_ref().map(paceline_model::PortName::as_str)),
        (Some(true), Some("span"))
    );
    assert_eq!(link.rate.map(|rate| rate.bits), Some(10_000_000));
    // Another one of the same ID, and a port that there is not.
    own["Options"]["labels"] = json!("role=web");
    assert!(plugin.refused(&call("CreateEndpoint"), &own).await.contains("exists already"));
    own["EndpointID"] = json!("e2");
    own["Options"] = json!({ "mirror": "nowhere" });
    let error = plugin.refused(&call("CreateEndpoint"), &own).await;
    assert_eq!(
        error,
        "option mirror=nowhere: there is no such port in the configuration file; there are span"
    );
}

#[tokio::test]
async fn a_life() {
    let plugin = Plugin::start();
    let mut request = network("n1", &json!({ "attach": "veth", "mtu": "9000" }), "10.77.0.0/24");
    request["Options"]["com.docker.network.internal"] = json!(true);
    plugin.done(&call("CreateNetwork"), &request).await;
    assert_eq!(plugin.control.reconciled(), [on_network("n1")]);
    let model = plugin.control.model();
    let made = &model.networks["n1"];
    assert!(made.internal && !made.enable_ipv6 && made.options.mtu == 9000);
    assert_eq!(made.bridge.as_str(), "n-n1");

    plugin.done(&call("CreateEndpoint"), &endpoint("n1", "e1", "10.77.0.2/24", "")).await;
    // No port, no link before the container is there.
    assert_eq!(plugin.control.reconciled(), []);
    plugin.done(&call("Join"), &join("n1", "e1", "/ns/1")).await;
    assert_eq!(plugin.control.reconciled(), [on_endpoint("e1")]);
    let model = plugin.control.model();
    let joined = &model.endpoints["e1"];
    assert_eq!(joined.sandbox.as_deref(), Some("/ns/1".as_ref()));
    assert_eq!(joined.attach.as_str(), "veth");

    for _ in 0..2 {
        plugin.done(&call("Leave"), &of("n1", "e1")).await;
        assert!(!plugin.control.model().endpoints["e1"].joined());
    }
    assert_eq!(plugin.control.reconciled(), [on_endpoint("e1")]);
    for _ in 0..2 {
        plugin.done(&call("DeleteEndpoint"), &of("n1", "e1")).await;
        assert!(plugin.control.model().endpoints.is_empty());
    }
    assert_eq!(plugin.control.reconciled(), [on_endpoint("e1")]);
    for _ in 0..2 {
        plugin.done(&call("DeleteNetwork"), &json!({ "NetworkID": "n1" })).await;
        assert!(plugin.control.model().networks.is_empty());
    }
    assert_eq!(plugin.control.reconciled(), [on_network("n1")]);
}

#[tokio::test]
async fn a_network_takes_its_leftovers_along() {
    let plugin = with_container().await;
    plugin.done(&call("DeleteNetwork"), &json!({ "NetworkID": "n1" })).await;
    let model = plugin.control.model();
    assert!(model.networks.is_empty() && model.endpoints.is_empty());
    assert_eq!(plugin.control.reconciled(), [on_network("n1")]);
}

#[tokio::test]
async fn a_network_that_cannot_be_is_not() {
    let plugin = Plugin::start();
    plugin.control.fail_next("no more bridges");
    let request = network("n1", &json!({}), "10.77.0.0/24");
    let error = plugin.refused(&call("CreateNetwork"), &request).await;
    assert_eq!(error, "no more bridges");
    assert!(plugin.control.model().networks.is_empty());
    assert_eq!(plugin.control.reconciled(), [on_network("n1"), on_network("n1")]);
    plugin.done(&call("CreateNetwork"), &request).await;
    // A repeated call does not undo what the first has done.
    plugin.control.fail_next("no more bridges");
    plugin.refused(&call("CreateNetwork"), &request).await;
    assert_eq!(plugin.control.model().networks.len(), 1);
}

#[tokio::test]
async fn a_join_that_fails_is_undone() {
    let plugin = with_network().await;
    plugin.done(&call("CreateEndpoint"), &endpoint("n1", "e1", "10.77.0.2/24", "")).await;
    plugin.control.fail_next("link plce1: no such device");
    let error = plugin.refused(&call("Join"), &join("n1", "e1", "/ns/1")).await;
    assert_eq!(error, "link plce1: no such device");
    assert!(!plugin.control.model().endpoints["e1"].joined());
    assert_eq!(plugin.control.reconciled(), [on_endpoint("e1"), on_endpoint("e1")]);
    plugin.done(&call("Join"), &join("n1", "e1", "/ns/1")).await;
    // A repeated one leaves the first as it was.
    plugin.control.fail_next("busy");
    plugin.refused(&call("Join"), &join("n1", "e1", "/ns/1")).await;
    assert!(plugin.control.model().endpoints["e1"].joined());
}

#[tokio::test]
async fn an_endpoint_may_join_anew_when_its_namespace_is_gone() {
    let plugin = with_container().await;
    plugin.refused(&call("Join"), &join("n1", "e1", "/ns/2")).await;
    plugin.control.end_sandbox("/ns/1");
    plugin.done(&call("Join"), &join("n1", "e1", "/ns/2")).await;
    assert_eq!(plugin.control.model().endpoints["e1"].sandbox.as_deref(), Some("/ns/2".as_ref()));
}

#[tokio::test]
async fn all_is_there_after_a_restart() {
    let plugin = with_container().await;
    let before = plugin.control.model();
    let plugin = plugin.restart().await;
    assert_eq!(plugin.control.model(), before);
    // The engine repeats nothing, but may.
    plugin.done(&call("CreateNetwork"), &network("n1", &json!({}), "10.77.0.0/24")).await;
    plugin.done(&call("CreateEndpoint"), &endpoint("n1", "e1", "10.77.0.2/24", "")).await;
    plugin.refused("IpamDriver.RequestAddress", &address("10.77.0.2")).await;
}

#[tokio::test]
async fn a_repeated_network_is_told_by_its_meaning() {
    let plugin = with_network().await;
    let mut later = network("n1", &json!({ "mtu": "1500", "mode": "bridge" }), "10.77.0.0/24");
    later["Options"]["com.docker.network.enable_ipv4"] = json!(true);
    plugin.done(&call("CreateNetwork"), &later).await;
    plugin.refused(&call("CreateNetwork"), &network("n1", &json!({}), "10.78.0.0/24")).await;
}

#[tokio::test]
async fn networks_without_addresses_do_not_overlap() {
    let plugin = Plugin::start();
    for id in ["n1", "n2"] {
        let nowhere = json!([{ "AddressSpace": "null", "Pool": "0.0.0.0/0" }]);
        plugin.done(&call("CreateNetwork"), &json!({ "NetworkID": id, "IPv4Data": nowhere })).await;
    }
    let mut macs = Vec::new();
    for id in ["e1", "e2"] {
        let answer = plugin.done(&call("CreateEndpoint"), &endpoint("n1", id, "", "")).await;
        macs.push(answer["Interface"]["MacAddress"].clone());
    }
    assert_ne!(macs[0], macs[1]);
}

#[tokio::test]
async fn the_mac_of_an_address_that_is_taken_is_not_given() {
    let plugin = with_network().await;
    plugin.done(&call("CreateEndpoint"), &endpoint("n1", "e1", "10.77.0.9/24", "02:42:0a:4d:00:02")).await;
    let other = plugin.done(&call("CreateEndpoint"), &endpoint("n1", "e2", "10.77.0.2/24", "")).await;
    assert_ne!(other["Interface"]["MacAddress"], "02:42:0a:4d:00:02");
    // In another network it may be.
    plugin.done(&call("CreateNetwork"), &network("n2", &json!({}), "10.78.0.0/24")).await;
    plugin.done(&call("CreateEndpoint"), &endpoint("n2", "e3", "10.78.0.9/24", "02:42:0a:4d:00:02")).await;
}

#[tokio::test]
async fn a_container_that_the_engine_forgot_gives_way() {
    let plugin = with_container().await;
    plugin.refused("IpamDriver.RequestAddress", &address("10.77.0.2")).await;
    plugin.refused(&call("CreateEndpoint"), &endpoint("n1", "e2", "10.77.0.2/24", "")).await;
    // As after a crash of the engine: the namespace is gone, and no call says so.
    plugin.control.end_sandbox("/ns/1");
    plugin.done("IpamDriver.RequestAddress", &address("10.77.0.2")).await;
    assert!(plugin.control.model().endpoints.is_empty());
    plugin.done(&call("CreateEndpoint"), &endpoint("n1", "e2", "10.77.0.2/24", "")).await;
}

#[tokio::test]
async fn so_does_one_whose_address_another_ipam_driver_gave_again() {
    let plugin = with_container().await;
    plugin.done(&call("Leave"), &of("n1", "e1")).await;
    // Its DeleteEndpoint was lost.
    plugin.done(&call("CreateEndpoint"), &endpoint("n1", "e2", "10.77.0.2/24", "")).await;
    let model = plugin.control.model();
    assert_eq!(model.endpoints.keys().map(EndpointId::as_str).collect::<Vec<_>>(), ["e2"]);
    // What is the new one's now is not given back for the old one.
    assert_eq!(model.pools.leases.len(), 1);
}

#[tokio::test]
async fn leftovers_are_forgotten_with_their_leases() {
    let plugin = with_container().await;
    plugin.done(&call("CreateEndpoint"), &endpoint("n1", "e2", "10.77.0.3/24", "")).await;
    let mut model = plugin.control.model();
    assert_eq!(forget_leftovers(&mut model, |_| true), 0);
    assert_eq!(forget_leftovers(&mut model, |_| false), 1);
    // One that has not joined is the engine's business still.
    assert_eq!(model.endpoints.keys().map(EndpointId::as_str).collect::<Vec<_>>(), ["e2"]);
    assert!(model.pools.leases.is_empty() && model.pools.pools.len() == 1);
}

#[tokio::test]
async fn a_network_that_docker_removed_unseen_can_be_forgotten() {
    let plugin = with_container().await;
    let mut model = plugin.control.model();
    let id = "n1".parse().unwrap();
    let refused = forget_network(&mut model, &id).expect_err("a container is joined");
    assert!(refused.to_string().contains("e1 is joined"), "{refused}");
    model.endpoints.get_mut(&"e1".parse().unwrap()).unwrap().sandbox = None;
    forget_network(&mut model, &id).expect("nobody is joined");
    assert!(model.networks.is_empty() && model.endpoints.is_empty());
    assert!(model.pools.pools.is_empty() && model.pools.leases.is_empty(), "the subnet is free");
    assert!(forget_network(&mut model, &id).is_err(), "there is none any more");
}

#[tokio::test]
async fn fifty_containers_at_once() {
    let plugin = with_network().await;
    let pool = json!({ "AddressSpace": "paceline-local", "Pool": "10.77.0.0/24" });
    plugin.done("IpamDriver.RequestPool", &pool).await;
    let mut starts = tokio::task::JoinSet::new();
    for number in 0..50 {
        let mut client = plugin.connect().await;
        starts.spawn(async move {
            let id = format!("e{number}");
            let leased = client.call("IpamDriver.RequestAddress", &address("")).await;
            let leased = leased.body["Address"].as_str().unwrap().to_owned();
            client.call(&call("CreateEndpoint"), &endpoint("n1", &id, &leased, "")).await;
            client.call(&call("Join"), &join("n1", &id, &format!("/ns/{id}"))).await.body
        });
    }
    let answers = starts.join_all().await;
    assert!(answers.iter().all(|answer| answer["InterfaceName"]["DstPrefix"] == "eth"), "{answers:?}");
    let model = plugin.control.model();
    assert_eq!(model.endpoints.values().filter(|endpoint| Endpoint::joined(endpoint)).count(), 50);
    assert_eq!(model.pools.leases.len(), 50);
}

#[tokio::test]
async fn an_overlay_has_what_fits_its_underlay() {
    let plugin = Plugin::start();
    let options =
        json!({ "mode": "overlay", "vni": "42", "underlay": "192.0.2.1", "peers": "192.0.2.2,192.0.2.3" });
    // The engine repeats a request that it got no answer to.
    for _ in 0..2 {
        plugin.done(&call("CreateNetwork"), &network("n1", &options, "10.77.0.0/24")).await;
    }
    let made = plugin.control.model().networks["n1"].options.clone();
    let overlay = made.overlay.expect("it is one");
    assert_eq!((made.mtu, overlay.vni.get(), overlay.peers.len()), (1450, 42, 2));
    // Nor does it matter what has become of the underlay since.
    for mtu in [Some(9000), Some(1400), None] {
        plugin.control.set_underlay(mtu);
        plugin.done(&call("CreateNetwork"), &network("n1", &options, "10.77.0.0/24")).await;
        assert_eq!(plugin.control.model().networks["n1"].options.mtu, 1450);
    }
    // What happens to it between the look at it and the disk is seen before the answer.
    plugin.control.set_underlay(Some(1500));
    plugin.control.lose_underlay();
    let other = json!({ "mode": "overlay", "vni": "44", "underlay": "192.0.2.1", "peers": "192.0.2.2" });
    let error = plugin.refused(&call("CreateNetwork"), &network("n2", &other, "10.79.0.0/24")).await;
    assert!(error.contains("underlay"), "{error}");
    assert!(!plugin.control.model().networks.contains_key("n2"));
    let mut given = options.clone();
    given["mtu"] = json!("1450");
    for other in [network("n1", &given, "10.77.0.0/24"), network("n1", &options, "10.78.0.0/24")] {
        let error = plugin.refused(&call("CreateNetwork"), &other).await;
        assert!(error.contains("exists already"), "{error}");
    }
    plugin.control.set_underlay(Some(1500));
    // Another segment under the same ID is another network.
    let other = json!({ "mode": "overlay", "vni": "43", "underlay": "eth0", "peers": "192.0.2.2" });
    let answer = plugin.call(&call("CreateNetwork"), &network("n1", &other, "10.77.0.0/24")).await;
    assert!(answer.body["Err"].as_str().is_some_and(|error| error.contains("exists already")), "{answer:?}");
    // Nobody gets the gateway's own address, which is the same on all hosts.
    let gateway = plugin.control.model().gateway_macs().values().next().copied().expect("it has one");
    let request = endpoint("n1", "e1", "10.77.0.2/24", &gateway.to_string());
    let answer = plugin.call(&call("CreateEndpoint"), &request).await;
    assert!(answer.body["Err"].as_str().is_some_and(|error| error.contains("gateway")), "{answer:?}");
    let restarted = plugin.restart().await;
    assert_eq!(restarted.control.model().networks["n1"].options.mtu, 1450);
}
