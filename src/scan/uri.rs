//! A URI as RFC 3261 §19.1 and §25.1 write it (with RFC 5954 for IPv6).
//!
//! Strict where a laxer reading would send the request elsewhere (host, port,
//! a second `@`), lax in user parts and unknown parameters. Escapes are left
//! as they are: `sip:%61@h` has the user `%61`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::class::Class;
use super::cursor::{Cursor, within};
use super::params;
use crate::error::Malformed;
use crate::span::Span;

/// What kind of URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Anything else that is a URI.
    Other,
}

/// A parsed URI; all spans refer to the message's bytes. For `Tel` and `Other` only `scheme` and `whole` mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri {
    /// All of it.
    pub whole: Span,
    /// Its scheme.
    pub scheme: Scheme,
    /// Before `@`, password included; None when there is no `@`.
    pub userinfo: Option<Span>,
    /// user without password
    pub user: Option<Span>,
    /// Host as written (brackets of IPv6 included).
    pub host: Span,
    /// The port, when one is written.
    pub port: Option<u16>,
    /// `host[:port]`
    pub host_port: Span,
    /// From the first `;` to `?` or the end; empty when none.
    pub params: Span,
    /// From `?` (included) to the end; empty when none.
    pub headers: Span,
}

impl Uri {
    /// Parses exactly the bytes of `whole` (no surrounding space, no brackets `<>`).
    ///
    /// # Errors
    /// `Uri` with `whole`.
    pub fn parse(bytes: &[u8], whole: Span) -> Result<Self, Malformed> {
        Self::read(bytes, Cursor::new(bytes, whole).ready()).ok_or(Malformed::Uri(whole))
    }

    /// All that is still to be read, as a URI.
    pub(super) fn read(bytes: &[u8], mut cursor: Cursor<'_>) -> Option<Self> {
        let none = Span::default();
        let mut uri = Self {
            whole: cursor.rest_span(),
            scheme: scheme(&mut cursor)?,
            userinfo: None,
            user: None,
            host: none,
            port: None,
            host_port: none,
            params: none,
            headers: none,
        };
        if matches!(uri.scheme, Scheme::Tel | Scheme::Other) {
            let sound = !cursor.take(Class::URI).is_empty() && cursor.is_done();
            return sound.then_some(uri);
        }
        let joints = Joints::find(cursor)?;
        if let Some(at) = joints.at {
            let start = cursor.at();
            let user = within(start, joints.colon.unwrap_or(at));
            if user.is_empty() {
                return None;
            }
            (uri.userinfo, uri.user) = (Some(within(start, at)), Some(user));
            cursor.go(at.wrapping_add(1));
        }
        let start = cursor.at();
        (uri.host, _) = host(&mut cursor, bytes)?;
        uri.port = if cursor.eat(b':') {
            // Zero is well-formed and leads nowhere (RFC 3261 §25.1).
            Some(u16::try_from(cursor.number()?).ok()?)
        } else {
            None
        };
        uri.host_port = cursor.since(start);
        let end = uri.whole.range().end;
        let question = joints.question.unwrap_or(end);
        let params = cursor.until(question);
        uri.params = params.rest_span();
        uri.headers = within(question, end);
        params::are_sound(params).then_some(uri)
    }

    /// Value of a URI parameter, case-insensitive name: None absent, Some(None) present without value.
    #[must_use]
    pub fn param(&self, bytes: &[u8], name: &str) -> Option<Option<Span>> {
        params::find(bytes, self.params, name)
    }

    /// The host that a request for it goes to (TARGET in RFC 3263 §4): that of its
    /// `maddr`, else its own.
    #[must_use]
    pub fn target(&self, bytes: &[u8]) -> Span {
        self.param(bytes, "maddr").flatten().unwrap_or(self.host)
    }

    /// `lr` present in any form (`;lr`, `;lr=on`).
    #[must_use]
    pub fn is_loose(&self, bytes: &[u8]) -> bool {
        self.param(bytes, "lr").is_some()
    }

    /// The host as an IP address when it is a literal.
    #[must_use]
    pub fn ip(&self, bytes: &[u8]) -> Option<IpAddr> {
        host_ip(self.host.of(bytes))
    }
}

/// Where the parts of a URI meet.
struct Joints {
    /// The only `@`.
    at: Option<usize>,
    /// The first `:` of the user part.
    colon: Option<usize>,
    /// The first `?` behind the host.
    question: Option<usize>,
}

impl Joints {
    /// Looks at all behind the scheme; `None` when nothing is there, there is a
    /// second `@`, or a byte is of no URI.
    #[inline]
    fn find(mut cursor: Cursor<'_>) -> Option<Self> {
        let mut joints = Self {
            at: None,
            colon: None,
            question: None,
        };
        if cursor.is_done() {
            return None;
        }
        while let Some(mark) = cursor.next_mark() {
            let here = Some(cursor.at());
            match mark {
                b'@' if joints.at.is_some() => return None,
                b'@' => (joints.at, joints.question) = (here, None),
                b':' if joints.at.is_none() => joints.colon = joints.colon.or(here),
                b'?' => joints.question = joints.question.or(here),
                _ if !Class::URI.holds(mark) => return None,
                _ => {}
            }
            cursor.pass();
        }
        Some(joints)
    }
}

const SIP: u32 = letters(*b"sip");
const TEL: u32 = letters(*b"tel");

/// Three letters as one number, the same for small and capital ones; what is no
/// letter never becomes one.
const fn letters([a, b, c]: [u8; 3]) -> u32 {
    u32::from_le_bytes([a, b, c, 0]) | 0x20_20_20
}

/// The scheme, and moves behind its colon.
fn scheme(cursor: &mut Cursor<'_>) -> Option<Scheme> {
    // The ones that matter differ from all others in their first bytes.
    let known = match cursor.rest() {
        [a, b, c, b':', ..] if letters([*a, *b, *c]) == SIP => Some((Scheme::Sip, 4)),
        [a, b, c, b's' | b'S', b':', ..] if letters([*a, *b, *c]) == SIP => Some((Scheme::Sips, 5)),
        [a, b, c, b':', ..] if letters([*a, *b, *c]) == TEL => Some((Scheme::Tel, 4)),
        _ => None,
    };
    if let Some((scheme, length)) = known {
        cursor.skip(length);
        return Some(scheme);
    }
    let (name, _) = cursor
        .rest()
        .split_at_checked(cursor.rest().iter().position(|&byte| byte == b':')?)?;
    cursor.skip(name.len().saturating_add(1));
    let sound = name.first()?.is_ascii_alphabetic()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    sound.then_some(Scheme::Other)
}

/// A host: a name, an IPv4 address or an IPv6 address in brackets; and which address.
#[inline]
pub(super) fn host(cursor: &mut Cursor<'_>, bytes: &[u8]) -> Option<(Span, Option<IpAddr>)> {
    if let Some(b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_') = cursor.peek() {
        return Some((cursor.take_host(), None));
    }
    address(cursor, bytes)
}

/// A host that begins as an address does, or not at all as one.
fn address(cursor: &mut Cursor<'_>, bytes: &[u8]) -> Option<(Span, Option<IpAddr>)> {
    let start = cursor.at();
    if cursor.peek() == Some(b'[') {
        if !cursor.seek(b']') {
            return None;
        }
        cursor.pass();
        let host = cursor.since(start);
        return host_ip(host.of(bytes)).map(|ip| (host, Some(ip)));
    }
    let host = cursor.take_host();
    let text = host.of(bytes);
    let ip = match text {
        [] => return None,
        [b'0'..=b'9', ..] => ipv4(text).map(IpAddr::V4),
        _ => return Some((host, None)),
    };
    // Numbers and dots that are no address would be taken for one by somebody.
    (ip.is_some() || !is_dotted_number(text)).then_some((host, ip))
}

fn is_dotted_number(text: &[u8]) -> bool {
    text.contains(&b'.')
        && text
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// A port, 1 to 65535.
#[inline]
pub(super) fn port(cursor: &mut Cursor<'_>) -> Option<u16> {
    u16::try_from(cursor.number()?)
        .ok()
        .filter(|&port| port != 0)
}

/// A host (brackets allowed) as an IP literal.
#[must_use]
pub fn host_ip(host: &[u8]) -> Option<IpAddr> {
    match host {
        [b'[', inside @ .., b']'] => ipv6(inside).map(IpAddr::V6),
        [b'0'..=b'9', ..] if !host.contains(&b':') => ipv4(host).map(IpAddr::V4),
        [b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b':', ..] if host.contains(&b':') => {
            ipv6(host).map(IpAddr::V6)
        }
        _ => None,
    }
}

fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Four decimal numbers without leading zeros, as the standard library has it
/// but at a third of its cost: nearly every topmost Via names one.
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut places = octets.iter_mut();
    let mut octet: Option<u8> = None;
    for &byte in text {
        octet = Some(match (byte, octet) {
            (b'0'..=b'9', None) => byte.wrapping_sub(b'0'),
            (b'0'..=b'9', Some(value @ 1..)) => value
                .checked_mul(10)?
                .checked_add(byte.wrapping_sub(b'0'))?,
            (b'.', Some(value)) => {
                *places.next()? = value;
                octet = None;
                continue;
            }
            _ => return None,
        });
    }
    *places.next()? = octet?;
    places.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// Host name comparison: case-insensitive, a trailing dot ignored; IP literals by value.
#[must_use]
pub fn same_host(a: &[u8], b: &[u8]) -> bool {
    let dotless = |host: &[u8]| host.strip_suffix(b".").unwrap_or(host).len();
    let (Some(name_a), Some(name_b)) = (a.get(..dotless(a)), b.get(..dotless(b))) else {
        return false;
    };
    // Nearly every host is written as its owner writes it.
    name_a == name_b
        || name_a.eq_ignore_ascii_case(name_b)
        || matches!((host_ip(a), host_ip(b)), (Some(a), Some(b)) if a == b)
}

#[cfg(test)]
#[expect(
    clippy::string_slice,
    reason = "a test may stop at what it did not expect"
)]
mod tests;
