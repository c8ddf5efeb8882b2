//! What one shard of a node says to another. All of it is by value: two shards
//! share no memory, and a thing handed over belongs to whoever has it.

use crate::id::{Flow, StreamId};
use crate::send::End;
use crate::time::Instant;
use crate::trust::Ingress;

/// The far side of a flow, as the shard that holds it knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Far {
    /// Its end of the flow.
    pub end: End,
    /// The domains its certificate names.
    pub identities: Box<[Box<str>]>,
}

/// A registration that a shard of an edge has over a flow of its own: one phone,
/// and which of its flows it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// As in `edge::Subscriber`.
    pub user: Box<[u8]>,
    /// As in `edge::Subscriber`.
    pub realm: Box<[u8]>,
    /// As in `edge::Subscriber`.
    pub instance: Box<[u8]>,
    /// The phone's number for the flow.
    pub reg_id: u32,
}

/// A dialog as one of its phones has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// The dialog, by a keyed hash of its Call-ID, its tags, the side and the phone.
    pub dialog: u64,
    /// The phone, by the hash of its user, domain and instance, or of its flow token.
    pub phone: u64,
}

/// A piece of work, or a piece of news, for another shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handoff {
    /// A message that came to one shard and is the business of another, which
    /// takes it as if it had come there.
    Message {
        /// What the shard found out that it came to first, this time counted.
        ingress: Ingress,
        /// The far side of its flow.
        far: Far,
        /// All of it.
        bytes: Box<[u8]>,
    },
    /// A request on a UDP flow that the other one holds since an earlier run; it
    /// takes it as if it had come there.
    Stray {
        /// The flow.
        flow: Flow,
        /// All of it.
        bytes: Box<[u8]>,
    },
    /// Bytes to send on a flow that the other one holds.
    Send {
        /// Where.
        flow: Flow,
        /// What.
        bytes: Box<[u8]>,
    },
    /// A connection that others were told of is gone.
    Gone {
        /// Which.
        stream: StreamId,
    },
    /// A datagram did not arrive there. The kernel says so to the shard
    /// that answers from there would come to, which need not be the one that
    /// sent.
    Unreachable {
        /// Where.
        flow: Flow,
        /// The beginning of it.
        quoted: Box<[u8]>,
    },
    /// The answer to a keep-alive of the other one's came to the sender.
    Heard {
        /// Over what.
        flow: Flow,
    },
    /// A connection of the sender's has been silent for too long.
    Silent {
        /// Which.
        flow: Flow,
    },
    /// The sender holds the flow of a phone (by the hash of its user, domain and
    /// instance) until this time; a time that is over: no longer.
    Holds {
        /// Which phone.
        phone: u64,
        /// The end of its registration.
        until: Instant,
        /// The registration, when the sender did not have it before.
        came: Option<Held>,
    },
    /// Another shard has this registration now, over a flow of its own.
    Moved(Held),
    /// A phone has gone on with a dialog over this flow, which its requests take from
    /// now on.
    Refreshed {
        /// Which dialog of which phone.
        refresh: Refresh,
        /// The flow.
        flow: Flow,
        /// Its far side.
        far: Far,
        /// The sender knows that it is where it says.
        is_proven: bool,
    },
    /// Such a dialog is over.
    Over {
        /// Which, as in `Refresh`.
        dialog: u64,
    },
    /// A phone has registered anew, or has renewed that: what was known of its dialogs
    /// is older.
    Renewed {
        /// Which phone, by the hash of its user, domain and instance.
        phone: u64,
    },
    /// Whoever is registered as this user has been revoked by the home.
    Revoked {
        /// The user, in the spelling of `uri::write_user`.
        user: Box<[u8]>,
        /// Its domain, in lower case.
        realm: Box<[u8]>,
    },
    /// The record of an address of record has changed.
    Row {
        /// As in `Output::Store`.
        key: Box<[u8]>,
        /// As in `Output::Store`.
        value: Option<Box<[u8]>>,
        /// The flow and the far side of each of its bindings, in their order.
        flows: Box<[Option<(Flow, Far)>]>,
    },
    /// A Record-Route URI sticks to a flow.
    Stuck {
        /// The URI.
        uri: Box<[u8]>,
        /// The flow.
        flow: Flow,
        /// Its far side.
        far: Far,
        /// Until when.
        until: Instant,
    },
}
