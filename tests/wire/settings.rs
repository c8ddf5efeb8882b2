//! What the nodes of the lab are told.

use std::net::SocketAddr;
use std::sync::Arc;

use steadfast::digest::Algorithm;
use steadfast::edge::{self, Member, PathPolicy};
use steadfast::home::{self, Redirect, Subscribers};
use steadfast::id::Transport;
use steadfast::send::{Clear, HostRule};

use super::world::{EDGES, HOME, Tokens};

pub(crate) fn home() -> home::Settings {
    home::Settings {
        calls_out: steadfast::trust::CallsOut::anywhere(),
        destinations: steadfast::trust::Destinations {
            reach: vec![("127.0.0.0".parse().unwrap(), 8)],
            deny: Vec::new(),
        },
        identities: steadfast::trust::IdentityHeaders::default(),
        name: String::new(),
        domain: "example.com".to_owned(),
        edges: "sip:edge.example.com;lr".to_owned(),
        edge_peers: vec![edge_peer("127.0.0.11"), edge_peer("127.0.0.12/31")],
        peers: Vec::new(),
        nonce_key: [7; 32],
        older_nonce_keys: Vec::new(),
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        authenticates: true,
        redirect: Redirect::Always,
        ring_time: Some(steadfast::limits::RING_TIME),
        challenges_calls: true,
        requires_path: false,
        requires_outbound: false,
        is_stored: true,
        is_shared: false,
        is_durable: false,
    }
}

/// The first core port of every node: their sockets towards the homes have it.
pub(crate) const CORE_PORT: u16 = 40_000;

/// An edge, as `edge_peers` of a home without TLS names it.
pub(crate) fn edge_peer(text: &str) -> HostRule {
    HostRule::edge(text, Clear::Any, CORE_PORT).unwrap()
}

pub(crate) fn subscribers() -> Arc<Subscribers> {
    let text = "joe example.com password=secret\nann example.com password=secret\n\
                bob example.com password=secret\nsos example.com password=secret\n";
    Arc::new(Subscribers::parse(text).unwrap())
}

pub(crate) fn edge(index: usize, tokens: Tokens) -> edge::Settings {
    let member = |index: usize| Member {
        core_port: CORE_PORT,
        ..Member::at(
            &format!("e{}", index + 1),
            EDGES[index].parse::<SocketAddr>().unwrap().ip(),
        )
    };
    edge::Settings {
        rules: edge::Rules {
            destinations: steadfast::trust::Destinations {
                reach: vec![("127.0.0.0".parse().unwrap(), 8)],
                deny: Vec::new(),
            },
            ..edge::Rules::default()
        },
        name: format!("e{}", index + 1),
        cluster: "edge.example.com".to_owned(),
        core_name: None,
        home: vec![edge::NextHop::At(edge::ConfiguredHop {
            transport: Transport::Udp,
            addr: HOME.parse().unwrap(),
            name: None,
        })],
        home_domains: vec!["example.com".to_owned()],
        members: (0..3).map(member).collect(),
        member_names: false,
        names: Vec::new(),
        peers: Vec::new(),
        core_port: CORE_PORT,
        path: PathPolicy::Accept,
        set_size: 2,
        token_keys: match tokens {
            Tokens::Clear => Vec::new(),
            Tokens::Sealed => vec![[9; 64]],
        },
        flow_key: [3; 32],
        older_flow_keys: Vec::new(),
        keeps_flows: false,
        core_listen: Vec::new(),
    }
}
