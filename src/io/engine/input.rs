//! What comes in: orders, the other shards' hand-overs, datagrams, connections.

use std::io;
use std::os::fd::AsFd;

use super::Engine;
use crate::id::{Slot, SocketId, Transport};
use crate::io::icmp::{self, News};
use crate::io::inbox::Order;
use crate::io::readiness::Ready;
use crate::io::streams::Came;
use crate::io::token::Token;
use crate::limits;
use crate::send::{Accepted, End};
use crate::shard::Input;
use crate::time::Duration;

impl Engine {
    pub(super) fn on_inbox(&mut self) -> io::Result<()> {
        self.inbox.silence()?;
        while let Some(order) = self.inbox.next() {
            match order {
                Order::Drain if self.ends_at.is_none() => {
                    tracing::info!("draining");
                    self.ends_at = Some(self.now + limits::DRAIN_MAX);
                    self.shard.handle(self.now, Input::Drain);
                }
                Order::Drain => self.ends_at = Some(self.now),
                Order::Report => self.report(),
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
                Order::Subscribers { list, revoked } => {
                    let input = Input::Subscribers { list, revoked };
                    self.shard.handle(self.now, input);
                }
                Order::Tls(tls) => {
                    self.counters.tls_reloads += 1;
                    self.streams.set_tls(Some(tls));
                }
                Order::TlsRefused => self.counters.tls_reloads_refused += 1,
            }
            self.settle();
        }
        Ok(())
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

    pub(super) fn on_alarm(&mut self) -> io::Result<()> {
        self.alarm_at = None;
        self.alarm.silence()
    }

    pub(super) fn on_udp(&mut self, id: SocketId, ready: Ready) {
        if ready.is_error() {
            self.read_errors(id);
        }
        if ready.is_writable()
            && let Some(Some(port)) = self.ports.get_mut(usize::from(id.0))
        {
            port.unblock();
            self.unflushed.push(id);
        }
        for _ in 0..limits::BATCHES_MAX {
            let count = self.receive(id);
            self.settle();
            if count < limits::DATAGRAM_BATCH {
                return;
            }
            self.now = self.clock.now();
        }
        self.is_behind = true;
    }

    fn receive(&mut self, id: SocketId) -> usize {
        let Some(Some(port)) = self.ports.get(usize::from(id.0)) else {
            return 0;
        };
        // An error is what a datagram of ours met; the error queue has more.
        let Ok(count) = self.received.receive(port.as_fd()) else {
            return 0;
        };
        for index in 0..count {
            self.counters.udp_received += 1;
            match self.received.datagram(index) {
                Some((peer, bytes)) => {
                    self.shard.handle(
                        self.now,
                        Input::Datagram {
                            socket: id,
                            peer,
                            bytes,
                        },
                    );
                }
                None => self.counters.udp_unreadable += 1,
            }
        }
        count
    }

    fn read_errors(&mut self, id: SocketId) {
        let Some(Some(port)) = self.ports.get_mut(usize::from(id.0)) else {
            return;
        };
        for _ in 0..limits::DATAGRAM_BATCH {
            match icmp::next(port.as_fd()) {
                Ok(Some(News::Unreachable(peer, quoted))) => {
                    self.unreachable.push((id, peer, quoted));
                }
                Ok(Some(News::TooLong)) => port.fragment(),
                Ok(Some(News::Nothing)) => {}
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "cannot read a socket's error queue");
                    break;
                }
            }
        }
    }

    pub(super) fn on_listener(&mut self, index: usize) {
        for _ in 0..limits::ACCEPTS_MAX {
            let Some((listener, transport, core_side)) = self.listeners.get_mut(index) else {
                return;
            };
            let Some((socket, peer)) = listener.accept(&mut self.counters) else {
                break;
            };
            let end = End {
                transport: *transport,
                addr: peer,
                core_side: *core_side,
            };
            if !self.shard.admit_connection(self.now, &end) {
                // Dropping the connection closes it.
                self.counters.tcp_refused += 1;
                continue;
            }
            if end.transport == Transport::Tls {
                let counters = &mut self.counters;
                self.streams
                    .advance_handshakes(&self.handshakes, self.now, socket, peer, counters);
                continue;
            }
            // At the bound the connection is dropped, which closes it.
            let Some(stream) = self.shard.accept(
                self.now,
                &Accepted {
                    transport: Transport::Tcp,
                    peer,
                    core_side: end.core_side,
                    identities: &[],
                },
            ) else {
                self.counters.tcp_refused += 1;
                continue;
            };
            self.counters.tcp_accepted += 1;
            self.streams.accept(&self.readiness, stream, socket);
        }
        self.settle();
    }

    /// Goes on with some handshakes; the kernel reports the others again.
    pub(super) fn on_handshakes(&mut self) -> io::Result<()> {
        let count = self.handshakes.wait(Duration::ZERO)?;
        for index in 0..count {
            let (token, ready) = self.handshakes.event(index);
            if let Token::Stream(slot) = Token::unpack(token) {
                self.on_stream(slot, ready);
            }
        }
        Ok(())
    }

    pub(super) fn on_stream(&mut self, slot: Slot, ready: Ready) {
        let readiness = if self.streams.is_handshaking(slot) {
            &self.handshakes
        } else {
            &self.readiness
        };
        if ready.is_writable()
            && let Some((stream, _)) = self.streams.writable(readiness, slot)
        {
            self.shard.handle(
                self.now,
                Input::Connected {
                    stream,
                    identities: &[],
                },
            );
        }
        if ready.is_readable() {
            let before = self.counters.tcp_received;
            let (bytes, counters) = (&mut self.bytes, &mut self.counters);
            let came = self
                .streams
                .read(readiness, self.now, slot, bytes, counters);
            if let Some(came) = came {
                self.take_in(came);
            }
            // A full buffer: there is more where this came from.
            let read = self.counters.tcp_received - before;
            self.is_behind |= read >= limits::STREAM_READ_MAX as u64;
        }
        self.settle();
    }

    /// What one read brought, for the core.
    fn take_in(&mut self, came: Came) {
        let stream = match came {
            Came::Clear(stream, count) => {
                let bytes = self.bytes.get(..count).unwrap_or_default();
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
                let accepted = Accepted {
                    transport: Transport::Tls,
                    peer,
                    core_side: false,
                    identities: self.streams.identities(),
                };
                let Some(stream) = self.shard.accept(self.now, &accepted) else {
                    self.counters.tls_refused += 1;
                    return self.streams.refuse(slot);
                };
                let sets = (&self.handshakes, &self.readiness);
                self.streams.name(sets, slot, stream);
                stream
            }
        };
        let bytes = self.streams.plain();
        if !bytes.is_empty() {
            self.shard.handle(self.now, Input::Stream { stream, bytes });
        }
    }
}
