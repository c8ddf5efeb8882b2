//! Tokens: what is written is read back, and nothing that was not written
//! under the keys is read at all.

use steadfast::edge::flow_token;
use steadfast::edge::{Codec, Subscriber, Token, UserPartKind};

/// Reads the bytes as tokens, and writes tokens of their pieces.
///
/// # Panics
/// When a forged token is read, or a written one is not.
pub(crate) fn check(bytes: &[u8]) {
    let sealed = Codec::new(&[[9; 64], [8; 64]], "example.com");
    let mut token = Token::new();
    assert!(
        sealed.read(bytes, &mut token).is_err(),
        "{}",
        bytes.escape_ascii()
    );
    let forged = flow_token::read(&flow_token::FlowTokenKeys::new(&[3; 32]), bytes, 7).is_ok();
    assert!(!forged, "{}", bytes.escape_ascii());
    let clear = Codec::new(&[], "example.com");
    if clear.read(bytes, &mut token).is_ok() {
        assert!(token.edges().count() > 0);
    }
    let mut fields = bytes.split(|&byte| byte == b'\n');
    let mut field = || fields.next().unwrap_or_default();
    let subscriber = Subscriber {
        user: field(),
        realm: field(),
        instance: field(),
    };
    let edges: Vec<&[u8]> = fields.collect();
    for codec in [sealed, clear] {
        let mut text = Vec::new();
        if codec.write(&subscriber, &edges, 0, &mut text).is_err() {
            assert!(text.is_empty());
            continue;
        }
        codec.read(&text, &mut token).expect("it was just written");
        assert_eq!(
            (token.user(), token.realm(), token.instance()),
            (subscriber.user, subscriber.realm, subscriber.instance)
        );
        assert!(token.edges().eq(edges.iter().copied()));
        if codec.kind() == UserPartKind::Sealed {
            let at = bytes.len() % text.len();
            text[at] = if text[at] == b'q' { b'r' } else { b'q' };
            assert!(codec.read(&text, &mut token).is_err(), "changed at {at}");
        }
    }
}
