//! Ports that the kernel gives to none of its programs by itself (`net.ipv4.ip_local_reserved_ports`, for IPv6 too;
//! Documentation/networking/ip-sysctl.rst). A program that asks for one by its number still gets it.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use paceline_sys::NetNs;
use serde::{Deserialize, Serialize};

use crate::error::UplinkError;
use crate::ports::PortSet;

/// Of the calling thread's network namespace.
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
/// More than the kernel's list is long in bytes, even with every second port in it.
const LONGEST: usize = 1 << 18;
/// Another one with each boot.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Ports that are ours in the kernel's list. What others reserved stays.
///
/// A record says which those are, and is written before the kernel is told. So the ports of a process that was killed are known
/// for ours, and go as soon as nobody wants them. The record is of one boot and one network namespace.
#[derive(Debug)]
pub struct Reservation {
    record: PathBuf,
    /// In the kernel's list because of us.
    ours: PortSet,
}

/// What is written down.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    boot: String,
    netns: (u64, u64),
    ports: String,
}

impl Reservation {
    /// Takes up what an earlier process left, which wrote it down in the same file. Nothing is changed yet.
    pub fn new(record: PathBuf) -> Self {
        let left = fs::read(&record).ok().and_then(|text| {
            let left: Record = serde_json::from_slice(&text)
                .inspect_err(|error| tracing::warn!("{}: passed over: {error}", record.display()))
                .ok()?;
            let here = Record::of(&PortSet::new()).ok()?;
            (left.boot == here.boot && left.netns == here.netns).then(|| left.ports.parse().ok())?
        });
        Self { ours: left.unwrap_or_default(), record }
    }

    /// Reserves these ports, and gives back those that were reserved before and are not among them. What somebody else took out
    /// of the list meanwhile is put in again: call it now and then.
    ///
    /// # Errors
    /// See [`UplinkError`]; then the next call goes on from there.
    pub fn set(&mut self, wanted: &PortSet) -> Result<(), UplinkError> {
        if wanted.is_empty() && self.ours.is_empty() {
            return Ok(());
        }
        let now = read()?;
        let others = now.clone().without(&self.ours);
        let ours = wanted.clone().without(&others);
        let all = others.with(&ours);
        if all == now && ours == self.ours {
            return Ok(());
        }
        self.write_down(&ours.clone().with(&self.ours))?;
        let value = all.to_string();
        fs::write(RESERVED, format!("{value}\n")).map_err(|source| UplinkError::Write {
            path: RESERVED.into(),
            value,
            source,
        })?;
        self.ours = ours;
        self.write_down(&self.ours)
    }

    /// The ports that are in the kernel's list because of us.
    pub fn ours(&self) -> &PortSet {
        &self.ours
    }

    fn write_down(&self, ports: &PortSet) -> Result<(), UplinkError> {
        let done = if ports.is_empty() { remove(&self.record) } else { replace(&self.record, ports) };
        done.map_err(|source| UplinkError::Record { path: self.record.clone(), source })
    }
}

impl Record {
    /// Here and now.
    fn of(ports: &PortSet) -> io::Result<Self> {
        let boot = fs::read_to_string(BOOT)?.trim().to_owned();
        Ok(Self { boot, netns: NetNs::current()?.id()?, ports: ports.to_string() })
    }
}

/// The kernel's list. It is there in the first read(2) alone, as far as that has room.
fn read() -> Result<PortSet, UplinkError> {
    let path = || PathBuf::from(RESERVED);
    let mut text = vec![0; LONGEST];
    let length = fs::File::open(RESERVED).and_then(|mut file| file.read(&mut text));
    let length = length.map_err(|source| UplinkError::Read { path: path(), source })?;
    let text = String::from_utf8_lossy(&text[..length]);
    text.parse().map_err(|source| UplinkError::Format { path: path(), source })
}

fn remove(record: &Path) -> io::Result<()> {
    match fs::remove_file(record) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// In one step, so that half a record is never read.
fn replace(record: &Path, ports: &PortSet) -> io::Result<()> {
    let text = serde_json::to_vec(&Record::of(ports)?)?;
    let new = record.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&new, record)
}
