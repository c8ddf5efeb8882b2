//! Binding: what proves a domain, and what may then be learned over the flow.

use super::links::FlowState;
use super::rows::Draft;
use super::{Bound, DialogHash, FOREVER, Source, Table};
use crate::id::Flow;
use crate::time::Instant;
use crate::uri::UriKey;

impl Table {
    /// Links a domain that the flow has proven, by its certificate or by the
    /// operator's word, and binds `sip:<domain>` to it, both until the flow is
    /// forgotten (S-2, S-12). False when `domain` is no host or the flow has
    /// `limits::STICK_DOMAINS_PER_FLOW_MAX` already.
    pub fn link(&mut self, now: Instant, flow: Flow, domain: &[u8], source: Source) -> bool {
        self.with_key(|table, key| {
            key.read_host(domain) && table.prove(now, flow, key, source).is_some()
        })
    }

    /// Binds the URI the flow was opened to reach and links its domain, both
    /// until the flow is forgotten (S-3). Over TLS, call it only once the
    /// certificate matched. False as for `link`.
    pub fn opened(&mut self, now: Instant, flow: Flow, uri: &[u8]) -> bool {
        self.with_key(|table, key| {
            key.read(uri) && table.prove(now, flow, key, Source::Opened).is_some()
        })
    }

    /// Binds a URI learned over the flow until `until`, if the flow has proven
    /// the URI's whole domain name (S-4, S-5, S-7 to S-11, S-24).
    ///
    /// A registration's refresh moves the end of its own binding either way;
    /// otherwise the later end of two reasons holds.
    pub fn bind(
        &mut self,
        now: Instant,
        flow: Flow,
        uri: &[u8],
        source: Source,
        until: Instant,
    ) -> Bound {
        self.with_key(|table, key| {
            let link = if key.read(uri) {
                table.proven(flow, key)
            } else {
                None
            };
            link.map_or(Bound::Refused, |link| {
                table.put(now, link, key, source, until, None)
            })
        })
    }

    /// Binds a Record-Route that is an address, which no certificate can prove,
    /// to the flow its dialog runs on. Only `find_in_dialog` of that dialog sees
    /// it, so a lie reaches no other call. A name is refused: it has `bind`.
    pub(crate) fn bind_dialog(
        &mut self,
        now: Instant,
        flow: Flow,
        uri: &[u8],
        dialog: DialogHash,
        until: Instant,
    ) -> Bound {
        self.with_key(|table, key| {
            if !key.read(uri) || !key.is_literal() {
                return Bound::Refused;
            }
            let Some(link) = table.join(flow, key) else {
                return Bound::Full;
            };
            let bound = table.put(now, link, key, Source::RecordRoute, until, Some(dialog));
            table.drop_idle(link);
            bound
        })
    }

    /// Unbinds exactly this URI from the flow, as the redirect that the flow
    /// answered with asks, or the end of a dialog or a registration (S-23,
    /// S-30). False when it was not bound there.
    pub(crate) fn unbind(&mut self, uri: &[u8], flow: Flow) -> bool {
        self.with_key(|table, key| {
            if !key.read(uri) {
                return false;
            }
            let link = table.links.holder(flow).zip(table.links.domain(key.host()));
            let link = link.and_then(|(holder, domain)| table.links.between(holder, domain));
            let (Some(link), Some(set)) = (link, table.sets.find(key.set())) else {
                return false;
            };
            let print = table.print(table.links.link(link).domain, key);
            let mut unbound = false;
            while let Some(row) = table.row_of(print, |row| {
                row.link == link && row.set == set && row.scheme_port == key.scheme_port()
            }) {
                table.drop_row(row);
                unbound = true;
            }
            unbound
        })
    }

    /// Unbinds from the flow whatever has the user of this URI, host and port as well,
    /// since that one has left it. The end of the last that was learned of a dialog or
    /// by a redirect, where that is to come; `None` where there was none.
    pub fn leave(&mut self, now: Instant, uri: &[u8], flow: Flow) -> Option<Instant> {
        self.with_key(|table, key| {
            if !key.read(uri) {
                return None;
            }
            let (holder, domain) = table
                .links
                .holder(flow)
                .zip(table.links.domain(key.host()))?;
            let link = table.links.between(holder, domain)?;
            let print = table.print(domain, key);
            let mut last = None;
            while let Some(index) = table.row_of(print, |row| {
                row.link == link && row.scheme_port == key.scheme_port()
            }) {
                let row = table.rows.get(index);
                let learned = matches!(row.source, Source::RecordRoute | Source::Redirect);
                if learned && row.until > now {
                    last = last.max(Some(row.until));
                }
                table.drop_row(index);
            }
            last
        })
    }

    /// The live flow's link to the key's domain, if it is proven.
    fn proven(&self, flow: Flow, key: &UriKey) -> Option<u32> {
        let holder = self.links.holder(flow)?;
        let link = self.links.between(holder, self.links.domain(key.host())?)?;
        let live = self.links.entry(holder).state == FlowState::Live;
        (live && !self.links.link(link).proof.is_empty()).then_some(link)
    }

    fn join(&mut self, flow: Flow, key: &UriKey) -> Option<u32> {
        let holder = self.links.get_or_insert_flow(flow)?;
        let live = self.links.entry(holder).state == FlowState::Live;
        if live {
            self.links.join(holder, key.host())
        } else {
            None
        }
    }

    fn prove(&mut self, now: Instant, flow: Flow, key: &UriKey, source: Source) -> Option<u32> {
        let link = self.join(flow, key)?;
        self.links.link_mut(link).proof.add(source);
        // The link holds even where the row finds no room.
        self.put(now, link, key, source, FOREVER, None);
        Some(link)
    }

    fn put(
        &mut self,
        now: Instant,
        link: u32,
        key: &UriKey,
        source: Source,
        until: Instant,
        dialog: Option<DialogHash>,
    ) -> Bound {
        let dialog = dialog.map(|dialog| dialog.0);
        let print = self.print(self.links.link(link).domain, key);
        let known = self.sets.find(key.set());
        let (mut there, mut own, mut same) = (0, None, None);
        for (index, row) in self.rows.chain(print) {
            there += 1;
            if row.link == link {
                own = Some(own.map_or(index, |other| self.older(other, index)));
                let is_same = Some(row.set) == known
                    && row.scheme_port == key.scheme_port()
                    && row.dialog == dialog;
                same = if is_same { Some(index) } else { same };
            }
        }
        if let Some(same) = same {
            self.refresh(same, now, source, until);
            return Bound::Refreshed;
        }
        // Each look-up of the user walks the chain, so its length is bounded: the flow pays with
        // the oldest of its own rows in it.
        if there >= self.bounds.chain {
            let Some(own) = own else { return Bound::Full };
            self.take_row(own);
        }
        let holder = self.links.link(link).holder;
        let went = match self.make_room(holder) {
            Ok(went) => went,
            Err(full) => return full,
        };
        self.stamp = self.stamp.wrapping_add(1);
        let (set, stamp, scheme_port) = (self.sets.hold(key.set()), self.stamp, key.scheme_port());
        let draft = Draft {
            print,
            scheme_port,
            set,
            link,
            source,
            until,
            dialog,
            stamp,
        };
        if self.rows.insert(draft, &mut self.links).is_none() {
            self.sets.release(set);
            if let Some(went) = went {
                self.drop_idle(went);
            }
            return Bound::Full;
        }
        self.links.entry_mut(holder).rows += 1;
        self.len += 1;
        // Only now, since the new row may be of the same link, which then is not idle.
        if let Some(went) = went {
            self.drop_idle(went);
        }
        Bound::New
    }

    fn refresh(&mut self, row: u32, now: Instant, source: Source, until: Instant) {
        self.touch(row);
        let row = self.rows.get_mut(row);
        // A registration that is renewed for a shorter time ends sooner. A dialog's row is not cut
        // short by the registration of its phone.
        let moves = row.source == source && matches!(source, Source::Path | Source::ServiceRoute);
        if moves || until > row.until || row.until <= now {
            (row.source, row.until) = (source, until);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::id::{Slot, StreamId};
    use crate::stick::Level;

    pub(in crate::stick) const NOW: Instant = Instant::from_micros(1_000);
    const LATER: Instant = Instant::from_micros(2_000);

    pub(in crate::stick) fn flow(index: u32) -> Flow {
        Flow::Stream(StreamId(Slot {
            index,
            generation: 0,
        }))
    }

    pub(in crate::stick) fn table() -> Table {
        Table::new([1, 2, 3, 4])
    }

    pub(in crate::stick) fn found(table: &mut Table, uri: &str) -> Option<(u32, Level)> {
        let found = table.find(NOW, uri.as_bytes(), &[], 0)?;
        (0..9)
            .find(|&n| flow(n) == found.flow)
            .map(|n| (n, found.level))
    }

    pub(in crate::stick) fn path(table: &mut Table, on: u32, uri: &str) -> Bound {
        table.bind(NOW, flow(on), uri.as_bytes(), Source::Path, LATER)
    }

    #[test]
    fn a_certificate_binds_its_domain_and_lets_its_uris_be_bound() {
        // S-2, S-4, S-9, S-10
        let mut t = table();
        assert!(t.link(NOW, flow(1), b"Edge.Example.com", Source::Certificate));
        assert_eq!(
            found(&mut t, "sip:edge.example.COM"),
            Some((1, Level::Exact))
        );
        assert_eq!(path(&mut t, 1, "sip:joe@EDGE.example.com;lr"), Bound::New);
        assert_eq!(
            path(&mut t, 1, "SIP:joe@edge.example.com;LR"),
            Bound::Refreshed
        );
        assert_eq!((t.len(), t.flows()), (2, 1));
    }

    #[test]
    fn a_foreign_domain_is_never_bound() {
        // S-5, S-6, S-9, S-10, S-11
        let mut t = table();
        t.link(NOW, flow(1), b"bad.example.com", Source::Certificate);
        t.link(NOW, flow(2), b"*.example.com", Source::Certificate);
        for uri in [
            "sip:x@good.example.com",
            "sip:x@example.com",
            "sip:x@a.bad.example.com",
            "sip:x@xbad.example.com",
            "sip:bad.example.com@good.example.com",
            "sip:x@good.example.com;maddr=bad.example.com",
            "tel:+1",
        ] {
            for on in [1, 2, 3] {
                assert_eq!(path(&mut t, on, uri), Bound::Refused, "{uri}");
            }
        }
        assert_eq!(t.len(), 1);
        let own = "sip:x@bad.example.com";
        assert_eq!(path(&mut t, 2, own), Bound::Refused);
        assert_ne!(path(&mut t, 1, own), Bound::Refused);
    }

    #[test]
    fn a_flow_opened_to_a_uri_gets_that_uri_and_its_domain() {
        // S-3, B-2: the flow to e3 carries both URIs.
        let mut t = table();
        assert!(t.opened(NOW, flow(3), b"sip:joe@edge.example.com;lr;maddr=192.0.2.3"));
        assert_eq!(found(&mut t, "sip:joe@edge.example.com;lr"), None);
        assert_eq!(path(&mut t, 3, "sip:joe@edge.example.com;lr"), Bound::New);
        assert_eq!(
            found(&mut t, "sip:joe@edge.example.com;lr"),
            Some((3, Level::Exact))
        );
        assert_eq!(
            found(&mut t, "sip:joe@edge.example.com;maddr=192.0.2.3;lr"),
            Some((3, Level::Exact))
        );
        assert!(!t.opened(NOW, flow(3), b"tel:+1"));
    }

    #[test]
    fn a_redirect_unbinds_one_uri_from_one_flow() {
        // S-23, S-24
        let mut t = table();
        for on in [1, 2] {
            t.link(NOW, flow(on), b"h", Source::Link);
            path(&mut t, on, "sip:joe@h;lr");
        }
        path(&mut t, 1, "sip:joe@h;lr;gunk=1");
        assert!(t.unbind(b"sip:joe@H;LR", flow(1)) && !t.unbind(b"sip:joe@h;lr", flow(1)));
        assert_eq!(found(&mut t, "sip:joe@h;lr"), Some((2, Level::Exact)));
        assert_eq!(
            found(&mut t, "sip:joe@h;lr;gunk=1"),
            Some((1, Level::Exact))
        );
        assert_eq!(
            t.bind(
                NOW,
                flow(2),
                b"sip:joe@h;lr;gunk=1",
                Source::Redirect,
                LATER
            ),
            Bound::New
        );
    }

    #[test]
    fn who_leaves_a_flow_leaves_nothing_there() {
        // RFC 5626 §6: the registration was replaced.
        let (mut t, at) = (table(), Instant::from_micros);
        for on in [1, 2] {
            t.link(NOW, flow(on), b"h", Source::Link);
            path(&mut t, on, "sip:joe@h;lr;ob");
            path(&mut t, on, "sip:ann@h;lr;ob");
        }
        for (gunk, end) in [
            (b"sip:joe@h;lr;gunk=1", 2_500),
            (b"sip:joe@h;lr;gunk=2", 900),
        ] {
            t.bind(NOW, flow(1), gunk, Source::RecordRoute, at(end));
        }
        assert_eq!(t.leave(NOW, b"sip:ann@h;lr", flow(1)), None);
        assert_eq!(t.leave(NOW, b"sip:joe@h;lr;ob", flow(1)), Some(at(2_500)));
        assert_eq!(t.leave(NOW, b"sip:joe@h;lr;ob", flow(1)), None);
        for uri in ["sip:joe@h;lr;gunk=1", "sip:ann@h;lr;gunk=1"] {
            assert_eq!(found(&mut t, uri), Some((2, Level::Equal)), "{uri}");
        }
        assert_eq!(t.leave(NOW, b"sip:joe@h;lr", flow(9)), None);
        assert_eq!(t.leave(NOW, b"tel:1", flow(2)), None);
        // The domains of both flows, and the phones of the second.
        assert_eq!(t.len(), 4);
    }

    #[test]
    fn a_row_ends_on_its_own_and_prolongs_no_other() {
        // S-30
        let (mut t, uri) = (table(), "sip:joe@h");
        let at = Instant::from_micros;
        for on in [1, 2] {
            t.link(NOW, flow(on), b"h", Source::Link);
            t.bind(NOW, flow(on), uri.as_bytes(), Source::Path, at(2_000));
        }
        t.bind(NOW, flow(1), uri.as_bytes(), Source::Path, at(3_000));
        let live = |t: &mut Table, now| t.candidates(at(now), uri.as_bytes(), Level::Exact, &[]);
        assert_eq!(
            (live(&mut t, 1_999), live(&mut t, 2_000)),
            (vec![flow(1), flow(2)], vec![flow(1)])
        );
        assert_eq!(live(&mut t, 3_000), vec![]);
        // A dialog's longer life is not cut by its registration's refresh, a registration's own is.
        t.bind(NOW, flow(1), uri.as_bytes(), Source::Path, at(2_500));
        assert_eq!(live(&mut t, 2_600), vec![]);
        t.bind(NOW, flow(1), uri.as_bytes(), Source::RecordRoute, at(9_000));
        t.bind(NOW, flow(1), uri.as_bytes(), Source::Path, at(2_500));
        assert_eq!(live(&mut t, 8_999), vec![flow(1)]);
    }

    #[test]
    fn an_address_in_a_record_route_sticks_within_its_dialog_only() {
        let mut t = table();
        let [a, b] = [1, 2].map(|n| DialogHash(NonZeroU64::new(n).unwrap()));
        let uri = b"sip:192.0.2.1:5061;transport=tls;lr";
        assert_eq!(t.bind_dialog(NOW, flow(1), uri, a, LATER), Bound::New);
        assert_eq!(
            t.bind_dialog(NOW, flow(1), b"sip:x@good.example.com", a, LATER),
            Bound::Refused
        );
        let in_dialog = |t: &mut Table, dialog| {
            t.find_in_dialog(NOW, uri, dialog, &[], 0)
                .map(|found| found.flow)
        };
        assert_eq!(
            (in_dialog(&mut t, a), in_dialog(&mut t, b)),
            (Some(flow(1)), None)
        );
        assert_eq!(
            (
                t.find(NOW, uri, &[], 0),
                t.domain(NOW, b"192.0.2.1").count()
            ),
            (None, 0)
        );
        assert_eq!(
            (
                path(&mut t, 1, "sip:x@192.0.2.1"),
                t.unbind(uri, flow(1)),
                t.len()
            ),
            (Bound::Refused, true, 0)
        );
    }
}
