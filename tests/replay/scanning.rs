//! `scan` against its twin: every verdict, every span.

use steadfast::scan::address::{self, Address};
use steadfast::scan::via::Via;
use steadfast::scan::{self, Message, Name};
use steadfast::span::Span;
use steadfast::uri::Uri;

use super::text::Text;
use super::twin::{self, Outline};
use super::values;

/// The headers whose values are addresses.
const ADDRESSES: [Name; 5] = [
    Name::Contact,
    Name::OutboundProxy,
    Name::Path,
    Name::RecordRoute,
    Name::Route,
];

/// Scans the bytes both ways, true when they are a sound message.
///
/// # Panics
/// When the two do not agree on the verdict, the outline or a value in it.
pub(crate) fn check(bytes: &[u8], message: &mut Message) -> bool {
    let verdict = scan::scan(bytes, message);
    let (want, want_verdict) = twin::scan(bytes);
    assert_eq!(verdict, want_verdict, "{}", bytes.escape_ascii());
    assert_eq!(Outline::of(message), want, "{}", bytes.escape_ascii());
    let routes = message.routes().iter().map(|route| route.value);
    let values = message.values(bytes, Name::Route);
    assert!(
        !message.is_request() || routes.eq(values),
        "{}",
        bytes.escape_ascii()
    );
    for name in [Name::Via, Name::Supported].into_iter().chain(ADDRESSES) {
        lists(bytes, message, &want, name);
    }
    verdict.is_ok()
}

fn lists(bytes: &[u8], message: &Message, want: &Outline, name: Name) {
    let found: Vec<Span> = message.values(bytes, name).collect();
    let listed: Vec<Span> = want
        .all(name)
        .flat_map(|header| values::list(Text::of(bytes, header.value)))
        .map(Text::span)
        .collect();
    assert_eq!(found, listed, "{name:?} of {}", bytes.escape_ascii());
    for value in listed {
        let text = Text::of(bytes, value);
        if name == Name::Via {
            assert_eq!(Via::parse(bytes, value).ok(), values::via(text));
        } else if ADDRESSES.contains(&name) {
            addresses(bytes, value);
        }
    }
}

fn addresses(bytes: &[u8], value: Span) {
    let text = Text::of(bytes, value);
    let want = values::address(text);
    let shown = value.of(bytes).escape_ascii();
    assert_eq!(Address::parse(bytes, value).ok(), want, "{shown}");
    let Some(address) = want else { return };
    let uri = Text::of(bytes, address.uri);
    assert_eq!(
        Uri::parse(bytes, address.uri).ok(),
        values::uri(uri),
        "{shown}"
    );
    let whole = address::outbound_proxy(bytes, value).map(|proxy| proxy.uri);
    let bare = !address.bracketed && text.is_all(super::text::is_uri);
    assert_eq!(
        whole.ok(),
        (address.bracketed || bare).then_some(if bare { value } else { address.uri })
    );
}
