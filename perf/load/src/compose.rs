//! The messages of a load, as a phone would write them.

use std::net::SocketAddrV4;

use steadfast_core::edit::decimal;
use steadfast_core::id::Transport;

use super::outline::{Head, Mark, MessageOutline, Method};

/// What the messages of a run have in common.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// Domain of every address of record.
    pub(super) domain: Vec<u8>,
    /// What the phones speak.
    pub(super) transport: Transport,
    /// What each request outside a dialog carries as Route, complete lines.
    pub(super) route: Vec<u8>,
}

/// A session description of a usual length; nobody sends media.
const SDP: &[u8] = b"v=0\r\n\
o=load 3724394400 3724394405 IN IP4 127.0.0.1\r\n\
s=-\r\n\
c=IN IP4 127.0.0.1\r\n\
t=0 0\r\n\
m=audio 49170 RTP/AVP 8 0 18 101\r\n\
a=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:18 G729/8000\r\n\
a=fmtp:18 annexb=no\r\n\
a=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-15\r\n\
a=ptime:20\r\n\
a=rtcp:49171\r\n\
a=sendrecv\r\n";

pub(super) fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// The user part of the address of record of phone `number`: u0001 is the
/// first one's.
pub(super) fn user(out: &mut Vec<u8>, number: u32) {
    let number = number + 1;
    out.push(b'u');
    for more in [1_000, 100, 10] {
        if number < more {
            out.push(b'0');
        }
    }
    decimal(out, number);
}

/// A request on its way out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) world: &'a World,
    pub(super) method: Method,
    /// The sender's own address.
    pub(super) own: SocketAddrV4,
    pub(super) mark: Mark,
    /// The user who sends it.
    pub(super) from: u32,
}

impl Request<'_> {
    /// Via to From, for every request. `cseq` makes the branch another one in
    /// each transaction of an attempt; an ACK to a refusal has its INVITE's.
    pub(super) fn head(&self, uri: &[u8], cseq: u32, branch: u8, out: &mut Vec<u8>) {
        let token = self.method.token().as_bytes();
        put(out, &[token, b" ", uri, b" SIP/2.0\r\nVia: SIP/2.0/"]);
        put(out, &[self.world.transport.via_token().as_bytes(), b" "]);
        steadfast_core::edit::host_port(out, self.own.into());
        out.extend_from_slice(b";branch=z9hG4bK");
        self.mark.write(out);
        decimal(out, cseq);
        out.push(branch);
        out.extend_from_slice(b";rport\r\nMax-Forwards: 70\r\nFrom: <sip:");
        user(out, self.from);
        put(out, &[b"@", &self.world.domain, b">;tag="]);
        self.mark.write(out);
        out.extend_from_slice(b"\r\n");
    }

    /// Call-ID and CSeq of a call.
    fn dialog(&self, cseq: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Call-ID: ");
        self.mark.write(out);
        out.extend_from_slice(b"@load\r\nCSeq: ");
        decimal(out, cseq);
        put(out, &[b" ", self.method.token().as_bytes(), b"\r\n"]);
    }

    /// The sender's Contact, with these parameters outside the brackets.
    pub(super) fn contact(&self, params: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"Contact: <sip:");
        user(out, self.from);
        out.push(b'@');
        steadfast_core::edit::host_port(out, self.own.into());
        if self.world.transport != Transport::Udp {
            put(
                out,
                &[b";transport=", self.world.transport.uri_token().as_bytes()],
            );
        }
        put(out, &[b">", params, b"\r\n"]);
    }

    /// A whole INVITE to `uri`, through `routes`.
    pub(super) fn invite(&self, uri: &[u8], routes: &[u8], out: &mut Vec<u8>) {
        self.head(uri, 1, b'i', out);
        put(out, &[routes, b"To: <", uri, b">\r\n"]);
        self.dialog(1, out);
        self.contact(b"", out);
        put(
            out,
            &[b"Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, UPDATE\r\n\
                  Supported: path, outbound, timer\r\nUser-Agent: steadfast load\r\n\
                  Content-Type: application/sdp\r\nContent-Length: "],
        );
        decimal(out, SDP.len() as u64);
        put(out, &[b"\r\n\r\n", SDP]);
    }

    /// A whole request without a body inside a dialog, or the ACK of a
    /// refusal; `to` is a whole line.
    pub(super) fn within(
        &self,
        (uri, routes, to): (&[u8], &[u8], &[u8]),
        (cseq, branch): (u32, u8),
        out: &mut Vec<u8>,
    ) {
        self.head(uri, cseq, branch, out);
        put(out, &[routes, to]);
        self.dialog(cseq, out);
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

/// Answers a request from its own lines; `contact` is empty or a whole line.
pub(super) fn answer(
    (outline, bytes): (&MessageOutline, &[u8]),
    (status, reason): (u16, &str),
    contact: &[u8],
    body: bool,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"SIP/2.0 ");
    decimal(out, status);
    put(out, &[b" ", reason.as_bytes(), b"\r\n"]);
    outline.repeat(bytes, Head::Via, out);
    outline.repeat(bytes, Head::RecordRoute, out);
    outline.repeat(bytes, Head::From, out);
    for line in outline.lines(bytes, Head::To) {
        let has_tag = memchr::memmem::find(line, b";tag=").is_some();
        let tag: &[u8] = if has_tag { b"" } else { b";tag=callee" };
        put(out, &[line, tag, b"\r\n"]);
    }
    outline.repeat(bytes, Head::CallId, out);
    outline.repeat(bytes, Head::CSeq, out);
    out.extend_from_slice(contact);
    if body {
        out.extend_from_slice(b"Content-Type: application/sdp\r\nContent-Length: ");
        decimal(out, SDP.len() as u64);
        put(out, &[b"\r\n\r\n", SDP]);
    } else {
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

/// A request over TLS that anybody answers at once and keeps nothing of.
pub(super) fn knock(number: u32) -> String {
    format!(
        "OPTIONS sip:edge.example.com SIP/2.0\r\nVia: SIP/2.0/TLS idle.invalid;branch=z9hG4bKi{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:i@example.com>;tag=1\r\nTo: <sip:edge.example.com>\r\n\
         Call-ID: idle-{number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The answers of the callee.
pub(super) const RINGING: (u16, &str) = (180, "Ringing");
/// To an INVITE and a BYE.
pub(super) const OK: (u16, &str) = (200, "OK");

#[cfg(test)]
mod tests {
    use super::*;
    use steadfast_core::scan::{Message, scan};

    fn world() -> World {
        World {
            domain: b"example.com".to_vec(),
            transport: Transport::Udp,
            route: Vec::new(),
        }
    }

    const MARK: Mark = Mark {
        run: 1,
        slot: 2,
        number: 3,
    };

    #[test]
    fn an_invite_is_a_usual_one_and_the_proxys_own_scan_likes_it() {
        let (world, mut invite) = (world(), Vec::new());
        let request = Request {
            world: &world,
            method: Method::Invite,
            own: "127.16.0.1:40000".parse().unwrap(),
            mark: MARK,
            from: 7,
        };
        request.invite(b"sip:u0009@example.com", b"", &mut invite);
        let from = memchr::memmem::find(&invite, b"From: <sip:u0008@example.com>;tag=");
        assert!(from.is_some(), "phones count from 1");
        let mut message = Message::default();
        scan(&invite, &mut message).unwrap();
        assert!((750..=850).contains(&invite.len()), "{}", invite.len());
        let mut answered = Vec::new();
        let mut outline = MessageOutline::default();
        outline.read(&invite).unwrap();
        answer(
            (&outline, &invite),
            OK,
            b"Contact: <sip:a>\r\n",
            true,
            &mut answered,
        );
        scan(&answered, &mut message).unwrap();
        let (_, mark) = outline.read(&answered).unwrap();
        assert_eq!(mark, MARK);
        assert_eq!(
            outline.value(&answered, Head::To),
            Some(&b"<sip:u0009@example.com>;tag=callee"[..])
        );
    }
}
