//! One Via value (RFC 3261 §20.42, RFC 3581, RFC 5118 §4.5).
//!
//! White space is allowed between all parts. Any protocol name and version
//! pass: a request that is refused for its version is still answered by its
//! Via.

use std::net::IpAddr;

use super::values::Values;
use crate::error::Malformed;
use crate::grammar::class::ByteClass;
use crate::grammar::cursor::Cursor;
use crate::grammar::params::{Param, Walk};
use crate::span::Span;
use crate::uri;

/// What begins the branch of everyone who knows RFC 3261 (§8.1.1.7).
const COOKIE: &[u8] = b"z9hG4bK";

/// A parsed Via value. Parameters nobody here reads are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via {
    /// The whole value.
    pub value: Span,
    /// Transport token as written.
    pub transport: Span,
    /// host as written, brackets of an IPv6 literal included.
    pub host: Span,
    /// The host where it is an address.
    pub ip: Option<IpAddr>,
    /// The port, when one is written.
    pub port: Option<u16>,
    /// `host[:port]` as written
    pub sent_by: Span,
    /// From the first `;` to the end of the value; empty when none.
    pub params: Span,
    /// Value of branch.
    pub branch: Option<Span>,
    /// Value of received, brackets of an IPv6 literal included if they are there.
    pub received: Option<Span>,
    /// Value of maddr.
    pub maddr: Option<Span>,
    /// rport: span of the whole `rport[=n]` parameter (without the `;`) and its value if any.
    /// A value that is no port counts as none.
    pub rport: Option<(Span, Option<u16>)>,
    /// Value of the last oc, empty when none is written: the sender takes part in
    /// overload control (RFC 7339 §4.1).
    pub oc: Option<Span>,
    /// keep: span of the whole `keep[=n]` parameter (without the `;`) and its value
    /// if any: keep-alives are offered, or in a response asked for (RFC 6223).
    pub keep: Option<(Span, Option<Span>)>,
    /// whole `received=..` parameter text without `;`
    pub received_param: Option<Span>,
}

impl Via {
    /// Parses the value standing at `value`.
    ///
    /// # Errors
    /// `Via` with `value`; a second branch, received, maddr or rport is an error too.
    pub fn parse(bytes: &[u8], value: Span) -> Result<Self, Malformed> {
        Self::read(bytes, value).ok_or(Malformed::Via(value))
    }

    /// The first value of a header line that ends at both ends without space.
    ///
    /// # Errors
    /// `Via` with that value, as for `parse`.
    pub(super) fn topmost(bytes: &[u8], line: Span) -> Result<Self, Malformed> {
        // Nearly every line has one value. A comma stands in it only inside
        // quotes, so what can be read as one value is one.
        Self::parse(bytes, line).or_else(|_| {
            let value = Values::new(bytes, line).next().unwrap_or(line);
            Self::parse(bytes, value)
        })
    }

    fn read(bytes: &[u8], value: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, value);
        if cursor.rest().starts_with(b"SIP/2.0/") {
            cursor.skip(8);
            cursor.skip_space();
        } else {
            for _ in ["name", "version"] {
                let part = cursor.take(ByteClass::TOKEN);
                if part.is_empty() || !cursor.eat_spaced(b'/') {
                    return None;
                }
            }
        }
        let transport = cursor.take(ByteClass::TOKEN);
        let before = cursor.at();
        cursor.skip_space();
        if transport.is_empty() || cursor.at() == before {
            return None;
        }
        let start = cursor.at();
        let (host, ip) = uri::host(&mut cursor, bytes)?;
        let port = if cursor.eat_spaced(b':') {
            Some(uri::port(&mut cursor)?)
        } else {
            None
        };
        let sent_by = cursor.since(start);
        cursor.skip_space();
        let params = cursor.rest_span();
        let mut via = Self {
            value,
            transport,
            host,
            ip,
            port,
            sent_by,
            params,
            branch: None,
            received: None,
            maddr: None,
            rport: None,
            oc: None,
            keep: None,
            received_param: None,
        };
        for param in Walk::new(cursor) {
            via.take(bytes, param.ok()?)?;
        }
        Some(via)
    }

    /// Keeps a parameter that is read here; `None` when it stands twice.
    fn take(&mut self, bytes: &[u8], param: Param) -> Option<()> {
        let name = param.name.of(bytes);
        let value = Some(param.value.unwrap_or_default());
        let twice = match (name.len(), name.first()? | 0x20) {
            (2, b'o') if name.eq_ignore_ascii_case(b"oc") => {
                self.oc = value;
                false
            }
            (4, b'k') if name.eq_ignore_ascii_case(b"keep") => {
                self.keep = Some((param.whole, param.value));
                false
            }
            (6, b'b') if name == b"branch" || name.eq_ignore_ascii_case(b"branch") => {
                std::mem::replace(&mut self.branch, value).is_some()
            }
            (5, b'm') if name.eq_ignore_ascii_case(b"maddr") => {
                std::mem::replace(&mut self.maddr, value).is_some()
            }
            (5, b'r') if name == b"rport" || name.eq_ignore_ascii_case(b"rport") => {
                let port = param.value.and_then(|value| whole_port(bytes, value));
                self.rport.replace((param.whole, port)).is_some()
            }
            (8, b'r') if name.eq_ignore_ascii_case(b"received") => {
                self.received = value;
                self.received_param.replace(param.whole).is_some()
            }
            _ => false,
        };
        (!twice).then_some(())
    }

    /// The `keep` without a value, which offers keep-alives (RFC 6223 §4.3).
    #[must_use]
    pub(crate) fn keep_offer(&self) -> Option<Span> {
        self.keep
            .and_then(|(whole, value)| value.is_none().then_some(whole))
    }

    /// True when the branch starts with the RFC 3261 cookie (case-insensitive)
    /// and goes on behind it: the cookie alone identifies nothing, so such a
    /// message is matched as RFC 2543 has it (RFC 4475 §3.2.1).
    #[must_use]
    pub(crate) fn has_cookie(&self, bytes: &[u8]) -> bool {
        let branch = self.branch.unwrap_or_default().of(bytes);
        branch.len() > COOKIE.len()
            && branch
                .get(..COOKIE.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(COOKIE))
    }
}

/// The port that a value is, when it is nothing else.
fn whole_port(bytes: &[u8], value: Span) -> Option<u16> {
    let mut cursor = Cursor::new(bytes, value);
    uri::port(&mut cursor).filter(|_| cursor.is_done())
}

#[cfg(test)]
#[expect(
    clippy::string_slice,
    reason = "a test may stop at what it did not expect"
)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Via, Malformed> {
        Via::parse(text.as_bytes(), Span::new(0, text.len()))
    }

    /// transport, sent-by, port, branch, received.
    type Parts<'a> = (
        &'a str,
        &'a str,
        Option<u16>,
        Option<&'a str>,
        Option<&'a str>,
    );

    #[track_caller]
    fn check(text: &str, want: Parts<'_>) {
        let part = |span: Span| &text[span.range()];
        let via = parse(text).unwrap();
        let got = (
            part(via.transport),
            part(via.sent_by),
            via.port,
            via.branch.map(part),
            via.received.map(part),
        );
        assert_eq!(got, want, "{text:?}");
    }

    #[test]
    fn vias_come_apart() {
        check(
            "SIP/2.0/UDP h;branch=z9hG4bK1",
            ("UDP", "h", None, Some("z9hG4bK1"), None),
        );
        check(
            "SIP/2.0/TCP 192.0.2.1:5070",
            ("TCP", "192.0.2.1:5070", Some(5070), None, None),
        );
        check(
            "sip / 2.0\r\n /UDP\r\n    h : 5 ; branch\t= x ",
            ("UDP", "h : 5", Some(5), Some("x"), None),
        );
        check(
            "SIP/2.0/ UDP h;branch=x",
            ("UDP", "h", None, Some("x"), None),
        );
        check(
            "SIP/7.0/UDP h;x;branch=y",
            ("UDP", "h", None, Some("y"), None),
        );
        check(
            "SIP/2.0/TLS [2001:db8::9:1]:6050;received=::1",
            ("TLS", "[2001:db8::9:1]:6050", Some(6050), None, Some("::1")),
        );
        check(
            "SIP/2.0/UDP h;received=[2001:db8::9:255];branch=z",
            ("UDP", "h", None, Some("z"), Some("[2001:db8::9:255]")),
        );
        check(
            "SIP/2.0/UDP h;branch=z9hG4bK209%fzsnel234",
            ("UDP", "h", None, Some("z9hG4bK209%fzsnel234"), None),
        );
    }

    //
    #[test]
    fn rport_and_received_are_found_where_they_can_be_replaced() {
        for (text, whole, port) in [
            ("SIP/2.0/UDP h;rport;branch=z", "rport", None),
            (
                "SIP/2.0/UDP h;branch=z;rport = 5062",
                "rport = 5062",
                Some(5062),
            ),
            ("SIP/2.0/UDP h;RPORT=", "RPORT=", None),
            ("SIP/2.0/UDP h;rport=99999", "rport=99999", None),
            ("SIP/2.0/UDP h;rport=5x", "rport=5x", None),
        ] {
            let (span, got) = parse(text).unwrap().rport.unwrap();
            assert_eq!((&text[span.range()], got), (whole, port), "{text:?}");
        }
        let text = "SIP/2.0/UDP h;received=192.0.2.9;rport=1";
        let param = parse(text).unwrap().received_param.unwrap();
        assert_eq!(&text[param.range()], "received=192.0.2.9");
    }

    #[test]
    fn what_does_not_say_where_to_answer_is_refused() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0 h",
            "SIP/2.0/ h",
            "/2.0/UDP h",
            "SIP/2.0/UDP ;branch=z",
            "SIP/2.0/UDP h:;branch=z",
            "SIP/2.0/UDP h:0",
            "SIP/2.0/UDP 2001:db8::9:1",
            "SIP/2.0/UDP [2001:db8::9:1;x]",
            "SIP/2.0/UDP h g",
            "SIP/2.0/UDP 192.0.2.15;;",
            "SIP/2.0/UDP h;branch=a;branch=b",
            "SIP/2.0/UDP h;rport;rport=5",
            "SIP/2.0/UDP h;received=1.1.1.1;received=2.2.2.2",
        ] {
            assert_eq!(
                parse(text),
                Err(Malformed::Via(Span::new(0, text.len()))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_cookie_alone_is_no_branch() {
        for (branch, want) in [
            ("z9hG4bKa", true),
            ("Z9HG4BKa", true),
            ("z9hG4bK", false),
            ("390skdjuw", false),
            ("", false),
        ] {
            let text = format!("SIP/2.0/UDP h;branch={branch}");
            assert_eq!(
                parse(&text).unwrap().has_cookie(text.as_bytes()),
                want,
                "{branch}"
            );
        }
    }
}
