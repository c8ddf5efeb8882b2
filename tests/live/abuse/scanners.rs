//! SIPVicious, the scanner that every SIP port on the internet meets.

use std::path::Path;
use std::process::Command;

use super::{LOAD_MAX, withstand};
use crate::lab::{DOMAIN, EDGES, Lab, load_user};
use crate::process::Process;

/// Where `tests/run` puts SIPVicious, unless Python finds it by itself.
fn scanner(name: &str) -> Option<Command> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sipvicious/bin/python3");
    let python = if here.exists() {
        here
    } else {
        "python3".into()
    };
    let probe = Command::new(&python)
        .args(["-c", "import sipvicious"])
        .output();
    probe.ok().filter(|probe| probe.status.success())?;
    let mut command = Command::new(python);
    command.args(["-m", &format!("sipvicious.{name}")]);
    Some(command)
}

#[test]
fn sipvicious_finds_a_server_and_disturbs_nobody() {
    let lab = Lab::start_with("abuse-sipvicious", &["--strict"]);
    let (edge, domain, user) = (EDGES[0], format!("--domain={DOMAIN}"), load_user(1));
    let words = lab.path("users.dict");
    std::fs::write(&words, format!("{user}\nnobody\nmallory\n")).expect("a file can be written");
    let words = words.display().to_string();
    let runs: [(&str, &str, &[&str], &str); 3] = [
        // It names what answers.
        (
            "svmap",
            "requests_in",
            &["-p5060-5070", "127.0.0.10-13"],
            "127.0.0.11:5060",
        ),
        // Nobody can tell who exists from who does not.
        (
            "svwar",
            "requests_in",
            &["-d", &words, &domain, edge],
            "an authentication request for an unknown extension",
        ),
        (
            "svwar",
            "requests_in",
            &["-e100-2000", "-m", "INVITE", "--force", &domain, edge],
            "found nothing",
        ),
    ];
    for (name, counter, arguments, verdict) in runs {
        let Some(mut process) = scan(&lab, name, arguments) else {
            return;
        };
        withstand(&lab, name, counter, || ());
        let ended = process.wait(LOAD_MAX);
        let output = process.last_words();
        assert!(ended.is_some(), "{name} goes on and on: {output}");
        assert!(output.contains(verdict), "{name}: {output}");
    }
    // This one would go on for hours: a few guesses a minute are heard.
    let arguments = ["-u", &user, "-r100000-999999", &domain, edge];
    let Some(mut process) = scan(&lab, "svcrack", &arguments) else {
        return;
    };
    withstand(&lab, "svcrack", "failed_digests", || ());
    process.stop();
    let output = process.last_words();
    assert!(!output.contains("Traceback"), "{output}");
}

/// Sets a scanner on the lab.
fn scan(lab: &Lab, name: &str, arguments: &[&str]) -> Option<Process> {
    let Some(mut command) = scanner(name) else {
        println!("SIPVicious is not installed: {name} did not run (tests/run installs it)");
        return None;
    };
    command.args(arguments);
    let log = lab.path(&format!("{name}.log"));
    Some(Process::start(name, &mut command, log))
}
