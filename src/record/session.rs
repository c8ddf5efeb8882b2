//! A session: which records may come, which may go, and what each changes.

use std::ops::Range;

use ring::aead::LessSafeKey;

use crate::alert::Alert;
use crate::failure::{Failure, Unsealed};
use crate::keys::{APPLICATION_DATA, Half, Secret, header};
use crate::limits;
use crate::message::{Meaning, Message};
use crate::suite::{Cipher, Suite, Version};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that has connected.
    Client,
    /// The one that was connected to.
    Server,
}

/// One direction's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Records go on.
    Open,
    /// `close_notify` was the last one.
    Ended,
    /// An alert was, or the session failed.
    Failed,
}

/// The keys of both directions as the cipher uses them.
struct Kept {
    rx: LessSafeKey,
    tx: LessSafeKey,
}

/// The end of a connection whose handshake is complete.
pub struct Session {
    pub(crate) suite: Suite,
    pub(crate) role: Role,
    pub(crate) reading: Flow,
    pub(crate) writing: Flow,
    /// The peer has asked for our next key: it comes before our next data.
    pub(crate) owes_update: bool,
    /// Not written into a state: nothing is handed over that keeps the first keys.
    has_new_keys: bool,
    pub(crate) empty_records: u8,
    pub(crate) messages: u8,
    pub(crate) warnings: u8,
    pub(crate) renegotiations: u8,
    pub(crate) message: Message,
    pub(crate) rx: Half,
    pub(crate) tx: Half,
    kept: Option<Box<Kept>>,
}

/// What came of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Received {
    /// Where what the peer said stands in them, opened: it counts whatever `stand` says.
    pub plain: Range<usize>,
    /// How many from the front are done with. The rest is the beginning of a record: it is to be
    /// shown again, with what follows it.
    pub used: usize,
    /// How the session stands.
    pub stand: Stand,
}

/// How a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// More may come.
    Open,
    /// The peer has said that it sends nothing more; what it sends all the same is overlooked.
    Ended,
    /// It is over; the peer is told why by what was sealed.
    Failed(Failure),
}

/// Keys of one direction in TLS 1.2.
pub struct Keys<'a> {
    /// As long as the cipher's.
    pub key: &'a [u8],
    /// For AES-GCM the salt, and where the explicit nonces begin.
    pub iv: [u8; 12],
    /// The number of the next record.
    pub sequence: u64,
}

impl Session {
    /// A session of TLS 1.3 that goes on with these secrets and the numbers of the next records.
    #[must_use]
    pub fn tls13(cipher: Cipher, role: Role, rx: (Secret, u64), tx: (Secret, u64)) -> Self {
        let version = Version::Tls13;
        let suite = Suite { version, cipher };
        let half = |(secret, sequence)| Half::of_secret(suite, &secret, sequence);
        Self::new(suite, role, half(rx), half(tx))
    }

    /// A session of TLS 1.2 that goes on with these keys; `None` when one has not the length of
    /// the cipher's.
    #[must_use]
    pub fn tls12(cipher: Cipher, role: Role, rx: &Keys<'_>, tx: &Keys<'_>) -> Option<Self> {
        let version = Version::Tls12;
        let suite = Suite { version, cipher };
        let half = |keys: &Keys<'_>| {
            let mut half = Half {
                sequence: keys.sequence,
                secret: Secret::new(&[])?,
                key: [0; _],
                iv: keys.iv,
            };
            let room = half.key.get_mut(..suite.key_len())?;
            (room.len() == keys.key.len()).then(|| room.copy_from_slice(keys.key))?;
            Some(half)
        };
        Some(Self::new(suite, role, half(rx)?, half(tx)?))
    }

    pub(crate) fn new(suite: Suite, role: Role, rx: Half, tx: Half) -> Self {
        Self {
            suite,
            role,
            reading: Flow::Open,
            writing: Flow::Open,
            owes_update: false,
            has_new_keys: false,
            empty_records: 0,
            messages: 0,
            warnings: 0,
            renegotiations: 0,
            message: Message::default(),
            rx,
            tx,
            kept: None,
        }
    }

    /// Keeps the keys as the cipher uses them, 1,088 bytes: for a peer with whom there is always
    /// something to talk about. Without, each `receive` and each `seal` spends a quarter of a
    /// microsecond on AES-GCM.
    pub fn keep_keys(&mut self) {
        let rx = self.rx.expand(self.suite);
        let tx = self.tx.expand(self.suite);
        self.kept = Some(Box::new(Kept { rx, tx }));
    }

    pub(crate) const fn keeps_keys(&self) -> bool {
        self.kept.is_some()
    }

    /// A direction has left the keys of the handshake: nothing may be kept any more that they could
    /// be made of again, such as [`Tickets`](crate::Tickets).
    #[must_use]
    pub const fn has_new_keys(&self) -> bool {
        self.has_new_keys
    }

    /// Version and cipher.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Opens every whole record of `bytes` where it stands. What the protocol itself answers, and
    /// after a failure the alert, is appended to `out`. A client's tickets are shown to `ticket`,
    /// without their four bytes of head, and what it finds wrong with one ends the session; one that
    /// comes in several records is left out.
    pub fn receive(
        &mut self,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        ticket: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Received {
        let mut received = Received {
            plain: 0..0,
            used: 0,
            stand: Stand::Open,
        };
        let mut key = None;
        while self.reading == Flow::Open {
            let rest = bytes.get_mut(received.used..).unwrap_or_default();
            let opened = self
                .whole(rest)
                .and_then(|record| record.map(|record| self.open(record, &mut key)).transpose());
            let (typ, len, content) = match opened {
                Ok(None) => break,
                Ok(Some(opened)) => opened,
                Err(failure) => {
                    self.fail(failure, out);
                    received.stand = Stand::Failed(failure);
                    return received;
                }
            };
            let start = received.used.saturating_add(content.start);
            let end = received.used.saturating_add(content.end);
            let content = bytes.get(start..end).unwrap_or_default();
            if let Err(failure) = self.take(typ, content, &mut key, out, ticket) {
                self.fail(failure, out);
                received.stand = Stand::Failed(failure);
                return received;
            }
            received.used = received.used.saturating_add(len);
            if typ == APPLICATION_DATA {
                received.join(bytes, start..end);
            }
        }
        match self.reading {
            Flow::Open => {}
            Flow::Ended => {
                received.used = bytes.len();
                received.stand = Stand::Ended;
            }
            Flow::Failed => received.stand = Stand::Failed(Failure::Over),
        }
        received
    }

    /// The first record of the bytes, whole; `None` when its end is yet to come.
    fn whole<'a>(&self, bytes: &'a mut [u8]) -> Result<Option<&'a mut [u8]>, Failure> {
        if bytes.len() < limits::HEADER_LEN {
            return Ok(None);
        }
        let [typ, major, minor, high, low] = header(bytes);
        match self.suite.version {
            // The version of a record says nothing (RFC 8446 §5.1); it is authenticated.
            Version::Tls13 if typ != APPLICATION_DATA => return Err(Failure::UnexpectedMessage),
            Version::Tls12 if !matches!(typ, ALERT | HANDSHAKE | APPLICATION_DATA) => {
                return Err(Failure::UnexpectedMessage);
            }
            Version::Tls12 if (major, minor) != (3, 3) => return Err(Failure::ProtocolVersion),
            Version::Tls12 | Version::Tls13 => {}
        }
        let body = usize::from(u16::from_be_bytes([high, low]));
        if body > self.suite.body_max() {
            return Err(Failure::RecordOverflow);
        }
        Ok(bytes.get_mut(..limits::HEADER_LEN.saturating_add(body)))
    }

    /// Opens a record: its type, its length, and where its content stands in it.
    fn open(
        &mut self,
        record: &mut [u8],
        key: &mut Option<LessSafeKey>,
    ) -> Result<(u8, usize, Range<usize>), Failure> {
        let key = match &self.kept {
            Some(kept) => &kept.rx,
            None => key.get_or_insert_with(|| self.rx.expand(self.suite)),
        };
        let (typ, content) = self.rx.open(self.suite, key, record)?;
        Ok((typ, record.len(), content))
    }

    /// Takes in what a record holds.
    fn take(
        &mut self,
        typ: u8,
        content: &[u8],
        key: &mut Option<LessSafeKey>,
        out: &mut Vec<u8>,
        ticket: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // RFC 8446 §5.1
        if self.message.has_begun() && typ != HANDSHAKE {
            return Err(Failure::UnexpectedMessage);
        }
        match typ {
            APPLICATION_DATA if content.is_empty() => {
                let over = Failure::TooManyEmptyRecords;
                count(&mut self.empty_records, limits::EMPTY_RECORDS_MAX, over)
            }
            APPLICATION_DATA => {
                (self.empty_records, self.messages) = (0, 0);
                Ok(())
            }
            // Data alone may come without any (RFC 8446 §5.4).
            ALERT | HANDSHAKE if content.is_empty() => Err(Failure::UnexpectedMessage),
            ALERT => self.alerted(content),
            HANDSHAKE => self.messages(content, key, out, ticket),
            _ => Err(Failure::UnexpectedMessage),
        }
    }

    fn alerted(&mut self, content: &[u8]) -> Result<(), Failure> {
        let &[level, code] = content else {
            return Err(Failure::DecodeError);
        };
        let alert = Alert(code);
        if alert == Alert::CLOSE_NOTIFY {
            self.reading = Flow::Ended;
            return Ok(());
        }
        let is_warning = match self.suite.version {
            // The level says nothing (RFC 8446 §6).
            Version::Tls13 => alert == Alert::USER_CANCELED,
            Version::Tls12 if !matches!(level, Alert::WARNING | Alert::FATAL) => {
                return Err(Failure::IllegalParameter);
            }
            Version::Tls12 => level == Alert::WARNING,
        };
        if !is_warning {
            return Err(Failure::Alerted(alert));
        }
        let over = Failure::TooManyWarnings;
        count(&mut self.warnings, limits::WARNINGS_MAX, over)
    }

    fn messages(
        &mut self,
        content: &[u8],
        key: &mut Option<LessSafeKey>,
        out: &mut Vec<u8>,
        ticket: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (version, role, mut rest) = (self.suite.version, self.role, content);
        while !rest.is_empty()
            && let Some((meaning, behind)) = self.message.read(version, role, rest)?
        {
            rest = behind;
            if meaning == Meaning::Renegotiation {
                let over = Failure::TooManyRenegotiations;
                count(&mut self.renegotiations, limits::RENEGOTIATIONS_MAX, over)?;
                self.say(Alert::NO_RENEGOTIATION, out);
                continue;
            }
            let over = Failure::TooManyMessages;
            count(&mut self.messages, limits::MESSAGES_MAX, over)?;
            match meaning {
                // What stands behind it was sealed with a key that it ends (RFC 8446 §5.1).
                Meaning::KeyUpdate { .. } if !rest.is_empty() => {
                    return Err(Failure::UnexpectedMessage);
                }
                Meaning::KeyUpdate { is_requested } => {
                    self.owes_update |= is_requested;
                    self.rx.update(self.suite);
                    self.has_new_keys = true;
                    *key = None;
                    if let Some(kept) = &mut self.kept {
                        kept.rx = self.rx.expand(self.suite);
                    }
                }
                Meaning::Ticket(body) => body.map_or(Ok(()), &mut *ticket)?,
                Meaning::Renegotiation => {}
            }
        }
        Ok(())
    }

    /// Seals messages, one behind the other, in as few records as hold them. A KeyUpdate goes
    /// before them when the peer has asked for one or the key has sealed enough.
    ///
    /// # Errors
    /// When nothing may be sent any more: what was sealed before is in `out` and counts.
    pub fn seal<'a>(
        &mut self,
        messages: impl IntoIterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unsealed> {
        let (mut key, mut begun) = (None, None);
        for mut rest in messages {
            while !rest.is_empty() {
                let record = match begun {
                    Some(record) => record,
                    None => {
                        self.renew(&mut key, out)?;
                        *begun.insert(self.tx.begin(self.suite, out))
                    }
                };
                let room = limits::CONTENT_MAX.saturating_sub(record.len(out));
                let (now, later) = rest.split_at(rest.len().min(room));
                out.extend_from_slice(now);
                rest = later;
                if record.len(out) == limits::CONTENT_MAX {
                    self.finish(&mut key, APPLICATION_DATA, record, out);
                    begun = None;
                }
            }
        }
        if let Some(record) = begun {
            self.finish(&mut key, APPLICATION_DATA, record, out);
        }
        Ok(())
    }

    /// Says that nothing more comes, once.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.writing == Flow::Open {
            self.say(Alert::CLOSE_NOTIFY, out);
            self.writing = Flow::Ended;
        }
    }

    /// Sees to it that one more record may be sealed.
    fn renew(&mut self, key: &mut Option<LessSafeKey>, out: &mut Vec<u8>) -> Result<(), Unsealed> {
        if self.writing != Flow::Open {
            return Err(Unsealed::Closed);
        }
        if self.tx.sequence == u64::MAX {
            // Not even a goodbye. No session comes here that has kept to `records_max`.
            self.writing = Flow::Failed;
            return Err(Unsealed::Exhausted);
        }
        // The last record of a key says that the next one follows, or that none does.
        let is_used_up = self.tx.sequence.saturating_add(1) >= self.suite.records_max();
        if is_used_up && self.suite.version == Version::Tls12 {
            self.close(out);
            return Err(Unsealed::Exhausted);
        }
        if !is_used_up && !self.owes_update {
            return Ok(());
        }
        // The peer has sealed as much as this side, or will have: it is asked for its next key.
        let is_requested = is_used_up && !self.owes_update;
        self.owes_update = false;
        let update = [24, 0, 0, 1, u8::from(is_requested)];
        self.whole_record(HANDSHAKE, &update, key, out);
        self.tx.update(self.suite);
        self.has_new_keys = true;
        *key = None;
        if let Some(kept) = &mut self.kept {
            kept.tx = self.tx.expand(self.suite);
        }
        Ok(())
    }

    fn whole_record(
        &mut self,
        typ: u8,
        content: &[u8],
        key: &mut Option<LessSafeKey>,
        out: &mut Vec<u8>,
    ) {
        let record = self.tx.begin(self.suite, out);
        out.extend_from_slice(content);
        self.finish(key, typ, record, out);
    }

    fn finish(
        &mut self,
        key: &mut Option<LessSafeKey>,
        typ: u8,
        record: crate::keys::Begun,
        out: &mut Vec<u8>,
    ) {
        let key = match &self.kept {
            Some(kept) => &kept.tx,
            None => key.get_or_insert_with(|| self.tx.expand(self.suite)),
        };
        self.tx.seal(self.suite, key, typ, record, out);
    }

    fn say(&mut self, alert: Alert, out: &mut Vec<u8>) {
        if self.writing == Flow::Open {
            let content = [alert.level(), alert.0];
            self.whole_record(ALERT, &content, &mut None, out);
        }
    }

    fn fail(&mut self, failure: Failure, out: &mut Vec<u8>) {
        if let Some(alert) = failure.alert() {
            self.say(alert, out);
        }
        (self.reading, self.writing) = (Flow::Failed, Flow::Failed);
        // Perhaps the fault was in one, and it would not be read back.
        self.message = Message::default();
    }
}

impl Received {
    /// Adds the content of one more record to what the peer said: the first one stays where it
    /// stands, others move up to it.
    fn join(&mut self, bytes: &mut [u8], content: Range<usize>) {
        if self.plain.is_empty() {
            self.plain = content;
            return;
        }
        let end = self.plain.end.saturating_add(content.len());
        bytes.copy_within(content, self.plain.end);
        self.plain.end = end;
    }
}

/// Counts one more of what may come `most` times.
fn count(counter: &mut u8, most: u8, over: Failure) -> Result<(), Failure> {
    if *counter >= most {
        return Err(over);
    }
    *counter = counter.saturating_add(1);
    Ok(())
}
