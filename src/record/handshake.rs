//! rustls' handshake, without buffers of its own, up to where a [`Session`] takes over.
//!
//! rustls is shown one record at a time. So it has seen nothing of what comes behind the handshake,
//! which is not its to open.

use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{
    ClientConfig, CommonState, Error, HandshakeKind, InconsistentKeys, PeerMisbehaved, ServerConfig,
};

use crate::failure::Failure;
use crate::keys::header;
use crate::limits::HEADER_LEN;
use crate::role::Role;
use crate::session::Session;
use crate::takeover::{self, Logged};

/// Either end of a handshake.
pub struct Handshake {
    side: Side,
    /// In a place of its own: a handshake that moves leaves no copy of the secrets behind.
    pub(crate) logged: Box<Logged>,
    /// Bytes of whole records that rustls has seen and not let go: a message that goes on.
    seen: usize,
}

enum Side {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// How far a handshake is after some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It goes on.
    Handshaking,
    /// It is complete on this side: `Handshake::finish` is to follow, and what comes behind `used`
    /// is for the session.
    Complete,
}

/// What a handshake leaves.
pub struct Finished {
    /// What goes on with the connection.
    pub session: Session,
    /// The certificates that the peer has shown, its own first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The handshake took up an earlier session: nobody has looked at the certificates now.
    pub is_resumed: bool,
    /// Remembers the tickets of a server.
    pub tickets: Option<Tickets>,
}

/// Where a client keeps the tickets that its server gives it. It has the secrets of the handshake,
/// from which the first keys follow: to be dropped when the session
/// [has new ones](Session::has_new_keys).
pub struct Tickets(Box<KernelConnection<ClientConnectionData>>);

/// What came of one state of rustls' machine.
enum Step {
    /// It has more to say about the bytes that it was shown.
    Again,
    /// It waits for bytes of the peer, or for something to write.
    Rest,
    /// The handshake is over with this.
    Failed(Error),
}

impl Handshake {
    /// The end that was connected to.
    ///
    /// # Errors
    /// When rustls refuses its configuration.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        UnbufferedServerConnection::new(config).map(|it| Self::new(Side::Server(Box::new(it))))
    }

    /// The end that connects, to prove the name.
    ///
    /// # Errors
    /// When rustls refuses its configuration.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        let client = UnbufferedClientConnection::new(config, name);
        client.map(|it| Self::new(Side::Client(Box::new(it))))
    }

    fn new(side: Side) -> Self {
        Self {
            side,
            logged: Box::default(),
            seen: 0,
        }
    }

    /// Begins: the first bytes of a client.
    ///
    /// # Errors
    /// As for `receive`.
    pub fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        match self.drive(&mut [], out) {
            (_, Step::Failed(error)) => Err(error),
            (_, Step::Again | Step::Rest) => Ok(()),
        }
    }

    /// Takes in bytes of the peer; how many from the front are done with. The others are to be
    /// shown again, with what follows them. What is to be sent is appended to `out`, after a
    /// failure the alert.
    ///
    /// # Errors
    /// When the peer breaks the protocol, or is not who it must be: the connection is to be closed.
    pub fn receive(
        &mut self,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, Progress), Error> {
        let (mut used, mut end) = (0_usize, self.seen);
        loop {
            let record = whole(bytes.get(end..).unwrap_or_default());
            // The beginning of a record is shown as well, once: for the faults of its header.
            let shown = record.map_or(bytes.len(), |len| end.saturating_add(len));
            let rest = bytes.get_mut(used..shown).unwrap_or_default();
            let (done, step) = self.drive(rest, out);
            used = used.saturating_add(done);
            if let Step::Failed(error) = step {
                let rest = bytes.get_mut(used..shown).unwrap_or_default();
                // One step further, for the alert that rustls has left behind. It remembers places
                // in bytes that it has seen and not let go, so it is shown the same ones again.
                self.once(rest, out);
                return Err(error);
            }
            if record.is_some() && !self.state().is_handshaking() {
                if used != shown {
                    // A message that goes on in the records of the session.
                    return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
                }
                return Ok((used, Progress::Complete));
            }
            if record.is_none() {
                self.seen = end.saturating_sub(used);
                return Ok((used, Progress::Handshaking));
            }
            end = shown;
        }
    }

    /// Hands over, once `receive` has said that the handshake is complete.
    ///
    /// # Errors
    /// When it is not, or when the configuration does not let secrets out and log them.
    pub fn finish(self) -> Result<Finished, Error> {
        let state = self.state();
        let certificates = state.peer_certificates().unwrap_or_default().to_vec();
        let is_resumed = state.handshake_kind() == Some(HandshakeKind::Resumed);
        let lost = |_refused| Error::InconsistentKeys(InconsistentKeys::Unknown);
        let (session, tickets) = match self.side {
            Side::Server(server) => {
                let (secrets, kernel) = server.dangerous_into_kernel_connection()?;
                let session = Session::take_over(Role::Server, &kernel, secrets, &self.logged);
                (session.map_err(lost)?, None)
            }
            Side::Client(client) => {
                let (secrets, kernel) = client.dangerous_into_kernel_connection()?;
                let session = Session::take_over(Role::Client, &kernel, secrets, &self.logged);
                (session.map_err(lost)?, Some(Tickets(Box::new(kernel))))
            }
        };
        Ok(Finished {
            session,
            certificates,
            is_resumed,
            tickets,
        })
    }

    fn state(&self) -> &CommonState {
        match &self.side {
            Side::Server(server) => server,
            Side::Client(client) => client,
        }
    }

    /// Runs the machine over `bytes` until it wants more; the number of bytes that are dealt with.
    fn drive(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> (usize, Step) {
        let mut used = 0_usize;
        loop {
            let rest = bytes.get_mut(used..).unwrap_or_default();
            let (done, step) = self.once(rest, out);
            used = used.saturating_add(done);
            match step {
                Step::Again => {}
                Step::Rest | Step::Failed(_) => return (used, step),
            }
        }
    }

    fn once(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> (usize, Step) {
        takeover::forget();
        let done = match &mut self.side {
            Side::Server(server) => step(server.process_tls_records(bytes), out),
            Side::Client(client) => step(client.process_tls_records(bytes), out),
        };
        self.logged.take();
        done
    }
}

impl Tickets {
    /// Remembers a ticket for the next connection to the same server. One that cannot be kept for
    /// another reason than its bytes is left out: the next handshake is a full one.
    ///
    /// # Errors
    /// When it cannot be read (RFC 8446 §6.2): the session is over.
    pub fn keep(&mut self, body: &[u8]) -> Result<(), Failure> {
        match self.0.handle_new_session_ticket(body) {
            Err(Error::InvalidMessage(_)) => Err(Failure::DecodeError),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// The length of the first record, if it has come whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let (_, body) = bytes.split_at_checked(HEADER_LEN)?;
    let [.., high, low] = header(bytes);
    let len = usize::from(u16::from_be_bytes([high, low]));
    body.get(..len)?;
    Some(HEADER_LEN.saturating_add(len))
}

fn step<Data>(status: UnbufferedStatus<'_, '_, Data>, out: &mut Vec<u8>) -> (usize, Step) {
    let step = match status.state {
        Err(error) => Step::Failed(error),
        Ok(ConnectionState::EncodeTlsData(mut data)) => put(out, |room| {
            data.encode(room).map_err(|error| match error {
                EncodeError::InsufficientSize(error) => Some(error.required_size),
                EncodeError::AlreadyEncoded => None,
            })
        }),
        Ok(ConnectionState::TransmitTlsData(data)) => {
            // It stands in `out`, which is sent or kept whole.
            data.done();
            Step::Again
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Step::Rest,
        // Neither data nor an end comes before the handshake is complete, and then it is taken over.
        Ok(_) => Step::Failed(Error::General("no state of a handshake".to_owned())),
    };
    (status.discard, step)
}

/// Room for most messages of a handshake.
const ROOM: usize = 2_048;

/// Appends what `write` writes into the room that it is given; its error says how much it needs.
fn put(
    out: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Step {
    let at = out.len();
    out.resize(at.saturating_add(ROOM), 0);
    let mut written = write(out.get_mut(at..).unwrap_or_default());
    if let Err(Some(needed)) = written {
        out.resize(at.saturating_add(needed), 0);
        written = write(out.get_mut(at..).unwrap_or_default());
    }
    out.truncate(at.saturating_add(written.unwrap_or_default()));
    match written {
        Ok(_) => Step::Again,
        Err(_) => Step::Failed(Error::EncryptError),
    }
}
