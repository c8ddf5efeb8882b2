//! What binds a phone to a flow, as the rest of the room gives it to the table and gets it back.

use crate::edge::{EdgeSet, Subscriber};
use crate::id::Flow;
use crate::time::Instant;
use crate::uri::Uri;

/// A user of a realm, with any of his phones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::edge) struct User<'a> {
    pub(in crate::edge) name: &'a [u8],
    /// In lower case where it is compared with what is registered.
    pub(in crate::edge) realm: &'a [u8],
}

impl<'a> User<'a> {
    /// The user that the URI in a From or a To names; empty where it has no user.
    pub(in crate::edge) fn of_uri(bytes: &'a [u8], uri: Option<Uri>) -> Self {
        let named = uri.and_then(|uri| {
            Some(User {
                name: uri.user?.of(bytes),
                realm: uri.host.of(bytes),
            })
        });
        named.unwrap_or_default()
    }

    /// The user of a subscriber, who may have other phones.
    pub(super) const fn of(subscriber: &Subscriber<'a>) -> Self {
        Self {
            name: subscriber.user,
            realm: subscriber.realm,
        }
    }
}

/// One binding of a subscriber to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) struct FlowBinding<'a> {
    /// The subscriber that is bound.
    pub(in crate::edge) subscriber: Subscriber<'a>,
    /// The address of record that the 2xx confirmed: user and realm of the
    /// subscriber with `@` between, spelled as in a URI.
    pub(in crate::edge) aor: &'a [u8],
    /// The phone's number for this flow (RFC 5626 §4.2); 0 when it gave none.
    pub(in crate::edge) reg_id: u32,
    /// The flow to the phone.
    pub(in crate::edge) flow: Flow,
    /// The edges named in its token.
    pub(in crate::edge) edges: EdgeSet,
    /// The flags of its token.
    pub(in crate::edge) flags: u8,
    /// How the phone resolves a route.
    pub(in crate::edge) follows: Follows,
    /// True when the flow is a connection of TLS.
    pub(in crate::edge) is_tls: bool,
    /// True when the edge keeps the flow open, since the phone does not.
    pub(in crate::edge) is_kept_open: bool,
    /// True when the 2xx passed in an earlier run of this edge, and none since. The subscriber
    /// may have been revoked while the edge was down: such a binding shows where the phone is,
    /// and not who calls over the flow.
    pub(in crate::edge) is_restored: bool,
    /// When the binding ends.
    pub(in crate::edge) expires: Instant,
}

/// How a phone resolves a route that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) enum Follows {
    /// It keeps to the flow that the route was learned on: it has shown that it
    /// takes Outbound-Proxy values.
    Flow,
    /// It resolves the name in the route: it came here by a name.
    Name,
    /// It goes to the address in the route: it came here by an address, and has not shown that
    /// it resolves names.
    Address,
}

impl Follows {
    /// The bits of `bits`, in memory and on disk.
    pub(in crate::edge) const BITS: u8 = Self::FLOW | Self::NAME;
    const FLOW: u8 = 1;
    const NAME: u8 = 4;

    /// For a phone that has shown that it keeps to its flows (`is_sticky`), or has come here by a
    /// name.
    pub(in crate::edge) const fn of(is_sticky: bool, by_name: bool) -> Self {
        match (is_sticky, by_name) {
            (true, _) => Self::Flow,
            (false, true) => Self::Name,
            (false, false) => Self::Address,
        }
    }

    /// The value as bits, for memory and disk.
    pub(in crate::edge) const fn bits(self) -> u8 {
        match self {
            Self::Flow => Self::FLOW,
            Self::Name => Self::NAME,
            Self::Address => 0,
        }
    }

    /// The value from bits, among which may be others.
    pub(in crate::edge) const fn of_bits(bits: u8) -> Self {
        Self::of(bits & Self::FLOW != 0, bits & Self::NAME != 0)
    }
}
