//! A URI as far as it decides where a request goes (RFC 3261 §16.6-7, RFC 3263
//! §4): what a dialog's mark is over.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

use super::Scheme;
use super::own_params::FLOW_PARAM;
use super::parts::{Ending, Front, pairs};

/// What of it decides; all of it as written.
pub(crate) struct RoutingParts<'a> {
    /// With the password; empty when there is none.
    pub(crate) user: &'a [u8],
    /// With its port.
    pub(crate) host: &'a [u8],
    pub(crate) maddr: &'a [u8],
    pub(crate) transport: &'a [u8],
    /// It says `sips`.
    pub(crate) is_secure: bool,
    /// The flow token in a value of an edge.
    pub(crate) flow: &'a [u8],
}

impl<'a> RoutingParts<'a> {
    /// Told from the text by its marks: the URI was parsed before, or will be
    /// when somebody goes there.
    pub(crate) fn of(uri: &'a [u8]) -> Self {
        let front = Front::of(uri);
        let ending = Ending::of(front.ending);
        let (mut maddr, mut transport, mut flow) = (None, None, None);
        // As whoever goes there reads it: the first of a name counts, and one
        // without a value is as good as none. White space and quotes are in
        // no URI, and a name with escapes is another. What headers say is nothing
        // of the way.
        for param in pairs(ending.params, b';') {
            let name = |name: &str| param.name.eq_ignore_ascii_case(name.as_bytes());
            let found = if name("maddr") {
                &mut maddr
            } else if name("transport") {
                &mut transport
            } else if name(FLOW_PARAM) {
                &mut flow
            } else {
                continue;
            };
            found.get_or_insert(param.value.unwrap_or_default());
        }
        Self {
            user: front.userinfo.unwrap_or_default(),
            host: ending.host_port,
            maddr: maddr.unwrap_or_default(),
            transport: transport.unwrap_or_default(),
            is_secure: front.scheme == Scheme::Sips,
            flow: flow.unwrap_or_default(),
        }
    }
}
