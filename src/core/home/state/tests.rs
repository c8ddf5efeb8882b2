//! Whose a flow is, for what no request shows.

use super::*;
use crate::home::Redirect;
use crate::id::{ShardSet, SocketId};
use crate::limits;
use crate::send::{AcceptedConnection, Clear, Flows, HostRule, Local, PeerRule};
use crate::time::{Instant, Wall};
use crate::trust::IdentityHeaders;

const SEED: [u64; 4] = [1, 2, 3, 4];

fn net() -> Net {
    let local = Local {
        transport: Transport::Udp,
        addr: "192.0.2.10:5060".parse().unwrap(),
        upstream: false,
    };
    let shard_set = ShardSet::alone(SEED);
    let flows = Flows::new(vec![local], SEED, shard_set);
    let wall = Wall { unix_at_zero: 0 };
    Net::new(flows, wall, SEED, shard_set, Instant::ZERO)
}

fn home() -> Home {
    let edges = ["192.0.2.11", "udp:192.0.2.50:5062"];
    let carriers = ["udp:192.0.2.50:5062-5064", "tls:carrier.example.net"];
    let settings = Settings {
        calls_out: crate::trust::CallsOut::anywhere(),
        destinations: crate::trust::Destinations::default(),
        identities: IdentityHeaders::default(),
        domain: "example.com".to_owned(),
        name: String::new(),
        edges: "sip:edge.example.com;lr".to_owned(),
        edge_peers: edges
            .map(|text| HostRule::edge(text, Clear::Any, 15_060).unwrap())
            .into(),
        peers: carriers.map(|text| PeerRule::carrier(text).unwrap()).into(),
        nonce_key: [0; 32],
        older_nonce_keys: Vec::new(),
        algorithms: Vec::new(),
        authenticates: true,
        redirect: Redirect::default(),
        ring_time: Some(limits::RING_TIME),
        challenges_calls: true,
        requires_path: false,
        requires_outbound: false,
        is_stored: false,
        is_shared: false,
        is_durable: false,
    };
    Home::new(settings, Arc::new(Subscribers::default()), SEED)
}

#[test]
fn a_flow_is_an_edges_or_a_carriers_or_nobodys() {
    let (mut net, home) = (net(), home());
    for (peer, edge, carrier) in [
        ("192.0.2.11:15060", true, false),
        ("192.0.2.50:5062", true, false),
        ("192.0.2.50:5064", false, true),
        ("192.0.2.50:5065", false, false),
        ("192.0.2.11:5064", false, false),
    ] {
        let flow = Flow::Udp {
            socket: SocketId(0),
            peer: peer.parse().unwrap(),
        };
        let found = (home.is_edge(&net, flow), home.is_carrier(&net, flow));
        assert_eq!(found, (edge, carrier), "{peer}");
    }
    for (name, edge, carrier) in [
        ("edge.example.com", true, false),
        ("Carrier.example.net", false, true),
        ("example.net", false, false),
    ] {
        let accepted = AcceptedConnection {
            transport: Transport::Tls,
            peer: "192.0.2.11:15060".parse().unwrap(),
            core_side: false,
            identities: &[name.into()],
        };
        let flow = Flow::Stream(net.flows.accept(&accepted).unwrap());
        let found = (home.is_edge(&net, flow), home.is_carrier(&net, flow));
        assert_eq!(found, (edge, carrier), "{name}");
    }
}
