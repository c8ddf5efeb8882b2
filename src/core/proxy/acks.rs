//! ACK: absorbed by the INVITE it acknowledges when that was answered with a
//! non-2xx, else routed like any request, statelessly and without an answer
//! (RFC 3261 §16.11, §17.1.1.3; P-34, P-35).

use super::handover::hand_request;
use super::{
    Context, Fate, Net, Owner, Proxy, Request, Response, Target, Turn, Verdict, build, validate,
};
use crate::edit::derive::{self, Derived};
use crate::id::ClientId;
use crate::omit::Omit;
use crate::scan::{Message, Name, scan_again};
use crate::send::Hop;

impl Net {
    /// P-35: the ACK to a non-2xx, hop by hop. `again` is room for the outline
    /// of the request.
    pub(crate) fn acknowledge(
        &mut self,
        client: ClientId,
        response: &Response<'_>,
        again: &mut Message,
    ) {
        let Some(sent) = self.txns.client_request(client).cloned() else {
            return;
        };
        if scan_again(&sent, again).is_err() {
            return;
        }
        let to = response
            .message
            .first(Name::To)
            .map(|header| header.line.of(response.bytes))
            .unwrap_or_default();
        let ack = self.pool.build(sent.len(), |out| {
            derive::write(Derived::Ack { to }, &sent, again, out)
        });
        let send = self.txns.ack(client, ack);
        self.transmit_send(send);
    }
}

impl Proxy {
    /// An ACK came.
    pub(super) fn ack(&mut self, turn: &mut Turn<'_>, request: &Request<'_>) -> Fate {
        let key = request.server_key(turn.net.txns.keys(), Some(b"INVITE"));
        if !turn.net.omit.leaves_out(Omit::AckMatching)
            && let Some(server) = turn.net.txns.find_server(key)
        {
            let owner = turn.net.txns.server_owner(server);
            // Whose answers come from others.
            let passes_on = matches!(owner, Some(Owner::Proxy { .. }));
            if turn.net.txns.acked(turn.now, server, passes_on) {
                self.drain.ack_came();
                turn.prove_by_ack(request);
                return Fate::Absorbed;
            }
            if turn.net.txns.is_early(server) {
                turn.net.counters.stray_acks += 1;
                return Fate::Dropped;
            }
        }
        if turn.now < self.refused_until && turn.has_own_tag(request) {
            // Of an INVITE that was refused statelessly.
            self.drain.ack_came();
            turn.prove_by_ack(request);
            return Fate::Absorbed;
        }
        self.plan.clear();
        let transport = turn.net.flows.transport(request.ingress.flow);
        let valid = validate::check(request, transport, &mut self.plan.lines);
        let sent = valid.ok().and_then(|valid| {
            let verdict = turn.route(request, &mut self.plan);
            if let Verdict::HandOver(shard) = verdict {
                hand_request(turn.net, shard, request);
                return Some(Fate::Handed);
            }
            self.plan.remove_insecure(turn.net, request);
            let forward = verdict == Verdict::Forward && !turn.net.omit.leaves_out(Omit::DialogAck);
            (forward && !self.plan.targets.is_empty()).then_some(())?;
            self.forward_ack(turn, request, &valid)?;
            Some(Fate::Forwarded)
        });
        if sent != Some(Fate::Handed) {
            // Where it was handed over, the INVITE that it acknowledges was, too.
            self.drain.ack_came();
        }
        if sent.is_none() {
            turn.net.counters.stray_acks += 1;
        }
        sent.unwrap_or(Fate::Dropped)
    }

    fn forward_ack(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        valid: &validate::Valid,
    ) -> Option<()> {
        let loop_hash = self.loop_hash(&turn.net.secrets, request);
        if !self.plan.ack_all {
            self.plan.targets.truncate(1);
        }
        let mut context = self.lay_out(turn, request, valid, loop_hash);
        let mut branches = std::mem::take(&mut context.branches);
        let mut sent = None;
        for branch in branches.drain(..) {
            sent = copy_ack(turn, request, &context, &branch.target).or(sent);
        }
        self.contexts.keep_spare(branches);
        sent
    }
}

/// Sends the ACK to one target; `None` when there is no way there.
fn copy_ack(
    turn: &mut Turn<'_>,
    request: &Request<'_>,
    context: &Context,
    target: &Target,
) -> Option<()> {
    let base = context.base.clone()?;
    // An ACK does not wait for the DNS, since nobody answers it: it is lost then, and comes
    // again with its 200.
    let hop = match target.hop {
        Hop::Named(name) => turn.first_server(name, request)?,
        hop @ (Hop::Flow(_) | Hop::To { .. }) => hop,
    };
    if !turn.may_send(hop) {
        turn.net.counters.out_of_bounds += 1;
        return None;
    }
    let net = &mut *turn.net;
    let flow = net.reach(hop)?;
    let sent_by = net.flows.sent_by(flow)?;
    // P-36: the same branch for every copy of this ACK, also for one that came
    // another way and says so in its Via.
    let mut part = *b"z9hG4bK-ack-0123456789abcdef";
    let mut digits = [0; 16];
    let (bytes, via) = (request.bytes, request.via);
    let hash = match via.branch.filter(|_| via.has_cookie(bytes)) {
        Some(branch) => net.secrets.print([branch.of(bytes), via.host.of(bytes)]),
        None => net.secrets.print([via.value.of(bytes)]),
    };
    super::tag::hex(hash, &mut digits);
    part[12..].copy_from_slice(&digits);
    let hop = build::BranchParams {
        target,
        sent_by,
        is_inside: turn.policy.is_cluster_node(net, Hop::Flow(flow)),
        alias: net.flows.offers_alias(flow),
        branch: &part,
        breadth: context.breadth.max(1),
        // Nothing answers an ACK, a redirect neither.
        offers_keep: false,
        offers_oc: false,
        is_loose: false,
        is_guest: false,
        is_lean: false,
        replaced: None,
    };
    let bytes = net.pool.build(base.len() + build::room(target), |out| {
        build::branch(context, &base, &hop, out)
    });
    net.counters.requests_out += 1;
    net.transmit(flow, bytes);
    Some(())
}
