//! Session tickets (RFC 8446 §4.6.1): what a phone shows to take up its session again, at any edge
//! of the cluster.
//!
//! - The edges have a key in common, and from it one for each `limits::TICKET_KEY_TIME`: they seal
//!   alike without a word to one another. A ticket is taken in the time of its key and in the next
//!   one, and a little before for clocks that differ.
//! - That key is on disk for as long as the cluster has it, so it seals sessions of TLS 1.3 alone:
//!   what is said in one of those, resumed, nobody can read who gets the key afterwards. A session
//!   of TLS 1.2 is all in its ticket; those are sealed with a key of this process, forgotten in time.
//! - Nor does it seal or open the session of a client that has shown a certificate. rustls believes
//!   the certificates of a session that it takes up, and nobody proves their private key again: who
//!   has the key could write a session with a home's public certificate, and be that home at every
//!   edge. Those sessions too are sealed with a key of this process, and where a certificate must be
//!   shown it alone seals.
//! - A ticket of a client whose certificate is not believed any more opens nothing: its handshake
//!   becomes a full one, in which it shows the certificate that it has now.
//! - What is left to the holder of the key: a phone that takes up a session asks its edge for no
//!   certificate. So who sits on the way of that phone, sees its ticket and has the key can play the
//!   edge to it, until the phone shakes hands anew with an edge. The file is as secret as the
//!   certificate's private key.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use hmac::{Hmac, Mac as _};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ProducesTickets;
use sha2::Sha256;

use super::trust::Trust;
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
    /// What the certificates of clients are verified with.
    trust: Option<Arc<Trust>>,
    random: SystemRandom,
}

/// When a key was made, and what it is called: the beginning of a ticket.
type Name = [u8; 16];

impl Tickets {
    /// `needed`: of clients that must show a certificate.
    pub(super) fn new(
        shared: &[TicketKey],
        own: Arc<dyn ProducesTickets>,
        needed: bool,
        trust: Option<Arc<Trust>>,
    ) -> Self {
        let shared = if needed { &[] } else { shared };
        Self {
            shared: shared.to_vec(),
            own,
            trust,
            random: SystemRandom::new(),
        }
    }

    pub(super) fn seal(&self, period: u32, plain: &[u8]) -> Option<Vec<u8>> {
        let key = self.shared.first()?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let name = name(key, period);
        let mut ticket = [&name[..], &nonce, plain].concat();
        let (_, sealed) = ticket.split_at_mut(name.len() + nonce.len());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let key = cipher(key, period)?;
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
        let is_its = |key: &&TicketKey| self::name(key, made) == *name;
        let key = self.shared.iter().find(is_its)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut plain = sealed.to_vec();
        let opened = cipher(key, made)?.open_in_place(nonce, Aad::from(name), &mut plain);
        let len = opened.ok()?.len();
        plain.truncate(len);
        Some(plain)
    }

    /// Whether the certificates of a session's client are believed now, if it has shown any.
    fn is_believed(&self, session: &[u8]) -> bool {
        let Some(chain) = certificates(session) else {
            return false;
        };
        match (chain.split_first(), &self.trust) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((first, others)), Some(trust)) => {
                trust.verify(first, others, UnixTime::now()).is_ok()
            }
        }
    }
}

fn name(key: &TicketKey, period: u32) -> Name {
    let mut name = [0; 16];
    let made = derive(key, b"name", period);
    name[..4].copy_from_slice(&period.to_be_bytes());
    name[4..].copy_from_slice(&made[..12]);
    name
}

fn cipher(key: &TicketKey, period: u32) -> Option<LessSafeKey> {
    let key = derive(key, b"seal", period);
    let key = UnboundKey::new(&CHACHA20_POLY1305, &key).ok()?;
    Some(LessSafeKey::new(key))
}

fn derive(TicketKey(key): &TicketKey, what: &[u8; 4], period: u32) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(what);
    mac.update(&period.to_be_bytes());
    mac.finalize().into_bytes().into()
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
        if self.shared.is_empty() || !is_shared(plain) {
            return self.own.encrypt(plain);
        }
        self.seal(period(), plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > limits::TICKET_MAX {
            return None;
        }
        let shared = self.open(period(), ticket);
        let shared = shared.filter(|plain| is_shared(plain));
        let own = || self.own.decrypt(ticket).filter(|it| self.is_believed(it));
        shared.or_else(own)
    }
}

/// Which key's time it is.
pub(super) fn period() -> u32 {
    let count = UnixTime::now().as_secs() / limits::TICKET_KEY_TIME.as_secs();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether a session may pass through the key in common: one of TLS 1.3 whose client has shown no
/// certificate. Anything that cannot be read so far is taken for none.
fn is_shared(session: &[u8]) -> bool {
    matches!(parts(session), Some(([3, 4], [0 | 1, 0, ..])))
}

/// What the client of a session has shown, its own certificate first; `None` for what cannot be
/// read so far.
fn certificates(session: &[u8]) -> Option<Vec<CertificateDer<'_>>> {
    let list = match parts(session)? {
        (_, [0 | 1, 0, ..]) => return Some(Vec::new()),
        (_, [0 | 1, 1, list @ ..]) => list,
        _ => return None,
    };
    let (mut list, _) = long(list)?;
    let mut chain = Vec::new();
    while !list.is_empty() {
        let (certificate, behind) = long(list)?;
        chain.push(certificate.into());
        list = behind;
    }
    Some(chain)
}

/// The version of a session, and what stands behind its secret.
///
/// As rustls writes it: the name that the client has asked for, if it has; the version; the suite;
/// the secret; whether a master secret is an extended one; whether certificates follow; those.
/// Should another rustls write it otherwise, `the_key_in_common_makes_nobody_a_home` and
/// `a_client_with_a_certificate_resumes_where_it_has_shown_it` fail.
fn parts(session: &[u8]) -> Option<([u8; 2], &[u8])> {
    let rest = match session {
        [0, rest @ ..] => rest,
        [1, rest @ ..] => behind(rest)?,
        _ => return None,
    };
    let [major, minor, _, _, rest @ ..] = rest else {
        return None;
    };
    Some(([*major, *minor], behind(rest)?))
}

/// Bytes whose number stands in three before them, and what follows.
fn long(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[high, mid, low], rest) = bytes.split_first_chunk()?;
    let len = u32::from_be_bytes([0, high, mid, low]);
    rest.split_at_checked(usize::try_from(len).ok()?)
}

/// What follows bytes whose number stands in one before them.
fn behind(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.split_first()?;
    rest.get(usize::from(*len)..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(keys: &[u8], needed: bool) -> Tickets {
        let keys: Vec<_> = keys.iter().map(|&key| TicketKey([key; 32])).collect();
        let own = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
        Tickets::new(&keys, own, needed, None)
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

    /// A session as rustls writes it: its name, its version, and what stands behind the secret.
    fn session(name: &[u8], version: [u8; 2], behind: &[u8]) -> Vec<u8> {
        [name, &version, &[19, 1, 3, 7, 7, 7], behind].concat()
    }

    #[test]
    fn sessions_of_tls_12_and_with_certificates_are_sealed_with_a_key_of_the_process() {
        let (one, other) = (tickets(&[1], false), tickets(&[1], false));
        let (none, named): (&[u8], &[u8]) = (&[0], &[1, 2, b'e', b'x']);
        for (session, is_shared, is_own) in [
            (session(none, [3, 4], &[0, 0, 0]), true, true),
            (session(named, [3, 4], &[0, 0, 0]), true, true),
            (session(none, [3, 4], &[1, 0, 0]), true, true),
            (session(none, [3, 3], &[0, 0, 0]), false, true),
            (session(&[1, 2, 3, 4], [3, 3], &[0, 0, 0]), false, true),
            // An empty list of certificates; one that nobody vouches for.
            (session(none, [3, 4], &[0, 1, 0, 0, 0, 0]), false, true),
            (session(named, [3, 4], &[0, 1, 0, 0, 0, 0]), false, true),
            (
                session(none, [3, 4], &[0, 1, 0, 0, 4, 0, 0, 1, 9]),
                false,
                false,
            ),
            // What may be certificates.
            (session(none, [3, 4], &[0, 2, 0]), false, false),
            (session(none, [3, 4], &[2, 0, 0]), false, false),
            // Cut.
            (session(none, [3, 4], &[0, 1, 0, 0, 4, 0, 0]), false, false),
            (
                session(none, [3, 4], &[0, 1, 0, 0, 4, 0, 0, 2, 9]),
                false,
                false,
            ),
            (session(none, [3, 4], &[0]), false, false),
            (session(none, [3, 4], &[]), false, false),
            (vec![0, 3, 4, 19, 1, 9, 0, 0, 0], false, false),
            (vec![1, 200, 3, 4], false, false),
            (vec![2, 3, 4, 19, 1, 0, 0, 0], false, false),
        ] {
            let ticket = one.encrypt(&session).unwrap();
            let opened = one.decrypt(&ticket);
            assert_eq!(opened, is_own.then(|| session.clone()), "{session:?}");
            assert_eq!(other.decrypt(&ticket).is_some(), is_shared, "{session:?}");
            // Whoever has the key seals what he likes.
            let forged = one.seal(period(), &session).unwrap();
            assert_eq!(other.decrypt(&forged).is_some(), is_shared, "{session:?}");
        }
    }

    #[test]
    fn where_a_certificate_must_be_shown_the_key_in_common_is_none() {
        let (one, other) = (tickets(&[1], true), tickets(&[1], true));
        let session = session(&[0], [3, 4], &[0, 0, 0]);
        let ticket = one.encrypt(&session).unwrap();
        assert_eq!(one.decrypt(&ticket).as_ref(), Some(&session));
        assert_eq!(other.decrypt(&ticket), None);
        let forged = tickets(&[1], false).seal(period(), &session).unwrap();
        assert_eq!(one.decrypt(&forged), None);
    }
}
