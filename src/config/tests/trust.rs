//! Who may do what, as the operator says it.

use super::*;
use crate::trust::{CallsOut, Destinations, Identities, Strangers};

const RULES: &str = "\
calls_out = [\"example.org\", \"198.51.100.7\"]
reach = [\"10.1.0.0/16\", \"127.0.0.9\"]
deny = [\"10.1.2.0/24\"]
identity_headers = [\"X-Customer\"]
";

fn edge(more: &str) -> edge::Rules {
    match read(&format!("{HEAD}{EDGE}{more}")).unwrap().role {
        Role::Edge(edge) => edge.rules,
        Role::Home(_) => panic!("not an edge"),
    }
}

fn home(more: &str) -> home::Settings {
    match read(&format!("{HEAD}{HOME}{more}")).unwrap().role {
        Role::Home(home) => home.settings,
        Role::Edge(_) => panic!("not a home"),
    }
}

#[test]
fn whoever_says_nothing_is_safe() {
    let edge = edge("");
    assert_eq!(edge.strangers, Strangers::Challenge);
    assert_eq!(edge.calls_out, CallsOut::default());
    assert_eq!(edge.destinations, Destinations::default());
    assert_eq!(edge.identities, Identities::default());
    // It has no TLS to offer to those whom it would turn away.
    assert!(!edge.challenges_udp_calls);
    let home = home("");
    assert!(home.challenges_calls && home.authenticates);
    assert_eq!(home.calls_out, CallsOut::anywhere());
    assert_eq!(home.destinations, Destinations::default());
    assert_eq!(home.identities, Identities::default());
}

#[test]
fn what_the_operator_opens_and_closes_is_read() {
    let network = |text: &str, len| (text.parse().unwrap(), len);
    let calls_out = CallsOut {
        anywhere: false,
        domains: vec!["example.org".to_owned(), "198.51.100.7".to_owned()],
    };
    let destinations = Destinations {
        reach: vec![network("10.1.0.0", 16), network("127.0.0.9", 32)],
        deny: vec![network("10.1.2.0", 24)],
    };
    let identities = Identities {
        more: vec!["X-Customer".to_owned()],
    };
    let edge = edge(&format!(
        "{RULES}strangers = \"answer\"\nchallenge_udp_calls = true\n"
    ));
    assert_eq!(
        (edge.calls_out, edge.destinations),
        (calls_out.clone(), destinations.clone())
    );
    assert_eq!(
        (edge.strangers, edge.identities),
        (Strangers::Answer, identities.clone())
    );
    assert!(edge.challenges_udp_calls);
    let home = home(RULES);
    assert_eq!(
        (home.calls_out, home.destinations),
        (calls_out, destinations)
    );
    assert_eq!(home.identities, identities);
}

#[test]
fn every_domain_and_none_are_lists_too() {
    assert!(edge("calls_out = [\"*\"]\n").calls_out.anywhere);
    assert_eq!(home("calls_out = []\n").calls_out, CallsOut::default());
    assert_eq!(
        edge("strangers = \"refuse\"\n").strangers,
        Strangers::Refuse
    );
}

#[test]
fn a_rule_that_means_nothing_is_shown_beside_one_that_does() {
    for (line, want) in [
        (
            "strangers = \"deny\"",
            "`strangers` is \"deny\", which should be \"challenge\", \"answer\" or \"refuse\"",
        ),
        (
            "reach = [\"10.0.0.0/33\"]",
            "`reach` has \"10.0.0.0/33\", which should be like \"192.0.2.1\" or \"192.0.2.0/24\"",
        ),
        (
            "identity_headers = [\"X Customer\"]",
            "`identity_headers` has \"X Customer\", which should be the name of a header such as \"X-Customer\"",
        ),
    ] {
        let mistake = read(&format!("{HEAD}{EDGE}{line}\n")).err().unwrap();
        assert_eq!(
            mistake.to_string(),
            format!("e1.toml, line 7: [edge] {want}")
        );
    }
}
