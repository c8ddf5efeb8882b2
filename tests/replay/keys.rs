//! URI keys, by way of the table that uses them: what can be bound is found
//! again, under every spelling that says the same.

use std::net::SocketAddr;

use steadfast::id::{Flow, SocketId};
use steadfast::stick::{Bound, Level, Match, Source, Table};
use steadfast::time::Instant;

const NOW: Instant = Instant::from_micros(1);
const LATER: Instant = Instant::from_micros(2);

/// Binds the bytes as a URI and looks them up in other words.
///
/// # Panics
/// When a spelling is lost or another URI is found.
pub(crate) fn check(uri: &[u8]) {
    let peer = SocketAddr::from(([192, 0, 2, 1], 5060));
    let flow = Flow::Udp {
        socket: SocketId(0),
        peer,
    };
    let mut table = Table::new([1, 2, 3, 4]);
    if !table.opened(NOW, flow, uri) {
        assert_eq!(table.find(NOW, uri, &[], 0), None);
        assert!(table.is_empty(), "{}", uri.escape_ascii());
        return;
    }
    let exact = Some(Match {
        flow,
        level: Level::Exact,
    });
    for spelling in spellings(uri) {
        let found = table.find(NOW, &spelling, &[], 0);
        assert_eq!(
            found,
            exact,
            "{} as {}",
            uri.escape_ascii(),
            spelling.escape_ascii()
        );
    }
    assert_eq!(
        table.bind(NOW, flow, uri, Source::Opened, LATER),
        Bound::Refreshed
    );
    let stranger = [uri, b";stranger=1"].concat();
    if !uri.contains(&b'?') && !uri.ends_with(b":") {
        let found = table.find(NOW, &stranger, &[], 0);
        assert!(found.is_none_or(|found| found.level == Level::Equal));
    }
    table.forget(flow);
    assert_eq!(table.find(NOW, uri, &[], 0), None);
}

/// The same URI in other words: scheme and host in capitals, the first letter
/// of the user as its escape.
fn spellings(uri: &[u8]) -> Vec<Vec<u8>> {
    let mut found = vec![uri.to_vec()];
    let colon = uri.iter().position(|&byte| byte == b':').unwrap_or(0);
    let user = uri.iter().position(|&byte| byte == b'@');
    let mut loud = uri.to_vec();
    loud[..colon].make_ascii_uppercase();
    let host = user.map_or(colon + 1, |at| at + 1);
    let end = host
        + uri[host..]
            .iter()
            .take_while(|byte| !b";?".contains(byte))
            .count();
    loud[host..end].make_ascii_uppercase();
    found.push(loud);
    if user.is_some() && uri[colon + 1].is_ascii_alphanumeric() {
        let mut escaped = uri.to_vec();
        let hex = format!("%{:02x}", uri[colon + 1]);
        escaped.splice(colon + 1..=colon + 1, hex.into_bytes());
        // The escape may pass the longest URI there is a key for.
        if escaped.len() <= steadfast::limits::STICK_URI_MAX {
            found.push(escaped);
        }
    }
    found
}
