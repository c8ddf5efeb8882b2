//! The 200 to a REGISTER.

use crate::edit::decimal;
use crate::home::state::Home;
use crate::proxy::{Plan, Request};
use crate::scan::Name;
use crate::span::Span;
use crate::time::Instant;
use crate::uri::is_sips;

impl Home {
    /// Writes the header lines of the 200: every binding of the address of record in the
    /// plan, the Path as it came, the Service-Route (D-H6), and whether the binding is
    /// by RFC 5626 (O-16).
    pub(super) fn describe(
        &self,
        now: Instant,
        request: &Request<'_>,
        plan: &mut Plan,
        outbound: bool,
    ) {
        let (bytes, message, out) = (request.bytes, request.message, &mut plan.lines);
        for binding in self.location.bindings(now, &plan.text) {
            out.extend_from_slice(b"Contact: <");
            out.extend_from_slice(binding.contact());
            out.push(b'>');
            out.extend_from_slice(binding.params());
            out.extend_from_slice(b";expires=");
            decimal(out, binding.left_s(now));
            out.extend_from_slice(b"\r\n");
        }
        if message.first(Name::Path).is_some() {
            out.extend_from_slice(b"Path: ");
            write_list(bytes, message.values(bytes, Name::Path), out);
            out.extend_from_slice(b"\r\nService-Route: ");
            // Path is nearest the registrar first, Service-Route nearest the
            // phone first.
            let count = message.values(bytes, Name::Path).count();
            for index in (0..count).rev() {
                let value = message
                    .values(bytes, Name::Path)
                    .nth(index)
                    .unwrap_or_default();
                out.extend_from_slice(value.of(bytes));
                out.extend_from_slice(b", ");
            }
            let secure = is_sips(message.request_uri().of(bytes));
            let scheme = if secure { "<sips:" } else { "<sip:" };
            out.extend_from_slice(scheme.as_bytes());
            self.write_own_uri(None, out);
            out.extend_from_slice(b">\r\n");
        }
        out.extend_from_slice(b"Supported: path, outbound\r\n");
        if outbound {
            out.extend_from_slice(b"Require: outbound\r\n");
        }
    }
}

/// Appends header values with `, ` between them.
pub(super) fn write_list(bytes: &[u8], values: impl Iterator<Item = Span>, out: &mut Vec<u8>) {
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(value.of(bytes));
    }
}
