//! The transaction-stateful proxy core of RFC 3261 §16: validation, targets,
//! forking, best response, CANCEL, Timer C, loop checks (RFC 5393).
//!
//! A role ([`Edge`](crate::edge::Edge), [`Home`](crate::home::Home)) decides where a
//! request goes by filling a [`Plan`], as the proxy asks it through [`Policy`];
//! everything that any proxy must do stands here. A request becomes a [`Context`]: the
//! received message with the common changes made once, and one [`Branch`] per attempt,
//! each its own client transaction ([`txn`](crate::txn)). What all of it works with is
//! the [`Net`] of the shard. The proxy never looks into a body and never invents dialog
//! state.

mod acks;
mod address_validation;
mod answers;
mod asking;
mod asks;
mod branch;
mod branches;
mod build;
mod cancel_received;
mod cancel_sent;
mod circuits;
mod context;
mod contexts;
mod counters;
mod counting;
mod dialogs;
mod dns_answers;
mod drain;
mod eviction;
mod final_answer;
mod handover;
mod held_answers;
mod held_requests;
mod holding;
mod ingress;
mod keepalives;
mod layout;
mod liveness;
mod locating;
mod loops;
mod lost_flows;
mod maddr;
mod matching;
mod messages;
mod net;
mod overload;
mod own_params;
mod own_requests;
mod owner;
mod pass;
mod plan;
mod policy;
mod reach;
mod recording;
mod redirects;
mod rejected;
mod requests;
mod resolve;
mod response_edits;
mod response_rerouting;
mod responses;
mod route_set;
mod secrets;
mod servers;
mod shedding;
mod silent_peers;
mod sips;
mod standby;
mod step;
mod tag;
mod timer_c;
mod timers;
mod traffic;
mod untaken;
mod validate;
pub mod why_text;

pub(crate) use asks::{Asked, Asks};
pub use branch::{Branch, BranchState};
pub use context::Context;
pub use counters::Counters;
pub(crate) use counters::Fate;
pub(crate) use final_answer::PHONE_AWAY;
pub(crate) use held_answers::HeldAnswers;
pub use liveness::Liveness;
pub use maddr::Maddr;
pub use messages::{Request, Response};
pub use net::Net;
pub use owner::{Owner, Timer};
pub use pass::Pass;
pub use plan::{Note, Plan, Reply, Target, Verdict};
pub use policy::{Answers, Connections, Policy, Routing, Trust, Upkeep};
pub(crate) use redirects::follows_loose_redirects;
pub(crate) use rejected::Rejected;
pub use rejected::{Reason, Reject};
pub use route_set::Recorded;
pub use secrets::Secrets;
pub use servers::Servers;
pub use step::Step;
pub use traffic::{Place, Side, Traffic};
pub use why_text::{Fact, Facts};

use contexts::Contexts;
use dialogs::Dialogs;
use drain::Drain;
use held_requests::HeldRequests;
use overload::Restraint;
use response_rerouting::Returns;

use crate::bytes::Pool;
use crate::carry::carried;
use crate::edit::Edits;
use crate::scan::Message;
use crate::time::Instant;

/// The arguments of a call into the proxy: what it works with, the role that decides, and
/// the time.
pub struct Turn<'a> {
    /// The machinery.
    pub net: &'a mut Net,
    /// The role.
    pub policy: &'a mut dyn Policy,
    /// The time of the step.
    pub now: Instant,
}

/// All requests that are under way.
#[derive(Debug)]
pub struct Proxy {
    contexts: Contexts,
    plan: Plan,
    edits: Edits,
    /// Outline of a message looked at a second time.
    again: Message,
    /// Dialogs that lead through here.
    dialogs: Dialogs,
    /// What is waited for before the node stops.
    drain: Drain,
    /// What waits for a home.
    held: HeldRequests,
    /// What servers of the cluster ask us to leave out.
    restraint: Restraint,
    /// What was refused, and why.
    rejected: Rejected,
    /// The operator knows that `sips` is refused.
    told_of_sips: bool,
    /// Until when the ACK of an INVITE may come that was refused statelessly.
    refused_until: Instant,
    /// Answers that look for their callers.
    returns: Returns,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            contexts: Contexts::default(),
            plan: Plan::default(),
            edits: Edits::default(),
            again: Message::default(),
            dialogs: Dialogs::default(),
            drain: Drain::default(),
            held: HeldRequests::default(),
            restraint: Restraint::default(),
            rejected: Rejected::default(),
            told_of_sips: false,
            refused_until: Instant::ZERO,
            returns: Returns::default(),
        }
    }
}

impl Turn<'_> {
    /// Has the role decide where a request goes.
    fn route(&mut self, request: &Request<'_>, plan: &mut Plan) -> Verdict {
        let mut pass = Pass::new(self.net, self.now, request, plan);
        self.policy.route(&mut pass)
    }
}

impl Proxy {
    /// Requests under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.contexts.len()
    }

    /// Requests that wait for a home.
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// What was refused, and why.
    #[must_use]
    pub(crate) const fn rejected(&self) -> &Rejected {
        &self.rejected
    }

    /// The node is about to stop. One that `goes_on` takes in what is new until then, and
    /// waits for what it has now.
    pub(crate) fn begin_drain(&mut self, goes_on: bool) {
        self.drain
            .begin(goes_on.then(|| self.contexts.unanswered_slots()));
    }

    /// Nothing is taken in any more.
    pub(crate) fn leave(&mut self) {
        self.drain.leave();
    }

    /// True while a node that is about to stop takes in what is new.
    pub(crate) const fn goes_on(&self) -> bool {
        self.drain.goes_on()
    }

    /// True when the end of the drain need not be waited for.
    pub(crate) fn is_drained(&mut self, now: Instant) -> bool {
        match self.drain.are_answered(&self.contexts) {
            Some(are_answered) => are_answered,
            None => self.contexts.unanswered() == 0 && self.drain.is_over(now),
        }
    }

    /// True when nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.contexts.len() == 0
    }
}

impl Proxy {
    /// Has the buffers that were read belong to the pool of the shard.
    pub(crate) fn adopt_bufs(&mut self, pool: &Pool) {
        self.contexts.adopt_bufs(pool);
        self.returns.adopt_bufs(pool);
    }
}

carried!(Proxy {
    parts: contexts, returns, dialogs, held;
    values: drain, restraint, told_of_sips, refused_until;
    made: plan, edits, again, rejected;
});
