//! CANCEL, both ways (RFC 3261 §9, §16.10).

use super::{Owner, Proxy, Request, State, Timer, Turn};
use crate::edit::derive::{self, Derived};
use crate::id::Slot;
use crate::limits;
use crate::scan::scan;
use crate::txn::Kind;

impl Proxy {
    /// A CANCEL came: 200 at once and every pending branch is cancelled
    /// (P-32); 481 when there is nothing to cancel.
    pub(super) fn cancel(&mut self, turn: &mut Turn<'_>, request: &Request<'_>) {
        let key = turn.net.server_key(request, None);
        if let Some(server) = turn.net.txns.find_server(key) {
            turn.net.counters.retransmissions_in += 1;
            let again = turn.net.txns.request_again(server);
            return turn.net.transmit_send(again);
        }
        let invite = turn.net.server_key(request, Some(b"INVITE"));
        let owner = turn
            .net
            .txns
            .find_server(invite)
            .map(|server| turn.net.txns.server_owner(server));
        let (status, reason) = match owner {
            Some(_) => (200, "OK"),
            None => (481, "Nothing To Cancel"),
        };
        let bytes = turn.net.answer(request, status, reason, b"");
        turn.net.counters.answers += 1;
        match turn.net.txns.open_server(
            turn.now,
            key,
            Kind::Other,
            request.reply_flow(),
            Owner::Local,
        ) {
            Some(server) => {
                let send = turn.net.txns.respond(turn.now, server, status, bytes);
                turn.net.transmit_send(send);
            }
            None => turn.net.transmit(request.reply_flow(), bytes),
        }
        if let Some(Some(Owner::Proxy { context, .. })) = owner
            && self
                .contexts
                .get(context)
                .is_some_and(|context| !context.answered)
        {
            self.close(turn, context);
        }
    }

    /// Sends the CANCEL of one branch, to where its INVITE went (P-33).
    pub(super) fn send_cancel(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) {
        let Some(client) = self.branch(slot, index).and_then(|branch| branch.client) else {
            return;
        };
        let (Some(sent), Some(flow)) = (
            turn.net.txns.client_request(client).cloned(),
            turn.net.txns.client_flow(client),
        ) else {
            return;
        };
        if scan(&sent, &mut self.again).is_err() {
            return;
        }
        let branch_number = u8::try_from(index).unwrap_or(u8::MAX);
        let owner = Owner::Cancel {
            context: slot,
            branch: branch_number,
        };
        let Some(id) = turn.net.txns.reserve_cancel(client, owner) else {
            return;
        };
        let again = &self.again;
        let bytes = turn.net.pool.build(sent.len(), |out| {
            derive::write(Derived::Cancel, &sent, again, out)
        });
        turn.net
            .txns
            .start(turn.now, id, b"CANCEL", flow, bytes.clone());
        turn.net.transmit(flow, bytes);
        turn.net.counters.requests_out += 1;
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        context.live += 1;
        let Some(branch) = context.branches.get_mut(index) else {
            return;
        };
        branch.cancel = Some(id);
        branch.state = State::Proceeding { cancelled: true };
        branch.due = turn.now + limits::CANCEL_GRACE;
        if let Some(timer) = branch.timer.take() {
            turn.net.txns.cancel_timer(timer);
        }
        branch.timer = Some(turn.net.txns.set_timer(
            branch.due,
            Timer::Branch {
                context: slot,
                branch: branch_number,
            },
        ));
    }
}
