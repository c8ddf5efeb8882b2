//! What is known of a request of our own: what it is for, what it says, and why it has
//! failed where it has. `client` sends it, and follows its answers.

use super::text;
use crate::id::{ClientId, Flow};
use crate::proxy::Response;
use crate::scan::address::first_uri;
use crate::scan::{Name, StartLine};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A registration, by its reg-id.
    Register(u32),
    /// The INVITE of a call.
    Invite(u32),
    /// A later INVITE of a call.
    Renew(u32),
    /// The BYE of a call.
    Bye(u32),
    /// Nobody waits for its answer: the ACK of a 2xx, and the BYE of a fork that came too
    /// late for its call.
    Unowned,
}

/// The Contact of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    /// None.
    Absent,
    /// Where a dialog reaches us.
    Target,
    /// A binding (RFC 5626 §4.2.1).
    Binding {
        /// Its reg-id.
        reg_id: u32,
        /// How long, in seconds; 0 removes it.
        expires_s: u32,
    },
}

/// One request.
#[derive(Debug)]
pub(super) struct ClientRequest {
    pub(super) purpose: Purpose,
    pub(super) method: &'static str,
    pub(super) uri: Vec<u8>,
    /// Route values, each a name-addr.
    pub(super) routes: Vec<Vec<u8>>,
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
    pub(super) call_id: Vec<u8>,
    pub(super) cseq: u32,
    pub(super) contact: Contact,
    pub(super) body: Vec<u8>,
    /// By this the transaction names its owner; another one for each attempt.
    pub(super) number: u32,
    pub(super) client: Option<ClientId>,
    pub(super) flow: Option<Flow>,
    /// A response has come.
    pub(super) heard: bool,
    /// The timer after which a flow without a response is probed.
    pub(super) silence_timer: u32,
    /// Why its flow was given up, where an answer may come all the same: it is waited for
    /// until `silence_timer` fires.
    pub(super) orphaned: Option<&'static str>,
    /// Where 3xx have led so far (D-U7).
    pub(super) redirects: Vec<Vec<u8>>,
    /// Challenges so far.
    pub(super) challenges: u8,
    /// Flows that have failed it.
    pub(super) tried: Vec<Flow>,
}

impl ClientRequest {
    /// The URI that it goes to first: of its topmost Route, else its Request-URI.
    pub(super) fn first_hop(&self) -> &[u8] {
        let route = self.routes.first();
        route.map_or(&self.uri[..], |route| uri_of(route))
    }
}

/// Why a request has no good end.
#[derive(Debug)]
pub(super) struct RequestFailure {
    /// Of the answer; 0 when there was none.
    pub(super) status: u16,
    /// A sentence without a full stop.
    pub(super) why: String,
    /// Trying again helps nobody.
    pub(super) is_final: bool,
    /// Seconds to wait, when the answer says so.
    pub(super) retry_after_s: Option<u32>,
    /// The flow itself failed under it.
    pub(super) flow: bool,
}

impl RequestFailure {
    pub(super) fn new(status: u16, why: String) -> Self {
        Self {
            status,
            why,
            is_final: false,
            retry_after_s: None,
            flow: false,
        }
    }

    pub(super) fn silence() -> Self {
        Self {
            flow: true,
            ..Self::new(0, "nobody answered within 32 seconds".to_owned())
        }
    }

    pub(super) fn lost(why: &str) -> Self {
        Self {
            flow: true,
            ..Self::new(0, why.to_owned())
        }
    }

    pub(super) fn hopeless(status: u16, why: String) -> Self {
        Self {
            is_final: true,
            ..Self::new(status, why)
        }
    }

    /// What the answer itself says.
    pub(super) fn answer(response: &Response<'_>) -> Self {
        let reason = match response.message.start() {
            Some(StartLine::Response { reason, .. }) => text(reason.of(response.bytes)),
            Some(StartLine::Request { .. }) | None => String::new(),
        };
        let retry_after = response
            .message
            .first(Name::RetryAfter)
            .map(|header| header.value.of(response.bytes));
        let digits = |value: &[u8]| {
            let end = value
                .iter()
                .position(|byte| !byte.is_ascii_digit())
                .unwrap_or(value.len());
            std::str::from_utf8(&value[..end]).ok()?.parse().ok()
        };
        Self {
            retry_after_s: retry_after.and_then(digits),
            ..Self::new(
                response.status,
                format!("the answer was {} {reason}", response.status),
            )
        }
    }
}

/// The URI of a Route value; empty when it is none.
pub(super) fn uri_of(route: &[u8]) -> &[u8] {
    first_uri(route).unwrap_or_default()
}
