//! Edges with addresses of both families, and behind an address translation.

use std::net::IpAddr;

use steadfast::edge::{self, Member};

use super::marks::{bare, unmarked};
use super::phone::Phone;
use super::settings::{CORE_PORT, edge_peer};
use super::world::{HOME, Tokens, World};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A cluster of edges with these members, beside the lab's home; `sockets` of
/// each.
fn cluster(members: &[Member], sockets: impl Fn(usize) -> Vec<String>) -> World {
    let mut world = World::with(
        Tokens::Clear,
        |home| {
            let addrs = members.iter().map(|member| member.addresses[0].to_string());
            home.edge_peers = addrs.map(|addr| edge_peer(&addr)).collect();
            home.destinations.reach.push((ip("10.1.0.0"), 16));
        },
        |_, _| (),
    );
    for (index, member) in members.iter().enumerate() {
        let listen = sockets(index);
        let upstream = format!("{}:{CORE_PORT}", member.addresses[0]);
        let listen = listen.iter().map(|addr| (addr.as_str(), false));
        let all: Vec<_> = listen.chain([(upstream.as_str(), true)]).collect();
        world.add_edge(&all, |settings: &mut edge::Settings| {
            settings.name.clone_from(&member.name);
            settings.members = members.to_vec();
            settings.set_size = 3;
            settings.rules.destinations.reach.push((ip("10.1.0.0"), 16));
        });
    }
    world
}

fn member(name: &str, addresses: &[&str]) -> Member {
    Member {
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        core_port: CORE_PORT,
        ..Member::at(name, ip(addresses[0]))
    }
}

/// The answer to the REGISTER that a phone sends from `addr` to `edge`.
fn register(world: &mut World, addr: &str, edge: &str, route: &str, number: u32) -> String {
    let text = |cseq: u32, more: &str| {
        format!(
            "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {addr};rport;branch=z9hG4bKr{number}{cseq}\n\
             Route: {route}\nMax-Forwards: 70\nFrom: <sip:joe@example.com>;tag=f\n\
             To: <sip:joe@example.com>\nCall-ID: r{number}\nCSeq: {cseq} REGISTER\n\
             Contact: <sip:joe@{addr}>;+sip.instance=\"<urn:uuid:joe>\";reg-id={number}\n\
             Supported: path, outbound, alt-proxies\n{more}Content-Length: 0\n\n"
        )
    };
    world.send(addr, edge, &text(1, ""));
    if !world.has(addr) {
        world.pass(steadfast::limits::T1);
        world.send(addr, edge, &text(1, ""));
    }
    let challenge = world.receive(addr).text;
    let credentials = super::phone::authorization("joe", &challenge);
    world.send(addr, edge, &text(2, &credentials));
    let ok = world.receive(addr).text;
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    ok
}

const CLUSTER: &str = "<sip:edge.example.com;lr>";

#[test]
fn a_phone_is_told_the_edges_that_its_family_leads_to() {
    // D-E5, D-E6, D-E9
    const SIX: &str = "[2001:db8::7]:5070";
    const FOUR: &str = "127.0.0.7:5070";
    let members = [
        member("e1", &["127.0.0.21", "2001:db8::21"]),
        member("e2", &["127.0.0.22", "2001:db8::22"]),
        member("e3", &["127.0.0.23"]),
    ];
    let mut world = cluster(&members, |index| {
        let addrs = members[index].addresses.iter();
        let with_port = |ip: &IpAddr| std::net::SocketAddr::new(*ip, 5060).to_string();
        addrs.map(with_port).collect()
    });
    let ok = register(&mut world, FOUR, "127.0.0.21:5060", CLUSTER, 1);
    let mut proxies = Phone::values(&ok, "Outbound-Proxy");
    proxies.sort_unstable();
    assert_eq!(proxies.len(), 2, "{ok}");
    assert!(proxies[0].ends_with("@edge.example.com;lr;maddr=127.0.0.22>"));
    assert!(proxies[1].ends_with("@edge.example.com;lr;maddr=127.0.0.23>"));

    let ok = register(&mut world, SIX, "[2001:db8::21]:5060", CLUSTER, 2);
    let proxies = Phone::values(&ok, "Outbound-Proxy");
    let token = "<sip:joe+e1+e2+urn_3Auuid_3Ajoe@edge.example.com;lr;";
    assert_eq!(proxies.len(), 1, "{ok}");
    assert_eq!(proxies[0], format!("{token}maddr=[2001:db8::22]>"), "{ok}");
    // The backup knows itself by that, and writes the same Path.
    let path = Phone::values(&ok, "Path").remove(0);
    let ok = register(&mut world, SIX, "[2001:db8::22]:5060", &proxies[0], 3);
    assert!(Phone::values(&ok, "Path").contains(&path), "{ok}\n{path}");
    assert!(Phone::values(&ok, "Outbound-Proxy").is_empty(), "{ok}");

    // From an IPv4 home to an IPv6 phone, by either edge.
    let mut ann = Phone::new("ann", "127.0.0.1:6002", false);
    ann.register(&mut world, "127.0.0.23:5060");
    for (number, by) in [(10, "[2001:db8::21]:5060"), (11, "[2001:db8::22]:5060")] {
        let text = ann.request("MESSAGE", "sip:joe@example.com", number, "", "");
        ann.send(&mut world, "127.0.0.23:5060", &text);
        let came = world.receive(SIX);
        assert_eq!(came.from.to_string(), by, "{}", world.ladder());
        assert!(came.text.starts_with("MESSAGE "), "{}", world.ladder());
        let joe = Phone::new("joe", SIX, true);
        world.send(SIX, by, &joe.response(&came.text, 200, "OK"));
        assert_eq!(ann.status(&mut world), 200);
        world.kill("127.0.0.21:5060");
        world.kill("[2001:db8::21]:5060");
        world.pass(steadfast::time::Duration::from_secs(4));
        world.forget();
    }
}

#[test]
fn an_edge_behind_a_translation_is_known_by_what_it_advertises() {
    // D-E3, D-E9, X-7, R-6: 198.51.100.N is 10.1.1.N inside.
    const JOE: &str = "203.0.113.7:5070";
    const ANN: &str = "203.0.113.8:5070";
    let behind = |name, n: u8| Member {
        advertised: vec![ip(&format!("198.51.100.{n}"))],
        ..member(name, &[&format!("10.1.1.{n}")])
    };
    let members = [behind("e1", 11), behind("e2", 12)];
    let mut world = cluster(&members, |index| {
        vec![format!("10.1.1.{}:5060", index + 11)]
    });
    for n in [11, 12] {
        world.translate(&format!("10.1.1.{n}"), &format!("198.51.100.{n}"));
    }
    let (e1, e2) = ("198.51.100.11:5060", "198.51.100.12:5060");
    let ok = register(&mut world, JOE, e1, CLUSTER, 1);
    let proxies = Phone::values(&ok, "Outbound-Proxy").remove(0);
    assert!(proxies.ends_with(";lr;maddr=198.51.100.12>"), "{proxies}");
    let path = Phone::values(&ok, "Path").remove(0);
    let ok = register(&mut world, JOE, e2, &proxies, 2);
    assert!(Phone::values(&ok, "Path").contains(&path), "{ok}\n{path}");

    // Whoever resolves its routes gets the address outside, and shows it again.
    let mut ann = Phone::new("ann", ANN, false);
    ann.register(&mut world, e1);
    let invite = ann.request("INVITE", "sip:joe@example.com", 1, "", "");
    ann.send(&mut world, e1, &invite);
    let came = world.receive(JOE);
    let via = Phone::values(&came.text, "Via").remove(0);
    let inside = came.from.to_string();
    assert!([e1, e2].contains(&&*inside), "{inside}");
    assert!(
        via.starts_with(&format!(
            "SIP/2.0/UDP {};rport;",
            inside.trim_end_matches(":5060")
        )),
        "{via}"
    );
    let joe = Phone::new("joe", JOE, true);
    world.send(JOE, &inside, &joe.response(&came.text, 200, "OK"));
    assert_eq!(ann.status(&mut world), 100);
    let ok = ann.receive(&mut world);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    let mut routes = Phone::values(&ok, "Record-Route");
    routes.reverse();
    assert_eq!(bare(&routes[0]), "<sip:198.51.100.11;lr>", "{routes:?}");
    ann.dialog(&ok, true);
    ann.in_dialog(&mut world, e1, "INFO", 2);
    let info = world.receive(JOE).text;
    assert!(info.starts_with("INFO "), "{info}");
    // Nothing inside is shown to a phone, and the edges meet inside.
    for seen in world
        .trace
        .iter()
        .filter(|seen| seen.to.ip() == ip("203.0.113.7"))
    {
        let top = seen.text.lines().find(|line| line.starts_with("Via: "));
        assert!(
            !top.unwrap_or_default().contains("10.1.1."),
            "{}",
            seen.text
        );
    }
    let recorded = Phone::values(world.last(HOME), "Record-Route");
    assert!(
        recorded
            .iter()
            .all(|uri| !unmarked(uri).contains("10.1.1.")),
        "{recorded:?}"
    );
}
