//! One connection of a phone, plain or over TLS. The TLS is rustls' own client
//! with buffers, which shares nothing with that of the nodes but the library.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(3);

/// A connection and its state.
pub(super) struct Line {
    socket: TcpStream,
    sealed: Option<Sealed>,
}

/// What a line over TLS has besides.
struct Sealed {
    session: ClientConnection,
    name: Box<str>,
    since: Instant,
    is_up: bool,
}

/// What a look at a line brought.
pub(super) enum Seen {
    /// Nothing.
    Nothing,
    /// The handshake is over, with somebody who is `.0`.
    Up(Box<str>),
    /// So many bytes.
    Bytes(usize),
    /// It is gone.
    Gone,
}

/// What all phones believe: the lab's authority.
pub(super) fn trust(ca: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).expect("the lab has written it") {
        let certificate = certificate.expect("it is PEM");
        roots.add(certificate).expect("it is an authority's");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("the library knows its versions")
    .with_root_certificates(roots)
    .with_no_client_auth();
    Arc::new(config)
}

impl Line {
    /// Opens it; over TLS to somebody who can prove the name.
    pub(super) fn open(
        peer: SocketAddr,
        tls: Option<(&Arc<ClientConfig>, Box<str>)>,
    ) -> io::Result<Self> {
        let socket = TcpStream::connect(peer)?;
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let sealed = tls.map(|(config, name)| {
            let server = ServerName::try_from(name.to_string()).expect("a name");
            let session = ClientConnection::new(Arc::clone(config), server);
            Sealed {
                session: session.expect("the configuration is whole"),
                name,
                since: Instant::now(),
                is_up: false,
            }
        });
        Ok(Self { socket, sealed })
    }

    /// Nothing is to come before it can carry messages.
    pub(super) const fn is_plain(&self) -> bool {
        self.sealed.is_none()
    }

    /// Looks what is new, once.
    pub(super) fn look(&mut self, buffer: &mut [u8]) -> Seen {
        let Self { socket, sealed } = self;
        let Some(sealed) = sealed else {
            return match socket.read(buffer) {
                Ok(len) if len > 0 => Seen::Bytes(len),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Seen::Nothing,
                Ok(_) | Err(_) => Seen::Gone,
            };
        };
        sealed.look(socket, buffer).unwrap_or(Seen::Gone)
    }

    /// Sends a message, or as much of it as the kernel takes now; false when
    /// the line is gone.
    pub(super) fn send(&mut self, bytes: &[u8]) -> bool {
        match &mut self.sealed {
            None => self.socket.write_all(bytes).is_ok(),
            Some(sealed) => {
                let taken = sealed.session.writer().write_all(bytes);
                taken.and_then(|()| sealed.flush(&mut self.socket)).is_ok()
            }
        }
    }
}

impl Sealed {
    fn look(&mut self, socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Seen> {
        let end = match self.session.read_tls(socket) {
            Ok(len) => len == 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => return Err(error),
        };
        let told = self.session.process_new_packets();
        self.flush(socket)?;
        told.map_err(io::Error::other)?;
        if !self.is_up && !self.session.is_handshaking() {
            self.is_up = true;
            return Ok(Seen::Up(self.name.clone()));
        }
        match self.session.reader().read(buffer) {
            Ok(len) if len > 0 => return Ok(Seen::Bytes(len)),
            Err(error) if error.kind() == ErrorKind::WouldBlock && !end => {}
            Ok(_) | Err(_) => return Ok(Seen::Gone),
        }
        if !self.is_up && self.since.elapsed() > HANDSHAKE_MAX {
            return Ok(Seen::Gone);
        }
        Ok(Seen::Nothing)
    }

    fn flush(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
