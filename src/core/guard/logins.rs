//! Failed logins, counted by source and user together: a user who mistypes his password is
//! locked out for a while, and others who share his
//! address are not (I-15).
//!
//! The table has a fixed size and keyed hashes, as that of the sources. A new pair in a full
//! set replaces the one that would be forgotten first: one that has failed
//! before one that has logged in, which is remembered for an hour. An attacker who has his own
//! pair replaced meets the bound of his source (`Kind::FailedDigest`).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::network;
use crate::carry::carried;
use crate::limits;
use crate::time::{Duration, Instant};

/// Entries of one set.
const WAYS: usize = 4;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pair {
    /// Its hash; 0: the entry is free.
    key: u64,
    /// When its bucket of failures is full again.
    full: Instant,
    /// Until when it counts as having logged in.
    known: Instant,
}

/// Every pair that is remembered.
#[derive(Debug)]
pub(super) struct Logins {
    /// Made with the first login: an edge sees none.
    sets: Box<[[Pair; WAYS]]>,
    hasher: ahash::RandomState,
}

/// What is known of a user at a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginState {
    /// The user has failed too often from there.
    Locked,
    /// The user has logged in from there within the last hour.
    Known,
    /// Neither.
    Unknown,
}

impl Logins {
    pub(super) fn new(hasher: ahash::RandomState) -> Self {
        Self {
            sets: Box::default(),
            hasher,
        }
    }

    pub(super) fn state(&self, now: Instant, ip: IpAddr, user: &[u8]) -> LoginState {
        let (key, set) = self.key_and_set(ip, user);
        let ways = self.sets.get(set);
        let pair = ways.and_then(|ways| ways.iter().find(|pair| pair.key == key));
        match pair {
            Some(pair) if spent(now, pair.full).is_none() => LoginState::Locked,
            Some(pair) if pair.known > now => LoginState::Known,
            Some(_) | None => LoginState::Unknown,
        }
    }

    pub(super) fn failed(&mut self, now: Instant, ip: IpAddr, user: &[u8]) {
        if let Some(pair) = self.pair(ip, user) {
            pair.full = spent(now, pair.full).unwrap_or(pair.full);
        }
    }

    pub(super) fn succeeded(&mut self, now: Instant, ip: IpAddr, user: &[u8]) {
        if let Some(pair) = self.pair(ip, user) {
            pair.known = now + limits::LOGIN_KNOWN;
        }
    }

    /// The entry of a pair, made where there is none.
    fn pair(&mut self, ip: IpAddr, user: &[u8]) -> Option<&mut Pair> {
        if self.sets.is_empty() {
            self.sets = vec![[Pair::default(); WAYS]; limits::LOGIN_SETS].into();
        }
        let (key, set) = self.key_and_set(ip, user);
        let ways = self.sets.get_mut(set)?;
        let at = match ways.iter().position(|pair| pair.key == key) {
            Some(at) => at,
            None => {
                let lasts = |at: &usize| ways.get(*at).map(|pair| pair.full.max(pair.known));
                let first = (0..WAYS).min_by_key(lasts)?;
                *ways.get_mut(first)? = Pair {
                    key,
                    ..Pair::default()
                };
                first
            }
        };
        ways.get_mut(at)
    }

    fn key_and_set(&self, ip: IpAddr, user: &[u8]) -> (u64, usize) {
        let key = self.hasher.hash_one((network(ip), user)) | 1;
        let set = usize::try_from(key >> 32).unwrap_or_default() % limits::LOGIN_SETS;
        (key, set)
    }
}

/// When the bucket is full again after one more failure; `None`: there is no
/// login left for it.
fn spent(now: Instant, full: Instant) -> Option<Instant> {
    let (rate, depth) = limits::LOGIN_FAILURES;
    let next = full.max(now) + Duration::from_micros(1_000_000 / u64::from(rate));
    let whole = Duration::from_micros(u64::from(depth) * 1_000_000 / u64::from(rate));
    (next.since(now) <= whole).then_some(next)
}

carried!(Logins {
    parts: sets;
    made: hasher;
});
