//! Requests as bytes (RFC 3261 §8.1.1).

use std::io::Write as _;
use std::net::SocketAddr;

use super::Agent;
use super::request::{ClientRequest, Contact};
use crate::edit::host_port;
use crate::id::Transport;
use crate::limits;

/// Methods that the agent understands.
pub(super) const ALLOW: &str = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n";

impl Agent {
    /// Writes `outgoing` as it goes out from `sent_by`.
    pub(super) fn write(
        &mut self,
        outgoing: &ClientRequest,
        transport: Transport,
        sent_by: SocketAddr,
        branch: &[u8],
        cnonce: u64,
        out: &mut Vec<u8>,
    ) {
        append(
            out,
            &[
                outgoing.method.as_bytes(),
                b" ",
                &outgoing.uri,
                b" SIP/2.0\r\n",
            ],
        );
        append(out, &[b"Via: SIP/2.0/", transport.via_token().as_bytes()]);
        out.push(b' ');
        host_port(out, sent_by);
        append(out, &[b";rport;branch=", branch, b"\r\n"]);
        for route in &outgoing.routes {
            append(out, &[b"Route: ", route, b"\r\n"]);
        }
        append_fmt(
            out,
            format_args!("Max-Forwards: {}\r\n", limits::MAX_FORWARDS),
        );
        append(out, &[b"From: ", &outgoing.from, b"\r\nTo: ", &outgoing.to]);
        append(out, &[b"\r\nCall-ID: ", &outgoing.call_id]);
        append_fmt(
            out,
            format_args!("\r\nCSeq: {} {}\r\n", outgoing.cseq, outgoing.method),
        );
        self.write_contact(outgoing.contact, transport, sent_by, out);
        match outgoing.contact {
            // D-U8
            Contact::Binding { expires_s, .. } => append_fmt(
                out,
                format_args!("Supported: path, outbound, alt-proxies\r\nExpires: {expires_s}\r\n"),
            ),
            Contact::Target => append(out, &[b"Supported: outbound, sticky\r\n", ALLOW.as_bytes()]),
            Contact::Absent => {}
        }
        self.credentials.write(outgoing, cnonce, out);
        if !outgoing.body.is_empty() {
            out.extend_from_slice(b"Content-Type: application/sdp\r\n");
        }
        append_fmt(
            out,
            format_args!("Content-Length: {}\r\n\r\n", outgoing.body.len()),
        );
        out.extend_from_slice(&outgoing.body);
    }

    pub(super) fn write_contact(
        &self,
        contact: Contact,
        transport: Transport,
        addr: SocketAddr,
        out: &mut Vec<u8>,
    ) {
        if contact == Contact::Absent {
            return;
        }
        append(
            out,
            &[b"Contact: <sip:", self.settings.user.as_bytes(), b"@"],
        );
        host_port(out, addr);
        if transport != Transport::Udp {
            append_fmt(out, format_args!(";transport={}", transport.uri_token()));
        }
        out.push(b'>');
        if let Contact::Binding { reg_id, .. } = contact {
            // D-U11
            let instance = &self.settings.instance;
            append_fmt(
                out,
                format_args!(";+sip.instance=\"<{instance}>\";reg-id={reg_id}"),
            );
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends the parts.
pub(super) fn append(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends formatted text.
pub(super) fn append_fmt(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "a Vec takes every byte");
}

/// `<uri>`.
pub(super) fn bracketed(uri: &[u8]) -> Vec<u8> {
    [b"<", uri, b">"].concat()
}
