//! Transactions: the reliability of SIP over datagrams, and the memory that
//! tells a retransmission from a request. RFC 3261 §17, RFC 6026, RFC 4320.
//!
//! This room neither reads nor writes a message: it keeps the bytes it is
//! given, hands them back when they are due, and the caller transmits: at once what a call of
//! [`Transactions`] returns, later what is [`Due`].
//!
//! - One wheel for all timers, and at most one entry on it per transaction.
//!   Events change states and leave the wheel alone; an entry that fires asks
//!   its transaction what is really due and goes back on the wheel if that is
//!   later. No state change brings a due time forward, except to "now", and
//!   such a transaction is over at once.
//! - Slots carry generations: an entry or id whose transaction has ended
//!   finds nothing.
//! - Whatever was begun ends: by its timers, or by its owner where the RFCs
//!   set none (before the user's final response, after a provisional one to
//!   an INVITE).

mod agenda;
mod branch;
mod client;
mod client_side;
mod due;
mod flow_waiters;
mod key;
mod pace;
mod queue_links;
mod server;
mod server_side;
mod table;
#[cfg(test)]
mod trial;
mod wheel;

pub(crate) use branch::shard_of;
pub use due::Due;
pub use key::{ServerKey, TransactionKeys};
pub use wheel::{TimerId, Wheel};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bytes::{Buf, Pool};
use crate::carry::{Carried, Reader, Unreadable, Writer};
use crate::id::Flow;
use crate::time::Instant;
use agenda::Agenda;
use table::{ClientTransactions, ServerTransactions};

/// The two kinds of transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionKind {
    /// INVITE: may ring for minutes, is acknowledged.
    Invite,
    /// Everything else.
    Other,
}

impl TransactionKind {
    /// The kind of a method's transaction.
    #[must_use]
    pub fn of(method: &[u8]) -> Self {
        if method == b"INVITE" {
            Self::Invite
        } else {
            Self::Other
        }
    }
}

/// What to put on the wire.
#[derive(Clone, Debug)]
pub struct Send {
    /// Where.
    pub flow: Flow,
    /// One message.
    pub bytes: Buf,
}

/// What a response means to the user above.
#[derive(Clone, Debug)]
pub enum ResponseAction {
    /// Pass it up: a provisional, the first final, or any 2xx to an INVITE.
    Pass,
    /// The first final to an INVITE, and not a 2xx: pass it up, build an ACK
    /// and hand it to `ack`.
    PassAndAck,
    /// That final again: send the ACK again, and nothing else.
    Again(Send),
    /// It ends here.
    Absorb,
}

/// All transactions of a shard. `O` names the owner of a transaction, `U` a
/// timer of the rooms above.
#[derive(Debug)]
pub struct Transactions<O: Copy, U: Copy> {
    keys: TransactionKeys,
    servers: ServerTransactions<O>,
    clients: ClientTransactions<O>,
    agenda: Agenda<U>,
}

impl<O: Copy, U: Copy> Transactions<O, U> {
    /// None yet, with the clock at `now`. `seed` must be known to nobody
    /// else: it keeps branches from being guessed and tables from attack. The
    /// branches name `shard`, for responses that come to another one.
    #[must_use]
    pub fn new(now: Instant, seed: [u64; 4], shard: u8) -> Self {
        let keys = TransactionKeys::new(seed);
        let clients = ClientTransactions::new(&keys, seed, shard);
        Self {
            servers: ServerTransactions::new(keys.table()),
            keys,
            clients,
            agenda: Agenda::new(now),
        }
    }

    /// Computes the keys of requests.
    #[must_use]
    pub const fn keys(&self) -> &TransactionKeys {
        &self.keys
    }

    /// Server transactions there are.
    #[must_use]
    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    /// Client transactions there are, reserved ones included.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.len()
    }
}

impl<O: Copy, U: Copy> Transactions<O, U> {
    /// Has the buffers that were read belong to a pool.
    pub(crate) fn adopt_bufs(&mut self, pool: &Pool) {
        self.servers.adopt_bufs(pool);
        self.clients.adopt_bufs(pool);
    }
}

impl<O, U> Carried for Transactions<O, U>
where
    O: Copy + Serialize + DeserializeOwned,
    U: Copy + Serialize + DeserializeOwned,
{
    fn write(&self, out: &mut Writer) {
        self.servers.write(out);
        self.clients.write(out);
        out.value(&self.agenda);
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Result<(), Unreadable> {
        self.servers.read(input)?;
        self.clients.read(input)?;
        self.agenda = input.value()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
