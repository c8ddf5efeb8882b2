//! TLS of a load: whom its phones believe, and the handshake of each.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use super::Fault;
use crate::io::tls::{Progress, Require, Scratch, Session, Settings, Tls};
use crate::limits;

/// The roots that are believed, and the name that the other end must prove.
pub(super) struct Trust {
    tls: Tls,
    name: String,
}

impl Trust {
    /// Reads the roots, a PEM file.
    pub(super) fn load(ca: &Path, name: &str) -> Result<Self, Fault> {
        let settings = Settings {
            pairs: Vec::new(),
            ca: Some(ca.to_owned()),
            require: Require::Never,
            peers: Vec::new(),
        };
        let tls = Tls::load(&settings).map_err(|bad| Fault::Options(bad.to_string()))?;
        let name = name.to_owned();
        Ok(Self { tls, name })
    }

    /// The handshake on a connection that waits.
    pub(super) fn greet(&self, socket: &mut TcpStream) -> io::Result<Session> {
        socket.set_read_timeout(Some(limits::HANDSHAKE_MAX))?;
        let mut session = self.tls.connect(&self.name).map_err(io::Error::other)?;
        let (mut scratch, mut buffer) = (Scratch::default(), [0; 16_384]);
        session.begin(&mut scratch).map_err(io::Error::other)?;
        loop {
            socket.write_all(&std::mem::take(&mut scratch.sealed))?;
            let progress = hear(socket, &mut session, &mut buffer, &mut scratch)?;
            if progress == Progress::Established {
                socket.write_all(&scratch.sealed)?;
                return Ok(session);
            }
        }
    }
}

/// Waits for more, which `scratch` then has.
pub(super) fn hear(
    socket: &mut TcpStream,
    session: &mut Session,
    buffer: &mut [u8],
    scratch: &mut Scratch,
) -> io::Result<Progress> {
    let read = socket.read(buffer)?;
    let bytes = buffer.get_mut(..read).unwrap_or_default();
    if bytes.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    session.receive(bytes, scratch).map_err(io::Error::other)
}
