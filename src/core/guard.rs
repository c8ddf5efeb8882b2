//! Rate limits by source address: token buckets in a table of fixed size.
//!
//! A bucket is kept as the moment at which it will be full again (the "virtual
//! scheduling" of GCRA): one number, nothing to refill, no timer. A source that
//! is quiet long enough is full in every bucket and needs no entry at all.
//!
//! - An IPv4 source is an address; an IPv6 source is a /64, which is what one
//!   customer has.
//! - The table has `limits::GUARD_SETS` sets of `WAYS` entries. A new source in a full set
//!   replaces the one whose buckets are full soonest, so that many
//!   addresses cannot evict the one that is over its bound.
//! - Hashes are keyed: nobody can aim at a set.
//! - A UDP source that has not shown that it receives what is sent to its address
//!   is answered with no more bytes than it sent (RFC 9000 §8 has the same for QUIC): the address
//!   may be forged. A registration shows it for long, and an ACK to a refusal, with the
//!   tag that only we know, for a moment.
//! - Connections that a source holds are counted in `held`, its failed logins in `logins`, and
//!   the bytes that are kept for it in `ledger`: of those a stranger has a share.
//!
//! Not here: exemption of the cluster's own nodes ([`Policy`](crate::proxy::Policy)), and the
//! responses to refused requests.

mod held;
mod ledger;
mod logins;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use self::held::Shares;
pub use self::held::{ConnectionAdmission, Near};
pub use self::ledger::{Charge, Ledger};
use self::logins::{LoginState, Logins};
use crate::carry::carried;
use crate::limits;
use crate::time::{Duration, Instant};

/// What is counted by source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceLimit {
    /// Requests of any method, retransmissions and broken ones as well.
    Request,
    /// Requests within a dialog from a source that no phone is registered at, and
    /// responses to a lost connection that are sent by its Via.
    Roaming,
    /// STUN binding requests.
    Stun,
    /// Wrong credentials, of any user.
    FailedDigest,
    /// Connections that are accepted.
    Connection,
    /// Responses that match no transaction, and ICMP errors for datagrams to that address. Over
    /// the bound ICMP errors are not read; the responses are dropped in any case, and counted.
    Stray,
}

const KINDS: usize = 6;

impl SourceLimit {
    /// Tokens a second, and the depth of the bucket.
    const fn bound(self) -> (u32, u32) {
        match self {
            Self::Request => limits::SOURCE_REQUESTS,
            Self::Roaming => limits::SOURCE_ROAMING,
            Self::Stun => limits::SOURCE_STUN,
            Self::FailedDigest => limits::SOURCE_FAILED_DIGESTS,
            Self::Connection => limits::SOURCE_CONNECTIONS,
            Self::Stray => limits::SOURCE_STRAYS,
        }
    }

    /// Time in which one request comes back, and the time of a whole bucket.
    const fn times(self) -> (Duration, Duration) {
        let (rate, depth) = self.bound();
        let refill = Duration::from_micros(1_000_000 / rate as u64);
        (
            refill,
            Duration::from_micros(depth as u64 * 1_000_000 / rate as u64),
        )
    }
}

/// Entries of one set.
const WAYS: usize = 4;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    /// A part of its hash; 0: the entry is free.
    key: u32,
    /// Bytes that it has sent and that have not been answered.
    credit: u16,
    /// It was proven by a registration or a password, not by an ACK alone.
    is_known: bool,
    /// When each bucket is full again.
    full: [Instant; KINDS],
    /// Until when it counts as proven that it receives what is sent to it.
    proven: Instant,
}

impl Source {
    /// The order in which entries are replaced: by when the last bucket is full, then by how long
    /// the address counts as proven.
    fn idle(&self) -> (Instant, Instant) {
        let full = self.full.iter().copied().max().unwrap_or_default();
        (full, self.proven)
    }

    /// Adds bytes that were received, which as many bytes may answer.
    fn add_credit(&mut self, bytes: usize) {
        let credit = usize::from(self.credit).saturating_add(bytes);
        let credit = credit.min(limits::SOURCE_CREDIT_MAX);
        self.credit = u16::try_from(credit).unwrap_or(u16::MAX);
    }

    fn take(&mut self, now: Instant, limit: SourceLimit) -> bool {
        let (refill, depth) = limit.times();
        let full = &mut self.full[limit as usize];
        let next = (*full).max(now) + refill;
        let admitted = next.since(now) <= depth;
        if admitted {
            *full = next;
        }
        admitted
    }
}

/// The buckets of one shard.
#[derive(Debug)]
pub struct Guard {
    /// Made with the first source that is counted: a user agent has none.
    sets: Box<[[Source; WAYS]]>,
    hasher: ahash::RandomState,
    /// Networks that nothing is counted for: address and prefix length.
    unlimited: Vec<(IpAddr, u8)>,
    shares: Shares,
    logins: Logins,
    /// Most bytes that are kept for a stranger.
    memory: usize,
}

impl Guard {
    /// An empty table. The seed is secret; nobody on this machine is limited.
    #[must_use]
    pub fn new(seed: [u64; 4]) -> Self {
        let [a, b, c, d] = seed;
        let hasher = ahash::RandomState::with_seeds(d, c, b, a);
        Self {
            sets: Box::default(),
            shares: Shares::new(hasher.clone()),
            logins: Logins::new(hasher.clone()),
            hasher,
            unlimited: limits::UNLIMITED.to_vec(),
            memory: limits::SOURCE_MEMORY,
        }
    }

    /// Sets the networks that have no limits.
    pub fn set_unlimited(&mut self, networks: Vec<(IpAddr, u8)>) {
        self.unlimited = networks;
    }

    /// Sets how many connections a source may have at once.
    pub(crate) const fn set_connections(&mut self, most: u32) {
        self.shares.set_connections(most);
    }

    /// Sets how many bytes may be kept for a stranger.
    pub(crate) const fn set_memory(&mut self, bytes: usize) {
        self.memory = bytes;
    }

    /// Whether `bytes` may be kept for a source in all, while `free` are left; the caller exempts
    /// the cluster's nodes. When few are left the source that holds most is refused first, one
    /// without limits too.
    pub(crate) fn may_keep(&mut self, now: Instant, ip: IpAddr, bytes: usize, free: usize) -> bool {
        let share = free / limits::SOURCE_MEMORY_OF_FREE;
        if bytes <= self.memory.min(share) {
            return true;
        }
        let ip = ip.to_canonical();
        if self.is_unlimited(ip) {
            return bytes <= free;
        }
        bytes <= share && bytes <= limits::SOURCE_MEMORY_KNOWN && self.is_known(now, ip)
    }

    /// Takes one from the source's bucket. False: it is empty.
    pub(crate) fn admit(&mut self, now: Instant, ip: IpAddr, limit: SourceLimit) -> bool {
        let source = self.source(now, ip);
        source.is_none_or(|source| source.take(now, limit))
    }

    /// Takes one for a request, whose bytes may be answered by as many.
    pub fn request(&mut self, now: Instant, ip: IpAddr, bytes: usize) -> bool {
        let Some(source) = self.source(now, ip) else {
            return true;
        };
        source.add_credit(bytes);
        source.take(now, SourceLimit::Request)
    }

    /// Adds the bytes of a request for its answer; it was taken on another shard.
    pub(crate) fn credit(&mut self, now: Instant, ip: IpAddr, bytes: usize) {
        if let Some(source) = self.source(now, ip) {
            source.add_credit(bytes);
        }
    }

    /// Whether an answer of `bytes` may be sent to the source address of a datagram: always where
    /// that is proven, else as far as the source has sent as many.
    pub(crate) fn repay(&mut self, now: Instant, ip: IpAddr, bytes: usize) -> bool {
        let ip = ip.to_canonical();
        if self.is_unlimited(ip) {
            return true;
        }
        let Some(source) = self.find(ip) else {
            return false;
        };
        let bytes = u16::try_from(bytes).ok();
        let left = bytes.and_then(|bytes| source.credit.checked_sub(bytes));
        if source.proven > now {
            // The credit is spent here too: it must not serve when the proof has ended.
            source.credit = left.unwrap_or(0);
            return true;
        }
        source.credit = left.unwrap_or(source.credit);
        left.is_some()
    }

    /// Whether it counts as proven that the source receives what is sent to it.
    #[must_use]
    pub(crate) fn is_proven(&mut self, now: Instant, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.is_unlimited(ip) || self.find(ip).is_some_and(|source| source.proven > now)
    }

    /// Notes that the source has proven its address and who it is, by a registration or a password.
    pub fn prove(&mut self, now: Instant, ip: IpAddr) {
        if let Some(source) = self.source(now, ip) {
            source.proven = now + limits::SOURCE_PROVEN;
            source.is_known = true;
        }
    }

    /// Notes that the source has acknowledged a refusal, and so has received it.
    pub fn acknowledged(&mut self, now: Instant, ip: IpAddr) {
        self.set_proven(now, ip, limits::SOURCE_ACKNOWLEDGED);
    }

    /// Notes that the source has shown a mark that was sent to its flow alone.
    pub fn in_dialog(&mut self, now: Instant, ip: IpAddr) {
        self.set_proven(now, ip, limits::SOURCE_PROVEN);
    }

    /// Counts the address as proven for `lasts`, without knowing who the source is.
    fn set_proven(&mut self, now: Instant, ip: IpAddr, lasts: Duration) {
        if let Some(source) = self.source(now, ip)
            && source.proven < now + lasts
        {
            source.is_known &= source.proven > now;
            source.proven = now + lasts;
        }
    }

    /// Whether the source has proven who it is, and that has not ended.
    #[must_use]
    pub fn is_known(&mut self, now: Instant, ip: IpAddr) -> bool {
        let source = self.find(ip.to_canonical());
        source.is_some_and(|source| source.is_known && source.proven > now)
    }

    /// Counts a connection that was accepted; one of the cluster's nodes (`is_peer`) is not refused.
    pub fn open(&mut self, ip: IpAddr, is_peer: bool) -> ConnectionAdmission {
        let ip = ip.to_canonical();
        self.shares.open(ip, is_peer || self.is_unlimited(ip))
    }

    /// A connection that was accepted is gone.
    pub fn close(&mut self, ip: IpAddr) {
        self.shares.close(ip.to_canonical());
    }

    /// Counts a handshake; false: the source has too many.
    pub(crate) fn handshake_started(&mut self, ip: IpAddr, is_peer: bool) -> bool {
        let ip = ip.to_canonical();
        self.shares
            .handshake_started(ip, is_peer || self.is_unlimited(ip))
    }

    /// A handshake is over.
    pub fn handshake_done(&mut self, ip: IpAddr) {
        self.shares.handshake_done(ip.to_canonical());
    }

    /// Handshakes under way, of all sources.
    #[must_use]
    pub const fn handshakes(&self) -> usize {
        self.shares.handshakes()
    }

    /// Counts the unfinished message of a connection with `after` bytes instead of
    /// `before`; false where that is too much for its source, or for all.
    pub fn hold(&mut self, ip: IpAddr, before: usize, after: usize) -> bool {
        let ip = ip.to_canonical();
        let is_exempt = self.is_unlimited(ip);
        self.shares.hold(ip, before, after, is_exempt)
    }

    /// Sources that come near the number of connections they may have.
    #[must_use]
    pub const fn near(&self) -> usize {
        self.shares.near()
    }

    /// Whether credentials of a user from a source are verified. Not where this user has failed
    /// too often from there; where the whole source has, only for users who have logged in from it
    /// within the hour.
    #[must_use]
    pub(crate) fn may_log_in(&self, now: Instant, ip: IpAddr, user: &[u8]) -> bool {
        let ip = ip.to_canonical();
        self.is_unlimited(ip)
            || match self.logins.state(now, ip, user) {
                LoginState::Locked => false,
                LoginState::Known => true,
                LoginState::Unknown => self.has(now, ip, SourceLimit::FailedDigest),
            }
    }

    /// Counts wrong credentials of a user from a source.
    pub(crate) fn failed_login(&mut self, now: Instant, ip: IpAddr, user: &[u8]) {
        let ip = ip.to_canonical();
        if !self.is_unlimited(ip) {
            self.admit(now, ip, SourceLimit::FailedDigest);
            self.logins.failed(now, ip, user);
        }
    }

    /// Notes right credentials of a user from a source.
    pub(crate) fn logged_in(&mut self, now: Instant, ip: IpAddr, user: &[u8]) {
        let ip = ip.to_canonical();
        if !self.is_unlimited(ip) {
            self.logins.succeeded(now, ip, user);
        }
    }

    /// Whether the bucket has one left; takes none.
    #[must_use]
    pub fn has(&self, now: Instant, ip: IpAddr, limit: SourceLimit) -> bool {
        let ip = ip.to_canonical();
        if self.sets.is_empty() || self.is_unlimited(ip) {
            return true;
        }
        let (key, set) = self.key_and_set(ip);
        let (refill, depth) = limit.times();
        let held = self.sets[set].iter().find(|source| source.key == key);
        held.is_none_or(|source| {
            (source.full[limit as usize].max(now) + refill).since(now) <= depth
        })
    }

    /// The entry of a source that has one.
    fn find(&mut self, ip: IpAddr) -> Option<&mut Source> {
        if self.sets.is_empty() {
            return None;
        }
        let (key, set) = self.key_and_set(ip);
        let mut ways = self.sets[set].iter_mut();
        ways.find(|source| source.key == key)
    }

    /// The entry of a source, made where there is none; `None` when it is not counted.
    fn source(&mut self, now: Instant, ip: IpAddr) -> Option<&mut Source> {
        let ip = ip.to_canonical();
        if self.is_unlimited(ip) {
            return None;
        }
        if self.sets.is_empty() {
            self.sets = vec![[Source::default(); WAYS]; limits::GUARD_SETS].into();
        }
        let (key, set) = self.key_and_set(ip);
        let ways = &mut self.sets[set];
        let at = match ways.iter().position(|source| source.key == key) {
            Some(at) => at,
            None => {
                let free = (0..WAYS).min_by_key(|&at| ways[at].idle())?;
                ways[free] = Source {
                    key,
                    full: [now; KINDS],
                    ..Source::default()
                };
                free
            }
        };
        ways.get_mut(at)
    }

    fn is_unlimited(&self, ip: IpAddr) -> bool {
        is_in_any(ip, &self.unlimited)
    }

    /// The key of a source, and its set.
    fn key_and_set(&self, ip: IpAddr) -> (u32, usize) {
        let hash = self.hasher.hash_one(network(ip));
        let [k0, k1, k2, k3, s0, s1, s2, s3] = hash.to_le_bytes();
        let set = u32::from_le_bytes([s0, s1, s2, s3]) as usize % limits::GUARD_SETS;
        (u32::from_le_bytes([k0, k1, k2, k3]) | 1, set)
    }
}

/// What one customer has: an IPv4 address, or an IPv6 /64 (then true).
#[must_use]
pub fn network(ip: IpAddr) -> (bool, u64) {
    match ip {
        IpAddr::V4(v4) => (false, u64::from(v4.to_bits())),
        IpAddr::V6(v6) => (true, u64::try_from(v6.to_bits() >> 64).unwrap_or_default()),
    }
}

const _: () = assert!(size_of::<Source>() <= 64, "a line of the cache");

/// Whether `ip` is in one of these networks.
#[must_use]
pub fn is_in_any(ip: IpAddr, networks: &[(IpAddr, u8)]) -> bool {
    let mut networks = networks.iter();
    networks.any(|&(network, len)| is_within(ip, network.to_canonical(), len))
}

/// Whether `ip` is in a network. A prefix longer than the address means the
/// address itself; the two families never meet.
#[must_use]
pub fn is_within(ip: IpAddr, network: IpAddr, len: u8) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let differ = ip.to_bits() ^ network.to_bits();
            differ.leading_zeros() >= u32::from(len.min(32))
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let differ = ip.to_bits() ^ network.to_bits();
            differ.leading_zeros() >= u32::from(len.min(128))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

carried!(Guard {
    parts: sets, shares, logins;
    made: hasher, unlimited, memory;
});

#[cfg(test)]
mod tests;
