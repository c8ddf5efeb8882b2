//! What the two providers of rustls take for the same: a handshake of TLS 1.3 at the side that
//! accepts it, full and resumed, with X25519 and with X25519MLKEM768; and a message of 800 bytes
//! sealed at one end and opened at the other. Certificates are those of the lab (ECDSA P-256).
//!
//! In rounds that alternate, and the median of each. Then the same message with the keys alone
//! (`keys`).

mod keys;

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
    SupportedCipherSuite,
};

const ROUNDS: usize = 40;
/// Handshakes of one round, each looked at alone: a median of many short times forgets those in
/// which somebody else had the processor.
const HANDSHAKES: usize = 25;
/// Records that are looked at together, and how often in a round.
const RECORDS: u32 = 20;
const LOOKS: usize = 25;
const MESSAGE: [u8; 800] = [b'x'; 800];

/// What both ends of a row use.
struct Row {
    name: &'static str,
    server: Arc<ServerConfig>,
    full: Arc<ClientConfig>,
    resumed: Arc<ClientConfig>,
    /// Medians are of these: full, resumed, a record.
    took: [Vec<Duration>; 3],
}

/// Every row has its own certificate, all of one kind.
fn row(
    name: &'static str,
    mut provider: CryptoProvider,
    group: &'static dyn SupportedKxGroup,
    suite: SupportedCipherSuite,
) -> Row {
    provider.kx_groups = vec![group];
    provider.cipher_suites = vec![suite];
    let provider = Arc::new(provider);
    let made = rcgen::generate_simple_self_signed(["h.example".to_owned()]).expect("a key");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("a suite of TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate");
    let client = |resumption| Arc::new(client(&provider, made.cert.der(), resumption));
    Row {
        name,
        server: Arc::new(server),
        full: client(Resumption::disabled()),
        resumed: client(Resumption::in_memory_sessions(8)),
        took: [const { Vec::new() }; 3],
    }
}

fn client(
    provider: &Arc<CryptoProvider>,
    root: &CertificateDer<'static>,
    resumption: Resumption,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).expect("a root");
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .expect("a suite of TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = resumption;
    config
}

/// Shakes hands; both ends, and what the accepting one spent on it.
fn meet(row: &Row, config: &Arc<ClientConfig>) -> (ClientConnection, ServerConnection, Duration) {
    let name = "h.example".try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::clone(config), name).expect("a client");
    let (mut up, mut down) = (Vec::new(), Vec::new());
    client.write_tls(&mut up).expect("a vector takes it");
    let begun = Instant::now();
    let mut server = ServerConnection::new(Arc::clone(&row.server)).expect("a server");
    let mut spent = begun.elapsed();
    // The second time brings the tickets.
    while !up.is_empty() {
        let begun = Instant::now();
        let mut bytes = &up[..];
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).expect("a slice is read");
            server.process_new_packets().expect("the client is decent");
        }
        while server.wants_write() {
            server.write_tls(&mut down).expect("a vector takes it");
        }
        spent += begun.elapsed();
        up.clear();
        let mut bytes = &down[..];
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).expect("a slice is read");
            client.process_new_packets().expect("the server is decent");
        }
        down.clear();
        while client.wants_write() {
            client.write_tls(&mut up).expect("a vector takes it");
        }
    }
    (client, server, spent)
}

/// The time of each of some handshakes.
fn handshakes(row: &Row, config: &Arc<ClientConfig>, kind: HandshakeKind) -> Vec<Duration> {
    let times = (0..HANDSHAKES).map(|_| {
        let (_, server, spent) = meet(row, config);
        assert_eq!(server.handshake_kind(), Some(kind), "{}", row.name);
        spent
    });
    times.collect()
}

/// The time of a record, both ends together, some times.
fn records(row: &Row) -> Vec<Duration> {
    let (mut client, mut server, _) = meet(row, &row.full);
    let (mut sealed, mut opened) = (Vec::with_capacity(1_024), [0; MESSAGE.len()]);
    let times = (0..LOOKS).map(|_| {
        let begun = Instant::now();
        for _ in 0..RECORDS {
            client.writer().write_all(&MESSAGE).expect("there is room");
            client.write_tls(&mut sealed).expect("a vector takes it");
            server.read_tls(&mut &sealed[..]).expect("a slice is read");
            server.process_new_packets().expect("it is authentic");
            server
                .reader()
                .read_exact(&mut opened)
                .expect("it is all there");
            sealed.clear();
        }
        begun.elapsed() / RECORDS
    });
    let times = times.collect();
    assert_eq!(opened, MESSAGE);
    times
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn main() {
    let mut rows = [
        row(
            "ring, X25519, AES-128",
            ring::default_provider(),
            ring::kx_group::X25519,
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ),
        row(
            "aws-lc, X25519, AES-128",
            aws_lc_rs::default_provider(),
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ),
        row(
            "aws-lc, X25519MLKEM768, AES-128",
            aws_lc_rs::default_provider(),
            aws_lc_rs::kx_group::X25519MLKEM768,
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ),
        row(
            "ring, X25519, ChaCha20",
            ring::default_provider(),
            ring::kx_group::X25519,
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ),
        row(
            "aws-lc, X25519, ChaCha20",
            aws_lc_rs::default_provider(),
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ),
    ];
    for row in &rows {
        // Whoever resumes has been here before.
        meet(row, &row.resumed);
    }
    for _ in 0..ROUNDS {
        for row in &mut rows {
            let took = [
                handshakes(row, &row.full, HandshakeKind::Full),
                handshakes(row, &row.resumed, HandshakeKind::Resumed),
                records(row),
            ];
            for (all, some) in row.took.iter_mut().zip(took) {
                all.extend(some);
            }
        }
    }
    println!(
        "medians of {ROUNDS} rounds, µs; a handshake at the side that accepts it, a record at both"
    );
    println!("{:34} {:>8} {:>8} {:>8}", "", "full", "resumed", "record");
    for row in &mut rows {
        let [full, resumed, record] = row.took.each_mut().map(|all| median(all));
        println!("{:34} {full:8.1} {resumed:8.1} {record:8.3}", row.name);
    }
    keys::compare(ROUNDS);
}
