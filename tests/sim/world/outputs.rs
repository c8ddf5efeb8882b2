//! What a shard wants done: sent, opened, stored, asked, handed over.

use steadfast::id::Flow;
use steadfast::shard::Output;
use steadfast::time::Duration;

use super::{Actor, Event, World};

impl World {
    pub(super) fn output(&mut self, place: usize, output: Output) {
        match output {
            Output::Transmit { flow, bytes } => self.transmit(place, flow, &bytes),
            Output::Connect { stream, peer, .. } => {
                let from = self.core_port(self.nodes[place].addr);
                self.dial(Actor::Node(place), from, Some(stream), peer);
            }
            Output::Close { stream } => {
                if let Some((conn, side)) = self.conn_of(place, stream) {
                    self.close(conn, side);
                }
            }
            Output::Store { key, value } => {
                let (until, lost) = self.disk;
                let is_slow = until > self.now;
                if is_slow && lost {
                    return;
                }
                let late = self.dice.millis(1, if is_slow { 5_000 } else { 60 });
                let first = self.nodes[place].shard_set[0];
                let node = &mut self.nodes[first];
                // One after the other, as they were written.
                node.written = node.written.max(self.now + late);
                let (at, life) = (node.written, node.life);
                let row = Event::Row {
                    home: first,
                    life,
                    key: key.to_vec(),
                    value: value.map(|value| value.to_vec()),
                };
                self.push(at, row);
            }
            Output::Resolve { name, question } => self.resolve(place, name, &question),
            Output::Handoff { to, handoff } => {
                let node = &self.nodes[place];
                let from = node.shard_set.iter().position(|own| *own == place).unwrap();
                let to = node.shard_set[usize::from(to)];
                let event = Event::Handoff {
                    place: to,
                    life: self.nodes[to].life,
                    from: u8::try_from(from).unwrap(),
                    handoff: Box::new(handoff),
                };
                // Each ring keeps its order.
                self.push(self.now + Duration::from_micros(5), event);
            }
            Output::Notice(_) | Output::Event(_) => {}
        }
    }

    /// A row reaches the store, unless its writer died before.
    pub(super) fn row(&mut self, home: usize, life: u32, key: Vec<u8>, value: Option<Vec<u8>>) {
        if self.nodes[home].life != life || self.nodes[home].shard.is_none() {
            return;
        }
        match value {
            Some(value) => self.store.insert(key, value),
            None => self.store.remove(&key),
        };
    }

    fn transmit(&mut self, place: usize, flow: Flow, bytes: &[u8]) {
        match flow {
            Flow::Udp { socket, peer } => {
                let from = self.nodes[place].locals[usize::from(socket.0)].addr;
                self.send_datagram(Actor::Node(place), from, peer, bytes);
            }
            Flow::Stream(stream) => {
                // What was written to a connection that is gone is gone.
                if let Some((conn, side)) = self.conn_of(place, stream) {
                    self.write(conn, side, bytes);
                }
            }
        }
    }
}
