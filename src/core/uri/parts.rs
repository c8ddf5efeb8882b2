//! The text of a URI taken apart where its parts meet, and nothing checked: for
//! texts that `Uri::parse` has accepted or will see before anybody goes by them.
//! Of those it says the same as `Uri`.
//!
//! In two steps, since many URIs have the same ending and then only their
//! beginnings need be looked at.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

use super::Scheme;
use crate::grammar::find::{find, find_either};

/// The first half: what is before the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Front<'a> {
    /// Its scheme; a text without any has `Other`.
    pub(super) scheme: Scheme,
    /// Before the first `@`, password included; `None` when there is no `@`.
    pub(super) userinfo: Option<&'a [u8]>,
    /// From the host on.
    pub(super) ending: &'a [u8],
}

impl<'a> Front<'a> {
    #[inline]
    pub(super) fn of(uri: &'a [u8]) -> Self {
        let (scheme, rest) = match uri.split_first_chunk() {
            Some((b"sip:", rest)) => (Scheme::Sip, rest),
            Some(_) | None => scheme(uri),
        };
        let (userinfo, ending) = match find(rest, b'@') {
            Some(at) => {
                let (userinfo, ending) = around(rest, at);
                (Some(userinfo), ending)
            }
            None => (None, rest),
        };
        Self {
            scheme,
            userinfo,
            ending,
        }
    }
}

/// The second half: the host and what is behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending<'a> {
    /// `host[:port]`
    pub(super) host_port: &'a [u8],
    /// From the first `;` to `?` or the end; empty when none.
    pub(super) params: &'a [u8],
    /// From `?` (included) to the end; empty when none.
    pub(super) headers: &'a [u8],
}

impl<'a> Ending<'a> {
    #[inline]
    pub(super) fn of(ending: &'a [u8]) -> Self {
        let end = find_either(ending, b';', b'?').unwrap_or(ending.len());
        let (host_port, rest) = ending.split_at(end);
        let end = find(rest, b'?').unwrap_or(rest.len());
        let (params, headers) = rest.split_at(end);
        Self {
            host_port,
            params,
            headers,
        }
    }

    /// Host and port apart; `None` when what is behind the host is no port.
    pub(super) fn host(&self) -> Option<(&'a [u8], Option<u16>)> {
        let end = match self.host_port.first() {
            Some(b'[') => find(self.host_port, b']')?.saturating_add(1),
            Some(_) | None => find(self.host_port, b':').unwrap_or(self.host_port.len()),
        };
        let (host, rest) = self.host_port.split_at(end);
        let Some((b':', digits)) = rest.split_first() else {
            return rest.is_empty().then_some((host, None));
        };
        // Else a sign would do.
        let is_number = digits.first().is_some_and(u8::is_ascii_digit);
        let port = std::str::from_utf8(digits).ok()?.parse().ok()?;
        is_number.then_some((host, Some(port)))
    }
}

/// The pairs `name[=value]` of a list with this separator. Empty ones are skipped.
#[inline]
pub(super) fn pairs(list: &[u8], separator: u8) -> impl Iterator<Item = Pair<'_>> {
    let pieces = list.split(move |byte| *byte == separator);
    pieces.filter(|piece| !piece.is_empty()).map(Pair::of)
}

/// A parameter, or a header component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair<'a> {
    pub(super) name: &'a [u8],
    /// Behind the `=`.
    pub(super) value: Option<&'a [u8]>,
}

impl<'a> Pair<'a> {
    #[inline]
    pub(super) fn of(piece: &'a [u8]) -> Self {
        // Names are short.
        match piece.iter().position(|byte| *byte == b'=') {
            Some(at) => {
                let (name, value) = around(piece, at);
                let value = Some(value);
                Self { name, value }
            }
            None => Self {
                name: piece,
                value: None,
            },
        }
    }
}

/// The scheme, and what is behind its colon.
fn scheme(uri: &[u8]) -> (Scheme, &[u8]) {
    let Some(at) = find(uri, b':') else {
        return (Scheme::Other, uri);
    };
    let (name, rest) = around(uri, at);
    (Scheme::of(name), rest)
}

/// What is before the byte at `at`, and what is behind it.
#[inline]
fn around(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    let (before, rest) = bytes.split_at(at);
    let behind = rest.split_first().map(|(_, behind)| behind);
    (before, behind.unwrap_or_default())
}
