//! Branches: when each is started, and what its end means for the others
//! (RFC 3261 §16.6, §16.7; RFC 5393 §5.3.3).
//!
//! Two orders hold at once. Targets of one `rank` are forked to in parallel, and those
//! of the next one after all of them have failed: these are the contacts that a callee
//! prefers less. A stand-by ([`Target::after`](super::Target::after)) belongs to one
//! branch alone: it is another way to whoever that branch is for, as the other edge of
//! a phone is. So it is tried where the way failed, takes over its branch's share of
//! Max-Breadth, and is never tried where the callee himself has answered.

use super::build::HOP_ROOM;
use super::context::AnswerWeight;
use super::redirects::first_route;
use super::standby::Failure;
use super::{Branch, Context, Net, Owner, Proxy, State, Turn, build};
use crate::bytes::Buf;
use crate::id::{ClientId, Flow, Slot, Transport};
use crate::limits;
use crate::omit::Omit;
use crate::scan::Method;
use crate::send::Hop;
use crate::time::Duration;

impl Proxy {
    /// Starts the next serial group when nothing is pending; when none is
    /// left, sends the best answer. Called wherever a branch may have come to its end.
    pub(super) fn advance(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        // All branches of a group may fail as they are started, where no flow leads there: then
        // the next group is due in the same step.
        loop {
            let Some(context) = self.contexts.get_mut(slot) else {
                return;
            };
            if context.answered || context.is_waiting() {
                return;
            }
            // Stand-bys are in no group: the end of their branch starts or skips them.
            let ready = |branch: &&Branch| branch.is_ready();
            let rank = context
                .branches
                .iter()
                .filter(ready)
                .map(|branch| branch.target.rank)
                .min();
            let Some(rank) = rank.filter(|_| !context.closed) else {
                break;
            };
            let group = context
                .branches
                .iter()
                .filter(ready)
                .filter(|branch| branch.target.rank == rank)
                .count();
            // Parallel branches share the breadth; what it does not cover waits its turn (L-4).
            let parallel = group.min(usize::from(context.breadth)).max(1);
            let share = context.breadth / u16::try_from(parallel).unwrap_or(u16::MAX);
            let mut started = 0;
            for index in 0..context.branches.len() {
                // Looked up anew each time: a launch may add branches, or end the request.
                let Some(branch) = self.branch(slot, index) else {
                    break;
                };
                if branch.is_ready() && branch.target.rank == rank && started < parallel {
                    started += 1;
                    self.launch(turn, slot, index, share);
                }
            }
        }
        self.finish(turn, slot);
        // The answer may have left before all branches had ended (`Context::is_waiting`), and
        // what was silent may ring all the same: its user must not run for a call that is over.
        let outrun = |context: &&Context| context.branches.iter().any(Branch::is_pending);
        if self.contexts.get(slot).filter(outrun).is_some() {
            self.cancel_pending(turn, slot);
        }
    }

    pub(super) fn branch(&mut self, slot: Slot, index: usize) -> Option<&mut Branch> {
        self.contexts.get_mut(slot)?.branches.get_mut(index)
    }

    /// Sends the request of one branch as a new client transaction (P-13).
    pub(super) fn launch(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize, breadth: u16) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        let number = u8::try_from(index).unwrap_or(u8::MAX);
        if let Some(branch) = context.branches.get_mut(index) {
            branch.breadth = breadth;
        }
        if !self.locate(turn, slot, index) {
            return;
        }
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        let owner = Owner::Proxy {
            context: slot,
            branch: number,
        };
        let invite = context.is_invite();
        // V-4: kept back here as if its server had refused it, so that a stand-by which
        // wants no fewer gets it, and the server no message at all.
        if !self.restraint.is_empty()
            && let Some(branch) = context.branches.get_mut(index)
            && let Some(loss) = self
                .restraint
                .keeps_back(turn, branch.target.hop, context.class)
        {
            branch.state = State::Done(503);
            context.loss_asked = Some(loss);
            return self.try_standby(turn, slot, index, Failure::Silent(503));
        }
        let sent = send(turn, context, index, owner);
        // Asked before the timer is set: what is known to be silent is not waited for.
        let is_silent = sent.is_some_and(|(_, flow)| turn.net.liveness.peers.is_suspect(flow));
        let patience = turn.patience(context, index);
        let Some(branch) = context.branches.get_mut(index) else {
            return;
        };
        let Some((client, _)) = sent else {
            turn.net.counters.transport_failures += 1;
            if branch.leave_stream() {
                // no connection could be opened, and UDP needs none.
                return self.launch(turn, slot, index, breadth);
            }
            let status = branch.target.failure_status();
            branch.state = State::Done(status);
            return self.try_standby(turn, slot, index, Failure::Silent(status));
        };
        branch.client = Some(client);
        branch.state = State::Trying { cancel: false };
        if let Some(silence) = branch.target.silence {
            // One timer does for both: when it fires for silence it is set to the rest.
            branch.set_due(turn, slot, index, silence.min(patience));
        } else if invite {
            branch.set_due(turn, slot, index, patience);
        }
        context.live += 1;
        turn.net.counters.requests_out += 1;
        if is_silent {
            // A silent peer is chosen only where nobody better is left. Its stand-by need not
            // wait for T1 to find out what is known already.
            self.start_standby(turn, slot, index);
        }
    }

    /// A branch ended with `status`; `last` is its answer as it would go
    /// upstream, if there was one.
    pub(super) fn branch_ended(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        index: usize,
        status: u16,
        last: Option<Buf>,
    ) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        let open = !context.closed && !context.answered;
        let Some(branch) = context.branches.get_mut(index) else {
            return;
        };
        if !branch.is_pending() {
            // A branch ends once: its flow may be lost and its timer fire as well, and the
            // stand-by of the first end must not be started by the second.
            return;
        }
        let unheard = matches!(branch.state, State::Trying { .. });
        let failure = match &last {
            // Who may stand in depends on who speaks. An element of ours says whether the
            // answer is the phone's, and then no other way leads to anybody else. From outside
            // it may be a proxy of others before the phone, which says 430 or 503 of a way
            // as we do (RFC 5626 §7, RFC 3263 §4.3), so its stand-bys are tried.
            _ if branch.is_from_target && branch.is_inside => Failure::ByTarget(status),
            Some(_) => Failure::Answer(status),
            None => Failure::Silent(status),
        };
        branch.state = State::Done(status);
        branch.last = last;
        if let Some(timer) = branch.timer.take() {
            turn.net.txns.cancel_timer(timer);
        }
        // TCP was chosen for the length of the request alone. That it failed with nothing
        // heard says nothing of UDP; one whose flow was lost was sent again already.
        let alone = branch.last.is_none() && branch.answer_weight != AnswerWeight::FlowLost;
        if status == branch.target.failure_status()
            && unheard
            && open
            && alone
            && branch.leave_stream()
        {
            let breadth = branch.breadth;
            self.launch(turn, slot, index, breadth);
            return self.advance(turn, slot);
        }
        if status >= 600 {
            // P-22: the callee wants the call nowhere, so that no other branch may ring on.
            self.cancel_pending(turn, slot);
        }
        self.try_standby(turn, slot, index, failure);
        self.advance(turn, slot);
    }

    /// Starts nothing more and cancels what is pending (P-22, P-29, P-32).
    pub(super) fn cancel_pending(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        // From here on `advance` starts no group, and `try_standby` no stand-by.
        context.closed = true;
        let count = context.branches.len();
        // Only an INVITE can be cancelled (§9.1).
        let invite = context.is_invite() && !turn.net.omit.leaves_out(Omit::Cancelling);
        for index in 0..count {
            let Some(branch) = self.branch(slot, index) else {
                break;
            };
            match branch.state {
                State::Waiting => branch.state = State::Skipped,
                // Nothing was sent, so there is nothing to cancel.
                State::Locating => {
                    branch.state = State::Skipped;
                    if let Some(timer) = branch.timer.take() {
                        turn.net.txns.cancel_timer(timer);
                    }
                }
                // A CANCEL may leave only after a provisional: one that overtook its
                // INVITE would match nothing there (§9.1, P-33).
                State::Trying { .. } if invite => branch.state = State::Trying { cancel: true },
                State::Proceeding { cancelled: false } if invite => {
                    // Without room for a transaction none is sent, and Timer C ends the branch.
                    self.send_cancel(turn, slot, index);
                }
                // It was given up for silence, and rings all the same: without a CANCEL it would
                // until somebody answers a call that is over. With 487 it had its CANCEL.
                State::Done(status) if invite && status != 487 => {
                    if branch.client.is_some_and(|client| rings(turn.net, client)) {
                        self.send_cancel(turn, slot, index);
                    }
                }
                State::Trying { .. }
                | State::Proceeding { .. }
                | State::Done(_)
                | State::Skipped => {}
            }
        }
    }

    /// Removes the context of a request other than INVITE once all is said: what its
    /// transactions still have to do for half a minute needs no context. That of an INVITE
    /// stays, since a further 2xx is passed on (P-27) and a late provisional is cancelled.
    pub(super) fn remove_if_over(&mut self, net: &mut Net, slot: Slot) {
        let Some(context) = self.contexts.get(slot) else {
            return;
        };
        let is_over = context.answered && !context.is_invite();
        if !is_over || context.branches.iter().any(Branch::is_pending) {
            return;
        }
        // They absorb what comes late (Timers J and K), and none of them may name a context
        // that is gone.
        for client in context.branches.iter().filter_map(|branch| branch.client) {
            net.txns.set_client_owner(client, Owner::Local);
        }
        if let Some(server) = context.server {
            net.txns.set_server_owner(server, Owner::Local);
        }
        self.remove(net, slot);
    }

    /// A transaction of the request ended; with the last one its context is removed.
    pub(super) fn transaction_ended(&mut self, net: &mut Net, slot: Slot) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        context.live = context.live.saturating_sub(1);
        if context.live == 0 {
            self.remove(net, slot);
        }
    }

    /// Removes a context, and the timers that would lead back to it.
    pub(super) fn remove(&mut self, net: &mut Net, slot: Slot) {
        let Some(mut context) = self.contexts.remove(slot) else {
            return;
        };
        if !context.answered {
            self.drain.request_over();
        }
        for branch in context.branches.drain(..) {
            if let Some(timer) = branch.timer {
                net.txns.cancel_timer(timer);
            }
        }
        if self.spare.len() < limits::POOL_IDLE_MAX {
            self.spare.push(context.branches);
        }
    }
}

impl Turn<'_> {
    /// How long a branch may stay without a final answer: Timer C. Where targets of a
    /// lower preference wait for it: the 32 seconds after which whoever is behind the next
    /// hop is given up, and the time that a phone rings before those are tried.
    pub(super) fn patience(&self, context: &Context, index: usize) -> Duration {
        let ring = self.ring_time(context, index);
        ring.map_or(limits::TIMER_C, |ring| {
            limits::TIMER_C.min(limits::T1_64 + ring)
        })
    }

    /// How long a branch rings before the next ones are tried, where there are any.
    pub(super) fn ring_time(&self, context: &Context, index: usize) -> Option<Duration> {
        let rank = context.branches.get(index)?.target.rank;
        let ring = self.policy.ring_time()?;
        context.has_lower(rank).then_some(ring)
    }
}

/// Whether an INVITE rings, as far as is known, and can be cancelled.
fn rings(net: &Net, invite: ClientId) -> bool {
    let flow = net.txns.client_flow(invite);
    net.txns.is_proceeding(invite) && flow.is_some_and(|flow| net.flows.lives(flow))
}

/// Builds and transmits; `None` when nothing leads there.
fn send(
    turn: &mut Turn<'_>,
    context: &mut Context,
    index: usize,
    owner: Owner,
) -> Option<(ClientId, Flow)> {
    let base = context.base.clone()?;
    let is_invite = context.is_invite();
    let branch = context.branches.get_mut(index)?;
    let is_long = base.len() + HOP_ROOM > limits::UDP_REQUEST_MAX;
    // RFC 3261 §18.1.1: what may be fragmented goes by a stream, unless connections there
    // failed a moment ago: the caller does not wait for that a second time.
    if is_long
        && let Hop::To { addr, .. } = branch.target.hop
        && !turn
            .net
            .liveness
            .health
            .is_open(turn.now, Transport::Tcp, addr)
    {
        branch.prefer_stream();
    }
    let (target, breadth) = (branch.target.clone(), branch.breadth);
    let flow = turn.flow_to(target.hop)?;
    turn.note_request_sent(target.hop, flow, is_invite);
    let net = &mut *turn.net;
    // A connection that is being opened to a peer over TLS is not watched yet,
    // and what waits for it is read by that peer or by nobody.
    let is_loose = turn.policy.follows_redirects()
        && (net.liveness.peers.is_watched(flow) || turn.policy.is_cluster_node(net, target.hop));
    branch.is_inside = turn.policy.is_cluster_node(net, Hop::Flow(flow))
        || turn.policy.is_cluster_node(net, target.hop);
    let offers_oc = net.liveness.peers.is_watched(flow);
    // Agreed on with a REGISTER, it holds for the calls as well (K-1), which are
    // what is to be short.
    let wants_keepalives = context.method == Method::Register || !net.liveness.peers.is_paced(flow);
    let offers_keep = context.is_out_of_dialog
        && wants_keepalives
        && net.flows.supports_overload_control(flow)
        && turn.policy.negotiates_keepalives(net, target.hop);
    let sent_by = net.flows.sent_by(flow)?;
    let client = net.txns.reserve(owner)?;
    let part = net.txns.branch(client);
    // The beginning of a branch names no transaction of its own.
    let len = match net.omit.leaves_out(Omit::BranchUniqueness) {
        true => 12,
        false => part.len(),
    };
    let hop = build::BranchParams {
        target: &target,
        sent_by,
        is_inside: branch.is_inside,
        alias: net.flows.offers_alias(flow),
        branch: &part[..len],
        breadth,
        offers_keep,
        offers_oc,
        is_loose,
        is_guest: context.is_guest,
        is_lean: is_long && matches!(target.hop, Hop::Flow(Flow::Udp { .. })) && !branch.is_inside,
        replaced: target.replaces_route.then(|| first_route(&base)).flatten(),
    };
    let context = &*context;
    let bytes = net.pool.build(base.len() + build::room(&target), |out| {
        build::branch(context, &base, &hop, out)
    });
    let method = context.method_token();
    net.txns
        .start(turn.now, client, method, flow, bytes.clone());
    net.transmit(flow, bytes);
    Some((client, flow))
}
