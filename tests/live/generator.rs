//! `steadfast-load` against a real lab: what it counts is what happened.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::lab::{EDGES, HOME, Lab, PASSWORD, metric, steadfast_load};
use crate::process::Process;

/// How long a load of a second or two may take.
const LOAD_MAX: Duration = Duration::from_secs(60);

/// A load of that name through these edges.
fn command(name: &str, edges: &[&str], port: u16) -> Command {
    let mut command = steadfast_load();
    command.args([name, "--json", "--password", PASSWORD]);
    for edge in edges {
        command.arg("--to").arg(format!("{edge}:{port}"));
    }
    command
}

/// Runs a load that goes well; its line of JSON.
#[track_caller]
fn run(lab: &Lab, command: &mut Command, options: &str) -> String {
    command.args(options.split(' '));
    let mut process = Process::start("steadfast-load", command, lab.path("load.log"));
    let status = process.wait(LOAD_MAX);
    let output = process.output();
    assert!(
        status.is_some_and(|status| status.success()),
        "{output}\n{}",
        lab.last_words()
    );
    output
}

/// Runs a load through the first two edges.
#[track_caller]
fn load(lab: &Lab, name: &str, options: &str) -> String {
    run(lab, &mut command(name, &EDGES[..2], 5_060), options)
}

/// The report in what a load said.
#[track_caller]
fn report(output: &str) -> Value {
    let line = output.lines().find(|line| line.starts_with('{'));
    let report = line.map(serde_json::from_str);
    report
        .and_then(Result::ok)
        .unwrap_or_else(|| panic!("no report: {output}"))
}

#[track_caller]
fn has(output: &str, members: &[(&str, u32)]) {
    let report = report(output);
    for (name, value) in members {
        assert_eq!(report[name], *value, "{name} in {output}");
    }
}

#[test]
fn registrations_and_calls_to_registered_phones_are_counted_as_they_went() {
    let lab = Lab::start("generator");
    let line = load(
        &lab,
        "registrations",
        "--phones 50 --count 150 --window 10 --outbound",
    );
    has(&line, &[("attempted", 150), ("done", 150), ("failed", 0)]);
    has(&line, &[("retransmitted", 0), ("stray", 0)]);
    let line = load(
        &lab,
        "calls-to-registered",
        "--phones 50 --count 400 --rate 200 --hold 100 --outbound",
    );
    has(&line, &[("done", 400), ("failed", 0), ("misrouted", 0)]);
    let line = load(
        &lab,
        "calls-to-registered",
        "--phones 40 --count 200 --window 8 --outbound --transport tcp --from 127.17.0.1",
    );
    has(
        &line,
        &[
            ("done", 200),
            ("failed", 0),
            ("misrouted", 0),
            ("closed", 0),
        ],
    );
}

#[test]
fn phones_register_and_call_over_tls() {
    let lab = Lab::start_with("generator-tls", &["--tls"]);
    let mut command = command("calls-to-registered", &EDGES[..2], 5_061);
    command.arg("--ca").arg(lab.path("lab/ca.pem"));
    let options = "--transport tls --outbound --phones 60 --rate 100 --count 200 --from 127.17.0.1";
    let output = run(&lab, &mut command, options);
    let all = [("done", 200), ("failed", 0), ("misrouted", 0)];
    has(&output, &all);
    has(&output, &[("closed", 0)]);
    let accepted = metric(&lab.page("e1", "/metrics"), "steadfast_tls_accepted_total");
    assert!(accepted >= 30, "{accepted}");
}

#[test]
fn a_refusal_is_counted_by_its_status() {
    let lab = Lab::start("generator-refused");
    let mut command = steadfast_load();
    command.args(["registrations", "--json", "--count", "20"]);
    command.args(["--to", &format!("{HOME}:5060")]);
    let mut process = Process::start("steadfast-load", &mut command, lab.path("load.log"));
    let status = process.wait(LOAD_MAX);
    assert_eq!(status.and_then(|status| status.code()), Some(1));
    let output = process.output();
    has(&output, &[("done", 0), ("failed", 20), ("refused_401", 20)]);
    assert!(
        output.contains("steadfast-load: 20 of 20 attempts failed"),
        "{output}"
    );
}

/// The number of a member.
#[track_caller]
pub(crate) fn number(output: &str, name: &str) -> f64 {
    let number = report(output)[name].as_f64();
    number.unwrap_or_else(|| panic!("no {name} in {output}"))
}

#[test]
fn no_call_is_lost_when_an_edge_is_killed_under_load() {
    let lab = Lab::start("generator-failover");
    let mut command = command("failover", &EDGES[..1], 5_060);
    command.args(["--kill", &lab.process_of(EDGES[0]), "--after", "3"]);
    let options = "--outbound --phones 60 --rate 40 --hold 4000 --for 4";
    command.args(options.split(' '));
    let mut process = Process::start("steadfast-load", &mut command, lab.path("load.log"));
    // A call that was still being set up may have died with the edge, which is
    // no loss of one that was up; so the exit status may be either.
    let status = process.wait(LOAD_MAX);
    let output = process.output();
    assert!(status.is_some(), "{output}");
    assert_eq!(
        number(&output, "calls_lost"),
        0.0,
        "{output}\n{}",
        lab.last_words()
    );
    assert!(number(&output, "calls_kept") >= 50.0, "{output}");
    assert!(number(&output, "first_answer_us") > 0.0, "{output}");
}
