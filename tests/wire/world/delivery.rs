//! How what is under way in a `World` arrives: at shards, at the test, or not at
//! all.

use std::net::{IpAddr, SocketAddr};

use steadfast::frame::stun;
use steadfast::id::{Flow, ShardSet, SocketId, StreamId, Transport};
use steadfast::limits;
use steadfast::send::{AcceptedConnection, Local};
use steadfast::shard::{Input, Output};

use super::super::cables::{End, Joined};
use super::super::names::Answers;
use super::super::settings::CORE_PORT;
use super::proof::speaks;
use super::storing::Unwritten;
use super::{Event, Seen, World, upgrading};

impl World {
    pub(super) fn settle(&mut self) {
        while let Some(event) = self.wire.pop_front() {
            if event.index(self).is_some_and(|index| self.is_frozen(index)) {
                self.held.push_back(event);
                continue;
            }
            match event {
                Event::Datagram(seen) => self.datagram(seen),
                Event::Stream(end, seen) => self.stream(end, seen),
                Event::Connected(End::Node { index, stream, .. }, identities) => {
                    let identities = &identities;
                    self.input(index, Input::Connected { stream, identities });
                }
                Event::Closed(End::Node { index, stream, .. }) => {
                    self.input(index, Input::Closed { stream });
                }
                Event::Resolved(index, name, records) => {
                    self.input(index, Input::Resolved { name, records });
                }
                Event::Handoff(index, from, handoff) => {
                    self.input(index, Input::Handoff { from, handoff });
                }
                Event::Connected(End::Test { .. }, _) | Event::Closed(End::Test { .. }) => {}
            }
        }
    }

    pub(super) fn input(&mut self, index: usize, input: Input<'_>) {
        let (shard, now) = (&mut self.shards[index], self.now);
        let mut input = Some(input);
        (self.around)(&mut || {
            if let Some(input) = input.take() {
                shard.handle(now, input);
            }
        });
        self.collect(index);
        self.inputs += 1;
        if self.upgrades && upgrading::is_due(self.inputs) {
            self.succeed(index);
        }
    }

    fn is_lost(&mut self, seen: &Seen) -> bool {
        if seen.is_beat() && self.nodes.contains_key(&seen.from) {
            self.beats += 1;
        } else {
            self.trace.push(seen.clone());
        }
        self.dead.contains(&seen.to.ip()) || self.dead.contains(&seen.from.ip())
    }

    fn datagram(&mut self, mut seen: Seen) {
        let mut translated = self.translated.iter();
        if let Some((inside, _)) = translated.find(|(_, outside)| *outside == seen.to.ip()) {
            seen.to.set_ip(*inside);
        }
        if self.is_lost(&seen) {
            return self.report(&seen);
        }
        if !self.nodes.contains_key(&seen.to) {
            if seen.is_question() && self.nodes.contains_key(&seen.from) {
                // Nobody plays an element of the cluster that does not answer.
                return self.answer(&seen);
            }
            self.inbox.push_back(seen);
            return;
        }
        let (index, socket) = self.socket(seen.from, seen.to);
        let input = Input::Datagram {
            socket,
            peer: seen.from,
            bytes: &seen.bytes,
        };
        self.input(index, input);
    }

    /// Answers a STUN question for an element that the test plays.
    fn answer(&mut self, request: &Seen) {
        if self.mute.contains(&request.to) {
            return;
        }
        let mut bytes = Vec::new();
        assert!(stun::answer(&request.bytes, request.from, &mut bytes));
        let seen = Seen::new(request.to, request.from, &bytes, Transport::Udp);
        self.wire.push_back(Event::Datagram(seen));
    }

    /// Port unreachable, to the sender of what was lost.
    fn report(&mut self, lost: &Seen) {
        if self.icmp && self.nodes.contains_key(&lost.from) {
            let (index, socket) = self.socket(lost.to, lost.from);
            let input = Input::Unreachable {
                socket,
                peer: lost.to,
                quoted: &lost.bytes,
            };
            self.input(index, input);
        }
    }

    fn stream(&mut self, end: End, seen: Seen) {
        if self.is_lost(&seen) {
            return;
        }
        match end {
            End::Node { index, stream, .. } => {
                let bytes = &seen.bytes;
                self.input(index, Input::Stream { stream, bytes });
            }
            End::Test { .. } => self.inbox.push_back(seen),
        }
    }

    /// Where a datagram of `from` comes in that goes to `addr`.
    pub(super) fn socket(&self, from: SocketAddr, addr: SocketAddr) -> (usize, SocketId) {
        let index = self.index(from, addr);
        let is_it = |local: &Local| local.addr == addr && local.transport == Transport::Udp;
        let socket = self.locals[index].iter().position(is_it).unwrap();
        (index, SocketId(u16::try_from(socket).unwrap()))
    }

    fn collect(&mut self, index: usize) {
        let around = self.around;
        loop {
            let shard = &mut self.shards[index];
            let mut output = None;
            around(&mut || output = shard.poll());
            match &output {
                Some(Output::Transmit { flow, bytes }) => self.transmit(index, *flow, bytes),
                Some(Output::Connect {
                    stream,
                    peer,
                    from,
                    tls,
                }) => {
                    self.dial(index, *stream, (*from, *peer), tls.as_deref());
                }
                Some(Output::Close { stream }) => {
                    if let Some(end) = self.cables.of(index, *stream) {
                        self.hang_up(end);
                    }
                }
                Some(Output::Store { key, value, .. }) if self.is_edge(index) => {
                    self.keep_flow(index, key, value.as_deref());
                }
                Some(Output::Store { key, value, number }) => {
                    let (key, value) = (key.to_vec(), value.as_ref().map(|it| it.to_vec()));
                    match number {
                        0 => self.write(key, value),
                        number => self.unwritten.push(Unwritten {
                            index,
                            number: *number,
                            key,
                            value,
                        }),
                    }
                }
                Some(Output::Ask { key, id }) => self.note_asked(index, key, *id),
                Some(Output::Resolve { name, question }) => {
                    self.names.queries.push(question.name.to_string());
                    if self.names.answers == Answers::Held {
                        let question = (**question).clone();
                        self.names.held.push((index, *name, question));
                    } else {
                        let records = self.names.records(question);
                        self.wire.push_back(Event::Resolved(index, *name, records));
                    }
                }
                Some(Output::Event(event)) => {
                    let who = self.locals[index][0].addr;
                    self.events.push((who, (**event).clone()));
                }
                Some(Output::Notice(notice)) => {
                    let who = self.locals[index][0].addr;
                    self.notices.push((who, *notice));
                }
                Some(Output::Handoff { to, handoff }) => {
                    // A full ring drops the newest.
                    if !self.full.contains(&self.locals[index][0].addr.ip()) {
                        let ShardSet { own, .. } = self.teams[index];
                        let to = index - usize::from(own) + usize::from(*to);
                        let event = Event::Handoff(to, own, handoff.clone());
                        self.wire.push_back(event);
                    }
                }
                None => return,
            }
            around(&mut || drop(output.take()));
        }
    }

    fn transmit(&mut self, index: usize, flow: Flow, bytes: &[u8]) {
        let event = match flow {
            Flow::Udp { socket, peer } => {
                let mut from = self.locals[index][usize::from(socket.0)].addr;
                let mut translated = self.translated.iter();
                if let Some((_, outside)) = translated.find(|(inside, _)| *inside == from.ip())
                    && !self.nodes.contains_key(&peer)
                {
                    from.set_ip(*outside);
                }
                Event::Datagram(Seen::new(from, peer, bytes, Transport::Udp))
            }
            Flow::Stream(stream) => {
                // What was written to a connection that is gone is gone.
                let Some(end) = self.cables.of(index, stream) else {
                    return;
                };
                let other = end.across();
                let seen = Seen::new(end.addr(), other.addr(), bytes, speaks(other.addr()));
                Event::Stream(other, seen)
            }
        };
        self.wire.push_back(event);
    }

    fn dial(
        &mut self,
        index: usize,
        stream: StreamId,
        (local, peer): (Option<IpAddr>, SocketAddr),
        tls: Option<&str>,
    ) {
        let node = self.locals[index][0].addr;
        let from = local.map_or(node, |ip| SocketAddr::new(ip, node.port()));
        let caller = End::node(index, stream, from);
        if !self.cables.listens(peer) || self.dead.contains(&peer.ip()) {
            self.wire.push_back(Event::Closed(caller));
            return;
        }
        let (ours, theirs) = match tls {
            Some(_) => (self.identities(node), self.identities(peer)),
            None => (Vec::new(), Vec::new()),
        };
        if tls.is_some_and(|name| !theirs.iter().any(|proven| **proven == *name)) {
            self.wire.push_back(Event::Closed(caller));
            return;
        }
        let called = match self.nodes.get(&peer) {
            Some(_) => {
                let index = self.index(from, peer);
                let accepted = AcceptedConnection {
                    transport: speaks(peer),
                    peer: self.core_port(from),
                    core_side: false,
                    identities: &ours,
                };
                let stream = self.shards[index].accept(self.now, &accepted).unwrap();
                End::node(index, stream, peer)
            }
            None => End::test(peer),
        };
        self.cables.join(caller.clone(), called);
        self.wire.push_back(Event::Connected(caller, theirs));
    }

    /// Where a connection of a node comes from: the next of its core ports.
    fn core_port(&mut self, node: SocketAddr) -> SocketAddr {
        let port = CORE_PORT + self.dialed % limits::CORE_PORTS;
        self.dialed += 1;
        SocketAddr::new(node.ip(), port)
    }

    pub(super) fn hang_up(&mut self, end: Joined) {
        let other = end.across();
        self.cables.part(&end);
        self.wire.push_back(Event::Closed(other));
    }
}
