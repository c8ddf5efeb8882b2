//! The token: what the user part of a Path or Record-Route URI of the cluster
//! says. It names the subscriber and the edges that serve it, so that any of
//! them can carry on where another one stopped (H-1, H-3).
//!
//! - The same subscriber, edge set and keys give the same bytes on every edge.
//! - Sealed tokens tell the far end neither user nor topology, and nobody but
//!   the cluster makes them. They are short (`packed`): no more than 90 characters
//!   for a phone with a UUID at edges with names of a few letters. Clear ones, `joe+e1+e3+instance`, are for the lab:
//!   everybody can read and make them.
//! - reg-id is not in it: flows are found by subscriber, whatever the reg-id.
//! - A token is no permission: it is written before the home has
//!   answered (D-E15), and leads nowhere until a 2xx has bound its subscriber to a
//!   flow; a token without a user never does. What a sender may do follows from the flow of its
//!   request.

mod packed;

use super::seal::Form;
use super::{Ring, Subscriber, spelling};
use crate::limits::{EDGE_SET_MAX, TOKEN_FIELD_MAX, TOKEN_MAX};
use crate::span::Span;

/// The flag of a phone that asked for a list of outbound proxies.
pub(super) const STICKY: u8 = 1;

/// Writes and reads tokens.
pub enum Codec {
    /// Clear text, without flags. This realm is left out: `joe` is of it,
    /// `joe_40example.org` of another one.
    Clear(Box<[u8]>),
    /// Sealed under the keys of the cluster. This realm is left out.
    Sealed(Ring, Box<[u8]>),
}

impl Codec {
    /// A codec that seals under the first of these keys and opens under all; without keys it
    /// writes clear tokens. Tokens leave out `realm`, so it must be the same on all
    /// edges, and for as long as their tokens are good.
    #[must_use]
    pub fn new(keys: &[[u8; 64]], realm: &str) -> Self {
        let realm = realm.as_bytes().into();
        match Ring::new(keys) {
            Some(ring) => Self::Sealed(ring, realm),
            None => Self::Clear(realm),
        }
    }

    /// The kind of the tokens that it writes.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Clear(_) => Kind::Clear,
            Self::Sealed(..) => Kind::Sealed,
        }
    }

    /// Whether the text of a token that was read is spelled as `write` would spell
    /// it, and sealed by the key that seals.
    #[must_use]
    pub(crate) fn writes_like(&self, text: &[u8]) -> bool {
        match self {
            Self::Clear(_) => false,
            Self::Sealed(ring, _) => ring.seals_like(text) && memchr::memchr(b'%', text).is_none(),
        }
    }

    /// Appends the user part of the token. `edges` are member names in the
    /// order in which they are written; `flags` mean nothing to this room.
    ///
    /// # Errors
    /// `Unfit`, and then nothing is appended.
    pub fn write(
        &self,
        subscriber: &Subscriber<'_>,
        edges: &[&[u8]],
        flags: u8,
        out: &mut Vec<u8>,
    ) -> Result<(), Unfit> {
        let Subscriber {
            user,
            realm,
            instance,
        } = *subscriber;
        let fits = |field: &[u8]| field.len() <= TOKEN_FIELD_MAX;
        let named = |edge: &&[u8]| !edge.is_empty() && fits(edge);
        if !(1..=EDGE_SET_MAX).contains(&edges.len())
            || !edges.iter().all(named)
            || ![user, realm, instance].into_iter().all(fits)
            || flags > packed::FLAGS_MAX
        {
            return Err(Unfit);
        }
        let at = out.len();
        match self {
            // No domain holds one, and it would be read back as another.
            Self::Clear(_) if memchr::memchr(b'@', realm).is_some() => return Err(Unfit),
            Self::Clear(common) => {
                spelling::write_field(user, out);
                if realm != &common[..] || memchr::memchr(b'@', user).is_some() {
                    spelling::write_field(b"@", out);
                    spelling::write_field(realm, out);
                }
                for field in edges.iter().chain([&instance]) {
                    out.push(b'+');
                    spelling::write_field(field, out);
                }
            }
            Self::Sealed(ring, common) => {
                packed::write(subscriber, edges, flags, common, out);
                ring.seal_tail(out, at);
            }
        }
        if out.len() - at > TOKEN_MAX {
            out.truncate(at);
            return Err(Unfit);
        }
        Ok(())
    }

    /// Reads a received user part, in which unreserved characters may be
    /// escaped. `out` is empty after an error.
    ///
    /// # Errors
    /// Why the token is refused.
    pub fn read(&self, user_part: &[u8], out: &mut Token) -> Result<(), BadToken> {
        out.clear();
        let mut scratch = [0; TOKEN_MAX];
        let text = spelling::unescape(user_part, &mut scratch)?;
        let read = match self {
            Self::Clear(common) => read_clear(text, common, out),
            Self::Sealed(ring, common) => read_sealed(ring, common, text, out),
        };
        if read.is_err() {
            out.clear();
        }
        read
    }
}

/// The fields of a token.
#[derive(Debug)]
pub struct Token {
    /// Its fields, one behind the other.
    bytes: [u8; ROOM],
    len: usize,
    user: Span,
    realm: Span,
    instance: Span,
    edges: [Span; EDGE_SET_MAX],
    edge_count: usize,
    flags: u8,
}

/// Octets of what a text of `TOKEN_MAX` can say, the realm that a token leaves out, and
/// what a number is longer than its half octets.
const ROOM: usize = TOKEN_MAX + 2 * TOKEN_FIELD_MAX;

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}

impl Token {
    /// An empty token.
    #[must_use]
    pub const fn new() -> Self {
        let none = Span { start: 0, end: 0 };
        Self {
            bytes: [0; ROOM],
            len: 0,
            user: none,
            realm: none,
            instance: none,
            edges: [none; EDGE_SET_MAX],
            edge_count: 0,
            flags: 0,
        }
    }

    /// True for an empty token.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.edge_count == 0
    }

    /// The subscriber that it names.
    #[must_use]
    pub fn subscriber(&self) -> Subscriber<'_> {
        Subscriber {
            user: self.user(),
            realm: self.realm(),
            instance: self.instance(),
        }
    }

    /// The user, as a URI spells it; empty when the To of the REGISTER it was
    /// made for named none.
    #[must_use]
    pub fn user(&self) -> &[u8] {
        self.user.of(&self.bytes)
    }

    /// The domain of the user.
    #[must_use]
    pub fn realm(&self) -> &[u8] {
        self.realm.of(&self.bytes)
    }

    /// The instance of the user.
    #[must_use]
    pub fn instance(&self) -> &[u8] {
        self.instance.of(&self.bytes)
    }

    /// The names of the edges, in the order they were written in.
    pub fn edges(&self) -> impl Iterator<Item = &[u8]> {
        self.edges
            .iter()
            .take(self.edge_count)
            .map(|edge| edge.of(&self.bytes))
    }

    /// True when it names no user: nothing may be sent to it (D-E15).
    #[must_use]
    pub(crate) const fn is_anonymous(&self) -> bool {
        self.user.is_empty()
    }

    /// The flags that its writer gave it; 0 in a clear token.
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// Makes it an empty token.
    pub(super) fn clear(&mut self) {
        (self.len, self.edge_count, self.flags) = (0, 0, 0);
        (self.user, self.realm, self.instance) = Default::default();
    }

    /// Appends bytes and returns their range.
    fn append(&mut self, part: &[u8]) -> Result<Span, BadToken> {
        let (start, end) = (self.len, self.len + part.len());
        let room = self.bytes.get_mut(start..end);
        room.ok_or(BadToken::Malformed)?.copy_from_slice(part);
        self.len = end;
        Ok(Span::new(start, end))
    }

    /// Appends the pieces of one field and returns their range.
    fn append_all(&mut self, parts: &[&[u8]]) -> Result<Span, BadToken> {
        let start = self.len;
        for part in parts {
            self.append(part)?;
        }
        Ok(Span::new(start, self.len))
    }

    fn push_edge(&mut self, edge: Span) -> Result<(), BadToken> {
        if edge.is_empty() {
            return Err(BadToken::Malformed);
        }
        *self
            .edges
            .get_mut(self.edge_count)
            .ok_or(BadToken::Malformed)? = edge;
        self.edge_count += 1;
        Ok(())
    }
}

/// The kind of a user part, by its first character, its length
/// and the separator alone: only clear tokens hold a `+`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A clear token.
    Clear,
    /// A sealed token.
    Sealed,
    /// An RFC 5626 flow token, for `flow_token::read`.
    Flow,
    /// Nothing this cluster writes.
    Foreign,
}

impl Kind {
    /// The kind of a received user part, which need not be genuine.
    #[must_use]
    pub fn of(user_part: &[u8]) -> Self {
        if memchr::memchr(b'+', user_part).is_some() {
            return Self::Clear;
        }
        /// No token under a key is shorter: ten octets of MAC or twelve of tag, and
        /// what they are over. A shorter user is the name of somebody.
        const SHORTEST: usize = 25;
        match spelling::first(user_part) {
            Some(_) if user_part.len() < SHORTEST => Self::Foreign,
            Some((b's' | b't', _)) => Self::Sealed,
            Some((b'f', _)) => Self::Flow,
            Some(_) | None => Self::Foreign,
        }
    }
}

/// Why a token or flow token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It is spelled right but its maker does not have the key.
    #[error("the token is forged")]
    Forged,
    /// It was sealed under a key that is not live here.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// It is nothing that is ever written.
    #[error("the token is malformed")]
    Malformed,
    /// It is genuine but its flow went with an earlier run.
    #[error("the token's flow is gone")]
    Stale,
}

impl BadToken {
    /// Status and reason for a request with such a token (RFC 5626 §5.3.1).
    #[must_use]
    pub const fn answer(self) -> (u16, &'static str) {
        match self {
            Self::Forged | Self::UnknownKey | Self::Malformed => (403, "Forbidden"),
            Self::Stale => (430, "Flow Failed"),
        }
    }
}

/// There is no token of these fields: one is longer than `limits::TOKEN_FIELD_MAX`, there
/// is no edge or a nameless one or more than `limits::EDGE_SET_MAX`, or the text
/// would be longer than `limits::TOKEN_MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subscriber does not fit into a token")]
pub struct Unfit;

fn read_sealed(ring: &Ring, common: &[u8], text: &[u8], out: &mut Token) -> Result<(), BadToken> {
    let mut room = [0; spelling::BYTES_MAX];
    match ring.open(text, &mut room)? {
        (Form::Packed, plain) => packed::read(plain, common, out),
        (Form::SpelledOut, plain) => packed::read_spelled_out(plain, out),
    }
}

fn read_clear(text: &[u8], common: &[u8], out: &mut Token) -> Result<(), BadToken> {
    let mut fields = text.split(|&byte| byte == b'+').peekable();
    let user = fields.next().ok_or(BadToken::Malformed)?;
    let field = read_clear_field(user, USER_MAX, out)?;
    (out.user, out.realm) = match memchr::memrchr(b'@', field.of(&out.bytes)) {
        Some(at) => {
            let at = usize::from(field.start) + at;
            let user = Span::new(field.start.into(), at);
            let realm = Span::new(at + 1, field.end.into());
            // Every token has one spelling.
            let is_needed = realm.of(&out.bytes) != common
                || memchr::memchr(b'@', user.of(&out.bytes)).is_some();
            if !is_needed {
                return Err(BadToken::Malformed);
            }
            (user, realm)
        }
        None => (field, out.append(common)?),
    };
    while let Some(text) = fields.next() {
        let field = read_clear_field(text, TOKEN_FIELD_MAX, out)?;
        if fields.peek().is_some() {
            out.push_edge(field)?;
        } else {
            out.instance = field;
        }
    }
    if out.edge_count == 0 {
        Err(BadToken::Malformed)
    } else {
        Ok(())
    }
}

fn read_clear_field(text: &[u8], max: usize, out: &mut Token) -> Result<Span, BadToken> {
    let start = out.len;
    spelling::read_field(text, |byte| out.append(&[byte]).map(drop))?;
    if out.len - start > max {
        return Err(BadToken::Malformed);
    }
    Ok(Span::new(start, out.len))
}

/// A user with its domain.
const USER_MAX: usize = 2 * TOKEN_FIELD_MAX + 1;

const _: () = assert!(
    TOKEN_FIELD_MAX <= u8::MAX as usize,
    "lengths in sealed tokens are one byte"
);

#[cfg(test)]
mod tests;
