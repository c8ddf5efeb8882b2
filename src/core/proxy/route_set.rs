//! The Record-Route that an answer must bring back as it was sent (RFC 3261
//! §12.1.1): whoever answers may add to it above, where what is behind him
//! stands, and change nothing. Who changes it would have the marks in it made
//! for another way than the one that the request went.

use serde::{Deserialize, Serialize};

use super::{Net, Response, Secrets};
use crate::bytes::Buf;
use crate::omit::Omit;
use crate::scan::{Message, Name};
use crate::trust::mark::{Mark, uri_in};
use crate::uri::RoutingParts;

/// Our Record-Route value in a request, for its answers (RFC 3261 §16.7-8).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// The mark in it, for the called side.
    pub(super) mark: Mark,
    /// Our URI for the calling side, up to its mark, where it is not the one that the
    /// request has.
    pub(super) there: Option<Buf>,
    pub(super) known_by: KnownBy,
}

/// How it is told from others in an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum KnownBy {
    /// From outside the trust domain the whole Record-Route comes back as it was.
    Set(RouteSet),
    /// From inside, by the way that it says: it is this one, which nearly always comes
    /// back word for word.
    Value(Buf),
}

/// What stands in the Record-Route of a request that leaves here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RouteSet {
    count: u16,
    hash: u64,
}

impl RouteSet {
    /// The Record-Route of a request with this value of our own on top.
    pub(super) fn new(secrets: &Secrets, own: &[u8], bytes: &[u8], message: &Message) -> Self {
        let rest = message.values(bytes, Name::RecordRoute);
        let rest = rest.map(|value| value.of(bytes));
        Self::of(secrets, std::iter::once(own).chain(rest))
    }

    /// At which index it begins among the values of an answer, which ends with it; `None`
    /// for an answer that does not.
    pub(super) fn index_in(self, net: &Net, response: &Response<'_>) -> Option<usize> {
        let values = || response.message.values(response.bytes, Name::RecordRoute);
        let above = values().count().checked_sub(self.count.into());
        if net.omit.leaves_out(Omit::RouteSet) {
            return above.or(Some(0));
        }
        let rest = values().skip(above?);
        let rest = rest.map(|value| value.of(response.bytes));
        above.filter(|_| Self::of(&net.secrets, rest) == self)
    }

    fn of<'a>(secrets: &Secrets, values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut count = 0;
        let ways = values.flat_map(|value| {
            count += 1;
            way(value)
        });
        let hash = secrets.hash(ways);
        Self { count, hash }
    }
}

impl Recorded {
    /// Every buffer in it.
    pub(super) fn bufs(&mut self) -> impl Iterator<Item = &mut Buf> {
        let value = match &mut self.known_by {
            KnownBy::Set(_) => None,
            KnownBy::Value(value) => Some(value),
        };
        self.there.iter_mut().chain(value)
    }
}

impl KnownBy {
    /// Whether a value of an answer says the way of ours.
    pub(super) fn is_way_of(&self, value: &[u8]) -> bool {
        match self {
            Self::Set(_) => false,
            Self::Value(own) => value == &own[..] || way(value) == way(own),
        }
    }
}

/// A value as far as it decides on the way: a phone may write its parameters in its own
/// manner.
fn way(value: &[u8]) -> [&[u8]; 6] {
    let way = RoutingParts::of(uri_in(value).unwrap_or(value));
    [
        if way.is_secure { b"sips" } else { b"sip" },
        way.user,
        way.host,
        way.maddr,
        way.transport,
        way.flow,
    ]
}
