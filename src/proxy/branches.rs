//! Branches: starting them, what their end means, and which answer goes
//! upstream (RFC 3261 §16.6, §16.7).

use super::{Branch, Context, Net, Owner, Policy, Proxy, Request, State, Timer, build};
use crate::bytes::Buf;
use crate::edit::{self};
use crate::id::{Flow, Slot, Transport};
use crate::limits;
use crate::scan::via::Via;
use crate::scan::{Message, Method, Name, StartLine, scan};
use crate::send::{Flows, Hop};
use crate::time::Instant;

/// Longest request sent over UDP to an address of unknown path MTU.
const UDP_REQUEST_MAX: usize = 1_300;

impl Proxy {
    /// Starts the next serial group when nothing is pending; when none is
    /// left, sends the best answer.
    pub(super) fn advance(
        &mut self,
        net: &mut Net,
        policy: &mut dyn Policy,
        now: Instant,
        slot: Slot,
    ) {
        loop {
            let Some(context) = self.contexts.get_mut(slot) else {
                return;
            };
            if context.answered || context.branches.iter().any(Branch::is_pending) {
                return;
            }
            let ready =
                |branch: &&Branch| branch.state == State::Waiting && branch.target.after.is_none();
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
                let Some(branch) = self.branch(slot, index) else {
                    break;
                };
                let waits = branch.state == State::Waiting && branch.target.after.is_none();
                if waits && branch.target.rank == rank && started < parallel {
                    started += 1;
                    self.launch(net, policy, now, slot, index, share.max(1));
                }
            }
        }
        self.finish(net, policy, now, slot);
    }

    pub(super) fn branch(&mut self, slot: Slot, index: usize) -> Option<&mut Branch> {
        self.contexts.get_mut(slot)?.branches.get_mut(index)
    }

    /// Sends the request of one branch as a new client transaction (P-13).
    fn launch(
        &mut self,
        net: &mut Net,
        policy: &mut dyn Policy,
        now: Instant,
        slot: Slot,
        index: usize,
        breadth: u16,
    ) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        let owner = Owner::Proxy {
            context: slot,
            branch: u8::try_from(index).unwrap_or(u8::MAX),
        };
        let sent = send(net, now, context, index, breadth, owner);
        let Some(branch) = context.branches.get_mut(index) else {
            return;
        };
        let Some((client, invite)) = sent else {
            net.counters.transport_failures += 1;
            let status = branch.target.failure();
            branch.state = State::Done(status);
            return self.stand_by(net, policy, now, slot, index, status);
        };
        branch.client = Some(client);
        branch.state = State::Trying { cancel: false };
        if invite {
            branch.due = now + limits::TIMER_C;
            branch.timer = Some(net.txns.set_timer(
                branch.due,
                Timer::Branch {
                    context: slot,
                    branch: u8::try_from(index).unwrap_or(u8::MAX),
                },
            ));
        }
        context.live += 1;
        net.counters.requests_out += 1;
    }

    /// A branch ended with `status`; `last` is its answer as it would go
    /// upstream, if there was one.
    pub(super) fn ended(
        &mut self,
        net: &mut Net,
        policy: &mut dyn Policy,
        now: Instant,
        slot: Slot,
        index: usize,
        status: u16,
        last: Option<Buf>,
    ) {
        let Some(branch) = self.branch(slot, index) else {
            return;
        };
        if !branch.is_pending() {
            return;
        }
        branch.state = State::Done(status);
        branch.last = last;
        if let Some(timer) = branch.timer.take() {
            net.txns.cancel_timer(timer);
        }
        if let Some(addr) = branch.fallback.take()
            && status == 503
            && branch.last.is_none()
        {
            // TCP was refused; the request goes by UDP after all.
            branch.target.hop = Hop::To {
                transport: Transport::Udp,
                addr,
            };
            branch.state = State::Waiting;
            branch.target.rank = 0;
            return self.advance(net, policy, now, slot);
        }
        if status >= 600 {
            // P-22
            self.close(net, now, slot);
        }
        self.stand_by(net, policy, now, slot, index, status);
        self.advance(net, policy, now, slot);
    }

    /// Lets the stand-bys of a branch try, or retires them (O-19, O-20).
    fn stand_by(
        &mut self,
        net: &mut Net,
        policy: &mut dyn Policy,
        now: Instant,
        slot: Slot,
        index: usize,
        status: u16,
    ) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        let open = !context.closed && !context.answered && Context::is_retryable(status);
        let breadth = context.breadth;
        let standby = context.branches.iter().position(|branch| {
            branch.state == State::Waiting && branch.target.after.map(usize::from) == Some(index)
        });
        let Some(next) = standby else { return };
        if open {
            self.launch(net, policy, now, slot, next, breadth);
        } else if let Some(branch) = self.branch(slot, next) {
            branch.state = State::Done(0);
            self.stand_by(net, policy, now, slot, next, 0);
        }
    }

    /// Starts nothing more and cancels what is pending (P-22, P-29, P-32).
    pub(super) fn close(&mut self, net: &mut Net, now: Instant, slot: Slot) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        context.closed = true;
        let count = context.branches.len();
        let invite = context.is_invite();
        for index in 0..count {
            let Some(branch) = self.branch(slot, index) else {
                break;
            };
            match branch.state {
                State::Waiting => branch.state = State::Done(0),
                State::Trying { .. } => branch.state = State::Trying { cancel: true },
                State::Proceeding { cancelled: false } if invite => {
                    self.send_cancel(net, now, slot, index)
                }
                State::Proceeding { .. } | State::Done(_) => {}
            }
        }
    }

    /// Every branch is over: the best answer goes upstream (P-23 to P-25).
    fn finish(&mut self, net: &mut Net, policy: &mut dyn Policy, now: Instant, slot: Slot) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        if context.answered {
            return;
        }
        context.answered = true;
        let best = best(&context.branches);
        let (Some(server), Some(base)) = (context.server, context.base.take()) else {
            return;
        };
        let status = best.map_or(408, |(_, status)| status);
        let softened = policy.soften(status).or(if status == 503 {
            Some((500, "No Server Could Take The Request"))
        } else {
            None
        });
        if status == 408
            && !context.is_invite()
            && best.is_none_or(|(index, _)| context.branches[index].last.is_none())
        {
            // T-9: a non-INVITE that times out dies in silence.
            // The state machine swallows it and completes.
            let nothing = net.pool.copy(b"");
            let silence = net.txns.respond(now, server, 408, nothing);
            debug_assert!(silence.is_none(), "T-9");
            return;
        }
        let own = best.and_then(|(index, _)| context.branches[index].last.clone());
        let bytes = match (own, softened) {
            (Some(response), None) => {
                merge_challenges(net, context, response, status, &mut self.again)
            }
            (_, softened) => {
                let (status, reason) = softened.unwrap_or((status, local_reason(status)));
                let source = context.source;
                local_answer(
                    net,
                    &base,
                    &mut self.again,
                    source,
                    context.flow,
                    status,
                    reason,
                )
            }
        };
        let status = softened.map_or(status, |(status, _)| status);
        self.upstream(net, now, slot, status, bytes);
    }

    /// Hands a response to the server transaction and puts it on the wire.
    pub(super) fn upstream(
        &mut self,
        net: &mut Net,
        now: Instant,
        slot: Slot,
        status: u16,
        bytes: Buf,
    ) {
        let Some(server) = self.contexts.get(slot).and_then(|context| context.server) else {
            return;
        };
        net.revive_reply_path(server, &bytes, &mut self.again);
        net.counters.responses_out += 1;
        let send = net.txns.respond(now, server, status, bytes);
        net.transmit_send(send);
    }

    /// One transaction less names the context; the last one takes it along.
    pub(super) fn released(&mut self, net: &mut Net, slot: Slot) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        context.live = context.live.saturating_sub(1);
        if context.live > 0 {
            return;
        }
        let Some(mut context) = self.contexts.remove(slot) else {
            return;
        };
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

/// Builds and transmits; `None` when nothing leads there.
fn send(
    net: &mut Net,
    now: Instant,
    context: &mut Context,
    index: usize,
    breadth: u16,
    owner: Owner,
) -> Option<(crate::id::ClientId, bool)> {
    let base = context.base.clone()?;
    let branch = context.branches.get_mut(index)?;
    let long = base.len() + 160 > UDP_REQUEST_MAX;
    if let Hop::To {
        transport: Transport::Udp,
        addr,
    } = branch.target.hop
        && long
        && branch.fallback.is_none()
        && context.method != Method::Ack
    {
        branch.fallback = Some(addr);
        branch.target.hop = Hop::To {
            transport: Transport::Tcp,
            addr,
        };
    }
    let target = branch.target.clone();
    let flow = net.reach(target.hop)?;
    let client = net.txns.reserve(owner)?;
    let (transport, sent_by) = net.flows.sent_by(flow)?;
    let mut part = std::mem::take(&mut net.text);
    part.clear();
    net.txns.write_branch(client, &mut part);
    let hop = build::Hopwise {
        target: &target,
        transport,
        sent_by,
        branch: &part,
        breadth,
    };
    let context = &*context;
    let bytes = net.pool.build(base.len() + 256, |out| {
        build::branch(context, &base, &hop, out)
    });
    net.text = part;
    let invite = context.is_invite();
    let method = if invite {
        &b"INVITE"[..]
    } else {
        context.method_token()
    };
    net.txns.start(now, client, method, flow, bytes.clone());
    net.transmit(flow, bytes);
    Some((client, invite))
}

/// The answer to send among those that came: 6xx, else the lowest class, in
/// 4xx one that lets the caller mend something; a failure of the way itself
/// (430, 408, 503 without an answer) only when there is nothing else.
fn best(branches: &[Branch]) -> Option<(usize, u16)> {
    let rank = |status: u16, answered: bool| -> u16 {
        match status {
            600.. => 0,
            401 | 407 | 415 | 420 | 484 => 1_400,
            408 | 430 => 1_490,
            503 if !answered => 1_495,
            _ => 1_000 + status / 100 * 100 + 10,
        }
    };
    branches
        .iter()
        .enumerate()
        .filter_map(|(index, branch)| match branch.state {
            State::Done(status) if status > 0 => {
                Some((rank(status, branch.last.is_some()), index, status))
            }
            State::Done(_) | State::Waiting | State::Trying { .. } | State::Proceeding { .. } => {
                None
            }
        })
        .min()
        .map(|(_, index, status)| (index, status))
}

const fn local_reason(status: u16) -> &'static str {
    match status {
        408 => "No Answer From The Next Hop",
        430 => "Flow Failed",
        480 => "Temporarily Unavailable",
        487 => "Request Terminated",
        _ => "Server Failure",
    }
}

/// An answer of our own to a request that only exists as `base` by now.
pub(super) fn local_answer(
    net: &mut Net,
    base: &[u8],
    message: &mut Message,
    source: std::net::SocketAddr,
    flow: Flow,
    status: u16,
    reason: &str,
) -> Buf {
    // It scanned when it came; what was added is our own.
    let parsed = scan(base, message)
        .ok()
        .and_then(|()| message.values(base, Name::Via).next());
    let Some(Ok(via)) = parsed.map(|value| Via::parse(base, value)) else {
        return net.pool.copy(b"");
    };
    let request = Request {
        bytes: base,
        message,
        via,
        flow,
        source,
    };
    if status != 100 {
        net.counters.answers += 1;
    }
    net.answer(&request, status, reason, b"")
}

/// P-25: a 401 or 407 carries the challenges of all the others.
fn merge_challenges(
    net: &Net,
    context: &Context,
    response: Buf,
    status: u16,
    message: &mut Message,
) -> Buf {
    if !matches!(status, 401 | 407) || context.branches.len() < 2 {
        return response;
    }
    let others = context
        .branches
        .iter()
        .filter_map(|branch| match branch.state {
            State::Done(401 | 407) => branch
                .last
                .as_ref()
                .filter(|other| other.as_ptr() != response.as_ptr()),
            State::Done(_) | State::Waiting | State::Trying { .. } | State::Proceeding { .. } => {
                None
            }
        });
    let mut lines = Vec::new();
    for other in others {
        if scan(other, message).is_err() {
            continue;
        }
        for header in message.headers() {
            if matches!(header.name, Name::WwwAuthenticate | Name::ProxyAuthenticate) {
                lines.extend_from_slice(header.line.of(other));
            }
        }
    }
    if lines.is_empty() || scan(&response, message).is_err() {
        return response;
    }
    let mut edits = edit::Edits::default();
    edits.insert(message.headers_end(), |out| out.extend_from_slice(&lines));
    net.pool.build(response.len() + lines.len(), |out| {
        edits.apply(&response, out)
    })
}

impl Net {
    /// when the connection a request came on is gone, its answer goes
    /// over a new one to the address in its Via.
    fn revive_reply_path(
        &mut self,
        server: crate::id::ServerId,
        response: &[u8],
        message: &mut Message,
    ) {
        let Some(flow @ Flow::Stream(_)) = self.txns.server_flow(server) else {
            return;
        };
        if self.flows.lives(flow) || scan(response, message).is_err() {
            return;
        }
        let Some(StartLine::Response { .. }) = message.start() else {
            return;
        };
        let via = message
            .values(response, Name::Via)
            .next()
            .map(|value| Via::parse(response, value));
        let Some(Ok(via)) = via else { return };
        let host = via.received.unwrap_or(via.host).of(response);
        let Some(ip) = crate::scan::uri::host_ip(host) else {
            return;
        };
        let addr = std::net::SocketAddr::new(ip, via.port.unwrap_or(5060));
        let hop = Hop::To {
            transport: Flows::transport(flow),
            addr,
        };
        if let Some(flow) = self.reach(hop) {
            self.txns.set_server_flow(server, flow);
        }
    }
}
