//! The Record-Route that an answer must bring back as it was sent (RFC 3261
//! §12.1.1): whoever answers may add to it above, where what is behind him
//! stands, and change nothing. Who changes it would have the marks in it made
//! for another way than the one that the request went.

use super::{Net, Response};
use crate::omit::Omit;
use crate::scan::{Message, Name};
use crate::trust::mark::{Way, uri_in};

/// What stands in the Record-Route of a request that leaves here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteSet {
    count: u16,
    hash: u64,
}

const NAME: &[u8] = b"Record-Route: ";

impl Net {
    /// The Record-Route of a request with our own values on top, which are among
    /// these lines.
    #[must_use]
    pub fn route_set(&self, lines: &[u8], bytes: &[u8], message: &Message) -> RouteSet {
        let mut own = lines;
        let own = std::iter::from_fn(|| {
            let end = memchr::memchr(b'\n', own)?;
            let (line, rest) = own.split_at(end + 1);
            own = rest;
            Some(line)
        });
        let own = own.filter_map(|line| line.strip_prefix(NAME));
        let own = own.map(<[u8]>::trim_ascii);
        let rest = message.values(bytes, Name::RecordRoute);
        self.set_of(own.chain(rest.map(|value| value.of(bytes))))
    }

    /// Whether an answer ends with it.
    pub(super) fn has_route_set(&self, set: RouteSet, response: &Response<'_>) -> bool {
        if self.omit.leaves_out(Omit::RouteSet) {
            return true;
        }
        let values = || response.message.values(response.bytes, Name::RecordRoute);
        let Some(above) = values().count().checked_sub(set.count.into()) else {
            return false;
        };
        let rest = values().skip(above);
        self.set_of(rest.map(|value| value.of(response.bytes))) == set
    }

    /// Values as far as they decide on the way: a phone may write their parameters
    /// in its own manner.
    fn set_of<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> RouteSet {
        let mut count = 0;
        let ways = values.flat_map(|value| {
            count += 1;
            let way = Way::of(uri_in(value).unwrap_or(value));
            let scheme: &[u8] = if way.is_secure { b"sips" } else { b"sip" };
            [
                scheme,
                way.user,
                way.host,
                way.maddr,
                way.transport,
                way.flow,
            ]
        });
        let hash = self.hash(ways);
        RouteSet { count, hash }
    }
}
