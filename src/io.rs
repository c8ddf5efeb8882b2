//! The data plane: one shard, one core, one executor, its own sockets.
//!
//! - A shard's sockets share their ports with those of the other shards
//!   (SO_REUSEPORT) and nothing else; a flow stays on the shard the kernel
//!   gave it to. What is another shard's business goes there through a ring
//!   (`mesh`), by value.
//! - Each shard has an io_uring of its own, through which its sockets accept, connect,
//!   receive and send, and it waits nowhere but there. The executor (glommio) places its
//!   thread, starts it and ends it.
//! - A turn is one enter: it hands over all that the last one had to say, each stream in
//!   one write, and brings all that came. No message is awaited twice, and nothing on a
//!   shard ever waits for a peer, the store or the control thread.
//! - A panic in a shard ends the process: half a node would keep its ports and
//!   swallow their traffic.
//!
//! Not here: what the bytes mean ([`shard`](crate::shard)), signals and files ([`control`](crate::control)).

mod accept;
mod address;
mod bell;
mod clock;
mod completion_id;
mod counters;
mod dns_request;
mod engine;
mod executor;
mod icmp;
mod inbox;
mod legacy;
mod machine;
mod mesh;
mod notices;
mod outgoing;
mod purpose;
mod record;
mod ring;
mod rlimit;
mod shared;
mod socket;
mod sockets;
mod streams;
pub mod tls;
mod udp;

use std::net::SocketAddr;

pub use clock::Clock;
pub use dns_request::{DnsRequest, DnsSender, to_dns};
pub use executor::{Begins, Handle, Inherited, Start, check_cores, start};
#[cfg(test)]
pub(crate) use inbox::inbox;
pub use inbox::{
    Answer, HOMES_IN_REACH, NewSettings, Number, Numbers, Order, Orders, Question, Recorded, Turns,
};
pub use legacy::{Inheritance, Legacy};
pub use machine::{take_small_pages, warn_about_machine};
pub use mesh::{Mesh, mesh};
pub use notices::Told;
pub use purpose::Purpose;
pub use record::{Record, StoreSender, StoreState, to_store};
pub use rlimit::{check_files, raise_open_files};
pub use shared::{KeptBindings, SharedAnswer, SharedQuestion};
pub use sockets::{Listening, Sockets, check, open};

use counters::Counters;
pub use outgoing::Outgoing;
use ring::check_ring;
use rlimit::locked_memory;

use crate::id::Transport;

/// Why a node cannot start, each a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A listener's address cannot be bound.
    #[error("cannot listen on {}:{addr}: {}", transport.uri_token(), reason(why))]
    Listen {
        /// The listener's transport.
        transport: Transport,
        /// The listener's address.
        addr: SocketAddr,
        /// Whom it was for, by which the configuration lists it.
        purpose: Purpose,
        /// What the kernel said.
        why: std::io::Error,
    },
    /// The port that a shard sends to the homes from cannot be bound.
    #[error("cannot send from udp:{addr}: {}", core_reason(why))]
    CorePort {
        /// The address with the port.
        addr: SocketAddr,
        /// What the kernel said.
        why: std::io::Error,
    },
    /// RLIMIT_MEMLOCK is too low for the rings.
    #[error(
        "only {limit} bytes of memory may be locked but each shard's rings need {}: raise it \
         with `ulimit -l {}` or LimitMEMLOCK= in the service's unit",
        crate::limits::LOCKED_MEMORY_MIN,
        crate::limits::LOCKED_MEMORY_MIN / 1024
    )]
    LockedMemory {
        /// The limit, in bytes.
        limit: u64,
    },
    /// There are fewer cores than shards.
    #[error("{shards} shards need a core each but only {cores} may be used: lower `shards`")]
    Cores {
        /// Shards asked for.
        shards: usize,
        /// Cores there are.
        cores: usize,
    },
    /// Too few files may be open.
    #[error(
        "only {limit} files may be open, and this node needs {needed} and one for each connection: `ulimit -n 65536`, for systemd `LimitNOFILE=65536`"
    )]
    OpenFiles {
        /// How many.
        limit: u64,
        /// What would do for a handful of connections.
        needed: u64,
    },
    /// The executor could not be made, most often for want of io_uring.
    #[error("cannot start the executor ({0}): it needs io_uring, which a container may forbid")]
    Executor(String),
    /// io_uring cannot do what a shard needs.
    #[error("Linux {release} is too old: a shard needs io_uring as it is since Linux 6.1")]
    OldKernel {
        /// What this kernel calls itself.
        release: String,
    },
    /// The kernel refused a descriptor or a call that cannot fail otherwise.
    #[error("the kernel refused what every shard needs: {0}")]
    Kernel(#[from] std::io::Error),
}

/// Finds out whether the kernel gives what every shard needs.
///
/// # Errors
/// What it does not give, as a sentence.
pub fn check_kernel() -> Result<(), Fault> {
    locked_memory()?;
    check_ring()
}

fn core_reason(why: &std::io::Error) -> String {
    if why.kind() == std::io::ErrorKind::AddrInUse {
        "another process has that port; end it, if it is this node running already, or name \
         another `core_port`, here and to its peers"
            .to_owned()
    } else {
        reason(why)
    }
}

/// What the operator may do about an address that cannot be had.
pub(crate) fn reason(why: &std::io::Error) -> String {
    let known = [
        (
            std::io::ErrorKind::AddrInUse,
            "another process has that port; end it, if it is this node running already, or list \
             another port",
        ),
        (
            std::io::ErrorKind::AddrNotAvailable,
            "no interface of this machine has that address; list one that `ip address` shows",
        ),
        (
            std::io::ErrorKind::PermissionDenied,
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE; grant it, or list another \
             port",
        ),
    ];
    let found = known.iter().find(|(kind, _)| *kind == why.kind());
    found.map_or_else(|| why.to_string(), |(_, text)| (*text).to_owned())
}
