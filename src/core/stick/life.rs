//! The life of flows and rows: lost, opened again, forgotten, expired.
//!
//! Nothing here runs long: a flow with a million rows is taken out of sight at
//! once and its rows are dropped by `Table::expire`, a budget at a time, which
//! the caller calls now and then. Look-ups check every end themselves, so a
//! late sweep costs memory, not correctness.

use super::arena::NONE;
use super::links::FlowState;
use super::{Reopen, Table};
use crate::id::Flow;
use crate::limits;
use crate::time::Instant;

impl Table {
    /// The flow's connection broke. Its rows wait `limits::STICK_REOPEN_MAX` for
    /// `reopened`; until then `reopen` finds them and `find` does not (S-28).
    pub fn lost(&mut self, now: Instant, flow: Flow, reopen: Reopen) {
        let Some(holder) = self.links.holder(flow) else {
            return;
        };
        let until = now + limits::STICK_REOPEN_MAX;
        self.links.entry_mut(holder).state = FlowState::Lost { until, reopen };
        self.lost.push_back((until, holder));
    }

    /// The connection `new` replaces the lost flow `old`. Its rows pass over
    /// domain by domain, and only where `new` has proven the domain itself by
    /// `link` or `opened` before (S-29); the others are dropped. True when
    /// anything passed over.
    pub(crate) fn reopened(&mut self, now: Instant, old: Flow, new: Flow) -> bool {
        let holders = self.links.holder(old).zip(self.links.holder(new));
        let Some((from, into)) = holders.filter(|(from, into)| from != into) else {
            return false;
        };
        let waits =
            matches!(self.links.entry(from).state, FlowState::Lost { until, .. } if now < until);
        let mut passed = false;
        if waits && self.links.entry(into).state == FlowState::Live {
            let mut next = self.links.entry(from).first;
            while next != NONE {
                let link = next;
                next = self.links.link(link).next_of_flow;
                passed |= self.pass_over(link, into);
            }
        }
        self.forget(old);
        passed
    }

    /// A connection to `at` is there again, and has proven its domains: what was
    /// lost with earlier ones to the same address passes over to it (S-28, S-29).
    /// True when anything did.
    pub fn returned(&mut self, now: Instant, new: Flow, at: Reopen) -> bool {
        if self.lost.is_empty() || self.links.holder(new).is_none() {
            return false;
        }
        let mut passed = false;
        // `reopened` forgets what it is given: each turn finds another one.
        while let Some(old) = self.lost_at(at) {
            passed |= self.reopened(now, old, new);
        }
        passed
    }

    fn lost_at(&self, at: Reopen) -> Option<Flow> {
        let entries = self
            .lost
            .iter()
            .map(|&(_, holder)| self.links.entry(holder));
        let is_it = |state| matches!(state, FlowState::Lost { reopen, .. } if reopen == at);
        let mut lost = entries.filter(|entry| is_it(entry.state));
        lost.next().map(|entry| entry.flow)
    }

    /// Whether the flow has URIs or has proven a domain: as long as it has, its
    /// connection is worth keeping (S-27). Rows count until they are swept.
    #[must_use]
    pub fn holds(&self, flow: Flow) -> bool {
        let Some(holder) = self.links.holder(flow) else {
            return false;
        };
        let mut links = self.links.of_flow(holder);
        self.links.entry(holder).rows > 0
            || links.any(|link| !self.links.link(link).proof.is_empty())
    }

    /// The flows that have URIs or a domain, live and lost.
    #[must_use]
    pub(crate) fn held_flows(&self) -> Vec<Flow> {
        self.links.all_flows().collect()
    }

    /// Drops everything of a flow.
    pub fn forget(&mut self, flow: Flow) {
        let Some(holder) = self.links.holder(flow) else {
            return;
        };
        self.links.mark_gone(holder);
        self.len -= self.links.entry(holder).rows;
        self.gone.push(holder);
    }

    /// Drops expired rows and those of forgotten and long lost flows, looking at
    /// no more than `budget` slots. The number dropped (S-28, S-30).
    pub fn expire(&mut self, now: Instant, budget: usize) -> usize {
        self.forget_expired_losses(now);
        let mut left = budget;
        let mut dropped = self.reap(&mut left);
        // Once round at most.
        for _ in 0..left.min(self.rows.slots() as usize) {
            self.sweep_at = if self.sweep_at >= self.rows.slots() {
                0
            } else {
                self.sweep_at
            };
            let row = self.rows.at(self.sweep_at);
            match row.filter(|&row| self.rows.get(row).until <= now) {
                Some(row) => {
                    // Another row may stand there now.
                    self.drop_row(row);
                    dropped += 1;
                }
                None => self.sweep_at += 1,
            }
        }
        dropped
    }

    /// Forgets the flows that nobody opened again.
    fn forget_expired_losses(&mut self, now: Instant) {
        while let Some(&(end, holder)) = self.lost.front().filter(|(end, _)| *end <= now) {
            self.lost.pop_front();
            // The entry may be another flow's by now, or this one's later loss.
            let entry = self.links.entry(holder);
            if matches!(entry.state, FlowState::Lost { until, .. } if until == end) {
                self.forget(entry.flow);
            }
        }
    }

    /// Drops rows of forgotten flows as far as `left` goes.
    pub(super) fn reap(&mut self, left: &mut usize) -> usize {
        let mut dropped = 0;
        while let Some(&holder) = self.gone.last() {
            while *left > 0 {
                let link = self.links.entry(holder).first;
                if link == NONE {
                    break;
                }
                *left -= 1;
                match self.links.link(link).rows.oldest {
                    NONE => self.links.drop_link(link),
                    row => {
                        self.drop_row(row);
                        dropped += 1;
                    }
                }
            }
            if self.links.entry(holder).first != NONE {
                break;
            }
            self.links.remove_flow(holder);
            self.gone.pop();
        }
        dropped
    }

    /// Gives the rows of a link to a flow that has proven the domain.
    fn pass_over(&mut self, link: u32, into: u32) -> bool {
        let Some(own) = self.links.between(into, self.links.link(link).domain) else {
            return false;
        };
        if self.links.link(own).proof.is_empty() {
            return false;
        }
        // The new connection has few rows, the old one may have a million.
        let (few, many) = if self.links.link(own).rows.len < self.links.link(link).rows.len {
            (own, link)
        } else {
            (link, own)
        };
        self.merge(few, many);
        let proof = self.links.link(few).proof;
        self.links.link_mut(many).proof.merge(proof);
        self.links.drop_link(few);
        if many == link {
            self.links.move_to(link, into);
        }
        true
    }

    /// Moves the rows of one link to another one of the same domain.
    fn merge(&mut self, from: u32, into: u32) {
        loop {
            let oldest = self.links.link(from).rows.oldest;
            if oldest == NONE {
                return;
            }
            let row = *self.rows.get(oldest);
            let same = self.row_of(row.print, |other| {
                (other.link, other.set, other.scheme_port, other.dialog)
                    == (into, row.set, row.scheme_port, row.dialog)
            });
            if let Some(same) = same {
                let until = self.rows.get(same).until.max(row.until);
                self.rows.get_mut(same).until = until;
                // The caller drops the link, idle or not.
                self.take_row(oldest);
                continue;
            }
            self.rows
                .take_out(oldest, &mut self.links.link_mut(from).rows);
            self.rows
                .push_newest(oldest, &mut self.links.link_mut(into).rows);
            self.rows.get_mut(oldest).link = into;
            let (from, into) = (self.links.link(from).holder, self.links.link(into).holder);
            self.links.entry_mut(from).rows -= 1;
            self.links.entry_mut(into).rows += 1;
        }
    }

    /// Drops a row, and its link if nothing else needs it.
    pub(super) fn drop_row(&mut self, row: u32) {
        let link = self.take_row(row);
        self.drop_idle(link);
    }

    /// Drops a row and leaves its link, which is the result, even if idle.
    pub(super) fn take_row(&mut self, row: u32) -> u32 {
        let link = self.rows.get(row).link;
        let gone = self.rows.remove(row, &mut self.links);
        self.sets.release(gone.set);
        let holder = self.links.link(link).holder;
        let entry = self.links.entry_mut(holder);
        entry.rows -= 1;
        if entry.state != FlowState::Gone {
            self.len -= 1;
        }
        link
    }

    /// Drops a link that has neither rows nor proof.
    pub(super) fn drop_idle(&mut self, link: u32) {
        let entry = self.links.link(link);
        if entry.rows.len == 0 && entry.proof.is_empty() {
            self.links.drop_link(link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Transport;
    use crate::stick::bind::tests::flow;
    use crate::stick::{Bound, DialogHash, Level, Source};
    use crate::time::Duration;
    use std::num::NonZeroU64;

    const NOW: Instant = Instant::from_micros(1_000);
    const FAR: Instant = Instant::from_micros(u64::MAX / 2);

    fn reopen() -> Reopen {
        Reopen {
            transport: Transport::Tcp,
            addr: "192.0.2.1:5060".parse().unwrap(),
        }
    }

    fn with_flow(on: u32, domain: &str, users: u32) -> Table {
        let mut t = Table::new([9, 8, 7, 6]);
        t.link(NOW, flow(on), domain.as_bytes(), Source::Certificate);
        for n in 0..users {
            t.bind(
                NOW,
                flow(on),
                format!("sip:u{n}@{domain};lr").as_bytes(),
                Source::Path,
                FAR,
            );
        }
        t
    }

    fn found(t: &mut Table, now: Instant, uri: &str) -> Option<Flow> {
        t.find(now, uri.as_bytes(), &[], 0).map(|found| found.flow)
    }

    #[test]
    fn a_lost_flow_waits_ten_seconds_for_its_address() {
        // S-28
        let mut t = with_flow(1, "h", 2);
        t.lost(NOW, flow(1), reopen());
        let last = NOW + Duration::from_micros(9_999_999);
        assert_eq!(found(&mut t, NOW, "sip:u1@h;lr"), None);
        assert_eq!(
            (
                t.reopen(last, b"sip:u1@h;lr;x=1"),
                t.reopen(NOW, b"sip:u9@h")
            ),
            (Some((reopen(), flow(1))), None)
        );
        assert_eq!(
            (t.domain(NOW, b"h").count(), t.expire(last, 100), t.len()),
            (0, 0, 3)
        );
        let over = NOW + Duration::from_secs(10);
        assert_eq!(
            (
                t.reopen(over, b"sip:u1@h;lr"),
                t.expire(over, 100),
                t.len(),
                t.flows()
            ),
            (None, 3, 0, 0)
        );
    }

    #[test]
    fn a_reopened_flow_inherits_only_the_domains_it_proves() {
        // S-29
        for (proven, want) in [("h", Some(flow(2))), ("other", None)] {
            let mut t = with_flow(1, "h", 5);
            t.lost(NOW, flow(1), reopen());
            t.link(NOW, flow(2), proven.as_bytes(), Source::Certificate);
            assert_eq!(t.reopened(NOW, flow(1), flow(2)), want.is_some());
            t.expire(NOW, 100);
            assert_eq!(
                (found(&mut t, NOW, "sip:u3@h;lr"), t.flows()),
                (want, 1),
                "{proven}"
            );
            // Nothing is there twice: sip:<domain> and, where they passed over, the users.
            assert_eq!(t.len(), if want.is_some() { 6 } else { 1 });
            assert_eq!(
                t.bind(NOW, flow(2), b"sip:u3@h;lr", Source::Path, FAR) == Bound::Refreshed,
                want.is_some()
            );
        }
        let mut t = with_flow(1, "h", 1);
        t.link(NOW, flow(2), b"h", Source::Certificate);
        assert!(!t.reopened(NOW, flow(1), flow(1)) && !t.reopened(NOW, flow(7), flow(2)));
        assert_eq!(
            t.candidates(NOW, b"sip:h", Level::Exact, &[]),
            [flow(1), flow(2)]
        );
    }

    #[test]
    fn whoever_returns_to_the_same_address_gets_what_was_lost_there() {
        // S-28, S-29: twice lost, and one that was lost elsewhere.
        let mut t = with_flow(1, "h", 2);
        t.link(NOW, flow(2), b"h", Source::Certificate);
        t.bind(NOW, flow(2), b"sip:u5@h;lr", Source::Path, FAR);
        t.link(NOW, flow(3), b"h", Source::Certificate);
        t.bind(NOW, flow(3), b"sip:u7@h;lr", Source::Path, FAR);
        let elsewhere = Reopen {
            addr: "192.0.2.2:5060".parse().unwrap(),
            ..reopen()
        };
        t.lost(NOW, flow(1), reopen());
        t.lost(NOW, flow(2), reopen());
        t.lost(NOW, flow(3), elsewhere);
        // Nothing is proven yet.
        assert!(!t.returned(NOW, flow(4), reopen()));
        t.link(NOW, flow(4), b"h", Source::Certificate);
        assert!(t.returned(NOW, flow(4), reopen()));
        assert!(!t.returned(NOW, flow(4), reopen()));
        for (uri, want) in [
            ("sip:u1@h;lr", Some(flow(4))),
            ("sip:u5@h;lr", Some(flow(4))),
            ("sip:u7@h;lr", None),
        ] {
            assert_eq!(found(&mut t, NOW, uri), want, "{uri}");
        }
        assert!(t.returned(NOW, flow(4), elsewhere));
        assert_eq!(found(&mut t, NOW, "sip:u7@h;lr"), Some(flow(4)));
    }

    #[test]
    fn too_late_a_reopening_inherits_nothing() {
        // S-28
        let mut t = with_flow(1, "h", 1);
        t.lost(NOW, flow(1), reopen());
        t.link(NOW, flow(2), b"h", Source::Certificate);
        assert!(!t.reopened(NOW + Duration::from_secs(10), flow(1), flow(2)));
        assert_eq!((found(&mut t, NOW, "sip:u0@h;lr"), t.flows()), (None, 1));
    }

    #[test]
    fn a_forgotten_flow_is_out_of_sight_at_once_and_dropped_in_steps() {
        // S-30
        let mut t = with_flow(1, "h", 99);
        t.forget(flow(1));
        assert_eq!(
            (
                found(&mut t, NOW, "sip:u3@h;lr"),
                t.len(),
                t.flows(),
                t.rows.len()
            ),
            (None, 0, 0, 100)
        );
        assert_eq!((t.expire(NOW, 40), t.rows.len()), (40, 60));
        assert_eq!(
            (t.expire(NOW, 61), t.rows.len(), t.gone.len(), t.sets.len()),
            (60, 0, 0, 0)
        );
        assert_eq!((t.links.domain(b"h"), t.expire(NOW, 61)), (None, 0));
        // The same flow may come again.
        t.link(NOW, flow(1), b"h", Source::Certificate);
        assert_eq!(found(&mut t, NOW, "sip:h"), Some(flow(1)));
    }

    #[test]
    fn the_sweep_keeps_its_budget_and_meets_every_row() {
        // S-30
        let mut t = with_flow(1, "h", 50);
        // 128 slots, and each row is met where the next one may come to stand.
        let swept: Vec<usize> = (0..6).map(|_| t.expire(FAR, 30)).collect();
        assert!(swept.iter().all(|&rows| rows <= 30), "{swept:?}");
        assert_eq!(swept.iter().sum::<usize>(), 50);
        assert_eq!((t.len(), t.expire(FAR, 1_000)), (1, 0));
    }

    #[test]
    fn a_dialog_on_both_connections_passes_over_once() {
        // S-29
        let mut t = Table::new([9, 8, 7, 6]);
        let (uri, dialog) = (b"sip:192.0.2.1;lr", DialogHash(NonZeroU64::MIN));
        t.bind_dialog(NOW, flow(1), uri, dialog, FAR);
        t.lost(NOW, flow(1), reopen());
        t.link(NOW, flow(2), b"192.0.2.1", Source::Certificate);
        t.bind_dialog(NOW, flow(2), uri, dialog, FAR);
        assert!(t.reopened(NOW, flow(1), flow(2)));
        let found = t.find_in_dialog(NOW, uri, dialog, &[], 0);
        assert_eq!(found.map(|found| found.flow), Some(flow(2)));
        t.expire(NOW, usize::MAX);
        assert_eq!((t.len(), t.flows()), (2, 1));
    }

    #[test]
    fn memory_is_reused() {
        let mut t = with_flow(1, "h", 2_000);
        t.forget(flow(1));
        t.expire(NOW, usize::MAX);
        let after_one = t.memory();
        for round in 2..20 {
            let domain = format!("h{}", round % 10);
            t.link(NOW, flow(round), domain.as_bytes(), Source::Certificate);
            for n in 0..1_990 {
                let uri = format!("sip:u{n}@{domain};p={}", n % 100);
                assert_eq!(
                    t.bind(NOW, flow(round), uri.as_bytes(), Source::Path, FAR),
                    Bound::New
                );
            }
            t.forget(flow(round));
            t.expire(NOW, usize::MAX);
        }
        // What the hundred sets' own slots take, and no more.
        assert!(t.memory() < after_one + 8_192, "{} {after_one}", t.memory());
    }
}
