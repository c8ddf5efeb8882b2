//! Where a message begins and ends; what is no message at all.
//!
//! Datagram: one message, or STUN (first octet 0..3), or keep-alive noise.
//! Stream: messages one after another, cut by Content-Length, with CRLF
//! keep-alives between them (RFC 5626 §4.4.1, RFC 3261 §7.5, §18.3).
//!
//! Nothing here judges what a message says: [`scan`](crate::scan) does. The header section
//! ends at the first CRLFCRLF and nowhere else, so a peer that is stricter or
//! laxer about bare line feeds never sees another cut than we do.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

mod head;
pub mod quote;
pub mod stun;

use crate::error::Malformed;
use crate::limits;

use head::{Length, Search};
pub(crate) use head::{decimal, is_sip_line};
use serde::{Deserialize, Serialize};

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramFrame<'a> {
    /// SIP: the bytes from the start line on, leading CRLFs skipped. Where the
    /// message in them ends says `scan::Message::end`, which has read its
    /// Content-Length by then (RFC 3261 §18.3).
    Sip(&'a [u8]),
    /// CRLFs and nothing else: dropped silently.
    KeepAlive,
    /// STUN by its first octet; `stun::answer` looks at the rest.
    Stun(&'a [u8]),
    /// Anything else ("\0", "jaK", TLS, RTP): dropped silently.
    Noise,
}

/// What stands at the front of a stream's unread bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFrame {
    /// Not yet: more bytes are needed to tell.
    NeedMore {
        /// Whether a message has begun, so that its sender may be timed.
        begun: bool,
    },
    /// The end of a CRLFCRLF: answer one CRLF and skip `len` bytes. `len` is 2
    /// when the first CRLF was skipped by an earlier call. The opener of a
    /// flow, who is the one to ping, takes it for two pongs instead.
    Ping {
        /// Bytes to skip.
        len: usize,
    },
    /// A single CRLF or a pong: nothing to answer.
    Skip {
        /// Bytes to skip.
        len: usize,
    },
    /// What no message and no other protocol begins with, as trunks send it to keep
    /// a connection. It says nothing.
    Noise {
        /// Bytes to skip.
        len: usize,
    },
    /// A message: bytes `start..end` of the input; consume `end`.
    Message {
        /// First byte of the start line.
        start: usize,
        /// One past the body.
        end: usize,
    },
    /// Cannot be framed: answer with the defect what is in the header section
    /// `0..end` and close.
    Broken {
        /// One past what is known of the header section.
        end: usize,
        /// Why.
        defect: Malformed,
    },
}

/// How far the head of a stream is known already, so that a byte-by-byte
/// sender costs linear work. Start with `Default`, one per stream.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Resume {
    search: Search,
    /// Total length of the message once its header section is complete.
    total: Option<usize>,
    /// The last thing skipped was the first CRLF of what may become a ping.
    half_ping: bool,
}

/// Tells what a datagram is and where its message begins.
#[must_use]
pub fn datagram(bytes: &[u8]) -> DatagramFrame<'_> {
    match bytes.first() {
        None => return DatagramFrame::Noise,
        Some(0..=3) if bytes.len() >= stun::HEADER => return DatagramFrame::Stun(bytes),
        Some(_) => {}
    }
    let mut message = bytes;
    while let Some(rest) = message.strip_prefix(b"\r\n") {
        message = rest;
    }
    match message.first() {
        None => DatagramFrame::KeepAlive,
        Some(&first) if !head::may_begin(first) || message.len() > limits::MESSAGE_MAX => {
            DatagramFrame::Noise
        }
        // Without a single line end it is not worth calling SIP. Nearly every message ends with one.
        Some(_) if !message.ends_with(b"\n") && memchr::memchr(b'\n', message).is_none() => {
            DatagramFrame::Noise
        }
        Some(_) => DatagramFrame::Sip(message),
    }
}

/// Tells what stands at the front of `bytes`, the unread bytes of a stream.
/// The caller consumes what the answer says and calls again until `NeedMore`;
/// more bytes may only be appended between two calls.
pub fn stream(bytes: &[u8], resume: &mut Resume) -> StreamFrame {
    match bytes {
        [] | [b'\r'] => return StreamFrame::NeedMore { begun: false },
        [b'\r', b'\n', ..] if resume.half_ping => {
            resume.half_ping = false;
            return StreamFrame::Ping { len: 2 };
        }
        [b'\r', b'\n', b'\r', b'\n', ..] => return StreamFrame::Ping { len: 4 },
        [b'\r', b'\n', ..] => {
            resume.half_ping = true;
            return StreamFrame::Skip { len: 2 };
        }
        [b'\0' | b'\n' | b'\r' | b' ' | b'\t', rest @ ..] => {
            resume.half_ping = false;
            let noise = rest
                .iter()
                .take_while(|byte| matches!(byte, b'\0' | b'\n' | b' ' | b'\t'));
            return StreamFrame::Noise {
                len: noise.count().saturating_add(1),
            };
        }
        [first, ..] if !head::may_begin(*first) => {
            return StreamFrame::Broken {
                end: 0,
                defect: Malformed::NotSip,
            };
        }
        _ => resume.half_ping = false,
    }
    let outcome = message(bytes, resume);
    if !matches!(outcome, StreamFrame::NeedMore { .. }) {
        *resume = Resume::default();
    }
    outcome
}

/// The message at the very front of `bytes`, or why there is none.
fn message(bytes: &[u8], resume: &mut Resume) -> StreamFrame {
    let total = match resume.total {
        Some(total) => total,
        None => match resume.search.end_of_head(bytes) {
            Some(end) => match total_length(bytes, end, resume.search) {
                Ok(total) => total,
                Err(defect) => {
                    return StreamFrame::Broken {
                        end: end.min(limits::MESSAGE_MAX),
                        defect,
                    };
                }
            },
            None if resume
                .search
                .first_line(bytes)
                .is_some_and(|line| !is_sip_line(line)) =>
            {
                return StreamFrame::Broken {
                    end: 0,
                    defect: Malformed::NotSip,
                };
            }
            None if bytes.len() >= limits::MESSAGE_MAX => {
                return StreamFrame::Broken {
                    end: limits::MESSAGE_MAX,
                    defect: Malformed::TooLong,
                };
            }
            None => return StreamFrame::NeedMore { begun: true },
        },
    };
    resume.total = Some(total);
    if bytes.len() < total {
        StreamFrame::NeedMore { begun: true }
    } else {
        StreamFrame::Message {
            start: 0,
            end: total,
        }
    }
}

/// Header section and body together, when the header section ends at `end`.
fn total_length(bytes: &[u8], end: usize, search: Search) -> Result<usize, Malformed> {
    if search
        .first_line(bytes)
        .is_some_and(|line| !is_sip_line(line))
    {
        return Err(Malformed::NotSip);
    }
    if end > limits::MESSAGE_MAX {
        return Err(Malformed::TooLong);
    }
    let Length::Is(length) = search.length(bytes) else {
        return Err(Malformed::ContentLength);
    };
    let total = end.saturating_add(length);
    if total > limits::MESSAGE_MAX {
        Err(Malformed::TooLong)
    } else {
        Ok(total)
    }
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a test may stop at what it did not expect"
)]
mod tests;
