//! Many phones with several flows each in one thread: agents of the core over
//! plain sockets.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant as Clock};

use steadfast::agent::{Command, Settings};
use steadfast::id::{Flow, SocketId, StreamId, Team, Transport};
use steadfast::send::{Event, Local};
use steadfast::shard::{Input, Output, Role, Setup, Shard};
use steadfast::time::{Instant, Wall};

use crate::lab::{DOMAIN, HOME, PASSWORD, PHONES, load_user, port};

/// Phones that share one clock and one thread.
pub(crate) struct Crowd {
    began: Clock,
    phones: Vec<Phone>,
}

/// One phone: an agent, its sockets, and what it had to say.
struct Phone {
    shard: Shard,
    udp: UdpSocket,
    streams: HashMap<StreamId, TcpStream>,
    said: Vec<(Instant, Event)>,
}

impl Crowd {
    /// The load users from `first` on, to whom the cluster is at `edge`.
    pub(crate) fn new(first: usize, count: usize, transport: Transport, edge: &str) -> Self {
        let mut crowd = Self {
            began: Clock::now(),
            phones: Vec::new(),
        };
        crowd.join(first, count, transport, edge);
        crowd
    }

    /// Further phones.
    pub(crate) fn join(&mut self, first: usize, count: usize, transport: Transport, edge: &str) {
        let phones = (first..first + count).map(|user| Phone::new(user, transport, edge));
        self.phones.extend(phones);
    }

    /// The time by everybody's clock.
    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.began.elapsed()
    }

    /// Tells one of them what to do.
    pub(crate) fn command(&mut self, phone: usize, command: Command) {
        let now = self.now();
        self.phones[phone].input(now, Input::Command(command));
    }

    /// When a phone first said something of that kind at or after `since`.
    pub(crate) fn heard(
        &self,
        phone: usize,
        since: Instant,
        is_it: fn(&Event) -> bool,
    ) -> Option<Instant> {
        let mut said = self.phones[phone].said.iter();
        said.find(|(at, event)| *at >= since && is_it(event))
            .map(|(at, _)| *at)
    }

    /// Everything a phone said.
    pub(crate) fn said(&self, phone: usize) -> &[(Instant, Event)] {
        &self.phones[phone].said
    }

    /// Runs all phones until `holds`; false once `limit` has passed.
    pub(crate) fn until(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let end = Clock::now() + limit;
        while !holds(self) {
            if Clock::now() >= end {
                return false;
            }
            let mut is_idle = true;
            for place in 0..self.phones.len() {
                let now = self.now();
                is_idle &= !self.phones[place].turn(now);
            }
            if is_idle {
                std::thread::yield_now();
            }
        }
        true
    }
}

impl Phone {
    fn new(user: usize, transport: Transport, edge: &str) -> Self {
        let name = load_user(user);
        let addr: SocketAddr = format!("{PHONES}:{}", port()).parse().expect("an address");
        let udp = UdpSocket::bind(addr).expect("a port just seen free is free");
        udp.set_nonblocking(true).expect("a socket can be asked");
        let local = |transport| Local {
            transport,
            addr,
            upstream: false,
        };
        let edge = format!("{edge}:5060").parse().expect("an address");
        let settings = Settings {
            user: name.clone(),
            domain: DOMAIN.to_owned(),
            auth_user: name.clone(),
            password: PASSWORD.to_owned(),
            transport,
            home: format!("{HOME}:5060").parse().expect("an address"),
            names: vec![(format!("edge.{DOMAIN}"), edge)],
            instance: format!("urn:uuid:{name}"),
            expires_s: 600,
            answer_after: Some(Duration::ZERO),
        };
        let seed = u64::from(addr.port()) << 16 | 1;
        let seed = [seed, seed * 3, seed * 5, seed * 7];
        let setup = Setup {
            locals: vec![local(Transport::Udp), local(Transport::Tcp)],
            role: Role::Agent(settings),
            seed,
            team: Team::alone(seed),
            wall: Wall::default(),
        };
        Self {
            shard: Shard::new(setup, Instant::ZERO),
            udp,
            streams: HashMap::new(),
            said: Vec::new(),
        }
    }

    /// Takes in what has come and what is due; false when there was nothing.
    fn turn(&mut self, now: Instant) -> bool {
        let mut buffer = [0; 65_535];
        let mut moved = false;
        while let Ok((len, peer)) = self.udp.recv_from(&mut buffer) {
            moved = true;
            let socket = SocketId(0);
            let bytes = &buffer[..len];
            self.input(
                now,
                Input::Datagram {
                    socket,
                    peer,
                    bytes,
                },
            );
        }
        let streams: Vec<StreamId> = self.streams.keys().copied().collect();
        for stream in streams {
            let read = self.streams.get(&stream).map(|mut s| s.read(&mut buffer));
            match read {
                Some(Ok(len)) if len > 0 => {
                    let bytes = &buffer[..len];
                    self.input(now, Input::Stream { stream, bytes });
                }
                Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => continue,
                Some(_) => {
                    self.streams.remove(&stream);
                    self.input(now, Input::Closed { stream });
                }
                None => continue,
            }
            moved = true;
        }
        if self.shard.deadline().is_some_and(|due| due <= now) {
            self.input(now, Input::Tick);
        }
        moved
    }

    fn input(&mut self, now: Instant, input: Input<'_>) {
        self.shard.handle(now, input);
        while let Some(output) = self.shard.poll() {
            let failed = match output {
                Output::Transmit { flow, bytes } => self.transmit(flow, &bytes),
                Output::Connect { stream, peer, .. } => match TcpStream::connect(peer) {
                    Ok(socket) => {
                        socket.set_nonblocking(true).expect("a socket can be asked");
                        socket.set_nodelay(true).expect("a socket can be told");
                        self.streams.insert(stream, socket);
                        let identities = &[];
                        self.shard
                            .handle(now, Input::Connected { stream, identities });
                        None
                    }
                    Err(_refused) => Some(Input::Closed { stream }),
                },
                Output::Close { stream } => {
                    self.streams.remove(&stream);
                    None
                }
                Output::Event(event) => {
                    self.said.push((now, *event));
                    None
                }
                Output::Store { .. }
                | Output::Resolve { .. }
                | Output::Handoff { .. }
                | Output::Notice(_) => None,
            };
            if let Some(failed) = failed {
                self.shard.handle(now, failed);
            }
        }
    }

    /// What became of it, when it could not be sent. A datagram that finds no
    /// room is a datagram lost.
    fn transmit(&mut self, flow: Flow, bytes: &[u8]) -> Option<Input<'static>> {
        match flow {
            Flow::Udp { socket, peer } => match self.udp.send_to(bytes, peer) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    Some(Input::Unreachable { socket, peer })
                }
                Ok(_) | Err(_) => None,
            },
            Flow::Stream(stream) => {
                let written = self.streams.get(&stream).map(|mut s| s.write_all(bytes));
                if matches!(written, Some(Ok(()))) {
                    return None;
                }
                self.streams.remove(&stream);
                Some(Input::Closed { stream })
            }
        }
    }
}
