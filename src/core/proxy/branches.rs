//! Branches: when each is started, and what its end means for the others
//! (RFC 3261 §16.6, §16.7; RFC 5393 §5.3.3).
//!
//! Two orders hold at once. Targets of one `rank` are forked to in parallel, and those
//! of the next one after all of them have failed: these are the contacts that a callee
//! prefers less. A stand-by ([`Target::after`](super::Target::after)) belongs to one
//! branch alone: it is another way to whoever that branch is for, as the other edge of
//! a phone is. So it is tried where the way failed, takes over its branch's share of
//! Max-Breadth, and is never tried where the callee himself has answered.

use super::branch::{AnswerWeight, Branch, BranchState};
use super::build::{HOP_ROOM, first_route};
use super::locating::BranchHop;
use super::standby::{BranchFailure, Launch};
use super::{Context, Owner, Proxy, Turn, build};
use crate::bytes::Buf;
use crate::id::{ClientId, Flow, Slot, Transport};
use crate::limits;
use crate::omit::Omit;
use crate::recorder::{Decision, Silence};
use crate::scan::Method;
use crate::send::Hop;

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
            if context.answered || context.is_held || context.is_waiting() {
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
                let Some(branch) = self.contexts.branch(slot, index) else {
                    break;
                };
                if branch.is_ready() && branch.target.rank == rank && started < parallel {
                    started += 1;
                    self.launch(
                        turn,
                        slot,
                        Launch {
                            index,
                            breadth: share,
                        },
                    );
                }
            }
        }
        if self.hold(turn, slot) {
            return;
        }
        self.finish(turn, slot);
        // The answer may have left before all branches had ended (`Context::is_waiting`), and
        // what was silent may ring all the same: its user must not run for a call that is over.
        let outrun = |context: &&Context| context.branches.iter().any(Branch::is_pending);
        if self.contexts.get(slot).filter(outrun).is_some() {
            self.cancel_pending(turn, slot);
        }
    }

    /// Starts a branch, and in place of or beside it whoever stands by where it fails or is known
    /// to be silent.
    pub(super) fn launch(&mut self, turn: &mut Turn<'_>, slot: Slot, launch: Launch) {
        let mut next = Some(launch);
        while let Some(launch) = next {
            next = self.attempt(turn, slot, launch);
        }
    }

    /// Starts the stand-by of a branch that has heard nothing, beside it.
    pub(super) fn start_standby(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) {
        let context = self.contexts.get_mut(slot);
        if let Some(next) = context.and_then(|it| it.standby_beside(turn.net, index)) {
            self.launch(turn, slot, next);
        }
    }

    /// Sends the request of one branch as a new client transaction (P-13).
    ///
    /// Returns the branch that is to be started because of it: where this one fails, or is known
    /// to be silent, its stand-by.
    fn attempt(&mut self, turn: &mut Turn<'_>, slot: Slot, launch: Launch) -> Option<Launch> {
        let Launch { index, breadth } = launch;
        let context = self.contexts.get_mut(slot)?;
        let number = u8::try_from(index).unwrap_or(u8::MAX);
        if let Some(branch) = context.branches.get_mut(index) {
            branch.breadth = breadth;
        }
        let way = self.contexts.locate(turn, slot, index);
        let context = self.contexts.get_mut(slot)?;
        match way {
            BranchHop::Known => {}
            BranchHop::Awaited => return None,
            BranchHop::Nowhere(status) => return context.not_located(turn.net, index, status),
        }
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
            branch.state = BranchState::Done(503);
            context.requested_loss = Some(loss);
            return context.standby_after(turn.net, index, BranchFailure::Silent(503));
        }
        let sent = send(turn, context, index, owner);
        // Asked before the timer is set: what is known to be silent is not waited for.
        let is_silent = sent.is_some_and(|(_, flow)| turn.net.liveness.peers.is_suspect(flow));
        let patience = turn.timer_c(context, index);
        let branch = context.branches.get_mut(index)?;
        let Some((client, _)) = sent else {
            turn.net.counters.transport_failures += 1;
            let (recorded, hop) = (context.recorded, branch.target.hop);
            turn.net
                .decided_for(recorded, Some(hop), Decision::Silent(Silence::NoWay));
            let branch = context.branches.get_mut(index)?;
            if branch.leave_stream() {
                // no connection could be opened, and UDP needs none.
                return Some(launch);
            }
            let status = branch.target.failure_status();
            branch.state = BranchState::Done(status);
            branch.is_untaken = true;
            return context.standby_after(turn.net, index, BranchFailure::Silent(status));
        };
        branch.client = Some(client);
        branch.state = BranchState::Trying { cancel: false };
        if let Some(silence) = branch.target.silence {
            // One timer does for both: when it fires for silence it is set to the rest.
            branch.set_due(turn, slot, index, silence.min(patience));
        } else if invite {
            branch.set_due(turn, slot, index, patience);
        }
        context.live += 1;
        turn.net.counters.requests_out += 1;
        if !is_silent {
            return None;
        }
        // A silent peer is chosen only where nobody better is left. Its stand-by need not
        // wait for T1 to find out what is known already.
        context.standby_beside(turn.net, index)
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
        let unheard = matches!(branch.state, BranchState::Trying { .. });
        let failure = match &last {
            // Who may stand in depends on who speaks. An element of ours says whether the
            // answer is the phone's, and then no other way leads to anybody else. From outside
            // it may be a proxy of others before the phone, which says 430 or 503 of a way
            // as we do (RFC 5626 §7, RFC 3263 §4.3), so its stand-bys are tried.
            _ if branch.is_from_target && branch.is_inside => BranchFailure::ByTarget(status),
            Some(_) => BranchFailure::Answer(status),
            None => BranchFailure::Silent(status),
        };
        branch.state = BranchState::Done(status);
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
            self.launch(turn, slot, Launch { index, breadth });
            return self.advance(turn, slot);
        }
        if status >= 600 {
            // P-22: the callee wants the call nowhere, so that no other branch may ring on.
            self.cancel_pending(turn, slot);
        }
        let context = self.contexts.get_mut(slot);
        if let Some(next) = context.and_then(|it| it.standby_after(turn.net, index, failure)) {
            self.launch(turn, slot, next);
        }
        self.advance(turn, slot);
    }
}

/// The flow that a branch leaves by, and whether it stays among our nodes; `None` when nothing
/// leads there.
fn choose_flow(
    turn: &mut Turn<'_>,
    context: &mut Context,
    index: usize,
    is_long: bool,
) -> Option<Flow> {
    let is_invite = context.is_invite();
    let branch = context.branches.get_mut(index)?;
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
    let to = branch.target.hop;
    let flow = turn.flow_to(to)?;
    turn.note_request_sent(to, flow, is_invite);
    branch.is_inside = turn.policy.is_cluster_node(turn.net, Hop::Flow(flow))
        || turn.policy.is_cluster_node(turn.net, to);
    Some(flow)
}

/// What the Via of a request offers to the next hop.
struct Offers {
    /// Keep-alives (RFC 6223).
    keep: bool,
    /// Overload control (RFC 7339).
    oc: bool,
    /// That a redirection is followed.
    is_loose: bool,
}

impl Offers {
    fn to(turn: &Turn<'_>, context: &Context, to: Hop, flow: Flow) -> Self {
        let (net, policy) = (&*turn.net, &*turn.policy);
        // A connection that is being opened to a peer over TLS is not watched yet,
        // and what waits for it is read by that peer or by nobody.
        let is_watched = net.liveness.peers.is_watched(flow);
        // Agreed on with a REGISTER, it holds for the calls as well (K-1), which are
        // what is to be short.
        let wants_keepalives =
            || context.method == Method::Register || !net.liveness.peers.is_paced(flow);
        Self {
            keep: context.is_out_of_dialog
                && wants_keepalives()
                && net.flows.supports_overload_control(flow)
                && policy.negotiates_keepalives(net, to),
            oc: is_watched,
            is_loose: policy.follows_redirects() && (is_watched || policy.is_cluster_node(net, to)),
        }
    }
}

/// Builds and transmits; `None` when nothing leads there.
fn send(
    turn: &mut Turn<'_>,
    context: &mut Context,
    index: usize,
    owner: Owner,
) -> Option<(ClientId, Flow)> {
    let is_long = context.base.as_ref()?.len() + HOP_ROOM > limits::UDP_REQUEST_MAX;
    let flow = choose_flow(turn, context, index, is_long)?;
    let context = &*context;
    let (base, branch) = (context.base.as_deref()?, context.branches.get(index)?);
    let target = &branch.target;
    let offers = Offers::to(turn, context, target.hop, flow);
    let net = &mut *turn.net;
    let sent_by = net.flows.sent_by(flow)?;
    let client = net.txns.reserve(owner)?;
    let part = net.txns.branch(client);
    // The beginning of a branch names no transaction of its own.
    let len = match net.omit.leaves_out(Omit::BranchUniqueness) {
        true => 12,
        false => part.len(),
    };
    let hop = build::BranchParams {
        target,
        sent_by,
        is_inside: branch.is_inside,
        alias: net.flows.offers_alias(flow),
        branch: &part[..len],
        breadth: branch.breadth,
        offers_keep: offers.keep,
        offers_oc: offers.oc,
        is_loose: offers.is_loose,
        is_guest: context.is_guest,
        is_lean: is_long && matches!(target.hop, Hop::Flow(Flow::Udp { .. })) && !branch.is_inside,
        replaced: target.replaces_route.then(|| first_route(base)).flatten(),
    };
    let bytes = net.pool.build(base.len() + build::room(target), |out| {
        build::branch(context, base, &hop, out)
    });
    let method = context.method_token();
    net.txns
        .start(turn.now, client, method, flow, bytes.clone());
    net.transmit(flow, bytes);
    Some((client, flow))
}
