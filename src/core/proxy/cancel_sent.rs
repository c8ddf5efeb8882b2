//! The CANCELs that we send (RFC 3261 §9.1), and why (RFC 3326).

use super::branch::BranchState;
use super::{Net, Owner, Proxy, Turn};
use crate::edit::derive::{self, Derived};
use crate::id::{ClientId, Slot};
use crate::limits;
use crate::omit::Omit;
use crate::scan::scan_again;

/// Why a phone stops ringing when another one has taken the call: without it
/// every other phone of the user shows a missed call (RFC 3326 §3.2).
const ELSEWHERE: &[u8] = b"Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n";

/// Why a phone stops ringing that nobody has taken up: its user has missed a call.
const UNANSWERED: &[u8] = b"Reason: SIP;cause=408;text=\"No Answer\"\r\n";

impl Proxy {
    /// Starts nothing more and cancels what is pending (P-22, P-29, P-32).
    pub(super) fn cancel_pending(&mut self, turn: &mut Turn<'_>, slot: Slot) {
        let Some(context) = self.contexts.get_mut(slot) else {
            return;
        };
        // From here on `advance` starts no group, and `standby_after` and `standby_beside` no stand-by.
        context.closed = true;
        context.is_held = false;
        let count = context.branches.len();
        // Only an INVITE can be cancelled (§9.1).
        let invite = context.is_invite() && !turn.net.omit.leaves_out(Omit::Cancelling);
        for index in 0..count {
            let Some(branch) = self.contexts.branch(slot, index) else {
                break;
            };
            match branch.state {
                BranchState::Waiting => branch.state = BranchState::Skipped,
                // Nothing was sent, so there is nothing to cancel.
                BranchState::Locating => {
                    branch.state = BranchState::Skipped;
                    if let Some(timer) = branch.timer.take() {
                        turn.net.txns.cancel_timer(timer);
                    }
                }
                // A CANCEL may leave only after a provisional: one that overtook its
                // INVITE would match nothing there (§9.1, P-33).
                BranchState::Trying { .. } if invite => {
                    branch.state = BranchState::Trying { cancel: true }
                }
                BranchState::Proceeding { cancelled: false } if invite => {
                    // Without room for a transaction none is sent, and Timer C ends the branch.
                    self.send_cancel(turn, slot, index);
                }
                // It was given up for silence, and rings all the same: without a CANCEL it would
                // until somebody answers a call that is over. With 487 it had its CANCEL.
                BranchState::Done(status) if invite && status != 487 => {
                    if branch.client.is_some_and(|client| rings(turn.net, client)) {
                        self.send_cancel(turn, slot, index);
                    }
                }
                BranchState::Trying { .. }
                | BranchState::Proceeding { .. }
                | BranchState::Done(_)
                | BranchState::Skipped => {}
            }
        }
    }

    /// Sends the CANCEL of one branch, to where its INVITE went (P-33). False
    /// when there is no room for one.
    pub(super) fn send_cancel(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) -> bool {
        let owner = Owner::Cancel { context: slot };
        let client = self
            .contexts
            .branch(slot, index)
            .and_then(|branch| branch.client);
        let context = self.contexts.get(slot);
        let own = context.and_then(|context| context.reason.clone());
        let reason = match (&own, context) {
            (Some(reason), _) => &reason[..],
            (None, Some(context)) if context.is_taken() => ELSEWHERE,
            (None, Some(context)) if !context.closed => UNANSWERED,
            (None, _) => b"",
        };
        let sent = client.and_then(|invite| self.derive_cancel(turn, invite, owner, reason));
        let Some(context) = self.contexts.get_mut(slot).filter(|_| sent.is_some()) else {
            return false;
        };
        context.live += 1;
        turn.net.counters.requests_out += 1;
        let rang_out = turn.ring_time(context, index).is_some();
        let Some(branch) = context.branches.get_mut(index) else {
            return false;
        };
        branch.state = BranchState::Proceeding { cancelled: true };
        branch.rang_out = rang_out;
        let grace = if rang_out {
            limits::RANG_OUT_GRACE
        } else {
            limits::CANCEL_GRACE
        };
        branch.set_due(turn, slot, index, grace);
        true
    }

    fn derive_cancel(
        &mut self,
        turn: &mut Turn<'_>,
        invite: ClientId,
        owner: Owner,
        reason: &[u8],
    ) -> Option<()> {
        let net = &mut *turn.net;
        let sent = net.txns.client_request(invite)?.clone();
        let flow = net.txns.client_flow(invite)?;
        scan_again(&sent, &mut self.again).ok()?;
        let id = net.txns.reserve_cancel(invite, owner)?;
        let again = &self.again;
        let bytes = net.pool.build(sent.len() + reason.len(), |out| {
            derive::write(Derived::Cancel { reason }, &sent, again, out)
        });
        net.txns.start(turn.now, id, b"CANCEL", flow, bytes.clone());
        net.transmit(flow, bytes);
        Some(())
    }
}

/// Whether an INVITE rings, as far as is known, and can be cancelled.
fn rings(net: &Net, invite: ClientId) -> bool {
    let flow = net.txns.client_flow(invite);
    net.txns.is_proceeding(invite) && flow.is_some_and(|flow| net.flows.lives(flow))
}
