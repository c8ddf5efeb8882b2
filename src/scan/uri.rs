//! A URI as RFC 3261 §19.1 and §25.1 write it (with RFC 5954 for IPv6).
//!
//! Strict where a laxer reading would send the request elsewhere (host, port,
//! a second `@`), lax in user parts and unknown parameters. Escapes are left
//! as they are: `sip:%61@h` has the user `%61`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::class;
use super::cursor::{Cursor, within};
use super::find::find;
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
        Self::read(bytes, whole).ok_or(Malformed::Uri(whole))
    }

    fn read(bytes: &[u8], whole: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, whole);
        let scheme = scheme(&mut cursor, bytes)?;
        if !class::is_uri_text(cursor.rest()) {
            return None;
        }
        let none = Span::default();
        let mut uri = Self {
            whole,
            scheme,
            userinfo: None,
            user: None,
            host: none,
            port: None,
            host_port: none,
            params: none,
            headers: none,
        };
        if matches!(scheme, Scheme::Tel | Scheme::Other) {
            return Some(uri);
        }
        if let Some(length) = find(b'@', cursor.rest()) {
            let start = cursor.at();
            cursor.skip(length);
            let userinfo = cursor.since(start);
            let user = find(b':', userinfo.of(bytes)).unwrap_or(length);
            uri.userinfo = Some(userinfo);
            uri.user = Some(within(start, start.wrapping_add(user)));
            cursor.skip(1);
            if user == 0 || find(b'@', cursor.rest()).is_some() {
                return None;
            }
        }
        let start = cursor.at();
        (uri.host, _) = host(&mut cursor, bytes)?;
        uri.port = if cursor.eat(b':') {
            Some(port(&mut cursor)?)
        } else {
            None
        };
        uri.host_port = cursor.since(start);
        let tail = cursor.at();
        cursor.skip(find(b'?', cursor.rest()).unwrap_or(usize::MAX));
        uri.params = cursor.since(tail);
        uri.headers = cursor.rest_span();
        params::are_sound(bytes, uri.params).then_some(uri)
    }

    /// Value of a URI parameter, case-insensitive name: None absent, Some(None) present without value.
    #[must_use]
    pub fn param(&self, bytes: &[u8], name: &str) -> Option<Option<Span>> {
        params::find(bytes, self.params, name)
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

/// The scheme, and moves behind its colon.
fn scheme(cursor: &mut Cursor<'_>, bytes: &[u8]) -> Option<Scheme> {
    // The two that matter differ from all others in their first bytes.
    let known = match cursor.rest() {
        [a, b, c, b':', ..] if [*a, *b, *c].eq_ignore_ascii_case(b"sip") => Some((Scheme::Sip, 4)),
        [a, b, c, d, b':', ..] if [*a, *b, *c, *d].eq_ignore_ascii_case(b"sips") => {
            Some((Scheme::Sips, 5))
        }
        [a, b, c, b':', ..] if [*a, *b, *c].eq_ignore_ascii_case(b"tel") => Some((Scheme::Tel, 4)),
        _ => None,
    };
    if let Some((scheme, length)) = known {
        cursor.skip(length);
        return Some(scheme);
    }
    let start = cursor.at();
    cursor.skip(find(b':', cursor.rest())?);
    let name = cursor.since(start).of(bytes);
    cursor.skip(1);
    let sound = name.first()?.is_ascii_alphabetic()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    sound.then_some(Scheme::Other)
}

/// A host: a name, an IPv4 address or an IPv6 address in brackets; and which address.
pub(super) fn host(cursor: &mut Cursor<'_>, bytes: &[u8]) -> Option<(Span, Option<IpAddr>)> {
    let start = cursor.at();
    if cursor.peek() == Some(b'[') {
        cursor.skip(find(b']', cursor.rest())?.checked_add(1)?);
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
