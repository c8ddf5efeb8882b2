//! What each source makes a shard keep: bytes of requests and answers, and of
//! the transactions around them.
//!
//! Exact like `held`: an account is opened with the first charge to a source and
//! closed with the last one that goes. A charge knows its account by number, so
//! that its end costs no search.

use std::net::IpAddr;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::network;
use crate::carry::carried;
use crate::id::{Slab, Slot};
use crate::limits;

/// What one transaction costs its source.
#[derive(Debug, Default, Serialize, Deserialize)]
#[must_use = "it is to be given back"]
pub struct Charge {
    /// The index of its account, plus one; 0: nobody's.
    account: u32,
    bytes: u32,
}

/// All accounts.
#[derive(Debug)]
pub struct Ledger {
    accounts: Slab<Account>,
    by_source: HashTable<u32>,
    hasher: ahash::RandomState,
    /// The one that was asked for last.
    last: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Account {
    source: (bool, u64),
    /// Charges to it.
    charges: u32,
    bytes: usize,
}

impl Ledger {
    /// Nobody holds anything.
    #[must_use]
    pub const fn new(hasher: ahash::RandomState) -> Self {
        Self {
            accounts: Slab::new(limits::TRANSACTIONS_MAX),
            by_source: HashTable::new(),
            hasher,
            last: u32::MAX,
        }
    }

    /// Sources that make us keep anything.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.accounts.len()
    }

    /// True when there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// What a source makes us keep.
    pub fn held(&mut self, ip: IpAddr) -> usize {
        let account = self.find(network(ip.to_canonical()));
        let account = account.and_then(|index| self.accounts.at(index));
        account.map_or(0, |(_, account)| account.bytes)
    }

    /// Charges a source with so many bytes.
    pub(crate) fn charge(&mut self, ip: IpAddr, bytes: usize) -> Charge {
        let source = network(ip.to_canonical());
        let index = self.find(source).or_else(|| self.open(source));
        let Some((index, account)) = index.and_then(|index| {
            let account = self.accounts.at_mut(index)?;
            Some((index, account))
        }) else {
            return Charge::default();
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        account.charges += 1;
        account.bytes += bytes as usize;
        Charge {
            account: index + 1,
            bytes,
        }
    }

    /// A charge is of so many bytes from now on.
    pub fn change(&mut self, charge: &mut Charge, bytes: usize) {
        let index = charge.account.wrapping_sub(1);
        if let Some(account) = self.accounts.at_mut(index) {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            account.bytes = account.bytes - charge.bytes as usize + bytes as usize;
            charge.bytes = bytes;
        }
    }

    /// What was charged is gone.
    pub(crate) fn refund(&mut self, charge: Charge) {
        let Charge { account, bytes } = charge;
        let index = account.wrapping_sub(1);
        let Some(account) = self.accounts.at_mut(index) else {
            return;
        };
        account.bytes -= bytes as usize;
        account.charges -= 1;
        if account.charges > 0 {
            return;
        }
        let hash = self.hasher.hash_one(account.source);
        if let Ok(found) = self.by_source.find_entry(hash, |&at| at == index) {
            found.remove();
        }
        if let Some((slot, _)) = self.accounts.at(index) {
            self.accounts.remove(slot);
        }
    }

    fn find(&mut self, source: (bool, u64)) -> Option<u32> {
        let accounts = &self.accounts;
        let is_it = |&at: &u32| accounts.at(at).is_some_and(|(_, a)| a.source == source);
        if !is_it(&self.last) {
            let hash = self.hasher.hash_one(source);
            self.last = *self.by_source.find(hash, is_it)?;
        }
        Some(self.last)
    }

    fn open(&mut self, source: (bool, u64)) -> Option<u32> {
        let account = Account {
            source,
            charges: 0,
            bytes: 0,
        };
        let Slot { index, .. } = self.accounts.insert(account).ok()?;
        let (accounts, hasher) = (&self.accounts, &self.hasher);
        let rehash = |&at: &u32| {
            accounts
                .at(at)
                .map_or(0, |(_, a)| hasher.hash_one(a.source))
        };
        self.by_source
            .insert_unique(hasher.hash_one(source), index, rehash);
        self.last = index;
        Some(index)
    }
}

carried!(Ledger {
    values: accounts, last;
    made: by_source, hasher;
    then: index;
});

impl Ledger {
    fn index(&mut self) {
        let (accounts, hasher) = (&self.accounts, &self.hasher);
        let hash = |&at: &u32| {
            let account = accounts.at(at);
            account.map_or(0, |(_, account)| hasher.hash_one(account.source))
        };
        for (slot, _) in accounts.iter() {
            let index = slot.index;
            self.by_source.insert_unique(hash(&index), index, hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_and_given_back_comes_to_nothing() {
        let mut ledger = Ledger::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let ip = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, n, 0, 0, 0, n]);
        let mut charges: Vec<_> = (0..5_000_u16)
            .map(|n| (n % 700, ledger.charge(ip(n % 700), n.into())))
            .collect();
        assert_eq!(ledger.len(), 700);
        assert_eq!(
            ledger.held(ip(3)),
            (0..8).map(|n| 3 + 700 * n).sum::<usize>()
        );
        for (n, charge) in &mut charges {
            ledger.change(charge, usize::from(*n) + 1);
        }
        assert_eq!(ledger.held(ip(3)), 4 * 8);
        // Its neighbour in the /64 is the same customer.
        assert_eq!(ledger.held([0x2001, 0xdb8, 0, 3, 9, 9, 9, 9].into()), 4 * 8);
        for (_, charge) in charges {
            ledger.refund(charge);
        }
        assert!(ledger.is_empty() && ledger.by_source.is_empty());
        assert_eq!(ledger.held(ip(3)), 0);
        ledger.refund(Charge::default());
    }
}
