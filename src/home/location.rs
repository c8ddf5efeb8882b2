//! The bindings of the domain: which contacts an address of record has
//! (RFC 3261 §10.3), through which Path (RFC 3327) and flows (RFC 5626 §6).
//!
//! It stores what the registrar decided; it grants no lifetimes, challenges
//! nobody and knows no messages. Addresses of record come in the form of
//! `home::aor`.
//!
//! Invariants: a REGISTER is applied whole or not at all; a binding that has
//! expired is seen by nobody, swept or not; the bindings of an address of
//! record stand in the order of their last update; an address of record
//! without bindings takes no memory.

mod binding;
mod plan;
mod stored;

use ahash::RandomState;
use hashbrown::HashTable;

use crate::id::Flow;
use crate::limits;
use crate::time::Instant;

use plan::Plan;

pub use binding::{Binding, same_instance};
pub use stored::NotRestored;

/// Every binding of this shard.
#[derive(Debug)]
pub struct Location {
    /// Dense: a removed one is replaced by the last.
    aors: Vec<Aor>,
    by_name: HashTable<usize>,
    hasher: RandomState,
    /// Where the sweep goes on.
    cursor: usize,
    max: usize,
}

#[derive(Debug)]
struct Aor {
    name: Box<[u8]>,
    /// Least recently updated first.
    bindings: Vec<Binding>,
}

/// What one REGISTER says of all its contacts.
#[derive(Clone, Copy, Debug)]
pub struct Register<'a> {
    /// Its Call-ID.
    pub call_id: &'a [u8],
    /// The number of its CSeq.
    pub cseq: u32,
    /// Its Path values as they go into a Route header, `, ` between; empty: none.
    pub path: &'a [u8],
    /// What it came on.
    pub flow: Option<Flow>,
}

/// One contact of a REGISTER.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// The URI, without angle brackets.
    pub contact: &'a [u8],
    /// The parameters of the header value that are echoed.
    pub params: &'a [u8],
    /// Preference in thousandths, 0 to 1000.
    pub q: u16,
    /// The lifetime granted, in seconds; zero removes the binding.
    pub expires_s: u32,
    /// The `+sip.instance`, a URN without brackets.
    pub instance: Option<&'a [u8]>,
    /// The `reg-id`, when outbound is used (`home::rules`). It says nothing
    /// without an instance.
    pub reg_id: Option<u32>,
}

/// A REGISTER that changed nothing, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// A binding it touches was last updated under the same Call-ID with the
    /// same or a higher CSeq (RFC 3261 §10.3 steps 6 and 7).
    OutOfOrder,
    /// More than `limits::CONTACTS_MAX` contacts.
    TooMany,
    /// The texts of a binding take more than 65,535 bytes.
    TooLong,
    /// `limits::AORS_MAX` addresses of record are there already.
    Full,
}

impl Conflict {
    /// Status and reason phrase of the answer; never a 6xx (RFC 3261 §10.3).
    #[must_use]
    pub const fn answer(self) -> (u16, &'static str) {
        match self {
            Self::OutOfOrder => (500, "CSeq Out Of Order"),
            Self::TooMany => (403, "Too Many Contacts"),
            Self::TooLong => (413, "Request Entity Too Large"),
            Self::Full => (503, "Service Unavailable"),
        }
    }
}

impl Change<'_> {
    /// What the binding goes by in place of its contact (RFC 5626 §6).
    fn flow_key(&self) -> Option<(&[u8], u32)> {
        let instance = self.instance.filter(|instance| !instance.is_empty())?;
        Some((instance, self.reg_id.filter(|reg_id| *reg_id > 0)?))
    }
}

impl Location {
    /// No bindings; `seed` keeps peers from aiming collisions.
    #[must_use]
    pub fn new(seed: [u64; 4]) -> Self {
        Self::with_max(seed, limits::AORS_MAX)
    }

    fn with_max(seed: [u64; 4], max: usize) -> Self {
        let hasher = RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]);
        Self {
            aors: Vec::new(),
            by_name: HashTable::new(),
            hasher,
            cursor: 0,
            max,
        }
    }

    /// Number of addresses of record.
    #[must_use]
    pub fn len(&self) -> usize {
        self.aors.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.aors.is_empty()
    }

    /// All addresses of record, in no order that means anything.
    pub fn aors(&self) -> impl Iterator<Item = &[u8]> {
        self.aors.iter().map(|aor| &*aor.name)
    }

    /// The live bindings of an address of record, the last updated last.
    pub fn bindings(&self, now: Instant, aor: &[u8]) -> impl Iterator<Item = &Binding> {
        let bindings = self
            .find(aor)
            .map_or(&[][..], |place| &self.aors[place].bindings);
        bindings.iter().filter(move |binding| binding.is_live(now))
    }

    /// Adds, refreshes and removes contacts as one REGISTER asks.
    ///
    /// A contact with instance and reg-id is the binding with both, wherever it
    /// points now (RFC 5626 §6); any other is the binding with an equal URI
    /// that goes by its URI. The two kinds do not touch each other, so a phone
    /// with outbound and one without share an address of record, and a phone
    /// that changes kind is there twice until the older binding expires.
    ///
    /// # Errors
    /// `Conflict`, with nothing changed.
    pub fn apply(
        &mut self,
        now: Instant,
        aor: &[u8],
        register: &Register<'_>,
        changes: &[Change<'_>],
    ) -> Result<(), Conflict> {
        let found = self.find(aor);
        let existing = found.map_or(&[][..], |place| &self.aors[place].bindings);
        let plan = Plan::new(now, existing, register, changes)?;
        let place = match found {
            Some(place) => place,
            None if plan.adds_nothing() => return Ok(()),
            None if self.is_full() => return Err(Conflict::Full),
            None => {
                self.insert(Aor {
                    name: aor.into(),
                    bindings: Vec::new(),
                });
                self.aors.len() - 1
            }
        };
        plan.carry_out(now, &mut self.aors[place].bindings);
        self.remove_if_empty(place);
        Ok(())
    }

    /// Removes every contact, as `Contact: *` with `Expires: 0` asks
    /// (RFC 3261 §10.3 step 6).
    ///
    /// # Errors
    /// `Conflict::OutOfOrder`, with nothing changed.
    pub fn clear(
        &mut self,
        now: Instant,
        aor: &[u8],
        call_id: &[u8],
        cseq: u32,
    ) -> Result<(), Conflict> {
        let Some(place) = self.find(aor) else {
            return Ok(());
        };
        let bindings = &mut self.aors[place].bindings;
        let is_late = |b: &Binding| b.is_live(now) && b.call_id() == call_id && cseq <= b.cseq;
        if bindings.iter().any(is_late) {
            return Err(Conflict::OutOfOrder);
        }
        bindings.clear();
        self.remove_if_empty(place);
        Ok(())
    }

    /// Looks at `budget` addresses of record, going on where the last call
    /// ended, and removes what has expired. Gives the number of bindings
    /// removed; the addresses of record that lost any are appended to
    /// `changed`. A late sweep only holds memory: expired bindings are not seen.
    pub fn expire(&mut self, now: Instant, budget: usize, changed: &mut Vec<Box<[u8]>>) -> usize {
        let mut removed = 0;
        for _ in 0..budget.min(self.aors.len()) {
            if self.cursor >= self.aors.len() {
                self.cursor = 0;
            }
            let Some(aor) = self.aors.get_mut(self.cursor) else {
                break;
            };
            let before = aor.bindings.len();
            aor.bindings.retain(|binding| binding.is_live(now));
            let gone = before - aor.bindings.len();
            if gone > 0 {
                removed += gone;
                changed.push(aor.name.clone());
                aor.bindings.shrink_to_fit();
            }
            // The last one takes the place of a removed one: it is looked at next.
            if !self.remove_if_empty(self.cursor) {
                self.cursor += 1;
            }
        }
        removed
    }

    fn is_full(&self) -> bool {
        self.aors.len() >= self.max
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        let hash = self.hasher.hash_one(name);
        self.by_name
            .find(hash, |place| *self.aors[*place].name == *name)
            .copied()
    }

    /// The name is not there yet.
    fn insert(&mut self, aor: Aor) {
        let hash = self.hasher.hash_one(&*aor.name);
        let place = self.aors.len();
        self.aors.push(aor);
        let (aors, hasher) = (&self.aors, &self.hasher);
        self.by_name
            .insert_unique(hash, place, |place| hasher.hash_one(&*aors[*place].name));
    }

    fn remove_if_empty(&mut self, place: usize) -> bool {
        if self
            .aors
            .get(place)
            .is_none_or(|aor| !aor.bindings.is_empty())
        {
            return false;
        }
        let last = self.aors.len() - 1;
        let hash = self.hasher.hash_one(&*self.aors[place].name);
        if let Ok(entry) = self.by_name.find_entry(hash, |at| *at == place) {
            entry.remove();
        }
        let moved = self.hasher.hash_one(&*self.aors[last].name);
        if let Some(at) = self.by_name.find_mut(moved, |at| *at == last) {
            *at = place;
        }
        self.aors.swap_remove(place);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AOR: &[u8] = b"joe@example.com";

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn empty() -> Location {
        Location::new([1, 2, 3, 4])
    }

    fn register(call_id: &str, cseq: u32) -> Register<'_> {
        Register {
            call_id: call_id.as_bytes(),
            cseq,
            path: b"",
            flow: None,
        }
    }

    fn plain(contact: &str, expires_s: u32) -> Change<'_> {
        Change {
            contact: contact.as_bytes(),
            q: 1000,
            expires_s,
            ..Change::default()
        }
    }

    /// Contact and seconds left of each live binding.
    #[track_caller]
    fn check(location: &Location, now: Instant, want: &[(&str, u32)]) {
        let got: Vec<_> = location
            .bindings(now, AOR)
            .map(|binding| {
                (
                    std::str::from_utf8(binding.contact()).unwrap(),
                    binding.left_s(now),
                )
            })
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn at_the_bound_of_addresses_the_known_ones_go_on() {
        let mut location = Location::with_max([1, 2, 3, 4], 1);
        location
            .apply(at(0), AOR, &register("c", 1), &[plain("sip:a", 60)])
            .unwrap();
        let got = location.apply(
            at(0),
            b"ann@example.com",
            &register("c", 1),
            &[plain("sip:a", 60)],
        );
        assert_eq!(got, Err(Conflict::Full));
        location
            .apply(at(0), AOR, &register("c", 2), &[plain("sip:b", 60)])
            .unwrap();
        check(&location, at(0), &[("sip:a", 60), ("sip:b", 60)]);
    }

    #[test]
    fn an_expired_binding_is_not_seen_before_the_sweep() {
        let mut location = empty();
        location
            .apply(
                at(0),
                AOR,
                &register("c", 1),
                &[plain("sip:a", 60), plain("sip:b", 61)],
            )
            .unwrap();
        check(&location, at(60), &[("sip:b", 1)]);
        let mut changed = Vec::new();
        assert_eq!(location.expire(at(60), 9, &mut changed), 1);
        assert_eq!(changed, [AOR.into()]);
        assert_eq!(location.expire(at(60), 9, &mut changed), 0);
        assert_eq!(location.expire(at(61), 9, &mut changed), 1);
        assert!(location.is_empty());
        assert_eq!(changed.len(), 2);
        assert_eq!(location.expire(at(61), 9, &mut changed), 0);
    }

    #[test]
    fn a_sweep_looks_at_no_more_than_its_budget_and_in_the_end_at_all() {
        let mut location = empty();
        for n in 0..100 {
            let expires_s = if n % 3 == 0 { 500 } else { 60 };
            let name = format!("user{n}@example.com");
            location
                .apply(
                    at(0),
                    name.as_bytes(),
                    &register("c", 1),
                    &[plain("sip:a", expires_s)],
                )
                .unwrap();
        }
        let mut changed = Vec::new();
        let mut removed = Vec::new();
        while location.len() > 34 {
            removed.push(location.expire(at(100), 10, &mut changed));
            assert!(removed.len() <= 10, "{removed:?}");
        }
        assert!(removed.iter().all(|n| *n <= 10), "{removed:?}");
        assert_eq!((removed.iter().sum::<usize>(), changed.len()), (66, 66));
        for n in 0..100 {
            let name = format!("user{n}@example.com");
            let left = location.bindings(at(100), name.as_bytes()).count();
            assert_eq!(left, usize::from(n % 3 == 0), "{name}");
        }
    }

    #[test]
    fn an_address_is_found_by_its_very_bytes() {
        let mut location = empty();
        for aor in [&b"joe@example.com"[..], b"Joe@example.com"] {
            location
                .apply(at(0), aor, &register("c", 1), &[plain("sip:a", 60)])
                .unwrap();
        }
        let mut aors: Vec<_> = location.aors().collect();
        aors.sort_unstable();
        assert_eq!(aors, [&b"Joe@example.com"[..], b"joe@example.com"]);
        assert_eq!(location.bindings(at(0), b"joe").count(), 0);
    }

    // The budget of architecture.md: 1 KiB for a phone, edge and home together.
    #[test]
    fn a_phone_takes_less_than_450_bytes() {
        let params = b";+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\";reg-id=1";
        let change = Change {
            params,
            instance: Some(b"urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
            reg_id: Some(1),
            ..plain("sip:subscriber@192.168.178.123:50600;transport=udp;ob", 60)
        };
        let path = b"<sip:subscriber0123456789abcdef0123456789abcdef@edge.example.com;lr;ob>";
        let register = Register {
            path,
            ..register("f81d4fae-7dec-11d0-a765-00a0c91e6bf6", 1)
        };
        let mut location = empty();
        location.apply(at(0), AOR, &register, &[change]).unwrap();
        let [aor] = &location.aors[..] else { panic!() };
        let texts = aor.name.len() + aor.bindings[0].text.len();
        let bindings = aor.bindings.capacity() * size_of::<Binding>();
        // A table at most half full, one control byte a slot.
        let table = 2 * (size_of::<usize>() + 1);
        let total = size_of::<Aor>() + bindings + texts + table;
        assert!(total < 450, "{total}");
    }
}
