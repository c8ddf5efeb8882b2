//! The four steps of a request that any proxy takes, one after the other, as the
//! shard calls them: [`recognise`](Proxy::recognise), [`validate`](Proxy::validate),
//! [`route`](Proxy::route) and [`forward`](Proxy::forward).

use super::contexts::Contexts;
use super::handover::hand_request;
use super::sips;
use super::validate::{self, Valid};
use super::{Fate, Net, Owner, Proxy, Reply, Request, Turn, Verdict};
use crate::bytes::Buf;
use crate::id::{ServerId, Slot};
use crate::limits;
use crate::omit::Omit;
use crate::recorder::Decision;
use crate::scan::Method;
use crate::txn::{self, ServerKey};

impl Proxy {
    /// Finds out whether a request is known: a retransmission, an ACK and a CANCEL
    /// are dealt with here, and what is new comes in where its source and the shard's load allow.
    ///
    /// # Errors
    /// What became of it, where this was its end.
    pub(crate) fn recognise(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
    ) -> Result<ServerKey, Fate> {
        let admitted = turn.admit(request);
        if request.message.method() == Method::Ack {
            if admitted {
                return Err(self.ack(turn, request));
            }
            // Nothing answers an ACK.
            turn.net.counters.limited += 1;
            return Err(Fate::Dropped);
        }
        self.plan.clear();
        // A CANCEL has a transaction of its own and the branch of its INVITE's (RFC 3261 §9.1).
        if request.message.method() == Method::Cancel && admitted {
            return Err(self.cancel(turn, request));
        }
        // What was taken in stays so, however late the shard is by now: to answer it once more costs
        // less than to refuse it.
        let key = request.server_key(turn.net.txns.keys(), None);
        if let Some(server) = turn.net.txns.find_server(key)
            && !turn.net.omit.leaves_out(Omit::Absorbing)
        {
            turn.net.counters.retransmissions_in += 1;
            if admitted {
                let again = turn.net.txns.request_again(server);
                turn.send_kept_answer(again);
            } else {
                turn.net.counters.limited += 1;
            }
            return Err(Fate::Absorbed);
        }
        request.grant_alias(&mut turn.net.flows);
        if !admitted {
            return Err(self.limit(turn, request));
        }
        if turn.net.admission.is_shedding() && !turn.takes_in(request) {
            return Err(self.shed(turn, request));
        }
        // Where memory is short for everybody the sender may try elsewhere; where its source has had
        // its share, only that source is told.
        if !turn.has_room(request) && !self.makes_room(turn, request) {
            return Err(if turn.net.pool.is_exhausted() {
                self.overflow(turn, request, key, "Out Of Memory For Transactions")
            } else {
                self.keep_out(turn, request)
            });
        }
        Ok(key)
    }

    /// Checks what any proxy must (RFC 3261 §16.3), and that a node which is about to
    /// stop begins nothing more.
    ///
    /// # Errors
    /// What became of the request, where it was answered.
    pub(crate) fn validate(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        key: ServerKey,
    ) -> Result<Valid, Fate> {
        if self.drain.has_begun() && turn.is_for_others(request) {
            turn.net.counters.drained += 1;
            self.plan.add_retry_after(0, &mut turn.net.secrets);
            let reply = Reply::new(503, "Draining, Try Another Server");
            return Err(self.reply(turn, request, key, reply));
        }
        if self.drain.leaves() {
            turn.net.counters.drained += 1;
            self.plan.say_retry_after(limits::HOME_RETRY_AFTER_S);
            let reply = Reply::new(503, "Ending, Try Another Home");
            return Err(self.reply(turn, request, key, reply));
        }
        let transport = turn.net.flows.transport(request.ingress.flow);
        let valid = validate::check(request, transport, &mut self.plan.lines);
        turn.net.counters.invalid += u64::from(valid.is_err());
        valid.map_err(|reply| self.reply(turn, request, key, reply))
    }

    /// Has the role plan where the request goes (RFC 3261 §16.4 and §16.5), and
    /// takes out what would carry `sips` over less than TLS.
    ///
    /// # Errors
    /// What became of the request, where it goes nowhere from here.
    pub(crate) fn route(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        key: ServerKey,
        valid: &Valid,
    ) -> Result<(), Fate> {
        let reply = match turn.route(request, &mut self.plan) {
            Verdict::Forward if self.plan.targets.is_empty() => {
                // P-18
                self.plan.lines.clear();
                Reply::new(480, "No Target Is Available")
            }
            Verdict::Forward => {
                let removed = self.plan.remove_insecure(turn.net, request);
                self.plan.relax_contact(turn.net, valid.sips_contact);
                if !removed || !self.plan.targets.is_empty() {
                    return Ok(());
                }
                self.tell_of_sips(turn.net, request);
                self.plan.lines.clear();
                self.plan.lines.extend_from_slice(sips::NOT_ALLOWED);
                Reply::new(480, "SIPS Not Allowed")
            }
            Verdict::Answer(reply) => reply,
            Verdict::AnswerOnceStored(number) => {
                return Err(self.hold_answer(turn, request, key, number));
            }
            Verdict::AskStore => {
                turn.net.ask_store(turn.now, request, &self.plan.text);
                return Err(Fate::Handed);
            }
            Verdict::HandOver(shard) => {
                turn.net.decided(Decision::HandedOver { shard });
                hand_request(turn.net, shard, request);
                return Err(Fate::Handed);
            }
            Verdict::Drop => {
                turn.net.decided(Decision::Dropped);
                return Err(Fate::Dropped);
            }
        };
        Err(self.reply(turn, request, key, reply))
    }

    /// Answers locally. INVITE always keeps a transaction, for its ACK.
    fn reply(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        key: ServerKey,
        reply: Reply,
    ) -> Fate {
        // O-21: a 430 is for proxies, and no phone hears one. Other statuses of our own were chosen
        // for whoever asks.
        let is_between = reply.status == 430;
        let mapped =
            is_between.then(|| turn.policy.map_final_status(430, request.ingress.principal));
        let reply = match mapped.flatten() {
            Some((status, reason)) => Reply {
                status,
                reason,
                ..reply
            },
            None => reply,
        };
        self.rejected.remember(turn, request, reply);
        let Reply { status, reason, .. } = reply;
        turn.net.decided(Decision::Answered { status, reason });
        let invite = request.message.method() == Method::Invite;
        let server = if reply.stateless && !invite {
            None
        } else {
            let kind = kind(invite);
            turn.net
                .txns
                .open_server(turn.now, key, kind, request.reply_flow(), Owner::Local)
        };
        let Some(server) = server else {
            turn.answer_request(request, reply, &self.plan.lines);
            return Fate::Answered;
        };
        let bytes = turn
            .net
            .build_answer(request, reply.status, reply.reason, &self.plan.lines);
        turn.net.counters.answers += 1;
        turn.count_answer(request, reply.status);
        let source = request.ingress.source.ip();
        turn.net.txns.charge_server(server, source, 0);
        let send = turn.net.txns.respond(turn.now, server, reply.status, bytes);
        turn.send_kept_answer(send);
        Fate::Answered
    }

    /// Makes the changes common to all branches, opens the server transaction and
    /// starts the first branches (RFC 3261 §16.6): their requests stand in the outbox.
    pub(crate) fn forward(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        key: ServerKey,
        valid: &Valid,
    ) -> Fate {
        // Only now is it known what the hash is over: the Routes that the plan has used.
        let loop_hash = self.loop_hash(&turn.net.secrets, request);
        if loop_hash.is_some_and(|hash| request.meets_itself(&turn.net.flows, hash)) {
            turn.net.counters.loops += 1;
            self.plan.lines.clear();
            return self.reply(turn, request, key, Reply::new(482, "Loop Detected"));
        }
        if request.message.method() == Method::Bye {
            self.note_bye(turn, request);
        }
        let invite = request.message.method() == Method::Invite;
        let kind = kind(invite);
        let mut context = self.lay_out(turn, request, valid, loop_hash);
        if !self.restraint.is_empty() {
            context.class = turn.class(request);
        }
        let Some(slot) = self.contexts.insert(context) else {
            return self.overflow(turn, request, key, "Transaction Table Full");
        };
        let owner = Owner::Proxy {
            context: slot,
            branch: 0,
        };
        let Some(server) =
            turn.net
                .txns
                .open_server(turn.now, key, kind, request.reply_flow(), owner)
        else {
            self.contexts.remove(turn.net, slot);
            return self.overflow(turn, request, key, "Transaction Table Full");
        };
        self.contexts.adopt(turn.net, slot, server);
        if invite {
            // T-2: at once, since the next hop's answer may take longer than 200 ms.
            let trying = turn.net.build_answer(request, 100, "Trying", b"");
            let send = turn.net.txns.respond(turn.now, server, 100, trying);
            if turn.address_not_validated(request) {
                turn.net.counters.withheld += 1;
            } else {
                turn.net.transmit_send(send);
            }
        }
        self.advance(turn, slot);
        Fate::Forwarded
    }

    fn overflow(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        key: ServerKey,
        reason: &'static str,
    ) -> Fate {
        turn.net.counters.overflows += 1;
        self.plan.lines.clear();
        self.plan.add_retry_after(0, &mut turn.net.secrets);
        self.reply(turn, request, key, Reply::stateless(503, reason))
    }
}

impl Contexts {
    /// Gives a context its server transaction, and charges the source of the request with what is
    /// kept of it.
    fn adopt(&mut self, net: &mut Net, slot: Slot, server: ServerId) {
        if let Some(context) = self.get_mut(slot) {
            context.server = Some(server);
            context.live = 1;
            // The request, and a copy of it for each branch.
            let request = context.base.as_ref().map_or(0, Buf::size);
            let kept = request * (1 + context.branches.len());
            let bytes = limits::TRANSACTION_BYTES + kept;
            net.txns
                .charge_server(server, context.ingress.source.ip(), bytes);
        }
    }
}

/// Which machine of RFC 3261 §17.2 serves it.
const fn kind(invite: bool) -> txn::TransactionKind {
    if invite {
        txn::TransactionKind::Invite
    } else {
        txn::TransactionKind::Other
    }
}
