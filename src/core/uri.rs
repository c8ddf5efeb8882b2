//! The one owner of URIs: whoever reads, compares or files one asks here.
//!
//! - [`Uri`] is a URI that was read, with its pieces as spans (`parse`); what its
//!   hosts and addresses are, `host` says.
//! - [`equal`] is RFC 3261 §19.1.4 on the text of two (`compare`), and `UriKey` is a
//!   text that is the same for all spellings of one URI (`key`). `naive`, in the
//!   tests, is that section sentence by sentence, and argues with both.
//! - `RoutingParts` is what of a URI decides where a request goes (`way`).
//! - `escape` is the only place that reads `%HH`, and `user` writes the user part
//!   in one spelling. `own_params` are the parameters that we write.
//!
//! What was read before is not read again: `compare`, `key` and `way` take the
//! text apart at its separators (`parts`), as `parse` does for every text that it
//! accepts.
//!
//! What it is *not*: it knows no header, asks nobody for an address, and does not
//! judge what a parameter asks for.

mod compare;
pub(crate) mod escape;
mod host;
mod key;
#[cfg(test)]
pub(crate) mod naive;
pub(crate) mod own_params;
mod parse;
mod parts;
mod user;
mod way;

use std::net::IpAddr;

pub use self::compare::equal;
pub use self::host::{host_ip, same_host};
pub(crate) use self::user::write_name;
pub(crate) use self::user::{write_aor, write_user};

pub(crate) use self::host::{host, ipv4_front, port, without_dot, write_domain};
pub(crate) use self::key::{UriKey, sets_equal};
pub(crate) use self::way::RoutingParts;

use crate::error::Malformed;
use crate::grammar::params;
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

impl Scheme {
    fn of(name: &[u8]) -> Self {
        match name.len() {
            3 if name.eq_ignore_ascii_case(b"sip") => Self::Sip,
            4 if name.eq_ignore_ascii_case(b"sips") => Self::Sips,
            3 if name.eq_ignore_ascii_case(b"tel") => Self::Tel,
            _ => Self::Other,
        }
    }
}

/// True for the text of a `sips` URI.
#[must_use]
pub(crate) fn is_sips(uri: &[u8]) -> bool {
    uri.get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"))
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
    /// Parses a text that is a URI and nothing else.
    ///
    /// # Errors
    /// As `parse`.
    pub fn of(text: &[u8]) -> Result<Self, Malformed> {
        Self::parse(text, Span::new(0, text.len()))
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
        // Nearly always it is the first one.
        matches!(self.params.of(bytes), b";lr" | [b';', b'l', b'r', b';', ..])
            || self.param(bytes, "lr").is_some()
    }

    /// The host as an IP address when it is a literal.
    #[must_use]
    pub fn ip(&self, bytes: &[u8]) -> Option<IpAddr> {
        host_ip(self.host.of(bytes))
    }
}

#[cfg(test)]
mod tests;
