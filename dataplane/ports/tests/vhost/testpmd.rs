//! DPDK's testpmd as the guest: its driver `net_virtio_user`, which polls, in a process of its own.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use paceline_ports::{LinkState, VhostRole};

use crate::switch::{Switch, frame};

/// A testpmd that sends back what it receives.
struct Testpmd(Child);

impl Testpmd {
    /// `None` where it is not installed. `more` are further arguments of the device.
    fn start(socket: &std::path::Path, more: &str) -> Option<Testpmd> {
        let vdev = format!(
            "--vdev=net_virtio_user0,path={},queues=1,queue_size=256,mac=02:00:00:00:00:01{more}",
            socket.display()
        );
        let prefix = format!("paceline-{}", socket.parent()?.file_name()?.to_str()?);
        let eal = ["--no-pci", "--no-huge", "--no-shconf", "-m", "256", "-l", "0,1", "--file-prefix"];
        let own = ["--forward-mode=macswap", "--auto-start", "--total-num-mbufs=4096", "--no-mlockall"];
        let child = Command::new("dpdk-testpmd")
            .args(eal)
            .arg(&prefix)
            .arg(vdev)
            .args(["--", "--interactive"])
            .args(own)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        match child {
            Ok(child) => Some(Testpmd(child)),
            Err(error) => {
                eprintln!("dpdk-testpmd: {error}: not tested");
                None
            }
        }
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        let _ = self.0.stdin.take().map(|mut input| input.write_all(b"quit\n"));
        for _ in 0..100 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
        let mut said = String::new();
        let _ = self.0.stderr.take().map(|mut error| error.read_to_string(&mut said));
        if std::thread::panicking() {
            eprintln!("testpmd said: {said}");
        }
    }
}

/// Frames there and back, through a testpmd that is started again once.
fn forwards(role: VhostRole, more: &str) {
    let mut switch = Switch::new(role);
    for _ in 0..2 {
        let Some(testpmd) = Testpmd::start(&switch.socket, more) else { return };
        switch.wait_for(&LinkState::Up);
        // It may not poll yet.
        let mut came_back = false;
        switch.until(|switch| {
            switch.send(&frame(60, 0));
            came_back |= switch.receive(&mut |_| {}) > 0;
            came_back
        });
        switch.until(|switch| switch.receive(&mut |_| {}) == 0);
        let mut expected = Vec::new();
        for number in 1..=224_u8 {
            let len = [60, 64, 590, 1514][usize::from(number % 4)];
            let mut sent = frame(len, number);
            switch.send(&sent);
            let (to, from) = sent[..12].split_at_mut(6);
            to.swap_with_slice(from);
            expected.push(sent);
            if number % 32 == 0 {
                let mut got: Vec<Vec<u8>> = Vec::new();
                switch.until(|switch| {
                    switch.receive(&mut |packet| got.push(packet.data().to_vec()));
                    // Those that were sent before.
                    got.retain(|got| got[14..] != frame(60, 0)[14..]);
                    got.len() >= expected.len()
                });
                assert!(got == expected, "{} frames", got.len());
                expected.clear();
            }
        }
        // It stops its queues at its end, for which it needs a worker that is at work.
        switch.echo_while(|| drop(testpmd));
        switch.wait_for(&LinkState::Down("the peer is gone"));
    }
    switch.end();
}

#[test]
fn testpmd_forwards_by_split_rings() {
    forwards(VhostRole::Server, "");
}

#[test]
fn testpmd_forwards_by_packed_rings() {
    forwards(VhostRole::Server, ",packed_vq=1");
}

#[test]
fn testpmd_makes_the_socket() {
    forwards(VhostRole::Client, ",server=1");
}
