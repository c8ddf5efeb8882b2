//! Questions to running nodes: `steadfast why`, `bindings` and `rejected`, and the
//! metrics.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::lab::{EDGES, Lab, metric, steadfast};
use crate::process::poll;

/// What `steadfast why` prints, and whether it was content.
fn why(lab: &Lab, node: &str, uri: &str, more: &[&str]) -> (bool, String) {
    let words: Vec<_> = ["why", uri]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    run(lab, node, &words)
}

/// What a command to a node prints, and whether it ended well.
fn run(lab: &Lab, node: &str, words: &[&str]) -> (bool, String) {
    let mut command = steadfast();
    let node = lab.path("lab").join(node);
    command.args(words).arg("--node").arg(node);
    let output = command.output().expect("steadfast can be started");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}

#[test]
fn a_registered_phone_can_be_asked_for_at_the_home_and_at_its_edge() {
    let lab = Lab::start_with("why", &["--clear"]);
    let mut ann = Agent::start(&lab, "listen", "ann", EDGES[0], &[]);
    let edge = ann.first_edge();

    let (content, output) = why(&lab, "home.sock", "sip:ann@example.com", &[]);
    assert!(content, "{output}");
    assert_eq!(output.matches("\n  binding ").count() + 1, 2, "{output}");
    let path = output
        .lines()
        .find_map(|line| line.strip_prefix("  path     "));
    let path = path.unwrap_or_else(|| panic!("no path: {output}"));
    assert!(
        path.starts_with("sip:ann+e") && output.contains("\n  exact "),
        "{output}"
    );
    assert!(
        output.contains("  chosen   one of 2 flows at random"),
        "{output}"
    );

    // The same by the configuration's name, and at the edge that has the flow.
    let name = EDGES.iter().position(|at| *at == edge).expect("an edge");
    let config = format!("e{}.toml", name + 1);
    let (content, output) = why(&lab, &config, path, &[]);
    assert!(
        content && output.contains("  token    user ann, "),
        "{output}"
    );
    assert!(
        output.contains("  chosen   the flow to udp:127.0.0.1:"),
        "{output}"
    );
    let (content, json) = why(&lab, "home.sock", "sip:ann@example.com", &["--json"]);
    assert!(
        content && json.starts_with("{\"node\":\"home\",\"shards\":[{\"shard\":0,"),
        "{json}"
    );
    let (content, output) = why(&lab, "nobody.sock", "sip:ann@example.com", &[]);
    assert!(
        !content && output.contains("nobody answers on "),
        "{output}"
    );

    let metrics = lab.page("home", "/metrics");
    assert!(
        metrics.contains("# TYPE steadfast_requests_in_total counter"),
        "{metrics}"
    );
    assert_eq!(metric(&metrics, "steadfast_registered"), 1, "{metrics}");
    assert!(
        metric(&metrics, "steadfast_registrations_total") >= 2,
        "{metrics}"
    );
    assert!(
        lab.page("home", "/healthz")
            .ends_with("1 of 1 shards answer\n")
    );
    ann.leave();
    ann.finish();
}

/// Registrations that the edges hold.
fn held(lab: &Lab) -> u64 {
    let names = ["e1", "e2", "e3"];
    let pages = names.map(|name| lab.page(name, "/metrics"));
    pages
        .iter()
        .map(|page| metric(page, "steadfast_registered"))
        .sum()
}

#[test]
fn who_is_taken_away_is_gone_within_a_second_and_is_told_why() {
    let lab = Lab::start("revoked");
    let mut ann = Agent::start(&lab, "listen", "ann", EDGES[0], &[]);
    ann.first_edge();
    assert_eq!(held(&lab), 2);
    let (content, output) = run(&lab, "home.sock", &["bindings", "list", "ann@example.com"]);
    assert!(
        content && output.starts_with("ann@example.com has 2 bindings\n"),
        "{output}"
    );
    let (content, output) = run(
        &lab,
        "home.toml",
        &["bindings", "remove", "sip:ann@example.com"],
    );
    assert!(
        content && output.starts_with("removed 2 bindings of ann@example.com"),
        "{output}"
    );
    let (content, output) = run(&lab, "e1.sock", &["bindings", "list", "ann@example.com"]);
    assert!(
        !content
            && output == "steadfast: this node is no home, and bindings are kept by homes alone\n",
        "{output}"
    );
    let gone = || (held(&lab) == 0).then_some(());
    assert!(poll(Duration::from_secs(1), gone).is_some());
    drop(ann);

    let mut joe = Agent::start(&lab, "listen", "joe", EDGES[1], &[]);
    joe.first_edge();
    assert_eq!(held(&lab), 2);
    let users = lab.path("lab/users.txt");
    let text = std::fs::read_to_string(&users).expect("users.txt can be read");
    let rest = text.lines().filter(|line| !line.starts_with("joe "));
    let rest: Vec<_> = rest.collect();
    let begin = Instant::now();
    std::fs::write(&users, rest.join("\n")).expect("users.txt can be written");
    // A second, and one for a machine that does something else.
    assert!(
        poll(Duration::from_secs(2), gone).is_some(),
        "{}",
        held(&lab)
    );
    eprintln!("gone after {:?}", begin.elapsed());
    let (_, output) = run(&lab, "home.sock", &["bindings", "list", "joe@example.com"]);
    assert_eq!(output, "joe@example.com has no bindings\n");
    drop(joe);

    let again = Agent::start(&lab, "register", "joe", EDGES[1], &[]).end();
    assert_ne!(again.status, Some(0), "{}", again.output);
    let (content, output) = run(&lab, "home.sock", &["rejected"]);
    assert!(
        content && output.contains("401 Wrong User Or Password"),
        "{output}"
    );
    let metrics = lab.page("home", "/metrics");
    assert!(
        metrics.contains("reason=\"Wrong User Or Password\"} "),
        "{metrics}"
    );
    for name in ["location.redb", "home.sock", "users.txt"] {
        let found = std::fs::metadata(lab.path(&format!("lab/{name}"))).expect("it is there");
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{name}");
    }
}
