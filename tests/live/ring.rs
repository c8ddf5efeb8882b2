//! What a node does with connections at the limits of its kernel.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::lab::{EDGES, Lab, metric, steadfast};
use crate::process::{Process, poll};

/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(10);

fn connect(edge: &str) -> TcpStream {
    let stream = TcpStream::connect((edge, 5060)).expect("the edge listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a time");
    stream
}

/// Whether the node answers a keep-alive on a connection (RFC 5626 §4.4.1); not where it
/// has closed it.
fn is_answered(stream: &mut TcpStream) -> bool {
    let mut pong = [0; 2];
    stream.write_all(b"\r\n\r\n").is_ok()
        && stream.read_exact(&mut pong).is_ok()
        && &pong == b"\r\n"
}

/// Whether the node has closed a connection by now.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a mode");
    let read = stream.read(&mut [0]);
    stream.set_nonblocking(false).expect("a mode");
    match read {
        Err(error) => error.kind() != ErrorKind::WouldBlock,
        Ok(count) => count == 0,
    }
}

#[test]
fn a_node_without_descriptors_turns_connections_away_and_keeps_those_it_has() {
    const ROOM: usize = 20;
    /// More than a node keeps back for its peers and for whoever asks.
    const KEPT: usize = 128;
    let lab = Lab::start("ring-descriptors");
    let process = lab.process_of(EDGES[0]);
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).expect("a process");
    let most = open.count() + KEPT + ROOM;
    lab.signal("-9", EDGES[0]);
    // Begun with so few that a crowd takes all of them.
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={most}:{most}"));
    let program = steadfast();
    limited.arg(program.get_program()).args(["run", "--config"]);
    limited.arg(lab.path("lab/e1.toml"));
    let node = Process::start("e1", &mut limited, lab.path("e1.limited.log"));
    let listens = || node.output().contains("listening for SIP").then_some(());
    assert!(poll(LIMIT, listens).is_some(), "{}", node.last_words());
    let mut first = connect(EDGES[0]);
    assert!(is_answered(&mut first));
    let mut more: Vec<_> = (0..KEPT + 3 * ROOM).map(|_| connect(EDGES[0])).collect();
    let away = poll(LIMIT, || {
        let away = more.iter_mut().filter_map(|it| is_closed(it).then_some(()));
        let away = away.count();
        (away >= ROOM).then_some(away)
    });
    assert!(away.is_some(), "{}", node.last_words());
    assert!(is_answered(&mut first), "{}", node.last_words());
    drop(more);
    let again = poll(LIMIT, || is_answered(&mut connect(EDGES[0])).then_some(()));
    assert!(again.is_some(), "{}", node.last_words());
    assert!(is_answered(&mut first), "{}", node.last_words());
    let page = lab.page("e1", "/metrics");
    let refused = metric(&page, "steadfast_tcp_refused_total");
    assert!(refused >= ROOM as u64, "{refused}");
}

#[test]
fn who_sends_nothing_more_is_answered_before_the_connection_ends() {
    let lab = Lab::start("ring-half-closed");
    let options = format!(
        "OPTIONS sip:{edge} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5999;branch=z9hG4bKhalf\r\n\
         Max-Forwards: 70\r\nFrom: <sip:x@example.com>;tag=1\r\nTo: <sip:{edge}>\r\n\
         Call-ID: half\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        edge = EDGES[0]
    );
    for _ in 0..100 {
        let mut stream = connect(EDGES[0]);
        stream.write_all(options.as_bytes()).expect("room");
        stream.shutdown(Shutdown::Write).expect("an end");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("SIP/2.0 "), "{answer:?}");
    }
    // Nothing of them is left.
    let left = poll(LIMIT, || {
        let streams = metric(&lab.page("e1", "/metrics"), "steadfast_streams");
        (streams <= 1).then_some(())
    });
    assert!(left.is_some(), "{}", lab.page("e1", "/metrics"));
}
