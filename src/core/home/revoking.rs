//! Revocation: a subscriber who is taken off the list, or whose password changed,
//! is gone at once, and so is whom the operator removes (I-14).
//!
//! - Here his bindings go, on every shard and in the store. Nothing is granted
//!   again on an old nonce, whose answer was made with a password that is no more.
//! - The edges hear it, since they vouch for whoever registered through them: each
//!   edge that this home knows gets one in-cluster NOTIFY in the manner of RFC 3680
//!   (Event: reg, terminated, deactivated) in whose From the address of record
//!   stands. An edge believes it from a home and from nobody else, and forgets every
//!   flow of that address (`edge::revoking`). All edges are told, since a phone
//!   may have flows that its bindings here no longer show.
//! - A call that is up goes on until somebody ends it: nothing of it stands on a
//!   registration.
//!
//! A list can revoke everybody at once, so that the work is done in pieces: the
//! first at once, the others a moment later each.

use std::net::SocketAddr;
use std::sync::Arc;

use super::location::Binding;
use super::state::Home;
use super::{Revoked, Subscribers};
use crate::edit::decimal;
use crate::id::{Flow, Transport};
use crate::limits;
use crate::proxy::{Step, Timer};
use crate::send::Hop;
use crate::uri::write_name;

pub(super) mod queue;

impl Home {
    /// A newer list of subscribers, and the addresses of record that it takes
    /// away or gives another password.
    pub(crate) fn set_subscribers(
        &mut self,
        step: &mut Step<'_>,
        subscribers: Arc<Subscribers>,
        revoked: Revoked,
    ) {
        self.subscribers = subscribers;
        if !revoked.is_empty() {
            self.revoking.lists.push_back((revoked, 0));
        }
        if !self.revoking.is_armed {
            self.go_on_revoking(step);
        }
    }

    /// Takes back a row of the store; false when it is not one of ours. Who is no
    /// subscriber any more is revoked as soon as there is traffic.
    pub fn restore(&mut self, step: &mut Step<'_>, aor: &[u8], row: &[u8]) -> bool {
        let restored = self
            .location
            .restore(step.now, step.net.wall, aor, row)
            .is_ok();
        let (user, _) = super::aor::parts(aor);
        let is_known = self.subscribers.find(user, self.settings.domain.as_bytes());
        if restored && is_known.is_none() {
            self.revoking.lists.push_back((Arc::new([aor.into()]), 0));
            self.arm_revoking(step);
        }
        restored
    }

    /// The next piece of it.
    pub(super) fn go_on_revoking(&mut self, step: &mut Step<'_>) {
        self.revoking.is_armed = false;
        for _ in 0..limits::REVOKED_AT_ONCE {
            let Some(aor) = self.revoking.next() else {
                return;
            };
            self.revoke(step, &aor);
        }
        if !self.revoking.lists.is_empty() {
            self.arm_revoking(step);
        }
    }

    fn arm_revoking(&mut self, step: &mut Step<'_>) {
        if !self.revoking.is_armed {
            self.revoking.is_armed = true;
            let due = step.now + limits::REVOKE_PAUSE;
            step.net.txns.set_timer(due, Timer::Later);
        }
    }

    /// Takes away every binding of an address of record. The shard that keeps it
    /// tells the store and the edges.
    pub(super) fn revoke(&mut self, step: &mut Step<'_>, aor: &[u8]) -> Vec<Binding> {
        let bindings = self.location.take(aor);
        if Self::keeper(step.net, aor) == step.net.shard_set.own {
            let live = bindings.iter().filter(|binding| binding.is_live(step.now));
            step.net.counters.revoked += u64::try_from(live.count()).unwrap_or_default();
            if !bindings.is_empty() {
                self.store(step, aor);
            }
            self.tell_edges(step, aor, &bindings);
        }
        bindings
    }

    /// One NOTIFY to each edge: over the flow that a binding came on, else over one
    /// that the edge is known by, else to its address.
    fn tell_edges(&mut self, step: &mut Step<'_>, aor: &[u8], bindings: &[Binding]) {
        // Without edges before them, phones register here themselves.
        let bound = bindings.iter().filter_map(|binding| binding.flow);
        let mut flows: Vec<Flow> = bound.filter(|flow| self.is_edge(step.net, *flow)).collect();
        flows.dedup();
        for flow in self.stick.domain(step.now, &self.cluster) {
            let host = step.net.flows.host(Hop::Flow(flow));
            if step.net.flows.lives(flow)
                && !flows
                    .iter()
                    .any(|told| step.net.flows.host(Hop::Flow(*told)) == host)
            {
                flows.push(flow);
            }
        }
        let first = flows.first().copied();
        let transport = first.map_or(Transport::Udp, |flow| step.net.flows.transport(flow));
        let told: Vec<_> = flows
            .iter()
            .map(|flow| step.net.flows.host(Hop::Flow(*flow)))
            .collect();
        let name = step.net.flows.names.intern(&self.cluster);
        let others = self
            .edges
            .iter()
            .filter(|(ip, _)| !told.contains(&Some(*ip)));
        let others = others.map(|&(ip, is_clear)| {
            // Over what else would it believe us?
            let transport = if is_clear { transport } else { Transport::Tls };
            Hop::To {
                transport,
                addr: SocketAddr::new(ip, transport.default_port()),
                name,
            }
        });
        let hops = flows.iter().map(|flow| Hop::Flow(*flow)).chain(others);
        for hop in hops.take(limits::MEMBERS_MAX) {
            self.notify(step, hop, aor);
        }
    }

    fn notify(&self, step: &mut Step<'_>, hop: Hop, aor: &[u8]) {
        let cluster = &self.cluster[..];
        let (user, domain) = super::aor::parts(aor);
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
            // The tag says that it begins nothing: an edge that is late takes it.
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
