//! The server beneath the methods: bodies, verbs, connections.
#![forbid(unsafe_code)]

mod support;

use serde_json::{Value, json};
use support::Plugin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const LEAVE: &str = "/NetworkDriver.Leave";

#[tokio::test]
async fn what_is_no_method() {
    let plugin = Plugin::start();
    let mut client = plugin.connect().await;
    for path in
        ["/", "/NetworkDriver", "/NetworkDriver.", "/networkdriver.leave", "/NetworkDriver.Leave/x", "/%00"]
    {
        let answer = client.send("POST", path, "{}").await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body["Err"], answer.body["Error"]);
    }
    assert_eq!(client.send("GET", LEAVE, "").await.status, 404);
    assert_eq!(client.send("PUT", LEAVE, "{}").await.status, 404);
}

#[tokio::test]
async fn a_body_may_be_large_but_not_too_large() {
    let plugin = Plugin::start();
    let mut client = plugin.connect().await;
    let body = |size: usize| {
        let head = r#"{"NetworkID":"n","EndpointID":"e","Pad":""#;
        format!("{head}{}\"}}", "x".repeat(size - head.len() - 2))
    };
    assert_eq!(client.send("POST", LEAVE, body(1 << 20)).await.body, json!({}));
    for size in [(1 << 20) + 1, 16 << 20] {
        let answer = client.send("POST", LEAVE, body(size)).await;
        assert_eq!(answer.status, 200);
        let error = answer.body["Err"].as_str().unwrap();
        assert_eq!(
            error,
            "NetworkDriver.Leave: the request has more than 1048576 bytes: fewer or shorter options are needed"
        );
    }
    // The connection is as good as before.
    assert_eq!(client.send("POST", LEAVE, body(100)).await.body, json!({}));
}

#[tokio::test]
async fn a_body_in_chunks_and_an_odd_head() {
    let plugin = Plugin::start();
    let mut stream = UnixStream::connect(&plugin.socket).await.unwrap();
    let request = "POST /Plugin.Activate HTTP/1.1\r\nHost: plugin.moby.localhost\r\nContent-Type: text/plain\r\n\
                   Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body, json!({ "Implements": ["NetworkDriver", "IpamDriver"] }));
}

/// The engine dies in the middle of a request: nothing has happened, and the next one is served.
#[tokio::test]
async fn half_a_request_is_none() {
    let plugin = Plugin::start();
    let mut stream = UnixStream::connect(&plugin.socket).await.unwrap();
    let half = "POST /NetworkDriver.CreateNetwork HTTP/1.1\r\nHost: \r\nContent-Length: 100\r\n\r\n{\"NetworkID\":\"n1\"}";
    stream.write_all(half.as_bytes()).await.unwrap();
    drop(stream);
    plugin.done("Plugin.Activate", &Value::Null).await;
    assert!(plugin.control.model().networks.is_empty());
}

#[tokio::test]
async fn a_stop_leaves_no_socket() {
    let plugin = Plugin::start();
    let socket = plugin.socket.clone();
    // An idle connection does not hold it up.
    let mut client = plugin.connect().await;
    client.call("Plugin.Activate", &Value::Null).await;
    let dir = plugin.stop().await;
    assert!(dir.path().exists() && !socket.exists());
}
