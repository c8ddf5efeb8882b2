//! What one REGISTER does to the bindings there are (RFC 3261 §10.3 step 7,
//! RFC 5626 §6): worked out in full before the first binding is touched, so that it is applied
//! whole or not at all.
//!
//! Which binding a contact means is `Binding::is_meant_by`; here is the order
//! of the requests, the bound, and contacts that stand twice in one REGISTER.

use crate::limits;
use crate::time::{Duration, Instant};

use super::binding::Binding;
use super::change::{Change, Conflict, Register};

/// The replacements that a REGISTER comes to.
pub(super) struct Update {
    replacements: Vec<Replacement>,
}

/// One binding in place of another.
struct Replacement {
    /// Index of the binding that goes; `None`: one is added.
    old: Option<usize>,
    /// The binding that comes; `None`: one is removed.
    new: Option<Binding>,
}

impl Update {
    /// Works out what a REGISTER does to the bindings of its address of record.
    pub(super) fn new(
        now: Instant,
        existing: &[Binding],
        register: &Register<'_>,
        changes: &[Change<'_>],
    ) -> Result<Self, Conflict> {
        let mut update = Self {
            replacements: Vec::with_capacity(changes.len()),
        };
        for change in changes {
            update.add(now, existing, register, change)?;
            // At once, so that a long REGISTER compares no more than it may store.
            if update.added() > limits::CONTACTS_MAX {
                return Err(Conflict::TooMany);
            }
        }
        // A full address of record refuses a further phone. A phone that has bindings there
        // makes room for its new one by its oldest.
        let live = existing.iter().filter(|binding| binding.is_live(now));
        let live = live.count();
        while update.added() > 0 && live - update.removed() + update.added() > limits::CONTACTS_MAX
        {
            let old = update.left_behind(now, existing);
            update.replacements.push(Replacement {
                old: Some(old.ok_or(Conflict::TooMany)?),
                new: None,
            });
        }
        Ok(update)
    }

    /// The index of the oldest binding of a phone that adds another one: the phone has moved
    /// on, as behind a NAT that gives it port after port, or after a restart.
    fn left_behind(&self, now: Instant, existing: &[Binding]) -> Option<usize> {
        let added = || self.replacements.iter().filter_map(|one| one.new.as_ref());
        let is_moved = |(index, binding): &(usize, &Binding)| {
            let is_same_phone = |new: &Binding| {
                binding.instance().is_some() && new.instance() == binding.instance()
            };
            binding.is_live(now) && self.keeps(*index) && added().any(is_same_phone)
        };
        let mut bindings = existing.iter().enumerate();
        bindings.find(is_moved).map(|(index, _)| index)
    }

    /// Whether no replacement so far takes the binding at `index` away.
    fn keeps(&self, index: usize) -> bool {
        self.replacements.iter().all(|one| one.old != Some(index))
    }

    fn removed(&self) -> usize {
        let removed = self.replacements.iter().filter(|one| one.old.is_some());
        removed.count()
    }

    fn add(
        &mut self,
        now: Instant,
        existing: &[Binding],
        register: &Register<'_>,
        change: &Change<'_>,
    ) -> Result<(), Conflict> {
        let new = match change.expires_s {
            0 => None,
            expires_s => {
                let expires = now + Duration::from_secs(expires_s.into());
                Some(Binding::new(change, register, expires).ok_or(Conflict::TooLong)?)
            }
        };
        // A contact may stand twice in one REGISTER: the later value holds.
        let is_repeated = |one: &&mut Replacement| {
            let new = one.new.as_ref();
            new.is_some_and(|new| new.is_meant_by(change))
        };
        if let Some(earlier) = self.replacements.iter_mut().find(is_repeated) {
            earlier.new = new;
            return Ok(());
        }
        let is_meant =
            |(_, binding): &(usize, &Binding)| binding.is_live(now) && binding.is_meant_by(change);
        let mut meant = existing.iter().enumerate().filter(is_meant);
        let replacement = match meant.find(|(index, _)| self.keeps(*index)) {
            Some((_, old)) if old.call_id() == register.call_id && register.cseq <= old.cseq => {
                return Err(if register.cseq == old.cseq {
                    Conflict::Repeated
                } else {
                    Conflict::OutOfOrder
                });
            }
            Some((index, _)) => Replacement {
                old: Some(index),
                new,
            },
            None => Replacement { old: None, new },
        };
        self.replacements.push(replacement);
        Ok(())
    }

    /// Whether no binding comes.
    pub(super) fn adds_nothing(&self) -> bool {
        self.added() == 0
    }

    fn added(&self) -> usize {
        let added = self.replacements.iter().filter(|one| one.new.is_some());
        added.count()
    }

    /// Carries the replacements out on the bindings that they were worked out for.
    pub(super) fn carry_out(self, now: Instant, bindings: &mut Vec<Binding>) {
        for index in self.replacements.iter().filter_map(|one| one.old) {
            // Removed below, with those that have expired.
            bindings[index].expires = Instant::ZERO;
        }
        bindings.retain(|binding| binding.is_live(now));
        bindings.reserve_exact(self.added());
        bindings.extend(self.replacements.into_iter().filter_map(|one| one.new));
        bindings.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests;
