//! The flow bindings of an edge: which flow leads to which subscriber, and which
//! subscribers use a flow.
//!
//! - One binding per (user, realm, instance, reg-id); a new one replaces it, and bindings
//!   of the same instance with another reg-id stay (RFC 5626 §4.2.1, H-10).
//!   Callers bind only what a 2xx to a REGISTER has confirmed (D-E13).
//! - `joe` of one realm and `joe` of another are two people: nothing here finds,
//!   counts or forgets the one for the other.
//! - A lookup never returns a binding that has expired; `expire` merely
//!   gives memory back, a bounded piece at a time.
//! - Not the location store: what is lost here costs a redirect, a relay or a
//!   430, and the next refresh brings it back. Only what leads over UDP is kept
//!   outside the process as well, where the edge has a table for it (`restoring`):
//!   each change to it is kept, whoever brings it about.
//!
//! The token is not stored but written again from what is here (about 1 µs): its
//! text would double the memory. A record takes 88 bytes, its text (address
//! of record, instance) 64 to 80, the two indexes 10 to 22. A million bindings with
//! UUID instances measure 197 bytes each, growth of the tables included.

mod binding;
mod changes;
mod table;

pub(super) use binding::{FlowBinding, Follows, User};
pub(super) use changes::TableChange;

use changes::TableChanges;
use table::{KeptBinding, KeptBindings};

use super::Subscriber;
use crate::carry::carried;
use crate::id::{Flow, Transport};
use crate::limits::{REGISTRATIONS_MAX, TOKEN_FIELD_MAX, USER_REGISTRATIONS_MAX};
use crate::time::Instant;
use crate::uri::without_dot;

/// The flow bindings of one shard.
#[derive(Debug)]
pub(super) struct FlowBindings {
    table: KeptBindings,
    max: usize,
    /// The slot at which `expire` goes on.
    cursor: u32,
    /// The slot at which `next_kept_open` goes on.
    open_cursor: u32,
    changes: TableChanges,
}

/// What `bind` has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindResult {
    /// It replaced a binding with the same subscriber and reg-id.
    Renewed,
    /// It added one.
    New,
}

/// Nothing was bound: the table is at its bound, or a field is longer than any
/// token can name. The phone is reached through its other edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the flow is not bound")]
pub(super) struct Full;

impl FlowBindings {
    /// The members have other places by now: `places` has the new one for each old one, and
    /// none for a member that is gone.
    pub(super) fn renumber(&mut self, places: &[Option<usize>]) {
        self.table.renumber(places);
    }

    /// An empty table; the seeds keep peers from aiming at its hash chains.
    #[must_use]
    pub(super) const fn new(seeds: [u64; 4]) -> Self {
        Self {
            table: KeptBindings::new(seeds),
            max: REGISTRATIONS_MAX,
            cursor: 0,
            open_cursor: 0,
            changes: TableChanges::new(),
        }
    }

    /// Keeps every change to bindings over UDP from now on, for `next_change`.
    pub(super) const fn keep_changes(&mut self) {
        self.changes.begin();
    }

    /// Takes the oldest change that was kept.
    pub(super) fn next_change(&mut self) -> Option<TableChange> {
        self.changes.next()
    }

    /// The binding at an index that a change names.
    pub(super) fn at(&self, index: u32) -> Option<FlowBinding<'_>> {
        self.table.get(index).map(KeptBinding::view)
    }

    /// Binds what an earlier run of the edge has left on disk; no change is kept, since it is there
    /// already.
    ///
    /// # Errors
    /// As for `bind`.
    pub(super) fn restore(&mut self, binding: &FlowBinding<'_>) -> Result<BindResult, Full> {
        let changes = std::mem::replace(&mut self.changes, TableChanges::new());
        let bound = self.bind(binding);
        self.changes = changes;
        bound
    }

    /// Adds a binding as its subscriber's newest; it replaces one with the same subscriber and
    /// reg-id. A user who has `USER_REGISTRATIONS_MAX` of them loses the oldest.
    ///
    /// # Errors
    /// `Full`, with the table unchanged.
    pub(super) fn bind(&mut self, binding: &FlowBinding<'_>) -> Result<BindResult, Full> {
        let subscriber = binding.subscriber;
        let mut held = 0;
        let mut oldest = None;
        let mut same = None;
        for (index, record) in self.table.of_user(User::of(&subscriber)) {
            held += 1;
            oldest = Some(index);
            if record.subscriber() == subscriber && record.reg_id == binding.reg_id {
                same = Some(index);
                break;
            }
        }
        // Removed and inserted again: so it becomes the newest of its chains.
        if let Some(mut record) = same.and_then(|index| self.table.remove(index)) {
            self.changes.renewed(&record.view(), binding);
            record.renew(binding);
            let index = self.table.insert(record);
            self.changes.bound(index, binding);
            return Ok(BindResult::Renewed);
        }
        let record = KeptBinding::new(binding).ok_or(Full)?;
        // A user with too many pays with his own oldest, and nobody else's.
        if held >= USER_REGISTRATIONS_MAX {
            oldest.and_then(|index| self.remove(index));
        } else if self.table.len() >= self.max {
            return Err(Full);
        }
        let index = self.table.insert(record);
        self.changes.bound(index, binding);
        Ok(BindResult::New)
    }

    /// The newest live flow to a subscriber, whatever its reg-id, other than
    /// `not`.
    #[must_use]
    pub(super) fn flow_of(
        &self,
        now: Instant,
        subscriber: &Subscriber<'_>,
        not: Option<Flow>,
    ) -> Option<Flow> {
        self.live(now, subscriber)
            .map(|record| record.flow)
            .find(|&flow| Some(flow) != not)
    }

    /// The live bindings of a subscriber, the newest first.
    pub(super) fn of<'a>(
        &'a self,
        now: Instant,
        subscriber: &'a Subscriber<'_>,
    ) -> impl Iterator<Item = FlowBinding<'a>> {
        self.live(now, subscriber).map(KeptBinding::view)
    }

    /// The live bindings of a user of a realm, whatever the instance.
    pub(super) fn of_user(
        &self,
        now: Instant,
        user: User<'_>,
    ) -> impl Iterator<Item = FlowBinding<'_>> {
        let all = self.table.of_user(user).map(|(_, record)| record);
        all.filter(move |record| record.expires > now)
            .map(KeptBinding::view)
    }

    /// True when `flow` is one of the live flows of the subscriber.
    #[must_use]
    pub(super) fn has_flow(&self, now: Instant, flow: Flow, subscriber: &Subscriber<'_>) -> bool {
        self.live(now, subscriber).any(|record| record.flow == flow)
    }

    /// True when `flow` has a live binding of anybody.
    #[must_use]
    pub(super) fn is_used(&self, now: Instant, flow: Flow) -> bool {
        let mut all = self.table.on_flow(flow);
        all.any(|(_, record)| record.expires > now)
    }

    /// True when `flow` has a live binding of this run of the edge: the subscriber of one from an
    /// earlier run may have been revoked in between.
    #[must_use]
    pub(super) fn is_fresh(&self, now: Instant, flow: Flow) -> bool {
        let mut all = self.table.on_flow(flow).map(|(_, record)| record.view());
        all.any(|one| one.expires > now && !one.is_restored)
    }

    /// The binding of the phone that sent a request over `flow`: the newest live one of the user
    /// `claim`, whom the request names; else, when all on the flow are of one
    /// subscriber, the newest of those.
    #[must_use]
    pub(super) fn on_flow(
        &self,
        now: Instant,
        flow: Flow,
        claim: User<'_>,
    ) -> Option<FlowBinding<'_>> {
        let mut room = [0; TOKEN_FIELD_MAX];
        let claim = User {
            realm: lowered(claim.realm, &mut room),
            ..claim
        };
        let mut of_user = self.table.of_user(claim).map(|(_, record)| record);
        if let Some(record) = of_user.find(|record| record.flow == flow && record.expires > now) {
            return Some(record.view());
        }
        let mut all = self
            .table
            .on_flow(flow)
            .map(|(_, record)| record)
            .filter(|record| record.expires > now);
        let newest = all.next()?;
        // Where several subscribers share the flow, a request must name which of them sends it.
        all.all(|record| record.subscriber() == newest.subscriber())
            .then(|| newest.view())
    }

    /// Removes one binding; true when there was one.
    pub(super) fn unbind(&mut self, subscriber: &Subscriber<'_>, reg_id: u32) -> bool {
        let is_it =
            |record: &KeptBinding| record.reg_id == reg_id && record.subscriber() == *subscriber;
        let found = self
            .table
            .of_user(User::of(subscriber))
            .find(|(_, record)| is_it(record))
            .map(|(index, _)| index);
        found.and_then(|index| self.remove(index)).is_some()
    }

    /// Removes all bindings of a user of a realm and returns their number. `gone` is called with
    /// the subscriber of each, and with what is left of the table.
    pub(super) fn forget_user(
        &mut self,
        user: User<'_>,
        mut gone: impl FnMut(&Self, &Subscriber<'_>),
    ) -> usize {
        let mut forgotten = 0;
        loop {
            let newest = self.table.of_user(user).next().map(|(index, _)| index);
            let Some(record) = newest.and_then(|index| self.remove(index)) else {
                return forgotten;
            };
            gone(self, &record.subscriber());
            forgotten += 1;
        }
    }

    /// Removes all bindings to `flow` (O-11) and returns their number. `gone` is called with the
    /// subscriber of each, and with what is left of the table.
    pub(super) fn flow_lost(
        &mut self,
        flow: Flow,
        mut gone: impl FnMut(&Self, &Subscriber<'_>),
    ) -> usize {
        let mut lost = 0;
        while let Some(index) = self.table.newest_on_flow(flow) {
            if let Some(record) = self.remove(index) {
                gone(self, &record.subscriber());
            }
            lost += 1;
        }
        lost
    }

    /// Removes the expired among the next `budget` slots and returns their number. Further calls
    /// go on behind, and at the end begin again.
    pub(super) fn expire(&mut self, now: Instant, budget: usize) -> usize {
        let slots = self.table.slots();
        let mut forgotten = 0;
        for _ in 0..budget.min(slots as usize) {
            if self.cursor >= slots {
                self.cursor = 0;
            }
            if self
                .table
                .get(self.cursor)
                .is_some_and(|record| record.expires <= now)
            {
                self.remove(self.cursor);
                forgotten += 1;
            }
            self.cursor += 1;
        }
        forgotten
    }

    /// Number of bindings whose flows the edge keeps open, expired ones included that `expire`
    /// has not come to.
    #[must_use]
    pub(super) const fn kept_open(&self) -> u32 {
        self.table.kept_open()
    }

    /// Calls `each` with the flows to be kept open in the next one of `parts` parts of the table,
    /// so that `parts` calls name each flow once.
    pub(super) fn next_kept_open(&mut self, now: Instant, parts: u32, mut each: impl FnMut(Flow)) {
        let slots = self.table.slots();
        for _ in 0..slots.div_ceil(parts.max(1)) {
            if self.open_cursor >= slots {
                self.open_cursor = 0;
            }
            let is_due = |record: &KeptBinding| record.is_kept_open() && record.expires > now;
            let record = self.table.get(self.open_cursor);
            if let Some(record) = record.filter(|record| is_due(record)) {
                // Of several bindings to one flow the newest counts, or the flow would be named
                // once for each.
                let mut all = self.table.on_flow(record.flow);
                let first = all.find(|(_, record)| is_due(record));
                if first.is_some_and(|(index, _)| index == self.open_cursor) {
                    each(record.flow);
                }
            }
            self.open_cursor += 1;
        }
    }

    /// Number of them over a transport.
    #[must_use]
    pub(super) const fn over(&self, transport: Transport) -> u32 {
        self.table.over(transport)
    }

    /// Number of bindings, expired ones included that `expire` has not come to.
    #[must_use]
    pub(super) const fn len(&self) -> usize {
        self.table.len()
    }

    fn remove(&mut self, index: u32) -> Option<KeptBinding> {
        let record = self.table.remove(index)?;
        self.changes.gone(&record.view());
        Some(record)
    }

    fn live(
        &self,
        now: Instant,
        subscriber: &Subscriber<'_>,
    ) -> impl Iterator<Item = &KeptBinding> {
        let of_user = self.table.of_user(User::of(subscriber));
        let of_user = of_user.map(|(_, record)| record);
        of_user.filter(move |record| record.expires > now && record.subscriber() == *subscriber)
    }
}

/// A host in lower case and without a last dot, as realms are kept; it is copied to `room` only
/// where it has an upper-case letter.
pub(super) fn lowered<'a>(host: &'a [u8], room: &'a mut [u8; TOKEN_FIELD_MAX]) -> &'a [u8] {
    let host = without_dot(host);
    match room.get_mut(..host.len()) {
        Some(room) if host.iter().any(u8::is_ascii_uppercase) => {
            room.copy_from_slice(host);
            room.make_ascii_lowercase();
            room
        }
        // A host that is too long is nobody's realm.
        Some(_) | None => host,
    }
}

const _: () = assert!(
    TOKEN_FIELD_MAX <= u8::MAX as usize,
    "lengths in records are one byte"
);

carried!(FlowBindings {
    parts: table, changes;
    values: cursor, open_cursor;
    made: max;
});

#[cfg(test)]
mod tests;
