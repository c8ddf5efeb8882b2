//! The records of a cluster, as an operator includes them and as a DNS may have them.

use super::*;
use crate::locate::{Query, QueryType, Set};

/// The first edge of three, the third of which is to be retired.
const FILE: &str = r#"
name = "e1"
listen = ["udp:192.0.2.11:5060", "tcp:192.0.2.11:5060"]
[edge]
cluster = "edge.example.com"
home = ["sip:192.0.2.10:5060;transport=udp"]
members = [
    { name = "e1", address = "192.0.2.11" },
    { name = "E2", address = "2001:db8::12", udp = 5070 },
    { name = "e3", address = "192.0.2.13", retire = true },
]
"#;

#[track_caller]
fn config_of(text: &str) -> Config {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    crate::config::parse("e1.toml", text, folder).unwrap()
}

fn zone_of(text: &str) -> Result<Zone, Unfit> {
    Zone::of(&config_of(text))
}

#[test]
fn the_zone_is_printed_for_an_operator() {
    let want = r#"; The cluster edge.example.com, for the zone that it is in ($INCLUDE).
edge.example.com. 3600 IN NAPTR 10 0 "s" "SIP+D2T" "" _sip._tcp.edge.example.com.
edge.example.com. 3600 IN NAPTR 20 0 "s" "SIP+D2U" "" _sip._udp.edge.example.com.
_sip._tcp.edge.example.com. 60 IN SRV 10 100 5060 e1.edge.example.com.
_sip._tcp.edge.example.com. 60 IN SRV 10 100 5060 e2.edge.example.com.
_sip._udp.edge.example.com. 60 IN SRV 10 100 5060 e1.edge.example.com.
_sip._udp.edge.example.com. 60 IN SRV 10 100 5070 e2.edge.example.com.
edge.example.com. 60 IN A 192.0.2.11
edge.example.com. 60 IN AAAA 2001:db8::12
e1.edge.example.com. 3600 IN NAPTR 10 0 "s" "SIP+D2T" "" _sip._tcp.e1.edge.example.com.
e1.edge.example.com. 3600 IN NAPTR 20 0 "s" "SIP+D2U" "" _sip._udp.e1.edge.example.com.
_sip._tcp.e1.edge.example.com. 60 IN SRV 10 100 5060 e1.edge.example.com.
_sip._tcp.e1.edge.example.com. 60 IN SRV 20 100 5060 e2.edge.example.com.
_sip._udp.e1.edge.example.com. 60 IN SRV 10 100 5060 e1.edge.example.com.
_sip._udp.e1.edge.example.com. 60 IN SRV 20 100 5070 e2.edge.example.com.
e1.edge.example.com. 3600 IN A 192.0.2.11
e2.edge.example.com. 3600 IN NAPTR 10 0 "s" "SIP+D2T" "" _sip._tcp.e2.edge.example.com.
e2.edge.example.com. 3600 IN NAPTR 20 0 "s" "SIP+D2U" "" _sip._udp.e2.edge.example.com.
_sip._tcp.e2.edge.example.com. 60 IN SRV 10 100 5060 e2.edge.example.com.
_sip._tcp.e2.edge.example.com. 60 IN SRV 20 100 5060 e1.edge.example.com.
_sip._udp.e2.edge.example.com. 60 IN SRV 10 100 5070 e2.edge.example.com.
_sip._udp.e2.edge.example.com. 60 IN SRV 20 100 5060 e1.edge.example.com.
e2.edge.example.com. 3600 IN AAAA 2001:db8::12
e3.edge.example.com. 3600 IN NAPTR 10 0 "s" "SIP+D2T" "" _sip._tcp.e3.edge.example.com.
e3.edge.example.com. 3600 IN NAPTR 20 0 "s" "SIP+D2U" "" _sip._udp.e3.edge.example.com.
_sip._tcp.e3.edge.example.com. 60 IN SRV 10 100 5060 e3.edge.example.com.
_sip._tcp.e3.edge.example.com. 60 IN SRV 20 100 5060 e1.edge.example.com.
_sip._tcp.e3.edge.example.com. 60 IN SRV 20 100 5060 e2.edge.example.com.
_sip._udp.e3.edge.example.com. 60 IN SRV 10 100 5060 e3.edge.example.com.
_sip._udp.e3.edge.example.com. 60 IN SRV 20 100 5060 e1.edge.example.com.
_sip._udp.e3.edge.example.com. 60 IN SRV 20 100 5070 e2.edge.example.com.
e3.edge.example.com. 3600 IN A 192.0.2.13

; Where the edges serve edge.example.com as a zone of its own ([dns] `listen`), the zone above it
; has these instead:
;edge.example.com. 3600 IN NS e1.edge.example.com.
;e1.edge.example.com. 3600 IN A 192.0.2.11
;edge.example.com. 3600 IN NS e2.edge.example.com.
;e2.edge.example.com. 3600 IN AAAA 2001:db8::12

; With these in the zone example.com, a phone that knows nothing but that name comes to an edge.
; None of them is for TLS, where its host must prove example.com, as only a home does.
;example.com. 3600 IN NAPTR 10 0 "s" "SIP+D2T" "" _sip._tcp.example.com.
;example.com. 3600 IN NAPTR 20 0 "s" "SIP+D2U" "" _sip._udp.example.com.
;_sip._tcp.example.com. 60 IN SRV 10 100 5060 e1.edge.example.com.
;_sip._tcp.example.com. 60 IN SRV 10 100 5060 e2.edge.example.com.
;_sip._udp.example.com. 60 IN SRV 10 100 5060 e1.edge.example.com.
;_sip._udp.example.com. 60 IN SRV 10 100 5070 e2.edge.example.com.
"#;
    assert_eq!(zone_of(FILE).unwrap().to_string(), want);
}

#[test]
fn whoever_is_silent_comes_last() {
    let zone = zone_of(FILE).unwrap();
    let silent = |index| Silent::default().with(index, true);
    let lines = |silent, name: &str| {
        let records = zone.cluster_records(silent);
        let records = records.iter().filter(|record| record.name == name);
        let records: Vec<_> = records.map(ToString::to_string).collect();
        records.join("\n")
    };
    let udp = "_sip._udp.e1.edge.example.com";
    assert_eq!(
        lines(silent(0), udp),
        format!(
            "{udp}. 60 IN SRV 20 100 5070 e2.edge.example.com.\n\
             {udp}. 60 IN SRV 30 100 5060 e1.edge.example.com."
        )
    );
    let all = silent(0).with(1, true);
    assert_eq!(all.with(0, false), silent(1));
    let udp = "_sip._udp.edge.example.com";
    assert_eq!(
        lines(silent(0), udp),
        format!(
            "{udp}. 60 IN SRV 10 100 5070 e2.edge.example.com.\n\
             {udp}. 60 IN SRV 30 100 5060 e1.edge.example.com."
        )
    );
    // Its name has the addresses of those who live, as long as any does.
    let addresses = |silent| {
        let mut records = Vec::new();
        zone.addresses("edge.example.com", silent, &mut records);
        records.into_iter().map(|one| one.data).collect::<Vec<_>>()
    };
    let [one, two] =
        ["192.0.2.11", "2001:db8::12"].map(|text| locate::Record::Address(text.parse().unwrap()));
    let both = [one, two];
    assert_eq!(addresses(silent(0)), both[1..]);
    assert_eq!(addresses(silent(1)), both[..1]);
    assert_eq!(addresses(all), both);
}

#[test]
fn where_all_retire_all_are_listed_and_tls_is_where_the_node_listens_for_it() {
    let text = FILE.replace("11\" }", "11\", retire = true }");
    let text = text.replace("5070 }", "5070, retire = true, tls = 5081 }");
    let zone = zone_of(&text).unwrap();
    assert_eq!(zone.servers().count(), 3);
    let mut config = config_of(&text);
    let tls = "192.0.2.11:5061".parse().unwrap();
    config.listen.push((Transport::Tls, tls));
    let answers = Zone::of(&config).unwrap().to_string();
    let begin = answers.lines().nth(1).unwrap_or_default();
    assert_eq!(
        begin,
        "edge.example.com. 3600 IN NAPTR 10 0 \"s\" \"SIPS+D2T\" \"\" _sips._tcp.edge.example.com."
    );
    assert!(answers.contains("_sips._tcp.e1.edge.example.com. 60 IN SRV 20 100 5081 e2.edge"));
    assert!(!answers.contains("_sips._tcp.example.com"), "{answers}");
}

#[test]
fn names_that_the_dns_cannot_have_are_mistakes() {
    let twice = FILE.replace("\"E2\"", "\"E1\"");
    assert_eq!(
        zone_of(&twice).unwrap_err().to_string(),
        "two members are both \"e1.edge.example.com\" in the DNS, which has no capital letters"
    );
    let name = "e".repeat(64);
    let long = FILE.replace("\"E2\"", &format!("{name:?}"));
    assert_eq!(
        zone_of(&long).unwrap_err().to_string(),
        format!(
            "\"{name}.edge.example.com\" is no name for the DNS, where 63 characters between two \
             dots and 253 in all are the most: shorten the member's name"
        )
    );
    let home = "name = \"h\"\nlisten = [\"udp:192.0.2.1:5060\", \"tcp:192.0.2.1:5060\"]\n[home]\n\
                domain = \"example.com\"\nsubscribers = \"Cargo.toml\"\nstore = \"location.redb\"\n\
                edges = \"sip:edge.example.com;lr\"\nedge_peers = [\"192.0.2.11\"]\n";
    assert_eq!(zone_of(home).unwrap_err(), Unfit::Home);
}

/// A DNS that has exactly what it should, but for what `spoil` does.
fn answers(zone: &Zone, spoil: impl Fn(&Query, &mut Vec<locate::Record>)) -> Vec<(Weight, String)> {
    let mut all = zone.cluster_records(Silent::default());
    all.extend(zone.domain_records("example.com", Silent::default()));
    let answer = |query: Query| {
        let records = all.iter().filter(|record| {
            let is_v4 = matches!(&record.data, locate::Record::Address(ip) if ip.is_ipv4());
            let kind = match &record.data {
                locate::Record::Address(_) if is_v4 => QueryType::A,
                locate::Record::Address(_) => QueryType::Aaaa,
                locate::Record::Naptr { .. } => QueryType::Naptr,
                locate::Record::Srv { .. } => QueryType::Srv,
            };
            *record.name == *query.name && kind == query.kind
        });
        let mut records: Vec<_> = records.map(|record| record.data.clone()).collect();
        spoil(&query, &mut records);
        let set = if records.is_empty() {
            Set::Nothing { ttl_s: 60 }
        } else {
            Set::Found { records, ttl_s: 60 }
        };
        (query, set)
    };
    let found: Vec<_> = queries(zone).into_iter().map(answer).collect();
    let differences = differences(zone, &found).into_iter();
    differences.map(|one| (one.weight, one.says)).collect()
}

#[test]
fn each_difference_of_a_live_dns_is_one_sentence() {
    let zone = zone_of(FILE).unwrap();
    assert_eq!(answers(&zone, |_, _| {}), []);
    let udp = "_sip._udp.e1.edge.example.com";
    let missing = |text: &str| vec![(Weight::Missing, text.to_owned())];
    let odd = |text: &str| vec![(Weight::Odd, text.to_owned())];
    assert_eq!(
        answers(&zone, |query, records| if *query.name == *udp {
            records.clear();
        }),
        missing(
            "SRV of _sip._udp.e1.edge.example.com does not exist: it needs e1.edge.example.com port \
             5060, e2.edge.example.com port 5070"
        )
    );
    assert_eq!(
        answers(&zone, |query, records| if *query.name == *udp {
            records.pop();
        }),
        missing("SRV of _sip._udp.e1.edge.example.com lacks e2.edge.example.com port 5070")
    );
    assert_eq!(
        answers(&zone, |query, records| {
            if *query.name == *udp
                && let [
                    locate::Record::Srv { priority: a, .. },
                    locate::Record::Srv { priority: b, .. },
                ] = &mut records[..]
            {
                std::mem::swap(a, b);
            }
        }),
        odd(
            "SRV of _sip._udp.e1.edge.example.com should lead to e1.edge.example.com port 5060 before \
             e2.edge.example.com port 5070, whose priorities are 20 and 10: it is wrong, or the first \
             does not answer"
        )
    );
    let stray = locate::Record::Address("192.0.2.99".parse().unwrap());
    assert_eq!(
        answers(&zone, |query, records| {
            if (&*query.name, query.kind) == ("e1.edge.example.com", QueryType::A) {
                *records = vec![stray.clone()];
            }
        }),
        [
            missing("A of e1.edge.example.com lacks 192.0.2.11"),
            odd("A of e1.edge.example.com has 192.0.2.99, which no member is or needs")
        ]
        .concat()
    );
    assert_eq!(
        answers(&zone, |query, records| {
            if *query.name == *"_sip._tcp.example.com" {
                records.clear();
            }
        }),
        odd(
            "SRV of _sip._tcp.example.com leads to no member: a phone that knows nothing but \
             example.com comes to no edge by it"
        )
    );
}

#[test]
fn a_dns_that_does_not_answer_is_a_difference() {
    let zone = zone_of(FILE).unwrap();
    let query = Query {
        name: "edge.example.com".into(),
        kind: QueryType::Naptr,
    };
    let found = differences(&zone, &[(query, Set::Failed)]);
    assert_eq!(
        found,
        [Difference {
            weight: Weight::Missing,
            says: "the DNS does not answer for NAPTR of edge.example.com".to_owned()
        }]
    );
}
