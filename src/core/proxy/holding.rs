//! Answers that wait until what they say is on disk (R-9; RFC 3261 §10.3).
//!
//! A home with `durable` lets no 200 to a REGISTER go before the store has its row. The
//! shard does not wait: the answer stands here, in order, and leaves when the store says
//! how far it has come. Where the store cannot write, or says nothing for
//! `limits::STORE_WAIT_MAX`, all of them become a 500, and the role takes back what it had
//! changed. The server transaction absorbs the REGISTER that is sent again meanwhile.
//!
//! What waits is bounded by `limits::HELD_ANSWERS_MAX`: beyond it the role refuses before it
//! changes anything. Without `durable` nothing is ever here, and nothing is allocated.

use super::held_answers::HeldAnswer;
use super::{Fate, Owner, Proxy, Reply, Request, Step, Turn};
use crate::bytes::Buf;
use crate::id::ServerId;
use crate::limits;
use crate::txn::{ServerKey, TransactionKind};

impl Proxy {
    /// Prepares the 200 to a REGISTER, with the lines of the plan, and lets it wait.
    pub(super) fn hold_answer(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        key: ServerKey,
        number: u64,
    ) -> Fate {
        let kept = turn.net.build_answer(request, 200, "OK", &self.plan.lines);
        self.plan.lines.clear();
        self.plan.add_retry_after(0, &mut turn.net.secrets);
        let opened = turn.net.txns.open_server(
            turn.now,
            key,
            TransactionKind::Other,
            request.reply_flow(),
            Owner::Local,
        );
        let Some(server) = opened else {
            // The bindings are there, and the phone does not know: it comes again.
            let reply = Reply::stateless(503, "Transaction Table Full");
            turn.answer_request(request, reply, &self.plan.lines);
            return Fate::Answered;
        };
        let reason = "Registration Could Not Be Stored";
        let failed = turn
            .net
            .build_answer(request, 500, reason, &self.plan.lines);
        let bytes = limits::TRANSACTION_BYTES + kept.size() + failed.size();
        let source = request.ingress.source.ip();
        turn.net.txns.charge_server(server, source, bytes);
        let place = turn.place(request);
        turn.net.held_answers.push(HeldAnswer {
            number,
            server,
            since: turn.now,
            place,
            kept,
            failed,
        });
        Fate::Answered
    }
}

impl Turn<'_> {
    /// Everything up to this `Output::Store` is on disk.
    pub(crate) fn stored(&mut self, up_to: u64) {
        self.policy
            .on_stored(&mut Step::new(self.net, self.now), up_to);
        while let Some(answer) = self.net.held_answers.take(up_to) {
            self.net.counters.registrations += 1;
            self.count_stored(answer.place, answer.since, 200);
            self.release(answer.server, 200, answer.kept);
        }
    }

    /// A store that several homes share has refused this `Output::Store`.
    pub(crate) fn refused(&mut self, number: u64) {
        self.net.counters.shared_refused += 1;
        self.policy
            .on_refused(&mut Step::new(self.net, self.now), number);
        // The first one is that of the REGISTER itself; whoever else waits for that number has changed
        // nothing.
        if let Some(answer) = self.net.held_answers.take_one(number) {
            self.count_stored(answer.place, answer.since, 500);
            self.release(answer.server, 500, answer.failed);
        }
    }

    /// What waits for the disk does not get there.
    pub(crate) fn not_stored(&mut self) {
        self.policy
            .on_not_stored(&mut Step::new(self.net, self.now));
        while let Some(answer) = self.net.held_answers.take(u64::MAX) {
            self.net.counters.registrations_not_stored += 1;
            self.count_stored(answer.place, answer.since, 500);
            self.release(answer.server, 500, answer.failed);
        }
    }

    fn release(&mut self, server: ServerId, status: u16, bytes: Buf) {
        self.net.counters.answers += 1;
        let send = self.net.txns.respond(self.now, server, status, bytes);
        self.send_kept_answer(send);
    }
}
