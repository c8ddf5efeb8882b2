//! How much one source may ask for: token buckets by address, in a table of
//! fixed size.
//!
//! A bucket is kept as the moment at which it will be full again (the "virtual
//! scheduling" of GCRA): one number, nothing to refill, no timer. A source that
//! is quiet long enough is full in every bucket and needs no place at all.
//!
//! - An IPv4 source is an address; an IPv6 source is a /64, which is what one
//!   customer has.
//! - The table has `limits::GUARD_SETS` sets of `WAYS` places. Where a set is
//!   taken, the source nearest to being full gives its place up, so that many
//!   addresses cannot wash out the one that is over its bound.
//! - Hashes are keyed: nobody aims at a set.
//! - A UDP source that has not shown that it gets what is sent to its address
//!   is answered with no more bytes than it sent: the address may be forged, and
//!   whoever has it is not to be flooded through us. It has shown it for long
//!   once it registered, and for a moment when it acknowledged a refusal by the
//!   tag that only we know.
//! - What sources hold at once is counted apart (`held`), so is who fails to log
//!   in (`logins`), and so is what they make us keep (`ledger`): of that a
//!   stranger has a share.
//!
//! Not here: who is exempt because he is a peer of ours (`proxy::Policy`), and
//! what the refused are told.

mod held;
mod ledger;
mod logins;

use std::net::IpAddr;

use self::held::Shares;
pub use self::held::{Held, Near};
pub use self::ledger::{Charge, Ledger};
use self::logins::{Logins, Standing};
use crate::limits;
use crate::time::{Duration, Instant};

/// What is counted by source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Requests of any method, retransmissions and broken ones as well.
    Request,
    /// Requests inside a dialog from a source that no flow of ours is to, and
    /// answers to a source that has gone, by what it wrote into its Via.
    Roaming,
    /// STUN binding requests.
    Stun,
    /// Credentials that did not prove what they claimed, whoever's they were.
    FailedDigest,
    /// Connections; that they close again needs no other bound.
    Connection,
    /// What nobody asked for: responses that match nothing here, and news that
    /// datagrams did not arrive there. Over the bound the news are not read, and
    /// the responses, which end here anyway, are counted as too many.
    Stray,
}

const KINDS: usize = 6;

impl Kind {
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

    /// Time in which one token comes back, and the time of a whole bucket.
    const fn times(self) -> (Duration, Duration) {
        let (rate, depth) = self.bound();
        let token = Duration::from_micros(1_000_000 / rate as u64);
        (
            token,
            Duration::from_micros(depth as u64 * 1_000_000 / rate as u64),
        )
    }
}

/// Addresses of one set.
const WAYS: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
struct Source {
    /// A part of its hash; 0: nobody.
    key: u32,
    /// Bytes that it sent and that no answer was set against.
    credit: u16,
    /// It was proven by a registration or a password.
    is_known: bool,
    /// When each bucket is full again.
    full: [Instant; KINDS],
    /// It gets what is sent to it, as far as is known: until then.
    proven: Instant,
}

impl Source {
    /// When the last of its buckets is full, and its place free. Of two that
    /// are full, the one that has proven nothing goes first.
    fn idle(&self) -> (Instant, Instant) {
        let full = self.full.iter().copied().max().unwrap_or_default();
        (full, self.proven)
    }

    /// So many bytes came that an answer may be set against.
    fn sent(&mut self, bytes: usize) {
        let credit = usize::from(self.credit).saturating_add(bytes);
        let credit = credit.min(limits::SOURCE_CREDIT_MAX);
        self.credit = u16::try_from(credit).unwrap_or(u16::MAX);
    }

    fn take(&mut self, now: Instant, kind: Kind) -> bool {
        let (token, depth) = kind.times();
        let full = &mut self.full[kind as usize];
        let next = (*full).max(now) + token;
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
    /// Bytes that a stranger may make us keep.
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

    /// Nothing is counted for these networks, for any other it is.
    pub fn set_unlimited(&mut self, networks: Vec<(IpAddr, u8)>) {
        self.unlimited = networks;
    }

    /// So many connections a source may have at once.
    pub(crate) const fn set_connections(&mut self, most: u32) {
        self.shares.set_connections(most);
    }

    /// So many bytes a stranger may make us keep.
    pub(crate) const fn set_memory(&mut self, bytes: usize) {
        self.memory = bytes;
    }

    /// Whether a source, peers of ours left out, may make us keep so many bytes
    /// while so many are free. Who holds most is the first to get no more when
    /// they become few, the unlimited as well.
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

    /// Takes a token of the source's bucket. False: it is empty.
    pub(crate) fn admit(&mut self, now: Instant, ip: IpAddr, kind: Kind) -> bool {
        let source = self.source(now, ip);
        source.is_none_or(|source| source.take(now, kind))
    }

    /// Takes a token for a request, whose bytes may be answered by as many.
    pub fn request(&mut self, now: Instant, ip: IpAddr, bytes: usize) -> bool {
        let Some(source) = self.source(now, ip) else {
            return true;
        };
        source.sent(bytes);
        source.take(now, Kind::Request)
    }

    /// The same for a request that took its token elsewhere.
    pub(crate) fn credit(&mut self, now: Instant, ip: IpAddr, bytes: usize) {
        if let Some(source) = self.source(now, ip) {
            source.sent(bytes);
        }
    }

    /// Whether an answer of so many bytes may go to an address that a datagram
    /// says it came from; they are set against what came.
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
            // What is answered now cannot be answered later.
            source.credit = left.unwrap_or(0);
            return true;
        }
        source.credit = left.unwrap_or(source.credit);
        left.is_some()
    }

    /// Whether the source gets what is sent to it, as far as is known.
    #[must_use]
    pub(crate) fn is_proven(&mut self, now: Instant, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.is_unlimited(ip) || self.find(ip).is_some_and(|source| source.proven > now)
    }

    /// The source has shown that it gets what is sent to it, and who it is.
    pub fn prove(&mut self, now: Instant, ip: IpAddr) {
        if let Some(source) = self.source(now, ip) {
            source.proven = now + limits::SOURCE_PROVEN;
            source.is_known = true;
        }
    }

    /// The source has shown that it got one answer.
    pub fn acknowledged(&mut self, now: Instant, ip: IpAddr) {
        self.reached(now, ip, limits::SOURCE_ACKNOWLEDGED);
    }

    /// The source has shown a mark that we sent to its flow and to nobody else.
    pub fn in_dialog(&mut self, now: Instant, ip: IpAddr) {
        self.reached(now, ip, limits::SOURCE_PROVEN);
    }

    /// It gets what is sent to it, whoever it is.
    fn reached(&mut self, now: Instant, ip: IpAddr, lasts: Duration) {
        if let Some(source) = self.source(now, ip)
            && source.proven < now + lasts
        {
            source.is_known &= source.proven > now;
            source.proven = now + lasts;
        }
    }

    /// Whether the source has shown who it is, as far as is known.
    #[must_use]
    pub fn is_known(&mut self, now: Instant, ip: IpAddr) -> bool {
        let source = self.find(ip.to_canonical());
        source.is_some_and(|source| source.is_known && source.proven > now)
    }

    /// Counts a connection that was accepted; peers of ours are exempt.
    pub fn open(&mut self, ip: IpAddr, is_peer: bool) -> Held {
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

    /// The unfinished message of a connection has `after` bytes and not
    /// `before`; false: that is too much.
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

    /// Whether credentials of that user are looked at, which come from there. One
    /// who has failed too often himself waits; where the whole source has, those
    /// of it wait who have not logged in well for an hour.
    #[must_use]
    pub(crate) fn may_log_in(&self, now: Instant, ip: IpAddr, user: &[u8]) -> bool {
        let ip = ip.to_canonical();
        self.is_unlimited(ip)
            || match self.logins.standing(now, ip, user) {
                Standing::Locked => false,
                Standing::Known => true,
                Standing::Unknown => self.has(now, ip, Kind::FailedDigest),
            }
    }

    /// Credentials of that user were wrong.
    pub(crate) fn failed_login(&mut self, now: Instant, ip: IpAddr, user: &[u8]) {
        let ip = ip.to_canonical();
        if !self.is_unlimited(ip) {
            self.admit(now, ip, Kind::FailedDigest);
            self.logins.failed(now, ip, user);
        }
    }

    /// Credentials of that user were right.
    pub(crate) fn logged_in(&mut self, now: Instant, ip: IpAddr, user: &[u8]) {
        let ip = ip.to_canonical();
        if !self.is_unlimited(ip) {
            self.logins.succeeded(now, ip, user);
        }
    }

    /// Whether the bucket has a token; takes none.
    #[must_use]
    pub fn has(&self, now: Instant, ip: IpAddr, kind: Kind) -> bool {
        let ip = ip.to_canonical();
        if self.sets.is_empty() || self.is_unlimited(ip) {
            return true;
        }
        let (key, set) = self.key_and_set(ip);
        let (token, depth) = kind.times();
        let held = self.sets[set].iter().find(|source| source.key == key);
        held.is_none_or(|source| (source.full[kind as usize].max(now) + token).since(now) <= depth)
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

#[cfg(test)]
mod tests;
