//! One relation, read three times: `equal`, the keys, and the text of the RFC.

use crate::limits;
use crate::uri::naive::{self, Chance, EQUAL, UNEQUAL};
use crate::uri::{UriKey, equal, sets_equal};

/// A key's parts.
type Filed = (Vec<u8>, Vec<u8>, Vec<u8>, u32);

fn filed(uri: &str) -> Option<Filed> {
    let mut key = UriKey::default();
    key.read(uri.as_bytes()).then(|| {
        let [host, user, set] = [key.host(), key.user(), key.set()].map(<[u8]>::to_vec);
        (host, user, set, key.scheme_port())
    })
}

/// Whether keys call two URIs equal; `None` where one of them has no key.
fn by_key(a: &str, b: &str) -> Option<bool> {
    let ((host, user, set, scheme_port), theirs) = (filed(a)?, filed(b)?);
    let same = (host, user, scheme_port) == (theirs.0, theirs.1, theirs.3);
    Some(same && sets_equal(&set, &theirs.2))
}

#[track_caller]
fn check(a: &str, b: &str, want: bool) {
    for (a, b) in [(a, b), (b, a)] {
        let got = equal(a.as_bytes(), b.as_bytes());
        assert_eq!((got, naive::equal(a, b)), (want, want), "{a} and {b}");
        assert_eq!(
            by_key(a, b).unwrap_or(want),
            want,
            "the keys of {a} and {b}"
        );
    }
    assert!(equal(a.as_bytes(), a.as_bytes()) && equal(b.as_bytes(), b.as_bytes()));
}

#[test]
fn the_examples_of_rfc_3261_are_what_it_says() {
    // S-15, S-19
    EQUAL.iter().for_each(|(a, b)| check(a, b, true));
    UNEQUAL.iter().for_each(|(a, b)| check(a, b, false));
    for (a, b) in EQUAL.iter().chain(&UNEQUAL) {
        assert!(by_key(a, b).is_some(), "{a} and {b}");
    }
}

// RFC 3261 §19.1.4, the rules
#[test]
fn each_part_counts_by_its_own_rule() {
    check("sip:a@b", "sips:a@b", false);
    check("sip:a@b", "SIP:a@B", true);
    check("sip:a@b", "sip:b", false);
    check("sip:a@b", "sip:@b", false);
    check("sip:a:pw@b", "sip:a@b", false);
    check("sip:a:pw@b", "sip:a:PW@b", false);
    check("sip:a@b:5070", "sip:a@b:05070", true);
    check("sip:a@b:5070", "sip:a@b:5071", false);
    check("sip:a@b", "sip:a@b.", true);
    check("sip:a@192.0.2.1", "sip:a@192.0.2.1", true);
    check("sip:a@192.0.2.1", "sip:a@192.0.2.10", false);
    check("sip:a@192.0.2.1", "sip:a@[::ffff:192.0.2.1]", false);
    check("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]", true);
    check("sip:a@[2001:db8::1]", "sip:a@[2001:db8::2]", false);
    check("sip:a@b;lr", "sip:a@b;lr=on", false);
    check("sip:a@b;user=phone", "sip:a@b", false);
    check("sip:a@b;ttl=1", "sip:a@b", false);
    check("sip:a@b;method=INVITE", "sip:a@b", false);
    check("sip:a@b;%4Dethod=INVITE", "sip:a@b", false);
    check("sip:a@b;maddr=192.0.2.1", "sip:a@b", false);
    check("sip:a@b;x=%41", "sip:a@b;X=a", true);
    check("sip:a@b;;x=1;", "sip:a@b;x=1", true);
    check("sip:a@b?x=1&x=2", "sip:a@b?x=2&x=1", true);
    check("sip:a@b?x=1&x=2", "sip:a@b?x=1&x=1", false);
    check("sip:a@b?x=1&x=1", "sip:a@b?x=1", false);
    check("sip:a@b?x=1&x=1&x=2", "sip:a@b?x=1&x=2&x=2", false);
    check("sip:a@b?x=a", "sip:a@b?X=a", true);
    check("sip:a@b?x=a", "sip:a@b?x=A", false);
    check("sip:a@b?x", "sip:a@b?x=", false);
}

#[test]
fn an_escaped_reserved_character_is_not_the_plain_one() {
    check("sip:a%3Bb@h", "sip:a;b@h", false);
    check("sip:a%3Bb@h", "sip:a%3bb@h", true);
    check("sip:a%20b@h", "sip:a b@h", true);
    check("sip:a%2Db@h", "sip:a-b@h", true);
    check("sip:a%zz@h", "sip:a%ZZ@h", false);
    check("sip:a%25zz@h", "sip:a%zz@h", true);
    check("sip:a%2", "sip:a%2", true);
}

#[test]
fn other_schemes_and_broken_uris_equal_only_themselves() {
    for (a, b) in [
        ("tel:+1-201", "tel:+1201"),
        ("tel:+1", "TEL:+1"),
        ("sip:a@b:", "sip:a@b"),
        ("sip:a@b:65536", "sip:a@b:065536"),
        ("sip:a@b:+5", "sip:a@b:5"),
        ("sip:a@", "sip:A@"),
        ("sip:@b", "sip:@B"),
        ("sip:a@[::1", "sip:a@[::1]"),
        ("sip:a@h%6f", "sip:a@H%6f"),
        ("sip:a@b@c", "sip:a@b@C"),
        ("sip:a@b;x=@", "sip:a@B;x=@"),
        ("sip:a@b;x=1;x=1", "sip:a@B;x=1;x=1"),
        ("sip:a@b;x=1;X=2", "sip:a@b"),
        ("", "sip:"),
    ] {
        check(a, b, false);
        assert_eq!(by_key(a, b), None, "{a} and {b}");
    }
}

#[test]
fn at_the_bound_of_parameters_the_bytes_decide() {
    let list = |n: usize, mark: &str| (0..n).map(|i| format!("{mark}p{i}=")).collect::<String>();
    for mark in [";", "&"] {
        let long = |host: &str, n| {
            let list = list(n, mark).replacen('&', "?", 1);
            format!("sip:a@{host}{list}")
        };
        let max = limits::URI_PARAMS_MAX;
        let same = |n| equal(long("b", n).as_bytes(), long("B", n).as_bytes());
        assert_eq!((same(max), same(max + 1)), (true, false), "{mark}");
        let itself = long("b", max + 1);
        assert!(equal(itself.as_bytes(), itself.as_bytes()));
    }
}

// Many of each of the plain ones, so that URIs meet.
const SCHEMES: [&str; 9] = [
    "sip:", "sip:", "sip:", "sip:", "sip:", "sip:", "SIP:", "sips:", "tel:",
];
const USERS: [&str; 24] = [
    "joe@",
    "joe@",
    "joe@",
    "joe@",
    "joe@",
    "joe@",
    "joe@",
    "%6aoe@",
    "jo%65@",
    "Joe@",
    "joe:pw@",
    "joe:%70w@",
    "joe%3apw@",
    "a+b@",
    "a%2Bb@",
    "a%2bb@",
    "%zz@",
    "%25zz@",
    "%ZZ@",
    "%25@",
    "%@",
    "",
    "@",
    "a@b@",
];
const HOSTS: [&str; 19] = [
    "h.example",
    "h.example",
    "h.example",
    "h.example",
    "h.example",
    "h.example",
    "h.example",
    "h.example",
    "H.Example",
    "h.example.",
    "g.example",
    "192.0.2.1",
    "192.0.2.1",
    "[2001:db8::1]",
    "[2001:DB8:0::1]",
    "[2001:db8::2]",
    "[::1",
    "h%2eexample",
    "",
];
const PORTS: [&str; 12] = [
    "", "", "", "", "", "", ":5060", ":05060", ":5061", ":65536", ":", ":+5",
];
const PARAMS: [&[&str]; 9] = [
    &[";lr", ";LR", ";%6cr", ";lr=on", ";lr="],
    &[";ob"],
    &[";x=a%2Cb", ";x=a%2cb", ";x=A,b", ";x=a@b"],
    &[";maddr=192.0.2.1", ";maddr=192.0.2.2", ";maddr=[::1]"],
    &[";transport=udp", ";Transport=UDP", ";transport=tcp"],
    &[";user=phone", ";ttl=1"],
    &[";method=INVITE", ";method=invite", ";%4Dethod=BYE"],
    &[";y=1", ";Y=1", ";y=%31", ";y=2"],
    &[";"],
];
const HEADERS: [&str; 20] = [
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "?",
    "?a=1&b=2",
    "?b=2&A=1",
    "?a=%31&b=2",
    "?a=x&b=2",
    "?a=X&b=2",
    "?a=1&a=1&b=2",
    "?a=1&b=2&b=2",
    "?a&b=2",
    "?a=&b=2",
    "?a=1@&b=2",
    "?a=1&&b=2",
];

/// Scheme, user, host, port, parameters and headers.
type Pieces = [&'static str; 8];

const PLACES: usize = 8;

fn piece(chance: &mut Chance, scheme_port: usize) -> &'static str {
    match scheme_port {
        0 => chance.pick(&SCHEMES),
        1 => chance.pick(&USERS),
        2 => chance.pick(&HOSTS),
        3 => chance.pick(&PORTS),
        7 => chance.pick(&HEADERS),
        _ if chance.below(2) == 0 => "",
        _ => {
            let forms = PARAMS[chance.below(PARAMS.len())];
            chance.pick(forms)
        }
    }
}

/// Each against a few before it, of which it is a child: so that URIs meet.
#[test]
fn random_uris_are_equal_where_the_text_of_the_rfc_says_so() {
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    let mut recent: Vec<(Pieces, Read)> = Vec::new();
    let (mut equals, mut keyed, mut uris) = (0, 0, 0);
    for at in 0..30_000 {
        let parent = recent.get(chance.below(recent.len() + 1));
        let mut pieces = match parent {
            Some((pieces, _)) => *pieces,
            None => std::array::from_fn(|scheme_port| piece(&mut chance, scheme_port)),
        };
        for _ in 0..chance.below(4) {
            let scheme_port = chance.below(PLACES);
            pieces[scheme_port] = piece(&mut chance, scheme_port);
        }
        // Their order is nothing to the URI.
        let scheme_port = 4 + chance.below(3);
        pieces.swap(4, scheme_port);
        let text = pieces.concat();
        let (uri, key) = (naive::Uri::read(&text), filed(&text));
        assert_eq!(uri.is_some(), key.is_some(), "{text}");
        uris += usize::from(uri.is_some());
        let this = (text, uri, key);
        for (_, other) in &recent {
            let (met, same_key) = argue(&this, other);
            equals += usize::from(met);
            keyed += usize::from(same_key);
        }
        if recent.len() < 8 {
            recent.push((pieces, this));
        } else {
            recent[at % 8] = (pieces, this);
        }
    }
    // Agreement on nothing would prove nothing.
    let counts = format!("{uris} URIs, {equals} equal pairs, {keyed} of one key");
    assert!(uris > 10_000 && equals > 3_000 && keyed > 1_500, "{counts}");
}

type Read = (String, Option<naive::Uri>, Option<Filed>);

/// Whether the two are written differently and equal, and whether they have one key.
fn argue((a, uri, key): &Read, (b, other, their_key): &Read) -> (bool, bool) {
    let pair = uri.as_ref().zip(other.as_ref());
    let want = a == b || pair.is_some_and(|(uri, other)| uri.is_equal(other));
    assert_eq!(equal(a.as_bytes(), b.as_bytes()), want, "{a} and {b}");
    assert_eq!(equal(b.as_bytes(), a.as_bytes()), want, "{b} and {a}");
    let Some((key, their_key)) = key.as_ref().zip(their_key.as_ref()) else {
        return (false, false);
    };
    let strong = pair.is_some_and(|(uri, other)| uri.is_strongly_equal(other));
    assert_eq!(key == their_key, strong, "the keys of {a} and {b}");
    assert_eq!(by_key(a, b), Some(want), "the keys of {a} and {b}");
    (want && a != b, strong && a != b)
}
