//! What a shard wants done: sent, opened, stored, asked, handed over.

use steadfast::id::Flow;
use steadfast::shard::Output;
use steadfast::time::Duration;

use super::{Actor, Event, World};

impl World {
    pub(super) fn output(&mut self, index: usize, output: Output) {
        match output {
            Output::Transmit { flow, bytes } => self.transmit(index, flow, &bytes),
            Output::Connect { stream, peer, .. } => {
                let from = self.core_port(self.nodes[index].addr);
                self.dial(Actor::Node(index), from, Some(stream), peer);
            }
            Output::Close { stream } => {
                if let Some((conn, side)) = self.conn_of(index, stream) {
                    self.close(conn, side);
                }
            }
            // The homes of the simulation share no store.
            Output::Ask { .. } => {}
            Output::Store { key, value, .. } => {
                let (until, lost) = self.disk;
                let is_slow = until > self.now;
                if is_slow && lost {
                    return;
                }
                let late = self.dice.millis(1, if is_slow { 5_000 } else { 60 });
                let first = self.nodes[index].shard_set[0];
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
            Output::Resolve { name, question } => self.resolve(index, name, &question),
            Output::Handoff { to, handoff } => {
                let node = &self.nodes[index];
                let from = node.shard_set.iter().position(|own| *own == index).unwrap();
                let to = node.shard_set[usize::from(to)];
                let event = Event::Handoff {
                    index: to,
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

    fn transmit(&mut self, index: usize, flow: Flow, bytes: &[u8]) {
        match flow {
            Flow::Udp { socket, peer } => {
                let from = self.nodes[index].locals[usize::from(socket.0)].addr;
                self.send_datagram(Actor::Node(index), from, peer, bytes);
            }
            Flow::Stream(stream) => {
                // What was written to a connection that is gone is gone.
                if let Some((conn, side)) = self.conn_of(index, stream) {
                    self.write(conn, side, bytes);
                }
            }
        }
    }
}
