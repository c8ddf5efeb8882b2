//! The Contacts of a REGISTER, as they are read.

use crate::edit::decimal;
use crate::home::{Change, rules};
use crate::limits;
use crate::pacing;
use crate::proxy::{Reply, Request};
use crate::scan::Name;
use crate::scan::address::Address;
use crate::span::Span;
use crate::uri::{Uri, is_sips};

/// One Contact of a REGISTER, before it becomes a `Change`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParsedContact {
    pub(super) address: Address,
    pub(super) uri: Uri,
    pub(super) instance: Option<Span>,
    pub(super) reg_id: Option<u32>,
    /// Preference in thousandths.
    pub(super) q: u16,
    /// The lifetime granted.
    pub(super) expires_s: u32,
    /// Where the parameters that are echoed stand in the text that `parse` appends to: from,
    /// to.
    params: (usize, usize),
}

/// How long the contacts of a REGISTER last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    /// The Expires header in seconds, for a contact without an `expires` of its own.
    pub(super) default_s: Option<u32>,
    /// A random number, by which a little less is granted than was asked for, so that phones
    /// that registered at one time do not come back at one time.
    pub(super) chance: u64,
}

impl ParsedContact {
    /// Reads one Contact. Its parameters but for `expires`, which differs from answer to
    /// answer, are appended to `params`; what a refusal has to say to `lines`.
    pub(super) fn parse(
        bytes: &[u8],
        value: Span,
        lifetime: Lifetime,
        params: &mut Vec<u8>,
        lines: &mut Vec<u8>,
    ) -> Result<Self, Reply> {
        let bad = |_| Reply::new(400, "Malformed Contact");
        let address = Address::parse(bytes, value).map_err(bad)?;
        let uri = Uri::parse(bytes, address.uri).map_err(bad)?;
        let param = |name| {
            address
                .param(bytes, name)
                .flatten()
                .map(|value: Span| value.of(bytes))
        };
        // A malformed expires counts as the default (RFC 3261 §20.10).
        let expires = address.number(bytes, "expires").or(lifetime.default_s);
        let expires_s = rules::lifetime_s(expires).map_err(|rules::TooBrief| {
            lines.extend_from_slice(b"Min-Expires: ");
            decimal(lines, limits::EXPIRES_MIN_S);
            lines.extend_from_slice(b"\r\n");
            Reply::new(423, "Interval Too Brief")
        })?;
        let q = param("q")
            .map_or(Some(1_000), rules::preference)
            .ok_or(Reply::new(400, "Malformed Contact"))?;
        let reg_id = param("reg-id").and_then(rules::reg_id);
        let from = params.len();
        for param in crate::grammar::params::iter(bytes, address.params) {
            if !param.name.of(bytes).eq_ignore_ascii_case(b"expires") {
                params.push(b';');
                params.extend_from_slice(param.whole.of(bytes));
            }
        }
        Ok(Self {
            address,
            uri,
            instance: address.instance(bytes),
            reg_id,
            q,
            expires_s: pacing::expires_s(expires_s, lifetime.chance),
            params: (from, params.len()),
        })
    }

    /// What the Contact asks of the bindings; `params` is the text that `parse` appended to.
    pub(super) fn change<'a>(&self, bytes: &'a [u8], params: &'a [u8]) -> Change<'a> {
        Change {
            contact: self.address.uri.of(bytes),
            params: params.get(self.params.0..self.params.1).unwrap_or_default(),
            q: self.q,
            expires_s: self.expires_s,
            instance: self.instance.map(|instance| instance.of(bytes)),
            reg_id: self.reg_id,
        }
    }
}

/// Whether a REGISTER with a `sips` contact has `sips` in the Request-URI, in every Path and
/// in every other contact (C-16). True without such a contact.
pub(super) fn is_secure_throughout(request: &Request<'_>, contacts: &[ParsedContact]) -> bool {
    let (bytes, message) = (request.bytes, request.message);
    let uris = || contacts.iter().map(|contact| contact.address.uri.of(bytes));
    if !uris().any(is_sips) {
        return true;
    }
    let path = message.values(bytes, Name::Path).all(|value| {
        Address::parse(bytes, value).is_ok_and(|address| is_sips(address.uri.of(bytes)))
    });
    path && uris().all(is_sips) && is_sips(message.request_uri().of(bytes))
}
