//! House rules that fail: the core is pure, rooms look left, no key goes unread.
//!
//! The rules read the source as text: comments, literals and everything from
//! `#[cfg(test)] mod tests` on are blanked first. Each checker is also fed a bad
//! snippet, so that one that has gone blind fails too.
//!
//! - A room may name the ground floor and the rooms to its left. The order is
//!   **bytes, frame, grammar, uri, scan, stick, txn, edit, trust, locate, send, recorder, proxy, edge | home | agent,
//!   shard**: messages pass `edit` and `send` last, but those two know nothing
//!   of who decides, so for dependencies they stand left of `proxy`.
//! - The files of a room use one another in one direction.
//! - A configuration key is read when some code says `.key`.
//! - The name of a rule such as `S-14` leads to one of `src/core/protocol.md`, and each rule has
//!   a test that cites it.
//! - What the pages for readers name is there.
//! - A function with a namesake in another room has a reason.
//! - A type of the core with a namesake in another room has a reason.
//! - A public function of the core is named outside of it.

mod circles;
mod layouts;
mod namesakes;
mod pages;
mod publics;
mod rules;
mod source;
mod type_names;

use std::path::Path;

use source::{Source, calls, fields, inline_paths, is_word, sources, uses, words};

/// Plain values, under every room.
const GROUND: [&str; 13] = [
    "carry",
    "time",
    "limits",
    "id",
    "span",
    "error",
    "digest",
    "guard",
    "admission",
    "pacing",
    "secret",
    "omit",
    "histogram",
];
/// The rooms in order; those of one entry do not know one another.
const ROOMS: [&[&str]; 15] = [
    &["bytes"],
    &["frame"],
    &["grammar"],
    &["uri"],
    &["scan"],
    &["stick"],
    &["txn"],
    &["edit"],
    &["trust"],
    &["locate"],
    &["send"],
    &["recorder"],
    &["proxy"],
    &["edge", "home", "agent"],
    &["shard"],
];
/// What the core may not reach for in std: sockets, clock, threads, locks, chance, files, async.
/// Other packages are held back by its manifest.
const IMPURE: [&str; 22] = [
    "std::thread",
    "thread_local",
    "std::fs",
    "std::env",
    "std::process",
    "std::os",
    "Mutex",
    "RwLock",
    "Condvar",
    "std::sync::atomic",
    "std::sync::mpsc",
    "OnceLock",
    "LazyLock",
    "Instant::now",
    "SystemTime",
    "RandomState::new",
    "RandomState::default",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "async",
    "await",
];
/// File names that name no noun.
const DRAWERS: [&str; 6] = ["mod", "util", "utils", "helpers", "common", "types"];
/// What sources do not say: history, promises, banners, silenced tests.
const WORDS: [&str; 14] = [
    "TODO",
    "FIXME",
    "XXX",
    "now uses",
    "no longer needed",
    "as requested",
    "refactored",
    "Phase 2",
    "production-ready",
    "comprehensive",
    "# Arguments",
    "# Fields",
    "// ===",
    "#[ignore",
];
/// The pages for readers.
const PAGES: [&str; 7] = [
    "README.md",
    "src/README.md",
    "src/CONTRIBUTING.md",
    "perf/README.md",
    "tests/README.md",
    "tuning/README.md",
    "tuning/homes.md",
];
/// Lines a source file may have.
const LINES_MAX: usize = 600;

/// The index of the room in `ROOMS` counted from 1, 0 for the ground floor; `None` for
/// what is no part of the core.
fn room_order(module: &str) -> Option<usize> {
    if GROUND.contains(&module) {
        return Some(0);
    }
    ROOMS
        .iter()
        .position(|rooms| rooms.contains(&module))
        .map(|index| index + 1)
}

fn impurities(source: &Source) -> Vec<String> {
    if !source.is_core() {
        return Vec::new();
    }
    let used = uses(&source.code);
    let hit = |needle: &str| {
        let inline = words(&source.code, needle).map(|at| source.at(at, needle));
        let imported = used
            .iter()
            .filter(|(_, path)| words(path, needle).next().is_some());
        inline
            .chain(imported.map(|(at, _)| source.at(*at, needle)))
            .next()
    };
    IMPURE.into_iter().filter_map(hit).collect()
}

fn wrong_ways(source: &Source) -> Vec<String> {
    let own = source.top();
    let Some(own_order) = room_order(own).filter(|_| source.is_core()) else {
        return Vec::new();
    };
    let up = "super::".repeat(source.inside().components().count());
    let mut found = Vec::new();
    for (at, path) in uses(&source.code)
        .into_iter()
        .chain(inline_paths(&source.code))
    {
        let Some(rest) = path
            .strip_prefix("crate::")
            .or_else(|| path.strip_prefix(&up))
        else {
            continue;
        };
        let named: String = rest.chars().take_while(|c| is_word(*c)).collect();
        let lower = named.starts_with(|c: char| c.is_ascii_lowercase());
        let allowed =
            named == own || room_order(&named).is_some_and(|order| order == 0 || order < own_order);
        if lower && !allowed {
            found.push(source.at(at, &format!("{own} names {named}")));
        }
    }
    found.dedup();
    found
}

/// The keys of the configuration that nothing reads.
fn unread_keys(sources: &[Source]) -> Vec<String> {
    // The types that describe the file are never values: a test of the configuration reads each.
    let is_described = |source: &&Source| source.inside() == Path::new("config/file.rs");
    let configs = sources.iter().filter(|source| source.top() == "config");
    let configs = configs.filter(|source| !is_described(source));
    let keys =
        configs.flat_map(|source| fields(&source.code).map(move |(at, key)| (source, at, key)));
    let read = |key: &str| {
        let access = format!(".{key}");
        sources.iter().any(|source| {
            words(&source.code, &access).any(|at| !calls(&source.code[at + access.len()..]))
        })
    };
    keys.filter(|(.., key)| !read(key))
        .map(|(source, at, key)| source.at(at, &format!("nothing reads {key}")))
        .collect()
}

fn untidy(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let stem = source
        .path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    if DRAWERS.contains(&stem) {
        found.push(source.at(0, "the name is no noun"));
    }
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        found.push(source.at(0, &format!("{lines} lines are too many")));
    }
    found.extend(
        WORDS
            .into_iter()
            .filter_map(|word| source.text.find(word).map(|at| source.at(at, word))),
    );
    found
}

#[track_caller]
fn none(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_core_reaches_for_nothing() {
    none(
        &sources(&["src"])
            .iter()
            .flat_map(impurities)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn rooms_look_left() {
    none(
        &sources(&["src"])
            .iter()
            .flat_map(wrong_ways)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn the_files_of_a_room_use_one_another_in_one_direction() {
    none(&circles::found(&sources(&["src"])));
}

#[test]
fn every_configuration_key_is_read() {
    none(&unread_keys(&sources(&["src"])));
}

#[test]
fn every_citation_leads_to_a_rule_and_every_rule_to_a_test() {
    let mut all = sources(&["src", "tests", "benches", "perf"]);
    all.retain(|source| !source.path.starts_with(Path::new("tests/tidy")));
    all.extend(PAGES.map(Source::read));
    none(&rules::faults(&Source::read("src/core/protocol.md"), &all));
}

#[test]
fn what_the_pages_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let exists = |path: &str| root.join(path).exists();
    let all = sources(&["src"]);
    let mut found: Vec<String> = PAGES
        .map(Source::read)
        .iter()
        .flat_map(|page| pages::dead_paths(page, exists))
        .collect();
    let architecture = Source::read("src/README.md");
    found.extend(pages::unknown_names(&architecture, &all));
    let mut rooms: Vec<&str> = all.iter().map(Source::top).collect();
    rooms.retain(|room| !["lib", "main"].contains(room));
    rooms.dedup();
    found.extend(pages::gaps(&architecture, &rooms));
    let order: Vec<String> = ROOMS.map(|rooms| rooms.join(" | ")).to_vec();
    let order = order.join(" → ");
    if !architecture.text.contains(&order) {
        found.push(architecture.at(0, "the rooms stand in another order"));
    }
    none(&found);
}

#[test]
fn what_stands_in_two_rooms_has_a_reason() {
    let all = sources(&["src", "perf/load/src"]);
    none(&namesakes::found(&all, &namesakes::ALLOWED));
}

#[test]
fn types_that_two_rooms_name_alike_have_a_reason() {
    none(&type_names::found(&sources(&["src"]), &type_names::ALLOWED));
}

#[test]
fn what_the_core_shows_somebody_takes() {
    let mut all = sources(&["src", "tests", "benches", "perf"]);
    all.retain(|source| !source.path.starts_with(Path::new("tests/tidy")));
    none(&publics::unused(&all));
}

#[test]
fn sources_are_tidy() {
    let mut all = sources(&["src", "tests", "benches", "perf"]);
    all.retain(|source| !source.path.starts_with(Path::new("tests/tidy")));
    none(&all.iter().flat_map(untidy).collect::<Vec<_>>());
}

#[test]
fn what_is_carried_has_a_version_of_its_own() {
    let all = sources(&["src/core", "src/io", "src/upgrade"]);
    let found = (layouts::version(&all).unwrap(), layouts::hash(&all));
    assert_eq!(
        found,
        layouts::LAYOUT,
        "what is carried has changed: see tests/tidy/layouts.rs"
    );
    // The checker sees what changes.
    let text = "#[derive(Clone, Serialize)]\npub struct A {\n    a: u8,\n}\nfn f() {\n    1;\n}\n";
    let hash = |text: &str| layouts::hash(&[Source::new("a.rs", text)]);
    assert_ne!(hash(text), hash(&text.replace("u8", "u16")));
    assert_eq!(hash(text), hash(&text.replace("1;", "2;")));
    let text = "carried!(A {\n    values: a;\n});\n";
    assert_ne!(hash(text), hash(&text.replace("values: a", "made: a")));
}

#[track_caller]
fn check(checker: fn(&Source) -> Vec<String>, path: &str, text: &str, want: &[&str]) {
    assert_eq!(checker(&Source::new(path, text)), want, "{path}: {text}");
}

#[test]
fn a_core_that_reaches_out_is_seen() {
    let seen = |text, want: &[&str]| check(impurities, "src/core/scan/uri.rs", text, want);
    seen(
        "fn f() { Instant::now(); }\n",
        &["src/core/scan/uri.rs:1: Instant::now"],
    );
    seen(
        "\nuse std::{net::IpAddr, thread};\n",
        &["src/core/scan/uri.rs:2: std::thread"],
    );
    seen(
        "use std::sync::{Arc, atomic::{AtomicU8, Ordering}};\n",
        &["src/core/scan/uri.rs:1: std::sync::atomic"],
    );
    seen(
        "async fn f() { g().await }\n",
        &[
            "src/core/scan/uri.rs:1: async",
            "src/core/scan/uri.rs:1: await",
        ],
    );
    seen(
        "// tokio\n/* rand */ fn f() { \"Mutex\"; r#\"async\"#; '\"'; }\nuse std::sync::Arc;\n",
        &[],
    );
    seen(
        "fn f<'a>(x: &'a str) { random(x) }\n#[cfg(test)]\nmod tests {\n use std::fs;\n}\n",
        &[],
    );
    check(
        impurities,
        "src/io/udp.rs",
        "use std::net::UdpSocket;\n",
        &[],
    );
}

#[test]
fn a_room_that_looks_right_is_seen() {
    check(
        wrong_ways,
        "src/core/scan.rs",
        "use crate::{span::Span, txn::Wheel};\n",
        &["src/core/scan.rs:1: scan names txn"],
    );
    check(
        wrong_ways,
        "src/core/edge/token.rs",
        "fn f() { crate::home::x() }\n",
        &["src/core/edge/token.rs:1: edge names home"],
    );
    check(
        wrong_ways,
        "src/core/edge/token.rs",
        "use super::super::shard;\n",
        &["src/core/edge/token.rs:1: edge names shard"],
    );
    check(
        wrong_ways,
        "src/core/time.rs",
        "use crate::bytes::Buf;\n",
        &["src/core/time.rs:1: time names bytes"],
    );
    check(
        wrong_ways,
        "src/core/shard.rs",
        "use crate::io::Udp;\n",
        &["src/core/shard.rs:1: shard names io"],
    );
    check(
        wrong_ways,
        "src/core/proxy.rs",
        "use crate::{edit, error::Fault, scan::Uri};\nuse self::fork::Fork;\n",
        &[],
    );
    check(
        wrong_ways,
        "src/io/udp.rs",
        "use crate::shard::Shard;\n",
        &[],
    );
}

#[test]
fn a_key_that_nothing_reads_is_seen() {
    let config = "struct Config {\n    pub idle_ms_max: u64,\n    pub name: String,\n}\nfn f(c: Config) { c.name() }\n";
    let reader = "fn f(c: &Config) -> u64 { c.idle_ms_max }\n";
    let sources = [
        Source::new("src/config.rs", config),
        Source::new("src/io.rs", reader),
    ];
    assert_eq!(
        unread_keys(&sources),
        ["src/config.rs:3: nothing reads name"]
    );
}

#[test]
fn untidiness_is_seen() {
    check(
        untidy,
        "src/core/scan/utils.rs",
        "//! x\n// TODO\n",
        &[
            "src/core/scan/utils.rs:1: the name is no noun",
            "src/core/scan/utils.rs:2: TODO",
        ],
    );
    check(
        untidy,
        "src/core/scan/uri.rs",
        &"\n".repeat(601),
        &["src/core/scan/uri.rs:1: 601 lines are too many"],
    );
}
