//! Forking to the contacts of an address of record (RFC 3261 §16.5): in which order, over
//! which flows, and which flow stands in for which (RFC 5626 §7).

use std::cmp::Reverse;

use super::aor;
use super::edge_node::EdgeNode;
use super::state::Home;
use crate::bytes::Buf;
use crate::id::Flow;
use crate::limits;
use crate::proxy::{Net, Pass, Plan, Request, Step, Target, Verdict};
use crate::recorder::Decision;
use crate::scan::address::Address;
use crate::scan::first_value;
use crate::send::{End, Hop};
use crate::uri::{Uri, is_sips, same_host};

/// By what the bindings of an address of record are ordered: the highest preference first;
/// among those of one preference flows that are silent last; then the lowest reg-id, since
/// the first flow of a phone is its primary one; then the newest binding.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Precedence {
    /// In thousandths.
    preference: Reverse<u16>,
    is_silent: bool,
    /// 0 where it has none.
    reg_id: u32,
    /// Index among the live bindings, of which the last updated is the last.
    index: Reverse<usize>,
}

/// What a request needs in order to reach one binding, besides its hop.
struct Contact {
    /// The Request-URI.
    uri: Buf,
    /// The Path of the binding, as Route values.
    route: Option<Buf>,
    /// The number that bindings of one instance share; 0 where there is no instance.
    group: u64,
}

impl Home {
    /// Forwards a request to all contacts of a user, those of the highest q
    /// first, over one flow of an instance at a time (O-19, O-20).
    pub(super) fn fork(&mut self, pass: &mut Pass<'_, '_>, user: &[u8]) -> Verdict {
        let text = &mut pass.plan.text;
        text.clear();
        aor::write(user, self.settings.domain.as_bytes(), text);
        let mut order = [Precedence::default(); limits::CONTACTS_MAX];
        let mut count = 0;
        let (net, now) = (&*pass.net, pass.now);
        let is_down = |flow| net.is_down(now, Hop::Flow(flow));
        let bindings = self.location.bindings(now, &pass.plan.text).enumerate();
        for (slot, (index, binding)) in order.iter_mut().zip(bindings) {
            *slot = Precedence {
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
        for &Precedence {
            preference, index, ..
        } in &*order
        {
            // Equal preferences ring together, a lower one when those before it have failed
            // (RFC 3261 §16.6).
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
        let (user, _) = aor::parts(&pass.plan.text);
        let domain = self.settings.domain.as_bytes();
        if self.subscribers.find(user, domain).is_some() {
            Verdict::refuse(480, "Not Registered")
        } else {
            Verdict::refuse(404, "No Such Subscriber")
        }
    }

    /// Adds the targets of one binding of the address of record in the plan: the flow its
    /// REGISTER came on, else the flows its Path sticks to, else any edge. Of one instance
    /// each target stands by for the one before. `None` when there is no room for more.
    fn add_binding(&mut self, pass: &mut Pass<'_, '_>, index: usize, rank: u16) -> Option<()> {
        let contact = self.find_contact(pass, index)?;
        let Plan {
            hops,
            groups,
            targets,
            ..
        } = &mut *pass.plan;
        // A further flow of the same phone must not ring beside the first: it is tried when
        // the last target of that phone has failed (RFC 5626 §7).
        let last_of_group = groups.iter().rposition(|group| *group == contact.group);
        let mut after = last_of_group
            .filter(|_| contact.group != 0)
            .and_then(|index| u8::try_from(index).ok());
        for &hop in &*hops {
            let mut known = targets.iter().zip(&*groups);
            let is_repeated =
                known.any(|(target, group)| self.covers(pass.net, target, *group, &contact, hop));
            if is_repeated {
                continue;
            }
            let index = u8::try_from(targets.len()).ok()?;
            targets.push(Target {
                hop,
                uri: Some(contact.uri.clone()),
                route: contact.route.clone(),
                rank,
                after,
                ..Target::at(hop)
            });
            groups.push(contact.group);
            after = Some(index);
        }
        Some(())
    }

    /// Whether `target`, of the phone `group`, already reaches whatever a request for
    /// `contact` by `hop` would reach, so that it would only ring twice.
    fn covers(&self, net: &Net, target: &Target, group: u64, contact: &Contact, hop: Hop) -> bool {
        let Contact { uri, route, .. } = contact;
        // An edge looks for a phone by user and instance, whatever the Path: with the one flow
        // it has answered for the other.
        let is_same_phone =
            contact.group != 0 && group == contact.group && !matches!(hop, Hop::Named(_));
        // Without an instance two bindings are one where they have URI and Path in common.
        let is_same_contact =
            target.uri.as_deref() == Some(&uri[..]) && target.route.as_deref() == route.as_deref();
        // Two flows to one edge lead to one phone behind it. Without a Path there is no edge:
        // the flow is the phone's own.
        let is_same_edge = || {
            target.route.is_some()
                && route.is_some()
                && EdgeNode::of_hop(&self.settings, net, target.hop)
                    .is_some_and(|edge| edge.is_reached_by(&self.settings, net, hop))
        };
        (is_same_phone || is_same_contact) && (target.hop == hop || is_same_edge())
    }

    /// What a request needs in order to reach a binding of the address of record in the plan,
    /// where the hops to it are left; `None` where there is no such binding.
    fn find_contact(&mut self, pass: &mut Pass<'_, '_>, index: usize) -> Option<Contact> {
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
        let uri = request_uri(net, request, binding.contact());
        let route = (!binding.path().is_empty()).then(|| net.pool.copy(binding.path()));
        // A phone without a Path is at the end of its flow itself.
        let is_edge = |flow: &Flow| route.is_none() || !self.former_edges.contains(flow);
        let live = binding.flow.filter(|flow| net.flows.lives(*flow));
        let live = live.filter(is_edge);
        let group = binding
            .instance()
            .map_or(0, |instance| net.secrets.hash([instance]) | 1);
        hops.clear();
        match (live, &route) {
            (Some(flow), _) => {
                // Without a Path the phone itself is at the end of the flow, and no edge that
                // belongs to the trust domain.
                *is_leaving |= route.is_none();
                net.decided_on(flow, Decision::Contact);
                hops.push(Hop::Flow(flow));
            }
            // The connection that the REGISTER came on is gone, or was another process's.
            (None, Some(path)) => {
                let top = Address::parse(path, first_value(path)).map(|address| address.uri);
                if let Ok(top) = top.and_then(|uri| Uri::parse(path, uri)) {
                    let step = &mut Step::new(net, now);
                    self.hops_to(step, Some(request), path, &top, hops);
                    if !same_host(top.host.of(path), &self.cluster) {
                        self.remove_own_nodes(net, hops);
                    }
                }
            }
            (None, None) => {
                *is_leaving = true;
                let contact = binding.contact();
                let uri = Uri::of(contact);
                let hop = uri.map(|uri| net.hop(now, contact, &uri));
                hops.extend(hop.ok().flatten());
                self.remove_own_nodes(net, hops);
            }
        }
        Some(Contact { uri, route, group })
    }

    /// Removes from `hops` what a contact, or a Path that is no edge's, may not lead to: a
    /// node of ours is nobody's phone, and what is sent there comes back, once for each
    /// binding and each time. At the address of an edge, on another port, a phone may be.
    fn remove_own_nodes(&self, net: &mut Net, hops: &mut Vec<Hop>) {
        hops.retain(|hop| {
            let is_permitted = match *hop {
                Hop::To {
                    transport, addr, ..
                } => {
                    let is_own = net.flows.is_local(addr.ip().to_canonical(), addr.port());
                    let is_edge = self.settings.may_be_edge(&End::new(transport, addr));
                    !is_own && !is_edge && net.permits(addr)
                }
                Hop::Flow(_) | Hop::Named(_) => true,
            };
            net.counters.out_of_bounds += u64::from(!is_permitted);
            is_permitted
        });
    }
}

/// The Request-URI for a contact: a phone that registered `sips` gets the scheme that it is
/// called by (C-15).
fn request_uri(net: &Net, request: &Request<'_>, contact: &[u8]) -> Buf {
    let secure = is_sips(request.message.request_uri().of(request.bytes));
    match contact.get(5..) {
        Some(rest) if is_sips(contact) && !secure => net.pool.build(contact.len(), |out| {
            out.extend_from_slice(b"sip:");
            out.extend_from_slice(rest);
        }),
        Some(_) | None => net.pool.copy(contact),
    }
}
