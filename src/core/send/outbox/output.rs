//! What the core has the shell do.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Event, Handoff};
use crate::bytes::Buf;
use crate::guard::Near;
use crate::id::{Flow, StreamId, Transport};
use crate::locate::{LookupId, Question};
use crate::time::Duration;

/// One thing to do. The shell does them in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send these bytes: one datagram, or in order on the stream (which may
    /// still be connecting: then they wait).
    Transmit {
        /// Where.
        flow: Flow,
        /// What.
        bytes: Buf,
    },
    /// Open a connection from an address by which the peer knows us.
    Connect {
        /// Its name from now on.
        stream: StreamId,
        /// The far side.
        peer: SocketAddr,
        /// Our core side's; `None`: that of the first TCP listener.
        from: Option<IpAddr>,
        /// Over TLS: the domain that the peer's certificate must name, and that
        /// it is asked for (RFC 5922 §7.3, §7.8). Over TCP: nothing.
        tls: Option<Box<str>>,
    },
    /// Write what is queued, then close. No `Closed` answers it.
    Close {
        /// Which.
        stream: StreamId,
    },
    /// Find the records that `locate::walk` wants for this question, and answer
    /// with `Input::Resolved`.
    Resolve {
        /// To be named in the answer.
        name: LookupId,
        /// What is asked.
        question: Arc<Question>,
    },
    /// Keep (or with `None` delete) a row of the location store, when there is time. Where
    /// several homes share the store, the value is a change (`home::SharedChange`), and what
    /// comes of it is told in `Input::Shared`.
    Store {
        /// The row.
        key: Buf,
        /// Its value.
        value: Option<Buf>,
        /// Counts up from 1 at a home whose answers wait for the disk, or that shares its store,
        /// to be named in `Input::Stored`; 0: nobody waits.
        number: u64,
    },
    /// Say in `Input::Shared` what the store that several homes share has of an address of
    /// record.
    Ask {
        /// Which.
        key: Buf,
        /// To be named in the answer; 0: no request waits for it.
        id: u64,
    },
    /// Give a message to another shard of the node, as `Input::Handoff`.
    Handoff {
        /// Which.
        to: u8,
        /// What.
        handoff: Handoff,
    },
    /// A line for the operator's log.
    Notice(Notice),
    /// An event of the user agent, for its user.
    Event(Box<Event>),
}

/// A fact for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A home or an edge answers.
    PeerUp {
        /// Where.
        peer: SocketAddr,
        /// Over what.
        transport: Transport,
    },
    /// A home or an edge does not answer, or its connection went.
    PeerDown {
        /// Where.
        peer: SocketAddr,
        /// Over what.
        transport: Transport,
        /// What was seen.
        why: &'static str,
    },
    /// A REGISTER that had passed an edge was redirected again, since this home does
    /// not take the address that it came from for an edge's.
    UnrecognisedEdge {
        /// Which.
        source: IpAddr,
        /// It came over TLS, where the certificate says who is an edge.
        is_tls: bool,
    },
    /// A request by `sips` was refused, since what it leads to is not reached over TLS.
    SipsRefused {
        /// Who asked.
        source: IpAddr,
    },
    /// A shard is late in its work, and refuses a share of what is new from now on.
    SheddingBegan {
        /// The share, in percent.
        percent: u8,
    },
    /// It takes everything in again.
    SheddingEnded {
        /// How long it has refused.
        lasted: Duration,
        /// Requests that it has refused meanwhile.
        refused: u64,
    },
    /// A source comes near the number of connections that it may have.
    SourceNear {
        /// Whose.
        source: IpAddr,
        /// How many it has, and may have.
        near: Near,
    },
}
