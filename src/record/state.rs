//! A session as bytes, for the process that goes on with it.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | 1: this layout |
//! | 1, 2, 3 | version, cipher, role |
//! | 4, 5 | how reading and writing stand |
//! | 6, 7 | whether a KeyUpdate is owed, whether keys are kept expanded |
//! | 8 to 11 | counters: records without content, messages, warnings, renegotiations |
//! | 12 to 20 | a handshake message that has begun: head, how much of it, what is left |
//! | 21 to 120, 121 to 220 | reading and writing: sequence number, nonce, key, secret |
//!
//! Numbers have their highest byte first. Unused bytes are zeros, and anything else is refused.
//!
//! Who goes on from the same bytes twice seals two records with one nonce, which tells the key of
//! the authentication to whoever listens. So writing takes the session, and reading takes the
//! bytes; a process that hands them over must not keep any, nor go on.

use std::fmt;

use zeroize::Zeroize;

use crate::keys::{Half, KEY_MAX, NONCE_LEN, SECRET_MAX, Secret};
use crate::limits;
use crate::message::{self, HEAD_LEN, Message};
use crate::role::Role;
use crate::session::{Flow, Session};
use crate::suite::{Cipher, Suite, Version};

const LAYOUT: u8 = 1;
const HALF_LEN: usize = 8 + NONCE_LEN + KEY_MAX + SECRET_MAX;

/// A written session: as secret as its keys, and wiped when it is dropped.
pub struct State([u8; Self::LEN]);

/// These bytes are no session: cut, changed, or of another layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadState;

impl fmt::Display for BadState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the state of a TLS session cannot be read")
    }
}

impl std::error::Error for BadState {}

impl State {
    /// How long it is.
    pub const LEN: usize = 21 + 2 * HALF_LEN;

    /// These bytes. The caller wipes its own.
    ///
    /// # Errors
    /// When they are not as many as a session has.
    pub fn copy(bytes: &[u8]) -> Result<Self, BadState> {
        let mut state = Self([0; Self::LEN]);
        if bytes.len() != Self::LEN {
            return Err(BadState);
        }
        state.0.copy_from_slice(bytes);
        Ok(state)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Session {
    /// Writes the session, and ends it here.
    #[must_use]
    pub fn into_state(self) -> State {
        let mut state = State([0; State::LEN]);
        let mut rest = state.0.as_mut_slice();
        let mut put = |bytes: &[u8]| {
            if let Some((room, behind)) =
                std::mem::take(&mut rest).split_at_mut_checked(bytes.len())
            {
                room.copy_from_slice(bytes);
                rest = behind;
            }
        };
        put(&[
            LAYOUT,
            match self.suite.version {
                Version::Tls12 => 2,
                Version::Tls13 => 3,
            },
            match self.suite.cipher {
                Cipher::Aes128Gcm => 1,
                Cipher::Aes256Gcm => 2,
                Cipher::ChaCha20Poly1305 => 3,
            },
            match self.role {
                Role::Client => 0,
                Role::Server => 1,
            },
            flow(self.reading),
            flow(self.writing),
            u8::from(self.owes_update),
            u8::from(self.keeps_keys()),
            self.empty_records,
            self.messages,
            self.warnings,
            self.renegotiations,
        ]);
        put(&self.message.head);
        put(&[self.message.come]);
        put(&self.message.left.to_be_bytes());
        for half in [&self.rx, &self.tx] {
            put(&half.sequence.to_be_bytes());
            put(&half.iv);
            put(&half.key);
            put(&half.secret.0);
        }
        state
    }

    /// Goes on with a written session.
    ///
    /// # Errors
    /// When no session is ever written so.
    #[expect(clippy::needless_pass_by_value, reason = "it is wiped when it is read")]
    pub fn from_state(state: State) -> Result<Self, BadState> {
        let mut reader = Reader(&state.0);
        let [layout, version, cipher, role, reading, writing, owes, keeps] = reader.take()?;
        let suite = Suite {
            version: one_of(version, &[(2, Version::Tls12), (3, Version::Tls13)])?,
            cipher: one_of(
                cipher,
                &[
                    (1, Cipher::Aes128Gcm),
                    (2, Cipher::Aes256Gcm),
                    (3, Cipher::ChaCha20Poly1305),
                ],
            )?,
        };
        let role = one_of(role, &[(0, Role::Client), (1, Role::Server)])?;
        let flows = [(0, Flow::Open), (1, Flow::Ended), (2, Flow::Failed)];
        let truths = [(0, false), (1, true)];
        let counters = reader.take()?;
        let message = reader.message(suite.version, role)?;
        let (rx, tx) = (reader.half(suite)?, reader.half(suite)?);
        let mut session = Self::new(suite, role, rx, tx);
        session.reading = one_of(reading, &flows)?;
        session.writing = one_of(writing, &flows)?;
        session.owes_update = one_of(owes, &truths)?;
        session.message = message;
        [
            session.empty_records,
            session.messages,
            session.warnings,
            session.renegotiations,
        ] = counters;
        if one_of(keeps, &truths)? {
            session.keep_keys();
        }
        let sealed_max = suite
            .records_max()
            .saturating_add(limits::RECORDS_BEHIND_MAX);
        if session.tx.sequence > sealed_max {
            return Err(BadState);
        }
        let is_old = suite.version == Version::Tls12;
        if layout != LAYOUT || (is_old && session.owes_update) {
            return Err(BadState);
        }
        Ok(session)
    }
}

const fn flow(flow: Flow) -> u8 {
    match flow {
        Flow::Open => 0,
        Flow::Ended => 1,
        Flow::Failed => 2,
    }
}

/// What the number stands for.
fn one_of<T: Copy>(number: u8, all: &[(u8, T)]) -> Result<T, BadState> {
    let found = all.iter().find(|(known, _)| *known == number);
    found.map(|&(_, value)| value).ok_or(BadState)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], BadState> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(BadState)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn message(&mut self, version: Version, role: Role) -> Result<Message, BadState> {
        let (head, [come], left) = (self.take()?, self.take()?, self.take()?);
        let left = u32::from_be_bytes(left);
        let message = Message { head, come, left };
        let is_sound = if usize::from(come) < HEAD_LEN {
            let unwritten = head.get(usize::from(come)..).unwrap_or_default();
            left == 0 && unwritten.iter().all(|&byte| byte == 0)
        } else {
            let most = message::body_len(version, role, head);
            usize::from(come) == HEAD_LEN && most.is_ok_and(|most| (1..=most).contains(&left))
        };
        is_sound.then_some(message).ok_or(BadState)
    }

    fn half(&mut self, suite: Suite) -> Result<Half, BadState> {
        let sequence = u64::from_be_bytes(self.take()?);
        let (iv, key) = (self.take()?, self.take()?);
        let secret = Secret(self.take()?);
        let half = Half {
            sequence,
            secret,
            key,
            iv,
        };
        let beyond = |bytes: &[u8], len| {
            let rest: &[u8] = bytes.get(len..).unwrap_or_default();
            rest.iter().any(|&byte| byte != 0)
        };
        if beyond(&half.key, suite.key_len()) || beyond(&half.secret.0, suite.secret_len()) {
            return Err(BadState);
        }
        // In TLS 1.3 the secret says it all.
        if suite.version == Version::Tls13 {
            let derived = Half::of_secret(suite, &half.secret, sequence);
            if (derived.key, derived.iv) != (half.key, half.iv) {
                return Err(BadState);
            }
        }
        Ok(half)
    }
}
