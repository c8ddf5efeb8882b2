//! What a message of 800 bytes costs over TLS 1.3 once the handshake is over, sealed at one end and
//! opened at the other: by rustls' unbuffered connections, and by our record layer with keys that
//! are expanded for each turn (as a phone's are) or kept (as another node's are).

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use rustls::client::UnbufferedClientConnection;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite};
use steadfast_record::{Cipher, Role, Secret, Session};

const MESSAGE: [u8; 800] = [b'x'; 800];

/// Two of rustls' connections, once they have shaken hands.
struct Theirs {
    client: UnbufferedClientConnection,
    server: UnbufferedServerConnection,
}

impl Theirs {
    fn new(suite: SupportedCipherSuite) -> Self {
        let made = rcgen::generate_simple_self_signed(["h.example".to_owned()]).expect("a key");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        let provider = Arc::new(CryptoProvider {
            cipher_suites: vec![suite],
            ..aws_lc_rs::default_provider()
        });
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("a suite of TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("a suite of TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a certificate");
        let name = "h.example".try_into().expect("a name");
        let client = UnbufferedClientConnection::new(Arc::new(client), name);
        let server = UnbufferedServerConnection::new(Arc::new(server));
        let mut both = Self {
            client: client.expect("a client"),
            server: server.expect("a server"),
        };
        let mut plain = Vec::new();
        for _ in 0..4 {
            let mut up = both.client(&mut [], None, &mut plain);
            let mut down = both.server(&mut up, &mut plain);
            up = both.client(&mut down, None, &mut plain);
            both.server(&mut up, &mut plain);
        }
        both
    }

    fn client(&mut self, bytes: &mut [u8], say: Option<&[u8]>, plain: &mut Vec<u8>) -> Vec<u8> {
        let (mut used, mut out) = (0, Vec::new());
        loop {
            let status = self.client.process_tls_records(&mut bytes[used..]);
            let (done, goes_on) = step(status, say, plain, &mut out);
            used += done;
            if !goes_on {
                return out;
            }
        }
    }

    fn server(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>) -> Vec<u8> {
        let (mut used, mut out) = (0, Vec::new());
        loop {
            let status = self.server.process_tls_records(&mut bytes[used..]);
            let (done, goes_on) = step(status, None, plain, &mut out);
            used += done;
            if !goes_on {
                return out;
            }
        }
    }
}

/// What is asked for by one state of a connection: how many bytes are done with, and whether there
/// is another one.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "no other state comes between two that are decent"
)]
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    say: Option<&[u8]>,
    plain: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> (usize, bool) {
    let (at, mut used) = (out.len(), status.discard);
    match status.state.expect("both are decent") {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record.expect("it is authentic");
                used += record.discard;
                plain.extend_from_slice(record.payload);
            }
        }
        ConnectionState::EncodeTlsData(mut data) => {
            out.resize(at + 4_096, 0);
            let len = data.encode(&mut out[at..]).expect("there is room");
            out.truncate(at + len);
        }
        ConnectionState::TransmitTlsData(data) => data.done(),
        ConnectionState::WriteTraffic(mut traffic) => {
            if let Some(message) = say {
                out.resize(at + message.len() + 64, 0);
                let len = traffic.encrypt(message, &mut out[at..]);
                out.truncate(at + len.expect("there is room"));
            }
            return (used, false);
        }
        ConnectionState::BlockedHandshake => return (used, false),
        other => panic!("{other:?}"),
    }
    (used, true)
}

/// Two ends of our own.
fn ours(cipher: Cipher, keeps: bool) -> [Session; 2] {
    [Role::Client, Role::Server].map(|role| {
        let half = || (Secret::new(&[7; 32]).expect("it is short"), 0);
        let mut session = Session::tls13(cipher, role, half(), half());
        if keeps {
            session.keep_keys();
        }
        session
    })
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut out = Vec::new();
    for (name, suite, cipher) in [
        (
            "aes-128",
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
            Cipher::Aes128Gcm,
        ),
        (
            "chacha20",
            aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            Cipher::ChaCha20Poly1305,
        ),
    ] {
        let (mut theirs, mut plain) = (Theirs::new(suite), Vec::new());
        criterion.bench_function(&format!("record/{name}/rustls"), |bencher| {
            bencher.iter(|| {
                plain.clear();
                let mut sealed = theirs.client(&mut [], Some(black_box(&MESSAGE)), &mut plain);
                theirs.server(&mut sealed, &mut plain);
                assert_eq!(plain, MESSAGE);
            });
        });
        for (kind, keeps) in [("expanded", false), ("kept", true)] {
            let [mut near, mut far] = ours(cipher, keeps);
            criterion.bench_function(&format!("record/{name}/{kind}"), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    near.seal([black_box(&MESSAGE[..])], &mut out)
                        .expect("it may");
                    let received = far.receive(&mut out, &mut Vec::new(), &mut |_| Ok(()));
                    assert_eq!(out[received.plain], MESSAGE);
                });
            });
        }
    }
}
