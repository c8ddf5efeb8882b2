//! What a shard leaves to the process that goes on in its place: what its core holds, its
//! sockets, and for each connection what stands between both.
//!
//! The bytes are of one version as a whole (`carry::VERSION`). The keys of TLS sessions are in
//! them: they are given to one process, which uses them once the one before it will not.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

use crate::id::StreamId;
use crate::send::Local;

/// What a shard leaves.
#[derive(Debug)]
pub struct Legacy {
    /// What its core holds.
    pub core: Vec<u8>,
    /// What its sockets are, and what waits on them.
    pub shell: Vec<u8>,
    /// The sockets, in the order in which `shell` speaks of them. They stay open for as long as
    /// the shard stands still.
    pub sockets: Vec<RawFd>,
}

/// What a shard begins with that goes on in the place of another one.
#[derive(Debug)]
pub struct Inheritance {
    /// As in `Legacy`.
    pub core: Vec<u8>,
    /// As in `Legacy`.
    pub shell: Vec<u8>,
    /// The same sockets.
    pub sockets: Vec<OwnedFd>,
}

/// `Legacy::shell`, read.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Shell {
    /// In the order of `shard::Setup::locals`.
    pub(super) locals: Vec<LocalLeft>,
    /// UDP sockets that are connected to a peer: the `SocketId` that they have in common, and
    /// the peer.
    pub(super) connected: Vec<(u16, SocketAddr)>,
    pub(super) streams: Vec<StreamLeft>,
    pub(super) dials: Vec<DialLeft>,
}

/// An endpoint.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LocalLeft {
    pub(super) local: Local,
    pub(super) accepts_peers: bool,
    /// It is this shard's, and there is a socket for it.
    pub(super) is_own: bool,
}

/// A connection that is up.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StreamLeft {
    pub(super) stream: StreamId,
    /// What the core has sent and the kernel has not taken, in clear.
    pub(super) unsent: Vec<u8>,
    /// Its peer sends nothing more.
    pub(super) has_ended: bool,
    pub(super) tls: Option<TlsLeft>,
}

/// The TLS half of a connection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TlsLeft {
    pub(super) peer: SocketAddr,
    /// The session (`steadfast_record::State`).
    pub(super) session: Vec<u8>,
    /// A record that has begun to come.
    pub(super) held: Vec<u8>,
    /// Records that the kernel has not taken; they leave before `unsent`.
    pub(super) sealed: Vec<u8>,
}

/// A connection that the core has asked for and that nobody has begun to open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DialLeft {
    pub(super) stream: StreamId,
    pub(super) from: Option<IpAddr>,
    pub(super) peer: SocketAddr,
    pub(super) tls: Option<Box<str>>,
    /// What the core has sent over it.
    pub(super) unsent: Vec<Vec<u8>>,
}
