//! A session: which records may come, which may go, and what each changes.

mod receiving;
mod sealing;

use std::ops::Range;

use ring::aead::LessSafeKey;

use crate::failure::Failure;
use crate::keys::{Half, Secret};
use crate::limits;
use crate::message::Message;
use crate::role::Role;
use crate::suite::{Cipher, Suite, Version};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// One direction's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Records go on.
    Open,
    /// `close_notify` was the last one.
    Ended,
    /// An alert was, or the session failed.
    Failed,
}

/// The keys of both directions as the cipher uses them.
struct Kept {
    rx: LessSafeKey,
    tx: LessSafeKey,
}

/// The end of a connection whose handshake is complete.
pub struct Session {
    pub(crate) suite: Suite,
    pub(crate) role: Role,
    pub(crate) reading: Flow,
    pub(crate) writing: Flow,
    /// The peer has asked for our next key: it comes before our next data.
    pub(crate) owes_update: bool,
    /// Not written into a state: nothing is handed over that keeps the first keys.
    has_new_keys: bool,
    pub(crate) empty_records: u8,
    pub(crate) messages: u8,
    pub(crate) warnings: u8,
    pub(crate) renegotiations: u8,
    pub(crate) message: Message,
    pub(crate) rx: Half,
    pub(crate) tx: Half,
    kept: Option<Box<Kept>>,
}

/// What came of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Received {
    /// Where what the peer said stands in them, opened: it counts whatever `stand` says.
    pub plain: Range<usize>,
    /// How many from the front are done with. The rest is the beginning of a record: it is to be
    /// shown again, with what follows it.
    pub used: usize,
    /// How the session stands.
    pub stand: Stand,
}

/// How a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// More may come.
    Open,
    /// The peer has said that it sends nothing more; what it sends all the same is overlooked.
    Ended,
    /// It is over; the peer is told why by what was sealed.
    Failed(Failure),
}

/// Keys of one direction in TLS 1.2.
pub struct Keys<'a> {
    /// As long as the cipher's.
    pub key: &'a [u8],
    /// For AES-GCM the salt, and where the explicit nonces begin.
    pub iv: [u8; 12],
    /// The number of the next record.
    pub sequence: u64,
}

impl Session {
    /// A session of TLS 1.3 that goes on with these secrets and the numbers of the next records.
    #[must_use]
    pub fn tls13(cipher: Cipher, role: Role, rx: (Secret, u64), tx: (Secret, u64)) -> Self {
        let version = Version::Tls13;
        let suite = Suite { version, cipher };
        let half = |(secret, sequence)| Half::of_secret(suite, &secret, sequence);
        Self::new(suite, role, half(rx), half(tx))
    }

    /// A session of TLS 1.2 that goes on with these keys; `None` when one has not the length of
    /// the cipher's.
    #[must_use]
    pub fn tls12(cipher: Cipher, role: Role, rx: &Keys<'_>, tx: &Keys<'_>) -> Option<Self> {
        let version = Version::Tls12;
        let suite = Suite { version, cipher };
        let half = |keys: &Keys<'_>| {
            let mut half = Half {
                sequence: keys.sequence,
                secret: Secret::new(&[])?,
                key: [0; _],
                iv: keys.iv,
            };
            let room = half.key.get_mut(..suite.key_len())?;
            (room.len() == keys.key.len()).then(|| room.copy_from_slice(keys.key))?;
            Some(half)
        };
        Some(Self::new(suite, role, half(rx)?, half(tx)?))
    }

    pub(crate) fn new(suite: Suite, role: Role, rx: Half, tx: Half) -> Self {
        Self {
            suite,
            role,
            reading: Flow::Open,
            writing: Flow::Open,
            owes_update: false,
            has_new_keys: false,
            empty_records: 0,
            messages: 0,
            warnings: 0,
            renegotiations: 0,
            message: Message::default(),
            rx,
            tx,
            kept: None,
        }
    }

    /// Keeps the keys as the cipher uses them, 1,088 bytes: for a peer with whom there is always
    /// something to talk about. Without, each `receive` and each `seal` spends a quarter of a
    /// microsecond on AES-GCM.
    pub fn keep_keys(&mut self) {
        let rx = self.rx.expand(self.suite);
        let tx = self.tx.expand(self.suite);
        self.kept = Some(Box::new(Kept { rx, tx }));
    }

    pub(crate) const fn keeps_keys(&self) -> bool {
        self.kept.is_some()
    }

    /// A direction has left the keys of the handshake: nothing may be kept any more that they could
    /// be made of again, such as [`Tickets`](crate::Tickets).
    #[must_use]
    pub const fn has_new_keys(&self) -> bool {
        self.has_new_keys
    }

    /// The key that this side seals with has few records left and none will follow it, as in TLS
    /// 1.2: another connection is to take the place of this one (RFC 9325 §4.4). What waits for
    /// nothing is sealed as before, until [`Unsealed::Exhausted`](crate::Unsealed::Exhausted).
    #[must_use]
    pub fn is_nearly_used_up(&self) -> bool {
        let most = self.suite.records_max();
        let left = most.saturating_sub(self.tx.sequence);
        self.suite.version == Version::Tls12 && left <= limits::RECORDS_LEFT
    }

    /// Version and cipher.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }
}
