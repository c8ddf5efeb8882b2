//! The subscribers of the domain, from a text file of one line each:
//!
//! ```text
//! # user realm and either the password or any of its hashes
//! alice example.com password=wonderland
//! bob   example.com md5=<32 hex> sha256=<64 hex> sha512-256=<64 hex>
//! ```
//!
//! A password becomes its three hashes (HA1) at once and is not kept. The list
//! does not change once read; a new file is a new list, shared by all shards.

use std::sync::Arc;

use ahash::RandomState;
use data_encoding::HEXLOWER_PERMISSIVE;
use hashbrown::HashTable;

use crate::digest::{self, Algorithm, Hex};

/// Every subscriber of one file.
#[derive(Debug)]
pub struct Subscribers {
    entries: HashTable<SubscriberEntry>,
    hasher: RandomState,
}

/// Addresses of record that a newer list takes away or gives another password.
pub type Revoked = Arc<[Box<[u8]>]>;

/// One subscriber in one realm, and the algorithms it can be challenged with.
pub(super) struct SubscriberEntry {
    /// User, realm, then the hashes there are, strongest first: one piece of
    /// memory, since there may be millions.
    bytes: Box<[u8]>,
    user_len: u16,
    realm_len: u16,
    has: [bool; 3],
}

/// A line of the file that cannot be taken; the file is then refused whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadLine {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Subscribers {
    /// Reads a whole file.
    ///
    /// # Errors
    /// The first line that is none, or that repeats a user of the same realm.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let mut subscribers = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |why| BadLine {
                line: index + 1,
                why,
            };
            let entry = SubscriberEntry::parse(line).map_err(bad)?;
            subscribers.insert(entry).map_err(bad)?;
        }
        Ok(subscribers)
    }

    /// The subscriber with these very bytes as user and realm.
    #[must_use]
    pub(super) fn find(&self, user: &[u8], realm: &[u8]) -> Option<&SubscriberEntry> {
        let hash = self.hasher.hash_one((user, realm));
        self.entries
            .find(hash, |entry| entry.user() == user && entry.realm() == realm)
    }

    /// The addresses of record, in the form of `home::aor`, whose subscribers
    /// `newer` does not have, or has with another password. One whose password is
    /// known by further or fewer hashes keeps it.
    #[must_use]
    pub fn revoked_by(&self, newer: &Self) -> Revoked {
        let stays = |old: &SubscriberEntry| {
            let new = newer.find(old.user(), old.realm());
            new.is_some_and(|new| old.agrees_with(new))
        };
        let gone = self.entries.iter().filter(|entry| !stays(entry));
        gone.map(|entry| {
            let mut aor = [entry.user(), b"@", entry.realm()].concat();
            aor[entry.user().len()..].make_ascii_lowercase();
            aor.into_boxed_slice()
        })
        .collect()
    }

    /// Who cannot log in where these algorithms are offered, since his password is known by the
    /// hashes of others: the user of the first by the alphabet.
    #[must_use]
    pub fn locked_out(&self, offered: &[Algorithm]) -> Option<&[u8]> {
        let is_out =
            |entry: &&SubscriberEntry| !offered.iter().any(|one| entry.ha1(*one).is_some());
        let out = self.entries.iter().filter(is_out);
        out.map(SubscriberEntry::user).min()
    }

    /// Number of subscribers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn insert(&mut self, entry: SubscriberEntry) -> Result<(), &'static str> {
        if self.find(entry.user(), entry.realm()).is_some() {
            return Err("this user of this realm is already there");
        }
        let hash = self.hasher.hash_one((entry.user(), entry.realm()));
        let hasher = &self.hasher;
        self.entries
            .insert_unique(hash, entry, |e| hasher.hash_one((e.user(), e.realm())));
        Ok(())
    }
}

impl Default for Subscribers {
    /// No subscribers. The seeds are fixed: the operator chooses what is in
    /// the table, and a peer that only looks things up cannot make it lopsided.
    fn default() -> Self {
        Self {
            entries: HashTable::new(),
            hasher: RandomState::with_seeds(1, 2, 3, 4),
        }
    }
}

impl SubscriberEntry {
    /// The user part of the credentials.
    #[must_use]
    pub(super) fn user(&self) -> &[u8] {
        &self.bytes[..usize::from(self.user_len)]
    }

    /// The realm the hashes are for.
    #[must_use]
    pub(super) fn realm(&self) -> &[u8] {
        &self.bytes[usize::from(self.user_len)..self.hashes_at()]
    }

    /// The HA1 in hex; `None` when the file does not give it.
    #[must_use]
    pub(super) fn ha1(&self, algorithm: Algorithm) -> Option<Hex> {
        let mut at = self.hashes_at();
        for (there, has) in Algorithm::STRONGEST_FIRST.into_iter().zip(self.has) {
            let end = at + if has { there.digest_len() } else { 0 };
            if there == algorithm {
                return has.then(|| Hex::of(&self.bytes[at..end]));
            }
            at = end;
        }
        None
    }

    /// What it can be challenged with, strongest first; never empty.
    #[cfg(test)]
    fn algorithms(&self) -> impl Iterator<Item = Algorithm> + use<> {
        Algorithm::STRONGEST_FIRST
            .into_iter()
            .zip(self.has)
            .filter_map(|(a, has)| has.then_some(a))
    }

    /// Whether the two have a hash in common, and none that differs.
    fn agrees_with(&self, other: &Self) -> bool {
        let both = Algorithm::STRONGEST_FIRST.map(|a| self.ha1(a).zip(other.ha1(a)));
        let mut both = both.into_iter().flatten().peekable();
        both.peek().is_some() && both.all(|(one, other)| one == other)
    }

    fn hashes_at(&self) -> usize {
        usize::from(self.user_len) + usize::from(self.realm_len)
    }

    fn parse(line: &str) -> Result<Self, &'static str> {
        let mut words = line.split_ascii_whitespace();
        let (Some(user), Some(realm)) = (words.next(), words.next()) else {
            return Err("a line is: user realm password=...");
        };
        if realm.contains('=') {
            return Err("the realm is missing");
        }
        let mut secrets = Secrets::default();
        for word in words {
            secrets.add(word)?;
        }
        let hashes = secrets.hashes(user, realm)?;
        let mut bytes = [user.as_bytes(), realm.as_bytes()].concat();
        for hash in hashes.iter().flatten() {
            bytes.extend_from_slice(hash);
        }
        let len = |name: &str| u16::try_from(name.len()).map_err(|_too_long| "a name is too long");
        Ok(Self {
            bytes: bytes.into_boxed_slice(),
            user_len: len(user)?,
            realm_len: len(realm)?,
            has: hashes.each_ref().map(Option::is_some),
        })
    }
}

/// Shows the names only.
impl std::fmt::Debug for SubscriberEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (user, realm) = (self.user().escape_ascii(), self.realm().escape_ascii());
        write!(f, "Subscriber({user} {realm})")
    }
}

/// The third and further words of a line.
#[derive(Default)]
struct Secrets<'a> {
    password: Option<&'a str>,
    /// In the order of `Algorithm::STRONGEST_FIRST`.
    hashes: Hashes,
}

type Hashes = [Option<Vec<u8>>; 3];

impl<'a> Secrets<'a> {
    fn add(&mut self, word: &'a str) -> Result<(), &'static str> {
        let Some((name, value)) = word.split_once('=') else {
            return Err("what follows the realm is name=value, without spaces");
        };
        let index = match name {
            "password" if self.password.is_some() => return Err("the password is there twice"),
            "password" if value.is_empty() => return Err("the password is empty"),
            "password" => {
                self.password = Some(value);
                return Ok(());
            }
            "sha512-256" => 0,
            "sha256" => 1,
            "md5" => 2,
            _ => return Err("only password, md5, sha256 and sha512-256 are known"),
        };
        let Ok(hash) = HEXLOWER_PERMISSIVE.decode(value.as_bytes()) else {
            return Err("a hash is not in hex");
        };
        if hash.len() != Algorithm::STRONGEST_FIRST[index].digest_len() {
            return Err("a hash has the wrong length");
        }
        match self.hashes[index].replace(hash) {
            Some(_) => Err("a hash is there twice"),
            None => Ok(()),
        }
    }

    fn hashes(self, user: &str, realm: &str) -> Result<Hashes, &'static str> {
        let given = self.hashes.iter().flatten().count();
        match self.password {
            None if given == 0 => Err("neither a password nor a hash"),
            None => Ok(self.hashes),
            Some(_) if given > 0 => Err("a password already gives every hash"),
            Some(password) => Ok(Algorithm::STRONGEST_FIRST.map(|algorithm| {
                let hex = digest::ha1(
                    algorithm,
                    user.as_bytes(),
                    realm.as_bytes(),
                    password.as_bytes(),
                );
                HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()
            })),
        }
    }
}

#[cfg(test)]
mod tests;
