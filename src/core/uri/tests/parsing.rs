//! URIs by example, good and bad.

use crate::error::Malformed;
use crate::span::Span;
use crate::uri::host::ipv4;
use crate::uri::{Scheme, Uri, same_host};

fn parse(text: &str) -> Result<Uri, Malformed> {
    Uri::of(text.as_bytes())
}

/// user, host, port, params, headers.
type Parts<'a> = (Option<&'a str>, &'a str, Option<u16>, &'a str, &'a str);

#[track_caller]
fn reads(text: &str, want: Parts<'_>) {
    let part = |span: Span| &text[span.range()];
    let uri = parse(text).unwrap();
    assert_eq!(
        (
            uri.user.map(part),
            part(uri.host),
            uri.port,
            part(uri.params),
            part(uri.headers)
        ),
        want,
        "{text:?}"
    );
}

#[test]
fn sip_uris_come_apart() {
    reads("sip:example.com", (None, "example.com", None, "", ""));
    reads(
        "SIP:a@Example.COM.:5070;lr;x=y?h=v&i=w",
        (Some("a"), "Example.COM.", Some(5070), ";lr;x=y", "?h=v&i=w"),
    );
    reads("sips:a:secret@h", (Some("a"), "h", None, "", ""));
    reads("sip:a@h:0", (Some("a"), "h", Some(0), "", ""));
    reads(
        "sip:a@[2001:db8::10]:5070",
        (Some("a"), "[2001:db8::10]", Some(5070), "", ""),
    );
    reads(
        "sip:[2001:db8::10:5070]",
        (None, "[2001:db8::10:5070]", None, "", ""),
    );
    reads(
        "sip:+1972@192.0.2.1;user=phone",
        (Some("+1972"), "192.0.2.1", None, ";user=phone", ""),
    );
    reads(
        "sip:joe+e1+3+%3Curn%3E@edge.example.com;lr;ob",
        (
            Some("joe+e1+3+%3Curn%3E"),
            "edge.example.com",
            None,
            ";lr;ob",
            "",
        ),
    );
    reads(
        "sip:under_score.example",
        (None, "under_score.example", None, "", ""),
    );
}

// RFC 4475 §3.1.1.2, §3.1.1.3, §3.1.1.9
#[test]
fn user_parts_may_hold_what_would_end_a_host() {
    reads(
        "sip:user;par=u%40example.net@example.com",
        (
            Some("user;par=u%40example.net"),
            "example.com",
            None,
            "",
            "",
        ),
    );
    reads(
        "sip:sips%3Auser%40example.com@example.net",
        (
            Some("sips%3Auser%40example.com"),
            "example.net",
            None,
            "",
            "",
        ),
    );
    let odd = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*";
    reads(
        &format!("sip:{odd}:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com"),
        (Some(odd), "example.com", None, "", ""),
    );
    reads("sip:*#31#123@h", (Some("*#31#123"), "h", None, "", ""));
}

#[test]
fn what_could_lead_elsewhere_is_refused() {
    for text in [
        "",
        "sip:",
        "sip",
        "sip:@h",
        "sip::secret@h",
        "sip:a@",
        "sip:a@b@c",
        "sip:a@b;x=c@d",
        "sip:a@h:",
        "sip:a@h:65536",
        "sip:a@h:5060x",
        "sip:2001:db8::10",
        "sip:a@2001:db8::10",
        "sip:a@[2001:db8::10",
        "sip:a@[2001:db8:::192.0.2.1]",
        "sip:a@[fe80::1%25eth0]",
        "sip:a@[192.0.2.1]",
        "sip:a@192.0.2.256",
        "sip:a@192.0.2",
        "sip:a@192.0.2.1.",
        "sip:a@ho%73t",
        "sip:a@h ost",
        "sip:a b@h",
        "sip:a@h;;lr",
        "sip:a@h;lr;",
        "sip:a@h;x=\"y\"",
        "sip:a@h<x>",
        "sip:a@h\0",
        "sip:ä@h",
        "1tel:x",
        "a b:c",
        "alan.jasomi.com",
    ] {
        assert_eq!(
            parse(text),
            Err(Malformed::Uri(Span::new(0, text.len()))),
            "{text:?}"
        );
    }
}

#[test]
fn other_schemes_are_opaque() {
    for (text, scheme) in [
        ("tel:+12015550123;phone-context=x", Scheme::Tel),
        ("nobodyKnowsThisScheme:totallyopaquecontent", Scheme::Other),
        ("soap.beep://192.0.2.103:3002", Scheme::Other),
        ("sipx:a@b@c", Scheme::Other),
    ] {
        assert_eq!(
            parse(text).map(|uri| (uri.scheme, uri.host)),
            Ok((scheme, Span::default())),
            "{text:?}"
        );
    }
}

#[test]
fn parameters_are_found_by_name() {
    let text = "sip:a@h;Transport=TCP;LR=on;maddr=[::1]?lr=no";
    let uri = parse(text).unwrap();
    let value = |name| {
        uri.param(text.as_bytes(), name)
            .map(|value| value.map(|span| &text[span.range()]))
    };
    assert_eq!(value("transport"), Some(Some("TCP")));
    assert_eq!(value("maddr"), Some(Some("[::1]")));
    assert_eq!(value("ob"), None);
    assert!(uri.is_loose(text.as_bytes()));
    let header = "sip:a@h?x=;lr";
    assert!(!parse(header).unwrap().is_loose(header.as_bytes()));
}

#[test]
fn hosts_compare_as_names_or_as_addresses() {
    for (a, b, want) in [
        ("Edge.example.com", "edge.EXAMPLE.com.", true),
        ("edge.example.com", "xedge.example.com", false),
        ("[2001:db8::1]", "2001:0DB8:0::1", true),
        ("[2001:db8::1]", "[2001:db8::2]", false),
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "[::ffff:192.0.2.1]", false),
        ("192.0.2.1", "192.0.2.10", false),
    ] {
        assert_eq!(same_host(a.as_bytes(), b.as_bytes()), want, "{a} {b}");
    }
}

/// The standard library is the slow reference.
#[test]
fn ipv4_addresses_are_what_the_standard_library_says() {
    for text in [
        "0.0.0.0",
        "255.255.255.255",
        "1.2.3.4",
        "192.0.2.10",
        "256.1.1.1",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.4.",
        ".1.2.3",
        "1..2.3",
        "01.2.3.4",
        "1.2.3.00",
        "1.2.3.0004",
        "1.2.3.4x",
        "1.2.3.-4",
        "1.2.3. 4",
        "1",
        "",
        "999.0.0.1",
        "1.2.3.260",
        "1.2.3.1000",
    ] {
        assert_eq!(ipv4(text.as_bytes()), text.parse().ok(), "{text:?}");
    }
}
