//! A message as it was received, with what was already read from it and what was
//! found out where it came in: what every rule asks.

use std::net::SocketAddr;

use super::own_params;
use crate::grammar::params;
use crate::id::Flow;
use crate::scan::via::Via;
use crate::scan::{Message, Name};
use crate::trust::Ingress;

/// A received request with what was already read from it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its outline.
    pub message: &'a Message,
    /// Its topmost Via.
    pub via: &'a Via,
    /// Where it came in, and what was found out there.
    pub ingress: Ingress,
}

impl Request<'_> {
    /// True when the To carries a tag: the request stands inside a dialog.
    #[must_use]
    pub fn in_dialog(&self) -> bool {
        self.message.to_tag().is_some()
    }

    /// Whether it is for an emergency service (RFC 5031), which nobody is kept
    /// from (I-7).
    #[must_use]
    pub fn is_emergency(&self) -> bool {
        is_sos(self.message.request_uri().of(self.bytes))
    }

    /// Whether an edge says in its Via that a stranger sent it, whom its receiver
    /// may answer without asking who he is.
    #[must_use]
    pub(crate) fn shows_guest(&self) -> bool {
        params::find(self.bytes, self.via.params, own_params::GUEST).is_some()
    }

    /// Whether it has one Via value: its sender has made it.
    #[must_use]
    pub(crate) fn is_first_hop(&self) -> bool {
        // Where anything stands behind the first it may still be no value.
        !self.message.has_second_via() || self.message.count(self.bytes, Name::Via) == 1
    }

    /// The address a response over UDP goes to (RFC 3261 §18.2.2, RFC 3581
    /// §4). `maddr` is not followed: it would let a sender aim our answers.
    #[must_use]
    pub(crate) fn reply_flow(&self) -> Flow {
        reply_flow(self.ingress.flow, self.via)
    }
}

/// A response with what was already read from it.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its outline.
    pub message: &'a Message,
    /// Its status.
    pub status: u16,
    /// The flow it came on.
    pub flow: Flow,
}

impl Response<'_> {
    /// Number of Via values; ours is one of them.
    #[must_use]
    pub fn hops(&self) -> usize {
        self.message.count(self.bytes, Name::Via)
    }
}

/// The URN of every emergency service begins so.
const SOS: &[u8] = b"urn:service:sos";

/// Whether a Request-URI is that of an emergency call (RFC 5031).
pub(super) fn is_sos(uri: &[u8]) -> bool {
    let prefix = uri.get(..SOS.len()).unwrap_or_default();
    prefix.eq_ignore_ascii_case(SOS) && matches!(uri.get(SOS.len()), None | Some(b'.'))
}

/// The flow of the answer to a request that came on `flow` with this topmost Via.
pub(super) fn reply_flow(flow: Flow, via: &Via) -> Flow {
    match flow {
        Flow::Udp { socket, peer } if via.rport.is_none() => {
            let port = via.port.unwrap_or(5060);
            Flow::Udp {
                socket,
                peer: SocketAddr::new(peer.ip(), port),
            }
        }
        Flow::Udp { .. } | Flow::Stream(_) => flow,
    }
}
