//! Who may come in: connections that the shell accepts, and how much of
//! everything while it is late.

use std::net::IpAddr;

use super::{RoleMut, Shard};
use crate::admission::RequestClass;
use crate::guard::{ConnectionAdmission, SourceLimit};
use crate::id::{Flow, StreamId, Transport};
use crate::limits;
use crate::proxy::Timer;
use crate::send::{AcceptedConnection, End, Notice};
use crate::time::{Duration, Instant};

impl Shard {
    /// The shell has come to the end of a turn in which the oldest message
    /// may have waited so long (V-6).
    pub fn late(&mut self, now: Instant, late: Duration) {
        self.net.admission.measured(now, late);
        self.tell_of_shedding(now);
    }

    /// Has the operator told when shedding begins and when it is over: once each, whatever the
    /// share becomes meanwhile.
    fn tell_of_shedding(&mut self, now: Instant) {
        let percent = self.net.admission.loss();
        let counters = &self.net.counters;
        let refused = counters.shed_new
            + counters.shed_renewals
            + counters.shed_calls
            + counters.shed_emergencies
            + counters.connections_shed;
        match self.sheds_since {
            None if percent > 0 => {
                self.sheds_since = Some((now, refused));
                let notice = Notice::SheddingBegan { percent };
                self.net.outbox.notify(notice);
            }
            Some((since, before)) if percent == 0 => {
                self.sheds_since = None;
                self.net.outbox.notify(Notice::SheddingEnded {
                    lasted: now.since(since),
                    refused: refused - before,
                });
            }
            None | Some(_) => {}
        }
    }

    /// The shell has looked how much memory the node uses: this share of what is new is to be
    /// refused for it, in percent, and the messages of this shard may be so many bytes (V-6).
    pub fn set_memory(&mut self, now: Instant, percent: u8, buffers: usize) {
        self.net.admission.set_short(now, percent);
        let pool = &self.net.pool;
        pool.set_bound(buffers.min(limits::BUFFER_BYTES_MAX));
        pool.set_short(percent > 0);
    }

    /// Whether a connection that was just accepted may stay. Over TLS it then
    /// counts as a handshake until `handshake_done`.
    ///
    /// A handshake costs as much as a dozen requests, and no call that is up
    /// depends on it. So while the shard is late it is taken in or refused like
    /// the request that is worth least; a phone tries again by its back-off
    /// (RFC 5626 §4.5). While memory is short that holds without TLS too, since a
    /// connection stays.
    pub fn admit_connection(&mut self, now: Instant, end: &End) -> bool {
        let (ip, transport) = (end.addr.ip(), end.transport);
        let is_peer = self.may_be_peer(now, end);
        if self.sends_phones_away() && !is_peer {
            self.net.counters.drained += 1;
            return false;
        }
        let admission = &mut self.net.admission;
        let is_tls = transport == Transport::Tls;
        let is_crowded = is_tls && self.net.guard.handshakes() >= limits::HANDSHAKES_MAX;
        let costs = is_tls || admission.is_short();
        if !is_peer && (is_crowded || costs && !admission.admits(now, RequestClass::New)) {
            self.net.counters.connections_shed += 1;
            return false;
        }
        let guard = &mut self.net.guard;
        let admitted = (is_peer || guard.admit(now, ip, SourceLimit::Connection))
            && (transport != Transport::Tls || guard.handshake_started(ip, is_peer));
        self.net.counters.connections_refused += u64::from(!admitted);
        admitted
    }

    /// The handshake of a connection from there is over, well or not.
    pub fn handshake_done(&mut self, ip: IpAddr) {
        self.net.guard.handshake_done(ip);
    }

    /// Whether a home or an edge of ours may be at the end of a connection.
    pub fn may_be_peer(&mut self, now: Instant, end: &End) -> bool {
        match self.role_mut(now) {
            RoleMut::Proxy(_, turn) => turn.policy.may_be_cluster_node(end),
            RoleMut::Agent(..) => true,
        }
    }

    /// Names a stream that the shell has just accepted, over TLS once its
    /// handshake is complete; `None` at the bound: close it.
    pub fn accept(&mut self, now: Instant, accepted: &AcceptedConnection<'_>) -> Option<StreamId> {
        let source = accepted.peer.ip();
        let is_peer = self.may_be_peer(now, &accepted.end());
        match self.net.guard.open(source, is_peer) {
            ConnectionAdmission::Counted => {}
            ConnectionAdmission::Near(near) => {
                let notice = Notice::SourceNear { source, near };
                self.net.outbox.notify(notice);
            }
            ConnectionAdmission::Full => {
                self.net.counters.connections_refused += 1;
                return None;
            }
        }
        let stream = self.net.flows.accept(accepted);
        if stream.is_none() {
            self.net.guard.close(source);
        }
        if let Some(stream) = stream {
            let flow = Flow::Stream(stream);
            self.watch_silence(now, stream);
            self.identified(now, flow);
        }
        self.net.counters.overflows += u64::from(stream.is_none());
        stream
    }

    /// Watches a connection that was accepted: it is closed when nothing was
    /// said on it after `limits::FIRST_MESSAGE_MAX`, and when nobody uses it
    /// any more after `limits::FLOW_SILENCE_MAX`.
    fn watch_silence(&mut self, now: Instant, id: StreamId) {
        if let Some(stream) = self.net.flows.stream_mut(id) {
            stream.heard = now;
            let due = now + limits::FIRST_MESSAGE_MAX;
            self.net.txns.set_timer(due, Timer::Silence(id.0));
        }
    }
}
