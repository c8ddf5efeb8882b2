//! Ten thousand UDP phones, half of them at e1 and half at e3, each with one flow:
//! their edge is killed, and calls reach them within a second of its next start
//! (RFC 5626 §4.4.2; issue: UDP phones do not notice a restart).

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use md5::Digest as _;

use crate::lab::{DOMAIN, EDGES, HOME, Lab, PASSWORD, metric};
use crate::process::{Process, poll};

/// Phones at each of the two edges.
const PHONES: usize = 5_000;
/// Phones of an edge that are called after each of its starts.
const CALLED: usize = 100;
/// Phones that register at a time.
const WINDOW: usize = 32;
/// How long nothing may come of a REGISTER before it is sent again.
const REPEAT: Duration = Duration::from_millis(500);
/// How long all of them may take to register.
const REGISTERED_MAX: Duration = Duration::from_secs(90);
/// How soon after the start of its edge a phone is reached.
const REACHED_MAX: Duration = Duration::from_secs(1);

/// Phones of one edge, a socket each.
struct Phones {
    edge: &'static str,
    /// The number of the first one.
    first: usize,
    sockets: Vec<UdpSocket>,
}

/// A phone that registers.
struct Joining {
    index: usize,
    cseq: u32,
    credentials: String,
    sent: Instant,
}

impl Phones {
    fn new(edge: &'static str, first: usize, ip: &str) -> Self {
        let bind = |_| {
            let socket = UdpSocket::bind((ip, 0)).expect("there is a port");
            socket.set_nonblocking(true).expect("a socket can be asked");
            socket
        };
        Self {
            edge,
            first,
            sockets: (0..PHONES).map(bind).collect(),
        }
    }

    fn user(&self, index: usize) -> String {
        format!("kept{:05}", self.first + index)
    }

    fn addr(&self, index: usize) -> SocketAddr {
        self.sockets[index].local_addr().expect("it is bound")
    }

    fn send(&self, index: usize, to: &str, text: &str) {
        let sent = self.sockets[index].send_to(text.as_bytes(), (to, 5060));
        sent.expect("a datagram leaves");
    }

    /// Registers all of them.
    #[track_caller]
    fn register(&self) {
        let end = Instant::now() + REGISTERED_MAX;
        let mut waiting: VecDeque<usize> = (0..PHONES).collect();
        let mut joining: Vec<Joining> = Vec::new();
        while !(waiting.is_empty() && joining.is_empty()) {
            assert!(Instant::now() < end, "{} phones are left", waiting.len());
            while joining.len() < WINDOW
                && let Some(index) = waiting.pop_front()
            {
                let (cseq, credentials, sent) = (1, String::new(), Instant::now());
                joining.push(Joining {
                    index,
                    cseq,
                    credentials,
                    sent,
                });
                self.send_register(joining.last().expect("it was just put there"));
            }
            joining.retain_mut(|phone| !self.has_joined(phone));
            std::thread::yield_now();
        }
    }

    fn has_joined(&self, phone: &mut Joining) -> bool {
        let Some(text) = heard(&self.sockets[phone.index]) else {
            if phone.sent.elapsed() > REPEAT {
                phone.sent = Instant::now();
                self.send_register(phone);
            }
            return false;
        };
        if text.starts_with("SIP/2.0 200 ") {
            return true;
        }
        let cseq = format!("CSeq: {} REGISTER", phone.cseq);
        if !text.contains(&cseq) {
            // A repeated answer is none to what was asked last.
            return false;
        }
        phone.cseq += 1;
        phone.sent = Instant::now();
        if text.starts_with("SIP/2.0 503 ") {
            // The node is late; asked again when nothing has come for a while.
            phone.credentials.clear();
            return false;
        }
        assert!(text.starts_with("SIP/2.0 401 "), "{text}");
        phone.credentials = credentials(&self.user(phone.index), &text);
        self.send_register(phone);
        false
    }

    fn send_register(&self, phone: &Joining) {
        let (user, addr) = (self.user(phone.index), self.addr(phone.index));
        let Joining {
            cseq, credentials, ..
        } = phone;
        let text = format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {addr};rport;branch=z9hG4bK{user}{cseq}\r\n\
             Route: <sip:edge.{DOMAIN};lr>\r\nMax-Forwards: 70\r\nFrom: <sip:{user}@{DOMAIN}>;tag=f\r\n\
             To: <sip:{user}@{DOMAIN}>\r\nCall-ID: {user}\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{user}@{addr}>\r\nSupported: path\r\nExpires: 3600\r\n{credentials}\
             Content-Length: 0\r\n\r\n"
        );
        self.send(phone.index, self.edge, &text);
    }

    /// Calls every so many-th phone at once, past the edges, and has each say that it
    /// is busy; how long it took until the last caller was told, from `start` on.
    #[track_caller]
    fn are_reached(&self, round: &str, start: Instant) -> Duration {
        let caller = UdpSocket::bind(("127.0.0.1", 0)).expect("there is a port");
        caller.set_nonblocking(true).expect("a socket can be asked");
        let from = caller.local_addr().expect("it is bound");
        let called: Vec<_> = (0..PHONES).step_by(PHONES / CALLED).collect();
        for index in &called {
            let user = self.user(*index);
            let text = format!(
                "INVITE sip:{user}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK{round}{user}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:caller@elsewhere.example>;tag={round}\r\n\
                 To: <sip:{user}@{DOMAIN}>\r\nCall-ID: {round}-{user}\r\nCSeq: 1 INVITE\r\n\
                 Contact: <sip:caller@{from}>\r\nContent-Length: 0\r\n\r\n"
            );
            let sent = caller.send_to(text.as_bytes(), (HOME, 5060));
            sent.expect("a datagram leaves");
        }
        let mut left: Vec<_> = called.iter().map(|index| (*index, false)).collect();
        let mut answered = 0;
        poll(Duration::from_secs(10), || {
            left.retain(|(index, _)| !self.is_busy(*index));
            while let Some(text) = heard(&caller) {
                let is_final = !text.starts_with("SIP/2.0 1");
                assert!(!is_final || text.starts_with("SIP/2.0 486 "), "{text}");
                answered += usize::from(is_final);
            }
            (answered >= called.len()).then_some(())
        });
        let took = start.elapsed();
        assert_eq!(
            (left.len(), answered),
            (0, called.len()),
            "{round}: after {took:?}"
        );
        took
    }

    /// Whether an INVITE has come to this phone, which then says that it is busy.
    fn is_busy(&self, index: usize) -> bool {
        let socket = &self.sockets[index];
        while let Some(text) = heard(socket) {
            if let Some(busy) = text.starts_with("INVITE ").then(|| busy(&text)) {
                self.send(index, self.edge, &busy);
                return true;
            }
        }
        false
    }

    /// What the phone is answered who calls somebody through its edge.
    #[track_caller]
    fn calls(&self, index: usize, round: &str) -> String {
        let (user, addr) = (self.user(index), self.addr(index));
        let text = format!(
            "MESSAGE sip:{user}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {addr};rport;branch=z9hG4bKm{round}\r\n\
             Route: <sip:edge.{DOMAIN};lr>\r\nMax-Forwards: 70\r\nFrom: <sip:{user}@{DOMAIN}>;tag=m\r\n\
             To: <sip:{user}@{DOMAIN}>\r\nCall-ID: m-{round}-{user}\r\nCSeq: 1 MESSAGE\r\n\
             Content-Length: 0\r\n\r\n"
        );
        self.send(index, self.edge, &text);
        let answer = poll(Duration::from_secs(5), || heard(&self.sockets[index]));
        answer.expect("the edge answers")
    }

    /// Whether the edge answers the phone's STUN keep-alive.
    fn is_kept_alive(&self, index: usize) -> bool {
        let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        request.extend([7; 12]);
        let sent = self.sockets[index].send_to(&request, (self.edge, 5060));
        sent.expect("a datagram leaves");
        let mut buffer = [0; 512];
        let answer = poll(Duration::from_secs(5), || {
            self.sockets[index].recv(&mut buffer).ok()
        });
        answer.is_some() && buffer[..2] == [1, 1] && buffer[8..20] == [7; 12]
    }
}

/// The next message, if one has come.
fn heard(socket: &UdpSocket) -> Option<String> {
    let mut buffer = [0; 8_192];
    let len = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..len]).into_owned())
}

/// The 486 to an INVITE.
fn busy(invite: &str) -> String {
    let mut text = String::from("SIP/2.0 486 Busy Here\r\n");
    for line in invite.lines() {
        let end = match line.split(':').next().unwrap_or_default() {
            "To" => ";tag=busy",
            "Via" | "From" | "Call-ID" | "CSeq" => "",
            _ => continue,
        };
        write!(text, "{line}{end}\r\n").expect("a string takes text");
    }
    text + "Content-Length: 0\r\n\r\n"
}

fn credentials(user: &str, challenge: &str) -> String {
    let nonce = challenge.split("nonce=\"").nth(1);
    let nonce = nonce.and_then(|rest| rest.split('"').next());
    let nonce = nonce.expect("a challenge has a nonce");
    let md5 = |text: String| data_encoding::HEXLOWER.encode(&md5::Md5::digest(text));
    let ha1 = md5(format!("{user}:{DOMAIN}:{PASSWORD}"));
    let ha2 = md5(format!("REGISTER:sip:{DOMAIN}"));
    let response = md5(format!("{ha1}:{nonce}:00000001:xyz:auth:{ha2}"));
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", \
         uri=\"sip:{DOMAIN}\", response=\"{response}\", algorithm=MD5, qop=auth, nc=00000001, \
         cnonce=\"xyz\"\r\n"
    )
}

/// Adds the users of these phones to the home's list.
fn subscribe(lab: &Lab, phones: &[Phones]) {
    let path = lab.path("lab/users.txt");
    let mut file = std::fs::File::options()
        .append(true)
        .open(path)
        .expect("the list is there");
    let mut text = String::new();
    for phones in phones {
        for user in (0..PHONES).map(|index| phones.user(index)) {
            writeln!(text, "{user} {DOMAIN} password={PASSWORD}").expect("a string takes text");
        }
    }
    file.write_all(text.as_bytes()).expect("it can be written");
    let last = phones[1].user(PHONES - 1);
    lab.until_known(&last);
}

/// Starts an edge again and calls its phones; the process, which goes on.
#[track_caller]
fn comes_back(lab: &Lab, name: &str, phones: &Phones, round: &str) -> Process {
    let began = Instant::now();
    let edge = lab.start_again(name);
    let listens = Instant::now();
    let took = phones.are_reached(round, listens);
    let page = lab.page(name, "/metrics");
    let restored = metric(&page, "steadfast_restored_total");
    // The kernel gives each phone to the shard that had it (none of this with one).
    let handed = ["over", "responses", "strays"];
    let handed = handed.map(|what| metric(&page, &format!("steadfast_handed_{what}_total")));
    println!("{round}: handed between shards: {handed:?}");
    println!(
        "{round}: {restored} phones of {name} are known again, {CALLED} of them reached within {} ms, \
         {} ms from its exec on",
        took.as_millis(),
        (listens - began + took).as_millis(),
    );
    assert_eq!(restored, PHONES as u64, "{round}");
    assert!(took < REACHED_MAX, "{round}: {took:?}");
    assert!(phones.is_kept_alive(1), "{round}: no answer to STUN");
    // It is no stranger, who would be refused, and the home wants to know more of it.
    let answer = phones.calls(1, round);
    assert!(answer.starts_with("SIP/2.0 407 "), "{answer}");
    edge
}

#[test]
fn ten_thousand_udp_phones_are_reached_within_a_second_of_their_edges_next_start() {
    steadfast::io::raise_open_files().expect("a test may have files");
    let lab = Lab::start("kept-flows");
    let all = [
        Phones::new(EDGES[0], 0, "127.0.0.2"),
        Phones::new(EDGES[2], PHONES, "127.0.0.3"),
    ];
    subscribe(&lab, &all);
    let began = Instant::now();
    all.iter().for_each(Phones::register);
    println!(
        "{} phones registered within {:?}",
        2 * PHONES,
        began.elapsed()
    );
    let [first, second] = &all;
    first.are_reached("before", Instant::now());
    // The last ones have registered a moment ago: what SIGKILL may lose is bounded.
    lab.signal("-KILL", EDGES[0]);
    let mut e1 = comes_back(&lab, "e1", first, "killed-e1");
    lab.signal("-KILL", EDGES[2]);
    let _e3 = comes_back(&lab, "e3", second, "killed-e3");
    // Nobody has refreshed, and it ends in good order.
    e1.signal("-TERM");
    assert!(
        e1.wait(Duration::from_secs(20)).is_some(),
        "e1 does not end"
    );
    let _e1 = comes_back(&lab, "e1", first, "ended-e1");
    second.are_reached("after", Instant::now());
}
