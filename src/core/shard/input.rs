//! What a shard is told: at its start ([`Setup`]), and of what happens outside
//! ([`Input`]).

use std::net::SocketAddr;
use std::sync::Arc;

use super::Configuration;
use crate::home::{SharedRow, Subscribers, Tell};
use crate::id::{ShardSet, SocketId, StreamId};
use crate::locate::{LookupId, Records};
use crate::send::{Handoff, Local};
use crate::time::{Duration, Wall};
use crate::{agent, edge, home};

/// What a shard is told at its start.
pub struct Setup {
    /// Its endpoints; a UDP one is `SocketId` by its index. First the listeners,
    /// whose addresses all shards of the node share, then the sockets towards the
    /// home of all shards, in the order of the shards and as many of each: a flow
    /// has one name on the whole node.
    pub locals: Vec<Local>,
    /// What it is.
    pub role: Role,
    /// Secret, from the operating system, different on each shard.
    pub seed: [u64; 4],
    /// The shards of its node.
    pub shard_set: ShardSet,
    /// The calendar at the clock's zero.
    pub wall: Wall,
}

/// What a node is.
#[derive(Clone)]
pub enum Role {
    /// The edge that phones connect to.
    Edge(edge::Settings),
    /// The home of a domain.
    Home(home::Settings, Arc<Subscribers>),
    /// A user agent.
    Agent(agent::Settings),
}

impl Role {
    /// The answers of a home wait until what they say is on disk.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        match self {
            Self::Home(settings, _) => settings.is_durable,
            Self::Edge(_) | Self::Agent(_) => false,
        }
    }
}

/// Something that happened outside.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// One whole UDP datagram.
    Datagram {
        /// Our socket.
        socket: SocketId,
        /// Its sender.
        peer: SocketAddr,
        /// All of it.
        bytes: &'a [u8],
    },
    /// ICMP says that datagrams to `peer` do not arrive.
    Unreachable {
        /// Our socket.
        socket: SocketId,
        /// Who is not there.
        peer: SocketAddr,
        /// The beginning of what was sent there, as far as it came back.
        quoted: &'a [u8],
    },
    /// A connection asked for with `Output::Connect` is up; over TLS, the
    /// peer has proven the name asked for.
    Connected {
        /// Which.
        stream: StreamId,
        /// The domains its verified certificate names (RFC 5922 §7.1).
        identities: &'a [Box<str>],
    },
    /// Bytes of a stream, in order, split anywhere.
    Stream {
        /// Which.
        stream: StreamId,
        /// The next ones.
        bytes: &'a [u8],
    },
    /// The stream is gone, or could not be opened. Nothing more comes of it.
    Closed {
        /// Which.
        stream: StreamId,
    },
    /// The keys of a stream over TLS 1.2 have sealed nearly all that they may (C-18): what begins
    /// now takes another connection, before this one ends.
    UsedUp {
        /// Which.
        stream: StreamId,
    },
    /// What the DNS said to an `Output::Resolve`; late, short or empty where it
    /// could not.
    Resolved {
        /// As in the question.
        name: LookupId,
        /// What was found.
        records: Records,
    },
    /// A row of the store, read back before any traffic; of an edge, a flow that an
    /// earlier run has left. Every shard is given all of them.
    Restored {
        /// As in `Output::Store`.
        key: &'a [u8],
        /// As in `Output::Store`.
        value: &'a [u8],
    },
    /// What was put out as `Output::Store` is on disk.
    Stored {
        /// The number of the last of them: all before it are there too.
        up_to: u64,
    },
    /// What a store that several homes share has of an address of record: it was changed there,
    /// or asked for, or this is what came of a change of ours.
    Shared {
        /// What it has; `None`: it cannot say.
        row: Option<SharedRow<'a>>,
        /// As in `Output::Ask`; 0: nobody has asked.
        ask: u64,
    },
    /// Such a store has not carried out a change, since a later one was there (RFC 3261 §10.3).
    /// What it has instead was told before.
    Refused {
        /// As in `Output::Store`.
        number: u64,
    },
    /// Such a store is to be told of every address of record, or asked for it.
    TellShared(Tell),
    /// The store cannot be written, or has not taken what was put out: nothing after the last
    /// `Stored` may be believed to be on disk.
    NotStored,
    /// Another shard has given us this.
    Handoff {
        /// Which shard.
        from: u8,
        /// What.
        handoff: Handoff,
    },
    /// A new list of subscribers.
    Subscribers {
        /// All of them.
        list: Arc<Subscribers>,
        /// The addresses of record that it takes away, or gives another password
        /// (`Subscribers::revoked_by`).
        revoked: home::Revoked,
    },
    /// Other settings, from the next message on. Nothing to a user agent.
    Configured(&'a Configuration),
    /// What a user agent is to do; nothing to the other roles.
    Command(agent::Command),
    /// No new dialogs or registrations from now on.
    Drain {
        /// When it ends at the latest.
        within: Duration,
    },
    /// All shards of a home that drains have answered what they had when that began: nothing is
    /// taken in any more, and it ends once nothing is under way. Nothing to the other roles.
    Leave,
    /// The deadline came.
    Tick,
}
