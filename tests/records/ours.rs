//! Our end of a connection: a handshake of rustls', a session of ours, a blocking socket.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite};
use steadfast_record::{Handshake, KeyLog, Progress, Role, Session, Stand, Tickets};

use crate::tool::PATIENCE;

/// A suite by the names that both sides have for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    pub(crate) ours: SupportedCipherSuite,
    pub(crate) openssl: &'static str,
    pub(crate) tlslite: &'static str,
}

impl Suite {
    pub(crate) fn is_new(&self) -> bool {
        self.ours.tls13().is_some()
    }
}

/// Each version with each cipher.
pub(crate) const SUITES: [Suite; 6] = {
    use aws_lc_rs::cipher_suite as all;
    [
        Suite {
            ours: all::TLS13_AES_128_GCM_SHA256,
            openssl: "TLS_AES_128_GCM_SHA256",
            tlslite: "aes128gcm",
        },
        Suite {
            ours: all::TLS13_AES_256_GCM_SHA384,
            openssl: "TLS_AES_256_GCM_SHA384",
            tlslite: "aes256gcm",
        },
        Suite {
            ours: all::TLS13_CHACHA20_POLY1305_SHA256,
            openssl: "TLS_CHACHA20_POLY1305_SHA256",
            tlslite: "chacha20-poly1305",
        },
        Suite {
            ours: all::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            openssl: "ECDHE-ECDSA-AES128-GCM-SHA256",
            tlslite: "aes128gcm",
        },
        Suite {
            ours: all::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            openssl: "ECDHE-ECDSA-AES256-GCM-SHA384",
            tlslite: "aes256gcm",
        },
        Suite {
            ours: all::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            openssl: "ECDHE-ECDSA-CHACHA20-POLY1305",
            tlslite: "chacha20-poly1305",
        },
    ]
};

/// A certificate for both sides, in files of their own.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
    folder: PathBuf,
}

impl Identity {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("records-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let made = rcgen::generate_simple_self_signed(["h.example".to_owned()]).unwrap();
        std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self {
            certificate: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
            folder,
        }
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn server(&self, suite: Suite) -> Handshake {
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider(suite))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        (config.enable_secret_extraction, config.key_log) = (true, Arc::new(KeyLog));
        Handshake::server(Arc::new(config)).unwrap()
    }

    fn client(&self, suite: Suite) -> Handshake {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider(suite))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (config.enable_secret_extraction, config.key_log) = (true, Arc::new(KeyLog));
        let name = "h.example".try_into().unwrap();
        Handshake::client(Arc::new(config), name).unwrap()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn provider(suite: Suite) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![suite.ours],
        ..aws_lc_rs::default_provider()
    })
}

/// Our end, once the handshake is over.
pub(crate) struct Ours {
    socket: TcpStream,
    session: Session,
    tickets: Option<Tickets>,
    held: Vec<u8>,
    /// How many tickets have come.
    pub(crate) ticket_count: usize,
    pub(crate) plain: Vec<u8>,
    pub(crate) stand: Stand,
}

impl Ours {
    /// The end that `listener` takes a connection for.
    pub(crate) fn accept(listener: &TcpListener, identity: &Identity, suite: Suite) -> Self {
        let (socket, _) = listener.accept().unwrap();
        Self::shake(socket, identity.server(suite), Role::Server)
    }

    /// The end that connects to a port of loopback.
    pub(crate) fn connect(port: u16, identity: &Identity, suite: Suite) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        Self::shake(socket, identity.client(suite), Role::Client)
    }

    fn shake(mut socket: TcpStream, mut handshake: Handshake, role: Role) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let (mut held, mut out) = (Vec::new(), Vec::new());
        if role == Role::Client {
            handshake.begin(&mut out).unwrap();
        }
        loop {
            socket.write_all(&std::mem::take(&mut out)).unwrap();
            let mut room = [0; 20_000];
            let len = socket.read(&mut room).unwrap();
            assert!(len > 0, "the other side has left in the handshake");
            held.extend_from_slice(&room[..len]);
            let (used, progress) = handshake.receive(&mut held, &mut out).unwrap();
            held.drain(..used);
            if progress == Progress::Complete {
                break;
            }
        }
        socket.write_all(&out).unwrap();
        let finished = handshake.finish().unwrap();
        let mut ours = Self {
            socket,
            session: finished.session,
            tickets: finished.tickets,
            held,
            ticket_count: 0,
            plain: Vec::new(),
            stand: Stand::Open,
        };
        ours.take();
        ours
    }

    fn take(&mut self) {
        let mut out = Vec::new();
        let ticket = &mut |body: &[u8]| {
            self.ticket_count += 1;
            self.tickets.as_mut().unwrap().keep(body)
        };
        let received = self.session.receive(&mut self.held, &mut out, ticket);
        self.plain
            .extend_from_slice(&self.held[received.plain.clone()]);
        self.held.drain(..received.used);
        self.stand = received.stand;
        // Who has ended it with an alert does not wait for an answer.
        drop(self.socket.write_all(&out));
    }

    /// Reads once; false at the end of the connection.
    pub(crate) fn read(&mut self) -> bool {
        let mut room = [0; 20_000];
        let len = match self.socket.read(&mut room) {
            Ok(len) => len,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error}, after {:?}", self.text()),
        };
        self.held.extend_from_slice(&room[..len]);
        self.take();
        len > 0
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.plain).into_owned()
    }

    /// Reads until this was heard.
    pub(crate) fn hear(&mut self, words: &str) {
        while !self.text().contains(words) {
            let more = self.read();
            let goes_on = more && self.stand == Stand::Open;
            assert!(
                goes_on || self.text().contains(words),
                "{:?}, {:?}",
                self.stand,
                self.text()
            );
        }
        self.plain.clear();
    }

    /// Reads to the end of the session, or of the connection.
    pub(crate) fn hear_out(&mut self) {
        while self.stand == Stand::Open && self.read() {}
    }

    pub(crate) fn say(&mut self, message: &[u8]) {
        let mut out = Vec::new();
        self.session.seal([message], &mut out).unwrap();
        self.socket.write_all(&out).unwrap();
    }

    /// Both goodbyes, ours first.
    pub(crate) fn close(&mut self) {
        let mut out = Vec::new();
        self.session.close(&mut out);
        self.socket.write_all(&out).unwrap();
        self.hear_out();
    }

    /// Goes on with what was written of the session, as another process would.
    pub(crate) fn hand_over(self) -> Self {
        let session = Session::from_state(self.session.into_state()).unwrap();
        Self { session, ..self }
    }
}

/// A listener on loopback, and its port.
pub(crate) fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}
