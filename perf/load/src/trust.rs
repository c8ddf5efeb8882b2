//! TLS of a load: whom its phones believe, and the handshake of each. It is
//! rustls' own client with buffers, which shares nothing with that of the nodes
//! but the library.

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use steadfast_core::limits;

use super::Fault;

/// The roots that are believed, and the name that the other end must prove.
pub(super) struct Trust {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

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
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| unusable(&why))?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let proven = ServerName::try_from(name.to_owned());
        Ok(Self {
            config: Arc::new(config),
            name: proven.map_err(|why| Fault::Options(format!("--name {name}: {why}")))?,
        })
    }

    /// The handshake on a connection that waits.
    pub(super) fn greet(&self, socket: &mut TcpStream) -> io::Result<ClientConnection> {
        socket.set_read_timeout(Some(limits::HANDSHAKE_MAX))?;
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        let mut session = session.map_err(io::Error::other)?;
        // What waits for the kernel is bounded by the attempts under way.
        session.set_buffer_limit(None);
        while session.is_handshaking() {
            session.complete_io(socket)?;
        }
        while session.wants_write() {
            session.write_tls(socket)?;
        }
        Ok(session)
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
