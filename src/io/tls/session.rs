//! One TLS connection: rustls shakes hands, then the record layer goes on (`steadfast_record`).
//!
//! Bytes are opened in the shard's read buffer and sealed into the shard's scratch. What a
//! connection holds besides its keys is the beginning of a record that has not come whole; an idle
//! one holds nothing.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, ClientConfig, Error, ServerConfig};
use steadfast_record as record;
use steadfast_record::{
    Alert, BadState, Failure, Finished, Handshake, Role, Stand, State, Tickets,
};

/// Either end of a connection.
pub struct Session {
    side: Side,
    /// A record that has begun; in the handshake, a message.
    held: Vec<u8>,
    /// The certificates that the peer has shown, its own first.
    certificates: Vec<CertificateDer<'static>>,
    /// The name that a server had to prove; as long as the certificates are kept.
    server: Option<Box<ServerName<'static>>>,
    role: Role,
    is_resumed: bool,
}

enum Side {
    Handshake(Box<Handshake>),
    Up(record::Session, Option<Tickets>),
    /// Another process goes on with it, unless it is taken back.
    Written(State),
    /// The handshake has failed.
    Failed,
}

/// Where a session stands after some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The handshake goes on.
    Handshaking,
    /// Both sides have proven what they must; messages flow.
    Established,
    /// The peer has said that it sends nothing more.
    Ended,
}

/// What a session produces, for all sessions of a shard in turn.
#[derive(Default)]
pub struct Scratch {
    /// Decrypted bytes.
    pub plain: Vec<u8>,
    /// Encrypted bytes, on their way to the peer.
    pub sealed: Vec<u8>,
}

impl Session {
    /// The end that was connected to.
    ///
    /// # Errors
    /// When rustls refuses its configuration.
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Handshake::server(config).map(|it| Self::new(it, Role::Server))
    }

    /// The end that connects, to prove the name and to be told it (C-4).
    ///
    /// # Errors
    /// When rustls refuses its configuration.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Error> {
        let server = Some(Box::new(name.clone()));
        Handshake::client(config, name).map(|it| Self {
            server,
            ..Self::new(it, Role::Client)
        })
    }

    fn new(handshake: Handshake, role: Role) -> Self {
        Self {
            side: Side::Handshake(Box::new(handshake)),
            held: Vec::new(),
            certificates: Vec::new(),
            server: None,
            role,
            is_resumed: false,
        }
    }

    /// The handshake is complete on this side. (A server may send before its
    /// client has proven anything; messages wait until it has.)
    pub const fn is_established(&self) -> bool {
        matches!(self.side, Side::Up(..))
    }

    /// Tickets of the server are still kept, and with them the secrets of the handshake.
    #[cfg(test)]
    pub(super) const fn keeps_tickets(&self) -> bool {
        matches!(self.side, Side::Up(_, Some(_)))
    }

    /// Room for a record that has not come whole.
    #[cfg(test)]
    pub(super) const fn held(&self) -> usize {
        self.held.capacity()
    }

    /// The certificates that the peer has shown, its own first.
    pub(crate) fn peer(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// The server that was connected to.
    pub(crate) fn asked_for(&self) -> Option<&ServerName<'static>> {
        self.server.as_deref()
    }

    /// Lets go of the certificates, once the shard knows who is there: they are a few KiB, which an
    /// idle connection is not to hold.
    pub(crate) fn forget_peer(&mut self) {
        self.certificates = Vec::new();
        self.server = None;
    }

    /// The handshake took up an earlier session, so that nobody has looked at
    /// the certificates now.
    pub const fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Takes in bytes of the peer. What they say is appended to
    /// `scratch.plain`, what the protocol itself answers to `scratch.sealed`,
    /// after a failure the alert.
    ///
    /// # Errors
    /// When the peer breaks the protocol, or is not who it must be: the
    /// connection is to be closed.
    pub fn receive(&mut self, bytes: &mut [u8], scratch: &mut Scratch) -> Result<Progress, Error> {
        if self.held.is_empty() {
            // Nearly every record comes whole: it is opened where it was read to, and nothing is
            // kept but the beginning of one that has not come whole.
            let (used, progress) = self.take(bytes, scratch)?;
            let rest = bytes.get(used..).unwrap_or_default();
            self.held.extend_from_slice(rest);
            return Ok(progress);
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let (used, progress) = self.take(&mut held, scratch)?;
        // An empty one is dropped with its memory, of which an idle connection keeps none.
        if used < held.len() {
            held.drain(..used);
            self.held = held;
        }
        Ok(progress)
    }

    /// How many bytes from the front are done with, and where that leaves the session.
    fn take(
        &mut self,
        bytes: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<(usize, Progress), Error> {
        let mut used = 0;
        if let Side::Handshake(handshake) = &mut self.side {
            let (done, progress) = handshake.receive(bytes, &mut scratch.sealed)?;
            if progress == record::Progress::Handshaking {
                return Ok((done, Progress::Handshaking));
            }
            // The peer may have put its first records behind the end of its handshake.
            used = done;
            self.finish()?;
        }
        let Side::Up(session, tickets) = &mut self.side else {
            return Err(Error::HandshakeNotComplete);
        };
        let bytes = bytes.get_mut(used..).unwrap_or_default();
        let received = session.receive(bytes, &mut scratch.sealed, &mut |ticket| match tickets {
            Some(tickets) => tickets.keep(ticket),
            None => Ok(()),
        });
        forget_first_keys(session, tickets);
        let plain = bytes.get(received.plain).unwrap_or_default();
        scratch.plain.extend_from_slice(plain);
        match received.stand {
            Stand::Open => Ok((used + received.used, Progress::Established)),
            Stand::Ended => Ok((used + received.used, Progress::Ended)),
            Stand::Failed(failure) => Err(error(failure)),
        }
    }

    /// From rustls to the record layer.
    fn finish(&mut self) -> Result<(), Error> {
        // What fails on the way has failed: rustls is used up by handing its secrets over.
        let Side::Handshake(handshake) = std::mem::replace(&mut self.side, Side::Failed) else {
            return Ok(());
        };
        let Finished {
            mut session,
            certificates,
            is_resumed,
            tickets,
        } = handshake.finish()?;
        // Another node: there is always something to talk about, and there are few of them. A
        // phone is silent most of the time, and there are very many.
        if self.role == Role::Client || !certificates.is_empty() {
            session.keep_keys();
        }
        (self.certificates, self.is_resumed) = (certificates, is_resumed);
        self.side = Side::Up(session, tickets);
        Ok(())
    }

    /// Begins the handshake: the first bytes of a client.
    ///
    /// # Errors
    /// As for `receive`.
    pub fn begin(&mut self, scratch: &mut Scratch) -> Result<(), Error> {
        match &mut self.side {
            Side::Handshake(handshake) => handshake.begin(&mut scratch.sealed),
            Side::Up(..) | Side::Written(_) | Side::Failed => Ok(()),
        }
    }

    /// Seals messages, one behind the other, after the handshake.
    ///
    /// # Errors
    /// When nothing may be sent any more: this side has sent its close_notify, the session has
    /// failed, or, in TLS 1.2, its key has sealed all that it may.
    pub(crate) fn seal<'a>(
        &mut self,
        messages: impl IntoIterator<Item = &'a [u8]>,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        let Side::Up(session, tickets) = &mut self.side else {
            return Err(Error::HandshakeNotComplete);
        };
        let sealed = session.seal(messages, &mut scratch.sealed);
        forget_first_keys(session, tickets);
        sealed.map_err(|_used_up| Error::EncryptError)
    }

    /// Its key has few records left, and none will follow: what begins now is to take another
    /// connection.
    pub(crate) fn is_nearly_used_up(&self) -> bool {
        matches!(&self.side, Side::Up(session, _) if session.is_nearly_used_up())
    }

    /// What another process needs to go on with it: the keys, which nobody uses twice, and the
    /// beginning of a record that has come. Nothing goes through it any more, until `take_back`.
    /// `None` before the handshake is complete.
    pub(crate) fn write(&mut self) -> Option<(&[u8], &[u8])> {
        if let Side::Up(..) = self.side {
            let Side::Up(session, _) = std::mem::replace(&mut self.side, Side::Failed) else {
                return None;
            };
            self.side = Side::Written(session.into_state());
        }
        match &self.side {
            Side::Written(state) => Some((state.as_bytes(), &self.held)),
            Side::Handshake(_) | Side::Up(..) | Side::Failed => None,
        }
    }

    /// Goes on with what was written, once no other process will. Its tickets are lost, which
    /// costs the next connection to that server a whole handshake.
    pub(crate) fn take_back(&mut self) {
        if let Side::Written(_) = self.side {
            let Side::Written(state) = std::mem::replace(&mut self.side, Side::Failed) else {
                return;
            };
            if let Ok(session) = record::Session::from_state(state) {
                self.side = Side::Up(session, None);
            }
        }
    }

    /// The session that another process has written.
    ///
    /// # Errors
    /// When the bytes are no session.
    pub(crate) fn read(state: &[u8], held: Vec<u8>) -> Result<Self, BadState> {
        let session = record::Session::from_state(State::copy(state)?)?;
        Ok(Self {
            side: Side::Up(session, None),
            held,
            certificates: Vec::new(),
            server: None,
            // Of no use after the handshake.
            role: Role::Server,
            is_resumed: false,
        })
    }

    /// Says that nothing more comes (C-14).
    pub(crate) fn send_close_notify(&mut self, scratch: &mut Scratch) {
        if let Side::Up(session, _) = &mut self.side {
            session.close(&mut scratch.sealed);
        }
    }
}

/// After a KeyUpdate nobody who comes by this memory opens what was said before: whoever keeps
/// tickets could. A server gives its own right after the handshake.
fn forget_first_keys(session: &record::Session, tickets: &mut Option<Tickets>) {
    if session.has_new_keys() {
        *tickets = None;
    }
}

/// As rustls would call it, for the log.
fn error(failure: Failure) -> Error {
    match failure {
        Failure::BadRecordMac => Error::DecryptError,
        Failure::RecordOverflow => Error::PeerSentOversizedRecord,
        Failure::Alerted(Alert(code)) => Error::AlertReceived(AlertDescription::from(code)),
        Failure::UnexpectedMessage
        | Failure::DecodeError
        | Failure::IllegalParameter
        | Failure::ProtocolVersion
        | Failure::TooManyEmptyRecords
        | Failure::TooManyMessages
        | Failure::TooManyWarnings
        | Failure::TooManyRenegotiations
        | Failure::Exhausted
        | Failure::Over => Error::General(failure.to_string()),
    }
}
