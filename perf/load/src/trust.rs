//! TLS of a load: whom its phones believe, and the handshake of each. It is
//! rustls' own client with buffers, which shares nothing with that of the nodes
//! but the library.

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use steadfast_core::limits;

use super::Fault;

/// The roots that are believed, and the name that the other end must prove.
pub(super) struct Trust {
    config: Arc<ClientConfig>,
    verifier: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

/// Whether a session is remembered for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tickets {
    /// Every handshake is a full one.
    Refused,
    /// The next one resumes it.
    Kept,
}

/// Other ends that tickets are kept of.
const TICKETS_OF: usize = 8;

impl Trust {
    /// Reads the roots, a PEM file.
    pub(super) fn load(ca: &Path, name: &str) -> Result<Self, Fault> {
        let unusable =
            |why: &dyn std::fmt::Display| Fault::Options(format!("{}: {why}", ca.display()));
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(ca).map_err(|why| unusable(&why))? {
            let root = root.map_err(|why| unusable(&why))?;
            roots.add(root).map_err(|why| unusable(&why))?;
        }
        if roots.is_empty() {
            return Err(unusable(&"it holds no certificate"));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|why| unusable(&why))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| unusable(&why))?;
        let config = config.with_webpki_verifier(Arc::clone(&verifier));
        let config = config.with_no_client_auth();
        let proven = ServerName::try_from(name.to_owned());
        Ok(Self {
            config: Arc::new(config),
            verifier,
            name: proven.map_err(|why| Fault::Options(format!("--name {name}: {why}")))?,
        })
    }

    /// The same with tickets of its own, for handshakes by the thousand: the chain of a certificate
    /// is checked once, so that the other end and not this one says how many there are.
    pub(super) fn with(&self, tickets: Tickets) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        let once = Once {
            verifier: Arc::clone(&self.verifier),
            known: OnceLock::new(),
        };
        config.dangerous().set_certificate_verifier(Arc::new(once));
        config.resumption = match tickets {
            Tickets::Refused => Resumption::disabled(),
            Tickets::Kept => Resumption::in_memory_sessions(TICKETS_OF),
        };
        Self {
            config: Arc::new(config),
            verifier: Arc::clone(&self.verifier),
            name: self.name.clone(),
        }
    }

    /// A session that has said nothing yet.
    pub(super) fn session(&self) -> io::Result<ClientConnection> {
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        let mut session = session.map_err(io::Error::other)?;
        // What waits for the kernel is bounded by the attempts under way.
        session.set_buffer_limit(None);
        Ok(session)
    }

    /// The handshake on a connection that waits.
    pub(super) fn greet(&self, socket: &mut TcpStream) -> io::Result<ClientConnection> {
        socket.set_read_timeout(Some(limits::HANDSHAKE_MAX))?;
        let mut session = self.session()?;
        while session.is_handshaking() {
            session.complete_io(socket)?;
        }
        while session.wants_write() {
            session.write_tls(socket)?;
        }
        Ok(session)
    }
}

/// Checks a certificate once and knows it again by its bytes; that the other end has its key is
/// checked each time.
#[derive(Debug)]
struct Once {
    verifier: Arc<WebPkiServerVerifier>,
    known: OnceLock<CertificateDer<'static>>,
}

impl ServerCertVerifier for Once {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.known.get().is_some_and(|known| known == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified =
            self.verifier
                .verify_server_cert(end_entity, intermediates, name, ocsp, now)?;
        self.known.get_or_init(|| end_entity.clone().into_owned());
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(ca: &Path, name: &str) -> String {
        let refused = Trust::load(ca, name).err();
        refused.expect("nobody is believed").to_string()
    }

    #[test]
    fn a_file_without_roots_is_refused_with_its_name() {
        let none = Path::new("/nowhere/ca.pem");
        let why = refused(none, "edge.example.com");
        assert!(why.starts_with("/nowhere/ca.pem: "), "{why}");
        let name = format!("steadfast-load-roots-{}.pem", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, "no root").unwrap();
        let why = refused(&path, "edge.example.com");
        std::fs::remove_file(&path).unwrap();
        assert!(why.ends_with(": it holds no certificate"), "{why}");
    }
}
