//! The table of dialogs whose phone sends over another flow than their Route leads to: one
//! row for each dialog. Rows are counted by phone, so that a registration ends all rows of its
//! phone at once.

use serde::{Deserialize, Serialize};

use super::Subscriber;
use crate::carry::carried;
use crate::id::{Flow, Keyed};
use crate::limits;
use crate::proxy::Net;
use crate::send::{EdgeHandoff, Handoff, Refresh};
use crate::time::Instant;
use crate::trust::mark::{MarkKey, PhoneName};

/// The rows of one shard.
#[derive(Debug, Default)]
pub(super) struct RefreshedDialogs {
    /// By the hash of the dialog.
    rows: Keyed<RefreshedDialog>,
    /// Phones that have rows, by the hash of the phone.
    phones: Keyed<Phone>,
    /// The last serial number that a phone was given.
    serial: u32,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct RefreshedDialog {
    phone: u64,
    /// The serial number that the phone had when the row was made. A row whose phone has
    /// another number, or is not in the table, is void.
    serial: u32,
    /// The flow that requests of the dialog to the phone take.
    pub(super) flow: Option<Flow>,
    /// The flow of an accepted re-INVITE, which becomes `flow` once its ACK comes over it.
    pub(super) awaited: Option<Flow>,
    until: Instant,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Phone {
    serial: u32,
    rows: usize,
}

impl RefreshedDialogs {
    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// The row of a dialog.
    pub(super) fn row(&self, now: Instant, dialog: u64) -> Option<&RefreshedDialog> {
        let row = self.rows.get(dialog)?;
        (row.until > now && is_current(&self.phones, row)).then_some(row)
    }

    /// A re-INVITE that came over `flow` got its 2xx: its ACK is awaited for 64 T1.
    pub(super) fn await_ack(&mut self, now: Instant, refresh: Refresh, flow: Flow) {
        let until = now + limits::T1_64;
        if let Some(row) = self.entry(now, refresh) {
            row.awaited = Some(flow);
            row.until = row.until.max(until);
        }
    }

    /// Makes `flow` that of the dialog; false where the phone has
    /// `limits::REFRESHED_OF_PHONE_MAX` rows.
    pub(super) fn set(&mut self, now: Instant, refresh: Refresh, flow: Flow) -> bool {
        let row = self.entry(now, refresh);
        let is_set = row.is_some();
        if let Some(row) = row {
            (row.flow, row.awaited) = (Some(flow), None);
            row.until = now + limits::REFRESHED_FOR;
        }
        is_set
    }

    /// The row of a dialog, made where there is none; `None` at the bound of its phone. A full
    /// table gives up any other row for it, which the next registration of its phone mends.
    fn entry(&mut self, now: Instant, refresh: Refresh) -> Option<&mut RefreshedDialog> {
        let Refresh { dialog, phone } = refresh;
        if self.row(now, dialog).is_none() {
            self.end(dialog);
            let serial = self.count_in(phone)?;
            if self.rows.len() >= limits::REFRESHED_MAX
                && let Some((_, old)) = self.rows.remove_any()
            {
                count_out(&mut self.phones, &old);
            }
            let row = RefreshedDialog {
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

    /// Counts one more row of a phone and returns the phone's serial number; `None` at its bound.
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

    /// Ends the rows of a subscriber's phone on all shards, since its registration was made,
    /// renewed or revoked.
    pub(super) fn end_all_of_subscriber(
        &mut self,
        net: &mut Net,
        marks: &MarkKey,
        subscriber: &Subscriber<'_>,
    ) {
        if self.is_empty() {
            return;
        }
        for key in marks.places() {
            let phone = phone(net, &marks.phone_name_by(key, &subscriber.fields()));
            if self.end_all_of(phone) {
                net.tell_all(&Handoff::Edge(EdgeHandoff::Renewed { phone }));
            }
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
            let is_over = row.until <= now || !is_current(phones, row);
            if is_over {
                count_out(phones, row);
            }
            is_over
        });
    }
}

/// Whether the phone of a row has the serial number that it had when the row was made.
fn is_current(phones: &Keyed<Phone>, row: &RefreshedDialog) -> bool {
    let known = phones.get(row.phone);
    known.is_some_and(|known| known.serial == row.serial)
}

/// One row less of its phone, unless that has begun anew since.
fn count_out(phones: &mut Keyed<Phone>, row: &RefreshedDialog) {
    let known = phones.get_mut(row.phone);
    if let Some(known) = known.filter(|known| known.serial == row.serial) {
        known.rows -= 1;
        if known.rows == 0 {
            phones.remove(row.phone);
        }
    }
}

/// What all shards call a phone.
pub(super) fn phone(net: &Net, name: &PhoneName) -> u64 {
    net.secrets.hash([b"phone", name.as_bytes()])
}

carried!(RefreshedDialogs {
    parts: rows, phones;
    values: serial;
});

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

    fn at_flow(table: &RefreshedDialogs, now: Instant, dialog: u64) -> Option<Flow> {
        table.row(now, dialog)?.flow
    }

    fn awaited(table: &RefreshedDialogs, now: Instant, dialog: u64) -> Option<Flow> {
        table.row(now, dialog)?.awaited
    }

    #[test]
    fn an_invite_counts_when_it_is_acknowledged() {
        let mut table = RefreshedDialogs::default();
        table.await_ack(at(0), of(1, 7), flow(3));
        assert_eq!(at_flow(&table, at(1), 1), None);
        assert_eq!(awaited(&table, at(1), 1), Some(flow(3)));
        assert_eq!(awaited(&table, at(32), 1), None, "nobody acknowledges it");
        table.await_ack(at(40), of(1, 7), flow(3));
        assert!(table.set(at(41), of(1, 7), flow(3)));
        table.await_ack(at(50), of(1, 7), flow(4));
        // Until then the last flow has it.
        assert_eq!(at_flow(&table, at(51), 1), Some(flow(3)));
        let end = at(41) + limits::REFRESHED_FOR;
        assert_eq!(at_flow(&table, end, 1), None);
    }

    #[test]
    fn a_registration_ends_what_its_phone_has_and_nothing_else() {
        let mut table = RefreshedDialogs::default();
        for dialog in 0..6 {
            assert!(table.set(at(0), of(dialog, dialog % 2), flow(1)));
        }
        assert!(table.end_all_of(1) && !table.end_all_of(1) && !table.end_all_of(9));
        let left = |table: &RefreshedDialogs| {
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
        let mut table = RefreshedDialogs::default();
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
