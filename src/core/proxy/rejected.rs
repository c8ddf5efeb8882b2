//! What was refused here and why, for an operator who is asked "why can I not
//! call?": how often by reason, and the last of them one by one.
//!
//! A refusal is an answer of our own from 400 on, one that goes unsaid as well (to
//! a datagram that may be forged). A challenge is none, since it asks; credentials
//! that were wrong are. What others answer is theirs, and counted where they are.
//!
//! A ring of entries of one size, made with the first refusal: nothing is allocated
//! for a message, and who floods us overwrites his own entries.

use std::net::{IpAddr, SocketAddr};

use super::{Reply, Request, Turn};
use crate::limits;
use crate::scan::via::Via;
use crate::scan::{Method, Name, StartLine};
use crate::time::{Instant, Wall};
use crate::uri::{Uri, host_ip, write_aor};

/// The refusals of one shard.
#[derive(Debug, Default)]
pub(crate) struct Rejected {
    ring: Vec<Entry>,
    /// Where the next one goes.
    next: usize,
    reasons: Vec<Reason>,
    /// Room for an address of record while it is cut to its length.
    text: Vec<u8>,
}

/// How often something was refused for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The status.
    pub status: u16,
    /// The reason phrase.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
}

/// One refusal, to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// When, in microseconds since 1970.
    pub unix_micros: u64,
    /// The address that the request came from, as far as we or an edge of ours
    /// saw it; port 0: not known.
    pub source: SocketAddr,
    /// The method.
    pub method: String,
    /// Who asked: the address of record in the To of a REGISTER, in the From of
    /// anything else, `user@domain`.
    pub user: String,
    /// Who was asked for: that in the To; empty for a REGISTER.
    pub target: String,
    /// What it was answered.
    pub status: u16,
    /// Why.
    pub reason: &'static str,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Instant,
    source: SocketAddr,
    method: Text<{ limits::REJECT_METHOD_MAX }>,
    user: Text<{ limits::REJECT_USER_MAX }>,
    target: Text<{ limits::REJECT_USER_MAX }>,
    status: u16,
    reason: &'static str,
}

/// The beginning of a text.
#[derive(Clone, Copy, Debug)]
struct Text<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Text<N> {
    fn of(text: &[u8]) -> Self {
        let len = text.len().min(N);
        let mut bytes = [0; N];
        bytes[..len].copy_from_slice(&text[..len]);
        let len = u8::try_from(len).unwrap_or(u8::MAX);
        Self { bytes, len }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn words(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// Whether it is the text, or its beginning where it is longer than an entry keeps.
    fn is(&self, text: &[u8]) -> bool {
        self.bytes() == text.get(..N).unwrap_or(text)
    }
}

impl Rejected {
    fn add(&mut self, entry: Entry) {
        let (status, reason) = (entry.status, entry.reason);
        let is_it = |known: &Reason| (known.status, known.reason) == (status, reason);
        match self.reasons.iter().position(is_it) {
            Some(index) => self.reasons[index].count += 1,
            None if self.reasons.len() >= limits::REJECT_REASONS_MAX => {}
            None => self.reasons.push(Reason {
                status,
                reason,
                count: 1,
            }),
        }
        if self.ring.is_empty() {
            self.ring.reserve_exact(limits::REJECTS_KEPT);
        }
        match self.ring.get_mut(self.next) {
            Some(oldest) => *oldest = entry,
            None => self.ring.push(entry),
        }
        self.next = (self.next + 1) % limits::REJECTS_KEPT;
    }

    /// Counts by reason, in the order of their first occurrence.
    #[must_use]
    pub(crate) fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// The last ones, the oldest first.
    pub(crate) fn last(&self, wall: Wall) -> impl Iterator<Item = Reject> {
        self.in_order().map(move |entry| entry.words(wall))
    }

    /// Those that concern a URI's user, the oldest first.
    pub(crate) fn concerning(
        &self,
        wall: Wall,
        bytes: &[u8],
        uri: &Uri,
    ) -> impl Iterator<Item = Reject> {
        let mut aor = Vec::new();
        write_aor_of(bytes, Some(*uri), &mut aor);
        let all = self
            .in_order()
            .filter(move |entry| !aor.is_empty() && (entry.user.is(&aor) || entry.target.is(&aor)));
        all.map(move |entry| entry.words(wall))
    }

    fn in_order(&self) -> impl Iterator<Item = &Entry> {
        let (newer, older) = self.ring.split_at(self.next.min(self.ring.len()));
        older.iter().chain(newer)
    }
}

impl Entry {
    fn words(&self, wall: Wall) -> Reject {
        Reject {
            unix_micros: wall.unix_at_zero * 1_000_000 + self.at.as_micros(),
            source: self.source,
            method: self.method.words(),
            user: self.user.words(),
            target: self.target.words(),
            status: self.status,
            reason: self.reason,
        }
    }
}

impl Reject {
    /// All of it but the time, as a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self {
            method,
            status,
            reason,
            ..
        } = self;
        let source = match self.source.port() {
            0 => self.source.ip().to_string(),
            _ => self.source.to_string(),
        };
        let named = |aor: &str| match aor {
            "" => "nobody".to_owned(),
            aor => aor.to_owned(),
        };
        let user = named(&self.user);
        if method == "REGISTER" {
            return format!("{method} of {user} from {source}: {status} {reason}");
        }
        let target = named(&self.target);
        format!("{method} from {user} to {target}, from {source}: {status} {reason}")
    }
}

impl Request<'_> {
    /// The address that the element before us had the request from, as it wrote
    /// into the Via below its own.
    #[must_use]
    pub(crate) fn sender_below(&self) -> Option<IpAddr> {
        let value = self.message.values(self.bytes, Name::Via).nth(1)?;
        let via = Via::parse(self.bytes, value).ok()?;
        match via.received {
            Some(received) => host_ip(received.of(self.bytes)),
            None => via.ip,
        }
    }
}

impl Rejected {
    /// Takes down that a request is refused, if it is.
    pub(super) fn remember(&mut self, turn: &mut Turn<'_>, request: &Request<'_>, reply: Reply) {
        let is_challenge = matches!(
            (reply.status, reply.reason),
            (401, "Unauthorized") | (407, "Proxy Authentication Required")
        );
        if reply.status < 400 || is_challenge {
            return;
        }
        let (bytes, message) = (request.bytes, request.message);
        let mut source = request.ingress.source;
        if request.ingress.principal.is_cluster_node()
            && let Some(below) = request.sender_below()
        {
            source = SocketAddr::new(below, 0);
        }
        let registers = message.method() == Method::Register;
        let (to, from) = (message.to_uri(bytes), message.uri_of_from(bytes));
        let text = &mut self.text;
        write_aor_of(bytes, if registers { to } else { from }, text);
        let user = Text::of(text);
        write_aor_of(bytes, to.filter(|_| !registers), text);
        let target = Text::of(text);
        let method = match message.start() {
            Some(StartLine::Request { method_token, .. }) => method_token.of(bytes),
            Some(StartLine::Response { .. }) | None => b"",
        };
        self.add(Entry {
            at: turn.now,
            source,
            method: Text::of(method),
            user,
            target,
            status: reply.status,
            reason: reply.reason,
        });
        turn.net.counters.rejected += 1;
    }
}

/// Writes `user@domain` in place of what is there; nothing where there is no user.
fn write_aor_of(bytes: &[u8], uri: Option<Uri>, out: &mut Vec<u8>) {
    out.clear();
    let Some((user, uri)) = uri.and_then(|uri| Some((uri.user?, uri))) else {
        return;
    };
    write_aor(user.of(bytes), uri.host.of(bytes), out);
}

const _: () = assert!(
    limits::REJECT_USER_MAX <= u8::MAX as usize,
    "lengths in the ring are one byte"
);
const _: () = assert!(
    limits::REJECT_METHOD_MAX <= limits::REJECT_USER_MAX,
    "and this one"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn entry(seconds: u64, user: &str, reason: &'static str) -> Entry {
        Entry {
            at: Instant::ZERO + Duration::from_secs(seconds),
            source: "192.0.2.1:5060".parse().unwrap(),
            method: Text::of(b"INVITE"),
            user: Text::of(user.as_bytes()),
            target: Text::of(b"ann@example.com"),
            status: 403,
            reason,
        }
    }

    const WALL: Wall = Wall { unix_at_zero: 100 };

    #[test]
    fn the_last_thousand_are_kept_in_order_and_all_are_counted() {
        let mut rejected = Rejected::default();
        let kept = limits::REJECTS_KEPT;
        for n in 0..kept + 10 {
            let reason = if n % 2 == 0 { "Even" } else { "Odd" };
            rejected.add(entry(n as u64, &n.to_string(), reason));
        }
        let last: Vec<_> = rejected.last(WALL).collect();
        assert_eq!(last.len(), kept);
        assert_eq!(last[0].user, "10");
        assert_eq!(
            last[kept - 1].unix_micros,
            (100 + kept as u64 + 9) * 1_000_000
        );
        let counts: Vec<_> = rejected.reasons().iter().map(|it| it.count).collect();
        assert_eq!(counts, [kept as u64 / 2 + 5; 2]);
        assert_eq!(rejected.ring.capacity(), kept);
    }

    #[test]
    fn who_is_concerned_is_found_however_he_is_written() {
        let mut rejected = Rejected::default();
        let long = format!("{}@example.com", "x".repeat(200));
        for user in ["joe@example.com", "joe@example.org", &long] {
            rejected.add(entry(1, user, "No"));
        }
        let found = |text: &str| {
            let uri = Uri::of(text.as_bytes()).unwrap();
            rejected.concerning(WALL, text.as_bytes(), &uri).count()
        };
        assert_eq!(found("sip:%6aoe@EXAMPLE.com;x=y"), 1);
        assert_eq!(found("sip:ann@example.com"), 3);
        assert_eq!(found(&format!("sip:{long}")), 1);
        assert_eq!(found("sip:example.com"), 0);
        let first = rejected.last(WALL).next().unwrap();
        assert_eq!(
            first.sentence(),
            "INVITE from joe@example.com to ann@example.com, from 192.0.2.1:5060: 403 No"
        );
    }
}
