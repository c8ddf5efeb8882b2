//! What the nodes of the lab are told.

use std::net::SocketAddr;
use std::sync::Arc;

use steadfast::digest::Algorithm;
use steadfast::edge::{self, Member};
use steadfast::home::{self, Redirect, Subscribers};
use steadfast::id::Transport;

use super::world::{EDGES, HOME, Tokens};

pub(crate) fn home() -> home::Settings {
    home::Settings {
        calls_out: steadfast::trust::CallsOut::anywhere(),
        destinations: steadfast::trust::Destinations {
            reach: vec![("127.0.0.0".parse().unwrap(), 8)],
            deny: Vec::new(),
        },
        identities: steadfast::trust::Identities::default(),
        name: String::new(),
        domain: "example.com".to_owned(),
        edges: "sip:edge.example.com;lr".to_owned(),
        edge_peers: vec![
            ("127.0.0.11".parse().unwrap(), 32),
            ("127.0.0.12".parse().unwrap(), 31),
        ],
        nonce_key: [7; 32],
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        authenticates: true,
        redirect: Redirect::Always,
        challenges_calls: true,
        requires_path: false,
        is_stored: true,
    }
}

pub(crate) fn subscribers() -> Arc<Subscribers> {
    let text = "joe example.com password=secret\nann example.com password=secret\n\
                bob example.com password=secret\n";
    Arc::new(Subscribers::parse(text).unwrap())
}

pub(crate) fn edge(place: usize, tokens: Tokens) -> edge::Settings {
    let member = |place: usize| Member {
        name: format!("e{}", place + 1),
        address: EDGES[place].parse::<SocketAddr>().unwrap().ip(),
        udp: 5060,
        tcp: 5060,
        tls: 5061,
        retires: false,
        site: String::new(),
    };
    edge::Settings {
        rules: edge::Rules {
            destinations: steadfast::trust::Destinations {
                reach: vec![("127.0.0.0".parse().unwrap(), 8)],
                deny: Vec::new(),
            },
            ..edge::Rules::default()
        },
        name: format!("e{}", place + 1),
        cluster: "edge.example.com".to_owned(),
        home: vec![edge::NextHop::At(edge::Hop {
            transport: Transport::Udp,
            addr: HOME.parse().unwrap(),
            name: None,
        })],
        home_domains: vec!["example.com".to_owned()],
        members: (0..3).map(member).collect(),
        requires_path: false,
        set_size: 2,
        token_keys: match tokens {
            Tokens::Clear => Vec::new(),
            Tokens::Sealed => vec![[9; 64]],
        },
        flow_key: [3; 32],
    }
}
