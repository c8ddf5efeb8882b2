//! What is decided about a message, and the sentence for it.

use super::PeerLink;
use crate::stick::Level;

/// One decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request gets an answer of our own.
    Answered {
        /// Its status.
        status: u16,
        /// Its reason.
        reason: &'static str,
    },
    /// It is the business of another shard of this node.
    HandedOver {
        /// Which.
        shard: u8,
    },
    /// Nothing is done about it, and nobody is told.
    Dropped,
    /// It cannot be read.
    Malformed,
    /// An edge gives it to the phone, over this flow.
    ToPhone(PhoneFlow),
    /// An edge has no flow to the phone.
    NoFlow(FlowLack),
    /// An edge has no flow to the phone, and names the other edges of the token.
    NotHere,
    /// An edge asks the other edges for the phone's flow.
    Relayed,
    /// An edge sends it to the homes, in order.
    ToHome {
        /// The first one is the home that the URI is bound to.
        sticks: bool,
    },
    /// A home sends it to a contact, over the flow that the contact registered by.
    Contact,
    /// A URI is bound to this flow.
    Stuck {
        /// How well it matches.
        level: Level,
    },
    /// A URI of the edges is bound to no flow that is up.
    NotStuck,
    /// A REGISTER was accepted, and requests for its phone take this flow from now on.
    Registered,
    /// Nothing is waited for on this way any more, or not on it alone.
    Silent(Silence),
    /// Another way is tried, since the one before it came to this.
    StandBy {
        /// The status.
        status: u16,
    },
    /// No home takes it now: it waits for one.
    Held,
    /// The best status that all ways came to is told in other words.
    Final {
        /// What they came to.
        status: u16,
        /// What the sender is told.
        sent: u16,
        /// Why.
        reason: &'static str,
    },
    /// The best that all ways came to is an answer that nobody has given.
    Unanswered {
        /// What the sender is told.
        status: u16,
        /// Why.
        reason: &'static str,
    },
}

/// Why a flow is taken for the phone's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhoneFlow {
    /// It registered by it, and by no newer one.
    Registered,
    /// The dialog was refreshed by it last.
    Refreshed,
    /// A flow token names it.
    FlowToken,
}

/// Why there is no flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowLack {
    /// No phone of this token is registered here.
    NotHere,
    /// The flow token was made by an earlier run.
    OlderRun,
    /// The connection that the flow token names is closed.
    Closed,
    /// It is not known yet who the homes are, so that the sender may be one.
    HomesUnknown,
}

/// Why a way is given up, or not waited for alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing came for T1.
    Overtaken,
    /// The element there answers no keep-alives.
    PeerLost,
    /// No final answer came (Timer B or F).
    TimedOut,
    /// It rang for as long as it may (Timer C).
    RangOut,
    /// The connection was lost.
    FlowLost,
    /// What was sent did not arrive (ICMP).
    Unreachable,
    /// Nothing leads there.
    NoWay,
}

impl Decision {
    /// One word for what it is, for programs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Answered { .. } => "answered",
            Self::HandedOver { .. } => "handed-over",
            Self::Dropped => "dropped",
            Self::Malformed => "malformed",
            Self::ToPhone(_) => "to-phone",
            Self::NoFlow(_) => "no-flow",
            Self::NotHere => "not-here",
            Self::Relayed => "relayed",
            Self::ToHome { .. } => "to-home",
            Self::Contact => "contact",
            Self::Stuck {
                level: Level::Exact,
            } => "stuck-exact",
            Self::Stuck { .. } => "stuck-equal",
            Self::NotStuck => "not-stuck",
            Self::Registered => "registered",
            Self::Silent(_) => "silent",
            Self::StandBy { .. } => "stand-by",
            Self::Held => "held",
            Self::Final { .. } => "final",
            Self::Unanswered { .. } => "unanswered",
        }
    }

    /// It with the far side that it is about, as a sentence.
    #[must_use]
    pub fn sentence(&self, link: Option<&PeerLink>) -> String {
        let at = match link {
            Some(link) => format!("{}:{}", link.transport.uri_token(), link.peer),
            None => "another way".to_owned(),
        };
        match *self {
            Self::Answered { status, reason } => format!("answers {status} itself: {reason}"),
            Self::HandedOver { shard } => format!("hands it over to shard {shard}"),
            Self::Dropped => "drops it".to_owned(),
            Self::Malformed => "cannot read it".to_owned(),
            Self::ToPhone(flow) => format!("takes the flow to {at}, {}", flow.words()),
            Self::NoFlow(lack) => format!("430: {}", lack.words()),
            Self::NotHere => {
                "no flow to this phone here: names the other edges of its token".to_owned()
            }
            Self::Relayed => "no flow to this phone here: asks the other edges for it".to_owned(),
            Self::ToHome { sticks: false } => "to the homes, in the configured order".to_owned(),
            Self::ToHome { sticks: true } => {
                "to the homes, first the one that the URI is bound to".to_owned()
            }
            Self::Contact => format!("takes the flow of a contact, to {at}"),
            Self::Stuck { level } => format!("sticks to the flow to {at}: {}", level_words(level)),
            Self::NotStuck => {
                "no flow that is up is bound to the URI: the edges in turn".to_owned()
            }
            Self::Registered => format!("registered: requests for this phone take {at}"),
            Self::Silent(silence) => format!("{at} {}", silence.words()),
            Self::StandBy { status } => {
                format!("tries {at} next, since the way before it came to {status}")
            }
            Self::Held => "no home takes it now: waits for one".to_owned(),
            Self::Final {
                status,
                sent,
                reason,
            } => format!("answers {sent} {reason}, since the best that it got is {status}"),
            Self::Unanswered { status, reason } => {
                format!("answers {status} {reason}, since nobody has answered")
            }
        }
    }
}

impl PhoneFlow {
    const fn words(self) -> &'static str {
        match self {
            Self::Registered => "by which the phone registered last",
            Self::Refreshed => "by which the dialog was refreshed last",
            Self::FlowToken => "which a flow token names",
        }
    }
}

impl FlowLack {
    const fn words(self) -> &'static str {
        match self {
            Self::NotHere => {
                "this edge has no flow to the phone: it never registered here, or its flow is gone"
            }
            Self::OlderRun => "the flow token was made by an earlier run of this edge",
            Self::Closed => "the connection that the flow token names is closed",
            Self::HomesUnknown => "this edge does not know its homes yet, so the sender may be one",
        }
    }
}

impl Silence {
    const fn words(self) -> &'static str {
        match self {
            Self::Overtaken => "says nothing: its stand-by is asked as well",
            Self::PeerLost => "is dead: it answers no keep-alives",
            Self::TimedOut => "gave no final answer in time",
            Self::RangOut => "rang for as long as it may",
            Self::FlowLost => "lost its connection",
            Self::Unreachable => "is not there (ICMP)",
            Self::NoWay => "cannot be sent to",
        }
    }
}

const fn level_words(level: Level) -> &'static str {
    match level {
        Level::Exact => "the very URI is bound to it",
        Level::Equal => "an equal URI is bound to it, by another edge of the set",
        Level::Domain => "it leads to the domain",
    }
}
