//! Behaviours that the simulation leaves out one at a time, to see that its
//! laws notice (`tests/sim`). Nothing can be left out of a release build: the
//! question is a constant there, and what depends on it is not compiled.

/// One behaviour to leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Omit {
    /// Nothing.
    #[default]
    Nothing,
    /// A URI binds only to a flow whose domain it has (S-4, S-5, S-11).
    DomainTest,
    /// What an edge relayed is not relayed again (H-12).
    RelayMark,
    /// A flow that failed is not chosen again (S-22).
    FailedFlows,
    /// A refresh is not answered with Outbound-Proxy (D-E10).
    QuietRefresh,
    /// The ACK of a refusal ends at its INVITE transaction (RFC 3261 §17.1.1.3).
    AckMatching,
    /// An INVITE that rings has an end (RFC 3261 §16.6-11).
    TimerC,
    /// Whoever stands by for a target that failed is tried (O-19, O-20, H-7).
    StandBy,
    /// What is pending is cancelled once it is not wanted any more (P-29, P-32).
    Cancelling,
    /// Every attempt has a branch of its own (RFC 3261 §16.6-8).
    BranchUniqueness,
    /// A refusal is acknowledged by the hop that hears it (P-35).
    HopAck,
    /// A 430 does not reach the caller (O-21).
    Softening,
    /// The ACK of a 2xx travels on (P-34).
    DialogAck,
    /// A repeated request is no new one (RFC 3261 §17.2.3).
    Absorbing,
    /// What was lost with its connection before it was heard goes again over a
    /// new one (RFC 3263 §4.3, P-31).
    SendingAgain,
    /// What a home may have taken does not go there under another branch (V-8).
    OnlyUntaken,
    /// An answer that finds nobody where its request came from goes by the
    /// sent-by of its Via (X-4, N-10).
    SentBy,
    /// An edge lets nobody go on in a dialog without its mark.
    EdgeMark,
    /// Nor does a home.
    HomeMark,
    /// Nothing is sent to where nobody is to be sent (I-6).
    Destinations,
    /// What only the trust domain may say is taken off at its border (I-1, I-4).
    Stripping,
    /// Whoever calls in a subscriber's name is asked whether he is that (P-6).
    Asking,
    /// An answer from outside leaves the Record-Route as it was.
    RouteSet,
    /// What stands in routes for phones that resolve is a name (M-1).
    Names,
    /// Where no edge of the token has a flow, the other members are asked (H-12).
    Outside,
}

impl Omit {
    /// True when `what` is to be left out.
    #[must_use]
    pub(crate) const fn leaves_out(self, what: Self) -> bool {
        cfg!(debug_assertions) && self as u8 == what as u8
    }
}
