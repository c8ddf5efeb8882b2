//! What the page and `steadfast top` are told: this node, its neighbours as it knows them, and
//! what it counted.

use std::net::{IpAddr, SocketAddr};
use std::time::UNIX_EPOCH;

use super::Node;
use super::health::Findings;
use super::metrics::{self, ProcessNumbers};
use super::rejected::Refused;
use crate::control::cluster::{Cluster, KnownNode};
use crate::histogram::{self, Histogram};
use crate::id::Transport;
use crate::io::{Answer, Numbers, Question, Told, Turns};
use crate::limits;
use crate::proxy::Traffic;
use crate::scan::Method;
use crate::send::KeepaliveRole;
use crate::shard::PeerReport;
use crate::version::COMMIT;
use crate::view::{Counted, Event, Held, Neighbour, Refusal, View};

impl Node {
    /// Asks the shards.
    pub(super) async fn view(&self) -> View {
        let answers = self.ask_shards(&Question::Numbers).await;
        let not_ready = self.not_ready(Findings::of(&answers, self.shards.len()));
        let numbers = metrics::numbers(answers);
        let peers = self.ask_shards(&Question::Peers).await;
        let rejected = Refused::of(self.ask_shards(&Question::Rejected).await);
        let cluster = self.cluster.borrow().clone();
        let process = ProcessNumbers::read();
        let unix = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
        let mut reports = Vec::new();
        let mut told = Vec::new();
        for (_, answer) in peers {
            if let Answer::Peers(report, words) = answer {
                reports.push(*report);
                told.extend(words);
            }
        }
        let nodes = known(&cluster, &reports);
        let mut view = View {
            node: self.name.clone(),
            role: cluster.role.to_owned(),
            cluster: cluster.name.clone(),
            addresses: cluster.addresses.clone(),
            file: self.status.read().file.display().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: COMMIT.to_owned(),
            unix,
            up_seconds: self.started.elapsed().as_secs_f64(),
            shards: self.shards.len(),
            not_ready,
            neighbours: nodes
                .iter()
                .map(|node| neighbour(node, &cluster, &reports))
                .collect(),
            bounds_us: histogram::BOUNDS_US.to_vec(),
            told: events(told, &nodes),
            rejected: rejected.refusals(limits::PAGE_REJECTS),
            failed: self.page.failures.last().await,
            ..View::default()
        };
        count(&mut view, &numbers);
        if let Some(process) = process {
            view.held.resident_bytes = process.resident_bytes;
            view.held.open_fds = process.open_fds;
        }
        view
    }
}

/// Every other node: those that the configuration names, and those that are watched besides.
fn known(cluster: &Cluster, reports: &[PeerReport]) -> Vec<KnownNode> {
    let mut nodes = cluster.nodes.clone();
    let homes = reports.iter().flat_map(|report| &report.homes);
    for (_, addr) in homes {
        let ip = addr.ip().to_canonical();
        // A home and an edge may share a machine.
        let is_it = |node: &KnownNode| node.kind == "home" && node.ips.contains(&ip);
        if !nodes.iter().any(is_it) {
            nodes.push(KnownNode::at(ip, "home"));
        }
    }
    let watched = reports.iter().flat_map(|report| &report.watched);
    for peer in watched {
        let ip = peer.addr.ip().to_canonical();
        if !nodes.iter().any(|node| node.ips.contains(&ip)) {
            nodes.push(KnownNode::at(ip, cluster.stranger()));
        }
    }
    nodes.sort_by(|a, b| (b.kind, &a.name).cmp(&(a.kind, &b.name)));
    nodes
}

/// A node by what the shards know of its flows: one that answers is enough.
fn neighbour(node: &KnownNode, cluster: &Cluster, reports: &[PeerReport]) -> Neighbour {
    let is_it = |addr: &SocketAddr| node.ips.contains(&addr.ip().to_canonical());
    let watched = || {
        let all = reports.iter().flat_map(|report| &report.watched);
        all.filter(|peer| is_it(&peer.addr))
    };
    let has_failed = reports.iter().any(|report| {
        let mut failed = report.failed.iter();
        failed.any(|(_, addr)| is_it(addr))
    });
    let state = if watched().any(|peer| peer.is_up) {
        "up"
    } else if has_failed || watched().next().is_some() {
        "down"
    } else {
        "unknown"
    };
    let has_role = |role| watched().any(|peer| peer.keepalives == role);
    let silent = watched().map(|peer| peer.silent_for).min();
    Neighbour {
        name: node.name.clone(),
        kind: node.kind.to_owned(),
        state: state.to_owned(),
        addresses: node.ips.iter().map(IpAddr::to_string).collect(),
        asks: has_role(KeepaliveRole::Ours),
        is_asked: has_role(KeepaliveRole::Theirs),
        silent_ms: silent.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
        retires: node.retires,
        page: cluster.page(node).map(str::to_owned),
    }
}

/// What all shards told, in order, with the names of whom it is about. What several of them say
/// in one second is said once.
fn events(mut told: Vec<Told>, nodes: &[KnownNode]) -> Vec<Event> {
    told.sort_by(|a, b| (a.unix, a.peer, &a.text).cmp(&(b.unix, b.peer, &b.text)));
    told.dedup();
    let events = told.into_iter().map(|one| {
        let who = one.peer.map(|peer| {
            let ip = peer.ip().to_canonical();
            let named = nodes.iter().find(|node| node.ips.contains(&ip));
            let named = named.filter(|node| node.name != ip.to_string());
            named.map_or_else(
                || format!("{peer} "),
                |node| format!("{} ({peer}) ", node.name),
            )
        });
        Event {
            unix: one.unix,
            is_bad: one.is_bad,
            text: who.unwrap_or_default() + &one.text,
        }
    });
    let events: Vec<_> = events.collect();
    let older = events.len().saturating_sub(limits::NOTICES_KEPT);
    events.into_iter().skip(older).collect()
}

/// Adds up what the shards counted and hold.
fn count(view: &mut View, numbers: &[(usize, Box<Numbers>)]) {
    let (mut traffic, mut turns) = (Traffic::default(), Turns::default());
    for (_, one) in numbers {
        traffic.merge(&one.traffic);
        turns.merge(&one.turns);
    }
    let sum = |name: &str| row(numbers, name).sum::<u64>();
    let came = |method| {
        let all = traffic.requests_in().filter(|(_, it, _)| *it == method);
        all.map(|(.., count)| count).sum()
    };
    let shed = [
        "shed_new",
        "shed_renewals",
        "shed_calls",
        "shed_emergencies",
    ];
    view.counted = Counted {
        calls: came(Method::Invite),
        requests: sum("requests_in"),
        registers: came(Method::Register),
        answers: [0; 6],
        timeouts: sum("timeouts"),
        transport_failures: sum("transport_failures"),
        flows_failed: sum("flows_failed"),
        rejected: sum("rejected"),
        overtaken: sum("overtaken"),
        sent_again: sum("sent_again"),
        redirects_followed: sum("redirects_followed"),
        relays: sum("relays"),
        refreshed: sum("refreshed"),
        peers_silent: sum("peers_silent"),
        shed: shed.iter().map(|name| sum(name)).sum(),
    };
    for (.., class, count) in traffic.responses_out() {
        view.counted.answers[class - 1] += count;
    }
    let latest = row(numbers, "shed_percent").max();
    view.held = Held {
        registered: sum("registered"),
        phones: phones(numbers),
        streams: sum("streams"),
        contexts: sum("contexts"),
        shed_percent: latest.unwrap_or_default(),
        ..Held::default()
    };
    let classes = |all: &Histogram| all.classes().map(|(_, count)| count).collect();
    let mut registration = Histogram::default();
    let all = traffic.registration();
    all.for_each(|(_, all)| registration.merge(all));
    view.set_up = classes(traffic.set_up());
    view.registration = classes(&registration);
    view.loop_delay = classes(&turns.delay);
    view.queue_time = classes(&turns.queue);
}

/// The number of that name of each shard.
fn row<'a>(numbers: &'a [(usize, Box<Numbers>)], name: &'a str) -> impl Iterator<Item = u64> + 'a {
    numbers.iter().filter_map(move |(_, one)| {
        let row = one.rows.iter().find(|row| row.name == name);
        row.map(|row| row.value)
    })
}

/// The phones of an edge by transport; none at a home.
fn phones(numbers: &[(usize, Box<Numbers>)]) -> Vec<(String, u64)> {
    let known = || numbers.iter().filter_map(|(_, one)| one.phones);
    if known().next().is_none() {
        return Vec::new();
    }
    let over = |transport: Transport| {
        let all = known().flatten().filter(|(over, _)| *over == transport);
        let count = all.map(|(_, count)| u64::from(count)).sum();
        (transport.uri_token().to_owned(), count)
    };
    Transport::ALL.map(over).into()
}

impl Refused {
    /// The last so many.
    fn refusals(&self, most: usize) -> Vec<Refusal> {
        let older = self.last.len().saturating_sub(most);
        let last = self.last.iter().skip(older);
        let one = |reject: &crate::proxy::Reject| Refusal {
            unix: reject.unix_micros as f64 / 1e6,
            source: reject.source.ip().to_string(),
            method: reject.method.clone(),
            user: reject.user.clone(),
            target: reject.target.clone(),
            status: reject.status,
            reason: reject.reason.to_owned(),
        };
        last.map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::WatchedPeer;
    use crate::time::Duration;

    fn cluster() -> Cluster {
        let node = |name: &str, ip: &str| KnownNode {
            name: name.to_owned(),
            ..KnownNode::at(ip.parse().unwrap(), "edge")
        };
        Cluster {
            role: "edge",
            name: "edge.example.com".to_owned(),
            addresses: vec!["192.0.2.11".to_owned()],
            nodes: vec![node("e2", "192.0.2.12"), node("e3", "192.0.2.13")],
            pages: [("e3", "http://a/"), ("192.0.2.10", "http://b/")]
                .map(|(node, url)| (node.to_owned(), url.to_owned()))
                .to_vec(),
        }
    }

    fn watched(addr: &str, is_up: bool, keepalives: KeepaliveRole) -> WatchedPeer {
        WatchedPeer {
            transport: Transport::Udp,
            addr: addr.parse().unwrap(),
            keepalives,
            is_up,
            silent_for: Duration::from_millis(1_500),
        }
    }

    #[test]
    fn a_neighbour_is_what_any_shard_knows_of_it() {
        let home = "192.0.2.10:5060".parse().unwrap();
        let first = PeerReport {
            watched: vec![watched("192.0.2.12:5060", false, KeepaliveRole::Ours)],
            failed: vec![(Transport::Udp, "192.0.2.12:5060".parse().unwrap())],
            homes: vec![(Transport::Udp, home)],
        };
        let second = PeerReport {
            watched: vec![
                watched("192.0.2.10:5060", true, KeepaliveRole::Theirs),
                watched("192.0.2.12:16000", false, KeepaliveRole::Ours),
                // A home that no list names.
                watched("192.0.2.20:5061", true, KeepaliveRole::Ours),
            ],
            ..PeerReport::default()
        };
        let reports = [first, second];
        let nodes = known(&cluster(), &reports);
        let seen: Vec<_> = nodes
            .iter()
            .map(|node| neighbour(node, &cluster(), &reports))
            .collect();
        let words: Vec<_> = seen
            .iter()
            .map(|it| (&*it.name, &*it.kind, &*it.state, it.asks, it.is_asked))
            .collect();
        assert_eq!(
            words,
            [
                ("192.0.2.10", "home", "up", false, true),
                ("192.0.2.20", "home", "up", true, false),
                ("e2", "edge", "down", true, false),
                ("e3", "edge", "unknown", false, false),
            ]
        );
        assert_eq!((seen[2].silent_ms, seen[3].silent_ms), (Some(1_500), None));
        let pages: Vec<_> = seen.iter().map(|it| it.page.as_deref()).collect();
        assert_eq!(pages, [Some("http://b/"), None, None, Some("http://a/")]);
    }

    #[test]
    fn what_two_shards_tell_of_one_node_is_told_once_and_by_its_name() {
        let told = |unix, peer: Option<&str>| Told {
            unix,
            is_bad: true,
            peer: peer.map(|peer| peer.parse().unwrap()),
            text: "is down over udp".to_owned(),
        };
        let all = vec![
            told(9, None),
            told(7, Some("192.0.2.12:5060")),
            told(8, Some("192.0.2.10:5060")),
            told(7, Some("192.0.2.12:5060")),
        ];
        let texts: Vec<_> = events(all, &cluster().nodes)
            .into_iter()
            .map(|event| (event.unix, event.text))
            .collect();
        assert_eq!(
            texts,
            [
                (7, "e2 (192.0.2.12:5060) is down over udp".to_owned()),
                (8, "192.0.2.10:5060 is down over udp".to_owned()),
                (9, "is down over udp".to_owned()),
            ]
        );
    }
}
