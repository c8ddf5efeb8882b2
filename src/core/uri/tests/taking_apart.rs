//! The text taken apart at its separators says the same as the URI that was read.

use crate::span::Span;
use crate::uri::own_params::FLOW_PARAM;
use crate::uri::parts::{Ending, Front};
use crate::uri::{RoutingParts, Scheme, Uri};

fn read(text: &str) -> Option<Uri> {
    Uri::of(text.as_bytes()).ok()
}

/// True when it is a URI at all.
#[track_caller]
fn check(text: &str) -> bool {
    let Some(uri) = read(text) else {
        return false;
    };
    let part = |span: Span| span.of(text.as_bytes());
    let front = Front::of(text.as_bytes());
    assert_eq!(front.scheme, uri.scheme, "{text}");
    if matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
        let ending = Ending::of(front.ending);
        assert_eq!(
            (front.userinfo, ending.host_port, ending.host()),
            (
                uri.userinfo.map(part),
                part(uri.host_port),
                Some((part(uri.host), uri.port))
            ),
            "{text}"
        );
        assert_eq!(
            (ending.params, ending.headers),
            (part(uri.params), part(uri.headers)),
            "{text}"
        );
    }
    true
}

#[test]
fn the_two_readers_agree_on_every_uri() {
    let schemes = ["sip:", "SIP:", "sIps:", "tel:", "urn:", "sipx:", "x", ""];
    let users = [
        "", "joe@", "joe:pw@", "a;b=c?d@", "a%40b@", ":@", "@", "a@b@",
    ];
    let hosts = [
        "h",
        "H.example.",
        "192.0.2.1",
        "[::1]",
        "[::1",
        "::1",
        "[a;b]",
        "_",
        "",
    ];
    let ports = ["", ":5060", ":05060", ":0", ":65536", ":", ":+5", ":5x"];
    let params = ["", ";lr", ";a=b;c", ";a==b", ";", ";a;;b", ";a=b:c/d"];
    let headers = ["", "?", "?a=b&c", "?a=b?c=d", "?a;b=c:d", "?x=@"];
    let mut sound = 0;
    for scheme in schemes {
        for user in users {
            for host in hosts {
                for port in ports {
                    for param in params {
                        for header in headers {
                            let text = [scheme, user, host, port, param, header].concat();
                            sound += usize::from(check(&text));
                        }
                    }
                }
            }
        }
    }
    assert!(sound > 10_000, "{sound}");
}

#[test]
fn a_way_is_read_as_the_router_reads_it() {
    let pieces = [
        "maddr",
        "maddr=",
        "MADDR=1.1.1.1",
        "maddr=2.2.2.2",
        "transport",
        "Transport=tcp",
        "transport=tls",
        "flow",
        "flow=f1",
        "flows=f2",
        "%6daddr=3.3.3.3",
        "m",
        "maddr =4.4.4.4",
        "x=\"",
        "\"",
        "",
        "lr?maddr=5.5.5.5",
    ];
    let mut sound = 0;
    for (first, second, third) in pieces.iter().flat_map(|first| {
        let rest = pieces.iter();
        let pairs = rest.flat_map(|second| pieces.iter().map(move |third| (second, third)));
        pairs.map(move |(second, third)| (first, second, third))
    }) {
        let text = format!("sip:joe@h.example:5070;{first};{second};{third}");
        let bytes = text.as_bytes();
        let Ok(uri) = Uri::of(bytes) else {
            continue;
        };
        sound += 1;
        let read = |name| {
            let value = uri.param(bytes, name).flatten();
            value.map_or(&b""[..], |value| value.of(bytes))
        };
        let way = RoutingParts::of(bytes);
        assert_eq!(
            [way.maddr, way.transport, way.flow],
            [read("maddr"), read("transport"), read(FLOW_PARAM)],
            "{text}"
        );
        assert_eq!(way.host, uri.host_port.of(bytes), "{text}");
    }
    assert!(sound > 12 * 12 * 12, "{sound}");
}
