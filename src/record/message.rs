//! The handshake messages that come after the handshake (RFC 8446 §4.6, RFC 5246 §7.4.1.1): read
//! in passing, at any split over records, and never kept.

use crate::failure::Failure;
use crate::limits::MESSAGE_LEN_MAX;
use crate::role::Role;
use crate::suite::Version;

const HELLO_REQUEST: u8 = 0;
const CLIENT_HELLO: u8 = 1;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

/// Bytes before the body.
pub(crate) const HEAD_LEN: usize = 4;

/// A message that has begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its type and length, as far as they have come.
    pub(crate) head: [u8; HEAD_LEN],
    /// How many of those bytes have come; none: no message has begun.
    pub(crate) come: u8,
    /// Bytes of the body that have not come.
    pub(crate) left: u32,
}

/// What a message means that has come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    /// The peer seals with its next key from here on.
    KeyUpdate {
        /// And asks this side to do so as well.
        is_requested: bool,
    },
    /// A ticket; `None` when it came in several records.
    Ticket(Option<&'a [u8]>),
    /// The peer would negotiate anew.
    Renegotiation,
}

impl Message {
    /// Whether the end of one is yet to come.
    pub(crate) const fn has_begun(self) -> bool {
        self.come > 0
    }

    /// Reads on in a record until a message has ended: what it means, and what stands behind it.
    /// `None`: the record has ended first.
    pub(crate) fn read<'a>(
        &mut self,
        version: Version,
        role: Role,
        record: &'a [u8],
    ) -> Result<Option<(Meaning<'a>, &'a [u8])>, Failure> {
        let is_whole = !self.has_begun();
        let mut rest = record;
        while let Some(room) = self.head.get_mut(usize::from(self.come)) {
            let Some((byte, behind)) = rest.split_first() else {
                return Ok(None);
            };
            (*room, rest) = (*byte, behind);
            self.come = self.come.saturating_add(1);
            if usize::from(self.come) == HEAD_LEN {
                self.left = body_len(version, role, self.head)?;
            }
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let Some((body, behind)) = rest.split_at_checked(left) else {
            // Shorter than what is left, which is no more than `MESSAGE_LEN_MAX`.
            let here = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            self.left = self.left.saturating_sub(here);
            return Ok(None);
        };
        let [typ, ..] = self.head;
        *self = Self::default();
        let meaning = match typ {
            KEY_UPDATE => Meaning::KeyUpdate {
                is_requested: match body {
                    [0] => false,
                    [1] => true,
                    _ => return Err(Failure::IllegalParameter),
                },
            },
            NEW_SESSION_TICKET => Meaning::Ticket(is_whole.then_some(body)),
            _ => Meaning::Renegotiation,
        };
        Ok(Some((meaning, behind)))
    }
}

/// How long the body is of a message that may come here.
pub(crate) fn body_len(
    version: Version,
    role: Role,
    [typ, high, mid, low]: [u8; HEAD_LEN],
) -> Result<u32, Failure> {
    let len = u32::from_be_bytes([0, high, mid, low]);
    match (version, role, typ) {
        (Version::Tls13, _, KEY_UPDATE) if len != 1 => Err(Failure::DecodeError),
        (Version::Tls12, Role::Client, HELLO_REQUEST) if len != 0 => Err(Failure::DecodeError),
        (Version::Tls13, _, KEY_UPDATE)
        | (Version::Tls13, Role::Client, NEW_SESSION_TICKET)
        | (Version::Tls12, Role::Client, HELLO_REQUEST)
        | (Version::Tls12, Role::Server, CLIENT_HELLO) => {
            if len > MESSAGE_LEN_MAX {
                return Err(Failure::DecodeError);
            }
            Ok(len)
        }
        // A certificate is asked for after the handshake only of who has offered that.
        _ => Err(Failure::UnexpectedMessage),
    }
}
