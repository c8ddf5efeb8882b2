//! Connections that come to go: 10,000 a second, or as many as the machine gives
//! beside the lab, from so many addresses that none of them asks for too much.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use socket2::{Domain, Socket, Type};

use super::mob::{Pace, of};
use super::{COUNTED_MAX, counted, measured, withstand};
use crate::lab::{EDGES, Lab};
use crate::process::poll;

/// Connections a second.
const RATE: u32 = 10_000;
/// What the machine must give for it to be an attack: more than one source may
/// open.
const RATE_MIN: u64 = 1_000;
/// Addresses that they come from.
const SOURCES: u8 = 64;
/// The ports of an edge.
const PORTS: [u16; 2] = [5_060, 5_061];

/// Whoever connects and closes.
struct Dashing {
    to: SocketAddr,
    /// What is said in between.
    hello: Vec<u8>,
    pace: Pace,
    /// Those that the kernel would not open.
    failed: u32,
}

impl Dashing {
    fn new(port: u16, hello: Vec<u8>) -> Self {
        Self {
            to: SocketAddr::new(EDGES[0].parse().expect("an address"), port),
            hello,
            pace: Pace::new(RATE),
            failed: 0,
        }
    }

    fn turn(&mut self) {
        let before = self.pace.given;
        for number in before..before + self.pace.due() {
            let [.., last] = number.to_be_bytes();
            let from = of(5, last % SOURCES);
            // A polite end, or a reset; a hello is read only before the first.
            let is_polite = !self.hello.is_empty() || number.is_multiple_of(2);
            self.failed += u32::from(dash(from, self.to, &self.hello, is_polite).is_err());
        }
    }
}

/// Opens a connection and closes it again. On the loopback it is up before the
/// kernel returns.
fn dash(from: SocketAddr, to: SocketAddr, hello: &[u8], is_polite: bool) -> std::io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(from.ip(), 0).into())?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    if !is_polite {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    let mut stream = TcpStream::from(socket);
    match stream.write_all(hello) {
        // It was closed at once, as it may be.
        Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The first words of a TLS client.
fn client_hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for them")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("edge.example.com").expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a configuration");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("a vector takes it");
    hello
}

#[test]
fn connections_that_close_at_once_disturb_nobody() {
    let lab = Lab::start_with("abuse-closes", &["--strict", "--tls"]);
    let [clear, tls] = PORTS;
    let before = measured(&lab, "streams");
    for (what, counter, port, hello) in [
        ("TCP connections", "tcp_accepted", clear, Vec::new()),
        ("TLS handshakes", "tls_abandoned", tls, client_hello()),
    ] {
        let mut dashing = Dashing::new(port, hello);
        let moved = withstand(&lab, what, counter, || dashing.turn());
        let Dashing { pace, failed, .. } = dashing;
        let shed = counted(&lab, "connections_shed");
        println!(
            "{what}: {} of them, {} a second, {failed} not opened, {shed} shed",
            pace.given,
            pace.reached()
        );
        assert!(pace.reached() >= RATE_MIN, "{what}: {}", pace.reached());
        assert!(failed * 10 < pace.given, "{what}: {failed}");
        // Nobody was over his bound, and each was taken in for what it was.
        assert_eq!(counted(&lab, "connections_refused"), 0);
        let given = u64::from(pace.given - failed);
        assert!(
            moved + shed >= given / 2,
            "{what}: {moved} and {shed} of {given}"
        );
        // Nothing of them is left.
        let is_rid = poll(COUNTED_MAX, || {
            (measured(&lab, "streams") <= before).then_some(())
        });
        assert!(is_rid.is_some(), "{what}: {}", measured(&lab, "streams"));
    }
}
