//! Carrying a shard's output out of the core.

use super::super::streams::Dial;
use super::super::{Record, SharedQuestion};
use super::Engine;
use crate::id::Flow;
use crate::limits;
use crate::locate::Records;
use crate::shard::{Input, Output};

impl Engine {
    /// Carries all output out, and what that brings about back in.
    pub(super) fn settle(&mut self) {
        for _ in 0..limits::SETTLE_ROUNDS {
            self.carry_out();
            self.streams.flush(&mut self.ring);
            self.is_unsettled = self.answer();
            if !self.is_unsettled {
                break;
            }
        }
    }

    /// Stages all output for the next enter.
    pub(super) fn carry_out(&mut self) {
        while let Some(output) = self.shard.poll() {
            self.perform(output);
        }
    }

    /// Tells the shard what failed; false when nothing did.
    fn answer(&mut self) -> bool {
        let mut has_failed = false;
        while let Some(stream) = self.streams.take_gone() {
            has_failed = true;
            self.shard.handle(self.now, Input::Closed { stream });
        }
        while let Some(stream) = self.streams.take_used_up() {
            self.counters.tls_used_up += 1;
            self.shard.handle(self.now, Input::UsedUp { stream });
        }
        while let Some(source) = self.streams.take_handshakes_done() {
            self.shard.handshake_done(source);
        }
        while let Some((socket, peer, quoted)) = self.ports.take_unreachable() {
            has_failed = true;
            self.counters.udp_unreachable += 1;
            let input = Input::Unreachable {
                socket,
                peer,
                quoted: &quoted,
            };
            self.shard.handle(self.now, input);
        }
        if std::mem::take(&mut self.is_not_stored) {
            has_failed = true;
            self.shard.handle(self.now, Input::NotStored);
        }
        while let Some(ask) = self.unsent_asks.pop() {
            has_failed = true;
            self.shard
                .handle(self.now, Input::Shared { row: None, ask });
        }
        while let Some(name) = self.unsent_lookups.pop() {
            has_failed = true;
            let records = Records::default();
            self.shard
                .handle(self.now, Input::Resolved { name, records });
        }
        has_failed
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Transmit {
                flow: Flow::Udp { socket, peer },
                bytes,
            } => {
                let (ring, counters) = (&mut self.ring, &mut self.counters);
                self.ports.push(ring, socket, peer, bytes, counters);
            }
            Output::Transmit {
                flow: Flow::Stream(stream),
                bytes,
            } => {
                self.counters.tcp_sent += bytes.len() as u64;
                if self.push_later(stream, &bytes) {
                    return;
                }
                self.streams
                    .push(&mut self.ring, stream, bytes, &mut self.counters);
            }
            Output::Connect {
                stream,
                peer,
                from,
                tls,
            } => self.connect(Dial {
                stream,
                from,
                peer,
                tls: tls.as_deref(),
            }),
            Output::Close { stream } => {
                self.close_later(stream);
                self.streams.close(&mut self.ring, self.now, stream);
            }
            Output::Store { key, value, number } => {
                if let Some(store) = &mut self.store {
                    let record = Record {
                        key: (&*key).into(),
                        value: value.as_deref().map(Into::into),
                        shard: u8::try_from(self.mesh.own()).unwrap_or(u8::MAX),
                        number,
                    };
                    let is_taken = store.put(record, &mut self.counters);
                    self.is_not_stored |= !is_taken && number > 0;
                }
            }
            Output::Ask { key, id } => self.ask_store(&key, id),
            Output::Resolve { name, question } => {
                if !self.dns.ask(name, question) {
                    self.unsent_lookups.push(name);
                }
            }
            Output::Handoff { to, handoff } => {
                let dropped = !self.mesh.give(to, handoff);
                self.counters.handoff_drops += u64::from(dropped);
            }
            Output::Notice(notice) => {
                let unix = self.clock.wall().unix(self.now);
                self.notices.tell(unix, &notice);
            }
            // Nodes have no agent.
            Output::Event(_) => {}
        }
    }

    /// Asks a store that several homes share.
    fn ask_store(&mut self, key: &[u8], id: u64) {
        let question = SharedQuestion {
            shard: u8::try_from(self.mesh.own()).unwrap_or(u8::MAX),
            id,
            key: key.into(),
        };
        let is_asked = self.store.as_ref().is_some_and(|it| it.ask(question));
        if !is_asked {
            self.unsent_asks.push(id);
        }
    }

    pub(super) fn connect(&mut self, dial: Dial<'_>) {
        if self.dial_later(&dial) {
            return;
        }
        self.streams
            .connect(&mut self.ring, self.now, dial, &mut self.counters);
    }
}
