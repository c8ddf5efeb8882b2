//! A phone that speaks RFC 3261 or RFC 5626 and nothing newer, written from
//! those documents and sharing no code with what it tests: its own parser,
//! transactions and timers.

pub(crate) mod calls;
mod clients;
mod register;

use std::net::SocketAddr;

use steadfast::time::{Duration, Instant};

use super::dice::Dice;
use super::text::{Text, Via, uri_of};
use super::zone::Zone;
use calls::Leg;
use register::Binding;

/// What the phone wants sent. The world opens connections as needed.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) tcp: bool,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// Who it is.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) user: String,
    pub(crate) addr: SocketAddr,
    /// What it writes into its Vias.
    pub(crate) sent_by: String,
    pub(crate) tcp: bool,
    /// Speaks RFC 5626: an instance, and a flow to each of its edges.
    pub(crate) outbound: bool,
    /// What it is configured with.
    pub(crate) edges: Vec<SocketAddr>,
    /// The Route of its REGISTER, of each flow.
    pub(crate) led_by: Vec<String>,
    /// It resolves what stands in a Route, and goes on to the next server when one is
    /// not there (RFC 3263 §4.3). It has no other idea of where to go.
    pub(crate) zone: Option<Zone>,
    pub(crate) expires_s: u32,
    /// An attacker: it claims the routes of those it calls at this home.
    pub(crate) intrudes: Option<SocketAddr>,
}

/// One phone.
#[derive(Debug)]
pub(crate) struct Phone {
    who: Who,
    dice: Dice,
    boot: u32,
    serial: u32,
    bindings: Vec<Binding>,
    clients: Vec<Client>,
    servers: Vec<Server>,
    legs: Vec<Leg>,
    out: Vec<Sent>,
    /// It takes no more part: no refreshes, no new calls.
    quiet: bool,
}

/// What a request of the phone is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Register(usize),
    /// The INVITE, re-INVITE or BYE of a leg.
    Invite(u32),
    Reinvite(u32),
    Bye(u32),
    Nothing,
}

/// A client transaction.
#[derive(Debug)]
struct Client {
    text: Text,
    branch: String,
    method: &'static str,
    bytes: Vec<u8>,
    tcp: bool,
    to: SocketAddr,
    start: Instant,
    next: Instant,
    gap: Duration,
    heard: bool,
    done: Option<Instant>,
    purpose: Purpose,
    /// It has been sent another way.
    moved: bool,
    /// Where the DNS leads besides, after `to`.
    rest: Vec<SocketAddr>,
}

/// A server transaction.
#[derive(Debug)]
struct Server {
    key: String,
    last: Option<Vec<u8>>,
    tcp: bool,
    from: SocketAddr,
    born: Instant,
    /// An INVITE that is answered later.
    invite: Option<Text>,
    /// A refusal of an INVITE that waits for its ACK: next copy, gap, end.
    refusal: Option<(Instant, Duration, Instant)>,
}

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const LIFE: Duration = Duration::from_secs(32);
/// Silence after which a phone of RFC 5626 tries its other flow.
const PATIENCE: Duration = Duration::from_millis(2_500);

impl Phone {
    pub(crate) fn new(who: Who, dice: Dice) -> Self {
        let bindings = Binding::all(&who, 0);
        Self {
            who,
            dice,
            boot: 0,
            serial: 0,
            bindings,
            clients: Vec::new(),
            servers: Vec::new(),
            legs: Vec::new(),
            out: Vec::new(),
            quiet: false,
        }
    }

    /// Power off and on: everything is forgotten but the configuration.
    pub(crate) fn reboot(&mut self, now: Instant) {
        let boot = self.boot + 1;
        let who = self.who.clone();
        let bindings = Binding::all(&who, boot);
        let dice = self.dice.fork("reboot");
        *self = Self {
            boot,
            bindings,
            ..Self::new(who, dice)
        };
        self.start(now);
    }

    /// The phone goes on from another address, and tells its registrar later.
    pub(crate) fn relocate(&mut self, now: Instant, addr: SocketAddr) {
        self.who.addr = addr;
        self.who.sent_by = addr.to_string();
        self.register_soon(now);
    }

    pub(crate) const fn quiet(&mut self) {
        self.quiet = true;
    }

    pub(crate) fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.out)
    }

    /// When `tick` is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let clients = self.clients.iter().map(|client| match client.done {
            Some(done) => done + LIFE,
            None => client.next.min(client.start + LIFE),
        });
        let servers = self.servers.iter().map(|server| {
            let end = server.born + LIFE * 20;
            server.refusal.map_or(end, |(next, ..)| next)
        });
        let legs = self.legs.iter().filter_map(Leg::due);
        let bindings = self.bindings.iter().filter_map(|binding| binding.alarm);
        let bindings = bindings.filter(|_| !self.quiet);
        clients.chain(servers).chain(legs).chain(bindings).min()
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        self.tick_clients(now);
        self.tick_servers(now);
        self.tick_legs(now);
        if !self.quiet {
            self.tick_bindings(now);
        }
    }

    fn tick_servers(&mut self, now: Instant) {
        for server in &mut self.servers {
            let Some((next, gap, end)) = &mut server.refusal else {
                continue;
            };
            if now >= *end {
                server.refusal = None;
            } else if now >= *next {
                *gap = (*gap * 2).min(T2);
                *next = now + *gap;
                let bytes = server.last.clone().unwrap();
                self.out.push(Sent {
                    tcp: server.tcp,
                    to: server.from,
                    bytes,
                });
            }
        }
        self.servers
            .retain(|server| server.refusal.is_some() || server.born + LIFE * 20 > now);
    }

    /// A connection of the phone is gone; `refused`: it never was there.
    pub(crate) fn closed(&mut self, now: Instant, peer: SocketAddr, refused: bool) {
        let hit: Vec<usize> = (0..self.clients.len())
            .filter(|index| {
                let client = &self.clients[*index];
                client.tcp && client.to == peer && client.done.is_none()
            })
            .collect();
        for index in hit {
            if refused && self.try_next_server(now, index) {
                continue;
            }
            // Stock phones do not say again what they wrote to a connection that is lost.
            let stays = self.clients[index].moved || self.who.zone.is_some();
            if stays || !self.move_client(now, index) {
                self.clients[index].done = Some(now);
                let purpose = self.clients[index].purpose;
                self.failed(now, purpose, 503);
            }
        }
        self.lost_flow(now, peer);
    }

    /// One message, or one datagram.
    pub(crate) fn receive(&mut self, now: Instant, from: SocketAddr, tcp: bool, bytes: &[u8]) {
        let Some(text) = Text::read(bytes) else {
            return;
        };
        if text.is_request() {
            self.request(now, from, tcp, &text);
        } else {
            self.response(now, &text);
        }
    }

    fn branch(&mut self) -> String {
        self.serial += 1;
        let (host, boot, serial) = (self.who.addr.ip(), self.boot, self.serial);
        format!("z9hG4bK.{host}.{boot}.{serial}")
    }

    fn write(&mut self, method: &str, branch: &str, written: &Written<'_>) -> Vec<u8> {
        let Written {
            uri,
            routes,
            from,
            to,
            call_id,
            cseq,
            extra,
            body,
        } = written;
        let odd = self.odd_header();
        let transport = if self.who.tcp { "TCP" } else { "UDP" };
        let sent_by = &self.who.sent_by;
        let routes: String = routes.iter().map(|r| format!("Route: {r}\r\n")).collect();
        let mut out = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {sent_by};rport;branch={branch}\r\n{routes}Max-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{extra}{odd}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        out.extend_from_slice(body);
        out
    }

    /// Header lines that no proxy knows or may touch.
    fn odd_header(&mut self) -> String {
        let number = self.dice.next();
        format!(
            "X-Trace: {number:x};;,\"a , b\" ;=\r\nDate: not a date {number}\r\nSubject:   spaces   stay\r\n"
        )
    }

    fn contact(&self) -> String {
        let Who {
            user, addr, tcp, ..
        } = &self.who;
        let transport = if *tcp { ";transport=tcp" } else { "" };
        format!("<sip:{user}@{addr}{transport}>")
    }

    fn aor(&self) -> String {
        format!("<sip:{}@example.com>", self.who.user)
    }

    /// Octets that are no text.
    fn body(&mut self) -> Vec<u8> {
        let len = self.dice.index(200);
        (0..len)
            .map(|_| self.dice.next().to_be_bytes()[0])
            .collect()
    }

    fn key(via: &Via<'_>, method: &str) -> String {
        let method = if method == "ACK" { "INVITE" } else { method };
        format!("{} {} {method}", via.branch, via.sent_by)
    }
}

impl Client {
    /// The request under another branch. Bodies are octets: only the head is rewritten.
    fn under(&self, branch: &str) -> Vec<u8> {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let end = text.find("\r\n\r\n").unwrap_or(text.len());
        let mut bytes = text[..end].replace(&self.branch, branch).into_bytes();
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(&self.text.body);
        bytes
    }
}

/// The parts of a request.
struct Written<'a> {
    uri: &'a str,
    routes: &'a [String],
    from: &'a str,
    to: &'a str,
    call_id: &'a str,
    cseq: u32,
    extra: &'a str,
    body: &'a [u8],
}
