//! To the contacts of an address of record (RFC 3261 §16.5): in which order, by which
//! flows, and which of them stand in for which (RFC 5626 §7).

use std::cmp::Reverse;

use super::state::Home;
use super::ways::Element;
use crate::bytes::Buf;
use crate::limits;
use crate::proxy::{Net, Pass, Plan, Request, Step, Target, Verdict};
use crate::scan::address::Address;
use crate::scan::first_value;
use crate::send::{End, Hop};
use crate::uri::{Uri, is_sips, same_host};

impl Home {
    /// RFC 3261 §16.5 with the location service: all contacts, highest q
    /// first, one flow of an instance at a time (O-19, O-20).
    pub(super) fn by_location(&mut self, pass: &mut Pass<'_, '_>, user: &[u8]) -> Verdict {
        let aor = &mut pass.plan.text;
        aor.clear();
        super::aor::file(user, self.settings.domain.as_bytes(), aor);
        let mut order = [Rank::default(); limits::CONTACTS_MAX];
        let mut count = 0;
        let (net, now) = (&*pass.net, pass.now);
        let is_down = |flow| net.is_down(now, Hop::Flow(flow));
        let bindings = self.location.bindings(now, &pass.plan.text).enumerate();
        for (slot, (index, binding)) in order.iter_mut().zip(bindings) {
            *slot = Rank {
                preference: Reverse(binding.q),
                is_silent: binding.flow.is_some_and(is_down),
                reg_id: binding.reg_id().unwrap_or(0),
                index: Reverse(index),
            };
            count += 1;
        }
        let order = &mut order[..count];
        order.sort_unstable();
        pass.plan.groups.clear();
        let mut rank: u16 = 0;
        let mut last = None;
        for &Rank {
            preference, index, ..
        } in &*order
        {
            rank += u16::from(last.is_some_and(|last| last != preference));
            last = Some(preference);
            // The indexes of targets are octets: more of them there cannot be, and the
            // best are there already.
            if self.add_binding(pass, index.0, rank).is_none() {
                break;
            }
        }
        if !pass.plan.targets.is_empty() {
            self.record_route(pass);
            return Verdict::Forward;
        }
        // P-18
        let (user, _) = super::aor::parts(&pass.plan.text);
        let domain = self.settings.domain.as_bytes();
        if self.subscribers.find(user, domain).is_some() {
            Verdict::refuse(480, "Not Registered")
        } else {
            Verdict::refuse(404, "No Such Subscriber")
        }
    }

    /// Adds the ways to one binding of the address of record in the plan: the flow its
    /// REGISTER came on, else where its Path sticks, else any edge. A further flow of
    /// an instance already there stands by for it. `None` when there is no room
    /// for more.
    fn add_binding(&mut self, pass: &mut Pass<'_, '_>, index: usize, rank: u16) -> Option<()> {
        let called = self.find_binding(pass, index)?;
        let Plan {
            hops,
            groups,
            targets,
            ..
        } = &mut *pass.plan;
        let first = groups.iter().rposition(|seen| *seen == called.group);
        let mut after = first
            .filter(|_| called.group != 0)
            .and_then(|place| u8::try_from(place).ok());
        for &hop in &*hops {
            let mut seen = targets.iter().zip(&*groups);
            let again = |(target, group): (&Target, &u64)| {
                self.is_asked_for(pass.net, &called, hop, target, *group)
            };
            if seen.any(again) {
                continue;
            }
            let index = u8::try_from(targets.len()).ok()?;
            targets.push(Target {
                hop,
                uri: Some(called.uri.clone()),
                route: called.route.clone(),
                rank,
                after,
                ..Target::at(hop)
            });
            groups.push(called.group);
            after = Some(index);
        }
        Some(())
    }

    /// Whether what a binding leads to by `hop` is asked for by a target of `group`
    /// that is there. An edge looks for a phone by user and instance, whatever the
    /// Path: asked for the one flow, it has answered for the other. Without an
    /// instance, what is the same in every part is asked for once.
    fn is_asked_for(
        &self,
        net: &Net,
        called: &Called,
        hop: Hop,
        target: &Target,
        group: u64,
    ) -> bool {
        let Called { uri, route, .. } = called;
        let same = called.group != 0 && group == called.group && !matches!(hop, Hop::Named(_));
        let equal =
            target.uri.as_deref() == Some(&uri[..]) && target.route.as_deref() == route.as_deref();
        // Without a Path the flow is the phone's own.
        let is_one = || {
            target.route.is_some()
                && route.is_some()
                && Element::at(&self.settings, net, target.hop)
                    .is_some_and(|there| there.is_at(&self.settings, net, hop))
        };
        (same || equal) && (target.hop == hop || is_one())
    }

    /// What a request for a binding of the address of record in the plan is called by,
    /// and in the plan the hops to it; `None` where there is no such binding.
    fn find_binding(&mut self, pass: &mut Pass<'_, '_>, index: usize) -> Option<Called> {
        let Pass {
            net,
            now,
            request,
            plan,
            ..
        } = pass;
        let (net, now, request) = (&mut **net, *now, *request);
        let Plan {
            text: aor,
            hops,
            is_leaving,
            ..
        } = &mut **plan;
        let binding = self.location.bindings(now, aor).nth(index)?;
        let uri = as_called(net, request, binding.contact());
        let route = (!binding.path().is_empty()).then(|| net.pool.copy(binding.path()));
        let live = binding.flow.filter(|flow| net.flows.lives(*flow));
        let group = binding
            .instance()
            .map_or(0, |instance| net.secrets.hash([instance]) | 1);
        hops.clear();
        match (live, &route) {
            (Some(flow), _) => {
                *is_leaving |= route.is_none();
                hops.push(Hop::Flow(flow));
            }
            (None, Some(path)) => {
                let top = Address::parse(path, first_value(path)).map(|address| address.uri);
                if let Ok(top) = top.and_then(|uri| Uri::parse(path, uri)) {
                    let step = &mut Step::new(net, now);
                    self.hops_to(step, Some(request), path, &top, hops);
                    if !same_host(top.host.of(path), &self.cluster) {
                        self.keep_phones(net, hops);
                    }
                }
            }
            (None, None) => {
                *is_leaving = true;
                let contact = binding.contact();
                let uri = Uri::of(contact);
                let hop = uri.map(|uri| net.hop(now, contact, &uri));
                hops.extend(hop.ok().flatten());
                self.keep_phones(net, hops);
            }
        }
        Some(Called { uri, route, group })
    }

    /// Leaves in `hops` what a contact, or a Path that is no edge's, may lead to.
    /// A node of ours is nobody's phone: what is sent there comes back, once for each
    /// binding and each time. Beside an edge, at its address, there may be one.
    fn keep_phones(&self, net: &mut Net, hops: &mut Vec<Hop>) {
        hops.retain(|hop| {
            let may = match *hop {
                Hop::To {
                    transport, addr, ..
                } => {
                    let is_own = net.flows.is_local(addr.ip().to_canonical(), addr.port());
                    let is_edge = self.settings.may_be_edge(&End::new(transport, addr));
                    !is_own && !is_edge && net.permits(addr)
                }
                Hop::Flow(_) | Hop::Named(_) => true,
            };
            net.counters.out_of_bounds += u64::from(!may);
            may
        });
    }
}

/// Where a binding stands among those of its address of record, in the order in which
/// they are tried: the highest preference first, of one instance the first flow, else
/// the newest binding; flows that are silent last.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// In thousandths.
    preference: Reverse<u16>,
    is_silent: bool,
    /// 0 where it has none.
    reg_id: u32,
    /// Among the live ones, the last updated last.
    index: Reverse<usize>,
}

/// How a binding is called.
struct Called {
    /// The Request-URI.
    uri: Buf,
    /// Its Path, as Route values.
    route: Option<Buf>,
    /// The number that bindings of one instance share; 0 stands alone.
    group: u64,
}

/// C-15: a phone that registered `sips` is called as it was called.
fn as_called(net: &Net, request: &Request<'_>, contact: &[u8]) -> Buf {
    let secure = is_sips(request.message.request_uri().of(request.bytes));
    match contact.get(5..) {
        Some(rest) if is_sips(contact) && !secure => net.pool.build(contact.len(), |out| {
            out.extend_from_slice(b"sip:");
            out.extend_from_slice(rest);
        }),
        Some(_) | None => net.pool.copy(contact),
    }
}
