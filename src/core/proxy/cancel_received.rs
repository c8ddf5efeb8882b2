//! A CANCEL comes (RFC 3261 §9.2, §16.10). Those that we send stand in `cancel_sent`.

use super::contexts::Contexts;
use super::handover::hand_request;
use super::{Fate, Owner, Proxy, Reply, Request, Turn, Verdict};
use crate::id::Slot;
use crate::limits;
use crate::scan::Header;
use crate::txn::TransactionKind;

impl Proxy {
    /// A CANCEL came: 200 at once and every pending branch is cancelled
    /// (P-32); 481 when there is nothing to cancel.
    pub(super) fn cancel(&mut self, turn: &mut Turn<'_>, request: &Request<'_>) -> Fate {
        let key = request.server_key(turn.net.txns.keys(), None);
        if let Some(server) = turn.net.txns.find_server(key) {
            turn.net.counters.retransmissions_in += 1;
            let again = turn.net.txns.request_again(server);
            turn.send_kept_answer(again);
            return Fate::Absorbed;
        }
        let invite = request.server_key(turn.net.txns.keys(), Some(b"INVITE"));
        let owner = turn
            .net
            .txns
            .find_server(invite)
            .map(|server| turn.net.txns.server_owner(server));
        if owner.is_none()
            && let Some(shard) = self.shard_of_invite(turn, request)
        {
            hand_request(turn.net, shard, request);
            return Fate::Handed;
        }
        let Some(owner) = owner.filter(|owner| !self.contexts.is_spoofed(turn, request, *owner))
        else {
            // No transaction: anybody can send any number of these.
            let reply = Reply::stateless(481, "Nothing To Cancel");
            turn.answer_request(request, reply, b"");
            return Fate::Answered;
        };
        let (status, reason) = (200, "OK");
        let bytes = turn.net.build_answer(request, status, reason, b"");
        turn.net.counters.answers += 1;
        turn.count_answer(request, status);
        match turn.net.txns.open_server(
            turn.now,
            key,
            TransactionKind::Other,
            request.reply_flow(),
            Owner::Local,
        ) {
            Some(server) => {
                let source = request.ingress.source.ip();
                turn.net.txns.charge_server(server, source, 0);
                let send = turn.net.txns.respond(turn.now, server, status, bytes);
                turn.send_kept_answer(send);
            }
            None => turn.send_answer(request.reply_flow(), bytes),
        }
        if let Some(Owner::Proxy { context, .. }) = owner
            && self
                .contexts
                .get(context)
                .is_some_and(|context| !context.answered)
        {
            self.contexts.note_reason(turn, request, context);
            self.cancel_pending(turn, context);
            // Where nothing was sent yet, nothing else will answer the INVITE.
            self.advance(turn, context);
        }
        Fate::Answered
    }

    /// The shard that the INVITE of a CANCEL was handed to: the two have the same
    /// Request-URI and the same Routes (RFC 3261 §9.1).
    fn shard_of_invite(&mut self, turn: &mut Turn<'_>, request: &Request<'_>) -> Option<u8> {
        if turn.net.shard_set.is_alone() {
            return None;
        }
        self.plan.clear();
        match turn.route(request, &mut self.plan) {
            Verdict::HandOver(shard) => Some(shard),
            Verdict::Forward
            | Verdict::Answer(_)
            | Verdict::AnswerOnceStored(_)
            | Verdict::AskStore
            | Verdict::Drop => None,
        }
    }
}

impl Contexts {
    /// A CANCEL comes from where its INVITE came from, being hop by hop (RFC
    /// 3261 §9.1). A branch can be seen or guessed; whoever sends from
    /// elsewhere gets to know nothing.
    fn is_spoofed(&self, turn: &mut Turn<'_>, request: &Request<'_>, owner: Option<Owner>) -> bool {
        let Some(Owner::Proxy { context, .. }) = owner else {
            return false;
        };
        let caller = self.get(context).map(|context| context.ingress.source);
        let is_spoofed = caller.is_some_and(|caller| caller.ip() != request.ingress.source.ip());
        turn.net.counters.spoofed_cancels += u64::from(is_spoofed);
        is_spoofed
    }

    /// What the caller says of why it cancels passes on with it (RFC 3326 §2).
    fn note_reason(&mut self, turn: &Turn<'_>, request: &Request<'_>, slot: Slot) {
        let (bytes, message) = (request.bytes, request.message);
        let is_trusted = request.ingress.principal.is_trusted();
        let identities = turn.policy.identities();
        let passes = |header: &&Header| is_trusted || !identities.counts(bytes, header);
        let lines = || message.others(bytes, "Reason").filter(passes);
        let len = lines().map(|header| header.line.of(bytes).len()).sum();
        if let Some(context) = self.get_mut(slot)
            && (1..=limits::REASON_MAX).contains(&len)
        {
            let text = turn.net.pool.build(len, |out| {
                lines().for_each(|header| out.extend_from_slice(header.line.of(bytes)));
            });
            context.reason = Some(text);
        }
    }
}
