//! `steadfast demo`, as a newcomer runs it: over TLS, and over UDP.

use std::time::Duration;

use crate::lab::{steadfast, turn};
use crate::process::Process;

/// How long the demonstration may take.
const DEMO_MAX: Duration = Duration::from_secs(60);

#[track_caller]
fn play(test: &str, flags: &[&str], over: &str) {
    let (_turn, dir) = turn(test);
    let mut command = steadfast();
    command.arg("demo").args(flags).arg("-v");
    let mut demo = Process::start("steadfast demo", &mut command, dir.join("demo.log"));
    let end = demo.wait(DEMO_MAX);
    let output = demo.output();
    assert!(end.is_some_and(|end| end.success()), "{end:?}\n{output}");
    assert!(output.contains("calls lost: 0"), "{output}");
    assert_eq!(output.matches(" kept ").count(), 8, "{output}");
    assert!(output.contains(over), "{output}");
    std::fs::remove_dir_all(dir).expect("the test's folder can go");
}

#[test]
fn the_demonstration_loses_nothing_over_tls() {
    play("demo-tls", &[], "-> 127.0.0.11:5061 ");
}

#[test]
fn the_demonstration_loses_nothing_over_udp_with_sealed_tokens() {
    let flags = ["--transport", "udp", "--sealed"];
    play("demo-udp", &flags, "-> 127.0.0.11:5060 ");
}
