//! Requests that follow from one already sent: ACK to a non-2xx final
//! (RFC 3261 §17.1.1.3) and CANCEL (§9.1). Both go where the request went,
//! with its single top Via, Request-URI and Route set.

use super::decimal;
use crate::scan::{Message, Name, StartLine};

/// Which of the two.
#[derive(Clone, Copy, Debug)]
pub enum Derived<'a> {
    /// ACK; its To is that of the response.
    Ack {
        /// The To header line of the response, CRLF included.
        to: &'a [u8],
    },
    /// CANCEL.
    Cancel {
        /// Reason header lines, CRLF included (RFC 3326).
        reason: &'a [u8],
    },
}

/// Writes it for the request `sent`, outlined by `message`.
pub fn write(derived: Derived<'_>, sent: &[u8], message: &Message, out: &mut Vec<u8>) {
    let Some(StartLine::Request { uri, .. }) = message.start() else {
        return;
    };
    let method = match derived {
        Derived::Ack { .. } => "ACK",
        Derived::Cancel { .. } => "CANCEL",
    };
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(uri.of(sent));
    out.extend_from_slice(b" SIP/2.0\r\n");
    let mut top = true;
    for header in message.headers() {
        let line = header.line.of(sent);
        match (header.name, derived) {
            // The proxy's own Via stands alone on the first line.
            (Name::Via, _) if top => {
                top = false;
                out.extend_from_slice(line);
            }
            (Name::To, Derived::Ack { to }) => out.extend_from_slice(to),
            (Name::Route | Name::From | Name::CallId | Name::To, _) => out.extend_from_slice(line),
            _ => {}
        }
    }
    if let Derived::Cancel { reason } = derived {
        out.extend_from_slice(reason);
    }
    out.extend_from_slice(b"Max-Forwards: 70\r\nCSeq: ");
    decimal(out, message.cseq());
    out.push(b' ');
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::scan;

    const SENT: &[u8] = b"INVITE sip:ann@h SIP/2.0\r\nVia: SIP/2.0/UDP me;branch=z9hG4bK1\r\nRoute: <sip:p;lr>\r\n\
        Via: SIP/2.0/UDP them;branch=z9hG4bK0\r\nFrom: <sip:x@y>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\n\
        CSeq: 9 INVITE\r\nRequire: x\r\nContent-Length: 0\r\n\r\n";

    #[track_caller]
    fn check(derived: Derived<'_>, want: &str) {
        let mut message = Message::default();
        scan(SENT, &mut message).unwrap();
        let mut out = Vec::new();
        write(derived, SENT, &message, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn ack_takes_the_to_of_the_response() {
        // P-35
        check(
            Derived::Ack {
                to: b"To: <sip:a@b>;tag=9\r\n",
            },
            "ACK sip:ann@h SIP/2.0\r\nVia: SIP/2.0/UDP me;branch=z9hG4bK1\r\nRoute: <sip:p;lr>\r\n\
             From: <sip:x@y>;tag=1\r\nTo: <sip:a@b>;tag=9\r\nCall-ID: c\r\nMax-Forwards: 70\r\nCSeq: 9 ACK\r\n\
             Content-Length: 0\r\n\r\n",
        );
    }

    #[test]
    fn cancel_keeps_the_route_and_leaves_require() {
        // P-33
        check(
            Derived::Cancel {
                reason: b"Reason: SIP;cause=200\r\n",
            },
            "CANCEL sip:ann@h SIP/2.0\r\nVia: SIP/2.0/UDP me;branch=z9hG4bK1\r\nRoute: <sip:p;lr>\r\n\
             From: <sip:x@y>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nReason: SIP;cause=200\r\nMax-Forwards: 70\r\nCSeq: 9 CANCEL\r\n\
             Content-Length: 0\r\n\r\n",
        );
    }
}
