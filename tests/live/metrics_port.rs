//! The port of the metrics among strangers: who says nothing, who does not finish, and who does not
//! read takes a few places for a while, and nothing else.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use steadfast::limits;

use crate::lab::{EDGES, Lab, metric};
use crate::process::poll;

const PATIENCE: Duration = Duration::from_secs(10);
/// How long until those who do not read are found out: until the kernel's buffers are full.
const FOUND_OUT_MAX: Duration = Duration::from_secs(120);
/// What the process may have more for all of them, in pages of memory.
const PAGES_MAX: usize = 8 * 256;

/// A connection to the port from an address, which keeps little of what it does not read.
fn connect(from: &str) -> TcpStream {
    let at = |text: String| text.parse::<SocketAddr>().expect("it is an address");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
    let (own, node) = (at(format!("{from}:0")), at(format!("{}:9090", EDGES[0])));
    let connected = socket
        .set_recv_buffer_size(4_096)
        .and_then(|()| socket.bind(&own.into()))
        .and_then(|()| socket.connect(&node.into()));
    connected.expect("the node listens");
    socket.into()
}

fn say(stream: &mut TcpStream, words: &str) {
    stream.write_all(words.as_bytes()).expect("it is open");
}

fn asked(from: &str, path: &str) -> TcpStream {
    let mut stream = connect(from);
    say(
        &mut stream,
        &format!("GET {path} HTTP/1.1\r\nHost: node\r\n\r\n"),
    );
    stream
}

/// The page of the metrics, asked for from where nobody else is.
fn page() -> String {
    let mut stream = connect("127.0.0.2");
    let set = stream.set_read_timeout(Some(PATIENCE));
    set.expect("a socket takes a time-out");
    say(
        &mut stream,
        "GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n",
    );
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("it answers");
    page
}

/// Whether the node has closed a connection on which it has nothing to say.
fn is_closed(stream: &mut TcpStream) -> bool {
    let set = stream.set_nonblocking(true);
    set.expect("it is a socket");
    match stream.read(&mut [0; 16]) {
        Ok(count) => count == 0,
        Err(why) => why.kind() != ErrorKind::WouldBlock,
    }
}

/// Pages of memory that a process has.
fn resident(id: &str) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{id}/statm")).expect("it runs");
    let pages = text.split(' ').nth(1).and_then(|count| count.parse().ok());
    pages.expect("it is a number")
}

#[test]
fn who_says_nothing_or_reads_nothing_has_few_places_and_loses_them() {
    let lab = Lab::start("metrics-port");
    let id = lab.process_of(EDGES[0]);
    let first = page();
    assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    let before = resident(&id);
    let began = Instant::now();
    let readers = limits::PAGE_LISTENERS_MAX;
    let mut readers: Vec<_> = (0..readers)
        .map(|_| asked("127.0.0.1", "/events"))
        .collect();
    // One of the others is in the middle of his question all the time.
    let silent = limits::PORT_OF_SOURCE_MAX - readers.len();
    let mut silent: Vec<_> = (0..silent).map(|_| connect("127.0.0.1")).collect();
    // Each one more from there is closed at once; others find the node as it was.
    for _ in 0..5 {
        let mut more = connect("127.0.0.1");
        let closed = poll(PATIENCE, || is_closed(&mut more).then_some(()));
        assert!(closed.is_some(), "{}", page());
    }
    let counted = page();
    assert_eq!(
        metric(&counted, "steadfast_metrics_refused_total"),
        5,
        "{counted}"
    );
    assert_eq!(
        metric(&counted, "steadfast_metrics_idle_total"),
        0,
        "{counted}"
    );
    let mut letters = 0;
    let gone = poll(limits::PORT_IDLE_MAX + PATIENCE, || {
        letters += usize::from(silent[0].write(b"G").is_ok());
        silent.iter_mut().all(is_closed).then_some(())
    });
    assert!(gone.is_some(), "they are there for ever: {}", page());
    assert!(
        began.elapsed() >= limits::PORT_IDLE_MAX && letters > 50,
        "{letters}"
    );
    // Those who read nothing are told something each second, until nothing fits any more.
    let mut newcomer = None;
    let free = poll(FOUND_OUT_MAX, || {
        let mut stream = asked("127.0.0.3", "/events");
        let mut head = [0; 12];
        stream.read_exact(&mut head).ok()?;
        newcomer = Some(stream);
        (&head == b"HTTP/1.1 200").then_some(())
    });
    assert!(free.is_some(), "{}", page());
    println!("found out after {:?}", began.elapsed());
    let rest = poll(FOUND_OUT_MAX, || {
        let all = limits::PORT_OF_SOURCE_MAX as u64;
        (metric(&page(), "steadfast_metrics_idle_total") == all).then_some(())
    });
    assert!(rest.is_some(), "{}", page());
    let more = resident(&id).saturating_sub(before);
    assert!(more < PAGES_MAX, "{more} pages more");
    // He who reads is told on.
    let mut newcomer = newcomer.expect("he is there");
    let set = newcomer.set_read_timeout(Some(PATIENCE));
    set.expect("a socket takes a time-out");
    assert!(newcomer.read(&mut [0; 64]).is_ok_and(|count| count > 0));
    // What was kept for the others ends in the middle.
    for reader in &mut readers {
        reader.set_nonblocking(false).expect("it is a socket");
        let mut all = Vec::new();
        let ended = reader.read_to_end(&mut all);
        assert!(ended.is_ok() || !all.is_empty(), "{ended:?}");
    }
}
