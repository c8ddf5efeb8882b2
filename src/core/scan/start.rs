//! The start line (RFC 3261 §7.1, §7.2) and CSeq (§20.16), which repeats the
//! half of it that responses lack.

use super::{Method, StartLine};
use crate::error::Malformed;
use crate::frame;
use crate::grammar::class::ByteClass;
use crate::grammar::cursor::Cursor;
use crate::grammar::find::find;
use crate::limits;
use crate::span::Span;

/// Largest CSeq number, exclusive (RFC 3261 §8.1.1.5).
const CSEQ_END: u32 = 1 << 31;

/// What the start line at `line` says as far as it can be told, and its
/// defect. `Err` when it is not SIP at all. The Request-URI is only cut out,
/// not looked into.
pub(super) fn parse(
    bytes: &[u8],
    line: Span,
) -> Result<(StartLine, Result<(), Malformed>), Malformed> {
    let text = line.of(bytes);
    let mut cursor = Cursor::new(bytes, line);
    let first = word(&mut cursor);
    if is_version(first.of(bytes)) {
        return Ok(response(bytes, first, cursor));
    }
    let end = find(cursor.rest(), b' ');
    let uri = up_to(&mut cursor, end);
    let version = cursor.rest();
    let method = Method::from_token(first.of(bytes));
    let sound =
        !uri.is_empty() && (method != Method::Other || ByteClass::TOKEN.holds_all(first.of(bytes)));
    let request = |uri| StartLine::Request {
        method,
        method_token: first,
        uri,
    };
    if sound && version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Ok((request(uri), Ok(())));
    }
    if !frame::is_sip_line(text) {
        return Err(Malformed::NotSip);
    }
    if sound && is_version(version) && !version.iter().any(|&byte| ByteClass::SPACE.holds(byte)) {
        return Ok((request(uri), Err(Malformed::Version)));
    }
    Ok((request(Span::default()), Err(Malformed::StartLine)))
}

/// A Status-Line behind its version. The space before an empty reason may be
/// missing: nothing depends on it.
fn response(
    bytes: &[u8],
    version: Span,
    mut cursor: Cursor<'_>,
) -> (StartLine, Result<(), Malformed>) {
    let digits = word(&mut cursor);
    let reason = cursor.rest_span();
    let status = match digits.of(bytes) {
        code if code.len() == 3 => frame::decimal(code).and_then(|code| u16::try_from(code).ok()),
        _ => None,
    };
    let status = status.filter(|status| (100..=limits::STATUS_MAX).contains(status));
    let verdict = if !version.of(bytes).eq_ignore_ascii_case(b"SIP/2.0") {
        Err(Malformed::Version)
    } else if status.is_none() {
        Err(Malformed::Status)
    } else {
        Ok(())
    };
    (
        StartLine::Response {
            status: status.unwrap_or_default(),
            reason,
        },
        verdict,
    )
}

/// The bytes up to the next space, which is passed over: a method, a version or a status,
/// which are shorter than a call.
fn word(cursor: &mut Cursor<'_>) -> Span {
    let end = cursor.rest().iter().position(|&byte| byte == b' ');
    up_to(cursor, end)
}

/// The bytes up to the space at `end`, which is passed over, or all that are left.
fn up_to(cursor: &mut Cursor<'_>, end: Option<usize>) -> Span {
    let start = cursor.at();
    cursor.skip(end.unwrap_or_else(|| cursor.rest().len()));
    let word = cursor.since(start);
    cursor.skip(1);
    word
}

fn is_version(text: &[u8]) -> bool {
    text.get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
}

/// Number and method of a CSeq value.
pub(super) fn cseq(bytes: &[u8], value: Span) -> Option<(u32, Span)> {
    let mut cursor = Cursor::new(bytes, value);
    let number = cursor.number().filter(|&number| number < CSEQ_END)?;
    let before = cursor.at();
    cursor.skip_space();
    let spaced = cursor.at() > before;
    let method = cursor.rest_span();
    (spaced && ByteClass::TOKEN.holds_all(method.of(bytes))).then_some((number, method))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = (&'a str, &'a str);

    #[track_caller]
    fn check(line: &str, want: Result<(Parts<'_>, Result<(), Malformed>), Malformed>) {
        let bytes = line.as_bytes();
        let text = |span: Span| std::str::from_utf8(span.of(bytes)).unwrap();
        let got = parse(bytes, Span::new(0, bytes.len()));
        let got = got.map(|(start, verdict)| match start {
            StartLine::Request {
                method_token, uri, ..
            } => ((text(method_token), text(uri)), verdict),
            StartLine::Response { status: 0, reason } => (("-", text(reason)), verdict),
            StartLine::Response { reason, .. } => (("SIP", text(reason)), verdict),
        });
        assert_eq!(got, want, "{line:?}");
    }

    #[test]
    fn request_lines() {
        check(
            "INVITE sip:a@b SIP/2.0",
            Ok((("INVITE", "sip:a@b"), Ok(()))),
        );
        check(
            "invite sip:a@b sip/2.0",
            Ok((("invite", "sip:a@b"), Ok(()))),
        );
        check(
            "INVITE sip:a@b SIP/7.0",
            Ok((("INVITE", "sip:a@b"), Err(Malformed::Version))),
        );
        for line in [
            "INVITE  sip:a@b SIP/2.0",
            "INVITE sip:a@b  SIP/2.0",
            "INVITE sip:a@b SIP/2.0 ",
            " INVITE sip:a@b SIP/2.0",
            "INVITE sip:a@b; lr SIP/2.0",
            "INVITE sip:a@b",
            "INVITE SIP/2.0",
        ] {
            let method = line.split(' ').next().unwrap();
            check(line, Ok(((method, ""), Err(Malformed::StartLine))));
        }
        check(
            "IN\tVITE sip:a@b SIP/2.0",
            Ok((("IN\tVITE", ""), Err(Malformed::StartLine))),
        );
    }

    #[test]
    fn what_does_not_claim_to_be_sip_is_not() {
        for line in [
            "GET / HTTP/1.1",
            "OPTIONS rtsp://a RTSP/1.0",
            "hello",
            "",
            "INVITE",
            "jaK",
        ] {
            check(line, Err(Malformed::NotSip));
        }
    }

    #[test]
    fn status_lines() {
        check(
            "SIP/2.0 180 Ringing now",
            Ok((("SIP", "Ringing now"), Ok(()))),
        );
        check("sip/2.0 100 ", Ok((("SIP", ""), Ok(()))));
        check("SIP/2.0 699", Ok((("SIP", ""), Ok(()))));
        check("SIP/2.0 700 x", Ok((("-", "x"), Err(Malformed::Status))));
        check("SIP/2.0 099 x", Ok((("-", "x"), Err(Malformed::Status))));
        check(
            "SIP/2.0 4294967301 x",
            Ok((("-", "x"), Err(Malformed::Status))),
        );
        check(
            "SIP/2.0  200 x",
            Ok((("-", "200 x"), Err(Malformed::Status))),
        );
        check("SIP/3.0 200 x", Ok((("SIP", "x"), Err(Malformed::Version))));
    }

    #[test]
    fn cseq_numbers_stay_below_two_to_the_31() {
        let parse = |text: &[u8]| {
            cseq(text, Span::new(0, text.len()))
                .map(|(number, method)| (number, method.of(text).to_vec()))
        };
        assert_eq!(parse(b"0009\r\n  INVITE"), Some((9, b"INVITE".to_vec())));
        assert_eq!(
            parse(b"2147483647 ACK"),
            Some((2_147_483_647, b"ACK".to_vec()))
        );
        for bad in [
            &b"2147483648 ACK"[..],
            b"36893488147419103232 REGISTER",
            b"1",
            b"1ACK",
            b"ACK",
            b"-1 ACK",
            b"1 ACK x",
            b"",
        ] {
            assert_eq!(parse(bad), None, "{}", bad.escape_ascii());
        }
    }
}
