//! Other edges as the next hop: of a request whose phone this edge has no flow to (H-12), and of
//! one whose Route names another edge (D-E4).

use super::Token;
use super::homes::push_in_order;
use super::state::Edge;
use crate::limits;
use crate::omit::Omit;
use crate::proxy::{Pass, Target, Verdict};
use crate::recorder::{Decision, FlowLack};

impl Edge {
    /// H-12: sends the request to the other edges, those of the token first, since the phone may
    /// have registered anew with any of them. The Route stays, so that the next edge finds the
    /// token again. No count of relays is needed: what comes from an edge is not relayed again.
    pub(super) fn relay(&self, pass: &mut Pass<'_, '_>, token: &Token) -> Verdict {
        pass.plan.pop = 0;
        pass.plan.restore_uri = false;
        self.push_other_edges(pass, token, &[false, true]);
        if pass.plan.targets.is_empty() {
            return no_flow(pass, FlowLack::NotHere);
        }
        pass.net.decided(Decision::Relayed);
        // P-34: an ACK has no answer, so no edge could say that it has not the flow.
        pass.plan.ack_all = true;
        pass.net.counters.relays += 1;
        Verdict::Forward
    }

    /// Appends the other edges as targets, each the stand-by of the one before it and
    /// `limits::EDGES_ASKED` at most: first those that the token names, then the members outside
    /// it that are up. `is_down` lists which edges of the token are wanted, in order: `false` those
    /// that are up, `true` those that are down.
    pub(super) fn push_other_edges(
        &self,
        pass: &mut Pass<'_, '_>,
        token: &Token,
        is_down: &[bool],
    ) {
        let first = pass.plan.targets.len();
        let with_others = !pass.net.omit.leaves_out(Omit::Outside);
        let mut push = |index: usize, is_down: bool| {
            let hop = self.member_hop(pass.net, index, pass.request.ingress.flow);
            let hop = hop.filter(|hop| pass.net.is_down(pass.now, *hop) == is_down);
            if let Some(hop) = hop.filter(|_| pass.plan.targets.len() < first + limits::EDGES_ASKED)
            {
                push_in_order(pass.plan, hop);
            }
        };
        for is_down in is_down {
            let named = self.token_indices(token);
            named
                .filter(|index| *index != self.own)
                .for_each(|index| push(index, *is_down));
        }
        if with_others {
            self.indices_outside(token)
                .for_each(|index| push(index, false));
        }
        for target in pass.plan.targets.iter_mut().skip(first) {
            target.is_for_flow = true;
        }
    }

    /// D-E4: sends a request whose Route names another edge there, with that Route in it.
    pub(super) fn forward_to(&self, pass: &mut Pass<'_, '_>, index: usize) -> Verdict {
        pass.plan.pop = 0;
        pass.net.counters.relays += 1;
        let hop = self.member_hop(pass.net, index, pass.request.ingress.flow);
        pass.plan.targets.extend(hop.map(Target::at));
        Verdict::Forward
    }
}

/// Refuses a request whose flow is gone and that no other edge takes: 430 (O-5).
pub(super) fn no_flow(pass: &mut Pass<'_, '_>, lack: FlowLack) -> Verdict {
    pass.net.counters.flows_failed += 1;
    pass.net.decided(Decision::NoFlow(lack));
    Verdict::refuse(430, "Flow Failed")
}
