//! The settings of each node, and who a phone is.

use std::net::SocketAddr;
use std::sync::Arc;

use steadfast::agent;
use steadfast::digest::Algorithm;
use steadfast::edge::{self, Member, NextHop, PathPolicy};
use steadfast::home::{self, Redirect, Subscribers};
use steadfast::id::Transport;
use steadfast::send::{Clear, HostRule};
use steadfast::shard::Role;
use steadfast::trust::{CallsOut, IdentityHeaders};

use super::{CORE_LISTEN, Cast, EVIL_PASSWORD, Extra, Led, PASSWORD, SOS, Speaks, UPSTREAM};
use crate::dice::Dice;
use crate::foreign;
use crate::phone::Who;
use crate::zone::{CLUSTER, Zone, name_of};

impl Cast {
    /// The home that is somebody else's.
    pub(crate) fn foreign(&self, dice: &mut Dice) -> foreign::Setup {
        let mut edges = self.edges.clone();
        if self.core == Transport::Tcp {
            for edge in &mut edges {
                edge.set_port(CORE_LISTEN);
            }
        }
        let account = |(user, password): (&str, &str)| (user.to_owned(), password.to_owned());
        let attackers = self
            .attackers
            .iter()
            .filter_map(|attacker| attacker.user.as_deref());
        let attackers = attackers.map(|user| (user, EVIL_PASSWORD));
        let phones = self.phones.iter().map(|phone| (&phone.user[..], PASSWORD));
        foreign::Setup {
            addr: self.homes[0],
            tcp: self.core == Transport::Tcp,
            zone: Zone { edges },
            accounts: attackers.chain(phones).map(account).collect(),
            says_service_route: dice.permille(500),
        }
    }

    pub(crate) fn home(&self) -> Role {
        let peer = |edge: &SocketAddr| {
            HostRule::edge(&edge.ip().to_string(), Clear::Any, UPSTREAM).unwrap()
        };
        let settings = home::Settings {
            calls_out: CallsOut {
                anywhere: self.calls_out,
                domains: Vec::new(),
            },
            // Phones are behind the edges; who calls from elsewhere is not.
            destinations: Self::destinations(&["10.0.3.0"]),
            identities: IdentityHeaders::default(),
            name: String::new(),
            domain: "example.com".to_owned(),
            edges: "sip:edge.example.com;lr".to_owned(),
            edge_peers: self.edges.iter().map(peer).collect(),
            peers: Vec::new(),
            nonce_key: [7; 32],
            older_nonce_keys: Vec::new(),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            redirect: Redirect::Always,
            ring_time: Some(steadfast::limits::RING_TIME),
            challenges_calls: true,
            authenticates: true,
            requires_path: false,
            requires_outbound: false,
            is_stored: true,
            is_shared: false,
            is_durable: false,
        };
        let mut text = format!("{SOS} example.com password={PASSWORD}\n");
        for user in self
            .attackers
            .iter()
            .filter_map(|attacker| attacker.user.as_ref())
        {
            text += &format!("{user} example.com password={EVIL_PASSWORD}\n");
        }
        for user in 0..=self.phones.len() {
            text += &format!("u{user} example.com password={PASSWORD}\n");
        }
        Role::Home(settings, Arc::new(Subscribers::parse(&text).unwrap()))
    }

    pub(crate) fn edge(&self, index: usize) -> Role {
        let core = |addr: &SocketAddr| {
            let core = SocketAddr::new(addr.ip(), CORE_LISTEN);
            let core = self.core_side.then_some((Transport::Tcp, core));
            core.into_iter().collect()
        };
        let member = |(index, addr): (usize, &SocketAddr)| Member {
            core_port: UPSTREAM,
            core: core(addr),
            ..Member::at(&format!("e{}", index + 1), addr.ip())
        };
        let home = |addr: &SocketAddr| {
            NextHop::At(edge::ConfiguredHop {
                transport: self.core,
                addr: *addr,
                name: None,
            })
        };
        let core_listen = SocketAddr::new(self.edges[index].ip(), CORE_LISTEN);
        let core_listen = self.is_foreign.then_some(core_listen);
        let named = || vec![NextHop::Named("sip:example.com".to_owned())];
        let homes = if self.named {
            named()
        } else {
            self.homes.iter().map(home).collect()
        };
        Role::Edge(edge::Settings {
            rules: edge::Rules {
                strangers: self.strangers,
                destinations: Self::destinations(&["10.0.2.0", "10.0.3.0"]),
                challenges_udp_calls: self.asks_udp,
                ..edge::Rules::default()
            },
            name: format!("e{}", index + 1),
            cluster: "edge.example.com".to_owned(),
            core_name: None,
            home: homes,
            home_domains: vec!["example.com".to_owned()],
            members: self.edges.iter().enumerate().map(member).collect(),
            member_names: self.member_names,
            names: Vec::new(),
            peers: Vec::new(),
            core_port: UPSTREAM,
            path: PathPolicy::Accept,
            set_size: self.set_size.min(self.edges.len()),
            token_keys: if self.sealed {
                vec![[9; 64]]
            } else {
                Vec::new()
            },
            flow_key: [3; 32],
            older_flow_keys: Vec::new(),
            keeps_flows: false,
            core_listen: core_listen.into_iter().collect(),
        })
    }

    /// The settings of a phone that is our own user agent.
    pub(crate) fn agent(&self, phone: &Extra, dice: &mut Dice) -> Role {
        let turn = dice.index(self.edges.len());
        let edges = self.edges.iter().cycle().skip(turn);
        let name = |addr: &SocketAddr| ("edge.example.com".to_owned(), *addr);
        Role::Agent(agent::Settings {
            user: phone.user.clone(),
            domain: "example.com".to_owned(),
            auth_user: phone.user.clone(),
            password: PASSWORD.to_owned(),
            transport: if phone.tcp {
                Transport::Tcp
            } else {
                Transport::Udp
            },
            home: self.homes[0],
            names: edges.take(self.edges.len()).map(name).collect(),
            instance: format!("urn:uuid:{}", phone.addr.ip()),
            expires_s: phone.expires_s(),
            answer_after: Some(dice.millis(50, 3_000)),
        })
    }

    /// The settings of any other phone.
    pub(crate) fn who(&self, phone: &Extra, dice: &mut Dice) -> Who {
        let turn = dice.index(self.edges.len());
        let edges = self.edges.iter().cycle().skip(turn);
        let led_by = (0..2).map(|flow| match phone.led {
            Led::Told | Led::Cluster => format!("<sip:{CLUSTER};lr>"),
            Led::Address => {
                let edge = self.edges[(turn + flow) % self.edges.len()];
                format!("<sip:{edge};lr>")
            }
            Led::Edge => {
                let name = name_of((turn + flow) % self.edges.len());
                format!("<sip:{name};lr>")
            }
        });
        Who {
            user: phone.user.clone(),
            addr: phone.addr,
            sent_by: phone.name.clone().unwrap_or_else(|| phone.addr.to_string()),
            tcp: phone.tcp,
            outbound: phone.speaks == Speaks::Outbound,
            edges: edges.take(2).copied().collect(),
            led_by: led_by.collect(),
            zone: phone.resolves().then(|| Zone {
                edges: self.edges.clone(),
            }),
            expires_s: phone.expires_s(),
            intrudes: (phone.speaks == Speaks::Plain && !phone.tcp && !self.is_foreign)
                .then_some(self.homes[0]),
        }
    }
}
