//! `steadfast top` on a terminal of its own (script(1) gives it one).

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::{EDGES, Lab, steadfast};
use crate::process::{poll, tail};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn nodes_are_seen_side_by_side_in_a_terminal_and_an_edge_that_dies() {
    let lab = Lab::start("top");
    let typescript = lab.path("typescript");
    let program = steadfast().get_program().to_string_lossy().into_owned();
    let folder = lab.path("lab").display().to_string();
    let command = format!("stty rows 50 cols 170; exec '{program}' top --dir '{folder}'");
    let mut terminal = Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &command])
        .arg(&typescript)
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("script(1) of util-linux is there");
    let shown = || tail(&typescript, usize::MAX);
    let shows = |words: &[&str]| {
        let found = poll(PATIENCE, || {
            let shown = shown();
            words.iter().all(|word| shown.contains(word)).then_some(())
        });
        assert!(
            found.is_some(),
            "never {words:?}: {}",
            shown().escape_debug()
        );
    };
    shows(&[
        "e1",
        "e2",
        "e3",
        "home",
        "ready",
        "edge of edge.example.com",
    ]);
    shows(&["home 127.0.0.10", "edge 127.0.0.12", "answers"]);
    lab.signal("-9", EDGES[1]);
    // Only cells that change are written: this line was empty before.
    shows(&["e2 (127.0.0.12:5060) is down"]);
    // The terminal is as it was before.
    let mut keys = terminal.stdin.take().expect("it is piped");
    keys.write_all(b"q").expect("it reads keys");
    let end = poll(PATIENCE, || terminal.try_wait().expect("it is ours"));
    assert!(end.is_some_and(|status| status.success()), "{end:?}");
    shows(&["\u{1b}[?1049h", "\u{1b}[?1049l"]);

    let nobody = steadfast().arg("top").output().expect("it starts");
    let words = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(
        !nobody.status.success() && words.contains("name nodes with `--node`"),
        "{words}"
    );
}
