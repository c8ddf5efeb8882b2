//! A phone over UDP that has registered through another edge, from another address,
//! while this edge still has the flow that it has left (H-20). Nothing is replicated, so no
//! message tells this edge, and nothing but silence shows that a datagram went nowhere.
//!
//! A steadfast home sends requests of the phone's calls to the new flow
//! (`home::moved_dialogs`). Another home goes by the Record-Route, to whichever edge the DNS names,
//! and would wait for half a minute where that is the old one. So where this edge has a request
//! of a dialog for a phone of one flow, and the phone is silent for `limits::PHONE_SILENCE`,
//! the request also goes to the other edges: one that has a flow of the phone sends it
//! there, and where all of them answer 430 the phone still has its full time. A phone of several
//! flows (RFC 5626) is not looked for: its home has its other Path, and the phone would get the
//! request twice.

use super::Token;
use super::state::Edge;
use crate::id::Flow;
use crate::limits;
use crate::proxy::{Pass, follows_loose_redirects};
use crate::scan::Method;
use crate::trust::Principal;

impl Edge {
    /// Adds the other edges as stand-bys of the flow that a request of a dialog goes to.
    pub(super) fn add_silence_standbys(&self, pass: &mut Pass<'_, '_>, flow: Flow, token: &Token) {
        let request = pass.request;
        let may = matches!(flow, Flow::Udp { .. })
            && request.ingress.principal == Principal::Home
            && request.in_dialog()
            && !pass.plan.restore_uri
            && pass.plan.pop > 0
            && !follows_loose_redirects(request);
        // An ACK has no answer that could start a stand-by: it goes to all edges at once, where the
        // phone has not answered an earlier request, as an INVITE that another edge has delivered.
        let is_ack = request.message.method() == Method::Ack;
        if !may
            || is_ack && !pass.net.txns.is_silent(flow)
            || !self.is_alone_with(pass, flow, token)
        {
            return;
        }
        pass.plan.ack_all = is_ack;
        self.push_other_edges(pass, token, &[false]);
        let [phone, others @ ..] = &mut pass.plan.targets[..] else {
            return;
        };
        if others.is_empty() {
            return;
        }
        phone.silence = Some(limits::PHONE_SILENCE);
        let own = request.message.routes().iter().take(pass.plan.pop);
        let own = own.map(|route| route.value.of(request.bytes));
        let route = pass.net.pool.build(limits::TOKEN_MAX, |out| {
            for (index, value) in own.enumerate() {
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                out.extend_from_slice(value);
            }
        });
        for other in others {
            other.route = Some(route.clone());
        }
    }

    /// Whether the phone of a token is bound to `flow` without a reg-id, so that it has no other.
    fn is_alone_with(&self, pass: &Pass<'_, '_>, flow: Flow, token: &Token) -> bool {
        let subscriber = token.subscriber();
        let mut all = self.flow_bindings.of(pass.now, &subscriber);
        all.any(|one| one.flow == flow && one.reg_id == 0)
    }
}
