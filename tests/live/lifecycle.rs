//! A node ends in good order, and comes back with what it knew.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use redb::{Database, ReadableTable as _, TableDefinition};

use crate::agent::Agent;
use crate::lab::{EDGES, HOME, Lab, PHONES, metric, port, steadfast};
use crate::process::poll;
use crate::register::register;
use crate::sipp::Sipp;

/// How long an answer, a start or a transaction of the store may take.
const STEP_MAX: Duration = Duration::from_secs(5);
/// How long one question waits for its answer.
const ASK_MAX: Duration = Duration::from_millis(250);
/// How long a node may take to end.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// An edge whose requests are all answered waits T4 for an ACK that is missing, as this caller's is.
const PROMPT: Duration = Duration::from_secs(7);

/// A socket that speaks SIP by hand.
struct Hand {
    socket: UdpSocket,
    user: &'static str,
    port: u16,
    requests: u32,
}

impl Hand {
    fn new(user: &'static str, port: u16) -> Self {
        let socket = UdpSocket::bind((PHONES, port)).expect("a port just seen free is free");
        let set = socket.set_read_timeout(Some(ASK_MAX));
        set.expect("a socket takes a time-out");
        Self {
            socket,
            user,
            port,
            requests: 0,
        }
    }

    /// Sends a request of its own to an edge.
    fn send_request(&mut self, edge: &str, method: &str, uri: &str) {
        self.requests += 1;
        let (user, port, number) = (self.user, self.port, self.requests);
        let request = format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {PHONES}:{port};rport;branch=z9hG4bK-{port}-{number}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:{user}@example.com>;tag=hand-{port}\r\n\
             To: <{uri}>\r\n\
             Call-ID: hand-{port}-{number}\r\n\
             CSeq: 1 {method}\r\n\
             Contact: <sip:{user}@{PHONES}:{port}>\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let sent = self.socket.send_to(request.as_bytes(), (edge, 5060));
        sent.expect("a datagram can be sent");
    }

    fn hear(&self) -> Option<(String, SocketAddr)> {
        let mut buffer = [0; 4_096];
        let (len, from) = self.socket.recv_from(&mut buffer).ok()?;
        Some((String::from_utf8_lossy(&buffer[..len]).into_owned(), from))
    }

    /// Asks anew until the first answer starts so.
    #[track_caller]
    fn until_answered(&mut self, edge: &str, method: &str, uri: &str, start: &str) -> String {
        let answer = poll(STEP_MAX, || {
            self.send_request(edge, method, uri);
            let (answer, _) = self.hear()?;
            answer.starts_with(start).then_some(answer)
        });
        answer.unwrap_or_else(|| panic!("{edge} does not answer {start:?} to {method}"))
    }

    /// Waits for the final answer to its last request.
    #[track_caller]
    fn final_answer(&self) -> String {
        let call_id = format!("\r\nCall-ID: hand-{}-{}\r\n", self.port, self.requests);
        let answer = poll(STEP_MAX, || {
            let (text, _) = self.hear()?;
            let is_final = text.starts_with("SIP/2.0 ") && !text.starts_with("SIP/2.0 1");
            (is_final && text.contains(&call_id)).then_some(text)
        });
        answer.expect("a final answer arrives")
    }

    /// Calls somebody who refuses.
    #[track_caller]
    fn calls(&mut self, edge: &str, other: &Self) {
        self.send_request(edge, "INVITE", &format!("sip:{}@example.com", other.user));
        self.is_refused_by(other);
    }

    #[track_caller]
    fn is_refused_by(&self, other: &Self) {
        other.refuse(&other.invited());
        let answer = self.final_answer();
        assert!(answer.starts_with("SIP/2.0 486 "), "{answer}");
    }

    /// Waits for an INVITE.
    #[track_caller]
    fn invited(&self) -> (String, SocketAddr) {
        let invite = poll(STEP_MAX, || {
            self.hear().filter(|(text, _)| text.starts_with("INVITE "))
        });
        invite.expect("an INVITE arrives")
    }

    /// Answers 486 to it.
    fn refuse(&self, (invite, from): &(String, SocketAddr)) {
        let mut answer = "SIP/2.0 486 Busy Here\r\n".to_owned();
        for line in invite.lines() {
            let name = line.split(':').next().unwrap_or_default();
            if ["Via", "From", "To", "Call-ID", "CSeq"].contains(&name) {
                let tag = if name == "To" { ";tag=busy" } else { "" };
                answer.extend([line, tag, "\r\n"]);
            }
        }
        answer.push_str("Content-Length: 0\r\n\r\n");
        let sent = self.socket.send_to(answer.as_bytes(), from);
        sent.expect("a datagram can be sent");
    }
}

#[test]
fn an_edge_that_ends_takes_nothing_new_and_lets_calls_end() {
    let lab = Lab::start("drain");
    let mut ann = Agent::start(&lab, "listen", "ann", EDGES[1], &["--calls", "1"]);
    ann.until("ready, with 2 of 2 flows");
    let call = ["sip:ann@example.com", "--for", "60"];
    let mut joe = Agent::start(&lab, "call", "joe", EDGES[0], &call);
    joe.until("call 1: answered");
    assert_eq!(joe.first_edge(), EDGES[0]);
    // A second call that rings keeps the edge from ending at once.
    let (busy, caller) = (port(), port());
    register(&lab, "u0001", EDGES[1], busy);
    register(&lab, "u0003", EDGES[0], caller);
    let (busy, mut caller) = (Hand::new("u0001", busy), Hand::new("u0003", caller));
    caller.send_request(EDGES[0], "INVITE", "sip:u0001@example.com");
    let invite = busy.invited();

    let requests = Instant::now();
    lab.signal("-TERM", EDGES[0]);
    for (method, uri) in [
        ("INVITE", "sip:u0002@example.com"),
        ("REGISTER", "sip:example.com"),
    ] {
        let refusal =
            Hand::new("u0002", port()).until_answered(EDGES[0], method, uri, "SIP/2.0 503 ");
        assert!(refusal.contains("\r\nRetry-After: "), "{refusal}");
    }
    joe.leave();
    joe.until("call 1: ended here");
    ann.until("call 1: ended by the other side");
    busy.refuse(&invite);
    let free = Instant::now();
    lab.until_said("e1 ended; the others go on.");
    let (whole, rest) = (requests.elapsed(), free.elapsed());
    println!("drain: ended {whole:?} after SIGTERM, {rest:?} after its last transaction");
    assert!(whole < DRAIN_MAX, "the edge took {whole:?}");
    assert!(rest < PROMPT, "the edge waited {rest:?} for nothing");
    let log = lab.log_until("e1", |log| log.contains("left to others"));
    let last = log.lines().find(|line| line.contains("left to others"));
    assert!(
        last.is_some_and(|line| line.contains("calls=0")),
        "{last:?}"
    );

    let messages = joe.finish();
    let bye = messages.iter().find(|message| message.is_final("BYE"));
    let bye = bye.expect("the BYE has an answer");
    assert_eq!(bye.start(), "SIP/2.0 200 OK");
    assert_eq!(bye.peer.to_string(), EDGES[0], "while it drained");
    ann.finish();
}

/// Whether the store holds a registration of `user`: looked for in a copy,
/// because the home has the file to itself.
pub(crate) fn is_stored(lab: &Lab, user: &str) -> bool {
    const LOCATION: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("location");
    let copy = lab.path("copy.redb");
    std::fs::copy(lab.path("lab/location.redb"), &copy).expect("the store can be copied");
    let look = || -> Option<bool> {
        // A copy from the middle of a transaction may be no database.
        let transaction = Database::open(&copy).ok()?.begin_read().ok()?;
        let rows = transaction.open_table(LOCATION).ok()?;
        let mut keys = rows.iter().ok()?.filter_map(Result::ok).map(|row| row.0);
        Some(keys.any(|key| {
            let key = key.value();
            key.windows(user.len()).any(|part| part == user.as_bytes())
        }))
    };
    look().unwrap_or(false)
}

#[test]
fn registrations_survive_a_home_that_is_killed() {
    let lab = Lab::start("restart");
    let (joe, ann) = (port(), port());
    register(&lab, "joe", EDGES[0], joe);
    assert!(!is_stored(&lab, "ann"));
    register(&lab, "ann", EDGES[1], ann);
    let stored = poll(STEP_MAX, || is_stored(&lab, "ann").then_some(()));
    assert!(stored.is_some(), "ann's registration is never written");
    lab.signal("-KILL", HOME);
    lab.until_said("home was killed by signal 9");

    let home = lab.start_again("home");
    assert!(home.output().contains("read the registrations back"));

    let callee = Sipp::new(&lab, "uas_answer", "ann").port(ann).listen();
    let caller = Sipp::new(&lab, "uac_call", "joe").to(EDGES[0]);
    caller.port(joe).run();
    callee.finish();
}

/// u0003 at e1, and u0001, whom he calls, at these edges.
fn caller_and_callee(lab: &Lab, edges: &[&'static str]) -> [Hand; 2] {
    let [caller, callee] = [port(), port()];
    register(lab, "u0003", EDGES[0], caller);
    for edge in edges {
        register(lab, "u0001", edge, callee);
    }
    [Hand::new("u0003", caller), Hand::new("u0001", callee)]
}

#[test]
fn a_call_waits_for_a_home_that_is_started_again() {
    // V-7, V-8
    let lab = Lab::start("home-again");
    let [mut caller, callee] = caller_and_callee(&lab, &[EDGES[1]]);
    caller.calls(EDGES[0], &callee);
    lab.signal("-TERM", HOME);
    lab.until_said("home ended; the others go on.");
    caller.send_request(EDGES[0], "INVITE", "sip:u0001@example.com");
    let _home = lab.start_again("home");
    caller.is_refused_by(&callee);
    let page = lab.page("e1", "/metrics");
    assert_eq!(metric(&page, "steadfast_held_total"), 1);
    caller.calls(EDGES[0], &callee);
}

#[test]
fn one_of_two_homes_is_started_again_and_no_call_waits() {
    // V-7, V-8: e1 and e3 take the first home first, e2 the second, so that both know the callee.
    let lab = Lab::start("two-homes");
    let read = |name: &str| {
        let text = std::fs::read_to_string(lab.path(&format!("lab/{name}.toml")));
        text.expect("the lab wrote it")
    };
    let write = |name: &str, text: &str| {
        let written = std::fs::write(lab.path(&format!("lab/{name}.toml")), text);
        written.expect("a file can be written");
    };
    let second = read("home")
        .replace(HOME, SECOND_HOME)
        .replace("\"home", "\"h2");
    write("h2", &second.replace("location.redb", "h2.redb"));
    let _second = lab.start_again("h2");
    let [one, other] = [HOME, SECOND_HOME].map(|it| format!("\"sip:{it}:5060;transport=udp\""));
    for name in ["e1", "e2", "e3"] {
        let homes = match name {
            "e2" => format!("[{other}, {one}]"),
            _ => format!("[{one}, {other}]"),
        };
        let before = format!("home = [{one}]");
        let text = read(name);
        assert!(text.contains(&before), "{text}");
        write(name, &text.replace(&before, &format!("home = {homes}")));
        let told = steadfast()
            .args(["reload", "--node"])
            .arg(lab.path(&format!("lab/{name}.toml")))
            .output();
        assert!(told.is_ok_and(|told| told.status.success()), "{name}");
    }
    let [mut caller, callee] = caller_and_callee(&lab, &[EDGES[0], EDGES[1]]);
    caller.calls(EDGES[0], &callee);
    lab.signal("-TERM", HOME);
    for _ in 0..10 {
        caller.calls(EDGES[0], &callee);
    }
    lab.until_said("home ended; the others go on.");
    for _ in 0..10 {
        caller.calls(EDGES[0], &callee);
    }
    let _first = lab.start_again("home");
    for _ in 0..10 {
        caller.calls(EDGES[0], &callee);
    }
    let page = lab.page("e1", "/metrics");
    assert_eq!(metric(&page, "steadfast_held_total"), 0);
}

/// Where nobody of the lab is.
const SECOND_HOME: &str = "127.0.0.14";
