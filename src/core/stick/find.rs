//! Selection: the most specific level that has a live flow wins (S-14 to S-18),
//! and chance decides among the flows of that level.
//!
//! A flow in `failed` is treated as if neither it nor its URIs existed (S-22).

use std::num::NonZeroU64;

use super::arena::NONE;
use super::links::FlowState;
use super::rows::Row;
use super::{DialogHash, Level, Match, Reopen, Table};
use crate::id::Flow;
use crate::time::Instant;
use crate::uri::{self, UriKey};

/// Which rows of the table a look-up may take.
#[derive(Clone, Copy)]
struct LookupFilter<'a> {
    now: Instant,
    failed: &'a [Flow],
    dialog: Option<NonZeroU64>,
    flows: Flows,
}

#[derive(Clone, Copy, PartialEq)]
enum Flows {
    Live,
    Lost,
}

/// The rows of one user at one domain, with one scheme and port.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    domain: u32,
    scheme_port: u32,
    /// The first row, or `NONE` where nothing is bound.
    head: u32,
}

impl Table {
    /// The flow for a URI by the levels `Exact` and `Equal`. `chance` is a
    /// random number that decides among equals. `None` leaves the caller to
    /// RFC 3263 and `domain` (S-16, S-17).
    pub fn find(
        &mut self,
        now: Instant,
        uri: &[u8],
        failed: &[Flow],
        chance: u64,
    ) -> Option<Match> {
        self.select(
            LookupFilter {
                now,
                failed,
                dialog: None,
                flows: Flows::Live,
            },
            uri,
            chance,
        )
    }

    /// As `find`, for a request within a dialog: bindings of that dialog count
    /// too.
    pub(crate) fn find_in_dialog(
        &mut self,
        now: Instant,
        uri: &[u8],
        dialog: DialogHash,
        failed: &[Flow],
        chance: u64,
    ) -> Option<Match> {
        self.select(
            LookupFilter {
                now,
                failed,
                dialog: Some(dialog.0),
                flows: Flows::Live,
            },
            uri,
            chance,
        )
    }

    /// The lost flow that the URI is bound to, and where to open it again
    /// (S-28). For a URI that `find` has nothing for.
    pub(crate) fn reopen(&mut self, now: Instant, uri: &[u8]) -> Option<(Reopen, Flow)> {
        let lost = self.select(
            LookupFilter {
                now,
                failed: &[],
                dialog: None,
                flows: Flows::Lost,
            },
            uri,
            0,
        )?;
        let holder = self.links.holder(lost.flow)?;
        match self.links.entry(holder).state {
            FlowState::Lost { reopen, .. } => Some((reopen, lost.flow)),
            FlowState::Live | FlowState::Gone => None,
        }
    }

    /// The live flows that have proven the domain (S-16). The caller uses one
    /// whose address, port and transport RFC 3263 gives for the URI.
    pub fn domain(&mut self, now: Instant, host: &[u8]) -> impl Iterator<Item = Flow> {
        let domain = self.with_key(|table, key| {
            if key.read_host(host) {
                table.links.domain(key.host())
            } else {
                None
            }
        });
        let filter = LookupFilter {
            now,
            failed: &[],
            dialog: None,
            flows: Flows::Live,
        };
        let table: &Self = self;
        let links = domain
            .into_iter()
            .flat_map(|domain| table.links.of_domain(domain));
        let proven = links.filter(|&link| !table.links.link(link).proof.is_empty());
        proven
            .filter(move |&link| table.passes_flow(&filter, link))
            .map(|link| table.links.owner(link).flow)
    }

    #[inline]
    fn select(&mut self, filter: LookupFilter<'_>, uri: &[u8], chance: u64) -> Option<Match> {
        self.with_key(|table, key| {
            let tail = key.read_without_set(uri)?;
            let domain = table.links.domain(key.host())?;
            let print = table.print(domain, key);
            // The row is on its way from memory while the set is read.
            table.rows.prefetch(print);
            if !key.read_set(tail) {
                return None;
            }
            let chain = Chain {
                domain,
                scheme_port: key.scheme_port(),
                head: table.rows.head(print),
            };
            let (row, level) = table.best(&filter, key, &chain, chance)?;
            let row = table.rows.get_mut(row);
            // What is only read need not be written back.
            if !row.used {
                row.used = true;
            }
            let link = row.link;
            Some(Match {
                flow: table.links.owner(link).flow,
                level,
            })
        })
    }

    /// The row to take: one of the most specific level on which a row passes the filter.
    #[inline]
    fn best(
        &mut self,
        filter: &LookupFilter<'_>,
        key: &UriKey,
        chain: &Chain,
        chance: u64,
    ) -> Option<(u32, Level)> {
        if chain.head == NONE {
            return None;
        }
        let row = self.rows.get(chain.head);
        // A subscriber with one flow and no call has one row: nothing to collect.
        if row.next == NONE {
            let mut levels = [Level::Exact, Level::Equal].into_iter();
            let level = levels.find(|&level| self.matches(level, chain, key, row))?;
            return self.passes(filter, row).then_some((chain.head, level));
        }
        // Lent out of the table, whose rows are read while it is filled.
        let mut ties = std::mem::take(&mut self.ties);
        let mut among = |level| {
            self.collect(level, filter, key, chain, &mut ties);
            Some((*ties.get(draw(chance, ties.len()))?, level))
        };
        // Exact first: a URI with `gunk` is bound to the edge that the dialog runs by, and the
        // others of the set have the URI without it. Among equals chance, or one edge of the set
        // would get all calls.
        let found = among(Level::Exact).or_else(|| among(Level::Equal));
        self.ties = ties;
        found
    }

    #[inline]
    pub(super) fn chain_of(&self, key: &UriKey) -> Option<Chain> {
        let domain = self.links.domain(key.host())?;
        Some(Chain {
            domain,
            scheme_port: key.scheme_port(),
            head: self.rows.head(self.print(domain, key)),
        })
    }

    /// Writes to `ties` one row of each flow that has a row of `level` which passes the filter:
    /// a flow with twenty URIs is not twenty times as likely.
    #[inline]
    fn collect(
        &self,
        level: Level,
        filter: &LookupFilter<'_>,
        key: &UriKey,
        chain: &Chain,
        ties: &mut Vec<u32>,
    ) {
        ties.clear();
        for (index, row) in self.rows_of(*chain) {
            if self.matches(level, chain, key, row) && self.passes(filter, row) {
                let holder = |row: &Row| self.links.link(row.link).holder;
                if ties
                    .iter()
                    .all(|&tie| holder(self.rows.get(tie)) != holder(row))
                {
                    ties.push(index);
                }
            }
        }
    }

    pub(super) fn rows_of(&self, chain: Chain) -> impl Iterator<Item = (u32, &Row)> {
        self.rows.chain_from(chain.head)
    }

    /// The row's URI matches on `level`, whether or not the look-up may take it (`passes`).
    #[inline]
    pub(super) fn matches(&self, level: Level, chain: &Chain, key: &UriKey, row: &Row) -> bool {
        // The chain was found by a fingerprint, which may be another's: what it stands for is
        // compared in full, but for the user.
        let same = row.scheme_port == chain.scheme_port
            && self.links.link(row.link).domain == chain.domain;
        same && match level {
            Level::Exact => self.has_set(key, row),
            Level::Equal => uri::sets_equal(self.sets.text(row.set), key.set()),
            Level::Domain => true,
        }
    }

    /// The row has the very parameters of the key.
    #[inline]
    pub(super) fn has_set(&self, key: &UriKey, row: &Row) -> bool {
        self.sets.text(row.set) == key.set()
    }

    fn passes(&self, filter: &LookupFilter<'_>, row: &Row) -> bool {
        let dialog = row.dialog.is_none() || row.dialog == filter.dialog;
        dialog && row.until > filter.now && self.passes_flow(filter, row.link)
    }

    fn passes_flow(&self, filter: &LookupFilter<'_>, link: u32) -> bool {
        let owner = self.links.owner(link);
        let state = match owner.state {
            FlowState::Live => filter.flows == Flows::Live,
            FlowState::Lost { until, .. } => filter.flows == Flows::Lost && filter.now < until,
            FlowState::Gone => false,
        };
        state && !filter.failed.contains(&owner.flow)
    }

    /// The flows that tie on `level`, in order.
    #[cfg(test)]
    pub(super) fn candidates(
        &mut self,
        now: Instant,
        uri: &[u8],
        level: Level,
        failed: &[Flow],
    ) -> Vec<Flow> {
        let filter = LookupFilter {
            now,
            failed,
            dialog: None,
            flows: Flows::Live,
        };
        let mut flows: Vec<Flow> = self.with_key(|table, key| {
            let chain = if key.read(uri) {
                table.chain_of(key)
            } else {
                None
            };
            let mut ties = Vec::new();
            if let Some(chain) = chain {
                table.collect(level, &filter, key, &chain, &mut ties);
            }
            ties.into_iter()
                .map(|row| table.links.owner(table.rows.get(row).link).flow)
                .collect()
        });
        flows.sort_unstable();
        flows
    }
}

/// An index below `len` out of a random number; zero when there is none.
fn draw(chance: u64, len: usize) -> usize {
    let scaled = (u128::from(chance) * len as u128) >> 64;
    usize::try_from(scaled).unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::stick::Source;
    use crate::stick::bind::tests::flow;

    const NOW: Instant = Instant::from_micros(1_000);
    const LATER: Instant = Instant::from_micros(2_000);

    /// H of the worked flow: Path on e1 and e3, the Record-Route on e1.
    pub(in crate::stick) fn home() -> Table {
        let mut t = Table::new([5, 6, 7, 8]);
        for on in [1, 3] {
            t.link(NOW, flow(on), b"edge.example.com", Source::Certificate);
            t.bind(
                NOW,
                flow(on),
                b"sip:joe+e1+3@edge.example.com;lr;ob",
                Source::Path,
                LATER,
            );
        }
        t.bind(
            NOW,
            flow(1),
            b"sip:joe+e1+3@edge.example.com;lr;gunk=1234",
            Source::RecordRoute,
            LATER,
        );
        t
    }

    #[track_caller]
    fn check(t: &mut Table, uri: &str, failed: &[Flow], chance: u64, want: Option<(u32, Level)>) {
        let want = want.map(|(on, level)| Match {
            flow: flow(on),
            level,
        });
        assert_eq!(t.find(NOW, uri.as_bytes(), failed, chance), want, "{uri}");
    }

    #[test]
    fn the_worked_flow_fails_over_by_next_best_match() {
        // S-14, S-15, S-18, S-22, H-4, H-6, H-7
        let mut t = home();
        let (path, route) = (
            "sip:joe+e1+3@edge.example.com;lr;ob",
            "sip:joe+e1+3@edge.example.com;gunk=1234;lr",
        );
        let mut by_chance =
            [0, u64::MAX].map(|chance| t.find(NOW, path.as_bytes(), &[], chance).unwrap().flow);
        by_chance.sort_unstable();
        assert_eq!(by_chance, [flow(1), flow(3)]);
        for chance in [0, u64::MAX] {
            check(&mut t, route, &[], chance, Some((1, Level::Exact)));
            check(&mut t, route, &[flow(1)], chance, Some((3, Level::Equal)));
            check(&mut t, route, &[flow(1), flow(3)], chance, None);
        }
        t.forget(flow(1));
        check(&mut t, route, &[], 0, Some((3, Level::Equal)));
    }

    #[test]
    fn a_stranger_in_the_domain_leaves_only_its_candidates() {
        // S-16, S-17
        let mut t = home();
        check(&mut t, "sip:ann@edge.example.com", &[], 0, None);
        check(
            &mut t,
            "sip:joe%2Be1+3@edge.example.com;lr;ob",
            &[],
            0,
            None,
        );
        assert_eq!(
            t.domain(NOW, b"EDGE.example.com.").collect::<Vec<_>>(),
            [flow(3), flow(1)]
        );
        assert_eq!(t.domain(NOW, b"example.com").count(), 0);
    }

    #[test]
    fn a_flow_counts_once_among_equals() {
        // S-18
        let mut t = home();
        for n in 0..20 {
            t.bind(
                NOW,
                flow(1),
                format!("sip:joe+e1+3@edge.example.com;n={n}").as_bytes(),
                Source::Path,
                LATER,
            );
        }
        let flows = t.candidates(NOW, b"sip:joe+e1+3@edge.example.com", Level::Equal, &[]);
        assert_eq!(flows, [flow(1), flow(3)]);
    }
}
