//! Revocation: a subscriber who is taken off the list, or whose password changed,
//! is gone at once, and so is whom the operator removes (I-14).
//!
//! - At the home his bindings go, on every shard and in the store. Nothing is granted
//!   again on an old nonce, whose answer was made with a password that is no more.
//! - The edges are told, since they vouch for whoever registered through them: each
//!   edge that this home knows gets one in-cluster NOTIFY in the manner of RFC 3680
//!   (Event: reg, terminated, deactivated) in whose From the address of record
//!   stands. An edge believes it from a home and from nobody else, and forgets every
//!   flow of that address (`edge::revoking`). All edges are told, since a phone
//!   may have flows that its bindings here no longer show.
//! - A call that is up goes on until somebody ends it: nothing of it stands on a
//!   registration.
//!
//! A list can revoke everybody at once, so the work is done in pieces: the
//! first at once, the others a moment later each.

use std::sync::Arc;

use super::location::{Binding, ChangeKind, ChangeOrigin};
use super::state::Home;
use super::{Revoked, Subscribers, aor};
use crate::edit::decimal;
use crate::id::{Flow, Transport};
use crate::limits;
use crate::proxy::{Step, Timer};
use crate::send::Hop;
use crate::uri::write_name;

impl Home {
    /// Takes a newer list of subscribers, and revokes the addresses of record that it
    /// takes away or gives another password.
    pub(crate) fn set_subscribers(
        &mut self,
        step: &mut Step<'_>,
        subscribers: Arc<Subscribers>,
        revoked: Revoked,
    ) {
        self.subscribers = subscribers;
        self.revocations.push(revoked);
        if !self.revocations.has_timer {
            self.revoke_next(step);
        }
    }

    /// Takes back a row of the store; false when it is not one of ours. An address of
    /// record whose subscriber is gone from the list is revoked a moment later.
    pub fn restore(&mut self, step: &mut Step<'_>, aor: &[u8], row: &[u8]) -> bool {
        let restored = self.location.restore(step.now, step.net.wall, aor, row);
        let restored = restored.is_ok();
        let (user, _) = aor::parts(aor);
        let subscriber = self.subscribers.find(user, self.settings.domain.as_bytes());
        // The list may have changed while no process ran.
        if restored && subscriber.is_none() {
            self.revocations.push(Arc::new([aor.into()]));
            self.arm_revocation_timer(step);
        }
        restored
    }

    /// Revokes the next `limits::REVOKED_AT_ONCE` addresses of record.
    pub(super) fn revoke_next(&mut self, step: &mut Step<'_>) {
        self.revocations.has_timer = false;
        for _ in 0..limits::REVOKED_AT_ONCE {
            let Some(aor) = self.revocations.pop() else {
                return;
            };
            self.revoke(step, &aor);
        }
        if !self.revocations.is_empty() {
            self.arm_revocation_timer(step);
        }
    }

    fn arm_revocation_timer(&mut self, step: &mut Step<'_>) {
        if !self.revocations.has_timer {
            self.revocations.has_timer = true;
            let due = step.now + limits::REVOKE_PAUSE;
            step.net.txns.set_timer(due, Timer::Later);
        }
    }

    /// Takes away every binding of an address of record and gives them back.
    pub(super) fn revoke(&mut self, step: &mut Step<'_>, aor: &[u8]) -> Vec<Binding> {
        let bindings = self.location.take(aor);
        self.tentative.forget(aor);
        // Every shard has the bindings and is told to revoke them; the store and the edges
        // hear of it from one.
        if Self::keeper(step.net, aor) == step.net.shard_set.own {
            let live = bindings.iter().filter(|binding| binding.is_live(step.now));
            step.net.counters.revoked += u64::try_from(live.count()).unwrap_or_default();
            if !bindings.is_empty() {
                self.store(step, aor);
            }
            // Other homes may have let him register meanwhile.
            if self.settings.is_shared {
                let origin = ChangeOrigin {
                    kind: ChangeKind::Revoke,
                    call_id: b"",
                    cseq: 0,
                };
                self.put_out_change(step, aor, origin, &[]);
            }
            self.notify_edges(step, aor, &bindings);
        }
        bindings
    }

    /// Sends one NOTIFY to each edge: over the flow that a binding came on, else over one
    /// that the edge is known by, else to its address.
    fn notify_edges(&mut self, step: &mut Step<'_>, aor: &[u8], bindings: &[Binding]) {
        // A phone that has registered here without an edge has a flow that is no edge's.
        let bound = bindings.iter().filter_map(|binding| binding.flow);
        let mut flows: Vec<Flow> = bound.filter(|flow| self.is_edge(step.net, *flow)).collect();
        flows.dedup();
        for flow in self.stick.domain(step.now, &self.cluster) {
            let host = step.net.flows.host(Hop::Flow(flow));
            let is_same = |other: &Flow| step.net.flows.host(Hop::Flow(*other)) == host;
            if step.net.flows.lives(flow) && !flows.iter().any(is_same) {
                flows.push(flow);
            }
        }
        // The edges of a cluster are configured alike: the others speak what the first does.
        let first = flows.first().copied();
        let transport = first.map_or(Transport::Udp, |flow| step.net.flows.transport(flow));
        let reached: Vec<_> = flows
            .iter()
            .map(|flow| step.net.flows.host(Hop::Flow(*flow)))
            .collect();
        let name = step.net.flows.names.intern(&self.cluster);
        let others = self.edge_addresses.iter();
        let others = others.filter(|edge| !reached.contains(&Some(edge.ip)));
        let others = others.map(|edge| edge.hop(transport, name));
        let hops = flows.iter().map(|flow| Hop::Flow(*flow)).chain(others);
        for hop in hops.take(limits::MEMBERS_MAX) {
            self.notify(step, hop, aor);
        }
    }

    /// Writes and sends the NOTIFY by `hop`.
    fn notify(&self, step: &mut Step<'_>, hop: Hop, aor: &[u8]) {
        let cluster = &self.cluster[..];
        let (user, domain) = aor::parts(aor);
        let id = step.net.secrets.chance();
        let own = self.settings.domain.as_bytes();
        step.send_own(hop, b"NOTIFY", |via, out| {
            for part in [&b"NOTIFY sip:"[..], cluster, b" SIP/2.0\r\n", via] {
                out.extend_from_slice(part);
            }
            out.extend_from_slice(b"Max-Forwards: 70\r\nFrom: <sip:");
            write_name(user, out);
            for part in [&b"@"[..], domain, b">;tag="] {
                out.extend_from_slice(part);
            }
            decimal(out, id);
            // With a To tag it begins no dialog, so an edge under load takes it all the same.
            for part in [b"\r\nTo: <sip:", cluster, b">;tag=reg\r\nCall-ID: "] {
                out.extend_from_slice(part);
            }
            decimal(out, id);
            for part in [b"@", own, b"\r\nCSeq: 1 NOTIFY\r\nContact: <sip:", own] {
                out.extend_from_slice(part);
            }
            out.extend_from_slice(
                b">\r\nEvent: reg\r\nSubscription-State: terminated;reason=deactivated\r\n\
                  Content-Length: 0\r\n\r\n",
            );
        });
    }
}
