//! Messages from one shard of a node to another. All are by value: two shards
//! share no memory, and what is handed over belongs to the receiver.

use serde::{Deserialize, Serialize};

use crate::id::{Flow, StreamId};
use crate::send::Far;
use crate::time::Instant;
use crate::trust::Ingress;

/// A flow binding that a shard of an edge has: the phone and its reg-id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBinding {
    /// As in `edge::Subscriber`.
    pub user: Box<[u8]>,
    /// As in `edge::Subscriber`.
    pub realm: Box<[u8]>,
    /// As in `edge::Subscriber`.
    pub instance: Box<[u8]>,
    /// The phone's number for the flow.
    pub reg_id: u32,
}

/// A dialog whose phone sends over another flow than its Route leads to (`edge::target_refresh`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    /// The dialog, by a keyed hash of its Call-ID, its tags, the side and the phone.
    pub dialog: u64,
    /// The phone, by a keyed hash of the name that its tokens give it, or of its flow token.
    pub phone: u64,
}

/// Something to do, or to know, for another shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handoff {
    /// A message that one shard has received and another one must handle, as if it had received it
    /// itself.
    Message {
        /// The ingress of the request at the first shard, with this handover counted.
        ingress: Ingress,
        /// The far side of its flow.
        far: Far,
        /// All of it.
        bytes: Box<[u8]>,
    },
    /// A request over a UDP flow that the receiver holds since an earlier run, to be handled as if
    /// the receiver had got it from the socket.
    RestoredFlow {
        /// The flow.
        flow: Flow,
        /// All of it.
        bytes: Box<[u8]>,
    },
    /// Bytes to send over a flow that the receiver holds.
    Send {
        /// Where.
        flow: Flow,
        /// What.
        bytes: Box<[u8]>,
    },
    /// A connection that other shards know is gone.
    Gone {
        /// Which.
        stream: StreamId,
    },
    /// An ICMP error: a datagram did not arrive. The kernel gives it to the shard
    /// whose socket would get the answer, which need not be the one that sent.
    Unreachable {
        /// Where.
        flow: Flow,
        /// The beginning of it.
        quoted: Box<[u8]>,
    },
    /// The sender has received the answer to a keep-alive of the receiver.
    Heard {
        /// Over what.
        flow: Flow,
    },
    /// A connection of the sender has been silent for too long.
    Silent {
        /// Which.
        flow: Flow,
    },
    /// From an edge to itself on another shard.
    Edge(EdgeHandoff),
    /// From a home to itself on another shard.
    Home(HomeHandoff),
}

/// What a shard of an edge tells another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeHandoff {
    /// The sender holds the flow of a phone until `until`; where that is over, it does not hold
    /// it any more.
    Holds {
        /// The phone, by the hash of its user, realm and instance.
        phone: u64,
        /// When its flow binding ends.
        until: Instant,
        /// The binding, where it is new at the sender.
        came: Option<HeldBinding>,
    },
    /// This binding is at another shard now, to a flow of that shard.
    Moved(HeldBinding),
    /// A phone has refreshed a dialog over this flow, which requests of the dialog take from
    /// now on.
    Refreshed {
        /// The dialog and the phone.
        refresh: Refresh,
        /// The flow.
        flow: Flow,
        /// Its far side.
        far: Far,
        /// The sender knows that the phone receives at the flow.
        is_proven: bool,
    },
    /// A dialog of `Refreshed` has ended.
    Over {
        /// Its hash, as in `Refresh`.
        dialog: u64,
    },
    /// A phone was bound, or its binding renewed: what was known of its dialogs' flows is void.
    Renewed {
        /// The phone, as in `Refresh`.
        phone: u64,
    },
    /// The home has revoked this user: its bindings end.
    Revoked {
        /// The user, in the spelling of `uri::write_user`.
        user: Box<[u8]>,
        /// Its domain, in lower case.
        realm: Box<[u8]>,
    },
}

/// What a shard of a home tells another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HomeHandoff {
    /// The row of an address of record has changed.
    Row {
        /// As in `Output::Store`.
        key: Box<[u8]>,
        /// As in `Output::Store`.
        value: Option<Box<[u8]>>,
        /// The flow and the far side of each of its bindings, in their order.
        flows: Box<[Option<(Flow, Far)>]>,
    },
    /// A Record-Route URI is bound to a flow.
    Stuck {
        /// The URI.
        uri: Box<[u8]>,
        /// The flow.
        flow: Flow,
        /// Its far side.
        far: Far,
        /// When that binding ends.
        until: Instant,
    },
}
