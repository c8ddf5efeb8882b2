use super::*;
use crate::locate::Transports;
use crate::uri::Uri;

fn spoken(transports: &[Transport]) -> Transports {
    let v4 = "192.0.2.9:5060".parse().unwrap();
    Transports::over(transports.iter().map(|&transport| (transport, v4)))
}

const BOTH: [Transport; 2] = [Transport::Udp, Transport::Tcp];

fn question(text: &str, transports: &[Transport]) -> Option<Question> {
    let uri = Uri::of(text.as_bytes()).unwrap();
    Question::of(text.as_bytes(), &uri, spoken(transports))
}

/// Records as in a zone file: `NAME TTL NAPTR|SRV|A ...`, `NAME FAILS`. What
/// is not there is denied for 60 seconds.
struct Zone(&'static str);

impl Zone {
    fn ask(&self, query: &Query) -> Set {
        let (mut records, mut ttl_s) = (Vec::new(), u32::MAX);
        for line in self.0.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            match &words[..] {
                [name, "FAILS"] if **name == *query.name => return Set::Failed,
                [name, ttl, kind, rest @ ..] if **name == *query.name => {
                    let Some(record) = record(kind, rest, query.kind) else {
                        continue;
                    };
                    records.push(record);
                    ttl_s = ttl_s.min(ttl.parse().unwrap());
                }
                _ => {}
            }
        }
        if records.is_empty() {
            Set::Nothing { ttl_s: 60 }
        } else {
            Set::Found { records, ttl_s }
        }
    }

    /// Answers until nothing is missing; also every query that was asked.
    fn locate(&self, question: &Question) -> (Found, Vec<String>) {
        let (mut records, mut names) = (Records::default(), Vec::new());
        for _ in 0..limits::DNS_QUERIES_MAX.1 {
            match walk(question, &records) {
                WalkStep::Done(found) => return (found, names),
                WalkStep::Missing(queries) => {
                    for query in queries {
                        names.push(format!("{:?} {}", query.kind, query.name));
                        let set = self.ask(&query);
                        records.add(query, set);
                    }
                }
            }
        }
        panic!("more rounds than allowed: {names:?}");
    }

    fn servers(&self, uri: &str, transports: &[Transport]) -> Vec<String> {
        let (found, _) = self.locate(&question(uri, transports).unwrap());
        let line = |server: &Server| {
            let (transport, addr) = (server.transport.uri_token(), server.addr);
            format!("{transport} {addr}")
        };
        found.servers.iter().map(line).collect()
    }
}

fn record(kind: &str, rest: &[&str], wanted: QueryType) -> Option<Record> {
    let number = |index: usize| rest[index].parse().unwrap();
    match (kind, wanted) {
        ("A", QueryType::A) | ("AAAA", QueryType::Aaaa) => {
            Some(Record::Address(rest[0].parse().unwrap()))
        }
        ("SRV", QueryType::Srv) => Some(Record::Srv {
            priority: number(0),
            weight: number(1),
            port: number(2),
            target: rest[3].trim_end_matches('.').into(),
        }),
        ("NAPTR", QueryType::Naptr) => Some(Record::Naptr {
            order: number(0),
            preference: number(1),
            flags: rest[2].into(),
            service: rest[3].into(),
            replacement: rest[4].into(),
        }),
        _ => None,
    }
}

/// The example of RFC 3263 §4.1 and §4.2.
const RFC: Zone = Zone(
    "example.com 300 NAPTR 50 50 s SIPS+D2T _sips._tcp.example.com
     example.com 300 NAPTR 90 50 s SIP+D2T _sip._tcp.example.com
     example.com 300 NAPTR 100 50 s SIP+D2U _sip._udp.example.com
     _sip._tcp.example.com 200 SRV 0 1 5060 server1.example.com
     _sip._tcp.example.com 200 SRV 0 2 5060 server2.example.com
     _sip._udp.example.com 200 SRV 0 1 5060 server1.example.com
     server1.example.com 100 A 192.0.2.1
     server2.example.com 90 A 192.0.2.2
     server2.example.com 90 A 192.0.2.3",
);

#[test]
fn the_example_of_the_rfc() {
    // N-4, N-7: TCP before UDP because its order is lower.
    let question = question("sip:user@example.com", &BOTH).unwrap();
    let (found, names) = RFC.locate(&question);
    let got: Vec<_> = found
        .servers
        .iter()
        .map(|server| (server.transport, server.weight, server.addr.to_string()))
        .collect();
    let want = [
        (Transport::Tcp, 1, "192.0.2.1:5060"),
        (Transport::Tcp, 2, "192.0.2.2:5060"),
        (Transport::Tcp, 2, "192.0.2.3:5060"),
        (Transport::Udp, 1, "192.0.2.1:5060"),
    ];
    assert_eq!(
        got,
        want.map(|(transport, weight, addr)| (transport, weight, addr.to_owned()))
    );
    assert_eq!((found.ttl_s, found.failed), (90, false));
    let want = [
        "Naptr example.com",
        "Srv _sip._tcp.example.com",
        "Srv _sip._udp.example.com",
        "A server1.example.com",
        "A server2.example.com",
    ];
    assert_eq!(names, want);
}

const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

#[test]
fn sips_goes_by_tls_and_nothing_else() {
    // N-3, N-4, N-5
    let zone = Zone(
        "example.com 300 NAPTR 50 50 s SIPS+D2T _sips._tcp.example.com
         example.com 300 NAPTR 40 50 s SIP+D2T _sip._tcp.example.com
         _sips._tcp.example.com 60 SRV 0 0 5071 a.example.com
         _sip._tcp.example.com 60 SRV 0 0 5070 a.example.com
         a.example.com 60 A 192.0.2.1
         example.com 60 A 192.0.2.9
         plain.example.com 60 A 192.0.2.8",
    );
    let tls = "tls 192.0.2.1:5071";
    assert_eq!(zone.servers("sips:example.com", &ALL), [tls]);
    assert_eq!(zone.servers("sips:example.com;transport=tcp", &ALL), [tls]);
    // A sip URI keeps what TLS offers, in the order of the records.
    let got = zone.servers("sip:example.com", &ALL);
    assert_eq!(got, ["tcp 192.0.2.1:5070", tls]);
    assert_eq!(
        zone.servers("sips:plain.example.com", &ALL),
        ["tls 192.0.2.8:5061"]
    );
    assert_eq!(
        zone.servers("sips:plain.example.com:5070", &ALL),
        ["tls 192.0.2.8:5070"]
    );
    let without = zone.servers("sip:plain.example.com", &ALL);
    assert_eq!(without, ["udp 192.0.2.8:5060"]);
    for uri in ["sips:example.com", "sips:example.com;transport=udp"] {
        assert_eq!(question(uri, &BOTH), None, "{uri}");
    }
}

#[test]
fn a_certificate_is_checked_against_the_host_of_the_uri() {
    // N-8, D-U12: not against maddr, and not against what the DNS names.
    let domain = |uri: &str| question(uri, &ALL).unwrap().domain;
    assert_eq!(&*domain("sips:Example.COM."), "example.com");
    assert_eq!(
        &*domain("sips:example.com;maddr=edge.example.net"),
        "example.com"
    );
}

#[test]
fn services_that_are_not_spoken_are_left_out() {
    // N-4
    let udp = RFC.servers("sip:user@example.com", &[Transport::Udp]);
    assert_eq!(udp, ["udp 192.0.2.1:5060"]);
    let tls_only = Zone("example.com 300 NAPTR 50 50 s SIPS+D2W _sips._ws.example.com");
    assert!(tls_only.servers("sip:example.com", &BOTH).is_empty());
}

#[test]
fn a_transport_in_the_uri_asks_for_its_srv_only() {
    // N-3
    let question = question("sip:example.com;transport=UDP", &BOTH).unwrap();
    let (found, names) = RFC.locate(&question);
    assert_eq!(found.servers.len(), 1);
    assert_eq!(
        names,
        ["Srv _sip._udp.example.com", "A server1.example.com"]
    );
}

#[test]
fn a_port_in_the_uri_asks_for_addresses_only() {
    // N-6: even the default one; UDP unless the URI says otherwise (N-3).
    let zone = Zone("example.com 300 A 192.0.2.7");
    for (uri, want) in [
        ("sip:example.com:5060", "udp 192.0.2.7:5060"),
        ("sip:example.com:5070", "udp 192.0.2.7:5070"),
        ("sip:example.com:5060;transport=tcp", "tcp 192.0.2.7:5060"),
    ] {
        let (_, names) = zone.locate(&question(uri, &BOTH).unwrap());
        assert_eq!(names, ["A example.com"], "{uri}");
        assert_eq!(zone.servers(uri, &BOTH), [want], "{uri}");
    }
}

#[test]
fn without_naptr_srv_of_every_transport_and_without_srv_the_name_itself() {
    // N-5
    let srv = Zone(
        "_sip._tcp.example.com 60 SRV 1 0 5070 a.example.com
         a.example.com 60 A 192.0.2.1
         example.com 60 A 192.0.2.9",
    );
    assert_eq!(
        srv.servers("sip:example.com", &BOTH),
        ["tcp 192.0.2.1:5070"]
    );
    let plain = Zone("example.com 60 A 192.0.2.9");
    assert_eq!(
        plain.servers("sip:example.com", &BOTH),
        ["udp 192.0.2.9:5060"]
    );
    let only = plain.servers("sip:example.com", &[Transport::Tcp]);
    assert_eq!(only, ["tcp 192.0.2.9:5060"]);
    let tcp = plain.servers("sip:example.com;transport=tcp", &BOTH);
    assert_eq!(tcp, ["tcp 192.0.2.9:5060"]);
}

#[test]
fn maddr_is_the_target() {
    // N-2
    let zone = Zone("other.example.com 60 A 192.0.2.5");
    let got = zone.servers("sip:joe@example.com:5060;maddr=other.example.com", &BOTH);
    assert_eq!(got, ["udp 192.0.2.5:5060"]);
}

#[test]
fn priorities_order_the_targets() {
    // N-7
    let zone = Zone(
        "_sip._udp.example.com 60 SRV 20 0 5060 b.example.com
         _sip._udp.example.com 60 SRV 10 0 5060 a.example.com
         a.example.com 60 A 192.0.2.1
         b.example.com 60 A 192.0.2.2",
    );
    let got = zone.servers("sip:example.com", &[Transport::Udp]);
    assert_eq!(got, ["udp 192.0.2.1:5060", "udp 192.0.2.2:5060"]);
}

#[test]
fn a_dot_says_that_there_is_decidedly_none() {
    // RFC 2782: no way around it by the address of the name.
    let zone = Zone(
        "_sip._udp.example.com 60 SRV 0 0 0 .
         example.com 60 A 192.0.2.9",
    );
    assert!(
        zone.servers("sip:example.com", &[Transport::Udp])
            .is_empty()
    );
}

#[test]
fn failures_are_no_denials() {
    let silent = Zone(
        "example.com FAILS
         _sip._udp.example.com FAILS",
    );
    let question = question("sip:example.com", &[Transport::Udp]).unwrap();
    let (found, _) = silent.locate(&question);
    assert!(found.failed && found.servers.is_empty());
    // A resolver that cannot do NAPTR hides nothing.
    let old = Zone(
        "example.com FAILS
         _sip._udp.example.com 60 SRV 0 0 5060 a.example.com
         a.example.com 60 A 192.0.2.1",
    );
    let (found, _) = old.locate(&question);
    assert_eq!((found.failed, found.servers.len()), (true, 1));
    let (none, _) = Zone("").locate(&question);
    assert_eq!(
        (none.failed, none.servers.len(), none.ttl_s),
        (false, 0, 60)
    );
}

#[test]
fn other_uses_of_naptr_count_as_none() {
    let zone = Zone(
        "example.com 60 NAPTR 10 10 u E2U+sip .
         example.com 60 A 192.0.2.9",
    );
    assert_eq!(
        zone.servers("sip:example.com", &BOTH),
        ["udp 192.0.2.9:5060"]
    );
}

#[test]
fn nobody_is_made_to_speak_to_everybody() {
    let zone = Zone(
        "example.com 60 A 255.255.255.255
         example.com 60 A 224.0.0.1
         example.com 60 A 0.0.0.0
         example.com 60 A 192.0.2.1",
    );
    assert_eq!(
        zone.servers("sip:example.com:5060", &BOTH),
        ["udp 192.0.2.1:5060"]
    );
}

#[test]
fn what_the_dns_cannot_help_with_is_no_question() {
    // N-2, N-3
    for uri in [
        "sip:192.0.2.1",
        "sip:[2001:db8::1]",
        "sip:example.com;maddr=192.0.2.1",
        "sip:example.com;transport=sctp",
        "sip:example.com;maddr=a..b",
        "tel:+4930123",
    ] {
        assert_eq!(question(uri, &BOTH), None, "{uri}");
    }
    assert_eq!(
        question("sip:example.com;transport=tcp", &[Transport::Udp]),
        None
    );
    let long = format!("sip:{}example.com", "a.".repeat(130));
    assert_eq!(question(&long, &BOTH), None);
}

#[test]
fn a_long_list_of_servers_is_cut() {
    let mut text = String::new();
    for n in 1..=40 {
        text += &format!("_sip._udp.example.com 60 SRV {n} 0 5060 h{n}.example.com\n");
        text += &format!("h{n}.example.com 60 A 192.0.2.{n}\n");
    }
    let got = Zone(text.leak()).servers("sip:example.com", &[Transport::Udp]);
    assert_eq!(got.len(), limits::DNS_TARGETS_MAX);
    assert_eq!(got[0], "udp 192.0.2.1:5060");
}
