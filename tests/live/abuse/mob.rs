//! Attackers and their phones: what they say, how fast, and what comes back.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use md5::Digest as _;
use socket2::SockRef;

use crate::lab::{DOMAIN, PASSWORD, load_user};
use crate::process::poll;

/// How long an answer may take.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long before a question is repeated.
const REPEAT: Duration = Duration::from_millis(500);
/// Attackers' sockets, where nothing else is said.
const SOCKETS: u8 = 8;
/// Times a second that an attacker has his turn, at least: what is due since
/// longer is not made up for.
const TURNS: u32 = 20;
/// Bytes that may wait for a socket of theirs.
const BUFFER: usize = 4 << 20;
/// The longest answer that is read whole; of a longer message its beginning.
const HEARD_MAX: usize = 4_096;

/// The way of a request that is no REGISTER, through the edges.
pub(super) const ROUTE: &str = "Route: <sip:edge.example.com;lr>\r\n";

/// Attackers, a socket each.
pub(super) struct Mob {
    pub(super) sockets: Vec<UdpSocket>,
    number: u32,
    /// Bytes that they sent, and that came back.
    pub(super) balance: (usize, usize),
    /// Datagrams that came back.
    pub(super) heard: u64,
}

impl Mob {
    pub(super) fn of(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            sockets: addresses.into_iter().map(bind).collect(),
            number: 0,
            balance: (0, 0),
            heard: 0,
        }
    }

    pub(super) fn new() -> Self {
        Self::of((1..=SOCKETS).map(attacker))
    }

    /// Those at these addresses, registered at an edge: each as the user of its
    /// place.
    #[track_caller]
    pub(super) fn registered(
        edge: &str,
        addresses: impl IntoIterator<Item = SocketAddr>,
        user: impl Fn(u32) -> String,
    ) -> Self {
        let mob = Self::of(addresses);
        for (socket, index) in mob.sockets.iter().zip(0..) {
            sign_in(socket, edge, &user(index));
        }
        mob
    }

    /// Sends so many datagrams; `write` makes each from its number, which leaves
    /// from the place that is the remainder, and the address it comes from. What
    /// the kernel does not take is not sent.
    pub(super) fn burst(
        &mut self,
        count: u32,
        to: &str,
        write: &dyn Fn(u32, SocketAddr) -> Vec<u8>,
    ) {
        for _ in 0..count {
            self.number += 1;
            let at = self.number as usize % self.sockets.len();
            let socket = &self.sockets[at];
            let bytes = write(self.number, socket.own());
            self.balance.0 += socket.send_to(&bytes, (to, 5_060)).unwrap_or_default();
            self.listen_at(at);
        }
        self.listen();
    }

    /// Takes in what came.
    pub(super) fn listen(&mut self) {
        for at in 0..self.sockets.len() {
            self.listen_at(at);
        }
    }

    /// Has those ring who are called through an edge; where, and the INVITEs.
    pub(super) fn ring(&self, edge: &str) -> Vec<(SocketAddr, String)> {
        let ring = |phone: &UdpSocket| {
            let heard = std::iter::from_fn(|| phone.heard());
            let invites: Vec<_> = heard
                .filter(|text| text.starts_with("INVITE "))
                .map(|invite| (phone.own(), invite))
                .collect();
            for (_, invite) in &invites {
                phone.say(edge, ringing(invite).as_bytes());
            }
            invites
        };
        self.sockets.iter().flat_map(ring).collect()
    }

    fn listen_at(&mut self, at: usize) {
        let mut answer = [0; HEARD_MAX];
        while let Ok(len) = self.sockets[at].recv(&mut answer) {
            self.balance.1 += len;
            self.heard += 1;
        }
    }
}

/// Keeps somebody to a rate.
pub(super) struct Pace {
    /// Times a second.
    rate: u32,
    begun: Option<Instant>,
    last: Duration,
    /// Those that were due so far, and those of them that were given out.
    due: u32,
    pub(super) given: u32,
}

impl Pace {
    pub(super) const fn new(rate: u32) -> Self {
        Self {
            rate,
            begun: None,
            last: Duration::ZERO,
            due: 0,
            given: 0,
        }
    }

    /// How many are due since the last time.
    pub(super) fn due(&mut self) -> u32 {
        self.last = self.begun.get_or_insert_with(Instant::now).elapsed();
        let all = self.last.as_micros() * u128::from(self.rate) / 1_000_000;
        let all = u32::try_from(all).expect("a test does not last that long");
        let due = (all - self.due).min(self.rate / TURNS);
        self.due = all;
        self.given += due;
        due
    }

    /// How many there were a second.
    pub(super) fn reached(&self) -> u64 {
        let millis = self.last.as_millis().max(1);
        u64::try_from(u128::from(self.given) * 1_000 / millis).expect("it is no more than `rate`")
    }
}

/// What somebody registers by.
pub(super) trait Line {
    /// Its name in a Via.
    const PROTOCOL: &'static str;

    /// Its own address.
    fn own(&self) -> SocketAddr;

    /// Sends a message.
    fn say(&self, to: &str, bytes: &[u8]);

    /// The next message that came, or what came at once.
    fn heard(&self) -> Option<String>;
}

impl Line for UdpSocket {
    const PROTOCOL: &'static str = "UDP";

    fn own(&self) -> SocketAddr {
        self.local_addr().expect("it is bound")
    }

    fn say(&self, to: &str, bytes: &[u8]) {
        self.send_to(bytes, (to, 5_060))
            .expect("a datagram can be sent");
    }

    fn heard(&self) -> Option<String> {
        text(|into| self.recv(into))
    }
}

impl Line for TcpStream {
    const PROTOCOL: &'static str = "TCP";

    fn own(&self) -> SocketAddr {
        self.local_addr().expect("it is bound")
    }

    fn say(&self, _: &str, bytes: &[u8]) {
        (&mut &*self)
            .write_all(bytes)
            .expect("a connection takes a message");
    }

    fn heard(&self) -> Option<String> {
        text(|into| (&mut &*self).read(into)).filter(|text| !text.is_empty())
    }
}

/// What `read` finds.
fn text(read: impl FnOnce(&mut [u8]) -> std::io::Result<usize>) -> Option<String> {
    let mut bytes = [0; HEARD_MAX];
    let len = read(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
}

pub(super) fn attacker(number: u8) -> SocketAddr {
    of(0, number)
}

/// One of the attackers' addresses.
pub(super) fn of(net: u8, number: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 66, net, number), 5_060))
}

pub(super) fn bind(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("127.0.0.0/8 is this machine");
    socket.set_nonblocking(true).expect("a socket can be told");
    // What comes between two turns is not to be lost, as far as the kernel lets.
    let wide = SockRef::from(&socket).set_recv_buffer_size(BUFFER);
    wide.expect("a socket can be told");
    socket
}

/// One of so many load users from the first on.
pub(super) fn one_of(first: usize, many: u8, number: u32) -> String {
    load_user(first + number as usize % usize::from(many))
}

/// A request as scanners write them, to an extension of its own.
pub(super) fn request(method: &str, number: u32, from: SocketAddr, more: &str) -> Vec<u8> {
    let extension = number.to_string();
    between(method, number, from, (&extension, &extension), more)
}

/// A request from one user to another.
pub(super) fn between(
    method: &str,
    number: u32,
    from: SocketAddr,
    (caller, callee): (&str, &str),
    more: &str,
) -> Vec<u8> {
    let uri = match method {
        "REGISTER" => format!("sip:{DOMAIN}"),
        _ => format!("sip:{callee}@{DOMAIN}"),
    };
    let text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK-{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{caller}@{DOMAIN}>;tag=t{number}\r\nTo: <sip:{callee}@{DOMAIN}>\r\n\
         Call-ID: scan-{number}-{from}\r\nCSeq: 1 {method}\r\nContact: <sip:{number}@{from}>\r\n{more}\
         User-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n"
    );
    text.into_bytes()
}

/// The REGISTER of a load user.
pub(super) fn register(user: &str, number: u32, from: SocketAddr, proof: &str) -> Vec<u8> {
    let text = format!(
        "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK-r{number}\r\n\
         {ROUTE}Max-Forwards: 70\r\nFrom: <sip:{user}@{DOMAIN}>;tag=r\r\n\
         To: <sip:{user}@{DOMAIN}>\r\nCall-ID: {user}-{from}\r\nCSeq: {number} REGISTER\r\n\
         Contact: <sip:{user}@{from}>\r\n{proof}User-Agent: {:300}\r\nContent-Length: 0\r\n\r\n",
        "x"
    );
    text.into_bytes()
}

/// A message with the protocol of another kind of line in its Via.
pub(super) fn over<L: Line>(message: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(message);
    text.replacen("SIP/2.0/UDP ", &format!("SIP/2.0/{} ", L::PROTOCOL), 1)
        .into_bytes()
}

/// What `to` says to a REGISTER, which is repeated until then.
#[track_caller]
fn send_and_wait<L: Line>(line: &L, to: &str, user: &str, number: u32, proof: &str) -> String {
    let bytes = over::<L>(&register(user, number, line.own(), proof));
    let is_it = |text: &String| text.contains(&format!("CSeq: {number} "));
    let text = poll(ANSWER_MAX, || {
        line.say(to, &bytes);
        poll(REPEAT, || line.heard().filter(is_it))
    });
    text.expect("there is an answer")
}

/// A nonce of the home for the address of this line, as anybody gets one.
#[track_caller]
pub(super) fn nonce<L: Line>(line: &L, edge: &str, user: &str) -> String {
    let text = send_and_wait(line, edge, user, 1, "");
    let nonce = text.split_once("nonce=\"").map(|(_, rest)| rest);
    let nonce = nonce.and_then(|rest| rest.split('"').next());
    nonce
        .unwrap_or_else(|| panic!("no nonce: {text}"))
        .to_owned()
}

/// The Authorization of a REGISTER, with this response or with the right one.
pub(super) fn proof(user: &str, nonce: &str, count: u32, response: Option<u32>) -> String {
    let hex = |text: String| data_encoding::HEXLOWER.encode(&md5::Md5::digest(text));
    let response = match response {
        Some(guess) => format!("{guess:032x}"),
        None => {
            let secret = hex(format!("{user}:{DOMAIN}:{PASSWORD}"));
            let asked = hex(format!("REGISTER:sip:{DOMAIN}"));
            hex(format!("{secret}:{nonce}:{count:08x}:c:auth:{asked}"))
        }
    };
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", \
         uri=\"sip:{DOMAIN}\", response=\"{response}\", algorithm=MD5, qop=auth, nc={count:08x}, cnonce=\"c\"\r\n"
    )
}

/// Registers a phone for good.
#[track_caller]
pub(super) fn sign_in<L: Line>(line: &L, edge: &str, user: &str) -> String {
    let proof = proof(user, &nonce(line, edge, user), 1, None);
    let text = send_and_wait(line, edge, user, 2, &proof);
    assert!(text.starts_with("SIP/2.0 200 "), "{text}");
    proof
}

/// The 180 to an INVITE.
pub(super) fn ringing(invite: &str) -> String {
    let mut text = String::from("SIP/2.0 180 Ringing\r\n");
    for line in invite.lines() {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "To" | "t" => write!(text, "{line};tag=callee\r\n").expect("a string takes text"),
            "Via" | "v" | "From" | "f" | "Call-ID" | "i" | "CSeq" | "Record-Route" => {
                write!(text, "{line}\r\n").expect("a string takes text");
            }
            _ => {}
        }
    }
    text + "Content-Length: 0\r\n\r\n"
}
