//! Answers of our own, to whatever asked for them: what stands in them, and where they go.

use std::net::{IpAddr, SocketAddr};

use super::messages::reply_flow;
use super::{Net, Request, overload};
use crate::bytes::Buf;
use crate::edit::answer::{self, Answer};
use crate::error::Malformed;
use crate::id::Flow;
use crate::limits;
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
    pub(crate) fn build_answer(
        &self,
        request: &Request<'_>,
        status: u16,
        reason: &str,
        headers: &[u8],
    ) -> Buf {
        self.build_answer_with_body(request, status, reason, headers, b"")
    }

    /// Builds a local answer with a body, whose type stands in `headers`.
    #[must_use]
    pub(crate) fn build_answer_with_body(
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
        self.write_answer(bytes, message, ingress, &words)
    }

    /// The To tag of our answers to a request at this time.
    fn tag(&self, bytes: &[u8], message: &Message, source: IpAddr) -> [u8; 16] {
        let unix_s = self.wall.unix(self.clock);
        self.secrets.tag(unix_s, bytes, message, source)
    }

    fn write_answer(
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
        let source = ingress.source;
        let tag = (status != 100).then(|| self.tag(bytes, message, source.ip()));
        let answer = Answer {
            status,
            reason,
            tag: tag.as_ref().map_or(&[], |tag| &tag[..]),
            headers,
            body,
            keeps: ingress.keep == Keep::Wanted,
            report: overload::report(&self.admission, self.wall).filter(|_| ingress.wants_report),
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
        let bytes = self.write_answer(bytes, message, &ingress, &words);
        let flow = message.top_via().map_or(flow, |via| reply_flow(flow, via));
        self.counters.answers += 1;
        Some(Send { flow, bytes })
    }

    /// An answer without a transaction, and where it goes; a retransmission gets it again.
    pub(crate) fn stateless_answer(
        &mut self,
        request: &Request<'_>,
        status: u16,
        reason: &str,
        headers: &[u8],
    ) -> Send {
        self.counters.answers += 1;
        Send {
            flow: request.reply_flow(),
            bytes: self.build_answer(request, status, reason, headers),
        }
    }
}
