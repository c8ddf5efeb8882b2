//! Two homes and the store that they share, which is a real Redis.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::lab::{PHONES, metric, steadfast};
use crate::node::{self, Scratch};
use crate::process::{Process, poll};

mod away;
mod nodes;

/// How long anything of this may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the homes are, beside every lab.
const HOMES: [&str; 2] = ["127.0.0.62", "127.0.0.63"];
/// Where the store is.
const STORE: (&str, u16) = ("127.0.0.64", 6379);
const USERS: usize = 400;

/// One pair of homes at a time: their addresses are fixed.
static TURN: Mutex<()> = Mutex::new(());

/// A folder with the configuration of two homes, gone when dropped.
struct Pair {
    files: Scratch,
    _turn: MutexGuard<'static, ()>,
}

impl Pair {
    fn new(test: &str, store: &str, more: &str) -> Self {
        let pair = Self {
            files: Scratch::with(&format!("shared-{test}"), "data"),
            _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let mut users = String::new();
        for number in 0..USERS {
            writeln!(users, "u{number} example.com password=secret").expect("a string takes text");
        }
        pair.write("users.txt", &users);
        pair.write("home.key", &format!("{}\n", "5a".repeat(32)));
        for (index, at) in HOMES.iter().enumerate() {
            pair.write(
                &format!("h{index}.toml"),
                &format!(
                    "name = \"h{index}\"\nlisten = [\"udp:{at}:5060\", \"tcp:{at}:5060\"]\n\
                     shards = 2\ncontrol = \"h{index}.sock\"\n[home]\ndomain = \"example.com\"\n\
                     subscribers = \"users.txt\"\nedges = \"sip:edge.example.com;lr\"\n\
                     edge_peers = [\"127.0.0.61\"]\nauthenticate = false\nredirect = \"never\"\n\
                     nonce_key_file = \"home.key\"\nreach = [\"127.0.0.0/8\"]\nstore = \"{store}\"\n{more}"
                ),
            );
        }
        pair
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }

    fn write(&self, name: &str, text: &str) {
        self.files.write(name, text);
    }

    /// Runs the store.
    fn store(&self, more: &[&str]) -> Process {
        let mut run = Command::new("redis-server");
        let (ip, port) = (STORE.0, STORE.1.to_string());
        run.args(["--bind", ip, "--port", &port, "--dir"]);
        run.arg(self.path("data"));
        run.args(["--save", "", "--appendfsync", "always"]);
        run.args(["--enable-debug-command", "local"]).args(more);
        Process::start("redis-server", &mut run, self.path("redis.log"))
    }

    /// Runs a home, and returns once it listens.
    fn home(&self, index: usize) -> Process {
        let mut run = steadfast();
        run.args(["run", "--config"])
            .arg(self.path(&format!("h{index}.toml")));
        let log = self.path(&format!("h{index}.log"));
        node::start("home", &mut run, log, PATIENCE)
    }

    /// A page of the control socket of a home.
    fn page(&self, index: usize, path: &str) -> String {
        let socket = self.path(&format!("h{index}.sock"));
        node::get(&socket, path, "").expect("it answers")
    }

    #[track_caller]
    fn until(&self, index: usize, name: &str, want: impl Fn(u64) -> bool) {
        let found = poll(PATIENCE, || {
            want(metric(&self.page(index, "/metrics"), name)).then_some(())
        });
        let log = std::fs::read_to_string(self.path(&format!("h{index}.log")));
        assert!(found.is_some(), "{name} of home {index}: {log:?}");
    }
}

fn url() -> String {
    format!("valkey://{}:{}", STORE.0, STORE.1)
}

/// Waits until the store answers.
fn answers(store: &mut Process) {
    let up = poll(PATIENCE, || TcpStream::connect(STORE).is_ok().then_some(()));
    assert!(
        up.is_some() && store.ended().is_none(),
        "{}",
        store.output()
    );
}

/// What the store says to a command of one line.
fn say(line: &str) -> String {
    let mut stream = TcpStream::connect(STORE).expect("it listens");
    let limit = Some(Duration::from_secs(2));
    stream.set_read_timeout(limit).expect("a limit is taken");
    let asked = write!(stream, "{line}\r\nQUIT\r\n");
    asked.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

/// A phone without anything but a socket.
struct Phone(UdpSocket);

impl Phone {
    fn new() -> Self {
        let socket = UdpSocket::bind((PHONES, 0)).expect("there is a port");
        let limit = Some(Duration::from_secs(5));
        socket.set_read_timeout(limit).expect("a limit is taken");
        Self(socket)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("it has an address").port()
    }

    fn receive(&self) -> Option<String> {
        let mut buffer = [0; 8_192];
        let len = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..len]).into_owned())
    }

    fn send(&self, home: &str, text: &str) {
        let sent = self.0.send_to(text.as_bytes(), (home, 5060));
        sent.expect("it can send");
    }

    /// Sends a REGISTER; `contact` empty asks for the bindings.
    fn ask(&self, home: &str, user: &str, call: (&str, usize), contact: &str) {
        let (port, (call_id, cseq)) = (self.port(), call);
        let branch = format!("{user}-{call_id}-{cseq}-{}-{port}", contact.len());
        self.send(
            home,
            &format!(
                "REGISTER sip:example.com SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {PHONES}:{port};rport;branch=z9hG4bK-{branch}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=1\r\n\
                 To: <sip:{user}@example.com>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n\
                 {contact}Content-Length: 0\r\n\r\n"
            ),
        );
    }

    fn register(&self, home: &str, user: &str, call: (&str, usize), contact: &str) -> String {
        self.ask(home, user, call, contact);
        self.receive().expect("it is answered")
    }

    /// A REGISTER with a Contact of this phone, which is granted.
    #[track_caller]
    fn register_here(&self, home: &str, user: &str, call: (&str, usize)) {
        let contact = format!("Contact: <sip:{user}@{PHONES}:{}>\r\n", self.port());
        let answer = self.register(home, user, call, &contact);
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    }

    /// The Contacts that a home has for a user.
    fn contacts(&self, home: &str, user: &str, cseq: usize) -> Vec<String> {
        let answer = self.register(home, user, ("asks", cseq), "");
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        let lines = answer
            .lines()
            .filter_map(|line| line.strip_prefix("Contact: <"));
        let mut all: Vec<_> = lines
            .filter_map(|line| Some(line.split_once('>')?.0.to_owned()))
            .collect();
        all.sort();
        all
    }

    /// Sends a MESSAGE of somebody of another domain.
    fn call(&self, home: &str, user: &str, number: usize) {
        let port = self.port();
        self.send(
            home,
            &format!(
                "MESSAGE sip:{user}@example.com SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {PHONES}:{port};rport;branch=z9hG4bK-m{number}-{port}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:ann@elsewhere.example>;tag=1\r\n\
                 To: <sip:{user}@example.com>\r\nCall-ID: m{number}-{port}\r\n\
                 CSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
            ),
        );
    }
}

/// A number for each request that has to be another one.
fn next() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Waits until a home has these contacts for a user, and how long that took.
#[track_caller]
fn until_contacts(home: &str, user: &str, want: &[String]) -> Duration {
    let (asking, since) = (Phone::new(), Instant::now());
    loop {
        let found = asking.contacts(home, user, next());
        if found == want {
            return since.elapsed();
        }
        assert!(since.elapsed() < PATIENCE, "{user} at {home}: {found:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn contact_of(user: &str, phone: &Phone) -> String {
    format!("sip:{user}@{PHONES}:{}", phone.port())
}

#[test]
fn who_registers_at_one_home_is_called_through_the_other() {
    let pair = Pair::new("call", &url(), "");
    let mut store = pair.store(&[]);
    answers(&mut store);
    let _homes = [pair.home(0), pair.home(1)];
    pair.until(1, "steadfast_store_failing", |failing| failing == 0);
    let caller = Phone::new();
    let mut slowest = Duration::ZERO;
    for number in 0..50 {
        let (user, phone) = (format!("u{number}"), Phone::new());
        let (first, second) = (HOMES[number % 2], HOMES[(number + 1) % 2]);
        phone.register_here(first, &user, (&user, 1));
        let since = Instant::now();
        let short = Some(Duration::from_millis(5));
        phone.0.set_read_timeout(short).expect("a limit is taken");
        let came = poll(PATIENCE, || {
            caller.call(second, &user, next());
            phone.receive()
        });
        slowest = slowest.max(since.elapsed());
        let came = came.expect("it is called");
        assert!(came.starts_with("MESSAGE sip:"), "{came}");
    }
    println!("the slowest of 50 was called through the other home after {slowest:?}");
    assert!(slowest < Duration::from_millis(50), "{slowest:?}");
    // And that one hears of each further contact too.
    slowest = Duration::ZERO;
    for number in 50..150 {
        let user = format!("u{number}");
        let phones = [Phone::new(), Phone::new()];
        let mut want: Vec<String> = Vec::new();
        for (index, phone) in phones.iter().enumerate() {
            phone.register_here(HOMES[0], &user, (&format!("{user}-{index}"), 1));
            want.push(contact_of(&user, phone));
            want.sort();
            slowest = slowest.max(until_contacts(HOMES[1], &user, &want));
        }
    }
    println!("the slowest of 200 registrations was known to the other home after {slowest:?}");
    assert!(slowest < Duration::from_millis(50), "{slowest:?}");
    assert!(metric(&pair.page(1, "/metrics"), "steadfast_shared_rows_total") >= 200);
    // What ends at one ends at the other.
    let phone = Phone::new();
    phone.register_here(HOMES[0], "u200", ("leaves", 1));
    until_contacts(HOMES[1], "u200", &[contact_of("u200", &phone)]);
    let gone = "Contact: *\r\nExpires: 0\r\n";
    let answer = phone.register(HOMES[1], "u200", ("leaves", 2), gone);
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    until_contacts(HOMES[0], "u200", &[]);
    let exists = say("EXISTS steadfast:1:{example.com}:aor:u200@example.com");
    assert!(exists.starts_with(":0"), "{exists}");
    // Every key that lasts no longer than its bindings says so.
    let left = say("TTL steadfast:1:{example.com}:aor:u0@example.com");
    let left: i64 = left[1..]
        .lines()
        .next()
        .and_then(|it| it.parse().ok())
        .expect("a number");
    assert!((1..=7_200).contains(&left), "{left}");
}

#[test]
fn with_durable_nobody_is_told_before_the_other_home_may_call_him() {
    let pair = Pair::new("at-once", &url(), "durable = true\n");
    let mut store = pair.store(&[]);
    answers(&mut store);
    let _homes = [pair.home(0), pair.home(1)];
    pair.until(0, "steadfast_store_failing", |failing| failing == 0);
    pair.until(1, "steadfast_store_failing", |failing| failing == 0);
    let caller = Phone::new();
    for number in 0..100 {
        let (user, phone) = (format!("u{number}"), Phone::new());
        let (first, second) = (HOMES[number % 2], HOMES[(number + 1) % 2]);
        phone.register_here(first, &user, (&user, 1));
        // The home that has not heard of him asks.
        caller.call(second, &user, next());
        let came = phone.receive().expect("it is called");
        assert!(came.starts_with("MESSAGE sip:"), "{came}");
    }
    let asked = |home| metric(&pair.page(home, "/metrics"), "steadfast_shared_asked_total");
    println!("of 100, {} were asked for", asked(0) + asked(1));
}

#[test]
fn a_home_that_starts_knows_who_is_registered() {
    let pair = Pair::new("start", &url(), "");
    let mut store = pair.store(&[]);
    answers(&mut store);
    let first = pair.home(0);
    let phone = Phone::new();
    for number in 0..USERS {
        phone.register_here(HOMES[0], &format!("u{number}"), ("starts", number + 1));
    }
    pair.until(0, "steadfast_store_unsaved", |unsaved| unsaved == 0);
    drop(first);
    let second = pair.home(1);
    for number in [0, USERS / 2, USERS - 1] {
        let user = format!("u{number}");
        until_contacts(HOMES[1], &user, &[contact_of(&user, &phone)]);
    }
    let said = format!("read the registrations of all homes records={USERS}");
    assert!(second.output().contains(&said), "{}", second.output());
}

#[test]
fn of_two_registers_of_one_phone_at_two_homes_the_later_one_holds() {
    // RFC 3261 §10.3
    let pair = Pair::new("order", &url(), "");
    let mut store = pair.store(&[]);
    answers(&mut store);
    let _homes = [pair.home(0), pair.home(1)];
    let phone = Phone::new();
    for round in 0..100 {
        let user = format!("u{round}");
        // The same binding under one Call-ID, the later one at either home.
        let later = round % 2;
        let contact = |q: &str| format!("Contact: <sip:{user}@{PHONES}:4>;q={q}\r\n");
        phone.ask(HOMES[later], &user, (&user, 2), &contact("0.2"));
        phone.ask(HOMES[1 - later], &user, (&user, 1), &contact("0.1"));
        for _ in 0..2 {
            phone.receive().expect("it is answered");
        }
        for home in HOMES {
            let found = poll(PATIENCE, || {
                let answer = phone.register(home, &user, ("asks", next()), "");
                answer.contains(";q=0.2;").then_some(())
            });
            assert!(found.is_some(), "{user} at {home}");
        }
        // Two phones at once: both stay.
        let other = Phone::new();
        let user = format!("u{}", 200 + round);
        let bind = |phone: &Phone| format!("Contact: <{}>\r\n", contact_of(&user, phone));
        phone.ask(HOMES[0], &user, ("one", 1), &bind(&phone));
        other.ask(HOMES[1], &user, ("other", 1), &bind(&other));
        for phone in [&phone, &other] {
            let answer = phone.receive().expect("it is answered");
            assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        }
        let mut want = [&phone, &other].map(|phone| contact_of(&user, phone));
        want.sort();
        for home in HOMES {
            until_contacts(home, &user, &want);
        }
    }
}
