//! All requests under way, by the slots that transactions and timers name ([`Owner`]).

use super::branch::Branch;
use super::{Context, Net, Owner};
use crate::bytes::Pool;
use crate::carry::carried;
use crate::id::{ClientId, Slab, Slot};
use crate::limits;
use crate::recorder::{Decision, Silence};

/// The requests under way.
#[derive(Debug)]
pub(super) struct Contexts {
    slab: Slab<Context>,
    /// Those that have no final answer yet: a node that drains waits for them.
    unanswered: usize,
    /// Branch lists of past contexts, kept for their memory: those with room for one branch, and
    /// the others. Most requests have one target, and a call is kept for half a minute.
    spare: [Vec<Vec<Branch>>; 2],
}

impl Default for Contexts {
    fn default() -> Self {
        Self {
            slab: Slab::new(limits::TRANSACTIONS_MAX),
            unanswered: 0,
            spare: Default::default(),
        }
    }
}

impl Contexts {
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Number of those that have no final answer yet.
    pub(super) const fn unanswered(&self) -> usize {
        self.unanswered
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Context> {
        self.slab.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Context> {
        self.slab.get_mut(slot)
    }

    /// One branch of a request.
    pub(super) fn branch(&mut self, slot: Slot, index: usize) -> Option<&mut Branch> {
        self.get_mut(slot)?.branches.get_mut(index)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Context> {
        self.slab.iter().map(|(_, context)| context)
    }

    /// The slots of those that have no final answer yet.
    pub(super) fn unanswered_slots(&self) -> Vec<Slot> {
        let unanswered = self.slab.iter().filter(|(_, context)| !context.answered);
        unanswered.map(|(slot, _)| slot).collect()
    }

    /// Number of slots that were ever used, for `at`.
    pub(super) fn end(&self) -> usize {
        self.slab.end()
    }

    /// The context at a slot of this number, if there is one.
    pub(super) fn at(&self, index: u32) -> Option<(Slot, &Context)> {
        self.slab.at(index)
    }

    /// Takes in a request that is forwarded, and has no answer; `None` at the bound
    /// (`limits::TRANSACTIONS_MAX`).
    pub(super) fn insert(&mut self, context: Context) -> Option<Slot> {
        let slot = self.slab.insert(context).ok()?;
        self.unanswered += 1;
        Some(slot)
    }

    /// Notes that a request gets its final answer; returns it, and whether it had one before.
    pub(super) fn answer(&mut self, slot: Slot) -> Option<(&mut Context, bool)> {
        let context = self.slab.get_mut(slot)?;
        let was_answered = std::mem::replace(&mut context.answered, true);
        self.unanswered -= usize::from(!was_answered);
        Some((context, was_answered))
    }

    /// An empty list with room for so many branches, with the memory of an earlier one.
    pub(super) fn spare(&mut self, room: usize) -> Vec<Branch> {
        let mut branches = self.shelf(room).pop().unwrap_or_default();
        // A vector left to itself makes room for four.
        branches.reserve_exact(room.max(1));
        branches
    }

    /// Keeps the memory of a list of branches that is empty.
    pub(super) fn keep_spare(&mut self, branches: Vec<Branch>) {
        let shelf = self.shelf(branches.capacity());
        if shelf.len() < limits::POOL_IDLE_MAX {
            shelf.push(branches);
        }
    }

    fn shelf(&mut self, room: usize) -> &mut Vec<Vec<Branch>> {
        let [for_one, for_more] = &mut self.spare;
        if room > 1 { for_more } else { for_one }
    }

    /// Tells the recorder why a branch is given up, or not waited for alone.
    pub(super) fn record_silence(&self, net: &mut Net, slot: Slot, index: usize, why: Silence) {
        let Some(context) = self.get(slot) else {
            return;
        };
        let branch = context.branches.get(index).filter(|it| it.is_pending());
        if let Some(branch) = branch {
            let hop = Some(branch.target.hop);
            net.decided_for(context.recorded, hop, Decision::Silent(why));
        }
    }

    /// Drops the transaction of a branch at once. The context still counts it until
    /// `transaction_ended` is called.
    pub(super) fn abandon(&mut self, net: &mut Net, slot: Slot, index: usize, client: ClientId) {
        net.txns.abandon(client);
        if let Some(branch) = self.branch(slot, index) {
            branch.client = None;
        }
    }

    /// A transaction of the request ended; with the last one its context is removed.
    pub(super) fn transaction_ended(&mut self, net: &mut Net, slot: Slot) {
        let Some(context) = self.get_mut(slot) else {
            return;
        };
        context.live = context.live.saturating_sub(1);
        if context.live == 0 {
            self.remove(net, slot);
        }
    }

    /// Removes the context of a request other than INVITE once all is said: what its
    /// transactions still have to do for half a minute needs no context. That of an INVITE
    /// stays, since a further 2xx is passed on (P-27) and a late provisional is cancelled.
    pub(super) fn remove_if_over(&mut self, net: &mut Net, slot: Slot) {
        let Some(context) = self.get(slot) else {
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

    /// Removes a context, and the timers that would lead back to it.
    pub(super) fn remove(&mut self, net: &mut Net, slot: Slot) {
        let Some(mut context) = self.slab.remove(slot) else {
            return;
        };
        if !context.answered {
            self.unanswered -= 1;
        }
        for branch in context.branches.drain(..) {
            if let Some(timer) = branch.timer {
                net.txns.cancel_timer(timer);
            }
        }
        self.keep_spare(context.branches);
    }
}

impl Contexts {
    /// Has the buffers that were read belong to a pool.
    pub(super) fn adopt_bufs(&mut self, pool: &Pool) {
        let contexts = self.slab.values_mut();
        contexts.for_each(|context| context.for_each_buf(|buf| pool.adopt(buf)));
    }
}

carried!(Contexts {
    values: slab, unanswered;
    made: spare;
});
