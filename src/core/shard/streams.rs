//! Streams as they come in: framing across reads, keep-alives, and what a broken
//! or silent one means (RFC 3261 §18.3, RFC 5626 §4.4.1).

use std::net::SocketAddr;

use super::{RoleMut, Shard};
use crate::frame;
use crate::id::{Flow, StreamId};
use crate::limits;
use crate::proxy::{Step, Timer};
use crate::send::{Handoff, Notice, Output};
use crate::stick::Reopen;
use crate::time::Instant;
use crate::trust::Ingress;

impl Shard {
    pub(super) fn connected(&mut self, now: Instant, stream: StreamId, identities: &[Box<str>]) {
        if let Some(state) = self.net.flows.stream_mut(stream) {
            state.up = true;
            state.identities = identities.into();
            let (peer, transport) = (state.peer, state.transport);
            self.watch_opened_connection(now, Flow::Stream(stream));
            self.net.liveness.health.worked(now, transport, peer);
            let notice = Notice::PeerUp { peer, transport };
            self.net.outbox.notify(notice);
            self.identified(now, Flow::Stream(stream));
            self.proxy.flow_up(stream);
            self.home_is_up(now, Flow::Stream(stream));
        }
    }

    /// What waits for a home is let go, where the flow is one's.
    pub(super) fn home_is_up(&mut self, now: Instant, flow: Flow) {
        if let RoleMut::Proxy(proxy, turn) = self.role_mut(now) {
            proxy.home_is_up(&turn, flow);
        }
    }

    /// S-2: the domains in the peer's certificate are the flow's.
    pub(super) fn identified(&mut self, now: Instant, flow: Flow) {
        if self.net.flows.identities(flow).is_empty() {
            return;
        }
        match self.role_mut(now) {
            RoleMut::Proxy(_, turn) => {
                let step = &mut Step::new(turn.net, now);
                turn.policy.on_peer_certificate(step, flow);
            }
            RoleMut::Agent(..) => {}
        }
    }

    pub(super) fn closed(&mut self, now: Instant, stream: StreamId) {
        let back = self.net.flows.reconnect_target(Flow::Stream(stream));
        let Some(state) = self.net.flows.close(stream) else {
            return;
        };
        if !state.opened {
            let source = state.peer.ip();
            self.net.guard.hold(source, state.counted, 0);
            self.net.guard.close(source);
        }
        let why = if state.up {
            "the connection was closed"
        } else {
            "the connection could not be opened"
        };
        if state.opened {
            let is_known = self
                .net
                .liveness
                .health
                .is_open(now, state.transport, state.peer);
            if !state.up {
                self.net
                    .liveness
                    .health
                    .failed(now, state.transport, state.peer);
            }
            if !is_known {
                let notice = Notice::PeerDown {
                    peer: state.peer,
                    transport: state.transport,
                    why,
                };
                self.net.outbox.notify(notice);
            }
        }
        if state.shared {
            self.net.tell_all(&Handoff::Gone { stream });
        }
        self.lost(now, stream, why, back.is_some(), back);
    }

    /// C-18: the keys of a connection come to their end. What begins from here on takes a new one;
    /// what waits on this one is heard out. One that the far side opened, and that of a user agent,
    /// lasts for as long as its key does.
    pub(super) fn used_up(&mut self, now: Instant, stream: StreamId) {
        let flow = Flow::Stream(stream);
        let back = self.net.flows.reconnect_target(flow);
        match self.role_mut(now) {
            RoleMut::Proxy(_, turn) => {
                if !turn.net.flows.replace(stream) {
                    return;
                }
                let step = &mut Step::new(turn.net, now);
                turn.policy.flow_lost(step, flow, back);
            }
            RoleMut::Agent(..) => return,
        }
        let due = now + limits::REPLACED_STREAM_CHECK;
        self.net.txns.set_timer(due, Timer::Silence(stream.0));
    }

    /// Ends a connection that has been replaced, once no request waits on it.
    fn end_replaced(&mut self, now: Instant, stream: StreamId) {
        let mut waiting = Vec::new();
        self.net.txns.clients_on(Flow::Stream(stream), &mut waiting);
        if !waiting.is_empty() {
            let due = now + limits::REPLACED_STREAM_CHECK;
            self.net.txns.set_timer(due, Timer::Silence(stream.0));
            return;
        }
        self.net.outbox.push(Output::Close { stream });
        if self.net.flows.close(stream).is_some_and(|it| it.shared) {
            self.net.tell_all(&Handoff::Gone { stream });
        }
        self.lost(now, stream, "its keys were used up", true, None);
    }

    /// Everyone hears that a stream is gone: whether it had been up, and how it
    /// is opened again, if that is for this shard.
    pub(super) fn lost(
        &mut self,
        now: Instant,
        stream: StreamId,
        why: &'static str,
        was_up: bool,
        back: Option<Reopen>,
    ) {
        let flow = Flow::Stream(stream);
        self.net.liveness.peers.forget(flow);
        match self.role_mut(now) {
            RoleMut::Proxy(proxy, mut turn) => {
                let step = &mut Step::new(turn.net, now);
                turn.policy.flow_lost(step, flow, back);
                proxy.flow_lost(&mut turn, flow, was_up, back);
            }
            RoleMut::Agent(agent, mut step) => agent.flow_lost(&mut step, flow, why),
        }
    }

    /// Cuts what came into messages. A message that is whole in `bytes` is
    /// handled where it lies; only an unfinished rest is copied.
    pub(super) fn stream(&mut self, now: Instant, stream: StreamId, bytes: &[u8]) {
        let Some(state) = self.net.flows.stream_mut(stream) else {
            return;
        };
        let peer = state.peer;
        let opened = state.opened;
        state.heard = now;
        self.net.note_heard(now, Flow::Stream(stream));
        let Some(state) = self.net.flows.stream_mut(stream) else {
            return;
        };
        let mut partial = std::mem::take(&mut state.partial);
        let mut resume = std::mem::take(&mut state.resume);
        let held = !partial.is_empty();
        if held {
            partial.extend_from_slice(bytes);
        }
        let unread = if held { &partial[..] } else { bytes };
        let cut = self.messages(now, stream, peer, opened, unread, &mut resume);
        let Some(Cut { used, begun }) = cut else {
            self.keep_memory(partial);
            return self.abort(now, stream);
        };
        if held {
            partial.drain(..used);
        } else if let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            partial = self.partials.pop().unwrap_or_default();
            partial.extend_from_slice(rest);
        }
        if partial.is_empty() {
            // An idle connection holds no buffer.
            let memory = std::mem::take(&mut partial);
            self.keep_memory(memory);
        }
        let Some(state) = self.net.flows.stream_mut(stream) else {
            return;
        };
        let (before, after) = (state.counted, partial.len());
        if before != after && !opened {
            if !self.net.guard.hold(peer.ip(), before, after) {
                self.net.counters.partials_refused += 1;
                self.keep_memory(partial);
                return self.abort(now, stream);
            }
            state.counted = after;
        }
        state.partial = partial;
        state.resume = resume;
        state.begun = match state.begun {
            Some(earlier) if begun && used == 0 => Some(earlier),
            _ => begun.then_some(now),
        };
        if state.begun.is_some() && !state.watched {
            state.watched = true;
            let due = now + limits::PARTIAL_MESSAGE_MAX;
            self.net.txns.set_timer(due, Timer::Partial(stream.0));
        }
    }

    /// Keeps the memory of an unfinished message for the next one.
    fn keep_memory(&mut self, mut partial: Vec<u8>) {
        if partial.capacity() > 0 && self.partials.len() < limits::PARTIALS_IDLE_MAX {
            partial.clear();
            self.partials.push(partial);
        }
    }

    /// Handles every whole message; `None` when the stream must be closed.
    fn messages(
        &mut self,
        now: Instant,
        stream: StreamId,
        peer: SocketAddr,
        opened: bool,
        unread: &[u8],
        resume: &mut frame::Resume,
    ) -> Option<Cut> {
        let flow = Flow::Stream(stream);
        let mut used = 0;
        loop {
            let front = unread.get(used..).unwrap_or_default();
            match frame::stream(front, resume) {
                frame::StreamFrame::NeedMore { begun } => return Some(Cut { used, begun }),
                frame::StreamFrame::Ping { len } => {
                    self.net.counters.keepalives += 1;
                    match self.role_mut(now) {
                        // The one who pings takes it for two pongs.
                        RoleMut::Agent(agent, mut step) => agent.pong(&mut step, flow),
                        // O-7: who opened the flow pings; two pongs are no ping.
                        RoleMut::Proxy(_, mut turn) if !opened => {
                            turn.on_keepalive(flow);
                            let pong = turn.net.pool.copy(b"\r\n");
                            turn.net.transmit(flow, pong);
                        }
                        RoleMut::Proxy(_, turn) => turn.net.liveness.peers.answers(flow),
                    }
                    used += len;
                }
                frame::StreamFrame::Noise { len } => used += len,
                frame::StreamFrame::Skip { len } => {
                    self.net.counters.keepalives += 1;
                    match self.role_mut(now) {
                        RoleMut::Agent(agent, mut step) => agent.pong(&mut step, flow),
                        RoleMut::Proxy(_, turn) => turn.net.liveness.peers.answers(flow),
                    }
                    used += len;
                }
                frame::StreamFrame::Message { start, end } => {
                    if let Some(state) = self.net.flows.stream_mut(stream) {
                        state.spoke = true;
                    }
                    let message = front.get(start..end).unwrap_or_default();
                    self.message(now, Ingress::by(flow, peer), message, None);
                    used += end;
                }
                frame::StreamFrame::Broken { end, defect } => {
                    let head = front.get(..end).unwrap_or_default();
                    self.message(now, Ingress::by(flow, peer), head, Some(defect));
                    return None;
                }
            }
        }
    }

    /// Closes from our side: what is queued still goes out.
    pub(super) fn abort(&mut self, now: Instant, stream: StreamId) {
        self.net.outbox.push(Output::Close { stream });
        self.closed(now, stream);
    }

    /// O-9: a phone that was told to keep its flow alive has not, or nobody
    /// uses the connection at all.
    pub(super) fn check_silence(&mut self, now: Instant, stream: StreamId) {
        if self.net.flows.is_replaced(stream) {
            return self.end_replaced(now, stream);
        }
        let Some(state) = self.net.flows.stream(stream) else {
            return;
        };
        let (promised, spoke) = (state.promised, state.spoke);
        // The first look is due when a message is.
        let mut due = if spoke {
            state.heard + limits::FLOW_SILENCE_MAX
        } else {
            now
        };
        if due <= now && !promised {
            let flow = Flow::Stream(stream);
            let in_use = match self.role_mut(now) {
                RoleMut::Proxy(_, turn) => turn.policy.keeps_idle_connection(turn.net, now, flow),
                RoleMut::Agent(..) => true,
            };
            if in_use {
                due = now + limits::FLOW_SILENCE_MAX;
            }
        }
        if due > now {
            self.net.txns.set_timer(due, Timer::Silence(stream.0));
            return;
        }
        if spoke {
            self.net.counters.flows_silent += 1;
        } else {
            self.net.counters.flows_mute += 1;
        }
        self.abort(now, stream);
    }

    /// The slow loris: a message that began and does not end. One timer
    /// watches a stream, however many messages pass.
    pub(super) fn check_partial(&mut self, now: Instant, stream: StreamId) {
        let Some(state) = self.net.flows.stream_mut(stream) else {
            return;
        };
        let Some(begun) = state.begun else {
            state.watched = false;
            return;
        };
        let due = begun + limits::PARTIAL_MESSAGE_MAX;
        if due > now {
            self.net.txns.set_timer(due, Timer::Partial(stream.0));
            return;
        }
        self.net.counters.partials_late += 1;
        self.abort(now, stream);
    }
}

/// How far a piece of a stream was cut.
struct Cut {
    /// Bytes that are dealt with.
    used: usize,
    /// The rest is the beginning of a message.
    begun: bool,
}
