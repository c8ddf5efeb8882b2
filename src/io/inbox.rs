//! What the control thread says to a shard.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio::sync::mpsc;

use super::SharedAnswer;
use super::bell::Bell;
use super::legacy::Legacy;
use super::notices::Told;
use super::tls::Tls;
use crate::histogram::Histogram;
use crate::id::Transport;
use crate::locate::{LookupId, Records};
use crate::proxy::{Facts, Reason, Reject, Traffic};
use crate::recorder::{Filter, Piece};
use crate::shard::{Configuration, PeerReport};
use crate::time::Duration;
use crate::{home, limits};

/// A message from the control thread.
#[derive(Clone, Debug)]
pub enum Order {
    /// No new dialogs or registrations from now on; end when idle.
    Drain,
    /// Log the counters.
    Report,
    /// A new list of subscribers.
    Subscribers {
        /// All of them.
        list: Arc<home::Subscribers>,
        /// The addresses of record that it takes away, or gives another password.
        revoked: home::Revoked,
    },
    /// Other settings, all at once.
    Settings {
        /// What they are.
        settings: Arc<NewSettings>,
        /// Told when the shard goes by them.
        done: mpsc::Sender<()>,
    },
    /// The file of the subscribers changed and cannot be used: to be counted.
    SubscribersRefused,
    /// A configuration could not be taken over: to be counted.
    ReloadRefused,
    /// New connections use these certificates.
    Tls(Arc<Tls>),
    /// The files of the certificates changed and cannot be used: to be counted.
    TlsRefused,
    /// What the shard has handed to the store is on disk, up to this number.
    Stored {
        /// As in `Output::Store`.
        up_to: u64,
    },
    /// What a store that several homes share has of addresses of record.
    Shared(Arc<[SharedAnswer]>),
    /// Such a store is to be told of every address of record, or asked for it.
    TellShared(home::Tell),
    /// The store cannot be written.
    NotStored,
    /// What the DNS said.
    Resolved {
        /// As in the question.
        name: LookupId,
        /// What was found.
        records: Box<Records>,
    },
    /// The shard is to stand still and to say what another process needs to go on in its place.
    /// It waits then for `GoOn`, or for the end of this process.
    StandStill {
        /// Where what it leaves goes, with the index of the shard.
        leaves: std::sync::mpsc::Sender<(usize, io::Result<Legacy>)>,
        /// The index of the shard.
        shard: usize,
    },
    /// No other process goes on in its place: it does.
    GoOn,
    /// A question; the shard answers at once, or not at all when nobody listens.
    Ask {
        /// What is asked.
        question: Question,
        /// Where the answer goes, with the index of the shard.
        answer: mpsc::Sender<(usize, Answer)>,
        /// The index of the shard.
        shard: usize,
    },
}

/// What a shard goes by after `Order::Settings`, from one turn to the next.
#[derive(Debug)]
pub struct NewSettings {
    /// What its role does.
    pub configuration: Configuration,
    /// What new connections use, on a node that speaks TLS.
    pub tls: Option<Arc<Tls>>,
    /// The subscribers, where they are others, and whom that revokes.
    pub subscribers: Option<(Arc<home::Subscribers>, home::Revoked)>,
    /// How long a drain lasts at most.
    pub drain_for: Duration,
}

/// What the control thread may ask of a shard.
#[derive(Clone, Debug)]
pub enum Question {
    /// What it counted and what it holds.
    Numbers,
    /// Which homes and edges it knows of, and what it told its operator of late.
    Peers,
    /// Why a request for this URI goes where it goes.
    Why(Arc<[u8]>),
    /// How often it refused something, by reason.
    Reasons,
    /// The same, and the last refusals one by one.
    Rejected,
    /// The bindings of this address of record.
    Bindings(Arc<[u8]>),
    /// The same, and it is to take them away.
    Remove(Arc<[u8]>),
    /// What the flight recorder holds from this entry on, as far as one piece goes.
    Recorded(u64, Filter),
}

/// What a shard answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To `Question::Numbers`.
    Numbers(Box<Numbers>),
    /// To `Question::Peers`.
    Peers(Box<PeerReport>, Vec<Told>),
    /// To `Question::Why`.
    Why(Facts),
    /// To `Question::Reasons`, and to `Question::Rejected` with the last ones.
    Rejected(Vec<Reason>, Vec<Reject>),
    /// To `Question::Bindings` and `Question::Remove`; or why there are none.
    Bindings(Result<home::BindingReport, String>),
    /// To `Question::Recorded`.
    Recorded(Box<Recorded>),
}

/// A piece of what a flight recorder holds.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The piece.
    pub piece: Piece,
    /// Of each of its records microseconds since 1970, and our end.
    pub stamps: Vec<(u64, Option<SocketAddr>)>,
}

/// The number of the addresses of homes that an edge can reach; homes have none.
pub const HOMES_IN_REACH: &str = "homes_in_reach";

/// What a shard counted and what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// One by one, in the same order on every shard.
    pub rows: Vec<Number>,
    /// Messages by what they are, and how long calls and registrations took.
    pub traffic: Traffic,
    /// How long its turns took, and what waited for them.
    pub turns: Turns,
    /// Phones bound to flows of an edge, by transport; `None`: it is no edge.
    pub phones: Option<[(Transport, u32); 3]>,
}

/// How long the turns of a shard took that had something to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// From the end of a wait to the next one: so long everything else has to wait.
    pub delay: Histogram,
    /// How long the oldest message that a turn dealt with may have waited by its end, in the
    /// sockets and in the turn.
    pub queue: Histogram,
}

impl Turns {
    /// Adds those of another shard.
    pub fn merge(&mut self, other: &Self) {
        self.delay.merge(&other.delay);
        self.queue.merge(&other.queue);
    }
}

/// One number of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Its name, in lower case with underscores.
    pub name: &'static str,
    /// What it means, as a sentence; empty for a gauge, whose name says it.
    pub meaning: &'static str,
    /// Its value.
    pub value: u64,
}

/// The control thread's end: gives orders to one shard, never waits for it.
#[derive(Debug)]
pub struct Orders {
    sender: SyncSender<Order>,
    bell: Bell,
}

/// The shard's end.
pub(crate) struct Inbox {
    receiver: Receiver<Order>,
    bell: Bell,
}

pub(crate) fn inbox() -> io::Result<(Orders, Inbox)> {
    let (sender, receiver) = sync_channel(limits::INBOX_MAX);
    let bell = Bell::new()?;
    Ok((
        Orders {
            sender,
            bell: bell.try_clone()?,
        },
        Inbox { receiver, bell },
    ))
}

impl Orders {
    /// Gives an order. A shard that has ended, or is so far behind that its
    /// inbox is full, does not get it: that is logged.
    pub fn give(&self, order: Order) {
        if let Err(error) = self.sender.try_send(order) {
            tracing::warn!(%error, "a shard did not take an order");
        }
        self.wake();
    }

    /// Gives an order that must not be lost; false: the inbox is full. A shard that has ended
    /// needs none.
    #[must_use]
    pub fn offer(&self, order: Order) -> bool {
        let is_taken = !matches!(self.sender.try_send(order), Err(TrySendError::Full(_)));
        self.wake();
        is_taken
    }

    fn wake(&self) {
        if let Err(error) = self.bell.ring() {
            tracing::error!(%error, "cannot wake a shard");
        }
    }
}

impl Inbox {
    /// Waits for the next order; `None`: there will be none.
    pub(crate) fn wait(&self) -> Option<Order> {
        self.receiver.recv().ok()
    }

    /// The next order, if there is one.
    pub(crate) fn next(&self) -> Option<Order> {
        self.receiver.try_recv().ok()
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
