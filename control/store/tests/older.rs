//! State of earlier versions, and what they can read of ours.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{open, save};
use paceline_model::{GatewayMode, NetworkOptions, PolicySet, Protocol, PublishedPort};
use paceline_store::{Store, StoreError};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

/// Rows of each table, as version 0.1.0 wrote them before there were routes, gateways and published ports.
const ROWS: [(&str, &str, &str); 5] = [
    (
        "networks",
        "n1",
        r#"{"id":"n1","bridge":"n-n1","options":{"mode":"bridge","attach":"veth","mtu":9000},"ipv4":[{"pool":"10.77.0.0/24","gateway":"10.77.0.1/24","aux":{"a":"10.77.0.9/24"}}],"ipv6":[],"internal":false,"enable_ipv6":false,"request":{"NetworkID":"n1"}}"#,
    ),
    (
        "endpoints",
        "e1",
        r#"{"id":"e1","network":"n1","port":"e-e1","link":"plce1","attach":"veth","mac":"02:42:0a:4d:00:02","mac_given":false,"ipv4":"10.77.0.2/24","ipv6":null,"sandbox":"/var/run/docker/netns/1","request":{"EndpointID":"e1"}}"#,
    ),
    ("pools", "paceline-local/10.77.0.0/24", r#"{"range":null,"last":"10.77.0.2"}"#),
    ("leases", "paceline-local/10.77.0.0/24/10.77.0.2", r#"{"gateway":false,"mac":null}"#),
    ("offers", "paceline-local/v4", r#""10.77.0.0/24""#),
];

fn rows(name: &str) -> TableDefinition<'_, &'static str, &'static [u8]> {
    TableDefinition::new(name)
}

/// Writes state as an earlier version did.
fn older(dir: &Path) {
    let db = Database::create(dir.join("model.redb")).unwrap();
    let transaction = db.begin_write().unwrap();
    for (table, key, row) in ROWS {
        transaction.open_table(rows(table)).unwrap().insert(key, row.as_bytes()).unwrap();
    }
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    transaction.open_table(meta).unwrap().insert("schema", 1).unwrap();
    transaction.commit().unwrap();
}

/// What the file says to other versions.
fn schema(dir: &Path) -> u64 {
    let db = Database::open(dir.join("model.redb")).unwrap();
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    let table = db.begin_read().unwrap().open_table(meta).unwrap();
    table.get("schema").unwrap().unwrap().value()
}

/// The rows of a table, as they are.
fn read(dir: &Path, table: &str) -> BTreeMap<String, String> {
    let db = Database::open(dir.join("model.redb")).unwrap();
    let table = db.begin_read().unwrap().open_table(rows(table)).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.into()).unwrap();
    table
        .iter()
        .unwrap()
        .map(Result::unwrap)
        .map(|(key, row)| (key.value().into(), text(row.value())))
        .collect()
}

#[test]
fn earlier_state_is_read() {
    let dir = tempfile::tempdir().unwrap();
    older(dir.path());
    let mut store = open(dir.path());
    let model = store.model().clone();
    let options = NetworkOptions { mtu: 9000, attach: "veth".parse().ok(), ..NetworkOptions::default() };
    assert_eq!(model.networks["n1"].options, options);
    assert!(model.endpoints["e1"].ports.is_empty() && model.endpoints["e1"].joined());
    assert_eq!((model.pools.pools.len(), model.pools.leases.len(), model.pools.offers.len()), (1, 1, 1));
    assert!(model.routes.is_empty());

    // It can be written to, and tables that were not there come to be.
    save(&mut store, 7).unwrap();
    let route = |model: &mut paceline_model::Model| {
        model.routes.insert("default/0.0.0.0/0".parse().unwrap(), paceline_model::Route::Blackhole);
        Ok::<_, StoreError>(())
    };
    store.update(route).unwrap();
    let before = store.model().clone();
    drop(store);
    assert_eq!(*open(dir.path()).model(), before);
}

#[test]
fn what_says_nothing_new_is_as_it_was_written_before() {
    let dir = tempfile::tempdir().unwrap();
    older(dir.path());
    let mut store = open(dir.path());
    let touch = |model: &mut paceline_model::Model| {
        model.networks.get_mut(&"n1".parse().unwrap()).unwrap().internal = true;
        model.endpoints.get_mut(&"e1".parse().unwrap()).unwrap().mac_given = true;
        Ok::<_, StoreError>(())
    };
    store.update(touch).unwrap();
    drop(store);
    let expected = ROWS[0].2.replace("\"internal\":false", "\"internal\":true");
    assert_eq!(read(dir.path(), "networks")["n1"], expected);
    let expected = ROWS[1].2.replace("\"mac_given\":false", "\"mac_given\":true");
    assert_eq!(read(dir.path(), "endpoints")["e1"], expected);
}

#[test]
fn what_is_new_is_in_fields_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    older(dir.path());
    let mut store = open(dir.path());
    let port = PublishedPort { protocol: Protocol::Sctp, host_ip: "::1".parse().ok(), host_port: 1, port: 2 };
    let edit = move |model: &mut paceline_model::Model| {
        let options = &mut model.networks.get_mut(&"n1".parse().unwrap()).unwrap().options;
        options.gateway_ipv6 = GatewayMode::Routed;
        model.endpoints.get_mut(&"e1".parse().unwrap()).unwrap().ports = vec![port];
        Ok::<_, StoreError>(())
    };
    store.update(edit).unwrap();
    drop(store);
    let network = &read(dir.path(), "networks")["n1"];
    assert!(network.contains(r#""mtu":9000,"gateway_ipv6":"routed"}"#), "{network}");
    let endpoint = &read(dir.path(), "endpoints")["e1"];
    let expected = r#""ports":[{"protocol":"sctp","host_ip":"::1","host_port":1,"port":2}]"#;
    assert!(endpoint.contains(expected), "{endpoint}");
}

/// Schema 1 is all that versions without policies know, and they refuse what is above.
#[test]
fn a_version_without_policies_refuses_a_file_with_some() {
    let dir = tempfile::tempdir().unwrap();
    older(dir.path());
    let mut store = open(dir.path());
    let policies = |set: &str| PolicySet::parse("test", set).unwrap();
    let set = |store: &mut Store, set: PolicySet| {
        let edit = |model: &mut paceline_model::Model| {
            model.set_policies(&set);
            Ok::<_, StoreError>(())
        };
        store.update(edit).unwrap();
    };
    save(&mut store, 7).unwrap();
    drop(store);
    assert_eq!(schema(dir.path()), 1, "who has no policies may go back");
    for text in [
        "[[policy]]\nname = \"a\"\nselector = \"all()\"\ningress = []\n",
        "group = [{ name = \"office\", prefixes = [\"192.0.2.0/24\"] }]\n",
    ] {
        let mut store = open(dir.path());
        set(&mut store, policies(text));
        drop(store);
        assert_eq!(schema(dir.path()), 2, "{text}");
        let mut store = open(dir.path());
        assert_eq!(store.model().policies(), policies(text));
        set(&mut store, PolicySet::default());
        drop(store);
        assert_eq!(schema(dir.path()), 1, "they are gone");
    }
    // Written by a version that had policies and did not say so.
    let mut store = open(dir.path());
    set(&mut store, policies("[[policy]]\nname = \"a\"\nselector = \"all()\"\ningress = []\n"));
    drop(store);
    let db = Database::open(dir.path().join("model.redb")).unwrap();
    let transaction = db.begin_write().unwrap();
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    transaction.open_table(meta).unwrap().insert("schema", 1).unwrap();
    transaction.commit().unwrap();
    drop(db);
    assert_eq!(open(dir.path()).model().policies().policies().count(), 1);
    assert_eq!(schema(dir.path()), 2);
}
