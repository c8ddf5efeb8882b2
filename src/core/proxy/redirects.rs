//! Redirects between proxies: a hop that knows better is followed here and
//! never shown to the caller (S-26, B-10).

use super::own_params::LOOSE;
use super::{Branch, Proxy, Request, Response, Turn};
use crate::grammar::params;
use crate::id::Slot;
use crate::limits;

impl Proxy {
    /// A branch was redirected. False when the caller is to follow the redirect. Otherwise
    /// the branch ends as by a lost flow, and the targets that the redirect names become its
    /// next stand-bys, before the one that it had.
    pub(super) fn redirected(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        index: usize,
        response: &Response<'_>,
    ) -> bool {
        let Some(context) = self.contexts.get_mut(slot) else {
            return false;
        };
        let Some(branch) = context.branches.get(index).filter(|_| !context.answered) else {
            return false;
        };
        let mut instead = Vec::new();
        let target = &branch.target;
        let (net, policy) = (&mut *turn.net, &mut *turn.policy);
        if !policy.on_redirect(net, context, target, response, &mut instead) {
            return false;
        }
        let from = turn.net.flows.host(context.branches[index].target.hop);
        let head = context.head(index);
        let is_in_chain: Vec<bool> = (0..context.branches.len())
            .map(|other| context.head(other) == head)
            .collect();
        let mut further = Vec::new();
        for target in instead {
            if context.branches.len() + further.len() >= limits::BRANCHES_MAX {
                break;
            }
            let host = turn.net.flows.host(target.hop);
            let there = |branch: &&mut Branch| {
                // The same host is the same element, unless it is the one that redirects:
                // edges may share an address.
                branch.target.hop == target.hop
                    || host != from && turn.net.flows.host(branch.target.hop) == host
            };
            // A way of this chain that leads there already is not added twice. That another
            // phone was looked for there, in another chain, says nothing of this one.
            let chain = context.branches.iter_mut().zip(&is_in_chain);
            let chain = chain.filter(|(_, is_in_chain)| **is_in_chain);
            let mut chain = chain.map(|(branch, _)| branch).chain(&mut further);
            match chain.find(there) {
                Some(other) => other.target.learns = target.learns,
                None => further.push(Branch::new(target)),
            }
        }
        context.append_standbys(index, further.into_iter());
        self.branch_ended(turn, slot, index, 430, None);
        true
    }
}

/// Whether the sender of a request follows loose redirects.
#[must_use]
pub(crate) fn follows_loose_redirects(request: &Request<'_>) -> bool {
    params::find(request.bytes, request.via.params, LOOSE).is_some()
}
