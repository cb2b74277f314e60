//! The rules of the house, checked on every tracked file. See ARCHITECTURE.md for the reasons.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// More than this and a file does more than one thing.
const MAX_LINES: usize = 600;

/// Rooms whose job is to talk to the kernel or to hand out raw memory. Everything else is safe Rust.
const UNSAFE_ROOMS: [&str; 2] = ["ffi/", "dataplane/buf/"];

// Spelt in parts, so that this file passes its own rules.
const UNSAFE: &str = concat!("un", "safe");
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("db", "g!"),
];
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/tmp/", "brief"), concat!("/ro", "ot/")];

/// A tracked text file.
struct Source {
    /// Relative to the top of the checkout.
    path: String,
    text: String,
}

impl Source {
    fn ends_in(&self, ending: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|own| own == ending)
    }

    fn is_rust(&self) -> bool {
        self.ends_in("rs")
    }

    fn may_be_unsafe(&self) -> bool {
        UNSAFE_ROOMS.iter().any(|room| self.path.starts_with(room))
    }

    /// Lines from 1, with their number as an editor counts.
    fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout has a top")
}

/// All tracked text files; none outside a git checkout, where there is nothing to compare with.
fn sources() -> Vec<Source> {
    let listing = Command::new("git").args(["ls-files", "-z"]).current_dir(top()).output();
    let Some(listing) = listing.ok().filter(|listing| listing.status.success()) else {
        println!("skipped: not a git checkout");
        return Vec::new();
    };
    String::from_utf8_lossy(&listing.stdout)
        .split_terminator('\0')
        .filter_map(|path| {
            Some(Source { path: path.into(), text: fs::read_to_string(top().join(path)).ok()? })
        })
        .collect()
}

/// One row of ARCHITECTURE.md's table of rooms: its folder and its crate.
fn rooms() -> Vec<(String, String)> {
    let page = fs::read_to_string(top().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    page.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|');
            let folder = cells.next()?.trim().trim_end_matches('`');
            let name = cells.next()?.trim().strip_prefix('`')?.strip_suffix('`')?;
            Some((folder.into(), name.into()))
        })
        .collect()
}

fn manifest(folder: &str) -> toml::Table {
    let path = top().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with every violation, not only the first.
fn expect_none(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}\n  {}", violations.join("\n  "));
}

/// Does `text` hold `word` as a whole word?
fn has_word(text: &str, word: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !before.chars().next_back().is_some_and(joins) && !after.chars().next().is_some_and(joins)
    })
}

/// A line of Rust without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Is there a `SAFETY:` in the lines just above line `number`, blank lines ending the search?
fn is_justified(source: &Source, number: usize) -> bool {
    let above: Vec<&str> = source.text.lines().take(number).collect();
    above.iter().rev().take_while(|line| !line.trim().is_empty()).any(|line| line.contains("SAFETY:"))
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust() && !source.may_be_unsafe()) {
        let lines = source.numbered().filter(|(_, line)| has_word(code(line), UNSAFE));
        found.extend(lines.map(|(number, _)| format!("{}:{number}", source.path)));
        let is_root = source.path.ends_with("src/lib.rs") || source.path.ends_with("src/main.rs");
        if is_root && !source.text.contains(&format!("#![forbid({UNSAFE}_code)]")) {
            found.push(format!("{}: no #![forbid({UNSAFE}_code)]", source.path));
        }
    }
    expect_none(&format!("{UNSAFE} code is for {UNSAFE_ROOMS:?} alone"), &found);
}

#[test]
fn unsafe_blocks_say_why_they_are_sound() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.is_rust() && source.may_be_unsafe()) {
        let starts = ["{", "impl"].map(|next| format!("{UNSAFE} {next}"));
        let lines = source.numbered().filter(|(_, line)| {
            has_word(code(line), UNSAFE) && starts.iter().any(|start| line.contains(start.as_str()))
        });
        let bare = lines.filter(|(number, _)| !is_justified(source, *number));
        found.extend(bare.map(|(number, _)| format!("{}:{number}", source.path)));
    }
    expect_none(&format!("every {UNSAFE} block has a `// SAFETY:` line above it"), &found);
}

#[test]
fn files_are_short() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|source| source.is_rust() || source.path.starts_with("scripts/"))
        .map(|source| (source.text.lines().count(), &source.path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    expect_none(&format!("a file has at most {MAX_LINES} lines"), &long);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.path != "Cargo.lock") {
        for (number, line) in source.numbered() {
            if UNFINISHED.iter().any(|word| has_word(line, word)) {
                found.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    expect_none("no notes to do things later: do them, or open an issue", &found);
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in source.numbered() {
            if MACHINE_PATHS.iter().any(|path| line.contains(path)) {
                found.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    expect_none("no path of one machine", &found);
}

#[test]
fn every_crate_is_a_room_in_architecture_md() {
    let members = manifest("")["workspace"]["members"].as_array().expect("members is a list").clone();
    let members: BTreeSet<String> = members.iter().filter_map(|m| Some(m.as_str()?.to_owned())).collect();
    let rooms = rooms();
    let listed: BTreeSet<String> = rooms.iter().map(|(folder, _)| folder.clone()).collect();
    assert_eq!(
        members, listed,
        "the workspace's members (left) are the rows of ARCHITECTURE.md's table (right)"
    );
    for (folder, name) in &rooms {
        let manifest = manifest(folder);
        assert_eq!(manifest["package"]["name"].as_str(), Some(name.as_str()), "the crate in {folder}");
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        assert_eq!(lints.and_then(toml::Value::as_bool), Some(true), "{folder} takes the workspace's lints");
    }
}

#[test]
fn rooms_look_one_way() {
    let rooms = rooms();
    let mut found = Vec::new();
    for (row, (folder, name)) in rooms.iter().enumerate() {
        let manifest = manifest(folder);
        let tables = ["dependencies", "build-dependencies", "dev-dependencies"];
        let used =
            tables.iter().filter_map(|table| manifest.get(*table)?.as_table()).flat_map(toml::Table::keys);
        for used in used.filter(|used| used.starts_with("paceline")) {
            let above = rooms[..row].iter().find(|(_, name)| name == used);
            let allowed = above.is_some_and(|(other, _)| !folder.starts_with("ffi/") || other == "ffi/sys");
            // The benchmarks are a room beside the table's order: `paceline bench` is their door.
            let is_door = folder == "control/cli" && used == "paceline-bench";
            if !allowed && !is_door {
                found.push(format!("{name} uses {used}"));
            }
        }
        // A node sees packets, tables and the graph; how they reached memory is not its business.
        let devices = ["paceline-tap", "paceline-packet", "paceline-xsk", "paceline-ports"];
        let text = manifest.to_string();
        if folder == "dataplane/nodes" && devices.iter().any(|device| text.contains(device)) {
            found.push(format!("{name} uses a device"));
        }
    }
    expect_none("a room uses only rooms above it in ARCHITECTURE.md's table, and ffi only ffi/sys", &found);
}

#[test]
fn every_example_configuration_is_valid() {
    let mut found = Vec::new();
    for source in
        sources().iter().filter(|source| source.path.starts_with("configs/") && source.ends_in("toml"))
    {
        let check = Command::new(env!("CARGO_BIN_EXE_paceline"))
            .arg("check")
            .arg(top().join(&source.path))
            .output()
            .expect("runs");
        if !check.status.success() {
            found.push(format!("{}:\n{}", source.path, String::from_utf8_lossy(&check.stderr)));
        }
    }
    expect_none("`paceline check` accepts every file in configs/", &found);
}
