//! The fields of a token, as they are read into a buffer of a fixed size.

use super::error::BadToken;
use crate::edge::Subscriber;
use crate::limits::{EDGE_SET_MAX, TOKEN_FIELD_MAX, TOKEN_MAX};
use crate::span::Span;

/// The fields of a token.
#[derive(Debug)]
pub struct Token {
    /// Its fields, one behind the other.
    pub(super) bytes: [u8; ROOM],
    pub(super) len: usize,
    pub(super) user: Span,
    pub(super) realm: Span,
    pub(super) instance: Span,
    edges: [Span; EDGE_SET_MAX],
    pub(super) edge_count: usize,
    pub(super) flags: u8,
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
    pub(in crate::edge) fn clear(&mut self) {
        (self.len, self.edge_count, self.flags) = (0, 0, 0);
        (self.user, self.realm, self.instance) = Default::default();
    }

    /// Appends bytes and returns their range.
    pub(super) fn append(&mut self, part: &[u8]) -> Result<Span, BadToken> {
        let (start, end) = (self.len, self.len + part.len());
        let room = self.bytes.get_mut(start..end);
        room.ok_or(BadToken::Malformed)?.copy_from_slice(part);
        self.len = end;
        Ok(Span::new(start, end))
    }

    /// Appends the pieces of one field and returns their range.
    pub(super) fn append_all(&mut self, parts: &[&[u8]]) -> Result<Span, BadToken> {
        let start = self.len;
        for part in parts {
            self.append(part)?;
        }
        Ok(Span::new(start, self.len))
    }

    pub(super) fn push_edge(&mut self, edge: Span) -> Result<(), BadToken> {
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
