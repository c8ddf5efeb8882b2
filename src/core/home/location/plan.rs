//! One REGISTER against the bindings there are (RFC 3261 §10.3 step 7,
//! RFC 5626 §6): worked out in full before the first binding is touched, which
//! is what makes it whole or nothing.
//!
//! Which binding a contact means is `Binding::is_meant_by`; here is the order
//! of the requests, the bound, and contacts that stand twice in one REGISTER.

use crate::limits;
use crate::time::{Duration, Instant};

use super::binding::Binding;
use super::change::{Change, Conflict, Register};

/// What a REGISTER comes to, worked out before anything is touched.
pub(super) struct Plan {
    steps: Vec<Step>,
}

struct Step {
    /// The binding that goes, by its place.
    replaces: Option<usize>,
    /// The binding that comes.
    puts: Option<Binding>,
}

impl Plan {
    pub(super) fn new(
        now: Instant,
        existing: &[Binding],
        register: &Register<'_>,
        changes: &[Change<'_>],
    ) -> Result<Self, Conflict> {
        let mut plan = Self {
            steps: Vec::with_capacity(changes.len()),
        };
        for change in changes {
            plan.add(now, existing, register, change)?;
            // At once, so that a long REGISTER compares no more than it may store.
            if plan.puts() > limits::CONTACTS_MAX {
                return Err(Conflict::TooMany);
            }
        }
        let live = existing.iter().filter(|binding| binding.is_live(now));
        let live = live.count();
        while plan.puts() > 0 && live - plan.gone() + plan.puts() > limits::CONTACTS_MAX {
            let old = plan.left_behind(now, existing);
            plan.steps.push(Step {
                replaces: Some(old.ok_or(Conflict::TooMany)?),
                puts: None,
            });
        }
        Ok(plan)
    }

    /// The oldest binding of a phone that binds another one: it has moved on, as
    /// behind a NAT that gives it port after port, or after a restart.
    fn left_behind(&self, now: Instant, existing: &[Binding]) -> Option<usize> {
        let puts = || self.steps.iter().filter_map(|step| step.puts.as_ref());
        let is_moved = |(index, binding): &(usize, &Binding)| {
            let is_same = |put: &Binding| {
                binding.instance().is_some() && put.instance() == binding.instance()
            };
            let stays = self.steps.iter().all(|step| step.replaces != Some(*index));
            binding.is_live(now) && stays && puts().any(is_same)
        };
        let mut bindings = existing.iter().enumerate();
        bindings.find(is_moved).map(|(index, _)| index)
    }

    fn gone(&self) -> usize {
        let gone = self.steps.iter().filter(|step| step.replaces.is_some());
        gone.count()
    }

    fn add(
        &mut self,
        now: Instant,
        existing: &[Binding],
        register: &Register<'_>,
        change: &Change<'_>,
    ) -> Result<(), Conflict> {
        let puts = match change.expires_s {
            0 => None,
            expires_s => {
                let expires = now + Duration::from_secs(expires_s.into());
                Some(Binding::new(change, register, expires).ok_or(Conflict::TooLong)?)
            }
        };
        // A contact named twice in one REGISTER: the later word holds.
        let again = |step: &&mut Step| {
            step.puts
                .as_ref()
                .is_some_and(|put| put.is_meant_by(change))
        };
        if let Some(step) = self.steps.iter_mut().find(again) {
            step.puts = puts;
            return Ok(());
        }
        let is_meant =
            |(_, binding): &(usize, &Binding)| binding.is_live(now) && binding.is_meant_by(change);
        let mut meant = existing.iter().enumerate().filter(is_meant);
        let step = match meant
            .find(|(index, _)| self.steps.iter().all(|step| step.replaces != Some(*index)))
        {
            Some((_, old)) if old.call_id() == register.call_id && register.cseq <= old.cseq => {
                return Err(if register.cseq == old.cseq {
                    Conflict::Repeated
                } else {
                    Conflict::OutOfOrder
                });
            }
            Some((index, _)) => Step {
                replaces: Some(index),
                puts,
            },
            None => Step {
                replaces: None,
                puts,
            },
        };
        self.steps.push(step);
        Ok(())
    }

    pub(super) fn adds_nothing(&self) -> bool {
        self.puts() == 0
    }

    fn puts(&self) -> usize {
        self.steps.iter().filter(|step| step.puts.is_some()).count()
    }

    pub(super) fn carry_out(self, now: Instant, bindings: &mut Vec<Binding>) {
        for index in self.steps.iter().filter_map(|step| step.replaces) {
            // Expired as of now: swept with the others below.
            bindings[index].expires = Instant::ZERO;
        }
        bindings.retain(|binding| binding.is_live(now));
        bindings.reserve_exact(self.puts());
        bindings.extend(self.steps.into_iter().filter_map(|step| step.puts));
        bindings.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests;
