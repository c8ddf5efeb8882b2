//! Requests that a node makes itself, for another element of the cluster. Their
//! transactions repeat them; nobody waits for the answer.

use super::{Owner, Step};
use crate::send::Hop;

impl Step<'_> {
    /// Sends a request of our own, which `write` writes around the Via line that it is
    /// given. Nothing is sent where nothing leads to the hop, or where there is no room for
    /// a transaction.
    pub(crate) fn send_own(
        &mut self,
        hop: Hop,
        method: &[u8],
        write: impl FnOnce(&[u8], &mut Vec<u8>),
    ) {
        let net = &mut *self.net;
        let Some(flow) = net.reach(hop) else {
            return;
        };
        let Some(sent_by) = net.flows.sent_by(flow) else {
            return;
        };
        let Some(client) = net.txns.reserve(Owner::Local) else {
            net.counters.overflows += 1;
            return;
        };
        let mut via = Vec::with_capacity(VIA_ROOM);
        for part in [
            b"Via: SIP/2.0/",
            sent_by.transport.via_token().as_bytes(),
            b" ",
        ] {
            via.extend_from_slice(part);
        }
        sent_by.write(&mut via);
        via.extend_from_slice(b";branch=");
        via.extend_from_slice(&net.txns.branch(client));
        via.extend_from_slice(b"\r\n");
        let room = via.len() + OWN_ROOM;
        let bytes = net.pool.build(room, |out| write(&via, out));
        net.txns
            .start(self.now, client, method, flow, bytes.clone());
        // No node of its own accord begins a call.
        net.liveness.peers.note_request_sent(self.now, flow, false);
        net.counters.requests_out += 1;
        net.transmit(flow, bytes);
    }
}

/// Bytes of a Via line, about.
const VIA_ROOM: usize = 128;

/// Bytes that such a request has beside its Via line, about.
const OWN_ROOM: usize = 512;
