//! ACK: absorbed by the INVITE it acknowledges when that was answered with a
//! non-2xx, else routed like any request, statelessly and without an answer
//! (RFC 3261 §16.11, §17.1.1.3; P-34, P-35).

use super::{Net, Policy, Proxy, Request, Verdict, build, validate};
use crate::time::Instant;

impl Proxy {
    /// An ACK came.
    pub(super) fn ack(
        &mut self,
        net: &mut Net,
        policy: &mut dyn Policy,
        now: Instant,
        request: &Request<'_>,
    ) {
        let key = net.server_key(request, Some(b"INVITE"));
        if let Some(server) = net.txns.find_server(key)
            && net.txns.acked(now, server)
        {
            return;
        }
        self.plan.clear();
        let valid = validate::check(request, &mut self.plan.lines);
        let sent = valid.ok().and_then(|valid| {
            let verdict = policy.route(net, now, request, &mut self.plan);
            (verdict == Verdict::Forward && !self.plan.targets.is_empty()).then_some(())?;
            self.forward_ack(net, request, &valid)
        });
        if sent.is_none() {
            net.counters.stray_acks += 1;
        }
    }

    fn forward_ack(
        &mut self,
        net: &mut Net,
        request: &Request<'_>,
        valid: &validate::Valid,
    ) -> Option<()> {
        let loop_hash = self.loop_hash(net, request);
        self.plan.targets.truncate(1);
        let mut context = self.context(net, request, valid, loop_hash);
        let target = context.branches.pop().map(|branch| branch.target);
        self.spare.push(std::mem::take(&mut context.branches));
        let (target, base) = (target?, context.base.clone()?);
        let flow = net.reach(target.hop)?;
        let (transport, sent_by) = net.flows.sent_by(flow)?;
        // P-36: the same branch for every copy of this ACK.
        let mut part = *b"z9hG4bK-ack-0123456789abcdef";
        let mut digits = [0; 16];
        super::net::hex(net.hash([request.via.value.of(request.bytes)]), &mut digits);
        part[12..].copy_from_slice(&digits);
        let hop = build::Hopwise {
            target: &target,
            transport,
            sent_by,
            branch: &part,
            breadth: context.breadth.max(1),
        };
        let bytes = net.pool.build(base.len() + 256, |out| {
            build::branch(&context, &base, &hop, out)
        });
        net.counters.requests_out += 1;
        net.transmit(flow, bytes);
        Some(())
    }
}
