//! Session tickets (RFC 8446 §4.6.1): what a phone shows to take up its session again, at any edge
//! of the cluster.
//!
//! - The edges have a key in common, and from it one for each `limits::TICKET_KEY_TIME`: they seal
//!   alike without a word to one another. A ticket is taken in the time of its key and in the next
//!   one, and a little before for clocks that differ.
//! - That key is on disk for as long as the cluster has it, so it seals sessions of TLS 1.3 alone:
//!   what is said in one of those, resumed, nobody can read who gets the key afterwards. A session
//!   of TLS 1.2 is all in its ticket; those are sealed with a key of this process, forgotten in time.
//! - Clients that must show a certificate have tickets of their own: one from where none was asked
//!   for opens nothing here.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;
use sha2::Sha256;

use crate::limits;

/// A key that the edges of a cluster have in common.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey(pub [u8; 32]);

impl fmt::Debug for TicketKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TicketKey").finish_non_exhaustive()
    }
}

/// What seals and opens them. The first key seals.
#[derive(Debug)]
pub(super) struct Tickets {
    shared: Vec<TicketKey>,
    /// Of this process.
    own: Arc<dyn ProducesTickets>,
    /// Of clients that must show a certificate.
    needed: bool,
    random: SystemRandom,
}

/// When a key was made, and what it is called: the beginning of a ticket.
type Name = [u8; 16];

impl Tickets {
    pub(super) fn new(shared: &[TicketKey], own: Arc<dyn ProducesTickets>, needed: bool) -> Self {
        Self {
            shared: shared.to_vec(),
            own,
            needed,
            random: SystemRandom::new(),
        }
    }

    fn seal(&self, period: u32, plain: &[u8]) -> Option<Vec<u8>> {
        let key = self.shared.first()?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let name = self.name(key, period);
        let mut ticket = [&name[..], &nonce, plain].concat();
        let (_, sealed) = ticket.split_at_mut(name.len() + nonce.len());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let key = self.key(key, period)?;
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(name), sealed);
        ticket.extend_from_slice(tag.ok()?.as_ref());
        Some(ticket)
    }

    fn open(&self, period: u32, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<16>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (made, _) = name.split_first_chunk()?;
        let made = u32::from_be_bytes(*made);
        // Of now, of before, and of an edge whose clock is ahead.
        if !(period.saturating_sub(1)..=period.saturating_add(1)).contains(&made) {
            return None;
        }
        let key = self
            .shared
            .iter()
            .find(|key| self.name(key, made) == *name)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut plain = sealed.to_vec();
        let opened = self
            .key(key, made)?
            .open_in_place(nonce, Aad::from(name), &mut plain);
        let len = opened.ok()?.len();
        plain.truncate(len);
        Some(plain)
    }

    fn name(&self, key: &TicketKey, period: u32) -> Name {
        let mut name = [0; 16];
        let made = self.derive(key, b"name", period);
        name[..4].copy_from_slice(&period.to_be_bytes());
        name[4..].copy_from_slice(&made[..12]);
        name
    }

    fn key(&self, key: &TicketKey, period: u32) -> Option<LessSafeKey> {
        let key = self.derive(key, b"seal", period);
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).ok()?;
        Some(LessSafeKey::new(key))
    }

    fn derive(&self, TicketKey(key): &TicketKey, what: &[u8; 4], period: u32) -> [u8; 32] {
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(what);
        mac.update(&[u8::from(self.needed)]);
        mac.update(&period.to_be_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // A ticket of the first second of its key is taken for so long.
        u32::try_from(2 * limits::TICKET_KEY_TIME.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        if self.shared.is_empty() || !is_of_tls_13(plain) {
            return self.own.encrypt(plain);
        }
        self.seal(period(), plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > limits::TICKET_MAX {
            return None;
        }
        let shared = self.open(period(), ticket);
        let shared = shared.filter(|plain| is_of_tls_13(plain));
        shared.or_else(|| self.own.decrypt(ticket))
    }
}

/// Which key's time it is.
fn period() -> u32 {
    let count = UnixTime::now().as_secs() / limits::TICKET_KEY_TIME.as_secs();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether rustls has written a session of TLS 1.3: the version stands behind the name that the
/// client has asked for. Anything that cannot be read so is taken for none.
fn is_of_tls_13(session: &[u8]) -> bool {
    let behind = match session {
        [0, rest @ ..] => Some(rest),
        [1, len, rest @ ..] => rest.get(usize::from(*len)..),
        _ => None,
    };
    behind.is_some_and(|rest| rest.starts_with(&[3, 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(keys: &[u8], needed: bool) -> Tickets {
        let keys: Vec<_> = keys.iter().map(|&key| TicketKey([key; 32])).collect();
        let own = rustls::crypto::ring::Ticketer::new().unwrap();
        Tickets::new(&keys, own, needed)
    }

    #[test]
    fn a_ticket_is_taken_by_whoever_has_its_key_for_a_while() {
        let one = tickets(&[1], false);
        let ticket = one.seal(100, b"session").unwrap();
        let opened = Some(b"session".to_vec());
        for (other, want) in [
            (tickets(&[1], false), &opened),
            // A key that has been followed by another one.
            (tickets(&[2, 1], false), &opened),
            (tickets(&[2], false), &None),
            (tickets(&[], false), &None),
            // Where a certificate must be shown.
            (tickets(&[1], true), &None),
        ] {
            assert_eq!(other.open(100, &ticket), *want);
        }
        let taken = [98, 99, 100, 101, 102].map(|period| one.open(period, &ticket).is_some());
        assert_eq!(taken, [false, true, true, true, false]);
        assert_ne!(one.seal(100, b"session"), Some(ticket));
    }

    #[test]
    fn a_ticket_that_was_changed_or_cut_is_none() {
        let one = tickets(&[1], false);
        let ticket = one.seal(100, b"session").unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(one.open(100, &changed), None, "{at}");
            assert_eq!(one.open(100, &ticket[..at]), None, "{at}");
        }
        assert_eq!(one.decrypt(&vec![0; limits::TICKET_MAX + 1]), None);
    }

    #[test]
    fn sessions_of_tls_12_are_sealed_with_a_key_of_the_process() {
        let (one, other) = (tickets(&[1], false), tickets(&[1], false));
        for (session, is_shared) in [
            (&[0, 3, 4, 19, 1][..], true),
            (&[1, 2, b'e', b'x', 3, 4, 19, 1], true),
            (&[0, 3, 3, 19, 1], false),
            (&[1, 2, 3, 4, 3, 3, 19, 1], false),
            (&[1, 200, 3, 4], false),
            (&[2, 3, 4], false),
        ] {
            let ticket = one.encrypt(session).unwrap();
            assert_eq!(one.decrypt(&ticket).as_deref(), Some(session));
            assert_eq!(other.decrypt(&ticket).is_some(), is_shared, "{session:?}");
        }
    }
}
