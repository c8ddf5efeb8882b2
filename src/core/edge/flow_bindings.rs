//! What the edge remembers of the phones on its flows: which flow leads to
//! which subscriber, and which subscribers use a flow.
//!
//! - One registration per (user, realm, instance, reg-id); the newest binding
//!   of it wins and others of the same instance stay (RFC 5626 §4.2.1, H-10).
//!   Callers bind only what a 2xx to a REGISTER let pass (D-E13).
//! - `joe` of one realm and `joe` of another are two people: nothing here finds,
//!   counts or forgets the one for the other.
//! - A lookup never returns a registration whose time is over; `expire` merely
//!   gives memory back, a bounded piece at a time.
//! - Not the location store: what is lost here costs a redirect, a relay or a
//!   430, and the next refresh brings it back. Only what leads over UDP is kept
//!   outside the process as well, where the edge has a table for it (`restoring`):
//!   each change to it is noted, whoever brings it about.
//!
//! The token is not stored but written again from what is here (about 1 µs): its
//! text would double the memory. A record takes 88 bytes, its text (address
//! of record, instance) 64 to 80, the two indexes 10 to 22. A million registrations with
//! UUID instances measure 197 bytes each, growth of the tables included.

mod notes;
mod table;

pub(super) use notes::Note;

use notes::Notes;
use table::{Record, Table};

use super::{EdgeSet, Subscriber};
use crate::id::Flow;
use crate::limits::{REGISTRATIONS_MAX, TOKEN_FIELD_MAX, USER_REGISTRATIONS_MAX};
use crate::time::Instant;
use crate::uri::Uri;

/// A user of a realm, whichever of his phones it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct User<'a> {
    pub(super) name: &'a [u8],
    /// In lower case where it is compared with what is registered.
    pub(super) realm: &'a [u8],
}

impl<'a> User<'a> {
    /// Whom the URI in a From or a To names; nobody where it has no user.
    pub(super) fn of_uri(bytes: &'a [u8], uri: Option<Uri>) -> Self {
        let named = uri.and_then(|uri| {
            Some(User {
                name: uri.user?.of(bytes),
                realm: uri.host.of(bytes),
            })
        });
        named.unwrap_or_default()
    }

    /// Whose phone a subscriber is.
    const fn of(subscriber: &Subscriber<'a>) -> Self {
        Self {
            name: subscriber.user,
            realm: subscriber.realm,
        }
    }
}

/// One binding of a subscriber to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowBinding<'a> {
    /// Whose it is.
    pub subscriber: Subscriber<'a>,
    /// The address of record that the 2xx confirmed: user and realm of the
    /// subscriber with `@` between, spelled as in a URI.
    pub aor: &'a [u8],
    /// The phone's number for this flow; 0 when it gave none.
    pub reg_id: u32,
    /// The way to the phone.
    pub flow: Flow,
    /// The edges named in its token.
    pub edges: EdgeSet,
    /// The flags of its token.
    pub flags: u8,
    /// What it does with a route.
    pub follows: Follows,
    /// True when the edge keeps the flow open, since the phone does not.
    pub is_kept_open: bool,
    /// True when the 2xx passed in an earlier run of this edge, and none since: who
    /// is revoked in between is not told of here, so it says where the phone is and
    /// not who calls.
    pub is_restored: bool,
    /// From when on it counts as gone.
    pub expires: Instant,
}

/// What a phone does with a route that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// It keeps to the flow that the route was learned on: it has shown that it
    /// takes Outbound-Proxy values.
    Flow,
    /// It resolves the name in it: a name has led it here.
    Name,
    /// It goes to the address in it: one has led it here, and whether it resolves
    /// anything it has not shown.
    Address,
}

impl Follows {
    /// The bits that say it, in memory and on disk.
    pub(super) const BITS: u8 = Self::FLOW | Self::NAME;
    const FLOW: u8 = 1;
    const NAME: u8 = 4;

    /// What a phone does that has shown that it is sticky, or was led here by a name.
    pub(super) const fn of(is_sticky: bool, by_name: bool) -> Self {
        match (is_sticky, by_name) {
            (true, _) => Self::Flow,
            (false, true) => Self::Name,
            (false, false) => Self::Address,
        }
    }

    /// As bits.
    pub(super) const fn bits(self) -> u8 {
        match self {
            Self::Flow => Self::FLOW,
            Self::Name => Self::NAME,
            Self::Address => 0,
        }
    }

    /// From bits, whatever else is among them.
    pub(super) const fn of_bits(bits: u8) -> Self {
        Self::of(bits & Self::FLOW != 0, bits & Self::NAME != 0)
    }
}

/// The registrations of one shard.
#[derive(Debug)]
pub struct FlowBindings {
    table: Table,
    max: usize,
    /// Where `expire` goes on.
    cursor: u32,
    /// Where `next_kept_open` goes on.
    open_cursor: u32,
    notes: Notes,
}

/// What a registration was to the table that remembers it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// One with its subscriber and reg-id was there.
    Before,
    /// None was.
    First,
}

/// Nothing was bound: the table is at its bound, or a field is longer than any
/// token can name. The phone is reached through its other edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registration is not remembered")]
pub struct Full;

impl FlowBindings {
    /// An empty table; the seeds keep peers from aiming at its hash chains.
    #[must_use]
    pub const fn new(seeds: [u64; 4]) -> Self {
        Self {
            table: Table::new(seeds),
            max: REGISTRATIONS_MAX,
            cursor: 0,
            open_cursor: 0,
            notes: Notes::new(),
        }
    }

    /// From now on every change to what leads over UDP is noted.
    pub(crate) const fn keep_notes(&mut self) {
        self.notes.begin();
    }

    /// The oldest change that was noted, and who is registered where it happened.
    pub(super) fn next_note(&mut self) -> Option<Note> {
        self.notes.next()
    }

    /// What is bound at a place that a note names.
    pub(super) fn at(&self, index: u32) -> Option<FlowBinding<'_>> {
        self.table.get(index).map(Record::view)
    }

    /// Takes back what an earlier run of the edge has bound; nothing is noted, since
    /// it is kept already.
    ///
    /// # Errors
    /// As for `bind`.
    pub(super) fn restore(&mut self, registration: &FlowBinding<'_>) -> Result<Known, Full> {
        let notes = std::mem::replace(&mut self.notes, Notes::new());
        let bound = self.bind(registration);
        self.notes = notes;
        bound
    }

    /// Remembers the registration as its subscriber's newest, in place of one
    /// with the same subscriber and reg-id. A user who has
    /// `USER_REGISTRATIONS_MAX` of them loses the oldest.
    ///
    /// # Errors
    /// `Full`, with what was remembered unchanged.
    pub fn bind(&mut self, registration: &FlowBinding<'_>) -> Result<Known, Full> {
        let subscriber = registration.subscriber;
        let mut held = 0;
        let mut oldest = None;
        let mut same = None;
        for (index, record) in self.table.of_user(User::of(&subscriber)) {
            held += 1;
            oldest = Some(index);
            if record.subscriber() == subscriber && record.reg_id == registration.reg_id {
                same = Some(index);
                break;
            }
        }
        if let Some(mut record) = same.and_then(|index| self.table.remove(index)) {
            self.notes.renewed(&record.view(), registration);
            record.renew(registration);
            let index = self.table.insert(record);
            self.notes.bound(index, registration);
            return Ok(Known::Before);
        }
        let record = Record::new(registration).ok_or(Full)?;
        if held >= USER_REGISTRATIONS_MAX {
            oldest.and_then(|index| self.remove(index));
        } else if self.table.len() >= self.max {
            return Err(Full);
        }
        let index = self.table.insert(record);
        self.notes.bound(index, registration);
        Ok(Known::First)
    }

    /// The newest live flow to a subscriber, whatever its reg-id, other than
    /// `not`.
    #[must_use]
    pub(crate) fn flow_of(
        &self,
        now: Instant,
        subscriber: &Subscriber<'_>,
        not: Option<Flow>,
    ) -> Option<Flow> {
        self.live(now, subscriber)
            .map(|record| record.flow)
            .find(|&flow| Some(flow) != not)
    }

    /// The live registrations of a subscriber, the newest first.
    pub fn of<'a>(
        &'a self,
        now: Instant,
        subscriber: &'a Subscriber<'_>,
    ) -> impl Iterator<Item = FlowBinding<'a>> {
        self.live(now, subscriber).map(Record::view)
    }

    /// The live registrations of a user of a realm, whatever the instance.
    pub(super) fn of_user(
        &self,
        now: Instant,
        user: User<'_>,
    ) -> impl Iterator<Item = FlowBinding<'_>> {
        let all = self.table.of_user(user).map(|(_, record)| record);
        all.filter(move |record| record.expires > now)
            .map(Record::view)
    }

    /// True when `flow` is one of the live flows of the subscriber.
    #[must_use]
    pub fn has_flow(&self, now: Instant, flow: Flow, subscriber: &Subscriber<'_>) -> bool {
        self.live(now, subscriber).any(|record| record.flow == flow)
    }

    /// True when a live registration of anybody leads over `flow`.
    #[must_use]
    pub(crate) fn is_used(&self, now: Instant, flow: Flow) -> bool {
        let mut all = self.table.on_flow(flow);
        all.any(|(_, record)| record.expires > now)
    }

    /// True when somebody has registered over `flow` in this run: what an earlier run
    /// has left may have been revoked in between.
    #[must_use]
    pub fn is_fresh(&self, now: Instant, flow: Flow) -> bool {
        let mut all = self.table.on_flow(flow).map(|(_, record)| record.view());
        all.any(|one| one.expires > now && !one.is_restored)
    }

    /// Whose request came over `flow`: the newest live registration of the user
    /// that it claims to be, else, when all on the flow are of one
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
        all.all(|record| record.subscriber() == newest.subscriber())
            .then(|| newest.view())
    }

    /// Forgets one registration; true when there was one.
    pub(crate) fn unbind(&mut self, subscriber: &Subscriber<'_>, reg_id: u32) -> bool {
        let is_it = |record: &Record| record.reg_id == reg_id && record.subscriber() == *subscriber;
        let found = self
            .table
            .of_user(User::of(subscriber))
            .find(|(_, record)| is_it(record))
            .map(|(index, _)| index);
        found.and_then(|index| self.remove(index)).is_some()
    }

    /// Forgets everything of a user of a realm, and tells `gone` of each
    /// subscriber, with what is left; says how many registrations they were.
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

    /// Forgets everything that led over `flow` (O-11), and tells `gone` of each
    /// subscriber, with what is left; says how many they were.
    pub(crate) fn flow_lost(
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

    /// Looks at the next `budget` places and forgets what is over there; says
    /// how many it forgot. Calls in a row come around.
    pub fn expire(&mut self, now: Instant, budget: usize) -> usize {
        let places = self.table.places();
        let mut forgotten = 0;
        for _ in 0..budget.min(places as usize) {
            if self.cursor >= places {
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

    /// Number of registrations whose flows the edge keeps open, those included
    /// whose time is over but which `expire` has not come to.
    #[must_use]
    pub(crate) const fn kept_open(&self) -> u32 {
        self.table.kept_open()
    }

    /// Looks at the next places, one part of so many of all, and tells `each` of the
    /// flows there that are to be kept open. Calls in a row come around; as many as
    /// there are parts tell of each flow once.
    pub(crate) fn next_kept_open(&mut self, now: Instant, parts: u32, mut each: impl FnMut(Flow)) {
        let places = self.table.places();
        for _ in 0..places.div_ceil(parts.max(1)) {
            if self.open_cursor >= places {
                self.open_cursor = 0;
            }
            let is_due = |record: &Record| record.is_kept_open() && record.expires > now;
            let record = self.table.get(self.open_cursor);
            if let Some(record) = record.filter(|record| is_due(record)) {
                // Of several on one flow, the newest one asks for it.
                let mut all = self.table.on_flow(record.flow);
                let first = all.find(|(_, record)| is_due(record));
                if first.is_some_and(|(index, _)| index == self.open_cursor) {
                    each(record.flow);
                }
            }
            self.open_cursor += 1;
        }
    }

    /// Number of registrations remembered, those included whose time is over
    /// but which `expire` has not come to.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.table.len()
    }

    /// True when it remembers nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn remove(&mut self, index: u32) -> Option<Record> {
        let record = self.table.remove(index)?;
        self.notes.gone(&record.view());
        Some(record)
    }

    fn live(&self, now: Instant, subscriber: &Subscriber<'_>) -> impl Iterator<Item = &Record> {
        let of_user = self.table.of_user(User::of(subscriber));
        let of_user = of_user.map(|(_, record)| record);
        of_user.filter(move |record| record.expires > now && record.subscriber() == *subscriber)
    }
}

/// A host in lower case and without a last dot, as realms are kept; in `room`
/// only where it was not so.
pub(super) fn lowered<'a>(host: &'a [u8], room: &'a mut [u8; TOKEN_FIELD_MAX]) -> &'a [u8] {
    let host = host.strip_suffix(b".").unwrap_or(host);
    match room.get_mut(..host.len()) {
        Some(room) if host.iter().any(u8::is_ascii_uppercase) => {
            room.copy_from_slice(host);
            room.make_ascii_lowercase();
            room
        }
        // One that is too long is nobody's realm.
        Some(_) | None => host,
    }
}

const _: () = assert!(
    TOKEN_FIELD_MAX <= u8::MAX as usize,
    "lengths in records are one byte"
);

#[cfg(test)]
mod tests;
