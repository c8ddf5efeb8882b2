//! Questions to running nodes: `steadfast why` and the metrics.

use crate::agent::Agent;
use crate::lab::{EDGES, Lab, metric, steadfast};

/// What `steadfast why` prints, and whether it was content.
fn why(lab: &Lab, node: &str, uri: &str, more: &[&str]) -> (bool, String) {
    let mut command = steadfast();
    let node = lab.path("lab").join(node);
    command.args(["why", uri, "--node"]).arg(node).args(more);
    let output = command.output().expect("steadfast can be started");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

#[test]
fn a_registered_phone_can_be_asked_for_at_the_home_and_at_its_edge() {
    let lab = Lab::start_with("why", &["--clear"]);
    let mut ann = Agent::start(&lab, "listen", "ann", EDGES[0], &[]);
    let edge = ann.first_edge();

    let (content, said) = why(&lab, "home.sock", "sip:ann@example.com", &[]);
    assert!(content, "{said}");
    assert_eq!(said.matches("\n  binding ").count() + 1, 2, "{said}");
    let path = said
        .lines()
        .find_map(|line| line.strip_prefix("  path     "));
    let path = path.unwrap_or_else(|| panic!("no path: {said}"));
    assert!(
        path.starts_with("sip:ann+e") && said.contains("\n  exact "),
        "{said}"
    );
    assert!(
        said.contains("  chosen   one of 2 flows at random"),
        "{said}"
    );

    // The same by the configuration's name, and at the edge that has the flow.
    let name = EDGES.iter().position(|at| *at == edge).expect("an edge");
    let config = format!("e{}.toml", name + 1);
    let (content, said) = why(&lab, &config, path, &[]);
    assert!(content && said.contains("  token    user ann, "), "{said}");
    assert!(
        said.contains("  chosen   the flow to udp:127.0.0.1:"),
        "{said}"
    );
    let (content, json) = why(&lab, "home.sock", "sip:ann@example.com", &["--json"]);
    assert!(
        content && json.starts_with("{\"node\":\"home\",\"shards\":[{\"shard\":0,"),
        "{json}"
    );
    let (content, said) = why(&lab, "nobody.sock", "sip:ann@example.com", &[]);
    assert!(!content && said.contains("nobody answers on "), "{said}");

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
