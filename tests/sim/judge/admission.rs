//! The admission law: nothing leaves for where whoever is behind it may not
//! reach, and nobody is told that it comes from somebody else.
//!
//! The judge knows who is who, whatever addresses say: it sees who sends. Told
//! of every request that somebody who is no node sends, it follows each request
//! that leaves a node back to there by its Vias.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use steadfast::time::{Duration, Instant};
use steadfast::trust::Strangers;

use super::Passage;
use crate::cast::{Cast, SOS, VICTIM, is_victim};
use crate::text::{IDENTITIES, Text, Via, uri_of, user_and_host};

/// What is granted is over by then.
const GRANTED: Duration = Duration::from_secs(130);
/// How the Call-IDs of those begin who come from elsewhere and mean no harm.
pub(crate) const VISIT: &str = "visit";
const OURS: &str = "example.com";

/// Where a request came in: the node, its sender's address, and the connection.
type Way = (IpAddr, SocketAddr, Option<u64>);

/// Who has sent what.
#[derive(Default)]
pub(crate) struct Admission {
    /// What came from outside, by the node it went to, and its topmost Via.
    origins: BTreeMap<(IpAddr, String), Vec<Origin>>,
    /// The users that are registered over a flow, and until when at most.
    flows: BTreeMap<Way, Vec<(String, Instant)>>,
    /// Whose tag it is, by Call-ID.
    tags: BTreeMap<(String, String), IpAddr>,
    /// Whose address somebody else has used with that tag: what is answered there
    /// comes to him.
    used: BTreeSet<(String, String, IpAddr)>,
    /// Who got a request with that tag in its From.
    met: BTreeSet<(String, String, IpAddr)>,
    /// Answers that set up a dialog: Call-ID, From tag and To tag.
    answered: BTreeSet<(String, String, String)>,
    /// Calls of which one side has named the victim as where it is.
    led: BTreeSet<String>,
    pub(crate) visits: BTreeMap<String, Visit>,
}

/// A call of somebody who is no subscriber, and may call all the same.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) edge: IpAddr,
    pub(crate) user: String,
    pub(crate) sent: Instant,
    pub(crate) reached: Option<Instant>,
}

/// A request as somebody outside has sent it.
#[derive(Clone, Debug)]
struct Origin {
    who: IpAddr,
    is_forged: bool,
    way: Way,
    uri: String,
    user: String,
    host: String,
    routes: Vec<String>,
    /// It answers a challenge.
    digest: bool,
}

impl Origin {
    /// A token behind the home in its Route leads past the services of the home,
    /// as does one that the sender's own edge has no part in.
    fn goes_past(&self, cast: &Cast) -> bool {
        let is_home = |route: &&String| route.contains("sip:example.com");
        let is_token = |route: &&String| route.contains("@edge.example.com");
        let home = self.routes.iter().rposition(|route| is_home(&route));
        let behind = home.map_or(&self.routes[..], |home| &self.routes[home..]);
        let most = usize::from(home.is_none() && cast.is_edge(self.way.0));
        behind.iter().filter(is_token).count() > most
    }
}

fn key(via: &Via<'_>, method: &str) -> String {
    format!("{} {} {method}", via.branch, via.sent_by)
}

fn law(holds: bool, name: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(name.to_owned()) }
}

/// All that stands for a tag behind an address.
fn tags(value: &str) -> Vec<&str> {
    let params = value.rsplit_once('>').map_or(value, |(_, params)| params);
    let tag = |param: &'_ str| {
        let (name, value) = param.split_once('=').unwrap_or((param, ""));
        name.trim()
            .eq_ignore_ascii_case("tag")
            .then_some(value.len())
    };
    let params = params.split(';').skip(1);
    let found = params.filter_map(|param| tag(param).map(|len| &param[param.len() - len..]));
    found.map(str::trim).collect()
}

fn tag<'a>(text: &'a Text, header: &str) -> Option<&'a str> {
    tags(text.first(header)?).first().copied()
}

/// What may set up a dialog.
fn opens(text: &Text) -> bool {
    matches!(text.method(), "INVITE" | "SUBSCRIBE" | "REFER")
}

impl Admission {
    /// Somebody who is no node sends something.
    pub(super) fn sent(&mut self, passage: &Passage<'_>, text: &Text) {
        let call = text.call_id().to_owned();
        let from = tag(text, "from").unwrap_or_default().to_owned();
        let who = passage.who;
        let names = |header: &&str| {
            let values = text.values(header);
            values.iter().any(|value| value.contains(VICTIM))
        };
        if ["contact", "record-route"].iter().any(names) {
            self.led.insert(call.clone());
        }
        if !text.is_request() {
            let Some(to) = tag(text, "to").map(str::to_owned) else {
                return;
            };
            self.tags.entry((call.clone(), to.clone())).or_insert(who);
            if opens(text) && (101..300).contains(&text.status()) {
                self.answered.insert((call, from, to));
            }
            return;
        }
        if passage.from.ip() != who {
            let used = (call.clone(), from.clone(), passage.from.ip());
            self.used.insert(used);
        }
        self.tags.entry((call.clone(), from)).or_insert(who);
        let Some(via) = text.via() else { return };
        let (user, host) = text.sender();
        let origin = Origin {
            who,
            is_forged: passage.from.ip() != who,
            way: (passage.to.ip(), passage.from, passage.conn),
            uri: text.uri().to_owned(),
            user: user.to_owned(),
            host: host.to_owned(),
            routes: text
                .values("route")
                .into_iter()
                .map(str::to_owned)
                .collect(),
            digest: text.first("proxy-authorization").is_some(),
        };
        if call.starts_with(VISIT) && text.method() == "INVITE" && tag(text, "to").is_none() {
            let user = if is_emergency(text.uri()) {
                SOS
            } else {
                user_and_host(text.uri()).0
            };
            self.visits.entry(call).or_insert_with(|| Visit {
                edge: passage.to.ip(),
                user: user.to_owned(),
                sent: passage.now,
                reached: None,
            });
        }
        let origin_key = (passage.to.ip(), key(&via, text.method()));
        self.origins.entry(origin_key).or_default().push(origin);
    }

    /// Something comes to somebody who is no node.
    pub(super) fn came(&mut self, passage: &Passage<'_>, text: &Text) {
        if text.method() == "INVITE"
            && text.is_request()
            && let Some(visit) = self.visits.get_mut(text.call_id())
        {
            visit.reached.get_or_insert(passage.now);
        }
    }

    /// A node sends something.
    pub(super) fn left(
        &mut self,
        cast: &Cast,
        passage: &Passage<'_>,
        text: &Text,
    ) -> Result<(), String> {
        let ends = !cast.is_node(passage.to.ip());
        let stays = |(name, _): &&(String, String)| {
            IDENTITIES[1..].contains(&&name[..]) || name == IDENTITIES[0] && !text.is_request()
        };
        if let Some((name, _)) = text.headers.iter().find(stays) {
            return Err(format!("a {name} that nobody of us wrote was passed on"));
        }
        if !text.is_request() {
            self.granted(passage, text);
            return Ok(());
        }
        self.check_place(cast, passage, text)?;
        if text.values("via").len() < 2 {
            // A CANCEL, an ACK or a ping of the node's own.
            return Ok(());
        }
        let origins = self.origins_of(cast, text);
        if origins.is_empty() && text.method() == "ACK" {
            // Another node has made it.
            return Ok(());
        }
        self.asserted(cast, text, &origins, ends)?;
        if !ends || text.method() == "CANCEL" {
            return Ok(());
        }
        let all = tags(text.first("to").unwrap_or_default());
        let is_tag = |tag: &&str| !tag.is_empty() && !tag.contains('"');
        law(
            all.len() < 2 && all.iter().all(is_tag),
            "a tag that is none came to a phone",
        )?;
        let call = text.call_id().to_owned();
        let from = tag(text, "from").unwrap_or_default().to_owned();
        self.met
            .insert((call.clone(), from.clone(), passage.to.ip()));
        if is_victim(passage.to.ip()) || cast.is_attacker(passage.to.ip()) {
            // Whoever calls outside has shown there already who he is, and what comes
            // to attackers harms nobody.
            return Ok(());
        }
        let names = (&call[..], &from[..], all.first().copied());
        let within = self.within(cast, names, passage.to.ip(), &origins);
        let vias = text.values("via");
        let mut nodes = vias.iter().filter_map(|via| Via::read(via)?.addr());
        let by_home = nodes.any(|addr| cast.is_home(addr.ip()));
        if cast.is_foreign && by_home && !all.is_empty() {
            // Such a home marks no dialogs: whatever has a To tag goes by its Route.
            return Ok(());
        }
        let is_past = |origin: &Origin| origin.goes_past(cast);
        if !by_home || origins.iter().all(is_past) {
            within
        } else {
            // A tag that is of no dialog is as good as none.
            within.or_else(|_| self.begins(cast, text, &origins))
        }
    }

    /// A node opens a connection.
    pub(super) fn opens(cast: &Cast, to: SocketAddr) -> Result<(), String> {
        law(
            cast.is_open(to),
            "a connection was opened to where nothing may be sent",
        )
    }

    /// Where a request may go at all.
    fn check_place(&self, cast: &Cast, passage: &Passage<'_>, text: &Text) -> Result<(), String> {
        law(
            passage.conn.is_some() || cast.is_open(passage.to),
            "a request was sent to where nothing may be sent",
        )?;
        if !is_victim(passage.to.ip()) {
            return Ok(());
        }
        law(
            cast.is_home(passage.from.ip()),
            "an edge sent a request to somebody outside",
        )?;
        let origins = self.origins_of(cast, text);
        let calls_out = cast.calls_out
            && origins
                .iter()
                .any(|origin| !self.proven(cast, origin, true, text).is_empty());
        law(
            calls_out || self.led.contains(text.call_id()) && tag(text, "to").is_some(),
            "a request was sent outside for somebody who may not call there",
        )
    }

    /// Who has sent the request that a node sends on, by the Vias below its own.
    fn origins_of(&self, cast: &Cast, text: &Text) -> Vec<Origin> {
        let vias = text.values("via");
        let vias: Vec<Via<'_>> = vias.iter().filter_map(|via| Via::read(via)).collect();
        let pairs = vias.windows(2);
        let found = pairs.filter_map(|pair| {
            let node = pair[0].addr()?.ip();
            let origin_key = (node, key(&pair[1], text.method()));
            self.origins.get(&origin_key).filter(|_| cast.is_node(node))
        });
        found.flatten().cloned().collect()
    }

    /// The users that the sender of a request has shown to be. `begins`: it is an
    /// INVITE or MESSAGE that begins something, for which a flow over UDP may be
    /// no proof.
    fn proven(&self, cast: &Cast, origin: &Origin, begins: bool, text: &Text) -> Vec<String> {
        let mut users = Vec::new();
        let (_, _, conn) = origin.way;
        let is_call = begins && matches!(text.method(), "INVITE" | "MESSAGE");
        if conn.is_some() || !cast.asks_udp || !is_call {
            let registered = self.flows.get(&origin.way).into_iter().flatten();
            users.extend(registered.map(|(user, _)| user.clone()));
        }
        if origin.digest && !origin.is_forged {
            let phones = cast.phones.iter().map(|phone| &phone.user);
            let attackers = cast
                .attackers
                .iter()
                .filter_map(|attacker| attacker.user.as_ref());
            let owned = phones.chain(attackers);
            users.extend(owned.filter(|user| cast.owns(origin.who, user)).cloned());
        }
        users
    }

    /// A REGISTER was granted: who came by that way is known from then on.
    fn granted(&mut self, passage: &Passage<'_>, text: &Text) {
        let Some(via) = text.via() else { return };
        if text.method() != "REGISTER" || !(200..300).contains(&text.status()) {
            return;
        }
        let origin_key = (passage.from.ip(), key(&via, "REGISTER"));
        let user = user_and_host(uri_of(text.first("to").unwrap_or_default())).0;
        let until = passage.now + GRANTED;
        for origin in self.origins.get(&origin_key).into_iter().flatten() {
            let users = self.flows.entry(origin.way).or_default();
            users.retain(|(_, until)| *until > passage.now);
            users.push((user.to_owned(), until));
        }
    }

    /// An asserted identity is of whoever sent the request (RFC 3325).
    fn asserted(
        &self,
        cast: &Cast,
        text: &Text,
        origins: &[Origin],
        ends: bool,
    ) -> Result<(), String> {
        let lines = text.headers.iter();
        let all: Vec<&str> = lines
            .filter(|(name, _)| name == IDENTITIES[0])
            .map(|(_, value)| &value[..])
            .collect();
        let Some(first) = all.first() else {
            return Ok(());
        };
        let privacy = text.first("privacy").unwrap_or_default();
        law(
            !ends || !privacy.split([';', ',']).any(|token| token.trim() == "id"),
            "an identity that was to be kept private came to a phone",
        )?;
        let begins = tag(text, "to").is_none();
        let fits = |origin: &Origin| {
            let mut users = self.proven(cast, origin, begins, text).into_iter();
            users.any(|user| *first == format!("<sip:{user}@{OURS}>"))
        };
        law(
            all.len() == 1 && origins.iter().any(fits),
            "an identity was asserted that nobody has proven",
        )
    }

    /// A request that begins something comes from a subscriber who is who he says,
    /// or from another domain, or calls for help.
    fn begins(&self, cast: &Cast, text: &Text, origins: &[Origin]) -> Result<(), String> {
        let may = |origin: &Origin| {
            let users = self.proven(cast, origin, true, text);
            // A home of somebody else's asks nobody of another domain for a password.
            let gets_there =
                || cast.strangers == Strangers::Challenge || self.flows.contains_key(&origin.way);
            let is_invited = cast.is_home(origin.way.0)
                || cast.strangers == Strangers::Answer
                || cast.is_foreign && gets_there();
            if is_emergency(&origin.uri) {
                true
            } else if origin.host == OURS {
                users.contains(&origin.user)
            } else {
                !users.is_empty() || is_invited
            }
        };
        law(
            origins.iter().any(may),
            "a request reached a phone from somebody who has not shown who he is",
        )
    }

    /// A request inside a dialog comes from the other side of it.
    fn within(
        &self,
        cast: &Cast,
        (call, from, to): (&str, &str, Option<&str>),
        phone: IpAddr,
        origins: &[Origin],
    ) -> Result<(), String> {
        let to = to.ok_or("a request that begins something came past the home")?;
        // Attackers share what they know: a mark that one of them has they all have.
        let all = |who: &IpAddr| {
            if cast.is_attacker(*who) {
                cast.attackers[0].addr.ip()
            } else {
                *who
            }
        };
        let owner = |tag: &str| self.tags.get(&(call.to_owned(), tag.to_owned()));
        let used = (call.to_owned(), to.to_owned(), phone);
        law(
            owner(to).map(all) == Some(all(&phone)) || self.used.contains(&used),
            "a request came to a phone that its dialog is not of",
        )?;
        let answered = |from: &str, to: &str| {
            let three = (call.to_owned(), from.to_owned(), to.to_owned());
            self.answered.contains(&three)
        };
        let is_side = |origin: &Origin| {
            let has_heard = |who| self.met.contains(&(call.to_owned(), to.to_owned(), who));
            let mut sides = vec![origin.who];
            if cast.is_attacker(origin.who) {
                sides.extend(cast.attackers.iter().map(|attacker| attacker.addr.ip()));
            }
            let is_up = answered(from, to) || answered(to, from);
            is_up && owner(from).map(all) == Some(all(&origin.who))
                || sides.into_iter().any(has_heard)
        };
        law(
            origins.iter().any(is_side),
            "a request came to a phone from outside of its dialog",
        )
    }
}

fn is_emergency(uri: &str) -> bool {
    uri.starts_with("urn:service:sos")
}
