//! A request comes in: retransmission, CANCEL, ACK, or something new.

use super::secure;
use super::validate::{self, Valid};
use super::{Branch, Context, Fate, Net, Note, Owner, Proxy, Reply, Request, Turn, Verdict, build};
use crate::admission::Class;
use crate::bytes::Buf;
use crate::id::{ServerId, Slot};
use crate::limits;
use crate::omit::Omit;
use crate::scan::{Method, Name};
use crate::span::Span;
use crate::txn::{self, ServerKey};

impl Proxy {
    /// Takes in one request that scanned.
    pub fn request(&mut self, turn: &mut Turn<'_>, request: &Request<'_>) {
        let fate = self.take(turn, request);
        if request.ingress.handed == 0 {
            turn.net.counters.requests_in += 1;
            turn.net.counters.taken(fate);
        }
    }

    fn take(&mut self, turn: &mut Turn<'_>, request: &Request<'_>) -> Fate {
        let admitted = turn.admit(request);
        if request.message.method() == Method::Ack {
            if admitted {
                return self.ack(turn, request);
            }
            // Nothing answers an ACK.
            turn.net.counters.limited += 1;
            return Fate::Dropped;
        }
        self.plan.clear();
        if request.message.method() == Method::Cancel && admitted {
            return self.cancel(turn, request);
        }
        let key = turn.net.server_key(request, None);
        if let Some(server) = turn.net.txns.find_server(key)
            && !turn.net.omit.leaves_out(Omit::Absorbing)
        {
            turn.net.counters.retransmissions_in += 1;
            if admitted {
                let again = turn.net.txns.request_again(server);
                turn.answer_send(again);
            } else {
                turn.net.counters.limited += 1;
            }
            return Fate::Absorbed;
        }
        turn.net.learn_alias(request);
        if !admitted {
            return self.limit(turn, request);
        }
        if turn.net.admission.is_shedding() && !turn.takes_in(request) {
            return self.shed(turn, request);
        }
        if !turn.has_room(request) && !self.makes_room(turn, request) {
            if turn.net.pool.is_exhausted() {
                return self.overflow(turn, request, key, "Out Of Memory For Transactions");
            }
            return self.keep_out(turn, request);
        }
        let verdict = self.decide(turn, request);
        match verdict {
            Ok(valid) => self.forward(turn, request, key, &valid),
            Err(Verdict::Answer(reply)) => self.reply(turn, request, key, reply),
            Err(Verdict::HandOver(shard)) => {
                turn.net.hand_request(shard, request);
                Fate::Handed
            }
            Err(Verdict::Drop | Verdict::Forward) => Fate::Dropped,
        }
    }

    /// Validation and the role's decision, which is an error where it is not
    /// to forward.
    fn decide(&mut self, turn: &mut Turn<'_>, request: &Request<'_>) -> Result<Valid, Verdict> {
        let opens = request.message.method() == Method::Register || !request.in_dialog();
        if turn.net.draining && opens {
            turn.net.counters.drained += 1;
            turn.net.retry_after(0, &mut self.plan.lines);
            return Err(answer(503, "Draining, Try Another Server"));
        }
        let transport = turn.net.flows.transport(request.ingress.flow);
        let valid = validate::check(request, transport, &mut self.plan.lines);
        turn.net.counters.invalid += u64::from(valid.is_err());
        let valid = valid.map_err(Verdict::Answer)?;
        match turn.route(request, &mut self.plan) {
            Verdict::Forward if self.plan.targets.is_empty() => {
                // P-18
                self.plan.lines.clear();
                Err(answer(480, "No Target Is Available"))
            }
            Verdict::Forward => {
                let taken = self.plan.secure(turn.net, request);
                self.plan.relax_contact(turn.net, valid.sips_contact);
                if taken && self.plan.targets.is_empty() {
                    turn.net.tell_of_sips(request);
                    self.plan.lines.clear();
                    self.plan.lines.extend_from_slice(secure::NOT_ALLOWED);
                    return Err(answer(480, "SIPS Not Allowed"));
                }
                Ok(valid)
            }
            other @ (Verdict::Answer(_) | Verdict::HandOver(_) | Verdict::Drop) => Err(other),
        }
    }

    /// Answers locally. INVITE always keeps a transaction, for its ACK.
    fn reply(
        &self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        key: ServerKey,
        reply: Reply,
    ) -> Fate {
        // O-21: what is between proxies no phone hears, from whichever of us.
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
        turn.note_refusal(request, reply);
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
            .answer(request, reply.status, reply.reason, &self.plan.lines);
        turn.net.counters.answers += 1;
        let source = request.ingress.source.ip();
        turn.net.txns.charge_server(server, source, 0);
        let send = turn.net.txns.respond(turn.now, server, reply.status, bytes);
        turn.answer_send(send);
        Fate::Answered
    }

    fn forward(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        key: ServerKey,
        valid: &Valid,
    ) -> Fate {
        let loop_hash = self.loop_hash(turn.net, request);
        if loop_hash.is_some_and(|hash| turn.net.meets_itself(request, hash)) {
            turn.net.counters.loops += 1;
            self.plan.lines.clear();
            return self.reply(turn, request, key, Reply::new(482, "Loop Detected"));
        }
        let invite = request.message.method() == Method::Invite;
        let kind = kind(invite);
        let mut context = self.context(turn, request, valid, loop_hash);
        context.class = turn.rank(request);
        let Ok(slot) = self.contexts.insert(context) else {
            return self.overflow(turn, request, key, "Transaction Table Full");
        };
        self.unanswered += 1;
        let owner = Owner::Proxy {
            context: slot,
            branch: 0,
        };
        let Some(server) =
            turn.net
                .txns
                .open_server(turn.now, key, kind, request.reply_flow(), owner)
        else {
            self.remove(turn.net, slot);
            return self.overflow(turn, request, key, "Transaction Table Full");
        };
        self.adopt(turn.net, slot, server);
        if invite {
            // T-2: at once, since the next hop's answer may take longer than 200 ms.
            let trying = turn.net.answer(request, 100, "Trying", b"");
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
        turn.net.retry_after(0, &mut self.plan.lines);
        self.reply(turn, request, key, Reply::stateless(503, reason))
    }

    fn adopt(&mut self, net: &mut Net, slot: Slot, server: ServerId) {
        if let Some(context) = self.contexts.get_mut(slot) {
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

    /// Makes the common changes and lays out the branches.
    pub(super) fn context(
        &mut self,
        turn: &Turn<'_>,
        request: &Request<'_>,
        valid: &Valid,
        loop_hash: Option<u32>,
    ) -> Context {
        let net = &*turn.net;
        let strips = !net.omit.leaves_out(Omit::Stripping);
        let with = (valid, strips.then(|| turn.policy.identities()));
        let uri_len = build::common(request, &self.plan, with, &mut self.edits);
        let room = request.bytes.len() + self.edits.growth();
        let edits = &mut self.edits;
        let base = net.pool.build(room, |out| edits.apply(request.bytes, out));
        let uri = request.message.request_uri();
        let start = usize::from(uri.start);
        let sized = request.message.first(Name::ContentLength).is_some();
        let mut branches = self.spare.pop().unwrap_or_default();
        let targets = self.plan.targets.drain(..).take(limits::BRANCHES_MAX);
        // A subscriber has two edges; a vector left to itself makes room for four.
        branches.reserve_exact(targets.len().max(2));
        branches.extend(targets.map(Branch::new));
        Context {
            method: request.message.method(),
            ingress: request.ingress,
            note: std::mem::replace(&mut self.plan.note, Note::Nothing),
            refresh: self.plan.refresh.take(),
            opens: !request.in_dialog(),
            is_guest: self.plan.is_guest,
            class: Class::Standing,
            restrained: None,
            server: None,
            base: Some(base),
            uri: Span::new(start, start + uri_len),
            headers_start: request.message.headers_start() + uri_len - uri.len(),
            unsized_body: (!sized).then(|| request.message.body().len()),
            loop_hash,
            breadth: valid.breadth,
            branches,
            live: 0,
            vias: request.message.via_lines(),
            reason: None,
            answered: false,
            closed: false,
        }
    }

    /// Hash over what the decision stands on: Request-URI and the Route values
    /// used, not the method, not the Vias (L-2). `None` where the role
    /// looks for no loops.
    pub(super) fn loop_hash(&self, net: &Net, request: &Request<'_>) -> Option<u32> {
        if !self.plan.check_loops {
            return None;
        }
        let bytes = request.bytes;
        let value = |name| {
            request
                .message
                .first(name)
                .map(|header| header.value.of(bytes))
                .unwrap_or_default()
        };
        let fixed = [request.message.request_uri().of(bytes), value(Name::CallId)];
        let used = request.message.routes().iter().take(self.plan.pop + 1);
        let used = used.map(|route| route.value.of(bytes));
        let hash = net.print(fixed.into_iter().chain(used));
        u32::try_from(hash >> (64 - build::LOOP_BITS)).ok()
    }
}

const fn answer(status: u16, reason: &'static str) -> Verdict {
    Verdict::Answer(Reply::new(status, reason))
}

/// Which machine of RFC 3261 §17.2 serves it.
const fn kind(invite: bool) -> txn::Kind {
    if invite {
        txn::Kind::Invite
    } else {
        txn::Kind::Other
    }
}

impl Net {
    /// The key of a request's server transaction; `method` replaces its own
    /// (ACK and CANCEL look for their INVITE).
    #[must_use]
    pub(crate) fn server_key(&self, request: &Request<'_>, method: Option<&[u8]>) -> ServerKey {
        let (bytes, message) = (request.bytes, request.message);
        let method = method.unwrap_or_else(|| message.cseq_method().of(bytes));
        let via = request.via;
        if via.has_cookie(bytes)
            && let Some(branch) = via.branch
        {
            return self.txns.keys().cookie(
                branch.of(bytes),
                via.host.of(bytes),
                via.port.unwrap_or(5060),
                method,
            );
        }
        // RFC 2543 matching; the To tag is left out, since an ACK has one and
        // its INVITE has not.
        let value = |name| {
            message
                .first(name)
                .map(|header| header.value.of(bytes))
                .unwrap_or_default()
        };
        let mut cseq = [0; 16];
        super::net::hex(u64::from(message.cseq()), &mut cseq);
        let uri = message.request_uri().of(bytes);
        self.txns.keys().without_cookie(&[
            uri,
            value(Name::From),
            value(Name::CallId),
            &cseq,
            via.value.of(bytes),
            method,
        ])
    }
}
