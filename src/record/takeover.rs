//! From rustls' handshake to a session of ours.
//!
//! rustls hands out keys, nonces and sequence numbers (`rustls::kernel`), but the secrets that the
//! next keys are made of only through its key log. [`KeyLog`] keeps the last two of the thread for
//! whoever has just driven a handshake on it, who takes them at once ([`Logged::take`]), so that
//! none waits for another connection. That they belong to this one is checked: its keys must
//! follow from them.

use std::cell::RefCell;

use rustls::kernel::KernelConnection;
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets, ProtocolVersion};
use zeroize::Zeroize;

use crate::keys::{Half, SECRET_MAX, Secret};
use crate::role::Role;
use crate::session::{Keys, Session};
use crate::suite::{Cipher, Suite, Version};

/// Why rustls' connection cannot be taken over: a fault of this side, never seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its version or cipher is none of ours.
    Suite,
    /// The secrets of TLS 1.3 were not logged, or are those of another connection.
    Secrets,
}

/// Keeps the secrets of TLS 1.3 for the thread that shakes hands.
#[derive(Debug)]
pub struct KeyLog;

/// The secrets of one connection, wiped when they are dropped. They are copied from place to place
/// by reference and never moved: a move would leave a copy that nobody wipes.
#[derive(Default)]
pub(crate) struct Logged {
    client: Slot,
    server: Slot,
}

/// Room for one secret.
struct Slot {
    secret: Secret,
    is_filled: bool,
}

impl Slot {
    const EMPTY: Self = Self {
        secret: Secret([0; SECRET_MAX]),
        is_filled: false,
    };

    fn fill(&mut self, bytes: &[u8]) {
        self.wipe();
        if let Some(room) = self.secret.0.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            self.is_filled = true;
        }
    }

    /// Takes over what is in the other one, if anything, and leaves nothing there.
    fn take(&mut self, other: &mut Self) {
        if other.is_filled {
            self.secret.0.copy_from_slice(&other.secret.0);
            self.is_filled = true;
            other.wipe();
        }
    }

    fn get(&self) -> Option<&Secret> {
        self.is_filled.then_some(&self.secret)
    }

    fn wipe(&mut self) {
        self.secret.0.zeroize();
        self.is_filled = false;
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::EMPTY
    }
}

thread_local! {
    static LAST: RefCell<Logged> = const {
        RefCell::new(Logged { client: Slot::EMPTY, server: Slot::EMPTY })
    };
}

/// Forgets what was logged on this thread by whoever did not ask for it.
pub(crate) fn forget() {
    LAST.with_borrow_mut(|last| {
        last.client.wipe();
        last.server.wipe();
    });
}

impl Logged {
    #[cfg(test)]
    pub(crate) const fn is_empty(&self) -> bool {
        !self.client.is_filled && !self.server.is_filled
    }

    /// What was logged on this thread since the last call, added to what was before.
    pub(crate) fn take(&mut self) {
        LAST.with_borrow_mut(|last| {
            self.client.take(&mut last.client);
            self.server.take(&mut last.server);
        });
    }
}

const CLIENT: &str = "CLIENT_TRAFFIC_SECRET_0";
const SERVER: &str = "SERVER_TRAFFIC_SECRET_0";

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        LAST.with_borrow_mut(|last| match label {
            CLIENT => last.client.fill(secret),
            SERVER => last.server.fill(secret),
            _ => {}
        });
    }

    fn will_log(&self, label: &str) -> bool {
        matches!(label, CLIENT | SERVER)
    }
}

impl Session {
    /// Goes on where rustls has stopped.
    ///
    /// # Errors
    /// When there is nothing that this side could go on with.
    pub(crate) fn take_over<Data>(
        role: Role,
        kernel: &KernelConnection<Data>,
        extracted: ExtractedSecrets,
        logged: &Logged,
    ) -> Result<Self, Refused> {
        let (read, write) = (parts(&extracted.rx.1), parts(&extracted.tx.1));
        let ((cipher, rx_key, rx_iv), (_, tx_key, tx_iv)) =
            read.zip(write).ok_or(Refused::Suite)?;
        let keys = |key, iv, sequence| Keys { key, iv, sequence };
        let rx = keys(rx_key, rx_iv, extracted.rx.0);
        let tx = keys(tx_key, tx_iv, extracted.tx.0);
        if kernel.protocol_version() == ProtocolVersion::TLSv1_2 {
            return Self::tls12(cipher, role, &rx, &tx).ok_or(Refused::Suite);
        }
        if kernel.protocol_version() != ProtocolVersion::TLSv1_3 {
            return Err(Refused::Suite);
        }
        let version = Version::Tls13;
        let both = logged.client.get().zip(logged.server.get());
        let (client, server) = both.ok_or(Refused::Secrets)?;
        let (reading, writing) = match role {
            Role::Client => (server, client),
            Role::Server => (client, server),
        };
        let half = |secret, keys: &Keys<'_>| {
            let half = Half::of_secret(Suite { version, cipher }, secret, keys.sequence);
            let is_its_own = half.key.starts_with(keys.key) && half.iv == keys.iv;
            is_its_own.then_some(half).ok_or(Refused::Secrets)
        };
        let (rx, tx) = (half(reading, &rx)?, half(writing, &tx)?);
        Ok(Self::new(Suite { version, cipher }, role, rx, tx))
    }
}

/// Cipher, key and nonce.
fn parts(secrets: &ConnectionTrafficSecrets) -> Option<(Cipher, &[u8], [u8; 12])> {
    let (cipher, key, iv) = match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Cipher::Aes128Gcm, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Cipher::Aes256Gcm, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
            (Cipher::ChaCha20Poly1305, key, iv)
        }
        _ => return None,
    };
    let iv = iv.as_ref().try_into().ok()?;
    Some((cipher, key.as_ref(), iv))
}

#[cfg(test)]
mod tests {
    use rustls::KeyLog as _;

    use super::*;

    /// What of a secret stands in the place of the thread.
    fn left() -> Vec<u8> {
        LAST.with_borrow(|last| [last.client.secret.0, last.server.secret.0].concat())
    }

    #[test]
    fn secrets_leave_nothing_where_they_were_logged() {
        let log = || {
            KeyLog.log(CLIENT, &[], &[1; 32]);
            KeyLog.log(SERVER, &[], &[2; 48]);
            KeyLog.log("EXPORTER_SECRET", &[], &[3; 48]);
            assert_eq!(left(), [&[1; 32][..], &[0; 16], &[2; 48]].concat());
        };
        log();
        forget();
        assert_eq!(left(), [0; 96]);
        let mut logged = Logged::default();
        logged.take();
        assert!(logged.is_empty());
        log();
        logged.take();
        assert_eq!(left(), [0; 96]);
        // What is logged later adds to what was before; more than a secret is none.
        KeyLog.log(SERVER, &[], &[4; 32]);
        KeyLog.log(CLIENT, &[], &[5; 49]);
        logged.take();
        assert_eq!(left(), [0; 96]);
        let taken = [&logged.client, &logged.server].map(|slot| slot.get().unwrap().0);
        let want = [1, 4].map(|byte| {
            let mut secret = [0; SECRET_MAX];
            secret[..32].fill(byte);
            secret
        });
        assert_eq!(taken, want);
    }
}
