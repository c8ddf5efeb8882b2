//! Connections: many of them, and such that say little.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::{COUNTED_MAX, counted, measured, withstand};
use crate::lab::{EDGES, Lab};
use crate::process::poll;

/// Connections of a slow loris.
const LORIS: usize = 200;
/// What `steadfast lab --strict` lets one source hold.
const HELD_MAX: usize = 500;
/// Connections opened in each turn of an attack.
const BURST: usize = 20;
/// The TLS port of every edge.
const TLS_PORT: u16 = 5_061;

/// Opens a connection from an address of the attackers.
pub(super) fn connect(from: u8, port: u16) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    let from = SocketAddr::from((Ipv4Addr::new(127, 66, 0, from), 0));
    socket.bind(&from.into()).ok()?;
    let to = SocketAddr::new(EDGES[0].parse().ok()?, port);
    socket
        .connect_timeout(&to.into(), Duration::from_millis(200))
        .ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket.into())
}

/// Whether the other side has closed it.
fn is_closed(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(len) => len == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// A loris: holds connections and says one octet at a time on each.
struct Loris {
    from: u8,
    port: u16,
    /// How each begins.
    hello: &'static [u8],
    held: Vec<TcpStream>,
    opened: usize,
}

impl Loris {
    const fn new(from: u8, port: u16, hello: &'static [u8]) -> Self {
        Self {
            from,
            port,
            hello,
            held: Vec::new(),
            opened: 0,
        }
    }

    fn turn(&mut self) {
        for _ in 0..BURST.min(LORIS - self.opened) {
            if let Some(mut stream) = connect(self.from, self.port) {
                drop(stream.write_all(self.hello));
                self.held.push(stream);
                self.opened += 1;
            }
        }
        self.held.retain(|stream| !is_closed(stream));
        for mut stream in &self.held {
            drop(stream.write(b"x"));
        }
    }
}

#[test]
fn connections_that_say_little_disturb_nobody() {
    let lab = Lab::start_with("abuse-streams", &["--strict", "--tls"]);
    // A message that begins, and goes on for ever; a handshake that does.
    let mut loris = Loris::new(9, 5_060, b"OPTIONS sip:example.com SIP/2.0\r\nX: ");
    withstand(&lab, "slow loris", "partials_late", || loris.turn());
    let mut hello = Loris::new(8, TLS_PORT, b"\x16\x03\x01\x20\x00\x01\x00\x1f\xfc\x03\x03");
    withstand(&lab, "slow handshakes", "tls_failed", || hello.turn());
    for (loris, counter) in [(&mut loris, "partials_late"), (&mut hello, "tls_failed")] {
        let all = u64::try_from(loris.opened).expect("a number of connections");
        let is_rid = poll(COUNTED_MAX, || {
            loris.held.retain(|stream| !is_closed(stream));
            (loris.held.is_empty() && counted(&lab, counter) >= all).then_some(())
        });
        let left = loris.held.len();
        assert!(is_rid.is_some(), "{counter}: {left} of {all} are held");
    }
}

#[test]
fn many_connections_disturb_nobody() {
    // Each shard counts for itself, and the bound is to be met to the number.
    let flags = ["--strict", "--tls", "--shards", "1"];
    let lab = Lab::start_with("abuse-connections", &flags);
    withstand(&lab, "opened and closed", "connections_refused", || {
        for _ in 0..3 * BURST {
            drop(connect(9, 5_060));
        }
    });
    let mut silent = Vec::new();
    withstand(&lab, "half-open handshakes", "connections_refused", || {
        silent.extend((0..BURST).filter_map(|_| connect(10, TLS_PORT)));
        silent.retain(|stream| !is_closed(stream));
    });
    drop(silent);
    let mut held = Vec::new();
    let mut near = 0;
    withstand(
        &lab,
        "as many as there may be",
        "connections_refused",
        || {
            if held.len() < HELD_MAX {
                held.extend((0..BURST).filter_map(|_| connect(11, 5_060)));
            } else {
                near = near.max(measured(&lab, "sources_near_bound"));
                drop(connect(11, 5_060));
            }
        },
    );
    assert_eq!(near, 1, "one source is near its bound");
    lab.log_until("e1", |log| {
        log.contains("a source comes near its bound") && log.contains("held=400 most=500")
    });
}
