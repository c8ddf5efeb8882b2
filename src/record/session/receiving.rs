//! What comes: records are opened where they stand, and what they hold changes the session.

use std::ops::Range;

use ring::aead::LessSafeKey;

use super::{ALERT, Flow, HANDSHAKE, Received, Session, Stand};
use crate::alert::Alert;
use crate::failure::Failure;
use crate::keys::{APPLICATION_DATA, header};
use crate::limits;
use crate::message::Meaning;
use crate::suite::Version;

impl Session {
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
        // Expanded for the first record and used for all that came with it: kept in between it
        // would be most of what an idle connection takes (`keep_keys`).
        let mut key = None;
        // What follows a close_notify is overlooked (RFC 8446 §6.1), whatever it is, and after a
        // fault nothing is believed any more.
        while self.reading == Flow::Open {
            let rest = bytes.get_mut(received.used..).unwrap_or_default();
            let opened = self
                .whole(rest)
                .and_then(|record| record.map(|record| self.open(record, &mut key)).transpose());
            let (typ, len, content) = match opened {
                Ok(None) => break,
                Ok(Some(opened)) => opened,
                // What was opened before the fault was authentic, and stays in `received`.
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
            // The version of a record says nothing (RFC 8446 §5.1); it is authenticated. Everything
            // is sealed as data from the handshake on: what calls itself an alert or a
            // change_cipher_spec here anybody on the way could have written.
            Version::Tls13 if typ != APPLICATION_DATA => return Err(Failure::UnexpectedMessage),
            Version::Tls12 if !matches!(typ, ALERT | HANDSHAKE | APPLICATION_DATA) => {
                return Err(Failure::UnexpectedMessage);
            }
            Version::Tls12 if (major, minor) != (3, 3) => return Err(Failure::ProtocolVersion),
            Version::Tls12 | Version::Tls13 => {}
        }
        // Looked at before the body has come, or a peer could have us keep 64 KiB for nothing.
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
        // The parts of a handshake message follow one another (RFC 8446 §5.1): data between them
        // would be of a key of which it is not known yet whether it still holds.
        if self.message.has_begun() && typ != HANDSHAKE {
            return Err(Failure::UnexpectedMessage);
        }
        match typ {
            // Against the analysis of traffic a peer may send some (RFC 8446 §5.1); each costs us
            // an opening and brings nothing.
            APPLICATION_DATA if content.is_empty() => {
                let over = Failure::TooManyEmptyRecords;
                count(&mut self.empty_records, limits::EMPTY_RECORDS_MAX, over)
            }
            // Counted between data alone: over the years of a connection keys change often.
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
            // Answered and not overlooked: whoever asks for it may wait for a hello (RFC 5246
            // §7.2.2). To negotiate anew could change whom this connection has proven.
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
                    // However often it is requested before this side has something to say, one
                    // answer does (RFC 8446 §4.6.3), so requests do not multiply.
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
