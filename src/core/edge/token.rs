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
//!
//! The room has a file for each part of that: `fields` holds what a token says, `clear` and
//! `packed` are its two forms, `seal` has the keys, `spelling` the characters, and `error` what may
//! go wrong.

mod clear;
mod error;
mod fields;
mod packed;
mod seal;
pub(super) mod spelling;

pub use error::{BadToken, Unfit};
pub use fields::Token;

use seal::{Form, KeyRing};

use super::Subscriber;
use crate::grammar::find::find;
use crate::limits::{EDGE_SET_MAX, TOKEN_FIELD_MAX, TOKEN_MAX};

/// The flag of a phone that asked for a list of outbound proxies.
pub(super) const STICKY: u8 = 1;

/// Writes and reads tokens.
pub struct Codec {
    /// Seals tokens under the keys of the cluster; `None`: they are clear text, without flags.
    ring: Option<KeyRing>,
    /// The realm that is left out: with `example.com` the user `joe` is of it, and
    /// `joe_40example.org` of another one.
    common: Box<[u8]>,
}

impl Codec {
    /// A codec that seals under the first of these keys and opens under all; without keys it
    /// writes clear tokens. Tokens leave out `realm`, so it must be the same on all
    /// edges, and for as long as their tokens are good.
    #[must_use]
    pub fn new(keys: &[[u8; 64]], realm: &str) -> Self {
        Self {
            ring: KeyRing::new(keys),
            common: realm.as_bytes().into(),
        }
    }

    /// The kind of the tokens that it writes.
    #[must_use]
    pub const fn kind(&self) -> UserPartKind {
        match &self.ring {
            None => UserPartKind::Clear,
            Some(_) => UserPartKind::Sealed,
        }
    }

    /// Whether the text of a token that was read is spelled as `write` would spell
    /// it, and sealed by the key that seals.
    #[must_use]
    pub(crate) fn writes_like(&self, text: &[u8]) -> bool {
        let is_sealed_like = |ring: &KeyRing| ring.seals_like(text);
        self.ring.as_ref().is_some_and(is_sealed_like) && find(text, b'%').is_none()
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
        match &self.ring {
            None => clear::write(subscriber, edges, &self.common, out)?,
            Some(ring) => {
                packed::write(subscriber, edges, flags, &self.common, out);
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
        let read = match &self.ring {
            None => clear::read(text, &self.common, out),
            Some(ring) => read_sealed(ring, &self.common, text, out),
        };
        if read.is_err() {
            out.clear();
        }
        read
    }
}

/// The kind of a user part, by its first character, its length
/// and the separator alone: only clear tokens hold a `+`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserPartKind {
    /// A clear token.
    Clear,
    /// A sealed token.
    Sealed,
    /// An RFC 5626 flow token, for `flow_token::read`.
    Flow,
    /// Nothing this cluster writes.
    Foreign,
}

impl UserPartKind {
    /// The kind of a received user part, which need not be genuine.
    #[must_use]
    pub fn of(user_part: &[u8]) -> Self {
        if find(user_part, b'+').is_some() {
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

fn read_sealed(
    ring: &KeyRing,
    common: &[u8],
    text: &[u8],
    out: &mut Token,
) -> Result<(), BadToken> {
    let mut room = [0; spelling::BYTES_MAX];
    match ring.open(text, &mut room)? {
        (Form::Packed, plain) => packed::read(plain, common, out),
        (Form::SpelledOut, plain) => packed::read_spelled_out(plain, out),
    }
}

const _: () = assert!(
    TOKEN_FIELD_MAX <= u8::MAX as usize,
    "lengths in sealed tokens are one byte"
);

#[cfg(test)]
mod tests;
