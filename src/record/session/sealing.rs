//! What goes: messages are sealed where they are sent from, and the keys change in time.

use ring::aead::LessSafeKey;

use super::{ALERT, Flow, HANDSHAKE, Session};
use crate::alert::Alert;
use crate::failure::{Failure, Unsealed};
use crate::keys::{APPLICATION_DATA, Begun};
use crate::limits;
use crate::message::Message;
use crate::suite::Version;

impl Session {
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
        // A record costs 22 bytes and a call of the cipher, and a SIP message is short: those
        // that are to be sent together share one.
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
            // Not even a close_notify. No session comes here that has kept to `records_max`.
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

    fn finish(&mut self, key: &mut Option<LessSafeKey>, typ: u8, record: Begun, out: &mut Vec<u8>) {
        let key = match &self.kept {
            Some(kept) => &kept.tx,
            None => key.get_or_insert_with(|| self.tx.expand(self.suite)),
        };
        self.tx.seal(self.suite, key, typ, record, out);
    }

    pub(super) fn say(&mut self, alert: Alert, out: &mut Vec<u8>) {
        // Behind a close_notify or a fatal alert nothing may follow (RFC 8446 §6.1).
        if self.writing == Flow::Open {
            let content = [alert.level(), alert.0];
            self.whole_record(ALERT, &content, &mut None, out);
        }
    }

    pub(super) fn fail(&mut self, failure: Failure, out: &mut Vec<u8>) {
        // An alert that came is answered by none (RFC 8446 §6.2).
        if let Some(alert) = failure.alert() {
            self.say(alert, out);
        }
        // No close_notify follows: to the peer that would be an end in good order.
        (self.reading, self.writing) = (Flow::Failed, Flow::Failed);
        // Perhaps the fault was in one, and it would not be read back.
        self.message = Message::default();
    }
}
