//! A node that may use little memory: what it begins with leaves room for others.

use std::time::Duration;

use crate::lab::{steadfast, turn};
use crate::process::{Process, poll};

/// Patience with a start.
const START_MAX: Duration = Duration::from_secs(10);
/// As long as it takes to look at the memory three times.
const LOOKS: Duration = Duration::from_millis(3_500);

#[test]
fn a_node_that_may_use_little_refuses_nothing_as_long_as_nobody_is_there() {
    let (_turn, dir) = turn("little-memory");
    // The recorder would have two thirds of it.
    let text = "name = \"e1\"\nlisten = [\"udp:127.0.0.11:5060\", \"tcp:127.0.0.11:5060\"]\n\
                shards = 1\nmemory = \"96M\"\nrecorder = \"64M\"\n[edge]\n\
                cluster = \"edge.example.com\"\nhome = [\"sip:127.0.0.10;transport=udp\"]\n\
                members = [{ name = \"e1\", address = \"127.0.0.11\" }]\n";
    std::fs::write(dir.join("e1.toml"), text).expect("the folder takes files");
    let warns = "the recorder keeps 12 MiB and not what `recorder` says";
    let mut check = steadfast();
    check
        .args(["check", "--config", "e1.toml"])
        .current_dir(&dir);
    let check = check.output().expect("it runs");
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success() && said.contains(warns), "{said}");
    let mut run = steadfast();
    run.args(["run", "--config", "e1.toml"]).current_dir(&dir);
    let node = Process::start("e1", &mut run, dir.join("e1.log"));
    let says = |limit, word: &str| poll(limit, || node.output().contains(word).then_some(()));
    let is_up = says(START_MAX, "listening for SIP");
    assert!(is_up.is_some(), "{}", node.output());
    assert!(node.output().contains(warns), "{}", node.output());
    let is_short = says(LOOKS, "memory is short");
    assert!(is_short.is_none(), "{}", node.output());
    drop(node);
    std::fs::remove_dir_all(dir).expect("the test's folder can go");
}
