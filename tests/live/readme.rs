//! The commands of the README: each is run as it is printed, or there is a reason why not.

use std::path::Path;

use crate::init::walk;
use crate::lab::{Lab, steadfast, steadfast_load, turn};

/// What cannot run unattended in a moment, by how it begins.
const NOT_RUN: [(&str, &str); 13] = [
    (
        "cargo run --release",
        "compiles; the lab is in every test here, the demonstration in demo.rs",
    ),
    ("tests/", "is what runs this"),
    ("perf/", "takes minutes, and a machine of its own"),
    ("2026-", "is what a run printed"),
    (
        "steadfast check --bind",
        "mistakes.rs looks at what it finds",
    ),
    (
        "steadfast run",
        "goes on until it is ended: init.rs runs four",
    ),
    ("steadfast zone", "zone.rs asks a live DNS"),
    ("steadfast check --dns", "zone.rs asks a live DNS"),
    ("steadfast top", "top.rs looks at its screen"),
    ("steadfast trace", "trace.rs plays a call that fails"),
    (
        "steadfast upgrade",
        "upgrade.rs upgrades a node under calls",
    ),
    (
        "curl http://127.0.0.1:9090",
        "the lab has no port for the metrics: descriptors.rs asks one",
    ),
    (
        "steadfast why sip:joe",
        "why.rs asks about phones that are there",
    ),
];

/// What is run here, by how it begins.
const RUN: [&str; 9] = [
    "steadfast init",
    "steadfast check --config e1.toml",
    "steadfast reload",
    "steadfast status",
    "steadfast rejected",
    "steadfast bindings",
    "curl --unix-socket",
    "steadfast lab --dir lab",
    "steadfast-load",
];

/// The commands of the README in their order: those of blocks of a shell, and of paragraphs that are
/// indented. The lines of the first block, which `init.rs` walks as a whole, are none.
fn commands() -> Vec<&'static str> {
    let readme = include_str!("../../README.md");
    let (mut fence, mut found) = (None, Vec::new());
    for line in readme.lines() {
        match (line.strip_prefix("```"), fence) {
            (Some(kind), None) => fence = Some(kind),
            (Some(_), Some(_)) => fence = None,
            (None, Some("sh")) => found.push(line),
            (None, Some(_)) => {}
            (None, None) => found.extend(line.strip_prefix("    ")),
        }
    }
    let start = found
        .iter()
        .position(|line| line.contains("init example.net --dir first"));
    let walked = start.expect("the README begins with a first configuration");
    let end = found
        .iter()
        .position(|line| line.starts_with("steadfast ua call"));
    found.drain(walked..=end.expect("which leads to a call"));
    found
}

fn run(line: &&&str) -> bool {
    RUN.iter().any(|start| line.starts_with(start))
}

#[test]
fn each_command_of_the_readme_is_run_or_has_a_reason() {
    let all = commands();
    let has_reason = |line: &&str| NOT_RUN.iter().any(|(start, _)| line.starts_with(start));
    let left: Vec<_> = all
        .iter()
        .filter(|line| !run(line) && !has_reason(line))
        .collect();
    assert!(
        left.is_empty(),
        "add to `RUN` or, with a reason, to `NOT_RUN`: {left:#?}"
    );
    for start in RUN {
        assert!(
            all.iter().any(|line| line.starts_with(start)),
            "there is no {start} any more"
        );
    }
}

/// Those that begin in one of these ways, as they are printed.
fn script(starts: &[&str]) -> String {
    let all = commands();
    let chosen = all
        .iter()
        .filter(|line| starts.iter().any(|start| line.starts_with(start)));
    let lines: Vec<_> = chosen.copied().collect();
    assert!(lines.len() >= starts.len(), "{lines:?}");
    lines.join("\n")
}

#[test]
fn a_node_is_asked_and_told_as_the_readme_says() {
    let lab = Lab::start("readme-asked");
    let folder = lab.path("lab");
    let phone = "steadfast ua register sip:joe@example.com --password secret --home 127.0.0.10 \
                 --resolve edge.example.com=127.0.0.11 --once\n";
    let asked = script(&RUN[1..7]);
    // The sockets of the lab are in its folder.
    let output = walk(
        &folder,
        &(phone.to_owned() + &asked.replace("/run/steadfast/", "")),
    );
    for said in [
        "node e1 can be started",
        "generation",
        "sip:joe@",
        "steadfast_requests_in_total",
    ] {
        assert!(output.contains(said), "nothing says {said:?}\n{output}");
    }
}

#[test]
fn the_load_is_made_as_the_readme_says() {
    let (_turn, dir) = turn("readme-load");
    // Both programs stand in one folder, which the walk has in its path.
    let program = steadfast_load().get_program().to_owned();
    assert_eq!(
        Path::new(&program).parent(),
        Path::new(steadfast().get_program()).parent()
    );
    let output = walk(&dir, &script(&RUN[7..]));
    for said in ["calls_kept", "calls_lost"] {
        assert!(output.contains(said), "nothing says {said:?}\n{output}");
    }
    assert!(!output.contains("failed:"), "{output}");
    std::fs::remove_dir_all(dir).expect("the test's folder can go");
}

#[test]
fn a_first_configuration_for_machines_of_their_own_is_written() {
    let (_turn, dir) = turn("readme-service");
    let output = walk(&dir, &script(&RUN[..1]));
    assert!(
        output.contains("systemctl enable --now steadfast@e3"),
        "{output}"
    );
    assert!(dir.join("example.net/e3.toml").exists());
    std::fs::remove_dir_all(dir).expect("the test's folder can go");
}
