//! Two ends in one process, and peers that break the rules.

mod frames;
mod hostile;

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use paceline_sys::EventFd;
use tempfile::TempDir;

use crate::message::Text;
use crate::{Channel, Fault, Listener, Pair, Settings, join, serve};

/// Two queues of 8 slots and 64 bytes.
fn settings() -> Settings {
    Settings {
        id: 7,
        secret: Text::new("psst"),
        name: Text::new("test"),
        queues: 2,
        log2_slots: 3,
        buffer_size: 64,
    }
}

/// A socket in a folder of its own, and both ends of a connection to it.
fn channels() -> (TempDir, Listener, Channel, Channel) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memif.sock");
    let listener = Listener::bind(&path).unwrap();
    let client = Channel::connect(&path).unwrap();
    let server = listener.accept().unwrap().unwrap();
    (folder, listener, server, client)
}

/// What comes of it at the server and at the client.
fn connect(server: &Settings, client: &Settings) -> [Result<Vec<Pair>, Fault>; 2] {
    let (_folder, _listener, to_client, to_server) = channels();
    let stop = EventFd::new().unwrap();
    thread::scope(|scope| {
        let served = scope.spawn(|| serve(&to_client, server, stop.as_fd()));
        let joined = join(&to_server, client, stop.as_fd());
        [served.join().unwrap(), joined]
    })
}

#[test]
fn sides_that_do_not_fit_tell_each_other() {
    let fit = connect(&settings(), &settings()).map(|pairs| pairs.unwrap().len());
    assert_eq!(fit, [2, 2]);
    for (client, fault) in [
        (Settings { id: 8, ..settings() }, Fault::Id),
        (Settings { secret: Text::new("psss"), ..settings() }, Fault::Secret),
        (Settings { secret: Text::new(""), ..settings() }, Fault::Secret),
        (Settings { queues: 1, ..settings() }, Fault::Queues),
    ] {
        let got = connect(&settings(), &client).map(|result| result.map(|_| ()));
        assert_eq!(got, [Err(fault), Err(Fault::Disconnected)]);
    }
    let few = Settings { queues: 1, ..settings() };
    let got = connect(&few, &settings()).map(|result| result.map(|_| ()));
    assert_eq!(got, [Err(Fault::Disconnected), Err(Fault::Queues)]);
    let open = Settings { secret: Text::new(""), log2_slots: 2, ..settings() };
    assert!(connect(&open, &settings()).iter().all(Result::is_ok), "a server without a secret takes any");
}

#[test]
fn who_waits_can_be_stopped_and_who_goes_is_noticed() {
    let (_folder, _listener, server, client) = channels();
    let stop = EventFd::new().unwrap();
    drop(client);
    assert_eq!(serve(&server, &settings(), stop.as_fd()).unwrap_err(), Fault::Closed);
    let (_folder, _listener, _server, client) = channels();
    stop.signal();
    assert_eq!(join(&client, &settings(), stop.as_fd()).unwrap_err(), Fault::Stopped);
}

#[test]
fn a_socket_that_was_left_is_replaced_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memif.sock");
    let bind = |path: &Path| Listener::bind(path).map(drop).map_err(|error| error.kind());
    let other = UnixListener::bind(&path).unwrap();
    assert_eq!(bind(&path), Err(ErrorKind::AddrInUse), "of another kind, and in use");
    drop(other);
    assert!(path.exists(), "as after a kill");
    let listener = Listener::bind(&path).unwrap();
    assert_eq!(bind(&path), Err(ErrorKind::AddrInUse));
    assert!(Channel::connect(&path).is_ok() && listener.accept().unwrap().is_some());
    drop(listener);
    assert!(!path.exists());

    std::fs::write(&path, "a file").unwrap();
    assert_eq!(bind(&path), Err(ErrorKind::AddrInUse));
    assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    assert_eq!(bind(Path::new("/nowhere/at/all")), Err(ErrorKind::NotFound));
}
