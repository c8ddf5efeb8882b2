//! An operator's walk from nothing to a call through three edges, with the commands that the
//! README and `steadfast init` print, as they print them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::lab::{steadfast, turn};
use crate::process::Process;

/// How long a walk may take.
const WALK_MAX: Duration = Duration::from_secs(60);

/// Has a shell do what is written, with our program in its path, and end what it has started.
#[track_caller]
pub(crate) fn walk(dir: &Path, script: &str) -> String {
    let program = steadfast().get_program().to_owned();
    let place = Path::new(&program)
        .parent()
        .expect("the program has a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut bash = Command::new("bash");
    // From a file: what is written there is not to be found in the list of processes.
    let text = format!("trap 'kill $(jobs -p) 2>/dev/null || true; wait || true' EXIT\n{script}\n");
    std::fs::write(dir.join("walk.sh"), text).expect("the folder takes files");
    bash.args(["-e", "-u", "-o", "pipefail", "walk.sh"]);
    bash.current_dir(dir);
    bash.env("PATH", format!("{}:{path}", place.display()));
    let mut walk = Process::start("the walk", &mut bash, dir.join("walk.log"));
    let end = walk.wait(WALK_MAX);
    let output = walk.output();
    assert!(
        end.is_some_and(|end| end.success()),
        "{end:?}\n{script}\n{output}"
    );
    output
}

/// A call has been: its caller heard an answer, and both ended.
#[track_caller]
fn has_called(output: &str) {
    for said in ["call 1: answered", "call 1: ended here", "unregistered"] {
        assert!(output.contains(said), "nobody said {said:?}\n{output}");
    }
}

#[test]
fn the_readme_leads_from_nothing_to_a_call() {
    let (_turn, dir) = turn("init-readme");
    let readme = include_str!("../../README.md");
    let mut blocks = readme.split("```sh\n").skip(1);
    let block = blocks.find(|block| block.starts_with("steadfast init example.net --dir first\n"));
    let script = block.and_then(|block| block.split("```").next());
    let script = script.expect("the README begins with a first configuration");
    let output = walk(&dir, script);
    for node in ["home", "e1", "e2", "e3"] {
        let ok = format!("first/{node}.toml: ok, node {node} can be started\n");
        assert!(output.contains(&ok), "{output}");
    }
    has_called(&output);
    std::fs::remove_dir_all(dir).expect("the test's folder can go");
}

#[test]
fn what_init_prints_leads_to_a_call_too() {
    let (_turn, dir) = turn("init-prints");
    let page = walk(&dir, "steadfast init example.org --dir 'the first one'");
    let commands = page.lines().filter_map(|line| line.strip_prefix("  "));
    // The DNS knows nothing of it, which is what that command finds.
    let commands = commands.map(|line| match line.contains("check --dns") {
        true => format!("! {line}"),
        false => line.to_owned(),
    });
    let commands: Vec<_> = commands.collect();
    assert_eq!(commands.len(), 10, "{page}");
    let output = walk(&dir, &commands.join("\n"));
    has_called(&output);
    assert!(output.contains("nothing was refused"), "{output}");
    assert!(
        output.contains("_sips._tcp.edge.example.org. 60 IN SRV 10"),
        "{output}"
    );
    std::fs::remove_dir_all(dir).expect("the test's folder can go");
}
