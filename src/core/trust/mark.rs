//! The dialog mark: evidence that a request belongs to a dialog which we let
//! in, and that it goes on where that dialog leads.
//!
//! A To tag is in anybody's reach, and so is a Route set that names us; a MAC is
//! not. We write one into our own Record-Route URI, over the Call-ID, the tags
//! as far as they are known, and whoever follows behind us. It stands in the
//! route set of one side of the dialog only:
//!
//! - The called side finds in the request the mark that is good for what it
//!   will send. Its own tag is not known then.
//! - In the answers we put another mark in its place, as RFC 3261 §16.7-8
//!   allows, so that the calling side gets the one that is good for it.
//!
//! So neither side can use the mark of the other one, nor have a request go elsewhere than
//! the dialog leads. The MAC is also over the user part of our own value, which names a phone:
//! whoever has learned the token of another phone in a call cannot reach that phone with a
//! mark of his own. No state is kept for marks, and every node with the key verifies them.
//!
//! Of the URI that follows behind us, the MAC covers what decides where a request goes (scheme,
//! host and port, `maddr`, `transport`), and the user part where it is a Route
//! value, which is then a token. The far
//! side's Contact may take another user part within a dialog (target refresh,
//! RFC 3261 §12.2), but no other address without a new proof of who sends there.

mod param;
mod phone;
mod text;
mod turned;

use aes::Aes128Enc;
use data_encoding::BASE32_DNSSEC;
use serde::{Deserialize, Serialize};

use self::param::mark_of;
pub(crate) use self::param::{begin_param, write_param};
pub use self::phone::PhoneName;
use self::text::Text;
pub use self::turned::Turned;
use crate::edit::Edits;
use crate::grammar::find::{find, find_either};
use crate::scan::{Message, Name};
use crate::secret::cmac::{self, BLOCK, Cmac};
use crate::uri::own_params::MARK_LEN as TEXT_LEN;
use crate::uri::{RoutingParts, Uri};

/// Octets of the MAC: one character for its kind, and the base32 of these, are the text.
///
/// 56 bits suffice. Whoever guesses one can try it only by a request to a node, which
/// counts them by source and lets a few a second pass; it is good for one dialog, whose
/// Call-ID and tags he knows already, along the way that it has; and it can be tried
/// nowhere else, since nothing is encrypted under the key. A million guesses a second
/// find one in a thousand years.
const MAC_LEN: usize = 7;
/// Octets of the MAC in earlier versions, whose marks have 17 characters: dialogs that began
/// before an upgrade have such marks.
const MAC_LEN_BEFORE: usize = 10;
/// Keeps this use of the key apart from any other.
const CONTEXT: &[u8; 16] = b"steadfast dlg 01";

/// A mark as it stands in a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark([u8; TEXT_LEN]);

/// The side of the dialog that a mark is for, and the message it was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Made of a request, for the called side.
    Called,
    /// Made of an answer, for the calling side.
    Calling,
    /// Made of a request that an edge took from a phone, for the called side.
    CalledOut,
    /// Made of an answer to such a request, for the calling side.
    CallingOut,
}

impl Side {
    const fn letter(self) -> u8 {
        match self {
            Self::Called => b'q',
            Self::Calling => b's',
            Self::CalledOut => b'p',
            Self::CallingOut => b't',
        }
    }
}

/// The next hop behind us in the route set of the side that a mark is for: the text of its
/// URI.
#[derive(Clone, Copy, Debug)]
pub enum Next<'a> {
    /// The URI of a Route value.
    Route(&'a [u8]),
    /// The far side's Contact, or the Request-URI that was one.
    Target(&'a [u8]),
}

/// The parts of our own Record-Route value that its mark is over: they name a phone.
#[derive(Clone, Copy, Debug, Default)]
pub struct MarkedValue<'a> {
    /// The user part of the value: a token, or a flow token.
    pub user: &'a [u8],
    /// The flow token that stands beside a token.
    pub flow: &'a [u8],
}

impl<'a> MarkedValue<'a> {
    fn of(uri: &'a [u8]) -> Self {
        let RoutingParts { user, flow, .. } = RoutingParts::of(uri);
        Self { user, flow }
    }
}

impl<'a> Next<'a> {
    /// The next hop behind us for the side that a request goes to: the topmost Record-Route of the
    /// request, else its Contact.
    #[must_use]
    pub fn behind(bytes: &'a [u8], message: &Message) -> Option<Self> {
        match message.values(bytes, Name::RecordRoute).next() {
            Some(value) => Some(Self::Route(uri_in(value.of(bytes))?)),
            None => contact(bytes, message),
        }
    }

    /// The URI.
    #[must_use]
    pub const fn uri(&self) -> &'a [u8] {
        match self {
            Self::Route(uri) | Self::Target(uri) => uri,
        }
    }
}

/// Which marks of its dialog a request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// It has a good mark.
    pub any: bool,
    /// It has a good mark that was made for the side of the phone which the edge serves (`Called`,
    /// `CallingOut`): the request is from that phone and goes on by its Route, not to the phone.
    pub leads_on: bool,
}

/// The keys of the marks: one makes them, all verify them.
#[derive(Clone)]
pub struct MarkKey {
    mint: Cmac<Aes128Enc>,
    older: Vec<Cmac<Aes128Enc>>,
}

impl std::fmt::Debug for MarkKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("MarkKey")
    }
}

/// What the MAC of a mark is over: the dialog as one side names it, our own value, and the next
/// hop.
struct MarkInput<'a> {
    call_id: &'a [u8],
    /// The tag of the side that the mark is for; `None` where it is not known.
    own_tag: Option<&'a [u8]>,
    peer_tag: &'a [u8],
    own: MarkedValue<'a>,
    next: Next<'a>,
}

impl MarkKey {
    /// The key that follows from the secret of the cluster or of the homes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self::ring(secret, &[])
    }

    /// The same, with keys of secrets that made marks before it: dialogs outlive the change of
    /// a secret.
    #[must_use]
    pub fn ring(secret: &[u8; 32], older: &[[u8; 32]]) -> Self {
        Self {
            mint: Self::key(secret),
            older: older.iter().map(Self::key).collect(),
        }
    }

    fn key(secret: &[u8; 32]) -> Cmac<Aes128Enc> {
        // The first half of the secret is the key of a MAC over the second half: the key of marks.
        let (first, second) = secret.split_at(16);
        let fixed = |half: &[u8]| {
            let mut key = [0; 16];
            key.copy_from_slice(half);
            key
        };
        let derive = Cmac::<Aes128Enc>::new(&fixed(first).into());
        let derived = derive.of(&[&CONTEXT[..], second].concat());
        Cmac::new(&derived.into())
    }

    fn mac(key: &Cmac<Aes128Enc>, side: Side, input: &MarkInput<'_>) -> [u8; BLOCK] {
        let mut text = Text::of(key);
        text.put(&[side.letter()]);
        text.field(input.call_id);
        text.field(input.peer_tag);
        text.field(input.own_tag.unwrap_or_default());
        text.field(input.own.user);
        text.field(input.own.flow);
        let (kind, uri) = match input.next {
            Next::Route(uri) => (b'r', uri),
            Next::Target(uri) => (b't', uri),
        };
        let way = RoutingParts::of(uri);
        let kind = if way.is_secure {
            kind.to_ascii_uppercase()
        } else {
            kind
        };
        text.put(&[kind]);
        text.caseless(way.host);
        text.field(way.maddr);
        if !way.transport.is_empty() {
            text.caseless(way.transport);
        }
        if kind == b'r' {
            text.field(way.user);
        }
        text.end()
    }

    fn mark(&self, side: Side, input: &MarkInput<'_>) -> Mark {
        let mac = Self::mac(&self.mint, side, input);
        let mut text = [side.letter(); TEXT_LEN];
        BASE32_DNSSEC.encode_mut(&mac[..MAC_LEN], &mut text[1..]);
        Mark(text)
    }

    /// The mark for the called side of a request, for our Record-Route value `own`. `None` where
    /// the request has no Call-ID, no From tag, or no Contact to answer to.
    #[must_use]
    pub(crate) fn of_request(
        &self,
        bytes: &[u8],
        message: &Message,
        own: MarkedValue<'_>,
    ) -> Option<Mark> {
        self.of(Side::Called, bytes, message, own)
    }

    /// The mark for the called side of a request that a phone has sent, for our Record-Route value
    /// `own`; `None` as for `of_request`.
    #[must_use]
    pub(crate) fn of_phone(
        &self,
        bytes: &[u8],
        message: &Message,
        own: MarkedValue<'_>,
    ) -> Option<Mark> {
        self.of(Side::CalledOut, bytes, message, own)
    }

    fn of(
        &self,
        side: Side,
        bytes: &[u8],
        message: &Message,
        own: MarkedValue<'_>,
    ) -> Option<Mark> {
        let input = MarkInput {
            own,
            call_id: call_id(bytes, message)?,
            // Within a dialog the tag of the called side is known.
            own_tag: to_tag(bytes, message),
            peer_tag: from_tag(bytes, message)?,
            next: Next::behind(bytes, message)?,
        };
        Some(self.mark(side, &input))
    }

    /// Replaces the mark of the called side in an answer by that of the calling side, and
    /// with it our whole value where the calling side needs another one (`turned.there`).
    /// `is_own` is true for our value.
    ///
    /// Returns false and changes nothing where `is_claim` is true for the next hop in the answer:
    /// the sender of the answer cannot vouch for it.
    pub fn turn(
        &self,
        turned: &Turned<'_>,
        bytes: &[u8],
        message: &Message,
        edits: &mut Edits,
        is_own: impl Fn(&[u8]) -> bool,
        is_claim: impl Fn(Next<'_>) -> bool,
    ) -> bool {
        let Some((range, input)) = turned.find(bytes, message, is_own) else {
            return true;
        };
        // An answer without To tag or Contact names no dialog that a mark could be over. The calling
        // side still gets its own value.
        let Some(input) = input else {
            if let Some(there) = turned.unmarked() {
                edits.replace(range, |out| out.extend_from_slice(there));
            }
            return true;
        };
        if is_claim(input.next) {
            return false;
        }
        let side = match turned.mark.0.first() {
            Some(b'p') => Side::CallingOut,
            Some(_) | None => Side::Calling,
        };
        let mark = self.mark(side, &input);
        edits.replace(range, |out| {
            out.extend_from_slice(turned.there.unwrap_or_default());
            out.extend_from_slice(&mark.0);
        });
        true
    }

    /// Which good marks a request has in our own values: the first `own` Route values, and with
    /// `strict` the Request-URI. A mark is good if it is of the request's dialog, and of the next
    /// hop behind these values.
    #[must_use]
    pub fn shown(&self, bytes: &[u8], message: &Message, own: usize, strict: bool) -> Shown {
        let routes = message.routes();
        let rest = routes.len().saturating_sub(own + usize::from(strict));
        let next = match routes.get(own).filter(|_| rest > 0) {
            Some(route) => route.uri.map(|uri| Next::Route(uri.whole.of(bytes))),
            // A strict router has put the Request-URI into the last Route value.
            None if strict => routes
                .last()
                .and_then(|last| last.uri)
                .map(|uri| Next::Target(uri.whole.of(bytes))),
            None => message
                .target()
                .map(|uri| Next::Target(uri.whole.of(bytes))),
        };
        let Some(next) = next else {
            return Shown::default();
        };
        let ours = routes.iter().take(own);
        let ours = ours.filter_map(|route| route.uri.as_ref());
        let ours = ours.chain(message.target().filter(|_| strict));
        // The last value with a user part names the phone: a mark in another value is another
        // phone's.
        let user = |uri: &Uri| uri.user.map(|user| user.of(bytes));
        let named = ours.clone().filter_map(user).next_back();
        let ours = ours.filter(|uri| user(uri) == named);
        let marks = ours
            .filter_map(|uri| Some((mark_of(bytes, uri)?, MarkedValue::of(uri.whole.of(bytes)))));
        let good = marks.filter(|&(text, own)| self.verify(text, own, bytes, message, next));
        good.fold(Shown::default(), |shown, (text, _)| Shown {
            any: true,
            leads_on: shown.leads_on || matches!(text.first(), Some(b'q' | b't')),
        })
    }

    /// Whether `text`, in our value `own`, is a mark of the dialog of a request whose next hop is
    /// `next`.
    #[must_use]
    pub fn verify(
        &self,
        text: &[u8],
        own: MarkedValue<'_>,
        bytes: &[u8],
        message: &Message,
        next: Next<'_>,
    ) -> bool {
        let side = match text.first() {
            Some(b'q') => Side::Called,
            Some(b's') => Side::Calling,
            Some(b'p') => Side::CalledOut,
            Some(b't') => Side::CallingOut,
            Some(_) | None => return false,
        };
        let text = text.get(1..).unwrap_or_default();
        let Some(shown) = Shortened::read(text) else {
            return false;
        };
        let (Some(call_id), Some(peer_tag)) = (call_id(bytes, message), to_tag(bytes, message))
        else {
            return false;
        };
        let own_tag = from_tag(bytes, message);
        let matches = |key, own_tag| {
            let input = MarkInput {
                call_id,
                own_tag,
                peer_tag,
                own,
                next,
            };
            shown.begins(&Self::mac(key, side, &input))
        };
        // The mark for the called side was made of the first request, without that side's tag, or
        // of a later one, with it.
        let is_called = matches!(side, Side::Called | Side::CalledOut);
        let is_good = |key| is_called && matches(key, None) || matches(key, own_tag);
        is_good(&self.mint) || self.older.iter().any(is_good)
    }
}

/// A MAC as a mark shows it.
enum Shortened {
    Now([u8; MAC_LEN]),
    Before([u8; MAC_LEN_BEFORE]),
}

impl Shortened {
    fn read(text: &[u8]) -> Option<Self> {
        fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
            let mut raw = [0; N];
            let fits = text.len() == BASE32_DNSSEC.encode_len(N);
            (fits && BASE32_DNSSEC.decode_mut(text, &mut raw) == Ok(N)).then_some(raw)
        }
        let now = || decode(text).map(Self::Now);
        now().or_else(|| decode(text).map(Self::Before))
    }

    fn begins(&self, mac: &[u8; BLOCK]) -> bool {
        match self {
            Self::Now(shown) => cmac::begins_with(mac, shown),
            Self::Before(shown) => cmac::begins_with(mac, shown),
        }
    }
}

/// The text of the URI in a value that is an address.
pub(crate) fn uri_in(value: &[u8]) -> Option<&[u8]> {
    let rest = match value {
        [b'"', ..] => {
            let mut at = 1;
            while *value.get(at)? != b'"' {
                at += 1 + usize::from(value[at] == b'\\');
            }
            value.get(at..)?
        }
        _ => value,
    };
    match find_either(rest, b'<', b';') {
        Some(at) if rest[at] == b'<' => {
            let inside = &rest[at + 1..];
            inside.get(..find(inside, b'>')?)
        }
        Some(at) => rest.get(..at),
        None => Some(rest),
    }
}

fn contact<'a>(bytes: &'a [u8], message: &Message) -> Option<Next<'a>> {
    let line = message.first(Name::Contact)?;
    // Nearly every message has one Contact, which is then the whole line.
    let value = match find(line.value.of(bytes), b',') {
        None => line.value,
        Some(_) => message.values(bytes, Name::Contact).next()?,
    };
    // `*` is no URI.
    let uri = uri_in(value.of(bytes)).filter(|uri| uri.len() > 1)?;
    Some(Next::Target(uri))
}

fn call_id<'a>(bytes: &'a [u8], message: &Message) -> Option<&'a [u8]> {
    message
        .first(Name::CallId)
        .map(|header| header.value.of(bytes))
}

fn from_tag<'a>(bytes: &'a [u8], message: &Message) -> Option<&'a [u8]> {
    message.from_tag().map(|tag| tag.of(bytes))
}

fn to_tag<'a>(bytes: &'a [u8], message: &Message) -> Option<&'a [u8]> {
    message.to_tag().map(|tag| tag.of(bytes))
}

#[cfg(test)]
mod tests;
