//! Requests that a node makes itself, for another element of the cluster. Their
//! transactions repeat them; nobody waits for the answer.

use super::{Net, Owner};
use crate::send::Hop;
use crate::time::Instant;

impl Net {
    /// Sends a request of our own, which `write` writes around the Via line it is
    /// given. Where nothing leads to the hop, or nothing more can be begun, it is
    /// left.
    pub(crate) fn send_own(
        &mut self,
        now: Instant,
        hop: Hop,
        method: &[u8],
        write: impl FnOnce(&[u8], &mut Vec<u8>),
    ) {
        let Some(flow) = self.reach(hop) else {
            return;
        };
        let Some(sent_by) = self.flows.sent_by(flow) else {
            return;
        };
        let Some(client) = self.txns.reserve(Owner::Local) else {
            self.counters.overflows += 1;
            return;
        };
        let mut via = std::mem::take(&mut self.text);
        via.clear();
        for part in [
            b"Via: SIP/2.0/",
            sent_by.transport.via_token().as_bytes(),
            b" ",
        ] {
            via.extend_from_slice(part);
        }
        sent_by.write(&mut via);
        via.extend_from_slice(b";branch=");
        self.txns.write_branch(client, &mut via);
        via.extend_from_slice(b"\r\n");
        let room = via.len() + OWN_ROOM;
        let bytes = self.pool.build(room, |out| write(&via, out));
        self.text = via;
        self.txns.start(now, client, method, flow, bytes.clone());
        // No node of its own accord begins a call.
        self.liveness.peers.note_request_sent(now, flow, false);
        self.counters.requests_out += 1;
        self.transmit(flow, bytes);
    }
}

/// What such a request has beside its Via, about.
const OWN_ROOM: usize = 512;
