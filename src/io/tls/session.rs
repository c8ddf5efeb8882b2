//! One TLS connection without buffers of its own: bytes are decrypted out of
//! the shard's read buffer and encrypted into the shard's scratch. What it holds
//! besides the keys is the beginning of a record that has not come whole, and
//! ciphertext that the kernel would not take; an idle one holds neither.
//!
//! rustls has this as its unbuffered interface: the caller keeps the bytes, shows them,
//! is told how many from the front are done with, and does what a state asks for until
//! none asks for more. A buffered connection would hold 7.3 KiB for each idle phone.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, Error, HandshakeKind, ServerConfig};

/// Either end of a connection.
pub struct Session {
    side: Side,
    /// A record that has begun.
    held: Vec<u8>,
}

enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
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

/// What to write once the session can.
#[derive(Clone, Copy)]
enum Wish<'a> {
    Nothing,
    Data(&'a [u8]),
    Goodbye,
}

/// What came of one state of the machine.
enum Step {
    /// The machine has more to say about the bytes that it was shown.
    Again,
    /// It waits for bytes of the peer, or for something to write.
    Rest,
    /// The peer, or both sides, have closed.
    Ended,
    /// The session is over with this.
    Failed(Error),
}

impl Session {
    /// The end that was connected to.
    ///
    /// # Errors
    /// When rustls refuses its configuration.
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        UnbufferedServerConnection::new(config).map(|it| Self::new(Side::Server(it)))
    }

    /// The end that connects, to prove the name and to be told it (C-4).
    ///
    /// # Errors
    /// When rustls refuses its configuration.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Error> {
        UnbufferedClientConnection::new(config, name).map(|it| Self::new(Side::Client(it)))
    }

    const fn new(side: Side) -> Self {
        let held = Vec::new();
        Self { side, held }
    }

    fn state(&self) -> &CommonState {
        match &self.side {
            Side::Server(server) => server,
            Side::Client(client) => client,
        }
    }

    /// The handshake is complete on this side. (A server may send before its
    /// client has proven anything; messages wait until it has.)
    pub fn is_established(&self) -> bool {
        !self.state().is_handshaking()
    }

    /// Bytes of a record that has not come whole.
    #[cfg(test)]
    pub(super) const fn held(&self) -> usize {
        self.held.capacity()
    }

    /// The certificates that the peer has shown, its own first.
    pub(crate) fn peer(&self) -> &[CertificateDer<'static>] {
        self.state().peer_certificates().unwrap_or_default()
    }

    /// The handshake took up an earlier session, so that nobody has looked at
    /// the certificates now.
    pub fn is_resumed(&self) -> bool {
        self.state().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Takes in bytes of the peer. What they say is appended to
    /// `scratch.plain`, what the protocol itself answers to `scratch.sealed`,
    /// after a failure the alert.
    ///
    /// # Errors
    /// When the peer breaks the protocol, or is not who it must be: the
    /// connection is to be closed.
    pub fn receive(&mut self, bytes: &mut [u8], scratch: &mut Scratch) -> Result<Progress, Error> {
        let mut held = std::mem::take(&mut self.held);
        let step = if held.is_empty() {
            // Nearly every record comes whole: it is decrypted where it was read to, and
            // nothing is copied but the beginning of one that has not come whole.
            let (used, step) = self.receive_all(bytes, scratch);
            held.extend_from_slice(bytes.get(used..).unwrap_or_default());
            step
        } else {
            held.extend_from_slice(bytes);
            let (used, step) = self.receive_all(&mut held, scratch);
            held.drain(..used);
            step
        };
        // An empty one is dropped with its memory, of which an idle connection keeps none.
        if !held.is_empty() {
            self.held = held;
        }
        match step {
            Step::Ended => Ok(Progress::Ended),
            Step::Failed(error) => Err(error),
            Step::Again | Step::Rest if self.is_established() => Ok(Progress::Established),
            Step::Again | Step::Rest => Ok(Progress::Handshaking),
        }
    }

    /// Begins the handshake: the first bytes of a client.
    ///
    /// # Errors
    /// As for `receive`.
    pub fn begin(&mut self, scratch: &mut Scratch) -> Result<(), Error> {
        self.write(Wish::Nothing, scratch)
    }

    /// Encrypts a message, after the handshake.
    ///
    /// # Errors
    /// When the keys are used up, which takes longer than any connection lasts.
    pub(crate) fn seal(&mut self, message: &[u8], scratch: &mut Scratch) -> Result<(), Error> {
        self.write(Wish::Data(message), scratch)
    }

    /// Says that nothing more comes (C-14).
    ///
    /// # Errors
    /// As for `seal`.
    pub(crate) fn say_goodbye(&mut self, scratch: &mut Scratch) -> Result<(), Error> {
        self.write(Wish::Goodbye, scratch)
    }

    fn write(&mut self, wish: Wish<'_>, scratch: &mut Scratch) -> Result<(), Error> {
        // Nothing is read here, but rustls remembers places in a record that has begun, and
        // is shown it again as in `receive_all`.
        let mut held = std::mem::take(&mut self.held);
        let (used, step) = self.drive(&mut held, wish, scratch);
        if used > 0 {
            held.drain(..used);
        }
        self.held = held;
        match step {
            Step::Failed(error) => Err(error),
            Step::Again | Step::Rest | Step::Ended => Ok(()),
        }
    }

    /// Runs the machine over `bytes`, and after a failure one step further for
    /// the alert that it left behind. rustls remembers places in bytes that it
    /// has seen and not let go, so it is shown the same ones again; and one that
    /// has failed must not get as far as reading them a second time.
    fn receive_all(&mut self, bytes: &mut [u8], scratch: &mut Scratch) -> (usize, Step) {
        let (used, step) = self.drive(bytes, Wish::Nothing, scratch);
        if matches!(step, Step::Failed(_)) {
            let rest = bytes.get_mut(used..).unwrap_or_default();
            self.once(rest, Wish::Nothing, scratch);
        }
        (used, step)
    }

    /// Runs the machine over `bytes` until it wants more or the wish is done;
    /// the number of bytes that are dealt with.
    fn drive(&mut self, bytes: &mut [u8], wish: Wish<'_>, scratch: &mut Scratch) -> (usize, Step) {
        let mut used = 0;
        loop {
            let rest = bytes.get_mut(used..).unwrap_or_default();
            let (discard, step) = self.once(rest, wish, scratch);
            used += discard;
            match step {
                Step::Again => {}
                Step::Rest | Step::Ended | Step::Failed(_) => return (used, step),
            }
        }
    }

    fn once(&mut self, bytes: &mut [u8], wish: Wish<'_>, scratch: &mut Scratch) -> (usize, Step) {
        match &mut self.side {
            Side::Server(server) => step(server.process_tls_records(bytes), wish, scratch),
            Side::Client(client) => step(client.process_tls_records(bytes), wish, scratch),
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library may add states, and an unknown one ends the session"
)]
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    wish: Wish<'_>,
    scratch: &mut Scratch,
) -> (usize, Step) {
    let mut discard = status.discard;
    let step = match status.state {
        Err(error) => Step::Failed(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    scratch.plain.extend_from_slice(record.payload);
                }
                Some(Err(error)) => break Step::Failed(error),
                None => break Step::Again,
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            put(&mut scratch.sealed, HANDSHAKE_ROOM, |room| {
                data.encode(room).map_err(|error| match error {
                    EncodeError::InsufficientSize(error) => Some(error.required_size),
                    EncodeError::AlreadyEncoded => None,
                })
            })
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            // It stands in the scratch, which is sent or kept whole.
            data.done();
            Step::Again
        }
        // The machine stays in this state for ever, so a wish that is fulfilled ends
        // the drive: another step would write the message a second time.
        Ok(ConnectionState::WriteTraffic(traffic)) => match fulfil(traffic, wish, scratch) {
            Step::Again => Step::Rest,
            other => other,
        },
        // The handshake needs bytes of the peer; a wish waits with it.
        Ok(ConnectionState::BlockedHandshake) => Step::Rest,
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Step::Ended,
        // Early data is never offered, and there is no other state.
        Ok(_) => Step::Failed(Error::General("an unknown state".to_owned())),
    };
    (discard, step)
}

fn fulfil<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    wish: Wish<'_>,
    scratch: &mut Scratch,
) -> Step {
    let size = |error| match error {
        EncryptError::InsufficientSize(error) => Some(error.required_size),
        EncryptError::EncryptExhausted => None,
    };
    match wish {
        Wish::Nothing => Step::Again,
        Wish::Data(data) => put(&mut scratch.sealed, data.len() + RECORD_ROOM, |room| {
            traffic.encrypt(data, room).map_err(size)
        }),
        Wish::Goodbye => put(&mut scratch.sealed, RECORD_ROOM, |room| {
            traffic.queue_close_notify(room).map_err(size)
        }),
    }
}

/// Room that a record needs besides its contents, and more.
const RECORD_ROOM: usize = 256;
/// Room for most messages of a handshake.
const HANDSHAKE_ROOM: usize = 2_048;

/// Appends what `write` writes into the room that it is given; its error says
/// how much it needs.
fn put(
    out: &mut Vec<u8>,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Step {
    // A guess first: the exact size is told only by a failure, and that costs a call
    // and an error for each record.
    let at = out.len();
    out.resize(at + room, 0);
    let mut written = write(&mut out[at..]);
    if let Err(Some(needed)) = written {
        out.resize(at + needed, 0);
        written = write(&mut out[at..]);
    }
    out.truncate(at + written.unwrap_or_default());
    match written {
        Ok(_) => Step::Again,
        Err(_) => Step::Failed(Error::EncryptError),
    }
}
