//! The final answer of a request: which one goes upstream, and what is made of
//! it on the way (RFC 3261 §16.7 steps 6 to 8, RFC 4320 §4.2).
//!
//! Two questions are answered one after the other. `best` chooses among what the
//! branches came to, by what a caller can do with it. `mapped_status` then asks
//! whether the caller may hear that one: a status that speaks of a way inside the
//! cluster (430, 503) would have him blame, or avoid, a server that he never asked.

use super::own_params::FROM_TARGET;
use super::{Branch, BranchState, Context, Net, Proxy, Request, Turn};
use crate::bytes::Buf;
use crate::id::Slot;
use crate::omit::Omit;
use crate::recorder::Decision;
use crate::scan::{Message, Name, scan, scan_again};
use crate::trust::Ingress;

/// What a caller is told for a 430, which is between proxies (O-21).
pub(crate) const PHONE_AWAY: (u16, &str) = (480, "The Phone Cannot Be Reached");

impl Turn<'_> {
    /// What goes upstream instead of the best status that the branches came to, which
    /// somebody has answered or not; `None` where that goes on as it is.
    fn mapped_status(
        &self,
        context: &Context,
        best: Option<(usize, u16)>,
        status: u16,
        is_answered: bool,
    ) -> Option<(u16, &'static str)> {
        let rang_out = best.is_some_and(|(index, _)| context.branches[index].rang_out);
        let is_inside =
            || best.is_some_and(|(index, _)| self.leads_inside(&context.branches[index]));
        let sender = context.ingress.principal;
        // What the DNS, our own timers or overload came to is told apart from what somebody has
        // answered: the former speaks of the way, which the caller does not know.
        match (status, is_answered) {
            // A phone that rang out was cancelled by us, and not by the caller: to him
            // nobody has answered.
            (487, _) if rang_out && !context.closed => Some((480, "Nobody Has Answered")),
            // What was cancelled and never heard of is over as asked.
            (408, false) if context.closed => Some((487, "Request Terminated")),
            // V-4: who must wait is told so, unless he can do better elsewhere.
            (503, false) if context.requested_loss.is_some() && !context.ingress.wants_report => {
                Some((503, "The Next Server Is Too Busy"))
            }
            // P-24: the next request might fare better elsewhere, except where an
            // element of ours is all there is.
            (503, _) => self
                .policy
                .map_final_status(503, sender)
                .filter(|_| is_inside())
                .or(Some((500, "No Server Could Take The Request"))),
            // What the DNS says of such an element says nothing of whoever is asked for.
            (404 | 480, false) if is_inside() => self.policy.map_final_status(503, sender),
            _ if self.net.omit.leaves_out(Omit::Softening) => None,
            _ => self.policy.map_final_status(status, sender),
        }
    }
}

impl Proxy {
    /// Nothing more is waited for: the best answer goes upstream (P-23 to P-25).
    pub(super) fn finish(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let Some((context, false)) = self.contexts.answer(slot) else {
            return;
        };
        let best = best(&context.branches);
        // The request is needed no longer: a further 2xx passes as it comes.
        let (Some(server), Some(base)) = (context.server, context.base.take()) else {
            return;
        };
        // Without an answer that came, one of our own is made of the status.
        let (status, own) = match best {
            Some((index, status)) => (status, context.branches[index].last.clone()),
            None => (408, None),
        };
        if status == 408 && !context.is_invite() {
            // T-9: a non-INVITE that times out dies in silence, and nobody
            // else's 408 to one is passed on. The transaction completes.
            let nothing = turn.net.pool.copy(b"");
            let silence = turn.net.txns.respond(turn.now, server, 408, nothing);
            debug_assert!(silence.is_none(), "T-9");
            return;
        }
        let mapped = turn.mapped_status(context, best, status, own.is_some());
        let (status, bytes) = match (best, own, mapped) {
            (Some((index, _)), Some(response), None) => {
                let branches = &context.branches;
                let merged = merge_challenges(turn.net, branches, index, response, &mut self.again);
                (status, merged)
            }
            (_, _, mapped) => {
                let (sent, reason) = mapped.unwrap_or_else(|| (status, local_reason(status)));
                let decision = match context.branches.iter().any(|branch| branch.last.is_some()) {
                    true => Decision::Final {
                        status,
                        sent,
                        reason,
                    },
                    false => Decision::Unanswered {
                        status: sent,
                        reason,
                    },
                };
                turn.net.decided_for(context.recorded, None, decision);
                let from = context.ingress;
                self.plan.lines.clear();
                if status == 503 || sent == 503 {
                    // Whoever it is, not all at once.
                    let loss = context.requested_loss.unwrap_or(0);
                    self.plan.add_retry_after(loss, &mut turn.net.secrets);
                }
                let (again, lines) = (&mut self.again, &self.plan.lines);
                let bytes = local_answer(turn.net, &base, again, from, sent, reason, lines);
                // P-20: the answer had to be put into our own words, since it came with other
                // Vias, but whoever the request was for has given it: an element before us is
                // not to try another way.
                let is_from_target =
                    best.is_some_and(|(index, _)| context.branches[index].is_from_target);
                let is_to_be_marked =
                    mapped.is_none() && is_from_target && from.principal.is_cluster_node();
                let bytes = if is_to_be_marked {
                    mark_from_target(turn.net, bytes, again)
                } else {
                    bytes
                };
                (sent, bytes)
            }
        };
        for branch in &mut context.branches {
            branch.last = None;
        }
        self.upstream(turn, slot, status, bytes);
    }

    /// Hands a response to the server transaction and puts it on the wire.
    pub(super) fn upstream(&mut self, turn: &mut Turn<'_>, slot: Slot, status: u16, bytes: Buf) {
        let Some(context) = self.contexts.get(slot) else {
            return;
        };
        let Some(server) = context.server else {
            return;
        };
        if status >= 200 && context.is_invite() {
            // A node that stops waits for the ACK: without it a callee would repeat its 2xx, and
            // hang up in the end.
            self.drain.ack_is_due(turn.now);
        }
        let (ingress, outline) = (context.ingress, &mut self.again);
        self.returns.reroute(turn, server, ingress, &bytes, outline);
        turn.net.counters.responses_out += 1;
        turn.count_forwarded(context, status);
        let send = turn.net.txns.respond(turn.now, server, status, bytes);
        // A phone that took the request has given a provisional or a 2xx. Anybody gets a refusal: it
        // is withheld from an address that may be forged (`address_validation`).
        if status < 300 {
            turn.net.transmit_send(send);
        } else {
            turn.send_kept_answer(send);
        }
    }
}

impl Turn<'_> {
    /// Whether a branch went to an element of ours, or would have.
    fn leads_inside(&self, branch: &Branch) -> bool {
        branch.is_inside || self.policy.is_cluster_node(self.net, branch.target.hop)
    }
}

/// The answer to send among those that came: 6xx, else the lowest class, in
/// 4xx one that lets the caller mend something and last one that is about the
/// way there or our own CANCEL (P-23). A target that could not be reached at all counts only
/// when there is nothing else. Of equals the first one counts, which is the one that was
/// preferred.
pub(super) fn best(branches: &[Branch]) -> Option<(usize, u16)> {
    let rank = |status: u16, answered: bool| -> u16 {
        match status {
            // The callee has refused for all of his phones.
            600.. => 0,
            // The caller's phone repeats the request with what was missing (§16.7-6).
            401 | 407 | 415 | 420 | 484 => 400,
            // A proxy says it of the way as well: what only the phone can know comes first.
            480 if answered => 470,
            // We have cancelled it, so it says nothing of the call.
            487 => 480,
            // Met by another branch of the same request: not the phone's word.
            482 => 485,
            // Of the way there alone: any word of a callee is better.
            408 | 430 => 490,
            // Our own, since the DNS has no server: whoever was asked comes first.
            404 | 480 if !answered => 491,
            // Our own, since nothing could be sent there: anything else says more.
            503 if !answered => 900,
            _ => status / 100 * 100 + 50,
        }
    };
    let done = branches
        .iter()
        .enumerate()
        .filter_map(|(index, branch)| match branch.state {
            BranchState::Done(status) => Some((rank(status, branch.last.is_some()), index, status)),
            BranchState::Waiting
            | BranchState::Locating
            | BranchState::Trying { .. }
            | BranchState::Proceeding { .. }
            | BranchState::Skipped => None,
        });
    done.min().map(|(_, index, status)| (index, status))
}

/// The answer with the word that it is of whoever the request was for.
fn mark_from_target(net: &Net, answer: Buf, message: &mut Message) -> Buf {
    let Ok(()) = scan(&answer, message) else {
        return answer;
    };
    let end = message.top_via().map(|via| usize::from(via.value.end));
    let Some((front, back)) = end.and_then(|end| answer.split_at_checked(end)) else {
        return answer;
    };
    net.pool.build(answer.len() + FROM_TARGET.len() + 1, |out| {
        for part in [front, b";", FROM_TARGET.as_bytes(), back] {
            out.extend_from_slice(part);
        }
    })
}

const fn local_reason(status: u16) -> &'static str {
    match status {
        408 => "No Answer From The Next Hop",
        430 => "Flow Failed",
        404 | 480 => "Next Hop Cannot Be Resolved",
        487 => "Request Terminated",
        _ => "Server Failure",
    }
}

/// An answer of our own to a request that only exists as `base` by now and
/// came in there.
pub(super) fn local_answer(
    net: &mut Net,
    base: &[u8],
    message: &mut Message,
    ingress: Ingress,
    status: u16,
    reason: &str,
    lines: &[u8],
) -> Buf {
    // It scanned when it came; what was added is our own.
    let (Ok(()), Some(via)) = (scan_again(base, message), message.top_via()) else {
        return net.pool.copy(b"");
    };
    let request = Request {
        bytes: base,
        message,
        via,
        ingress: Ingress {
            // Its Via no longer says so.
            wants_report: false,
            ..ingress
        },
    };
    if status != 100 {
        net.counters.answers += 1;
    }
    net.build_answer(&request, status, reason, lines)
}

/// P-25: the 401 or 407 of one branch, with the challenges of all the others: the caller answers
/// them in one further request, where the others would challenge him again one by one (RFC 3261
/// §16.7-7).
fn merge_challenges(
    net: &Net,
    branches: &[Branch],
    chosen: usize,
    response: Buf,
    message: &mut Message,
) -> Buf {
    let is_challenge = |branch: &Branch| matches!(branch.state, BranchState::Done(401 | 407));
    if !branches.get(chosen).is_some_and(is_challenge) {
        return response;
    }
    let others = || {
        let others = branches.iter().enumerate();
        let others = others.filter(|(index, branch)| *index != chosen && is_challenge(branch));
        others.filter_map(|(_, branch)| branch.last.as_deref())
    };
    let room: usize = others().map(<[u8]>::len).sum();
    if room == 0 || scan(&response, message).is_err() {
        return response;
    }
    let (front, back) = response.split_at(message.headers_end());
    net.pool.build(response.len() + room, |out| {
        out.extend_from_slice(front);
        for other in others() {
            if scan(other, message).is_err() {
                continue;
            }
            for header in message.headers() {
                if matches!(header.name, Name::WwwAuthenticate | Name::ProxyAuthenticate) {
                    out.extend_from_slice(header.line.of(other));
                }
            }
        }
        out.extend_from_slice(back);
    })
}
