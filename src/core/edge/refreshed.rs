//! Dialogs whose phone has gone on over another flow than their Record-Route leads
//! to. A re-INVITE or an UPDATE refreshes the target of its dialog (RFC 3261 §12.2):
//! what the far side sends from then on is for where that came from, though the
//! route set stays as it was.
//!
//! A row is made by the phone alone, and by nothing that anybody else can do:
//!
//! - It shows the mark that we gave to its side of the dialog (`trust::mark`), in a
//!   value that names it. The far side has another one, and a stranger has none.
//! - The far side has accepted the request: one that is sent again by somebody who
//!   has seen it is older than the dialog, and refused (RFC 3261 §12.2.2).
//! - It is where it says. A connection proves that; of a datagram the address must
//!   be known to get what is sent to it. An INVITE is acknowledged from there, too.
//!
//! The registration of the phone is newer evidence than any row: each one that is
//! made or renewed ends the rows of its phone, on all shards. What is lost here, by
//! the death of the edge or at a bound, the next registration or refresh mends.

use super::policy::Edge;
use super::record_route::user_of;
use super::{Kind, Subscriber, Token};
use crate::id::{Flow, Keyed};
use crate::limits;
use crate::proxy::{Context, Net, Pass, Step, Verdict};
use crate::scan::{Method, Name};
use crate::send::{Far, Handoff, Refresh};
use crate::time::Instant;
use crate::trust::Principal;
use crate::trust::mark::{MarkKey, PhoneName};

/// The rows of one shard.
#[derive(Debug, Default)]
pub(super) struct Refreshed {
    /// By the hash of the dialog.
    rows: Keyed<Row>,
    /// By the hash of the phone: those that have rows.
    phones: Keyed<Phone>,
    /// The last that a phone was given.
    serial: u32,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    phone: u64,
    /// That of its phone when it was made; another one by now: the row is over.
    serial: u32,
    /// Where its requests go.
    flow: Option<Flow>,
    /// Where they go once the ACK has come from there.
    awaited: Option<Flow>,
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Phone {
    serial: u32,
    rows: usize,
}

impl Refreshed {
    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// The row of a dialog.
    fn row(&self, now: Instant, dialog: u64) -> Option<&Row> {
        let row = self.rows.get(dialog)?;
        (row.until > now && holds(&self.phones, row)).then_some(row)
    }

    /// An INVITE was accepted that came over this flow.
    fn expect(&mut self, now: Instant, refresh: Refresh, flow: Flow) {
        let until = now + limits::T1_64;
        if let Some(row) = self.take(now, refresh) {
            row.awaited = Some(flow);
            row.until = row.until.max(until);
        }
    }

    /// The dialog is at this flow; false where its phone has too many.
    fn set(&mut self, now: Instant, refresh: Refresh, flow: Flow) -> bool {
        let row = self.take(now, refresh);
        let is_set = row.is_some();
        if let Some(row) = row {
            (row.flow, row.awaited) = (Some(flow), None);
            row.until = now + limits::REFRESHED_FOR;
        }
        is_set
    }

    /// The row of a dialog, made where there is none.
    fn take(&mut self, now: Instant, refresh: Refresh) -> Option<&mut Row> {
        let Refresh { dialog, phone } = refresh;
        if self.row(now, dialog).is_none() {
            self.end(dialog);
            let serial = self.count_in(phone)?;
            if self.rows.len() >= limits::REFRESHED_MAX
                && let Some((_, old)) = self.rows.remove_any()
            {
                count_out(&mut self.phones, &old);
            }
            let row = Row {
                phone,
                serial,
                flow: None,
                awaited: None,
                until: now,
            };
            self.rows.insert(dialog, row);
        }
        self.rows.get_mut(dialog)
    }

    /// One row more of a phone; the serial number that it gets.
    fn count_in(&mut self, phone: u64) -> Option<u32> {
        if let Some(known) = self.phones.get_mut(phone) {
            if known.rows >= limits::REFRESHED_OF_PHONE_MAX {
                return None;
            }
            known.rows += 1;
            return Some(known.serial);
        }
        self.serial = self.serial.wrapping_add(1);
        let (serial, rows) = (self.serial, 1);
        self.phones.insert(phone, Phone { serial, rows });
        Some(serial)
    }

    /// A dialog is over.
    pub(super) fn end(&mut self, dialog: u64) {
        if let Some(row) = self.rows.remove(dialog) {
            count_out(&mut self.phones, &row);
        }
    }

    /// The registration of a phone is made or renewed, or somebody has revoked it:
    /// its rows are over on all shards.
    pub(super) fn outdate(&mut self, net: &mut Net, marks: &MarkKey, subscriber: &Subscriber<'_>) {
        if self.is_empty() {
            return;
        }
        let phone = phone(net, &marks.phone_name(&fields(subscriber)));
        if self.end_all_of(phone) {
            net.tell_all(&Handoff::Renewed { phone });
        }
    }

    /// Ends the rows of a phone; whether it had any.
    pub(super) fn end_all_of(&mut self, phone: u64) -> bool {
        self.phones.remove(phone).is_some()
    }

    /// Looks at the next rows and forgets those that are over.
    pub(super) fn expire(&mut self, now: Instant, budget: usize) {
        let phones = &mut self.phones;
        self.rows.sweep(budget, |_, row| {
            let is_over = row.until <= now || !holds(phones, row);
            if is_over {
                count_out(phones, row);
            }
            is_over
        });
    }
}

fn holds(phones: &Keyed<Phone>, row: &Row) -> bool {
    let known = phones.get(row.phone);
    known.is_some_and(|known| known.serial == row.serial)
}

/// One row less of its phone, unless that has begun anew since.
fn count_out(phones: &mut Keyed<Phone>, row: &Row) {
    let known = phones.get_mut(row.phone);
    if let Some(known) = known.filter(|known| known.serial == row.serial) {
        known.rows -= 1;
        if known.rows == 0 {
            phones.remove(row.phone);
        }
    }
}

impl Edge {
    /// A phone sends a request on: says in the plan whether it refreshes its dialog
    /// from another flow, and takes its ACK for the end of that.
    pub(super) fn note_refresh(&mut self, pass: &mut Pass<'_, '_>, token: &Token) {
        let request = pass.request;
        let (method, principal) = (request.message.method(), request.ingress.principal);
        let refreshes = method == Method::Update || method.forms_dialog();
        let ends = matches!(method, Method::Ack | Method::Bye) && !self.refreshed.is_empty();
        let is_phone = matches!(principal, Principal::Subscriber | Principal::Stranger);
        if !(ends || refreshes) || !is_phone || !request.in_dialog() {
            return;
        }
        let (now, flow) = (pass.now, request.ingress.flow);
        // A datagram that bears the address of another phone is no word of this one's.
        let is_doubtful = principal == Principal::Subscriber && matches!(flow, Flow::Udp { .. });
        let is_own = (refreshes || is_doubtful) && self.leads_to(pass, token, flow);
        if is_doubtful && !is_own || is_own && self.refreshed.is_empty() {
            return;
        }
        let Some(refresh) = self.refresh_of(pass, token, End::Sender) else {
            return;
        };
        if method == Method::Ack {
            let row = self.refreshed.row(now, refresh.dialog);
            let is_awaited = row.is_some_and(|row| row.awaited == Some(flow));
            if is_awaited && self.shown(pass).leads_on {
                self.refresh(&mut pass.step(), refresh, flow);
            }
            return;
        }
        let is_known = self.refreshed.row(now, refresh.dialog).is_some();
        let is_elsewhere = refreshes && !is_own;
        if (is_known || is_elsewhere) && self.shown(pass).leads_on {
            pass.plan.refresh = Some(refresh);
        }
    }

    /// Whether what the Route names is at the flow in any case.
    fn leads_to(&self, pass: &Pass<'_, '_>, token: &Token, flow: Flow) -> bool {
        if token.is_empty() {
            return self.names_its_flow(pass.request, pass.plan.pop)
                || self.names_its_phone(pass, flow);
        }
        let subscriber = token.subscriber();
        self.registrations.has_flow(pass.now, flow, &subscriber)
    }

    /// Whether the values that are ours name the phone of the flow that calls like this.
    fn names_its_phone(&self, pass: &Pass<'_, '_>, flow: Flow) -> bool {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let claim = user_of(bytes, message.uri_of_from(bytes));
        let found = self.registrations.on_flow(pass.now, flow, claim);
        let name = found.map(|found| self.phone_name(&found.subscriber));
        name.is_some() && name == self.named_in_route(pass)
    }

    /// Whether somebody is at the far end of a flow, and nobody has only written it
    /// into a datagram.
    fn is_there(&self, step: &mut Step<'_>, flow: Flow) -> bool {
        match flow {
            Flow::Stream(_) => true,
            Flow::Udp { peer, .. } => {
                self.registrations.is_used(step.now, flow)
                    || step.net.guard.is_proven(step.now, peer.ip())
            }
        }
    }

    /// A request was accepted.
    pub(super) fn refreshed_with(&mut self, step: &mut Step<'_>, context: &Context) {
        let Some(refresh) = context.refresh else {
            return;
        };
        let flow = context.ingress.flow;
        if context.method == Method::Invite {
            self.refreshed.expect(step.now, refresh, flow);
        } else if context.method == Method::Bye {
            let dialog = refresh.dialog;
            self.refreshed.end(dialog);
            step.net.tell_all(&Handoff::Over { dialog });
        } else {
            self.refresh(step, refresh, flow);
        }
    }

    /// A dialog has another flow from now on, on every shard that knows the address
    /// to be true: each of them has met other phones.
    fn refresh(&mut self, step: &mut Step<'_>, refresh: Refresh, flow: Flow) {
        let is_proven = self.is_there(step, flow);
        if is_proven {
            let is_set = self.refreshed.set(step.now, refresh, flow);
            step.net.counters.refreshed += u64::from(is_set);
        }
        if !step.net.shard_set.is_alone()
            && let Some(far) = step.net.flows.far(flow)
        {
            step.net.flows.share(flow);
            step.net.tell_all(&Handoff::Refreshed {
                refresh,
                flow,
                far,
                is_proven,
            });
        }
    }

    /// Another shard says so.
    pub(super) fn told_of_refresh(
        &mut self,
        step: &mut Step<'_>,
        refresh: Refresh,
        flow: Flow,
        far: Far,
        is_proven: bool,
    ) {
        if !is_proven && !self.is_there(step, flow) {
            return;
        }
        step.net.flows.learn(flow, far);
        let is_set = self.refreshed.set(step.now, refresh, flow);
        step.net.counters.refreshed += u64::from(is_set && !is_proven);
    }

    /// The way of a request for a phone whose dialog has another flow than the Route
    /// leads to.
    pub(super) fn follow(&self, pass: &mut Pass<'_, '_>, token: &Token) -> Option<Verdict> {
        if self.refreshed.is_empty() || !pass.request.in_dialog() {
            return None;
        }
        let refresh = self.refresh_of(pass, token, End::Receiver)?;
        let flow = self.refreshed.row(pass.now, refresh.dialog)?.flow?;
        if pass.request.message.method() == Method::Bye {
            pass.plan.refresh = Some(refresh);
        }
        let leads = flow != pass.request.ingress.flow && pass.net.flows.lives(flow);
        leads.then(|| self.incoming(pass, flow, token))
    }

    /// Which side of which dialog the phone has that the Route names, and which phone
    /// it is; `None` where it names none. The phone is part of the dialog's name:
    /// several that one call has forked to share the rest, and whoever is called can
    /// give himself any tag.
    fn refresh_of(&self, pass: &Pass<'_, '_>, token: &Token, end: End) -> Option<Refresh> {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let phone = self.phone_of(pass, token)?;
        let (from, to) = (message.from_tag()?.of(bytes), message.to_tag()?.of(bytes));
        let (own, other) = match end {
            End::Sender => (from, to),
            End::Receiver => (to, from),
        };
        let call_id = message.first(Name::CallId)?.value.of(bytes);
        let name = [b"refresh", call_id, own, other, &phone.to_be_bytes()];
        let dialog = pass.net.secrets.hash(name);
        Some(Refresh { dialog, phone })
    }

    /// The hash of the phone that the request names by its values that are ours.
    fn phone_of(&self, pass: &Pass<'_, '_>, token: &Token) -> Option<u64> {
        let name = if token.is_empty() {
            self.named_in_route(pass)?
        } else if token.is_anonymous() {
            return None;
        } else {
            self.phone_name(&token.subscriber())
        };
        Some(phone(pass.net, &name))
    }

    /// Who the values that are ours and have no token say it is: a flow token, or the
    /// name that we gave to a phone.
    fn named_in_route(&self, pass: &Pass<'_, '_>) -> Option<PhoneName> {
        let (bytes, message) = (pass.request.bytes, pass.request.message);
        let routes = message.routes().iter().take(pass.plan.pop);
        let routes = routes.filter_map(|route| route.uri.as_ref());
        let target = message.target().filter(|_| pass.plan.restore_uri);
        // Behind the one that a phone puts before every route set.
        let mut users = routes.chain(target).filter_map(|uri| uri.user);
        let user = users.next_back()?.of(bytes);
        Some(match Kind::of(user) {
            Kind::Flow => self.marks.phone_name(&[user]),
            Kind::Clear | Kind::Sealed | Kind::Foreign => PhoneName::read(user)?,
        })
    }

    /// What a phone is called in the value of its own side.
    pub(super) fn phone_name(&self, phone: &Subscriber<'_>) -> PhoneName {
        self.marks.phone_name(&fields(phone))
    }
}

const fn fields<'a>(phone: &Subscriber<'a>) -> [&'a [u8]; 3] {
    [phone.user, phone.realm, phone.instance]
}

/// What all shards call a phone.
fn phone(net: &Net, name: &PhoneName) -> u64 {
    net.secrets.hash([b"phone", name.as_bytes()])
}

/// Whose side of a dialog.
#[derive(Clone, Copy)]
enum End {
    Sender,
    Receiver,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Slot, StreamId};
    use crate::time::Duration;

    const fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn flow(index: u32) -> Flow {
        Flow::Stream(StreamId(Slot {
            index,
            generation: 0,
        }))
    }

    const fn of(dialog: u64, phone: u64) -> Refresh {
        Refresh { dialog, phone }
    }

    fn at_flow(table: &Refreshed, now: Instant, dialog: u64) -> Option<Flow> {
        table.row(now, dialog)?.flow
    }

    fn awaited(table: &Refreshed, now: Instant, dialog: u64) -> Option<Flow> {
        table.row(now, dialog)?.awaited
    }

    #[test]
    fn an_invite_counts_when_it_is_acknowledged() {
        let mut table = Refreshed::default();
        table.expect(at(0), of(1, 7), flow(3));
        assert_eq!(at_flow(&table, at(1), 1), None);
        assert_eq!(awaited(&table, at(1), 1), Some(flow(3)));
        assert_eq!(awaited(&table, at(32), 1), None, "nobody acknowledges it");
        table.expect(at(40), of(1, 7), flow(3));
        assert!(table.set(at(41), of(1, 7), flow(3)));
        table.expect(at(50), of(1, 7), flow(4));
        // Until then the last flow has it.
        assert_eq!(at_flow(&table, at(51), 1), Some(flow(3)));
        let end = at(41) + limits::REFRESHED_FOR;
        assert_eq!(at_flow(&table, end, 1), None);
    }

    #[test]
    fn a_registration_ends_what_its_phone_has_and_nothing_else() {
        let mut table = Refreshed::default();
        for dialog in 0..6 {
            assert!(table.set(at(0), of(dialog, dialog % 2), flow(1)));
        }
        assert!(table.end_all_of(1) && !table.end_all_of(1) && !table.end_all_of(9));
        let left = |table: &Refreshed| {
            let all = (0..6).filter(|dialog| at_flow(table, at(1), *dialog).is_some());
            all.collect::<Vec<_>>()
        };
        assert_eq!(left(&table), [0, 2, 4]);
        // What is made later is of the next registration.
        assert!(table.set(at(1), of(3, 1), flow(2)));
        assert_eq!(left(&table), [0, 2, 3, 4]);
        table.expire(at(1), 100);
        assert_eq!((table.len(), left(&table)), (4, vec![0, 2, 3, 4]));
        table.end(2);
        table.end(2);
        assert_eq!((table.len(), left(&table)), (3, vec![0, 3, 4]));
        table.expire(at(2) + limits::REFRESHED_FOR, 100);
        table.expire(at(2) + limits::REFRESHED_FOR, 100);
        assert_eq!((table.len(), table.phones.len()), (0, 0));
    }

    #[test]
    fn neither_one_phone_nor_all_of_them_fill_memory() {
        let mut table = Refreshed::default();
        let most = u64::try_from(limits::REFRESHED_OF_PHONE_MAX).unwrap();
        for dialog in 0..most {
            assert!(table.set(at(0), of(dialog, 7), flow(1)));
        }
        assert!(!table.set(at(0), of(most, 7), flow(1)));
        assert!(table.set(at(0), of(0, 7), flow(2)), "it may move");
        for phone in 100..100 + u64::try_from(limits::REFRESHED_MAX).unwrap() {
            let hash = phone.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            assert!(table.set(at(0), of(hash, hash), flow(1)));
        }
        assert_eq!(table.len(), limits::REFRESHED_MAX);
        assert!(table.phones.len() <= limits::REFRESHED_MAX);
        let late = at(1) + limits::REFRESHED_FOR + Duration::from_secs(1);
        table.expire(late, 2 * limits::REFRESHED_MAX);
        table.expire(late, 2 * limits::REFRESHED_MAX);
        assert_eq!((table.len(), table.phones.len()), (0, 0));
    }
}
