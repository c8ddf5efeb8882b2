//! CANCEL, both ways (RFC 3261 §9, §16.10).

use super::{Net, Owner, Proxy, Request, State, Timer};
use crate::edit::derive::{self, Derived};
use crate::id::Slot;
use crate::limits;
use crate::scan::scan;
use crate::time::Instant;
use crate::txn::Kind;

impl Proxy {
    /// A CANCEL came: 200 at once and every pending branch is cancelled
    /// (P-32); 481 when there is nothing to cancel.
    pub(super) fn cancel(&mut self, net: &mut Net, now: Instant, request: &Request<'_>) {
        let key = net.server_key(request, None);
        if let Some(server) = net.txns.find_server(key) {
            net.counters.retransmissions_in += 1;
            let again = net.txns.request_again(server);
            return net.transmit_send(again);
        }
        let invite = net.server_key(request, Some(b"INVITE"));
        let owner = net
            .txns
            .find_server(invite)
            .map(|server| net.txns.server_owner(server));
        let (status, reason) = match owner {
            Some(_) => (200, "OK"),
            None => (481, "Nothing To Cancel"),
        };
        let bytes = net.answer(request, status, reason, b"");
        net.counters.answers += 1;
        match net
            .txns
            .open_server(now, key, Kind::Other, request.reply_flow(), Owner::Local)
        {
            Some(server) => {
                let send = net.txns.respond(now, server, status, bytes);
                net.transmit_send(send);
            }
            None => net.transmit(request.reply_flow(), bytes),
        }
        if let Some(Some(Owner::Proxy { context, .. })) = owner
            && self
                .contexts
                .get(context)
                .is_some_and(|context| !context.answered)
        {
            self.close(net, now, context);
        }
    }

    /// Sends the CANCEL of one branch, to where its INVITE went (P-33).
    pub(super) fn send_cancel(&mut self, net: &mut Net, now: Instant, slot: Slot, index: usize) {
        let Some(client) = self.branch(slot, index).and_then(|branch| branch.client) else {
            return;
        };
        let (Some(sent), Some(flow)) = (
            net.txns.client_request(client).cloned(),
            net.txns.client_flow(client),
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
        let Some(id) = net.txns.reserve_cancel(client, owner) else {
            return;
        };
        let again = &self.again;
        let bytes = net.pool.build(sent.len(), |out| {
            derive::write(Derived::Cancel, &sent, again, out)
        });
        net.txns.start(now, id, b"CANCEL", flow, bytes.clone());
        net.transmit(flow, bytes);
        net.counters.requests_out += 1;
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        context.live += 1;
        let Some(branch) = context.branches.get_mut(index) else {
            return;
        };
        branch.cancel = Some(id);
        branch.state = State::Proceeding { cancelled: true };
        branch.due = now + limits::CANCEL_GRACE;
        if let Some(timer) = branch.timer.take() {
            net.txns.cancel_timer(timer);
        }
        branch.timer = Some(net.txns.set_timer(
            branch.due,
            Timer::Branch {
                context: slot,
                branch: branch_number,
            },
        ));
    }
}
