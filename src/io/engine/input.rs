//! What comes in: orders, the other shards' hand-overs, datagrams, connections.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::Engine;
use crate::home::{SharedBindings, SharedRow};
use crate::id::{Slot, Transport};
use crate::io::accept;
use crate::io::completion_id;
use crate::io::inbox::{NewSettings, Order};
use crate::io::ring::{self, Completion, Receiver, Side};
use crate::io::streams::Came;
use crate::io::{KeptBindings, SharedAnswer};
use crate::limits;
use crate::send::{AcceptedConnection, End};
use crate::shard::Input;

impl Engine {
    pub(super) fn on_inbox(&mut self, completion: Completion) {
        if !completion.goes_on && !self.is_still() {
            self.ring.watch(self.inbox.as_fd(), completion_id::INBOX);
        }
        self.take_orders();
    }

    /// Does what the control thread says; false when it has said nothing. A shard that stands
    /// still does it later.
    pub(super) fn take_orders(&mut self) -> bool {
        let mut were_any = false;
        while !self.is_still()
            && let Some(order) = self.inbox.next()
        {
            were_any = true;
            self.obey(order);
        }
        were_any
    }

    pub(super) fn obey(&mut self, order: Order) {
        match order {
            Order::Drain if self.ends_at.is_none() => {
                let within = self.drain_for;
                tracing::info!(shard = self.mesh.own(), ?within, "draining");
                self.ends_at = Some(self.now + within);
                self.shard.handle(self.now, Input::Drain { within });
            }
            Order::Drain => self.ends_at = Some(self.now),
            Order::Report => self.report(),
            Order::StandStill { leaves, shard } => self.begin_standing(leaves, shard),
            Order::GoOn => self.end_standing(),
            Order::Ask {
                question,
                answer,
                shard,
            } => {
                // Nobody waits for it any more: the asker has given up.
                if answer.try_send((shard, self.respond(&question))).is_err() {
                    tracing::debug!("an answer came too late");
                }
            }
            Order::Resolved { name, records } => {
                let records = *records;
                self.shard
                    .handle(self.now, Input::Resolved { name, records });
            }
            Order::Stored { up_to } => self.shard.handle(self.now, Input::Stored { up_to }),
            Order::NotStored => self.shard.handle(self.now, Input::NotStored),
            Order::Shared(answers) => answers.iter().for_each(|answer| self.on_shared(answer)),
            Order::TellShared(what) => self.shard.handle(self.now, Input::TellShared(what)),
            Order::Subscribers { list, revoked } => {
                let input = Input::Subscribers { list, revoked };
                self.shard.handle(self.now, input);
            }
            Order::SubscribersRefused => self.counters.subscribers_reloads_refused += 1,
            Order::Settings { settings, done } => {
                self.take_over(&settings);
                // Nobody waits for it any more.
                if done.try_send(()).is_err() {
                    tracing::debug!("a shard was late to take its settings over");
                }
            }
            Order::ReloadRefused => self.counters.reloads_refused += 1,
            Order::Tls(tls) => {
                self.counters.tls_reloads += 1;
                self.streams.set_tls(Some(tls));
            }
            Order::TlsRefused => self.counters.tls_reloads_refused += 1,
        }
        self.settle();
    }

    /// A store that several homes share says something of an address of record.
    fn on_shared(&mut self, answer: &SharedAnswer) {
        let bindings = match &answer.bindings {
            KeptBindings::AsHere => Some(SharedBindings::AsHere),
            KeptBindings::Are(row) => Some(SharedBindings::Are(row.as_deref())),
            KeptBindings::Unknown => None,
        };
        let row = bindings.map(|bindings| SharedRow {
            key: &answer.key,
            version: answer.version,
            bindings,
            number: answer.number,
        });
        let ask = answer.ask;
        self.shard.handle(self.now, Input::Shared { row, ask });
        if answer.is_refused {
            let number = answer.number;
            self.shard.handle(self.now, Input::Refused { number });
        }
        self.carry_out();
    }

    /// Goes by other settings from here on.
    fn take_over(&mut self, settings: &NewSettings) {
        let NewSettings {
            configuration,
            tls,
            subscribers,
            drain_for,
        } = settings;
        self.drain_for = *drain_for;
        self.counters.reloads += 1;
        if let Some(tls) = tls {
            self.streams.set_tls(Some(Arc::clone(tls)));
        }
        if let Some((list, revoked)) = subscribers {
            let (list, revoked) = (Arc::clone(list), Arc::clone(revoked));
            self.shard
                .handle(self.now, Input::Subscribers { list, revoked });
            self.settle();
        }
        self.shard
            .handle(self.now, Input::Configured(configuration));
    }

    /// Takes what the other shards gave; true when there was anything.
    pub(super) fn on_rings(&mut self) -> bool {
        let mut count = 0;
        while count < limits::HANDOFF_BATCH
            && let Some((from, handoff)) = self.mesh.take()
        {
            count += 1;
            self.shard
                .handle(self.now, Input::Handoff { from, handoff });
            self.settle();
        }
        self.mesh.handled(count);
        self.is_behind |= count == limits::HANDOFF_BATCH;
        count > 0
    }

    /// What came of the sends that the last enter submitted.
    pub(super) fn on_sent(&mut self) {
        let (ring, counters) = (&mut self.ring, &mut self.counters);
        // Nothing is staged before the first of them is staged again.
        self.ports.connect(
            Receiver {
                ring,
                room: &self.room,
            },
            counters,
        );
        self.ports.on_sent(ring, counters);
        self.streams.on_written(ring);
    }

    pub(super) fn on_datagram(&mut self, index: u16, completion: Completion) {
        match (completion.result, completion.buffer) {
            (Ok(count), Some(buffer)) => {
                self.counters.udp_received += 1;
                self.backlog.take(count);
                let side = self.ports.side(index);
                self.take_datagram(index, side, buffer, count);
                self.room.datagrams(side).give_back(buffer);
            }
            (Err(libc::ENOBUFS), _) => {
                self.counters.buffers_exhausted += 1;
                self.is_behind = true;
            }
            // An error is what a datagram of ours met; the error queue has more.
            (Err(_), _) => self.ports.read_errors(index),
            (Ok(_), None) => {}
        }
        if !completion.goes_on && self.is_still() {
            self.ports.on_cancelled(index);
        } else if !completion.goes_on {
            self.ports.receive(
                Receiver {
                    ring: &mut self.ring,
                    room: &self.room,
                },
                index,
            );
        }
    }

    fn take_datagram(&mut self, index: u16, side: Side, buffer: u16, count: usize) {
        let filled = self.room.datagrams(side).filled(buffer, count);
        let Some((peer, bytes)) = self.ring.datagram(filled) else {
            self.counters.udp_unreadable += 1;
            return;
        };
        if let Some(socket) = self.ports.on_datagram(index, peer) {
            let input = Input::Datagram {
                socket,
                peer,
                bytes,
            };
            self.shard.handle(self.now, input);
        }
    }

    /// A listener accepted a connection, or will not accept more.
    pub(super) fn on_accepted(&mut self, accepted: ring::AcceptedSocket) {
        let index = usize::from(accepted.listener);
        if !accepted.goes_on
            && let Some(listener) = self.listeners.get_mut(index)
        {
            let error = accepted.result.as_ref().err().copied();
            listener.on_ended(&mut self.ring, error);
        }
        if let Ok(socket) = accepted.result {
            self.admit(index, socket);
        }
        self.carry_out();
    }

    pub(super) fn on_listener_ready(&mut self, index: usize) {
        if let Some(listener) = self.listeners.get_mut(index)
            && listener.turn_away(&mut self.ring)
        {
            self.descriptors.refused(self.now, &mut self.counters);
        }
    }

    fn admit(&mut self, index: usize, socket: OwnedFd) {
        let Some(listener) = self.listeners.get(index) else {
            return;
        };
        let Some((socket, peer)) = accept::peer(socket) else {
            return;
        };
        let end = End {
            transport: listener.transport,
            addr: peer,
            core_side: listener.accepts_peers,
        };
        if self.descriptors.is_reserved(&socket) && !self.shard.may_be_peer(self.now, &end) {
            self.descriptors.refused(self.now, &mut self.counters);
            return;
        }
        if !self.shard.admit_connection(self.now, &end) {
            // Dropping the connection closes it.
            self.counters.tcp_refused += 1;
            return;
        }
        let ring = Receiver {
            ring: &mut self.ring,
            room: &self.room,
        };
        if end.transport == Transport::Tls {
            let counters = &mut self.counters;
            self.streams
                .accept_tls(ring, self.now, socket, peer, counters);
            return;
        }
        // At the bound the connection is dropped, which closes it.
        let Some(stream) = self.shard.accept(
            self.now,
            &AcceptedConnection {
                transport: Transport::Tcp,
                peer,
                core_side: end.core_side,
                identities: &[],
            },
        ) else {
            self.counters.tcp_refused += 1;
            return;
        };
        self.counters.tcp_accepted += 1;
        self.streams.accept(ring, stream, socket);
    }

    pub(super) fn on_connected(&mut self, slot: Slot, completion: Completion) {
        let ring = Receiver {
            ring: &mut self.ring,
            room: &self.room,
        };
        let connected =
            self.streams
                .on_connected(ring, slot, completion.result, &mut self.counters);
        if let Some(stream) = connected {
            let identities = &[];
            let input = Input::Connected { stream, identities };
            self.shard.handle(self.now, input);
        }
    }

    pub(super) fn on_stream(&mut self, slot: Slot, completion: Completion) {
        let count = completion.result.unwrap_or_default();
        let bytes = match completion.buffer {
            Some(index) => self.room.chunks.filled(index, count),
            None => &mut [],
        };
        let (ring, counters) = (&mut self.ring, &mut self.counters);
        let came = self
            .streams
            .read(ring, self.now, slot, &completion, bytes, counters);
        if let Some(came) = came {
            self.take_in(came, completion.buffer);
        }
        if let Some(index) = completion.buffer {
            self.room.chunks.give_back(index);
        }
        if !completion.goes_on && !self.is_still() {
            self.streams.go_on(
                Receiver {
                    ring: &mut self.ring,
                    room: &self.room,
                },
                slot,
            );
        }
    }

    /// What one read brought, for the core.
    fn take_in(&mut self, came: Came, buffer: Option<u16>) {
        let stream = match came {
            Came::Clear(stream, count) => {
                let Some(index) = buffer else { return };
                let bytes = &*self.room.chunks.filled(index, count);
                return self.shard.handle(self.now, Input::Stream { stream, bytes });
            }
            Came::Sealed(stream) => stream,
            Came::Up(stream) => {
                let identities = self.streams.identities();
                let input = Input::Connected { stream, identities };
                self.shard.handle(self.now, input);
                stream
            }
            Came::Greeted(slot, peer) => {
                let accepted = AcceptedConnection {
                    transport: Transport::Tls,
                    peer,
                    core_side: false,
                    identities: self.streams.identities(),
                };
                let Some(stream) = self.shard.accept(self.now, &accepted) else {
                    self.counters.tls_refused += 1;
                    return self.streams.refuse(&mut self.ring, slot);
                };
                self.streams.name(slot, stream);
                stream
            }
        };
        let bytes = self.streams.plain();
        if !bytes.is_empty() {
            self.shard.handle(self.now, Input::Stream { stream, bytes });
        }
    }
}
