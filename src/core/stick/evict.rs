//! Eviction: a flow that wants more than its bounds gives up its own least
//! recently bound row, and no one else's (S-34). A row found since it was bound
//! gets a second chance, so that a look-up marks one row and moves none.

use super::arena::NONE;
use super::{Bound, Table};

impl Table {
    /// Makes the row the newest of its flow.
    pub(super) fn touch(&mut self, row: u32) {
        self.stamp = self.stamp.wrapping_add(1);
        let entry = self.rows.get_mut(row);
        (entry.stamp, entry.used) = (self.stamp, false);
        let list = &mut self.links.link_mut(entry.link).rows;
        self.rows.take_out(row, list);
        self.rows.push_newest(row, list);
    }

    /// Whichever of two rows was bound longer ago.
    pub(super) fn older(&self, a: u32, b: u32) -> u32 {
        let age = |row: u32| self.stamp.wrapping_sub(self.rows.get(row).stamp);
        if age(a) >= age(b) { a } else { b }
    }

    /// Keeps the bounds for one more row of the flow. `Ok` names the link of the
    /// row that went for it, if one did: the caller drops it when idle (S-34).
    ///
    /// # Errors
    /// `Bound::Full` when the flow has nothing to give up.
    pub(super) fn make_room(&mut self, holder: u32) -> Result<Option<u32>, Bound> {
        if self.rows.len() >= self.bounds.rows {
            let mut left = REAP_ON_DEMAND;
            self.reap(&mut left);
        }
        if self.rows.len() < self.bounds.rows && self.links.entry(holder).rows < self.bounds.flow {
            return Ok(None);
        }
        self.evict(holder).map(Some).ok_or(Bound::Full)
    }

    /// Drops the flow's least recently bound row; one found since then gets a
    /// second chance. The row's link, or `None` when the flow has no row.
    fn evict(&mut self, holder: u32) -> Option<u32> {
        for _ in 0..SECOND_CHANCES {
            let row = self.oldest(holder)?;
            if !self.rows.get(row).used {
                break;
            }
            // It loses its mark and becomes the newest: found once, it is passed over once.
            self.touch(row);
        }
        self.oldest(holder).map(|row| self.take_row(row))
    }

    fn oldest(&self, holder: u32) -> Option<u32> {
        let tails = self
            .links
            .of_flow(holder)
            .map(|link| self.links.link(link).rows.oldest);
        tails
            .filter(|&row| row != NONE)
            .reduce(|a, b| self.older(a, b))
    }
}

/// Rows passed over by one eviction because they were used.
const SECOND_CHANCES: usize = 8;
/// Forgotten rows dropped when the table is full and a new row needs a slot.
const REAP_ON_DEMAND: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stick::bind::tests::{NOW, flow, found, path, table};
    use crate::stick::{Level, Source};

    #[test]
    fn a_full_flow_gives_up_what_it_used_least() {
        // S-34
        let mut t = table();
        t.bounds.flow = 3;
        t.link(NOW, flow(1), b"h", Source::Link);
        for user in ["sip:a@h", "sip:b@h"] {
            path(&mut t, 1, user);
        }
        assert_eq!(found(&mut t, "sip:h"), Some((1, Level::Exact)));
        assert_eq!((path(&mut t, 1, "sip:c@h"), t.len()), (Bound::New, 3));
        assert_eq!(
            (found(&mut t, "sip:a@h"), found(&mut t, "sip:h")),
            (None, Some((1, Level::Exact)))
        );
    }

    #[test]
    fn a_full_table_and_a_full_chain_take_from_nobody_else() {
        // S-34
        let mut t = table();
        (t.bounds.rows, t.bounds.chain) = (4, 2);
        t.link(NOW, flow(1), b"h", Source::Link);
        t.link(NOW, flow(2), b"h", Source::Link);
        path(&mut t, 1, "sip:a@h;x=1");
        path(&mut t, 1, "sip:a@h;x=2");
        assert_eq!(path(&mut t, 2, "sip:a@h;x=3"), Bound::Full);
        assert_eq!(
            (path(&mut t, 1, "sip:a@h;x=3"), found(&mut t, "sip:a@h;x=1")),
            (Bound::New, None)
        );
        t.link(NOW, flow(3), b"h", Source::Link);
        assert_eq!(
            (
                path(&mut t, 3, "sip:b@h"),
                path(&mut t, 2, "sip:b@h"),
                t.len()
            ),
            (Bound::Full, Bound::New, 4)
        );
    }
}
