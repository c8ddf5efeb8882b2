//! Floods, lies and scans over UDP. Whatever is sent, nobody gets more bytes
//! than he sent, and a victim that sends nothing gets none.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use md5::Digest as _;

use super::{counted, withstand};
use crate::lab::{DOMAIN, EDGES, HOME, Lab, PASSWORD, PHONES, load_user};
use crate::process::poll;

/// What an attacker sends at once, about a hundred times a second.
const BURST: u32 = 50;
/// What one sends that is to exceed the bound on one source.
const FLOOD: u32 = 200;
/// Attackers' sockets.
const SOCKETS: u8 = 8;
/// Who is to be flooded through the nodes.
const VICTIM: &str = "127.66.2.1";
/// How long an answer may take.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long before a question is repeated.
const REPEAT: Duration = Duration::from_millis(500);

/// Attackers, a socket each.
pub(super) struct Mob {
    sockets: Vec<UdpSocket>,
    number: u32,
    /// Bytes that they sent, and that came back.
    balance: (usize, usize),
}

impl Mob {
    fn of(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            sockets: addresses.into_iter().map(bind).collect(),
            number: 0,
            balance: (0, 0),
        }
    }

    pub(super) fn new() -> Self {
        Self::of((1..=SOCKETS).map(attacker))
    }

    /// Sends so many datagrams; `write` makes each from its number and the
    /// address it comes from. What the kernel does not take is not sent.
    pub(super) fn burst(
        &mut self,
        count: u32,
        to: &str,
        write: &dyn Fn(u32, SocketAddr) -> Vec<u8>,
    ) {
        for _ in 0..count {
            self.number += 1;
            let socket = &self.sockets[self.number as usize % self.sockets.len()];
            let from = socket.local_addr().expect("it is bound");
            let bytes = write(self.number, from);
            self.balance.0 += socket.send_to(&bytes, (to, 5_060)).unwrap_or_default();
            self.listen();
        }
    }

    /// Takes in what came.
    fn listen(&mut self) {
        let mut answer = [0; 4_096];
        for socket in &self.sockets {
            while let Ok(len) = socket.recv(&mut answer) {
                self.balance.1 += len;
            }
        }
    }
}

pub(super) fn attacker(number: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 66, 0, number), 5_060))
}

pub(super) fn bind(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("127.0.0.0/8 is this machine");
    socket.set_nonblocking(true).expect("a socket can be told");
    socket
}

/// A request as scanners write them, to an extension of its own.
pub(super) fn request(method: &str, number: u32, from: SocketAddr, more: &str) -> Vec<u8> {
    let uri = match method {
        "REGISTER" => format!("sip:{DOMAIN}"),
        _ => format!("sip:{number}@{DOMAIN}"),
    };
    let text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK-{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{number}@{DOMAIN}>;tag=t{number}\r\nTo: <sip:{number}@{DOMAIN}>\r\n\
         Call-ID: scan-{number}-{from}\r\nCSeq: 1 {method}\r\nContact: <sip:{number}@{from}>\r\n{more}\
         User-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n"
    );
    text.into_bytes()
}

/// The REGISTER of a load user.
fn register(user: &str, number: u32, from: SocketAddr, proof: &str) -> Vec<u8> {
    let text = format!(
        "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK-r{number}\r\n\
         Route: <sip:edge.example.com;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:{user}@{DOMAIN}>;tag=r\r\n\
         To: <sip:{user}@{DOMAIN}>\r\nCall-ID: {user}-{from}\r\nCSeq: {number} REGISTER\r\n\
         Contact: <sip:{user}@{from}>\r\n{proof}User-Agent: {:300}\r\nContent-Length: 0\r\n\r\n",
        "x"
    );
    text.into_bytes()
}

/// What `to` says to a REGISTER, which is repeated until then.
#[track_caller]
fn ask(socket: &UdpSocket, to: &str, user: &str, number: u32, proof: &str) -> String {
    let from = socket.local_addr().expect("it is bound");
    let bytes = register(user, number, from, proof);
    let is_it = |said: &String| said.contains(&format!("CSeq: {number} "));
    let said = poll(ANSWER_MAX, || {
        socket
            .send_to(&bytes, (to, 5_060))
            .expect("a datagram can be sent");
        poll(REPEAT, || heard(socket).filter(is_it))
    });
    said.expect("there is an answer")
}

pub(super) fn heard(socket: &UdpSocket) -> Option<String> {
    let mut answer = [0; 4_096];
    let len = socket.recv(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..len]).into_owned())
}

/// A nonce of the home for this socket's address, as anybody gets one.
#[track_caller]
fn nonce(socket: &UdpSocket, edge: &str, user: &str) -> String {
    let said = ask(socket, edge, user, 1, "");
    let nonce = said.split_once("nonce=\"").map(|(_, rest)| rest);
    let nonce = nonce.and_then(|rest| rest.split('"').next());
    nonce
        .unwrap_or_else(|| panic!("no nonce: {said}"))
        .to_owned()
}

/// The Authorization of a REGISTER, with this response or with the right one.
fn proof(user: &str, nonce: &str, count: u32, response: Option<u32>) -> String {
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
pub(super) fn sign_in(socket: &UdpSocket, edge: &str, user: &str) -> String {
    let proof = proof(user, &nonce(socket, edge, user), 1, None);
    let said = ask(socket, edge, user, 2, &proof);
    assert!(said.starts_with("SIP/2.0 200 "), "{said}");
    proof
}

#[test]
fn floods_of_datagrams_disturb_nobody() {
    let lab = Lab::start_with("abuse", &["--strict"]);
    let edge = EDGES[0];
    let mut mob = Mob::new();
    let mut flood =
        |what: &str, counter: &str, to: &str, write: &dyn Fn(u32, SocketAddr) -> Vec<u8>| {
            withstand(&lab, what, counter, || mob.burst(BURST, to, write));
        };
    flood("INVITE of all extensions", "withheld", edge, &|n, from| {
        request("INVITE", n, from, "")
    });
    flood("the same at the home", "withheld", HOME, &|n, from| {
        request("INVITE", n, from, "")
    });
    flood(
        "short questions with long answers",
        "withheld",
        edge,
        &|n, from| {
            let text = format!(
                "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{n}\r\n\
             f: <sip:a@{DOMAIN}>;tag=1\r\nt: <sip:a@{DOMAIN}>\r\ni: {n}\r\nCSeq: 1 REGISTER\r\n\r\n"
            );
            text.into_bytes()
        },
    );
    flood(
        "ACK and CANCEL of nothing",
        "stray_acks",
        edge,
        &|n, from| {
            let method = if n % 2 == 0 { "ACK" } else { "CANCEL" };
            request(method, n, from, "")
        },
    );
    flood("broken messages", "malformed", edge, &|n, from| {
        let mut bytes = request("INVITE", n, from, "CSeq: x\r\n");
        bytes.truncate(80 + n as usize % 200);
        bytes
    });
    flood("stuffed lists", "invalid", edge, &|n, from| {
        let (name, value) = match n % 3 {
            0 => ("Via", "SIP/2.0/UDP 127.66.2.1;branch=z9hG4bKx"),
            1 => ("Record-Route", "<sip:127.66.2.1;lr>"),
            _ => ("Route", "<sip:127.66.2.1;lr>"),
        };
        let list = vec![value; 80].join(",");
        request("INVITE", n, from, &format!("{name}: {list}\r\n"))
    });
    mob.listen();
    let (sent, came) = mob.balance;
    println!("of {sent} bytes sent, {came} came back");
    assert!(came <= sent, "{came} bytes for {sent}");
    // One source alone has a bound of its own.
    let mut one = Mob::of([attacker(20)]);
    withstand(&lab, "OPTIONS of one source", "limited", || {
        one.burst(FLOOD, edge, &|n, from| request("OPTIONS", n, from, ""));
    });
    let mut one = Mob::of([attacker(21)]);
    withstand(&lab, "STUN of one source", "limited", || {
        one.burst(BURST, edge, &|n, _| {
            let mut bytes = b"\x00\x01\x00\x00\x21\x12\xA4\x42abcdefgh".to_vec();
            bytes.extend_from_slice(&n.to_be_bytes());
            bytes
        });
    });
}

#[test]
fn logins_that_are_guessed_forged_or_replayed_disturb_nobody() {
    let lab = Lab::start_with("abuse-logins", &["--strict"]);
    let edge = EDGES[0];
    let user = load_user(1);
    let mut one = Mob::of([attacker(1)]);
    let guess = nonce(&one.sockets[0], edge, &user);
    let wrong = |n, from| register(&user, n, from, &proof(&user, &guess, n, Some(n)));
    withstand(&lab, "guessed passwords", "failed_digests", || {
        one.burst(BURST, edge, &wrong);
    });
    assert!(counted(&lab, "limited") > 0, "who guesses is not heard");
    // The attacker writes the phones' own address into his datagrams; answers
    // to that go to them, so that the nonce is one of his own.
    let before = counted(&lab, "failed_digests");
    let mut forger = Mob::of([SocketAddr::new(PHONES.parse().expect("an address"), 5_999)]);
    withstand(
        &lab,
        "wrong logins in the phones' name",
        "foreign_nonces",
        || {
            forger.burst(BURST, edge, &wrong);
        },
    );
    assert_eq!(counted(&lab, "failed_digests"), before);
    // A REGISTER that was heard on the way, sent again with another contact.
    let victim = load_user(500);
    let phone = bind(attacker(30));
    let heard = sign_in(&phone, edge, &victim);
    drop(phone);
    let mut thief = Mob::of([SocketAddr::from(([127, 66, 0, 30], 5_062))]);
    let before = counted(&lab, "registrations");
    withstand(&lab, "replayed logins", "replayed_digests", || {
        thief.burst(BURST, edge, &|n, from| {
            register(&victim, n + 9, from, &heard)
        });
    });
    // 40 phones with a binding at an edge and at the home, for each load.
    let signed_in = counted(&lab, "registrations") - before;
    assert!(signed_in.is_multiple_of(40), "{signed_in}");
}

#[test]
fn nobody_is_aimed_at() {
    let lab = Lab::start_with("abuse-aims", &["--strict"]);
    let edge = EDGES[0];
    let mut victim = Mob::of([format!("{VICTIM}:5060").parse().expect("an address")]);
    let mut mob = Mob::new();
    withstand(
        &lab,
        "answers and requests aimed at others",
        "aimed_vias",
        || {
            mob.burst(BURST, edge, &aimed);
        },
    );
    mob.burst(BURST, HOME, &aimed);
    victim.listen();
    assert_eq!(victim.balance.1, 0, "the victim got something");
}

#[test]
fn strangers_cancel_no_call() {
    let lab = Lab::start_with("abuse-cancels", &["--strict"]);
    let [near, far] = [EDGES[0], EDGES[1]];
    let (callee, caller) = (bind(attacker(40)), bind(attacker(41)));
    let user = load_user(499);
    sign_in(&callee, near, &user);
    let own = load_user(498);
    sign_in(&caller, far, &own);
    let at = caller.local_addr().expect("it is bound");
    let call = |method: &str| {
        let text = request(method, 7, at, "Route: <sip:edge.example.com;lr>\r\n");
        let text = String::from_utf8_lossy(&text);
        let text = text.replace("From: <sip:7@", &format!("From: <sip:{own}@"));
        text.replace("sip:7@", &format!("sip:{user}@"))
    };
    caller
        .send_to(call("INVITE").as_bytes(), (far, 5_060))
        .expect("a datagram can be sent");
    let mut said = String::new();
    let invite = poll(ANSWER_MAX, || {
        said.extend(heard(&caller));
        heard(&callee).filter(|said| said.starts_with("INVITE "))
    });
    let invite = invite.unwrap_or_else(|| panic!("the phone does not ring: {said}"));
    callee
        .send_to(ringing(&invite).as_bytes(), (near, 5_060))
        .expect("a datagram can be sent");
    // They know all of it.
    let mut strangers = Mob::of((50..54).map(attacker));
    let cancel = call("CANCEL");
    withstand(&lab, "CANCEL by strangers", "spoofed_cancels", || {
        strangers.burst(BURST, far, &|_, _| cancel.clone().into_bytes());
    });
    assert!(!is_cancelled(&callee), "a stranger cancelled the call");
    caller
        .send_to(cancel.as_bytes(), (far, 5_060))
        .expect("a datagram can be sent");
    let cancelled = poll(ANSWER_MAX, || is_cancelled(&callee).then_some(()));
    assert!(cancelled.is_some(), "its caller may");
}

/// Wants the answer, or the request itself, to go to the victim.
fn aimed(n: u32, from: SocketAddr) -> Vec<u8> {
    let text = request("OPTIONS", n, from, "");
    let mut text = String::from_utf8_lossy(&text).into_owned();
    match n % 4 {
        0 => text = text.replace(";rport", &format!(";maddr={VICTIM}")),
        1 => text = text.replace(";rport", &format!(";received={VICTIM};rport=5060")),
        2 => text = text.replacen(" SIP/2.0", &format!(";maddr={VICTIM} SIP/2.0"), 1),
        _ => {
            text = text.replace(
                "Max-Forwards",
                &format!("Route: <sip:{VICTIM};lr>\r\nMax-Forwards"),
            )
        }
    }
    text.into_bytes()
}

/// The 180 to an INVITE.
fn ringing(invite: &str) -> String {
    let mut text = String::from("SIP/2.0 180 Ringing\r\n");
    for line in invite.lines() {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "To" => write!(text, "{line};tag=callee\r\n").expect("a string takes text"),
            "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => {
                write!(text, "{line}\r\n").expect("a string takes text");
            }
            _ => {}
        }
    }
    text + "Content-Length: 0\r\n\r\n"
}

/// Whether a CANCEL is among what came.
fn is_cancelled(phone: &UdpSocket) -> bool {
    std::iter::from_fn(|| heard(phone)).any(|said| said.starts_with("CANCEL "))
}
