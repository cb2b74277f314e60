use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use paceline_graph::{Drops, Reason};
use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use proptest::prelude::*;
use tempfile::tempdir;

use super::*;
use crate::frame;

fn replay(file: &Path, repeat: bool, timed: bool) -> PcapConfig {
    PcapConfig { replay: Some(ReplayConfig { file: file.into(), repeat, timed }), record: None }
}

fn record(file: &Path, snap: u32) -> PcapConfig {
    PcapConfig { replay: None, record: Some(RecordConfig { file: file.into(), snap }) }
}

/// Writes frames through one port and reads them back through another.
fn through_a_file(frames: &[Vec<u8>], snap: u32) -> Vec<Vec<u8>> {
    let (dir, pool, drops) = (tempdir().expect("a directory"), Pool::small(1024), Drops::default());
    let (file, mut cache, mut vector) = (dir.path().join("frames.pcap"), pool.cache(), Vector::new());
    let mut io = Io::new(&mut cache, &drops);
    let mut port = PcapPort::open(&record(&file, snap), &pool).expect("a file");
    for frame in frames {
        assert!(vector.push(frame::copy_in(io.cache, frame).expect("chunks")).is_ok());
    }
    port.transmit(&mut io, &mut vector);
    assert!(vector.is_empty());
    port.close(&mut io);
    drop(port);
    let mut port = PcapPort::open(&replay(&file, false, false), &pool).expect("a capture");
    port.receive(&mut io, &mut vector);
    assert!(port.is_finished());
    let got = vector.as_slice().iter().map(|p| p.segments().flatten().copied().collect()).collect();
    io.cache.free_all(&mut vector);
    assert_eq!(drops.total(), 0);
    drop(cache);
    assert_eq!(pool.stats().free, 1024);
    got
}

#[test]
fn frames_of_all_lengths_survive_and_a_snap_cuts_them() {
    let frames: Vec<Vec<u8>> =
        [14, 60, 1514, 3776, 3777, 9000, 65_549].map(|len| (0..len).map(|i| i as u8).collect()).into();
    assert_eq!(through_a_file(&frames, 262_144), frames);
    let cut: Vec<Vec<u8>> = frames.iter().map(|f| f[..f.len().min(100)].to_vec()).collect();
    assert_eq!(through_a_file(&frames, 100), cut);
}

#[test]
fn the_format_is_libpcap_s_with_nanoseconds() {
    let pool = Pool::small(64);
    let (mut cache, mut bytes) = (pool.cache(), Vec::new());
    let packet = frame::copy_in(&mut cache, &[0xab; 20]).expect("a chunk");
    let mut writer = PcapWriter::new(&mut bytes, 16).expect("memory");
    writer.write(&packet, 5_000_000_007).expect("memory");
    cache.free(packet);
    let words: Vec<u32> = bytes[..40].as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    assert_eq!(words, [0xa1b2_3c4d, 0x0004_0002, 0, 0, 16, 1, 5, 7, 16, 20]);
    assert_eq!(bytes[40..], [0xab; 16]);
}

#[test]
fn a_full_queue_is_counted_and_nothing_leaks() {
    let (dir, pool, drops) = (tempdir().expect("a directory"), Pool::small(2048), Drops::default());
    let (file, mut cache, mut vector) = (dir.path().join("frames.pcap"), pool.cache(), Vector::new());
    let mut port = PcapPort::open(&record(&file, 64), &pool).expect("a file");
    let mut sent = 0;
    for _ in 0..100 {
        let mut io = Io::new(&mut cache, &drops);
        while let Some(packet) = frame::copy_in(io.cache, &[1; 60]) {
            if let Err(packet) = vector.push(packet) {
                io.cache.free(packet);
                break;
            }
        }
        sent += vector.len() as u64;
        port.transmit(&mut io, &mut vector);
    }
    port.close(&mut Io::new(&mut cache, &drops));
    drop(port);
    drop(cache);
    assert_eq!(pool.stats().free, 2048);
    let written = (fs::metadata(&file).expect("the file").len() - 24) / 76;
    assert_eq!(written + drops.get(Reason::TxFull), sent);
}

#[test]
fn a_disk_that_is_full_takes_the_port_down() {
    let (pool, drops) = (Pool::small(64), Drops::default());
    let (mut cache, mut vector) = (pool.cache(), Vector::new());
    let mut port = PcapPort::open(&record(Path::new("/dev/full"), 64), &pool).expect("a device");
    assert_eq!(port.state(), LinkState::Up);
    while port.state() == LinkState::Up {
        let mut io = Io::new(&mut cache, &drops);
        vector.push(frame::copy_in(io.cache, &[1; 60]).expect("a chunk")).expect("room");
        port.transmit(&mut io, &mut vector);
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut io = Io::new(&mut cache, &drops);
    vector.push(frame::copy_in(io.cache, &[1; 60]).expect("a chunk")).expect("room");
    let before = drops.get(Reason::TxError);
    port.transmit(&mut io, &mut vector);
    assert_eq!(drops.get(Reason::TxError), before + 1);
    drop(port);
    drop(cache);
    assert_eq!(pool.stats().free, 64);
}

/// A pcapng file of three frames, 1 ms apart, in units of `resolution`.
fn pcapng(resolution: u8, unit: Duration, linktype: DataLink) -> Vec<u8> {
    let mut writer = PcapNgWriter::new(Vec::new()).expect("memory");
    let options = vec![InterfaceDescriptionOption::IfTsResol(resolution)];
    writer.write_pcapng_block(InterfaceDescriptionBlock { linktype, snaplen: 0, options }).expect("memory");
    for at in 0..3_u8 {
        let units = Duration::from_millis(1000 + u64::from(at)).as_nanos() / unit.as_nanos();
        let timestamp = Duration::from_nanos(units as u64);
        let data = Cow::Owned(vec![at; 60]);
        let block =
            EnhancedPacketBlock { interface_id: 0, timestamp, original_len: 60, data, options: vec![] };
        writer.write_pcapng_block(block).expect("memory");
    }
    writer.into_inner()
}

#[test]
fn pcapng_is_read_with_its_units_and_timing_and_repetition_work() {
    let (dir, pool, drops) = (tempdir().expect("a directory"), Pool::small(64), Drops::default());
    let file = dir.path().join("frames.pcapng");
    for (resolution, unit) in
        [(6, Duration::from_micros(1)), (9, Duration::from_nanos(1)), (3, Duration::from_millis(1))]
    {
        fs::write(&file, pcapng(resolution, unit, DataLink::ETHERNET)).expect("a file");
        let mut port = PcapPort::open(&replay(&file, true, true), &pool).expect("a capture");
        let (mut cache, mut vector, start) = (pool.cache(), Vector::new(), Instant::now());
        while vector.len() < 6 {
            port.receive(&mut Io::new(&mut cache, &drops), &mut vector);
        }
        assert!(start.elapsed() >= Duration::from_millis(4), "two rounds of 2 ms");
        let firsts: Vec<u8> = vector.as_slice().iter().map(|p| p.data()[0]).collect();
        assert_eq!(firsts, [0, 1, 2, 0, 1, 2]);
        cache.free_all(&mut vector);
    }
    assert_eq!(pool.stats().free, 64);
}

fn fault(bytes: &[u8]) -> String {
    let dir = tempdir().expect("a directory");
    let file = dir.path().join("frames");
    fs::write(&file, bytes).expect("a file");
    let error =
        PcapPort::open(&replay(&file, false, false), &Pool::small(64)).err().expect("a fault").to_string();
    error.trim_start_matches(&file.display().to_string()).to_string()
}

#[test]
fn faults_say_what_is_wrong() {
    let header = |link: u8| {
        [&[0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, link, 0, 0, 0][..]]
            .concat()
    };
    assert_eq!(fault(&header(1)), ": holds no frame");
    assert_eq!(fault(&header(113)), ": link type 113: only Ethernet (1) can be replayed");
    assert!(fault(&pcapng(6, Duration::from_micros(1), DataLink::LINUX_SLL)).contains("link type 113"));
    assert!(fault(b"").contains("not a readable pcap"));
    assert!(fault(b"hello, this is no capture file").contains("not a readable pcap"));
    let long =
        [&header(1)[..], &[0; 8], &70_000_u32.to_le_bytes(), &70_000_u32.to_le_bytes(), &vec![0; 70_000]]
            .concat();
    assert!(fault(&long).contains("a frame of 70000 bytes"), "{}", fault(&long));
    let cut = [&header(1)[..], &[0; 8], &[60, 0, 0, 0, 60, 0, 0, 0], &[0; 59]].concat();
    assert!(fault(&cut).contains("(frame 1)"), "{}", fault(&cut));
    let missing = PcapPort::open(&replay(Path::new("/nonexistent/a.pcap"), false, false), &Pool::small(64));
    assert!(missing.err().expect("missing").to_string().starts_with("/nonexistent/a.pcap: No such file"));
    let unmade = PcapPort::open(&record(Path::new("/nonexistent/a.pcap"), 64), &Pool::small(64));
    assert!(unmade.err().expect("no directory").to_string().starts_with("/nonexistent/a.pcap: No such file"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_files_are_refused_or_read_but_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        start in 0_usize..3,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        if start > 0 {
            bytes.splice(..0, pcapng(6, Duration::from_micros(1), DataLink::ETHERNET));
        }
        for (at, value) in flips {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        let dir = tempdir().expect("a directory");
        let file = dir.path().join("frames");
        fs::write(&file, bytes).expect("a file");
        let _ = PcapPort::open(&replay(&file, false, false), &Pool::small(64));
    }
}
