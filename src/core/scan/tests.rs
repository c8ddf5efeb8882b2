//! Whole messages: what the outline holds, and which defect is named first.

use super::*;

const INVITE: &str = "INVITE sip:joe@example.com;x SIP/2.0\r\n\
Via: SIP/2.0/TCP e1.example.com:5070;branch=z9hG4bKa , SIP/2.0/UDP 192.0.2.1\r\n\
v: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKb\r\n\
Max-Forwards: 0068\r\n\
FROM : \"J, R\" <sip:jr@example.com>\r\n ;tag=1\r\n\
t: sip:joe@example.com\r\n\
Call-ID: a@b\r\n\
CSeq: 7\r\n\tINVITE\r\n\
Supported: path,\r\n Outbound\r\n\
Route: <sip:a,b@h;lr>,<sip:c>\r\n\
k: gruu\r\n\
Subject:\r\n\
Route: <sip:d>\r\n\
Content-Length: 4\r\n\
\r\n\
body";

fn scanned(text: &str) -> (Message, Result<(), Malformed>) {
    let mut message = Message::default();
    let verdict = scan(text.as_bytes(), &mut message);
    (message, verdict)
}

#[test]
fn the_outline_holds_what_routing_reads() {
    let (message, verdict) = scanned(INVITE);
    let part = |span: Span| &INVITE[span.range()];
    assert_eq!(verdict, Ok(()));
    assert_eq!(
        (message.method(), message.status(), message.is_request()),
        (Method::Invite, 0, true)
    );
    assert_eq!(
        (part(message.request_uri()), part(message.body())),
        ("sip:joe@example.com;x", "body")
    );
    assert_eq!((message.cseq(), part(message.cseq_method())), (7, "INVITE"));
    assert_eq!(
        message.target().map(|uri| part(uri.host)),
        Some("example.com")
    );
    assert_eq!(
        message.top_via().map(|via| part(via.value)),
        Some("SIP/2.0/TCP e1.example.com:5070;branch=z9hG4bKa")
    );
    assert_eq!(
        message.from().map(|from| part(from.display)),
        Some("\"J, R\"")
    );
    assert_eq!(
        message.to().map(|to| part(to.uri)),
        Some("sip:joe@example.com")
    );
    assert_eq!(&INVITE[message.headers_start()..][..4], "Via:");
    assert_eq!(&INVITE[message.headers_end()..], "\r\nbody");
}

#[test]
fn headers_are_found_by_name_and_in_order() {
    let (message, _) = scanned(INVITE);
    let bytes = INVITE.as_bytes();
    let part = |span: Span| &INVITE[span.range()];
    assert_eq!(message.headers().len(), 13);
    assert_eq!(
        message.first(Name::From).map(|from| part(from.line)),
        Some("FROM : \"J, R\" <sip:jr@example.com>\r\n ;tag=1\r\n")
    );
    assert_eq!(message.all(Name::Via).count(), 2);
    assert_eq!(message.via_lines(), 2);
    let routes: Vec<_> = message.values(bytes, Name::Route).map(part).collect();
    assert_eq!(routes, ["<sip:a,b@h;lr>", "<sip:c>", "<sip:d>"]);
    let vias: Vec<_> = message.values(bytes, Name::Via).map(part).collect();
    let [top, second, third] = vias[..] else {
        panic!("{vias:?}")
    };
    assert_eq!(top, "SIP/2.0/TCP e1.example.com:5070;branch=z9hG4bKa");
    assert_eq!(
        (second, third),
        (
            "SIP/2.0/UDP 192.0.2.1",
            "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKb"
        )
    );
    assert_eq!(message.first(Name::Path), None);
    assert_eq!(message.all(Name::Path).count(), 0);
    assert_eq!(
        message
            .first(Name::Other)
            .map(|other| (part(other.line), other.value.is_empty())),
        Some(("Subject:\r\n", true))
    );
    for (tag, want) in [
        ("outbound", true),
        ("GRUU", true),
        ("path", true),
        ("pat", false),
        ("", false),
    ] {
        assert_eq!(
            message.has_token(bytes, Name::Supported, tag),
            want,
            "{tag}"
        );
    }
    assert_eq!(message.number(bytes, Name::MaxForwards), Ok(Some(68)));
    assert_eq!(message.number(bytes, Name::Expires), Ok(None));
}

#[test]
fn an_outline_forgets_the_message_before() {
    let mut message = Message::default();
    assert_eq!(scan(INVITE.as_bytes(), &mut message), Ok(()));
    assert_eq!(scan(b"jaK", &mut message), Err(Malformed::NotSip));
    assert_eq!(
        (
            message.start(),
            message.headers().len(),
            message.first(Name::Via)
        ),
        (None, 0, None)
    );
    assert_eq!(
        (message.cseq(), message.top_via(), message.body()),
        (0, None, Span::default())
    );
}

#[test]
fn a_response_takes_its_method_from_cseq() {
    let text = INVITE.replacen(
        "INVITE sip:joe@example.com;x SIP/2.0",
        "SIP/2.0 183 Session Progress",
        1,
    );
    let (message, verdict) = scanned(&text);
    assert_eq!(
        (
            verdict,
            message.method(),
            message.status(),
            message.is_request()
        ),
        (Ok(()), Method::Invite, 183, false)
    );
    assert_eq!(
        (message.request_uri(), message.target()),
        (Span::default(), None)
    );
}

/// The INVITE with one piece replaced.
#[track_caller]
fn check(piece: &str, by: &str, want: Result<(), Malformed>) {
    assert!(INVITE.contains(piece), "{piece:?}");
    let text = INVITE.replacen(piece, by, 1);
    let (message, got) = scanned(&text);
    assert_eq!(got, want, "{piece:?} by {by:?}");
    assert!(message.is_request());
}

// RFC 3261 §8.1.1
#[test]
fn what_is_mandatory_may_neither_miss_nor_stand_twice() {
    for line in [
        "FROM : \"J, R\" <sip:jr@example.com>\r\n ;tag=1\r\n",
        "t: sip:joe@example.com\r\n",
        "Call-ID: a@b\r\n",
        "CSeq: 7\r\n\tINVITE\r\n",
    ] {
        check(line, "", Err(Malformed::Missing));
        let at = INVITE.find(line).unwrap() + line.len();
        check(
            line,
            &line.repeat(2),
            Err(Malformed::Repeated(Span::new(at, at + line.len()))),
        );
    }
    let (_, verdict) = scanned(&INVITE.replacen("Via:", "Vie:", 1).replacen("v:", "x:", 1));
    assert_eq!(verdict, Err(Malformed::Missing));
    check("Call-ID: a@b", "Call-ID: ", Err(Malformed::Missing));
    let max = INVITE.find("Max-Forwards").unwrap();
    check(
        "Max-Forwards: 0068\r\n",
        "Max-Forwards: 1\r\nMax-Forwards: 1\r\n",
        Err(Malformed::Repeated(Span::new(max + 17, max + 34))),
    );
    check(
        "Subject:",
        "Max-Forwards:",
        Err(Malformed::Repeated(span_of("Subject:\r\n", 5))),
    );
    check(
        "Content-Length: 4",
        "Content-Length: 4\r\nl: 4",
        Err(Malformed::ContentLength),
    );
    check(
        "Content-Length: 4",
        "Content-Length: four",
        Err(Malformed::ContentLength),
    );
}

/// Where a line of the INVITE stands when it has grown by `more` bytes.
fn span_of(line: &str, more: usize) -> Span {
    let at = INVITE.find(line).unwrap();
    Span::new(at, at + line.len() + more)
}

#[test]
fn cseq_must_name_the_method_and_a_number() {
    check("CSeq: 7\r\n\tINVITE", "CSeq: 7 ACK", Err(Malformed::CSeq));
    check(
        "CSeq: 7\r\n\tINVITE",
        "CSeq: 7 invite",
        Err(Malformed::CSeq),
    );
    check(
        "CSeq: 7\r\n\tINVITE",
        "CSeq: 2147483648 INVITE",
        Err(Malformed::CSeq),
    );
    check("CSeq: 7\r\n\tINVITE", "CSeq: 2147483647 INVITE", Ok(()));
}

#[test]
fn what_routing_reads_must_parse() {
    let via = INVITE.find("SIP/2.0/TCP").unwrap();
    check(
        "TCP e1",
        "TCP ;e1",
        Err(Malformed::Via(Span::new(via, via + 48))),
    );
    check("UDP 192.0.2.2", "UDP :::", Ok(()));
    check("<sip:a,b@h;lr>", "<sip:a,b@h;lr", Ok(()));
    let to = INVITE.find("sip:joe@example.com\r\n").unwrap();
    check(
        "t: sip:joe@example.com",
        "t: \"joe@example.com<>",
        Err(Malformed::Address(Span::new(to, to + 18))),
    );
    check(
        "joe@example.com;x",
        "joe@example.com?x",
        Err(Malformed::Uri(Span::new(7, 28))),
    );
    check(
        "sip:joe@example.com;x",
        "sip:2001:db8::10",
        Err(Malformed::Uri(Span::new(7, 23))),
    );
    check("sip:joe@example.com;x", "x-unknown:joe?x", Ok(()));
    check(
        "sip:joe@example.com;x",
        "<sip:joe@example.com>",
        Err(Malformed::StartLine),
    );
    check(
        "sip:joe@example.com;x",
        "sip:j\0e@example.com",
        Err(Malformed::StartLine),
    );
}

#[test]
fn lines_end_in_crlf_and_nothing_else() {
    check(
        "Subject:\r\n",
        "Subject: a\n",
        Err(Malformed::HeaderLine(span_of("Subject:\r\n", 1))),
    );
    check(
        "Subject:\r\n",
        "Subject: a\rb\r\n",
        Err(Malformed::HeaderLine(span_of("Subject:\r\n", 4))),
    );
    check("x SIP/2.0\r\n", "x SIP/2.0\n", Err(Malformed::StartLine));
    let bare = INVITE.replace("\r\n", "\n");
    let (message, verdict) = scanned(&bare);
    assert_eq!(
        (verdict, message.headers().len()),
        (Err(Malformed::StartLine), 13)
    );
    assert_eq!(&bare[message.body().range()], "body");
    assert!(message.top_via().is_some() && message.from().is_some() && message.to().is_some());
}

#[test]
fn a_header_line_needs_a_colon_and_a_name() {
    for line in [
        "Subject\r\n",
        ": x\r\n",
        "Sub ject:\r\n",
        "Sub\u{e9}ct: x\r\n",
    ] {
        let at = INVITE.find("Subject").unwrap();
        check(
            "Subject:\r\n",
            line,
            Err(Malformed::HeaderLine(Span::new(at, at + line.len()))),
        );
    }
    check("Subject:\r\n", "Sub%-!ect:\r\n", Ok(()));
    check("Subject:\r\n", "X: \"quotes do not matter\r\n", Ok(()));
    check("Subject:\r\n", "X: \0\u{7f}\u{fffd}\r\n", Ok(()));
}

#[test]
fn what_is_needed_for_an_answer_is_found_behind_a_defect() {
    let (message, verdict) = scanned(&INVITE.replacen("INVITE sip", "INVITE  sip", 1));
    assert_eq!(verdict, Err(Malformed::StartLine));
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
        assert!(message.first(name).is_some(), "{name:?}");
    }
    assert_eq!((message.cseq(), message.method()), (7, Method::Invite));
    assert!(message.top_via().is_some());
}

#[test]
fn a_message_that_just_stops_is_truncated() {
    let (message, verdict) = scanned(INVITE.strip_suffix("\r\nbody").unwrap());
    assert_eq!(
        (verdict, message.body()),
        (Err(Malformed::Truncated), Span::default())
    );
    assert!(message.top_via().is_some());
}

#[test]
fn limits_are_exact() {
    let filled = |lines: usize| INVITE.replacen("Subject:\r\n", &"X: y\r\n".repeat(lines), 1);
    assert_eq!(scanned(&filled(limits::HEADERS_MAX - 12)).1, Ok(()));
    let (message, verdict) = scanned(&filled(limits::HEADERS_MAX - 11));
    assert_eq!(verdict, Err(Malformed::TooMany));
    assert!(message.first(Name::ContentLength).is_some());
    let (flooded, _) = scanned(&filled(5_000));
    assert!(flooded.headers().len() <= limits::HEADERS_MAX + 26);
    let long = format!("{INVITE}{}", "x".repeat(limits::MESSAGE_MAX - INVITE.len()));
    assert_eq!(scanned(&long).1, Ok(()));
    assert_eq!(scanned(&format!("{long}x")).1, Err(Malformed::TooLong));
}

#[test]
fn numbers_must_be_numbers() {
    for (value, want) in [
        ("70", Ok(70)),
        ("4294967295", Ok(u32::MAX)),
        ("4294967296", Err(())),
        ("-1", Err(())),
        ("", Err(())),
        ("7 0", Err(())),
    ] {
        let text = INVITE.replacen("0068", value, 1);
        let (message, _) = scanned(&text);
        let span = message.first(Name::MaxForwards).unwrap().value;
        let want = want.map(Some).map_err(|()| Malformed::Number(span));
        assert_eq!(
            message.number(text.as_bytes(), Name::MaxForwards),
            want,
            "{value:?}"
        );
    }
}

/// Cuts and single wrong bytes: whatever comes, every span stays inside.
#[test]
fn no_mutation_panics_or_points_outside() {
    let mut message = Message::default();
    for at in 0..INVITE.len() {
        for byte in [
            0, b'\r', b'\n', b' ', b'"', b'<', b'\\', b':', b';', b',', b'[', 0xff,
        ] {
            let mut bytes = INVITE.as_bytes().to_vec();
            *bytes.get_mut(at).unwrap() = byte;
            for cut in [&bytes[..at], &bytes[at..], &bytes[..]] {
                if scan(cut, &mut message) == Ok(()) {
                    assert!(
                        message.top_via().is_some()
                            && message.from().is_some()
                            && message.to().is_some()
                    );
                }
                let ends = message
                    .headers()
                    .iter()
                    .map(|header| header.line.range().end);
                assert!(
                    ends.chain([message.headers_end()])
                        .all(|end| end <= cut.len())
                );
            }
        }
    }
}

/// Where the message ends that these header lines and bytes make.
#[track_caller]
fn check_end(rest: &str, want: Result<&str, Malformed>) {
    let text = format!("{NO_LENGTH}{rest}");
    let (mut message, _) = scanned(&text);
    let end = message.end();
    assert_eq!(end.map(|_| &text[message.body().range()]), want, "{rest:?}");
    let body_end = message.body().range().end;
    assert_eq!(end.unwrap_or(body_end), body_end);
}

const NO_LENGTH: &str = "BYE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n\
    From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: a\r\nCSeq: 1 BYE\r\n";

//
#[test]
fn a_message_ends_where_its_content_length_says() {
    check_end("l: 0\r\n\r\nmore", Ok(""));
    check_end("Content-Length : \r\n 5\r\n\r\nhello\r\nmore", Ok("hello"));
    check_end("\r\nto the end", Ok("to the end"));
    check_end("l: 6\r\n\r\nhello", Err(Malformed::Truncated));
    check_end(
        "l: 99999999999999999999999\r\n\r\n",
        Err(Malformed::Truncated),
    );
    check_end("l: 0\r\n", Err(Malformed::Truncated));
}

#[test]
fn a_length_that_is_none_cuts_nothing() {
    for lengths in [
        "l: -1",
        "l: 1x",
        "l:",
        "X: y\r\n l: 2\r\nLength: 3\r\nContent-Lengthy: 4",
    ] {
        check_end(&format!("{lengths}\r\n\r\nhello"), Ok("hello"));
    }
}
