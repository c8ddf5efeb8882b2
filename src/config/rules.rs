//! Who may do what: the keys that `[edge]` and `[home]` have in common, and how
//! an edge takes strangers.

use super::reader::Section;
use super::{Mistake, names};
use crate::edge::{self, NatKeepalive};
use crate::trust::{CallsOut, Destinations, IdentityHeaders, Strangers};

/// What an edge allows; `speaks_tls`: it listens for phones that can prove where
/// they are.
pub(super) fn edge(section: &Section<'_>, speaks_tls: bool) -> Result<edge::Rules, Mistake> {
    let want = "\"challenge\", \"answer\" or \"refuse\"";
    let strangers = section.parsed("strangers", want, strangers)?;
    let challenges = section.flag("challenge_udp_calls", "true or false")?;
    let want = "\"ping\", \"short\" or \"off\"";
    let nat_keepalive = section.parsed("nat_keepalive", want, |text| match text {
        "ping" => Ok(NatKeepalive::Ping),
        "short" => Ok(NatKeepalive::Short),
        "off" => Ok(NatKeepalive::Off),
        _ => Err(format!("is {text:?}, which should be {want}")),
    })?;
    Ok(edge::Rules {
        strangers: strangers.unwrap_or_default(),
        calls_out: calls_out(section)?.unwrap_or_default(),
        destinations: destinations(section)?,
        identities: identities(section)?,
        nat_keepalive: nat_keepalive.unwrap_or_default(),
        challenges_udp_calls: challenges.unwrap_or(speaks_tls),
    })
}

/// The domains that subscribers may call besides their own; `"*"`: every one.
pub(super) fn calls_out(section: &Section<'_>) -> Result<Option<CallsOut>, Mistake> {
    let want = "a list of domains such as [\"example.org\"], or [\"*\"] for every one";
    let domain = |text: &str| match text {
        "*" => Ok(None),
        _ => names::domain(text).map(Some),
    };
    let listed = section.any_list("calls_out", want, domain)?;
    Ok(listed.map(|listed| CallsOut {
        anywhere: listed.contains(&None),
        domains: listed.into_iter().flatten().collect(),
    }))
}

/// Where nobody but a peer is sent to.
pub(super) fn destinations(section: &Section<'_>) -> Result<Destinations, Mistake> {
    let want = "a list of networks such as [\"10.1.0.0/16\"]";
    let networks = |key| section.any_list(key, want, names::prefix);
    Ok(Destinations {
        reach: networks("reach")?.unwrap_or_default(),
        deny: networks("deny")?.unwrap_or_default(),
    })
}

/// What is taken off at the border of the trust domain.
pub(super) fn identities(section: &Section<'_>) -> Result<IdentityHeaders, Mistake> {
    let want = "a list of header names such as [\"X-Customer\"]";
    let more = section.any_list("identity_headers", want, names::header)?;
    Ok(IdentityHeaders {
        more: more.unwrap_or_default(),
    })
}

fn strangers(text: &str) -> Result<Strangers, String> {
    match text {
        "challenge" => Ok(Strangers::Challenge),
        "answer" => Ok(Strangers::Answer),
        "refuse" => Ok(Strangers::Refuse),
        _ => Err(format!(
            "is {text:?}, which should be \"challenge\", \"answer\" or \"refuse\""
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{EDGE, HEAD, HOME, check, read};
    use super::super::{Config, Role};
    use super::*;

    fn of_edge(more: &str) -> edge::Rules {
        let Config {
            role: Role::Edge(edge),
            ..
        } = read(&format!("{HEAD}{EDGE}{more}")).unwrap()
        else {
            panic!("not an edge")
        };
        edge.rules
    }

    #[test]
    fn an_edge_lets_nobody_out_or_in_by_default() {
        let rules = of_edge("");
        assert_eq!(rules.strangers, Strangers::Challenge);
        assert_eq!(rules.calls_out, CallsOut::default());
        assert_eq!(rules.destinations, Destinations::default());
        assert_eq!(rules.identities, IdentityHeaders::default());
        assert!(!rules.challenges_udp_calls);
        assert_eq!(rules.nat_keepalive, NatKeepalive::Ping);
        for (text, want) in [
            ("ping", NatKeepalive::Ping),
            ("short", NatKeepalive::Short),
            ("off", NatKeepalive::Off),
        ] {
            let rules = of_edge(&format!("nat_keepalive = \"{text}\"\n"));
            assert_eq!(rules.nat_keepalive, want);
        }
    }

    #[test]
    fn what_the_operator_says_is_read() {
        let rules = of_edge(
            "strangers = \"answer\"\ncalls_out = [\"example.org\", \"*\"]\nreach = [\"10.1.0.0/16\"]\n\
             deny = [\"198.51.100.7\"]\nidentity_headers = [\"X-Customer\"]\nchallenge_udp_calls = true\n",
        );
        assert_eq!(rules.strangers, Strangers::Answer);
        assert!(rules.calls_out.anywhere);
        let network = |text: &str, len| vec![(text.parse().unwrap(), len)];
        assert_eq!(rules.destinations.reach, network("10.1.0.0", 16));
        assert_eq!(rules.destinations.deny, network("198.51.100.7", 32));
        assert_eq!(rules.identities.more, ["X-Customer"]);
        assert!(rules.challenges_udp_calls);
        assert_eq!(
            of_edge("strangers = \"refuse\"\n").strangers,
            Strangers::Refuse
        );
        let some = of_edge("calls_out = [\"Example.ORG\"]\n").calls_out;
        assert_eq!(
            (some.anywhere, &some.domains[..]),
            (false, &["example.org".to_owned()][..])
        );
    }

    #[test]
    fn a_home_lets_its_subscribers_call_everybody_unless_told() {
        let home = |more: &str| match read(&format!("{HEAD}{HOME}{more}")).unwrap().role {
            Role::Home(home) => home.settings,
            Role::Edge(_) => panic!("not a home"),
        };
        assert_eq!(home("").calls_out, CallsOut::anywhere());
        assert_eq!(home("calls_out = []\n").calls_out, CallsOut::default());
    }

    #[test]
    fn a_wrong_one_is_named() {
        check(
            &format!("{EDGE}strangers = \"maybe\"\n"),
            "maybe",
            "maybe",
            "e1.toml, line 7: [edge] `strangers` is \"maybe\", which should be \"challenge\", \
             \"answer\" or \"refuse\"",
        );
        check(
            &format!("{EDGE}nat_keepalive = \"brief\"\n"),
            "brief",
            "brief",
            "e1.toml, line 7: [edge] `nat_keepalive` is \"brief\", which should be \"ping\", \"short\" \
             or \"off\"",
        );
        check(
            &format!("{EDGE}identity_headers = [\"A B\"]\n"),
            "A B",
            "A B",
            "e1.toml, line 7: [edge] `identity_headers` has \"A B\", which should be the name of a \
             header such as \"X-Customer\"",
        );
        check(
            &format!("{HOME}reach = [\"10.0.0.0/99\"]\n"),
            "99",
            "99",
            "e1.toml, line 9: [home] `reach` has \"10.0.0.0/99\", which should be like \
             \"192.0.2.1\" or \"192.0.2.0/24\"",
        );
    }
}
