//! How villains send and hear: from any address, and over connections of their
//! own.

use std::net::SocketAddr;

use super::{Actor, Event, World};
use crate::text::Text;
use crate::villain::Blow;

impl World {
    /// Carries out what the villains want done, now or later.
    pub(super) fn strike(&mut self, blows: Vec<Blow>) {
        for blow in blows {
            self.push(self.now + blow.after, Event::Blow(Box::new(blow)));
        }
    }

    pub(super) fn blow(&mut self, blow: &Blow) {
        let actor = Actor::Villain(blow.face);
        if blow.tcp {
            let from = self.cast.rogues[blow.face].addr;
            self.send_stream(actor, from, blow.to, &blow.bytes);
        } else {
            self.send_datagram(actor, blow.from, blow.to, &blow.bytes);
        }
    }

    pub(super) fn told(&mut self, face: usize, from: SocketAddr, tcp: bool, bytes: &[u8]) {
        let blows = self.gang.told(face, from, tcp, bytes);
        self.strike(blows);
    }

    /// A villain reads from a connection.
    pub(super) fn overhear(&mut self, face: usize, id: u64, from: SocketAddr, bytes: &[u8]) {
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
            self.told(face, from, true, &message);
        }
    }
}
