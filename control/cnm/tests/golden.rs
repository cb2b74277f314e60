//! What the engine sends, and what it is answered, byte for byte but for white space.
//!
//! `golden/engine-20.10.json` is a recording of Docker Engine 20.10.24, with the addresses that our IPAM driver gives;
//! `golden/engine-29.json` is written after the protocol of engine 29; `golden/refusals.json` is what is refused, in which words.
//! `UPDATE_GOLDEN=1 cargo test` writes the answers anew.
#![forbid(unsafe_code)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use support::Plugin;

async fn replay(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let mut recording: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let plugin = Plugin::start();
    let mut client = plugin.connect().await;
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for (step, recorded) in recording["calls"].as_array_mut().unwrap().iter_mut().enumerate() {
        let (call, request) = (recorded["call"].as_str().unwrap().to_owned(), recorded["request"].clone());
        let answer = client.call(&call, &request).await;
        assert_eq!(answer.content_type, "application/vnd.docker.plugins.v1.2+json");
        let mut got = Map::new();
        got.insert("call".into(), json!(call));
        got.insert("request".into(), request);
        got.insert("answer".into(), answer.body);
        if answer.status != 200 {
            got.insert("status".into(), json!(answer.status));
        }
        if update {
            *recorded = Value::Object(got);
        } else {
            assert_eq!(Value::Object(got), *recorded, "{name}, call {step}: {call}");
        }
    }
    if update {
        fs::write(&path, serde_json::to_string_pretty(&recording).unwrap() + "\n").unwrap();
    }
}

#[tokio::test]
async fn docker_engine_20_10() {
    replay("engine-20.10.json").await;
}

#[tokio::test]
async fn docker_engine_29() {
    replay("engine-29.json").await;
}

#[tokio::test]
async fn refusals() {
    replay("refusals.json").await;
}
