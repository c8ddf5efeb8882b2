//! A store that several homes share: what leaves for it, and what comes from it.
//!
//! - A row that another home has changed replaces what is here; what it has not changed keeps
//!   its flow. The keeper takes it in and gives it to the other shards.
//! - While a change of our own is on its way, rows of its address of record are left alone: what
//!   the store made of the change says how things are, with those of other homes in it.
//! - A change that the store refuses was made too late (RFC 3261 §10.3): the row that comes
//!   with the refusal takes its place.
//! - Nothing is put out for what expires: the store forgets that by itself.

use super::location::{ChangeKind, ChangeOrigin};
use super::state::Home;
use super::under_way::{Tell, Telling};
use super::{Binding, aor};
use crate::limits;
use crate::proxy::{Step, Timer};
use crate::send::Output;
use crate::time::Instant;

/// What a store that several homes share says of an address of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedRow<'a> {
    /// The address of record, as in `Output::Store`.
    pub key: &'a [u8],
    /// The version of its bindings there.
    pub version: u64,
    /// The bindings there.
    pub bindings: SharedBindings<'a>,
    /// The `number` of the `Output::Store` whose outcome this is; 0: of none.
    pub number: u64,
}

/// The bindings of an address of record in a store that several homes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedBindings<'a> {
    /// Those that were here when the change was put out.
    AsHere,
    /// These, as `row_of` writes them; `None`: it has none.
    Are(Option<&'a [u8]>),
}

impl Home {
    /// The process before has seen to all that was under way to the store.
    pub(crate) fn forget_under_way(&mut self) {
        self.under_way.forget();
    }

    /// Puts out what changed at an address of record since it had the bindings `before`.
    pub(super) fn put_out_change(
        &mut self,
        step: &mut Step<'_>,
        aor: &[u8],
        origin: ChangeOrigin<'_>,
        before: &[Binding],
    ) {
        let (now, wall) = (step.now, step.net.wall);
        let len = self.location.change_len(now, aor, origin, before);
        let change = step.net.pool.build(len, |out| {
            let location = &self.location;
            location.encode_change(now, aor, wall, origin, before, out);
        });
        let number = self.tentative.next_number();
        self.under_way.put_out(aor, number);
        step.net.outbox.push(Output::Store {
            key: step.net.pool.copy(aor),
            value: Some(change),
            number,
        });
    }

    /// Takes in what the store says. A row that answers a question of this shard is `asked`; any
    /// other one is the keeper's business.
    pub(crate) fn take_in_shared(&mut self, step: &mut Step<'_>, row: &SharedRow<'_>, asked: bool) {
        if !self.settings.is_shared {
            return;
        }
        let aor = row.key;
        let is_kept_here = Self::keeper(step.net, aor) == step.net.shard_set.own;
        if !is_kept_here {
            // What the keeper shares is newer.
            let is_new = self.location.bindings(step.now, aor).next().is_none();
            if asked && is_new {
                self.replace_by_shared(step, row);
            }
            return;
        }
        let is_outcome = self.under_way.is_outcome(aor, row.number);
        if !is_outcome && self.under_way.has(aor) {
            return;
        }
        match row.bindings {
            SharedBindings::AsHere if is_outcome => self.location.set_version(aor, row.version),
            // It was taken back meanwhile.
            SharedBindings::AsHere => ask(step, aor),
            SharedBindings::Are(_) if is_outcome || row.version > self.location.version(aor) => {
                self.replace_by_shared(step, row);
                step.net.counters.shared_rows += 1;
                self.share_row(step, aor);
            }
            SharedBindings::Are(_) => {}
        }
    }

    /// Puts a row in the place of what is here. Nobody is called who is not on this home's list
    /// of subscribers.
    fn replace_by_shared(&mut self, step: &Step<'_>, row: &SharedRow<'_>) {
        let SharedBindings::Are(value) = row.bindings else {
            return;
        };
        let (user, _) = aor::parts(row.key);
        let domain = self.settings.domain.as_bytes();
        let is_known = self.subscribers.find(user, domain).is_some();
        let value = value.filter(|_| is_known);
        let (now, wall) = (step.now, step.net.wall);
        let taken = self
            .location
            .take_in(now, wall, row.key, value, row.version);
        // One more than there is room for is asked for where it is called.
        debug_assert!(taken.is_ok() || value.is_some(), "a removal needs no room");
    }

    /// Whether the bindings of a user are worth a question to the store: there are none here,
    /// and he is a subscriber.
    pub(super) fn may_be_elsewhere(&self, now: Instant, user: &[u8], aor: &mut Vec<u8>) -> bool {
        let domain = self.settings.domain.as_bytes();
        if !self.settings.is_shared || self.subscribers.find(user, domain).is_none() {
            return false;
        }
        aor.clear();
        aor::write(user, domain, aor);
        self.location.bindings(now, aor).next().is_none()
    }

    /// Tells the store something of every address of record that this shard keeps, in pieces.
    pub(crate) fn tell_shared(&mut self, step: &mut Step<'_>, what: Tell) {
        if self.settings.is_shared {
            let left = self.location.len();
            let due = step.now;
            self.under_way.telling = Some(Telling { what, left, due });
            self.tell_next(step);
        }
    }

    /// Tells of the next `limits::SHARED_TOLD_AT_ONCE`.
    pub(super) fn tell_next(&mut self, step: &mut Step<'_>) {
        let telling = self
            .under_way
            .telling
            .filter(|telling| telling.due <= step.now);
        let Some(Telling { what, left, .. }) = telling else {
            return;
        };
        self.under_way.telling = None;
        // From the end on: one that goes is replaced by the last, which is told of already.
        let until = left.saturating_sub(limits::SHARED_TOLD_AT_ONCE);
        for index in (until..left).rev() {
            let Some(name) = self.location.name_at(index) else {
                continue;
            };
            if Self::keeper(step.net, name) != step.net.shard_set.own || self.under_way.has(name) {
                continue;
            }
            let aor: Box<[u8]> = name.into();
            match what {
                Tell::All => {
                    let origin = ChangeOrigin {
                        kind: ChangeKind::Restore,
                        call_id: b"",
                        cseq: 0,
                    };
                    self.put_out_change(step, &aor, origin, &[]);
                }
                Tell::Ask => ask(step, &aor),
            }
        }
        if until > 0 {
            let due = step.now + limits::REVOKE_PAUSE;
            let left = until;
            self.under_way.telling = Some(Telling { what, left, due });
            step.net.txns.set_timer(due, Timer::Later);
        }
    }
}

/// Asks the store for an address of record; no request waits for it.
fn ask(step: &mut Step<'_>, aor: &[u8]) {
    let key = step.net.pool.copy(aor);
    step.net.outbox.push(Output::Ask { key, id: 0 });
}
