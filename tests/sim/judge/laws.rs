//! Laws about the messages that a proxy sends, each told from the wire alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use steadfast::time::{Duration, Instant};

use super::Passage;
use super::admission::VISIT;
use super::promises::LIFE;
use crate::attackers::ATTACKER_CALL_ID;
use crate::cast::Cast;
use crate::dice::fnv;
use crate::text::{Text, Via, addr_of, param, uri_of};

/// A node in one of its lives.
type Node = (IpAddr, u32);

/// What every proxy has received and sent.
#[derive(Default)]
pub(crate) struct Laws {
    received: BTreeMap<(Node, String), Received>,
    left: BTreeMap<(String, String), Left>,
    /// INVITE branches that were refused.
    refused: BTreeSet<(Node, String)>,
    /// Branches that nobody can have taken, as their node knows: an ICMP error came that quotes
    /// the only copy, or a home refused it for a moment.
    untaken: BTreeSet<(Node, String)>,
    /// Connections that were up.
    pub(super) were_up: BTreeSet<u64>,
    /// Requests of attackers, by Call-ID and CSeq number: whoever is no node of ours acknowledges
    /// their refusals, and his ACK names no attacker.
    evil: BTreeSet<(String, String)>,
    /// Calls whose BYE went to one place over two connections.
    pub(super) again: BTreeSet<String>,
}

/// A request that a proxy received.
struct Received {
    /// The ways it came, a retransmission perhaps by another one.
    ways: Vec<(SocketAddr, Option<u64>)>,
    via_port: u16,
    rport: bool,
    residue: u64,
    forwards: u32,
    vias: usize,
    first: Instant,
    from_edge: bool,
    /// A REGISTER with a token in its Route.
    refresh: bool,
    /// Where it was sent to, with which Request-URI and Route, under which branch.
    sent: BTreeMap<(SocketAddr, Option<u64>, String), String>,
}

/// A request that a proxy sent.
struct Left {
    node: Node,
    to: SocketAddr,
    conn: Option<u64>,
    bytes: u64,
    first: Instant,
    count: u32,
}

fn key(via: &Via<'_>, method: &str) -> String {
    format!("{} {} {method}", via.branch, via.sent_by)
}

fn forwards(text: &Text) -> u32 {
    let value = text.first("max-forwards").and_then(|v| v.parse().ok());
    value.unwrap_or(71)
}

/// What may not differ under one branch. An ACK that came by two ways has two
/// Vias below ours and is one ACK all the same (P-36): two shards of the home,
/// of which each has its own way to an edge, send the copies of one that the
/// edge sent twice.
fn octets(passage: &Passage<'_>, text: &Text) -> u64 {
    if text.method() != "ACK" {
        return fnv(0, passage.bytes);
    }
    let headers = text.headers.iter().filter(|(name, _)| name != "via");
    let start = fnv(fnv(0, text.uri().as_bytes()), &text.body);
    headers.fold(start, |hash, (name, value)| {
        fnv(fnv(hash, name.as_bytes()), value.as_bytes())
    })
}

fn law(holds: bool, name: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(name.to_owned()) }
}

impl Laws {
    /// A proxy receives something.
    pub(super) fn came(&mut self, cast: &Cast, passage: &Passage<'_>, text: &Text) {
        let node = (passage.to.ip(), passage.life);
        let Some(via) = text.via() else { return };
        let method = text.method();
        if !text.is_request() {
            if method == "INVITE" && text.status() >= 300 {
                self.refused.insert((node, via.branch.to_owned()));
            }
            if text.status() == 503 && cast.is_home(passage.from.ip()) {
                self.untaken.insert((node, via.branch.to_owned()));
            }
            return;
        }
        if is_evil(text) {
            self.evil.insert(turn_of(text));
        }
        let way = (passage.from, passage.conn);
        let route = text.values("route").first().map(|route| uri_of(route));
        let refresh = route.is_some_and(|r| r.contains("@edge.example.com"));
        let received = Received {
            ways: Vec::new(),
            via_port: via.addr().map_or(5060, |addr| addr.port()),
            rport: via.rport,
            residue: fnv(0, &text.residue()),
            forwards: forwards(text),
            vias: text.values("via").len(),
            first: passage.local,
            from_edge: cast.is_edge(passage.from.ip()),
            refresh: refresh && method == "REGISTER",
            sent: BTreeMap::new(),
        };
        let entry = self.received.entry((node, key(&via, method)));
        let received = entry.or_insert(received);
        if !received.ways.contains(&way) {
            received.ways.push(way);
        }
    }

    /// A proxy hears of a datagram of its own, whose beginning this is, that it did not arrive.
    pub(super) fn bounced(&mut self, node: Node, quoted: &str) {
        let Some(branch) = param(quoted, "branch").and_then(|value| value.lines().next()) else {
            return;
        };
        let method = quoted.split(' ').next().unwrap_or_default();
        let branch = branch.to_owned();
        let copies = self.left.get(&(branch.clone(), method.to_owned()));
        if copies.is_some_and(|left| left.count == 1) {
            self.untaken.insert((node, branch));
        }
    }

    /// A proxy sends a request.
    pub(super) fn request(
        &mut self,
        cast: &Cast,
        passage: &Passage<'_>,
        text: &Text,
    ) -> Result<(), String> {
        let node = (passage.from.ip(), passage.life);
        let vias = text.values("via");
        let Some(via) = text.via() else {
            return Err("a request left without a Via that can be read".to_owned());
        };
        self.once(node, passage, &via, text)?;
        law(
            via.addr().map(|addr| addr.ip()) == Some(passage.from.ip()),
            "a Via names another node than its sender",
        )?;
        let is_answer_to_evil = text.method() == "ACK" && self.evil.contains(&turn_of(text));
        place(cast, passage, text, is_answer_to_evil || is_evil(text))?;
        let Some(second) = vias.get(1) else {
            return self.own(node, passage, &via, text.method());
        };
        let before = Via::read(second).ok_or("the Via below ours cannot be read")?;
        let found = (node, key(&before, text.method()));
        let Some(received) = self.received.get_mut(&found) else {
            return Err("a request left that never came".to_owned());
        };
        law(
            vias.len() == received.vias + 1,
            "a proxied request does not have exactly one Via more",
        )?;
        law(
            received.residue == fnv(0, &text.residue()),
            "untouched octets were touched",
        )?;
        law(
            forwards(text) + 1 == received.forwards,
            "Max-Forwards did not go down by one",
        )?;
        let relayed = received.from_edge && cast.is_edge(passage.to.ip());
        law(
            !(relayed && cast.is_edge(node.0)),
            "a request was relayed from edge to edge twice",
        )?;
        let route = text.values("route").first().copied().unwrap_or_default();
        let target = format!("{} {route}", text.uri());
        let to = (passage.to, passage.conn, target);
        let branch = via.branch.to_owned();
        let mut others = received.sent.keys();
        let is_further = |(addr, conn, target): &(SocketAddr, Option<u64>, String)| {
            *addr == to.0 && *target == to.2 && *conn != to.1
        };
        if text.method() == "BYE" && others.any(is_further) {
            self.again.insert(text.call_id().to_owned());
        }
        // A copy that a phone sent when it had another port is for another shard.
        let ports = |way: &(SocketAddr, Option<u64>)| (way.1.is_none()).then(|| way.0.port());
        let mut ports: Vec<u16> = received.ways.iter().filter_map(ports).collect();
        ports.sort_unstable();
        ports.dedup();
        let is_moved = cast.shards > 1 && ports.len() > 1;
        // Of two homes the first is asked again when the second is gone too.
        let is_asked_again = cast.homes.len() > 1 && cast.is_home(passage.to.ip());
        // A copy that comes when its transaction is over begins another one (RFC 3261
        // §17.2, RFC 6026 §7.1): a caller that has moved hears no answer, and goes on.
        let is_over = passage.local.since(received.first) >= LIFE;
        let is_excused = is_evil(text) || is_moved || is_asked_again || is_over;
        self.at_one_place(&found, to, branch, is_excused)
    }

    /// What was received goes to one place under one branch, but where the one before cannot have
    /// been taken there.
    fn at_one_place(
        &mut self,
        found: &(Node, String),
        to: (SocketAddr, Option<u64>, String),
        branch: String,
        is_excused: bool,
    ) -> Result<(), String> {
        let Some(received) = self.received.get_mut(found) else {
            return Ok(());
        };
        // Over a connection it goes once more where the one before was lost with it, and no
        // third time: what was never up took nothing along.
        let is_new = received.sent.get(&to) != Some(&branch);
        let taken_along = received.sent.keys().filter(|(addr, conn, target)| {
            (*addr, target) == (to.0, &to.2)
                && *conn != to.1
                && conn.is_some_and(|conn| self.were_up.contains(&conn))
        });
        law(
            !is_new || taken_along.count() < 2 || is_excused,
            "a request went to the same place over three connections",
        )?;
        let known = received.sent.entry(to).or_insert_with(|| branch.clone());
        // The one before has reached nobody: this is the only one that can be served.
        if self.untaken.contains(&(found.0, known.clone())) {
            known.clone_from(&branch);
        }
        law(
            *known == branch || is_excused,
            "a request went to the same place under two branches",
        )
    }

    /// Once per branch and destination, but for its own copies.
    fn once(
        &mut self,
        node: Node,
        passage: &Passage<'_>,
        via: &Via<'_>,
        text: &Text,
    ) -> Result<(), String> {
        let method = text.method();
        // Over a stream these two go again when a connection took them along.
        let name = match (method, passage.conn) {
            ("ACK" | "CANCEL", Some(conn)) => format!("{method} {} {conn}", passage.to),
            ("ACK", None) => format!("ACK {}", passage.to),
            _ => method.to_owned(),
        };
        let left = Left {
            node,
            to: passage.to,
            conn: passage.conn,
            bytes: octets(passage, text),
            first: passage.local,
            count: 0,
        };
        let (bytes, now) = (left.bytes, passage.local);
        let entry = self.left.entry((via.branch.to_owned(), name));
        let left = entry.or_insert(left);
        left.count += 1;
        law(left.node == node, "two nodes use one branch")?;
        law(left.bytes == bytes, "one branch has two different requests")?;
        law(
            left.to == passage.to && left.conn == passage.conn,
            "one branch went to two places",
        )?;
        if method == "ACK" {
            return Ok(());
        }
        law(
            left.count <= 11 && (left.count == 1 || passage.conn.is_none()),
            "a request was repeated too often",
        )?;
        law(
            now.since(left.first) < Duration::from_secs(33),
            "a request was repeated after its transaction's end",
        )
    }

    /// What a proxy makes itself: CANCEL, the ACK of a refusal, a ping.
    fn own(
        &self,
        node: Node,
        passage: &Passage<'_>,
        via: &Via<'_>,
        method: &str,
    ) -> Result<(), String> {
        if method == "OPTIONS" {
            return Ok(());
        }
        let invite = (via.branch.to_owned(), "INVITE".to_owned());
        let Some(left) = self.left.get(&invite) else {
            return Err(format!("a {method} left for an INVITE that never did"));
        };
        // Over a stream it may take the connection that replaced a lost one.
        let is_there =
            left.to == passage.to || passage.conn.is_some() && left.to.ip() == passage.to.ip();
        law(is_there, "an ACK or CANCEL does not follow its INVITE")?;
        law(
            method == "CANCEL" || self.refused.contains(&(node, via.branch.to_owned())),
            "an ACK left for an answer that never came",
        )
    }

    /// A proxy sends a response. `known`: what a phone answered there.
    pub(super) fn response(
        &self,
        cast: &Cast,
        passage: &Passage<'_>,
        text: &Text,
        known: &[u64],
    ) -> Result<(), String> {
        let node = (passage.from.ip(), passage.life);
        let (status, method) = (text.status(), text.method());
        let via = text.via().ok_or("a response left without a Via")?;
        let Some(received) = self.received.get(&(node, key(&via, method))) else {
            return Err("a response left for a request that never came".to_owned());
        };
        let fits = |way: &(SocketAddr, Option<u64>)| {
            let (from, conn) = *way;
            let port = if received.rport {
                from.port()
            } else {
                received.via_port
            };
            match (conn, passage.conn) {
                (None, None) => passage.to == SocketAddr::new(from.ip(), port),
                (Some(one), Some(other)) => one == other || passage.to.ip() == from.ip(),
                _ => false,
            }
        };
        law(
            received.ways.iter().any(fits),
            "a response went elsewhere than its Via says",
        )?;
        let phone = cast.is_phone(passage.to.ip());
        law(
            !(phone && status == 430) || is_evil(text),
            "a 430 went to a phone",
        )?;
        law(
            method == "INVITE" || status != 408,
            "a request other than INVITE was answered 408",
        )?;
        let early = passage.local.since(received.first) < Duration::from_millis(3_400);
        law(
            !(status == 100 && method != "INVITE" && early && passage.conn.is_none()),
            "a 100 came too early",
        )?;
        let offers = text.first("outbound-proxy").is_some();
        law(
            !(received.refresh && offers),
            "a refresh was answered with Outbound-Proxy",
        )?;
        let relayed =
            (200..300).contains(&status) && !matches!(method, "REGISTER" | "CANCEL" | "OPTIONS");
        law(
            !relayed || known.contains(&fnv(0, &text.residue())),
            "a 2xx is not the one that a phone sent",
        )
    }
}

/// Whether an attacker has sent the request, or begun its call.
fn is_evil(text: &Text) -> bool {
    let vias = text.values("via");
    [ATTACKER_CALL_ID, VISIT]
        .iter()
        .any(|own| text.call_id().starts_with(own))
        || vias
            .last()
            .is_some_and(|via| via.contains(ATTACKER_CALL_ID))
}

/// The Call-ID of a request, and its CSeq number.
fn turn_of(text: &Text) -> (String, String) {
    let cseq = text.first("cseq").unwrap_or_default();
    let number = cseq.split(' ').next().unwrap_or_default();
    (text.call_id().to_owned(), number.to_owned())
}

/// Where requests of each kind of node may go at all.
fn place(cast: &Cast, passage: &Passage<'_>, text: &Text, is_evil: bool) -> Result<(), String> {
    let (from, to) = (passage.from.ip(), passage.to.ip());
    if cast.is_phone(to) {
        law(cast.is_edge(from), "a home sent a request to a phone")?;
        // What a node makes itself follows its INVITE; and what attackers have a phone
        // asked for in a dialog of theirs is their business.
        let is_own = text.values("via").len() == 1;
        // An attacker may say that his side of a dialog goes on at another's address.
        let is_for = |addr: SocketAddr| addr.ip() == to || cast.is_attacker(addr.ip());
        return law(
            is_own || is_evil || addr_of(text.uri()).is_some_and(is_for),
            "a request went to a phone that it was not for",
        );
    }
    let route = text.values("route").first().map(|route| uri_of(route));
    let cluster = route.is_some_and(|route| route.contains("edge.example.com"));
    law(
        !(cast.is_home(from) && cluster) || cast.is_edge(to),
        "a URI of the cluster was taken to a node that is no edge",
    )?;
    let maddr = route.and_then(|route| param(route, "maddr"));
    law(
        maddr.is_none_or(|maddr| to.to_string() == maddr) || !cast.is_home(from),
        "a Route with maddr was taken elsewhere",
    )
}
