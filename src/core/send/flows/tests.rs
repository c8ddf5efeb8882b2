//! The flow table over made-up endpoints.

use super::*;
use crate::id::SocketId;

fn flows() -> Flows {
    let local = |transport, addr: &str, upstream| Local {
        transport,
        addr: addr.parse().unwrap(),
        upstream,
    };
    let locals = vec![
        local(Transport::Udp, "127.0.0.11:5060", false),
        local(Transport::Tcp, "127.0.0.11:5060", false),
        local(Transport::Udp, "127.0.0.11:40000", true),
        local(Transport::Tls, "127.0.0.11:5061", false),
    ];
    Flows::new(locals, [1, 2, 3, 4], ShardSet::alone([5; 4]))
}

/// What stands in a Via for the flow.
fn via(flows: &Flows, flow: Flow) -> String {
    let sent_by = flows.sent_by(flow).unwrap();
    let mut out = Vec::new();
    sent_by.write(&mut out);
    let out = String::from_utf8(out).unwrap();
    format!("{} {out}", sent_by.transport.via_token())
}

#[test]
fn requests_leave_by_the_upstream_socket_and_name_it() {
    let mut flows = flows();
    let addr = "127.0.0.10:5060".parse().unwrap();
    let Reach::Flow(flow) = flows.reach(Hop::to(Transport::Udp, addr)) else {
        panic!("no flow")
    };
    assert_eq!(
        flow,
        Flow::Udp {
            socket: SocketId(2),
            peer: addr
        }
    );
    assert_eq!(via(&flows, flow), "UDP 127.0.0.11:40000");
}

#[test]
fn an_opened_stream_is_reused_until_it_closes() {
    let mut flows = flows();
    let hop = Hop::to(Transport::Tcp, "127.0.0.10:5060".parse().unwrap());
    let Reach::Open(id) = flows.reach(hop) else {
        panic!("no stream")
    };
    assert_eq!(flows.reach(hop), Reach::Flow(Flow::Stream(id)));
    flows.close(id);
    assert_eq!(flows.reach(Hop::Flow(Flow::Stream(id))), Reach::Nowhere);
    assert!(matches!(flows.reach(hop), Reach::Open(again) if again != id));
}

#[test]
fn no_stream_is_opened_that_nothing_could_answer() {
    let mut flows = flows();
    let hop = Hop::to(Transport::Tcp, "[2001:db8::1]:5060".parse().unwrap());
    assert_eq!((flows.reach(hop), flows.streams()), (Reach::Nowhere, 0));
}

#[test]
fn a_stream_over_tls_belongs_to_the_name_it_was_opened_for() {
    // N-8, C-3: one address may stand for several domains.
    let mut flows = flows();
    let [a, b] = ["a.example", "b.example"].map(|name| flows.names.intern(name.as_bytes()));
    let addr = "127.0.0.10:5061".parse().unwrap();
    let hop = |name| Hop::To {
        transport: Transport::Tls,
        addr,
        name,
    };
    let Reach::Open(first) = flows.reach(hop(a)) else {
        panic!("no stream")
    };
    let flow = Flow::Stream(first);
    assert_eq!(flows.reach(hop(a)), Reach::Flow(flow));
    assert_eq!(via(&flows, flow), "TLS 127.0.0.11:5061");
    assert!(matches!(flows.reach(hop(b)), Reach::Open(other) if other != first));
    assert!(matches!(
        flows.reach(Hop::to(Transport::Tcp, addr)),
        Reach::Open(_)
    ));
    assert_eq!(flows.reach(hop(None)), Reach::Nowhere);
    assert_eq!(flows.close(first).map(|stream| stream.name), Some(a));
    assert!(matches!(flows.reach(hop(a)), Reach::Open(_)));
}

#[test]
fn a_name_stands_in_the_via_over_tls_and_is_known_again() {
    // M-3
    let mut flows = flows();
    flows.set_known_as(KnownAs {
        names: ["e1.a.example", "a.example"].map(str::to_owned).into(),
        ..KnownAs::default()
    });
    let Reach::Flow(datagrams) =
        flows.reach(Hop::to(Transport::Udp, "127.0.0.10:5060".parse().unwrap()))
    else {
        panic!("no flow")
    };
    assert_eq!(via(&flows, datagrams), "UDP 127.0.0.11:40000");
    let name = flows.names.intern(b"b.example");
    let hop = Hop::To {
        transport: Transport::Tls,
        addr: "127.0.0.10:5061".parse().unwrap(),
        name,
    };
    let Reach::Open(stream) = flows.reach(hop) else {
        panic!("no stream")
    };
    assert_eq!(via(&flows, Flow::Stream(stream)), "TLS e1.a.example:5061");
    for (host, port, want) in [
        ("e1.a.example", Some(5061), true),
        ("A.Example.", None, true),
        ("a.example", Some(5060), false),
        ("e2.a.example", Some(5061), false),
        ("127.0.0.11", Some(5061), false),
    ] {
        assert_eq!(flows.is_named(host.as_bytes(), port), want, "{host}");
    }
}

#[test]
fn a_translated_listener_is_called_by_its_address_outside() {
    let mut flows = flows();
    let ips = ["127.0.0.11", "198.51.100.11"].map(|ip| ip.parse().unwrap());
    flows.set_known_as(KnownAs {
        advertised: vec![ips.into()],
        ..KnownAs::default()
    });
    let peer = "203.0.113.1:5060".parse().unwrap();
    let over = |socket| Flow::Udp {
        socket: SocketId(socket),
        peer,
    };
    assert_eq!(via(&flows, over(0)), "UDP 198.51.100.11");
    // Towards the homes there is no translation.
    assert_eq!(via(&flows, over(2)), "UDP 127.0.0.11:40000");
    assert_eq!(
        flows.listener(Transport::Tls, false),
        Some("198.51.100.11:5061".parse().unwrap())
    );
    for (ip, port, want) in [
        (ips[0], 5060, true),
        (ips[1], 5060, true),
        (ips[0], 40000, true),
        (ips[1], 40000, false),
    ] {
        assert_eq!(flows.is_local(ip, port), want, "{ip}:{port}");
    }
    assert!(flows.is_host(ips[1]) && flows.is_host(ips[0]));
}

#[test]
fn an_alias_leads_to_the_domains_that_its_peer_has_proven() {
    // C-10 to C-12
    let mut flows = flows();
    let accepted = |transport, identities| AcceptedConnection {
        transport,
        peer: "127.0.0.12:40001".parse().unwrap(),
        core_side: false,
        identities,
    };
    let proven = ["edge.example.com".into()];
    let ids = [
        accepted(Transport::Tls, &proven[..]),
        accepted(Transport::Tls, &[]),
        accepted(Transport::Tcp, &proven),
    ]
    .map(|accepted| flows.accept(&accepted).unwrap());
    let [edge, bad] =
        [&b"edge.example.com"[..], b"bad.example"].map(|name| flows.names.intern(name));
    let hop = |name| Hop::To {
        transport: Transport::Tls,
        addr: "127.0.0.12:5061".parse().unwrap(),
        name,
    };
    for id in ids.into_iter().rev() {
        flows.grant_alias(id, 5061);
    }
    assert_eq!(flows.reach(hop(edge)), Reach::Flow(Flow::Stream(ids[0])));
    assert!(matches!(flows.reach(hop(bad)), Reach::Open(_)));
    flows.close(ids[0]);
    assert!(matches!(flows.reach(hop(edge)), Reach::Open(other) if !ids.contains(&other)));
    assert_eq!(flows.by_alias.len(), 0);
}

#[test]
fn an_accepted_stream_is_never_found_by_its_source_port() {
    let mut flows = flows();
    let addr: SocketAddr = "127.0.0.1:40001".parse().unwrap();
    let accepted = AcceptedConnection {
        transport: Transport::Tcp,
        peer: addr,
        core_side: false,
        identities: &[],
    };
    let id = flows.accept(&accepted).unwrap();
    assert!(
        matches!(flows.reach(Hop::to(Transport::Tcp, addr)), Reach::Open(other) if other != id)
    );
    assert_eq!(
        flows.reach(Hop::Flow(Flow::Stream(id))),
        Reach::Flow(Flow::Stream(id))
    );
}

#[test]
fn each_shard_knows_the_sockets_and_streams_of_the_others() {
    let local = |addr: &str, upstream| Local {
        transport: Transport::Udp,
        addr: addr.parse().unwrap(),
        upstream,
    };
    let locals = vec![
        local("127.0.0.11:5060", false),
        local("127.0.0.11:40000", true),
        local("127.0.0.11:40001", true),
    ];
    let shard_set = |own| ShardSet {
        own,
        count: 2,
        seed: [5; 4],
    };
    let [mut zero, mut one] =
        [0, 1].map(|own| Flows::new(locals.clone(), [1, 2, 3, 4], shard_set(own)));
    let peer: SocketAddr = "127.0.0.10:5060".parse().unwrap();
    let udp = |socket| Flow::Udp {
        socket: SocketId(socket),
        peer,
    };
    let hop = Hop::to(Transport::Udp, peer);
    assert_eq!(zero.reach(hop), Reach::Flow(udp(1)));
    assert_eq!(one.reach(hop), Reach::Flow(udp(2)));
    let elsewhere = [0, 1, 2].map(|socket| one.elsewhere(udp(socket)));
    assert_eq!(elsewhere, [None, Some(0), None]);
    let accepted = AcceptedConnection {
        transport: Transport::Tls,
        peer,
        core_side: true,
        identities: &["edge.example.com".into()],
    };
    let stream = Flow::Stream(one.accept(&accepted).unwrap());
    assert_eq!(
        (zero.elsewhere(stream), one.elsewhere(stream)),
        (Some(1), None)
    );
    assert!(one.lives(stream) && !zero.lives(stream));
    let far = one.far(stream).unwrap();
    assert_eq!(far.end, accepted.end());
    assert!(zero.learn(stream, far.clone()) && !zero.learn(stream, far));
    assert!(zero.proves(stream, b"edge.example.com"));
    assert_eq!(zero.end(stream), Some(accepted.end()));
    assert_eq!(zero.reach(Hop::Flow(stream)), Reach::Flow(stream));
    let Flow::Stream(id) = stream else { panic!() };
    assert!(zero.unlearn(id) && !zero.lives(stream));
}
