//! Requests refused before anything is made for them: of a source that asks
//! for too much (`guard`), and while the shard is late (`admission`; V-6,
//! RFC 3261 §21.5.4). They are answered without a transaction, and the ACK of
//! such an answer is known by its tag.

use crate::admission::RequestClass;
use crate::limits;
use crate::scan::Method;

use super::{Fate, Net, Pass, Plan, Proxy, Reply, Request, Turn};

impl Proxy {
    /// The source asks for too much.
    pub(super) fn limit(&mut self, turn: &mut Turn<'_>, request: &Request<'_>) -> Fate {
        turn.net.counters.limited += 1;
        self.refuse_source(turn, request, "Too Many Requests From Your Address")
    }

    /// The source makes us keep too much.
    pub(super) fn keep_out(&mut self, turn: &mut Turn<'_>, request: &Request<'_>) -> Fate {
        turn.net.counters.kept_out += 1;
        self.refuse_source(turn, request, "Too Much Pending From Your Address")
    }

    /// Refuses a request for what its source has done. Over UDP it need not be who it says, so an
    /// answer would go to whoever has that address; and a stream without an answer would leave its
    /// phone waiting.
    fn refuse_source(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        reason: &'static str,
    ) -> Fate {
        if request.ingress.flow.is_reliable() {
            return self.refuse(turn, request, reason);
        }
        let reply = Reply::stateless(503, reason);
        self.rejected.remember(turn, request, reply);
        Fate::Dropped
    }

    /// The shard is late, and refuses a request for it.
    pub(super) fn shed(&mut self, turn: &mut Turn<'_>, request: &Request<'_>) -> Fate {
        self.refuse(turn, request, "Too Busy For Something New")
    }

    fn refuse(&mut self, turn: &mut Turn<'_>, request: &Request<'_>, reason: &'static str) -> Fate {
        if request.message.method() == Method::Invite {
            self.refused_until = turn.now + limits::T1_64;
        }
        self.plan.lines.clear();
        if !request.ingress.wants_report {
            // A peer reads in its Via how much to leave out; a Retry-After
            // would have it leave out everything (N-7).
            let loss = turn.net.admission.loss();
            self.plan.add_retry_after(loss, &mut turn.net.secrets);
        }
        let reply = Reply::stateless(503, reason);
        self.rejected.remember(turn, request, reply);
        turn.answer_request(request, reply, &self.plan.lines);
        Fate::Answered
    }
}

impl Turn<'_> {
    /// Whether what a request makes us keep is within the share of its source.
    pub(super) fn may_keep(&mut self, request: &Request<'_>) -> bool {
        let Net {
            txns, pool, guard, ..
        } = &mut *self.net;
        let source = request.ingress.source.ip();
        // The request and a copy of it; how many more is not decided yet.
        let more = limits::TRANSACTION_BYTES + 2 * request.bytes.len();
        let bytes = txns.charged(source) + more;
        guard.may_keep(self.now, source, bytes, pool.free())
            || request.ingress.principal.is_cluster_node()
    }

    /// Whether a request that is none of what there is already may be one of
    /// those that are taken in; one that may not is counted.
    pub(super) fn takes_in(&mut self, request: &Request<'_>) -> bool {
        if request.ingress.handed > 0 {
            // Another shard has taken it in.
            return true;
        }
        let class = self.class(request);
        let admitted = self.net.admission.admits(self.now, class);
        if !admitted {
            let counters = &mut self.net.counters;
            match class {
                RequestClass::New => counters.shed_new += 1,
                RequestClass::Renewal => counters.shed_renewals += 1,
                RequestClass::Call => counters.shed_calls += 1,
                RequestClass::Emergency => counters.shed_emergencies += 1,
                RequestClass::Standing => {}
            }
        }
        admitted
    }

    /// What a request is worth (RFC 7339 §5.10.1).
    pub(super) fn class(&mut self, request: &Request<'_>) -> RequestClass {
        let method = request.message.method();
        if method == Method::Register {
            return if self.policy.renews(request) {
                RequestClass::Renewal
            } else {
                RequestClass::New
            };
        }
        if matches!(method, Method::Ack | Method::Cancel) || self.is_of_dialog(request) {
            RequestClass::Standing
        } else if self.is_emergency(request) {
            RequestClass::Emergency
        } else if method == Method::Invite {
            RequestClass::Call
        } else {
            RequestClass::New
        }
    }

    /// Whether a node that drains leaves a request to others: what a phone begins, which has
    /// other edges. What comes for a phone that is still here has no other way, emergency calls
    /// wait for nothing, and a home stands in for nobody: all of that goes on until the end.
    pub(super) fn is_for_others(&self, request: &Request<'_>) -> bool {
        let begins = request.message.method() == Method::Register || !request.in_dialog();
        begins
            && self.policy.holds_phones()
            && !request.ingress.principal.is_cluster_node()
            && !self.is_emergency(request)
    }

    /// A To tag is in anybody's reach: a peer vouches for it, or a mark of ours.
    fn is_of_dialog(&mut self, request: &Request<'_>) -> bool {
        let mut plan = Plan::default();
        let mut pass = Pass::new(self.net, self.now, request, &mut plan);
        request.in_dialog()
            && (request.ingress.principal.is_cluster_node() || self.policy.is_marked(&mut pass))
    }

    /// An emergency by its address (RFC 5031, I-7); by Resource-Priority (RFC 4412)
    /// only where an element of the cluster vouches for it, which takes the header
    /// off at its border. Priority is for whoever is called, and says nothing of
    /// what it may cost (RFC 3261 §20.26).
    fn is_emergency(&self, request: &Request<'_>) -> bool {
        let ranked = || {
            let mut lines = request.message.others(request.bytes, "Resource-Priority");
            lines.next().is_some()
        };
        request.is_emergency() || request.ingress.principal.is_cluster_node() && ranked()
    }
}
