//! A phone over UDP that has registered through another edge, from another address,
//! while this one still has the flow that it has left (H-20): nobody tells this edge, since
//! nothing is replicated, and nothing but silence shows that a datagram went nowhere.
//!
//! A steadfast home sends what belongs to the calls of the phone to where it has gone
//! (`home::kin`). Another home goes by the Record-Route, to whichever edge the DNS names,
//! and waits for half a minute where that is the old one. So where it has a request of a
//! dialog for a phone of one flow, and the phone is silent for `limits::PHONE_SILENCE`,
//! the other edges are asked beside it: whoever has a flow of the same phone sends it
//! there, and a 430 of all of them leaves the phone its time. A phone of several flows
//! (RFC 5626) is not looked for: its home has its other Path, and would have the phone
//! asked twice.

use super::Token;
use super::state::Edge;
use crate::id::Flow;
use crate::limits;
use crate::proxy::{Pass, shows_loose};
use crate::scan::Method;
use crate::trust::Principal;

impl Edge {
    /// Has the other edges stand by for the flow that a request of a dialog goes to.
    pub(super) fn add_silence_standbys(&self, pass: &mut Pass<'_, '_>, flow: Flow, token: &Token) {
        let request = pass.request;
        let may = matches!(flow, Flow::Udp { .. })
            && request.ingress.principal == Principal::Home
            && request.in_dialog()
            && !pass.plan.restore_uri
            && pass.plan.pop > 0
            && !shows_loose(request);
        // Nobody answers an ACK: it goes to all of them where the others have been asked for
        // something that the phone has not answered yet, as the INVITE that was taken elsewhere.
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

    /// Whether the phone of a token has this flow and has said of no other.
    fn is_alone_with(&self, pass: &Pass<'_, '_>, flow: Flow, token: &Token) -> bool {
        let subscriber = token.subscriber();
        let mut all = self.registrations.of(pass.now, &subscriber);
        all.any(|one| one.flow == flow && one.reg_id == 0)
    }
}
