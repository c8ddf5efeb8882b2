//! What a message says: one pass over the bytes, spans instead of copies.
//!
//! `scan` finds the start line and every header line and checks what routing
//! stands on (RFC 3261 §7, §8.1.1, §16.3-1); the typed views (`via`,
//! `address`, `auth`) parse one value when somebody asks for it. Headers the
//! proxy has no business with are never looked into.
//!
//! Lines end in CRLF. A bare CR or LF is a defect even where it would be
//! harmless here: the next element may take it for a line end.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

pub mod address;
pub mod auth;
mod line;
mod message;
mod method;
mod name;
mod route;
mod start;
mod usual;
mod values;
pub mod via;

use crate::error::Malformed;
use crate::grammar::class::{self, ByteClass};
use crate::grammar::cursor::within;
use crate::limits;
use crate::span::Span;
use crate::uri::{Scheme, Uri};

pub use message::Message;
pub use method::Method;
pub use name::Name;
pub(crate) use name::compact_form;
pub use route::Route;

use address::Address;
use line::Lines;
use values::Values;
pub(crate) use values::first_value;
use via::Via;

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which header field.
    pub name: Name,
    /// From the first byte of the name through the CRLF that ends it, folds included.
    pub line: Span,
    /// The value without surrounding white space (folds inside stay as they are).
    pub value: Span,
}

impl Header {
    /// Its name as it is written.
    #[must_use]
    pub(crate) fn spelled<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let line = self.line.of(bytes);
        let end = memchr::memchr(b':', line).unwrap_or_default();
        line.get(..end).unwrap_or_default().trim_ascii_end()
    }
}

/// Request-Line or Status-Line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartLine {
    /// RFC 3261 §7.1.
    Request {
        /// The method, when it is one we have a rule for.
        method: Method,
        /// The method as written.
        method_token: Span,
        /// The Request-URI; empty when the Request-Line is malformed.
        uri: Span,
    },
    /// RFC 3261 §7.2.
    Response {
        /// 100 to 699; 0 when the Status-Line is malformed.
        status: u16,
        /// The reason phrase, which may be empty.
        reason: Span,
    },
}

/// Scans a message. What stands behind its body in a datagram goes by `Message::end`. On error the outline holds all that was found before and after
/// the defect, so that an answer can still be built; the first defect is returned.
///
/// # Errors
/// Any `Malformed` but `Number` and `Credentials`. `NotSip` and `TooLong` end
/// the scan at once and leave the outline empty.
pub fn scan(bytes: &[u8], message: &mut Message) -> Result<(), Malformed> {
    message.clear();
    if bytes.len() > limits::MESSAGE_MAX {
        return Err(Malformed::TooLong);
    }
    let mut pass = Pass {
        bytes,
        message,
        defect: None,
    };
    let mut lines = Lines::new(bytes);
    pass.start_line(&mut lines)?;
    pass.header_lines(lines);
    pass.mandatory();
    pass.typed();
    pass.defect.map_or(Ok(()), Err)
}

/// One scan under way.
/// Scans a request once more that was taken in, without the Route values that were
/// ours: what its Request-URI says was of no account then.
///
/// # Errors
/// As for `scan`.
pub(crate) fn scan_again(bytes: &[u8], message: &mut Message) -> Result<(), Malformed> {
    match scan(bytes, message) {
        Err(Malformed::Uri(uri)) if uri == message.request_uri() => Ok(()),
        verdict => verdict,
    }
}

struct Pass<'a> {
    bytes: &'a [u8],
    message: &'a mut Message,
    defect: Option<Malformed>,
}

impl Pass<'_> {
    /// Keeps the first defect.
    fn add_defect(&mut self, defect: Malformed) {
        self.defect.get_or_insert(defect);
    }

    fn start_line(&mut self, lines: &mut Lines<'_>) -> Result<(), Malformed> {
        let line = lines.first();
        let (start, verdict) = start::parse(self.bytes, Span::new(0, line.end))?;
        self.message.start = Some(start);
        if let Err(defect) = verdict {
            self.add_defect(defect);
        } else if !line.clean {
            self.add_defect(Malformed::StartLine);
        }
        self.message.headers_start = line.next;
        Ok(())
    }

    fn header_lines(&mut self, mut lines: Lines<'_>) {
        let mut at = self.message.headers_start;
        loop {
            // Past the plain ones only the odd and the blank line take the long way.
            while let Some(end) = lines.plain(at) {
                self.header_line(at, end, end.wrapping_add(2));
                at = end.wrapping_add(2);
            }
            let Some(line) = lines.next(at) else {
                self.add_defect(Malformed::Truncated);
                break;
            };
            if line.end == at {
                self.message.body = Span::new(line.next, self.bytes.len());
                if !line.clean {
                    self.add_defect(Malformed::HeaderLine(Span::new(at, line.next)));
                }
                break;
            }
            if !line.clean {
                self.add_defect(Malformed::HeaderLine(within(at, line.next)));
            }
            self.header_line(at, line.end, line.next);
            at = line.next;
        }
        self.message.headers_end = at;
    }

    /// The line `at..end`; the next one begins at `next`.
    #[inline(always)]
    fn header_line(&mut self, at: usize, end: usize, next: usize) {
        let whole = within(at, next);
        let text = self.bytes.get(at..end).unwrap_or_default();
        let (id, value) = if let Some(usual) = Name::usual(text) {
            usual
        } else if let Some(split) = line::split(text) {
            split
        } else {
            return self.add_defect(Malformed::HeaderLine(whole));
        };
        let repeated = self.message.has(id);
        let many = self.message.headers.len() >= limits::HEADERS_MAX;
        if (repeated || many) && !self.may_stand(id, repeated, whole) {
            return;
        }
        self.message.push(Header {
            name: id,
            line: whole,
            value: class::trim(value, end),
        });
    }

    /// Whether a line that is not the first of its name, or one too many, is
    /// taken in; what is wrong with it is noted.
    fn may_stand(&mut self, id: Name, repeated: bool, line: Span) -> bool {
        let full = self.message.headers.len() >= limits::HEADERS_MAX;
        if full && (repeated || matches!(id, Name::Unread | Name::Other)) {
            self.add_defect(Malformed::TooMany);
            return false;
        }
        if repeated && id == Name::ContentLength {
            self.add_defect(Malformed::ContentLength);
        } else if repeated && id.is_single() {
            self.add_defect(Malformed::Repeated(line));
        }
        true
    }

    /// What every message must have (RFC 3261 §8.1.1), CSeq and the lengths.
    fn mandatory(&mut self) {
        const MANDATORY: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];
        if !MANDATORY.iter().all(|&name| self.message.has(name)) {
            self.add_defect(Malformed::Missing);
        }
        if self.message.headers.len() > limits::HEADERS_MAX {
            self.add_defect(Malformed::TooMany);
        }
        if let Some(header) = self.message.first(Name::CallId)
            && header.value.is_empty()
        {
            self.add_defect(Malformed::Missing);
        }
        if let Some(header) = self.message.first(Name::ContentLength) {
            self.message.length = crate::frame::decimal(header.value.of(self.bytes));
            if self.message.length.is_none() {
                self.add_defect(Malformed::ContentLength);
            }
        }
        let Some(value) = self.message.first(Name::CSeq).map(|header| header.value) else {
            return;
        };
        match start::cseq(self.bytes, value) {
            Some((number, method)) => {
                self.message.cseq = number;
                self.message.cseq_method = method;
                self.cseq_method_matches();
            }
            None => self.add_defect(Malformed::CSeq),
        }
    }

    fn cseq_method_matches(&mut self) {
        let token = self.message.cseq_method.of(self.bytes);
        match self.message.start {
            Some(StartLine::Request { method_token, .. })
                if method_token.of(self.bytes) != token =>
            {
                self.add_defect(Malformed::CSeq);
            }
            Some(StartLine::Response { .. }) => self.message.method = Method::from_token(token),
            Some(StartLine::Request { method, .. }) => self.message.method = method,
            None => {}
        }
    }

    /// The values that routing reads from every message.
    fn typed(&mut self) {
        if let Some(StartLine::Request { method, uri, .. }) = self.message.start {
            self.message.method = method;
            self.route_set();
            match Uri::parse(self.bytes, uri) {
                // Header parts have no place in a Request-URI (RFC 3261 §19.1.1).
                Ok(parsed)
                    if matches!(parsed.scheme, Scheme::Sip | Scheme::Sips)
                        && !parsed.headers.is_empty() =>
                {
                    self.unread(Malformed::Uri(uri));
                }
                Ok(parsed) => self.message.target = Some(parsed),
                Err(_) if !ByteClass::URI.holds_all(uri.of(self.bytes)) => {
                    self.add_defect(Malformed::StartLine)
                }
                Err(defect) => self.unread(defect),
            }
        }
        if let Some(header) = self.message.first(Name::Via).copied() {
            let room = &mut self.message.top_via;
            if usual::via(self.bytes, header.value, room).is_none() {
                self.unusual_via(header.value);
            } else {
                debug_assert_eq!(
                    Via::topmost(self.bytes, header.value).ok(),
                    self.message.top_via
                );
            }
        }
        let (from, from_tag) = self.address(Name::From);
        let (to, to_tag) = self.address(Name::To);
        (self.message.from, self.message.to) = (from, to);
        self.message.seen_tags = [from_tag, to_tag];
    }

    /// The Request-URI cannot be read, which is a defect where it is followed.
    #[cold]
    fn unread(&mut self, defect: Malformed) {
        let to = self.message.first(Name::To);
        let to = to.and_then(|to| Address::parse(self.bytes, to.value).ok());
        let in_dialog = to.is_some_and(|to| to.param(self.bytes, "tag").is_some());
        if !(in_dialog && self.message.goes_by_route(self.bytes)) {
            self.add_defect(defect);
        }
    }

    /// A value that cannot be read is a defect only where it is followed.
    fn route_set(&mut self) {
        let bytes = self.bytes;
        // Lent out of the outline, whose headers are read while it is filled.
        let mut routes = std::mem::take(&mut self.message.routes);
        for header in self.message.all(Name::Route) {
            // Nearly every line has one value, and then no comma stands in it.
            if let Ok(uri) = Uri::in_value(bytes, header.value) {
                routes.push(Route {
                    value: header.value,
                    uri: Some(uri),
                });
                continue;
            }
            routes.extend(Values::new(bytes, header.value).map(|value| Route {
                value,
                uri: Uri::in_value(bytes, value).ok(),
            }));
        }
        self.message.routes = routes;
    }

    /// The address of a From or To, and its tag where that was seen.
    #[inline(always)]
    fn address(&mut self, name: Name) -> (Option<Address>, Option<Option<Span>>) {
        let Some(header) = self.message.first(name) else {
            return (None, None);
        };
        let value = header.value;
        match usual::address(self.bytes, value) {
            Some((address, tag)) => {
                debug_assert_eq!(Address::parse(self.bytes, value), Ok(address));
                debug_assert_eq!(message::tag_of(self.bytes, Some(address)), Ok(tag));
                (Some(address), Some(tag))
            }
            None => (self.unusual_address(value), None),
        }
    }

    #[inline(never)]
    fn unusual_via(&mut self, value: Span) {
        let via = Via::topmost(self.bytes, value);
        self.message.top_via = via.map_err(|defect| self.add_defect(defect)).ok();
    }

    #[inline(never)]
    fn unusual_address(&mut self, value: Span) -> Option<Address> {
        let address = Address::parse(self.bytes, value);
        address.map_err(|defect| self.add_defect(defect)).ok()
    }
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]
mod corpus_tests;
#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may stop at what it did not expect"
)]
mod tests;
