//! The other nodes as the configuration names them, for whoever looks at the cluster.

use std::net::IpAddr;

use crate::config::{Config, Role};

/// What the configuration says of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cluster {
    /// `edge` or `home`: what this node is.
    pub(super) role: &'static str,
    /// The cluster of an edge, the domain of a home.
    pub(super) name: String,
    /// Where this node listens.
    pub(super) addresses: Vec<String>,
    /// The others.
    pub(super) nodes: Vec<KnownNode>,
    /// Where their pages are, by name or address.
    pub(super) pages: Vec<(String, String)>,
}

/// Another node, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownNode {
    /// Its name, or its address.
    pub(super) name: String,
    /// `edge` or `home`.
    pub(super) kind: &'static str,
    /// Where it is found.
    pub(super) ips: Vec<IpAddr>,
    /// It is being taken out of service.
    pub(super) retires: bool,
}

impl Cluster {
    pub(super) fn of(config: &Config) -> Self {
        let mut addresses: Vec<_> = config
            .listen
            .iter()
            .map(|(_, at)| at.ip().to_string())
            .collect();
        addresses.dedup();
        let (role, name, nodes) = match &config.role {
            Role::Edge(edge) => {
                let others = edge.members.iter().filter(|it| it.name != edge.name);
                let nodes = others.map(|member| KnownNode {
                    name: member.name.clone(),
                    kind: "edge",
                    ips: member.peer_ips(),
                    retires: member.retires,
                });
                ("edge", &edge.cluster, nodes.collect())
            }
            Role::Home(home) => {
                let rules = home.settings.edge_peers.iter().map(|rule| rule.network);
                // Of a network it is not known who is in it.
                let alone = rules.filter(|(ip, len)| *len == if ip.is_ipv4() { 32 } else { 128 });
                let nodes = alone.map(|(ip, _)| KnownNode::at(ip, "edge"));
                ("home", &home.settings.domain, nodes.collect())
            }
        };
        Self {
            role,
            name: name.clone(),
            addresses,
            nodes,
            pages: config.pages.clone(),
        }
    }

    /// Where the page of a node is.
    pub(super) fn page(&self, node: &KnownNode) -> Option<&str> {
        let is_its = |name: &str| {
            let mut ips = node.ips.iter();
            name == node.name || ips.any(|ip| ip.to_string() == name)
        };
        let mut pages = self.pages.iter();
        let page = pages.find(|(name, _)| is_its(name));
        page.map(|(_, url)| &**url)
    }

    /// Who is at an address that the configuration does not name.
    pub(super) fn stranger(&self) -> &'static str {
        if self.role == "edge" { "home" } else { "edge" }
    }
}

impl KnownNode {
    /// A node that nothing else is known of.
    pub(super) fn at(ip: IpAddr, kind: &'static str) -> Self {
        Self {
            name: ip.to_string(),
            kind,
            ips: vec![ip],
            retires: false,
        }
    }
}
