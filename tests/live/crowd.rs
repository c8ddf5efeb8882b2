//! Many phones with several flows each in one thread: agents of the core over
//! sockets of the test's own.

mod line;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use rustls::ClientConfig;

use steadfast::agent::{Command, Settings};
use steadfast::id::{Flow, ShardSet, SocketId, StreamId, Transport};
use steadfast::send::{Event, Local};
use steadfast::shard::{Input, Output, Role, Setup, Shard};
use steadfast::time::{Instant, Wall};

use crate::lab::{DOMAIN, HOME, Lab, PASSWORD, PHONES, load_user, port};
use line::{Line, Seen};

/// Phones that share one clock and one thread.
pub(crate) struct Crowd {
    began: Clock,
    transport: Transport,
    /// Whom they believe, over TLS.
    trust: Option<Arc<ClientConfig>>,
    phones: Vec<Phone>,
}

/// One phone: an agent, its sockets, and what it had to say.
struct Phone {
    shard: Shard,
    udp: UdpSocket,
    trust: Option<Arc<ClientConfig>>,
    streams: HashMap<StreamId, Line>,
    events: Vec<(Instant, Event)>,
}

impl Crowd {
    /// The load users from `first` on, to whom the cluster is at `edge`.
    pub(crate) fn new(
        lab: &Lab,
        first: usize,
        count: usize,
        transport: Transport,
        edge: &str,
    ) -> Self {
        let is_sealed = transport == Transport::Tls;
        let mut crowd = Self {
            began: Clock::now(),
            transport,
            trust: is_sealed.then(|| line::trust(&lab.path("lab/ca.pem"))),
            phones: Vec::new(),
        };
        crowd.join(first, count, edge);
        crowd
    }

    /// Further phones.
    pub(crate) fn join(&mut self, first: usize, count: usize, edge: &str) {
        let (transport, trust) = (self.transport, self.trust.clone());
        let phones =
            (first..first + count).map(|user| Phone::new(user, transport, trust.clone(), edge));
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
        let mut events = self.phones[phone].events.iter();
        events
            .find(|(at, event)| *at >= since && is_it(event))
            .map(|(at, _)| *at)
    }

    /// Everything a phone said.
    pub(crate) fn events(&self, phone: usize) -> &[(Instant, Event)] {
        &self.phones[phone].events
    }

    /// Runs all phones until `holds`; false once `limit` has passed.
    pub(crate) fn until(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let end = Clock::now() + limit;
        while !holds(self) {
            if Clock::now() >= end {
                return false;
            }
            let mut is_idle = true;
            for index in 0..self.phones.len() {
                let now = self.now();
                is_idle &= !self.phones[index].turn(now);
            }
            if is_idle {
                std::thread::yield_now();
            }
        }
        true
    }
}

impl Phone {
    fn new(
        user: usize,
        transport: Transport,
        trust: Option<Arc<ClientConfig>>,
        edge: &str,
    ) -> Self {
        let name = load_user(user);
        let addr: SocketAddr = format!("{PHONES}:{}", port()).parse().expect("an address");
        let udp = UdpSocket::bind(addr).expect("a port just seen free is free");
        udp.set_nonblocking(true).expect("a socket can be asked");
        let local = |transport| Local {
            transport,
            addr,
            upstream: false,
        };
        let place = |ip: &str| {
            let ip = ip.parse().expect("an address");
            SocketAddr::new(ip, transport.default_port())
        };
        let settings = Settings {
            user: name.clone(),
            domain: DOMAIN.to_owned(),
            auth_user: name.clone(),
            password: PASSWORD.to_owned(),
            transport,
            home: place(HOME),
            names: vec![(format!("edge.{DOMAIN}"), place(edge))],
            instance: format!("urn:uuid:{name}"),
            expires_s: 600,
            answer_after: Some(Duration::ZERO),
        };
        let seed = u64::from(addr.port()) << 16 | 1;
        let seed = [seed, seed * 3, seed * 5, seed * 7];
        let setup = Setup {
            locals: [Transport::Udp, Transport::Tcp, Transport::Tls]
                .map(local)
                .to_vec(),
            role: Role::Agent(settings),
            seed,
            shard_set: ShardSet::alone(seed),
            wall: Wall::default(),
        };
        Self {
            shard: Shard::new(setup, Instant::ZERO),
            udp,
            trust,
            streams: HashMap::new(),
            events: Vec::new(),
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
            let Some(line) = self.streams.get_mut(&stream) else {
                continue;
            };
            match line.look(&mut buffer) {
                Seen::Nothing => continue,
                Seen::Up(name) => {
                    let identities = &[name];
                    self.input(now, Input::Connected { stream, identities });
                }
                Seen::Bytes(len) => {
                    let bytes = &buffer[..len];
                    self.input(now, Input::Stream { stream, bytes });
                }
                Seen::Gone => {
                    self.streams.remove(&stream);
                    self.input(now, Input::Closed { stream });
                }
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
            let failed = match &output {
                Output::Transmit { flow, bytes } => self.transmit(*flow, bytes),
                Output::Connect {
                    stream, peer, tls, ..
                } => self.connect(now, *stream, *peer, tls.clone()),
                Output::Close { stream } => {
                    self.streams.remove(stream);
                    None
                }
                Output::Event(event) => {
                    self.events.push((now, (**event).clone()));
                    None
                }
                Output::Store { .. }
                | Output::Ask { .. }
                | Output::Resolve { .. }
                | Output::Handoff { .. }
                | Output::Notice(_) => None,
            };
            if let Some(failed) = failed {
                self.shard.handle(now, failed);
            }
        }
    }

    /// Opens a connection; what became of it, if that is known at once.
    fn connect(
        &mut self,
        now: Instant,
        stream: StreamId,
        peer: SocketAddr,
        name: Option<Box<str>>,
    ) -> Option<Input<'static>> {
        let Ok(line) = Line::open(peer, self.trust.as_ref().zip(name)) else {
            return Some(Input::Closed { stream });
        };
        let is_plain = line.is_plain();
        self.streams.insert(stream, line);
        if is_plain {
            let identities = &[];
            self.shard
                .handle(now, Input::Connected { stream, identities });
        }
        None
    }

    /// What became of it, when it could not be sent. A datagram that finds no
    /// room is a datagram lost.
    fn transmit<'a>(&mut self, flow: Flow, bytes: &'a [u8]) -> Option<Input<'a>> {
        match flow {
            Flow::Udp { socket, peer } => match self.udp.send_to(bytes, peer) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    let quoted = bytes;
                    Some(Input::Unreachable {
                        socket,
                        peer,
                        quoted,
                    })
                }
                Ok(_) | Err(_) => None,
            },
            Flow::Stream(stream) => {
                let is_sent = self.streams.get_mut(&stream).map(|line| line.send(bytes));
                if is_sent == Some(true) {
                    return None;
                }
                self.streams.remove(&stream);
                Some(Input::Closed { stream })
            }
        }
    }
}
