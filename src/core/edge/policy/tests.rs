//! Whose a flow is, for what no request shows.

use super::*;
use crate::edge::{Member, NextHop, PathPolicy, Settings};
use crate::id::{ShardSet, SocketId};
use crate::send::{AcceptedConnection, Flows, Local, PeerRule};
use crate::time::Wall;

const SEED: [u64; 4] = [1, 2, 3, 4];

fn net() -> Net {
    let local = Local {
        transport: Transport::Udp,
        addr: "192.0.2.11:5060".parse().unwrap(),
        upstream: false,
    };
    let shard_set = ShardSet::alone(SEED);
    let flows = Flows::new(vec![local], SEED, shard_set);
    let wall = Wall { unix_at_zero: 0 };
    Net::new(flows, wall, SEED, shard_set, Instant::ZERO)
}

/// An edge whose home, sibling and carrier share one address.
fn edge(net: &mut Net) -> Edge {
    let member = |name: &str, address: &str| Member {
        udp: 5062,
        tcp: 5062,
        ..Member::at(name, address.parse().unwrap())
    };
    let carriers = ["udp:192.0.2.50:5064", "tls:carrier.example.net"];
    let home = super::super::ConfiguredHop {
        transport: Transport::Udp,
        addr: "192.0.2.50:5060".parse().unwrap(),
        name: None,
    };
    let mut edge = Edge::new(
        Settings {
            rules: super::super::Rules::default(),
            name: "e1".to_owned(),
            cluster: "edge.example.com".to_owned(),
            core_name: None,
            home: vec![NextHop::At(home)],
            home_domains: vec!["example.com".to_owned()],
            members: vec![member("e1", "192.0.2.11"), member("e2", "192.0.2.50")],
            member_names: false,
            names: Vec::new(),
            peers: carriers.map(|text| PeerRule::carrier(text).unwrap()).into(),
            core_port: 15_060,
            path: PathPolicy::Accept,
            set_size: 2,
            token_keys: Vec::new(),
            flow_key: [3; 32],
            older_flow_keys: Vec::new(),
            keeps_flows: false,
            core_listen: Vec::new(),
        },
        SEED,
        1,
    );
    edge.on_start(&mut Step::new(net, Instant::ZERO));
    edge
}

#[test]
fn a_port_tells_apart_who_shares_an_address() {
    let mut net = net();
    let edge = edge(&mut net);
    for (port, want) in [
        (5060, Origin::Home),
        (5062, Origin::Edge),
        (15_061, Origin::Edge),
        (5064, Origin::Carrier),
        (5066, Origin::Phone),
    ] {
        let flow = Flow::Udp {
            socket: SocketId(0),
            peer: SocketAddr::new("192.0.2.50".parse().unwrap(), port),
        };
        assert_eq!(edge.origin(&net, flow), want, "{port}");
        let is_ours = matches!(want, Origin::Home | Origin::Edge);
        assert_eq!(
            edge.is_cluster_node(&net, Hop::Flow(flow)),
            is_ours,
            "{port}"
        );
    }
}

#[test]
fn a_certificate_tells_carriers_from_the_cluster() {
    let mut net = net();
    let edge = edge(&mut net);
    for (names, want) in [
        (&["example.com"][..], Origin::Home),
        (&["carrier.example.net", "edge.example.com"], Origin::Edge),
        (&["other.example", "Carrier.example.net"], Origin::Carrier),
        (&["example.net"], Origin::Phone),
        (&[], Origin::Phone),
    ] {
        let identities: Vec<Box<str>> = names.iter().map(|name| (*name).into()).collect();
        let accepted = AcceptedConnection {
            transport: Transport::Tls,
            peer: "198.51.100.1:40000".parse().unwrap(),
            core_side: false,
            identities: &identities,
        };
        let flow = Flow::Stream(net.flows.accept(&accepted).unwrap());
        assert_eq!(edge.origin(&net, flow), want, "{names:?}");
    }
}
