//! What the silence of a peer means for the requests that wait on its flow (T-10). `keepalives` and
//! `send` find out who is silent, `standby` chooses who stands in.

use super::branch::AnswerWeight;
use super::{Net, Owner, Proxy, Turn};
use crate::id::{Flow, Slot};
use crate::recorder::Silence;

impl Proxy {
    /// A peer has been silent for too long (T1): every request that has heard
    /// nothing of it goes to its stand-by at once. What rings there already is left
    /// alone: a second INVITE would ring the phone twice.
    pub(crate) fn peer_suspected(&mut self, turn: &mut Turn<'_>, flow: Flow) {
        for (slot, index) in branches_on(turn.net, flow) {
            self.start_standby(turn, slot, index);
        }
    }

    /// A peer is silent for good: nothing waits for it any longer. Its
    /// transactions stay, so that a 2xx that comes after all is not lost.
    pub(crate) fn peer_lost(&mut self, turn: &mut Turn<'_>, flow: Flow) {
        for (slot, index) in branches_on(turn.net, flow) {
            let branch = self.contexts.branch(slot, index);
            let Some(branch) = branch.filter(|branch| branch.is_pending()) else {
                continue;
            };
            let status = branch.loss_status(turn.net);
            // Its request may have arrived and its answer be lost, so a late answer still counts
            // where another branch says so (482, `Context::is_waiting`).
            branch.answer_weight = AnswerWeight::FlowLost;
            turn.net.counters.transport_failures += 1;
            self.contexts
                .record_silence(turn.net, slot, index, Silence::PeerLost);
            self.branch_ended(turn, slot, index, status, None);
            if let Some(branch) = self.contexts.branch(slot, index) {
                branch.arm_final_deadline(turn, slot, index);
            }
        }
    }
}

/// The branches whose requests wait for a final answer on `flow`.
fn branches_on(net: &Net, flow: Flow) -> impl Iterator<Item = (Slot, usize)> + use<> {
    let mut waiting = Vec::new();
    net.txns.clients_on(flow, &mut waiting);
    waiting.into_iter().filter_map(|(_, owner)| match owner {
        Owner::Proxy { context, branch } => Some((context, usize::from(branch))),
        Owner::Cancel { .. } | Owner::Local | Owner::Agent(_) => None,
    })
}
