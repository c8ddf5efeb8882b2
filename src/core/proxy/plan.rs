//! What a role decides about one request: where it goes ([`Target`]), with which
//! changes ([`Plan`]), or that it goes nowhere ([`Verdict`]).

use serde::{Deserialize, Serialize};

use super::{Recorded, Secrets};
use crate::bytes::Buf;
use crate::edit::decimal;
use crate::pacing;
use crate::send::{Hop, Refresh};
use crate::span::Span;
use crate::time::Duration;

/// One of the targets of a request (RFC 3261 §16.5).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Where to send it.
    pub hop: Hop,
    /// The Request-URI it gets there; `None`: as it stands.
    pub uri: Option<Buf>,
    /// Route values to push in front, comma-separated.
    pub route: Option<Buf>,
    /// Serial group: lower first, equal in parallel.
    pub rank: u16,
    /// The target (by its index in the plan) that this one is a stand-by of: tried only
    /// when that one failed with 430, 408, 503, 504 or without an answer, and
    /// whoever the request is for has not answered himself.
    pub after: Option<u8>,
    /// It is a stand-by for silence and for failures of the way alone. A 430 of the
    /// target before it is the word of the whole cluster, and a 408 says that the phone
    /// was asked there: this one would only have it asked again.
    pub is_last_resort: bool,
    /// How long it may be silent before its stand-by is started beside it.
    pub silence: Option<Duration>,
    /// It leads to an edge that may have the flow of the phone: when it fails, a flow
    /// has (O-5), and no server.
    pub is_for_flow: bool,
    /// `route` stands in place of the request's first Route value and not in
    /// front of it, as a loose redirect wants.
    pub replaces_route: bool,
    /// A redirect led here: a further one is not followed.
    pub is_redirected: bool,
    /// The URI that is bound to the flow on which this target accepts, since
    /// nothing was bound to it or a redirect led away from there (S-24).
    pub learns: Option<Buf>,
}

impl Target {
    /// A target that changes nothing but the way.
    #[must_use]
    pub const fn at(hop: Hop) -> Self {
        Self {
            hop,
            uri: None,
            route: None,
            rank: 0,
            after: None,
            is_last_resort: false,
            silence: None,
            is_for_flow: false,
            replaces_route: false,
            is_redirected: false,
            learns: None,
        }
    }

    /// What it comes to when the way itself fails: 430 where the target is a
    /// flow and nothing else will do (RFC 5626 §5.3.1), so that the proxy before
    /// us tries the next flow; else as by a 503 (P-31).
    #[must_use]
    pub(super) const fn failure_status(&self) -> u16 {
        match self.hop {
            Hop::Flow(_) => 430,
            Hop::To { .. } | Hop::Named(_) if self.is_for_flow => 430,
            Hop::To { .. } | Hop::Named(_) => 503,
        }
    }
}

/// What a role wants to find again when the response comes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub enum Note {
    /// Nothing.
    #[default]
    Nothing,
    /// An edge forwarded a REGISTER under this token.
    Register {
        /// The user part of its Path URI.
        token: Buf,
        /// Its Route had no token of this phone.
        initial: bool,
        /// The phone itself sent it.
        first_hop: bool,
        /// The edge has said for the phone that it knows Path.
        vouched: bool,
        /// A name led the phone here, and no address.
        by_name: bool,
    },
    /// A dialog-forming request: bind Record-Routes when it is accepted. What becomes of
    /// our value in its answers; nothing where there was nobody whom a mark could have
    /// been made for.
    Dialog(Option<Recorded>),
}

/// A role's decision about one request, filled from scratch each time.
#[derive(Debug, Default)]
pub struct Plan {
    /// Route values to take off the front.
    pub pop: usize,
    /// The last Route value becomes the Request-URI (P-7).
    pub restore_uri: bool,
    /// A new Request-URI for every target; empty: as received.
    pub request_uri: Vec<u8>,
    /// Whole header lines to put on top; with `Verdict::Answer`, to add.
    pub lines: Vec<u8>,
    /// Our values for the Record-Route, the topmost first, separated by commas.
    pub record_route: Vec<u8>,
    /// Header lines of the request that go no further.
    pub consumed: Vec<Span>,
    /// Where a `sips` begins that goes on as `sip` (C-15).
    pub(crate) sips_contact: Option<usize>,
    /// It leaves the trust domain: who asks for privacy gets it (I-3).
    pub is_leaving: bool,
    /// It goes to a phone in a datagram, whatever its length, and carries nothing twice.
    pub is_datagram: bool,
    /// Our Via says that its sender is a stranger whom the next hop may answer.
    pub is_guest: bool,
    /// Where it goes.
    pub targets: Vec<Target>,
    /// An ACK goes to every target and not to the first only: no answer would
    /// tell that another one had to be tried.
    pub ack_all: bool,
    /// The request may meet itself: compare the Vias (L-3).
    pub check_loops: bool,
    /// For the response.
    pub note: Note,
    /// When it is accepted, its dialog is at the flow that it came on.
    pub refresh: Option<Refresh>,
    /// Room for whom it is about, as the role writes it down: an address of record, or
    /// a token. What the last request left is there until the role writes.
    pub(crate) text: Vec<u8>,
    /// Room for the hops that a URI leads to, best first, before targets are made of
    /// them. What the last request left is there until the role writes.
    pub(crate) hops: Vec<Hop>,
    /// Which targets lead to one phone: those of the same number, each at the index of
    /// its target; 0 stands alone. For the role that needs it, as the room above.
    pub(crate) groups: Vec<u64>,
}

impl Plan {
    /// Begins anew; the rooms at the end keep what is in them, since whoever uses one
    /// writes it first.
    pub(super) fn clear(&mut self) {
        self.pop = 0;
        self.restore_uri = false;
        self.request_uri.clear();
        self.lines.clear();
        self.record_route.clear();
        self.consumed.clear();
        self.sips_contact = None;
        self.is_leaving = false;
        self.is_datagram = false;
        self.is_guest = false;
        self.targets.clear();
        self.ack_all = false;
        self.check_loops = false;
        self.note = Note::Nothing;
        self.refresh = None;
    }
}

impl Plan {
    /// Adds a Retry-After to the lines, each time another one, spread the further the
    /// larger the share that is refused.
    pub(crate) fn add_retry_after(&mut self, loss_percent: u8, secrets: &mut Secrets) {
        let longest = pacing::retry_within_s(loss_percent);
        let after = pacing::retry_after_s(longest, secrets.chance());
        self.say_retry_after(after);
    }

    /// Adds a Retry-After of so many seconds to the lines.
    pub(super) fn say_retry_after(&mut self, after: u32) {
        self.lines.extend_from_slice(b"Retry-After: ");
        decimal(&mut self.lines, after);
        self.lines.extend_from_slice(b"\r\n");
    }
}

/// An answer of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Reason phrase, for an operator who reads a trace.
    pub reason: &'static str,
    /// Keep no transaction: the same request gets the same answer again.
    pub stateless: bool,
}

impl Reply {
    /// An answer kept in a server transaction.
    #[must_use]
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            stateless: false,
        }
    }

    /// An answer that leaves no trace (never for INVITE, whose ACK needs one).
    #[must_use]
    pub(crate) const fn stateless(status: u16, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            stateless: true,
        }
    }
}

/// What a role says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Forward it as planned.
    Forward,
    /// Answer it here; `Plan::lines` are added to the answer.
    Answer(Reply),
    /// Answer it with 200 and `Plan::lines`, once the store has everything up to this
    /// `Output::Store` (R-9).
    AnswerOnceStored(u64),
    /// It waits until the store that several homes share has said what it has of the address
    /// of record in `Plan::text`.
    AskStore,
    /// It is the business of another shard of this node.
    HandOver(u8),
    /// Say nothing.
    Drop,
}

impl Verdict {
    /// An answer that is kept; the proxy gives none to an ACK (P-34).
    #[must_use]
    pub const fn refuse(status: u16, reason: &'static str) -> Self {
        Self::Answer(Reply::new(status, reason))
    }
}
