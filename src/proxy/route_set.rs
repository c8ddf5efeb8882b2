//! The Record-Route that an answer must bring back as it was sent (RFC 3261
//! §12.1.1): whoever answers may add to it above, where what is behind him
//! stands, and change nothing. Who changes it would have the marks in it made
//! for another way than the one that the request went.

use super::{Net, Response};
use crate::omit::Omit;
use crate::scan::{Message, Name};
use crate::trust::mark::uri_in;
use crate::uri::Way;

/// What stands in the Record-Route of a request that leaves here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteSet {
    count: u16,
    hash: u64,
}

impl Net {
    /// The Record-Route of a request with these values of our own on top, separated by
    /// commas.
    #[must_use]
    pub fn route_set(&self, own: &[u8], bytes: &[u8], message: &Message) -> RouteSet {
        let own = own.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let rest = message.values(bytes, Name::RecordRoute);
        self.set_of(own.chain(rest.map(|value| value.of(bytes))))
    }

    /// Where it begins among the values of an answer, which ends with it; `None` for
    /// an answer that does not.
    pub(super) fn route_set_at(&self, set: RouteSet, response: &Response<'_>) -> Option<usize> {
        let values = || response.message.values(response.bytes, Name::RecordRoute);
        let above = values().count().checked_sub(set.count.into());
        if self.omit.leaves_out(Omit::RouteSet) {
            return above.or(Some(0));
        }
        let rest = values().skip(above?);
        let is_it = self.set_of(rest.map(|value| value.of(response.bytes))) == set;
        above.filter(|_| is_it)
    }

    /// One value as far as it decides on the way.
    #[must_use]
    pub fn route_way(&self, value: &[u8]) -> u64 {
        self.hash(way(value))
    }

    fn set_of<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> RouteSet {
        let mut count = 0;
        let ways = values.flat_map(|value| {
            count += 1;
            way(value)
        });
        let hash = self.hash(ways);
        RouteSet { count, hash }
    }
}

/// A value as far as it decides on the way: a phone may write its parameters in its own
/// manner.
fn way(value: &[u8]) -> [&[u8]; 6] {
    let way = Way::of(uri_in(value).unwrap_or(value));
    [
        if way.is_secure { b"sips" } else { b"sip" },
        way.user,
        way.host,
        way.maddr,
        way.transport,
        way.flow,
    ]
}
