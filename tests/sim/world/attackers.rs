//! How attackers send and hear: from any address, and over connections of their
//! own.

use std::net::SocketAddr;

use super::{Actor, Event, World};
use crate::attackers::AttackMessage;
use crate::text::Text;

impl World {
    /// Carries out what the attackers want done, now or later.
    pub(super) fn schedule_attack(&mut self, messages: Vec<AttackMessage>) {
        for message in messages {
            self.push(self.now + message.after, Event::Attack(Box::new(message)));
        }
    }

    pub(super) fn send_attack(&mut self, message: &AttackMessage) {
        let actor = Actor::Attacker(message.attacker);
        if message.tcp {
            let from = self.cast.attackers[message.attacker].addr;
            self.send_stream(actor, from, message.to, &message.bytes);
        } else {
            self.send_datagram(actor, message.from, message.to, &message.bytes);
        }
    }

    pub(super) fn attacker_receives(
        &mut self,
        attacker: usize,
        from: SocketAddr,
        tcp: bool,
        bytes: &[u8],
    ) {
        let messages = self.attackers.on_message(attacker, from, tcp, bytes);
        self.schedule_attack(messages);
    }

    /// An attacker reads from a connection.
    pub(super) fn attacker_reads(
        &mut self,
        attacker: usize,
        id: u64,
        from: SocketAddr,
        bytes: &[u8],
    ) {
        self.unread.entry(id).or_default().extend_from_slice(bytes);
        loop {
            let unread = self.unread.entry(id).or_default();
            let skip = unread.iter().take_while(|b| **b == b'\r' || **b == b'\n');
            let skip = skip.count();
            unread.drain(..skip);
            let Some(whole) = Text::frame(unread) else {
                return;
            };
            let message: Vec<u8> = unread.drain(..whole).collect();
            self.attacker_receives(attacker, from, true, &message);
        }
    }
}
