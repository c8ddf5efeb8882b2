//! Answers of our own: what stands in them, and the To tag by which their ACK is
//! known again without anything having been kept.

use std::net::{IpAddr, SocketAddr};

use super::received::reply_flow;
use super::{Net, Request, Response};
use crate::bytes::Buf;
use crate::edit::answer::{self, Answer};
use crate::edit::decimal;
use crate::error::Malformed;
use crate::id::Flow;
use crate::limits;
use crate::pacing;
use crate::scan::{Message, Method, Name};
use crate::trust::{Ingress, Keep};
use crate::txn::Send;

/// What an answer of our own says.
struct Words<'a> {
    status: u16,
    reason: &'a str,
    /// Whole header lines.
    headers: &'a [u8],
    body: &'a [u8],
}

impl Net {
    /// Builds a local answer. The To tag follows from the request alone, so a
    /// retransmission gets the same one.
    #[must_use]
    pub fn answer(&self, request: &Request<'_>, status: u16, reason: &str, headers: &[u8]) -> Buf {
        self.answer_with(request, status, reason, headers, b"")
    }

    /// Builds a local answer with a body, whose type stands in `headers`.
    #[must_use]
    pub(crate) fn answer_with(
        &self,
        request: &Request<'_>,
        status: u16,
        reason: &str,
        headers: &[u8],
        body: &[u8],
    ) -> Buf {
        let (bytes, message) = (request.bytes, request.message);
        let ingress = &request.ingress;
        let words = Words {
            status,
            reason,
            headers,
            body,
        };
        self.build_answer(bytes, message, ingress, &words)
    }

    fn build_answer(
        &self,
        bytes: &[u8],
        message: &Message,
        ingress: &Ingress,
        words: &Words<'_>,
    ) -> Buf {
        let &Words {
            status,
            reason,
            headers,
            body,
        } = words;
        let (source, mut tag) = (ingress.source, [0; 16]);
        let tag = if status == 100 {
            &[][..]
        } else {
            self.tag(bytes, message, source.ip(), &mut tag)
        };
        let answer = Answer {
            status,
            reason,
            tag,
            headers,
            body,
            keeps: ingress.keep == Keep::Wanted,
            report: self.report().filter(|_| ingress.wants_report),
        };
        // Of a long request it repeats little, and it is kept for half a minute.
        let room = bytes.len().min(limits::ANSWER_ROOM) + headers.len() + body.len();
        self.pool.build(room, |out| {
            answer::write(&answer, bytes, message, source, out);
        })
    }

    /// The answer to a message with a defect where `Malformed::answer` gives
    /// one, and where it goes: a response or an ACK never has one, nor what has
    /// no Via. A Via that does not parse goes back as it is, to where it came
    /// from.
    pub(crate) fn malformed(
        &mut self,
        bytes: &[u8],
        message: &Message,
        flow: Flow,
        source: SocketAddr,
        defect: Malformed,
    ) -> Option<Send> {
        self.counters.malformed += 1;
        let silent = !message.is_request()
            || message.method() == Method::Ack
            || message.first(Name::Via).is_none();
        let (status, reason) = defect.answer().filter(|_| !silent)?;
        let ingress = Ingress::by(flow, source);
        let words = Words {
            status,
            reason,
            headers: b"",
            body: b"",
        };
        let bytes = self.build_answer(bytes, message, &ingress, &words);
        let flow = message.top_via().map_or(flow, |via| reply_flow(flow, via));
        self.counters.answers += 1;
        Some(Send { flow, bytes })
    }

    /// Answers without a transaction; a retransmission is answered again.
    pub(crate) fn answer_stateless(
        &mut self,
        request: &Request<'_>,
        status: u16,
        reason: &str,
        headers: &[u8],
    ) {
        let bytes = self.answer(request, status, reason, headers);
        self.counters.answers += 1;
        self.transmit(request.reply_flow(), bytes);
    }

    /// Writes a Retry-After, each time another one, spread the further the
    /// larger the share that is refused.
    pub(crate) fn retry_after(&mut self, loss_percent: u8, lines: &mut Vec<u8>) {
        let longest = pacing::retry_within_s(loss_percent);
        let after = pacing::retry_after_s(longest, self.secrets.chance());
        lines.extend_from_slice(b"Retry-After: ");
        decimal(lines, after);
        lines.extend_from_slice(b"\r\n");
    }

    /// The keep-alive interval that the phone of an accepted REGISTER gets: one
    /// number, wherever the answer names it (K-1).
    #[must_use]
    pub(crate) fn flow_timer_s(&self, response: &Response<'_>) -> u32 {
        let call_id = response.message.first(Name::CallId);
        let call_id = call_id.map(|header| header.value.of(response.bytes));
        let cseq = response.message.cseq().to_be_bytes();
        pacing::flow_timer_s(self.secrets.mac([call_id.unwrap_or_default(), &cseq]))
    }

    /// The To tag of our answers to the request, which no other request has, and
    /// none from elsewhere: whoever shows it to us has received it there.
    #[must_use]
    pub fn tag<'t>(
        &self,
        bytes: &[u8],
        message: &Message,
        source: IpAddr,
        tag: &'t mut [u8; 16],
    ) -> &'t [u8] {
        self.tag_of(self.epoch(), bytes, message, source, tag)
    }

    /// Whether an ACK carries that tag, of now or of a moment ago.
    pub(super) fn has_tag(&self, ack: &Request<'_>, shown: &[u8]) -> bool {
        let (now, mut own) = (self.epoch(), [0; 16]);
        let source = ack.ingress.source.ip();
        [now, now.wrapping_sub(1)]
            .into_iter()
            .any(|epoch| self.tag_of(epoch, ack.bytes, ack.message, source, &mut own) == shown)
    }

    /// A tag is of its time, so that who had an address before cannot show what
    /// he received there for ever.
    fn epoch(&self) -> u64 {
        self.wall.unix(self.clock) / limits::TAG_EPOCH_S
    }

    fn tag_of<'t>(
        &self,
        epoch: u64,
        bytes: &[u8],
        message: &Message,
        source: IpAddr,
        tag: &'t mut [u8; 16],
    ) -> &'t [u8] {
        let value = |name| {
            message
                .first(name)
                .map(|header| header.value.of(bytes))
                .unwrap_or_default()
        };
        // Without the method, so that a CANCEL is answered with the tag of its
        // INVITE (RFC 3261 §9.2).
        let cseq = message.cseq().to_be_bytes();
        let source = match source.to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let (call_id, from) = (value(Name::CallId), value(Name::From));
        let mut rest = [0; 28];
        rest[..16].copy_from_slice(&source);
        rest[16..24].copy_from_slice(&epoch.to_be_bytes());
        rest[24..].copy_from_slice(&cseq);
        hex(self.secrets.mac([call_id, from, &rest[..]]), tag);
        tag
    }
}

/// Writes `number` as 16 hexadecimal digits, all at once.
pub(crate) fn hex(number: u64, out: &mut [u8; 16]) {
    /// This byte, sixteen times.
    const fn each(byte: u8) -> u128 {
        u128::from_ne_bytes([byte; 16])
    }
    // Four bits to a byte, by halves.
    let mut digits = u128::from(number);
    digits = (digits | digits << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & each(0x0f);
    // One where it is ten or more, and so many further to the letters.
    let letters = (digits + each(6)) >> 4 & each(1);
    *out = (digits + each(b'0') + letters * u128::from(b'a' - b'0' - 10)).to_be_bytes();
}

#[cfg(test)]
mod tests {
    use super::hex;

    #[test]
    fn a_number_is_written_as_others_write_it() {
        for number in [0, 1, 9, 10, 0x0123_4567_89ab_cdef, 0xa0b1_c2d3, u64::MAX] {
            let mut out = [0; 16];
            hex(number, &mut out);
            assert_eq!(out, *format!("{number:016x}").as_bytes());
        }
    }
}
