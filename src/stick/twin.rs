//! The slow, obvious twin: a list of URIs and RFC 3261 §19.1.4 read literally.
//!
//! It shares no code with the table. Random URIs from a small alphabet make the
//! two argue about every level.

use super::bind::tests::flow;
use super::{Level, Source, Table};
use crate::id::Flow;
use crate::time::Instant;

/// A URI taken apart, nothing normalised.
struct Uri {
    scheme: String,
    user: Option<Vec<Char>>,
    host: String,
    port: Option<String>,
    params: Vec<(Vec<Char>, Option<Vec<Char>>)>,
    headers: Vec<(Vec<Char>, Vec<Char>)>,
}

/// One character, as itself or as `%XX` of a reserved one.
#[derive(Clone, Copy, PartialEq)]
enum Char {
    Plain(u8),
    Escaped(u8),
}

impl Uri {
    fn new(text: &str) -> Self {
        let (scheme, rest) = text.split_once(':').unwrap();
        let (rest, headers) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, rest) = rest
            .split_once('@')
            .map_or((None, rest), |(user, rest)| (Some(chars(user)), rest));
        let mut params = rest.split(';');
        let host_port = params.next().unwrap();
        let (host, port) = host_port
            .split_once(':')
            .map_or((host_port, None), |(host, port)| (host, Some(port)));
        let pair = |part: &str| {
            part.split_once('=')
                .map_or_else(|| (chars(part), None), |(n, v)| (chars(n), Some(chars(v))))
        };
        let headers = headers.split('&').filter(|header| !header.is_empty());
        Self {
            scheme: scheme.to_ascii_lowercase(),
            user,
            host: host.to_ascii_lowercase(),
            port: port.map(String::from),
            params: params.map(pair).collect(),
            headers: headers
                .map(|h| h.split_once('=').unwrap())
                .map(|(n, v)| (chars(n), chars(v)))
                .collect(),
        }
    }

    fn param(&self, name: &[Char]) -> Option<&Option<Vec<Char>>> {
        self.params
            .iter()
            .find(|(other, _)| same(other, name))
            .map(|(_, value)| value)
    }

    /// Everything but the parameters, rule by rule.
    fn is_same_place(&self, other: &Self) -> bool {
        // "A SIP and SIPS URI are never equivalent."
        // "Comparison of the userinfo of SIP and SIPS URIs is case-sensitive."
        // "A URI omitting any component with a default value will not match."
        let parts =
            self.scheme == other.scheme && self.host == other.host && self.port == other.port;
        // "Header components are never ignored. Any present MUST be in both."
        let headers = self.headers.len() == other.headers.len()
            && self.headers.iter().all(|(name, value)| {
                other
                    .headers
                    .iter()
                    .any(|(n, v)| same(name, n) && value == v)
            });
        parts && headers && self.user == other.user
    }

    fn is_equal(&self, other: &Self) -> bool {
        self.is_same_place(other) && self.tolerates(other) && other.tolerates(self)
    }

    /// Every parameter of this one is in the other and the same, or may be absent.
    fn tolerates(&self, other: &Self) -> bool {
        self.params
            .iter()
            .all(|(name, value)| match other.param(name) {
                Some(theirs) => same_value(value.as_ref(), theirs.as_ref()),
                None => !["user", "ttl", "method", "maddr", "transport"]
                    .iter()
                    .any(|only| same(name, &chars(only))),
            })
    }

    fn is_strongly_equal(&self, other: &Self) -> bool {
        self.is_equal(other)
            && self
                .params
                .iter()
                .all(|(name, _)| other.param(name).is_some())
            && other
                .params
                .iter()
                .all(|(name, _)| self.param(name).is_some())
    }
}

/// Characters other than reserved ones equal their `%XX`.
fn chars(text: &str) -> Vec<Char> {
    let (bytes, mut at, mut chars) = (text.as_bytes(), 0, Vec::new());
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let byte = u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap();
            chars.push(if b";/?:@&=+$,".contains(&byte) {
                Char::Escaped(byte)
            } else {
                Char::Plain(byte)
            });
            at += 3;
        } else {
            chars.push(Char::Plain(bytes[at]));
            at += 1;
        }
    }
    chars
}

fn same(a: &[Char], b: &[Char]) -> bool {
    let fold = |c: &Char| match *c {
        Char::Plain(byte) => Char::Plain(byte.to_ascii_lowercase()),
        Char::Escaped(byte) => Char::Escaped(byte),
    };
    a.iter().map(fold).eq(b.iter().map(fold))
}

fn same_value(a: Option<&Vec<Char>>, b: Option<&Vec<Char>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => same(a, b),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Xorshift64: the same URIs for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((u128::from(self.0) * n as u128) >> 64).unwrap()
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn uri(&mut self, text: &mut String) {
        text.clear();
        text.push_str(self.pick(&["sip:", "sip:", "sip:", "sip:", "sip:", "SIP:", "sips:"]));
        text.push_str(self.pick(&USERS));
        text.push_str(self.pick(&[
            "h.example",
            "h.example",
            "h.example",
            "H.Example",
            "g.example",
        ]));
        text.push_str(self.pick(&["", "", "", "", "", "", ":5060", ":5061"]));
        let mut left = PARAMS.to_vec();
        for _ in 0..self.below(4) {
            let forms = left.swap_remove(self.below(left.len()));
            text.push_str(self.pick(forms));
        }
        text.push_str(self.pick(&HEADERS));
    }
}

// Many of each of the plain ones, so that URIs meet.
const USERS: [&str; 15] = [
    "joe@", "joe@", "joe@", "joe@", "joe@", "joe@", "joe@", "%6aoe@", "jo%65@", "Joe@", "a%2Bb@",
    "a%2bb@", "a+b@", "a%20b@", "",
];

const HEADERS: [&str; 16] = [
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "?a=1&b=2",
    "?b=2&A=1",
    "?a=%31&b=2",
    "?a=x&b=2",
];

const PARAMS: [&[&str]; 8] = [
    &[";lr", ";LR", ";%6cr", ";lr=on"],
    &[";ob"],
    &[";gunk=1", ";gunk=2", ";Gunk=%31"],
    &[";x=a%2Cb", ";x=a%2cb", ";x=A,b"],
    &[";maddr=192.0.2.1", ";maddr=192.0.2.2"],
    &[";transport=udp", ";Transport=UDP", ";transport=tcp"],
    &[";user=phone", ";ttl=1"],
    &[";method=INVITE", ";method=invite", ";%4Dethod=BYE"],
];

const NOW: Instant = Instant::from_micros(1);
const LATER: Instant = Instant::from_micros(2);

fn check(t: &mut Table, list: &[(Uri, Flow)], text: &str) -> usize {
    let uri = Uri::new(text);
    let flows = |is_it: &dyn Fn(&Uri) -> bool| {
        let mut flows: Vec<Flow> = list
            .iter()
            .filter(|(other, _)| is_it(other))
            .map(|(_, flow)| *flow)
            .collect();
        flows.sort_unstable();
        flows.dedup();
        flows
    };
    let exact = flows(&|other| uri.is_strongly_equal(other));
    let equal = flows(&|other| uri.is_equal(other));
    let domain = flows(&|other| uri.host == other.host);
    assert_eq!(
        t.candidates(NOW, text.as_bytes(), Level::Exact, &[]),
        exact,
        "{text}"
    );
    assert_eq!(
        t.candidates(NOW, text.as_bytes(), Level::Equal, &[]),
        equal,
        "{text}"
    );
    let mut candidates: Vec<Flow> = t.domain(NOW, uri.host.as_bytes()).collect();
    candidates.sort_unstable();
    assert_eq!(candidates, domain, "{text}");
    let found = t
        .find(NOW, text.as_bytes(), &[], u64::MAX / 3)
        .map(|found| (found.level, found.flow));
    let (level, best) = if exact.is_empty() {
        (Level::Equal, &equal)
    } else {
        (Level::Exact, &exact)
    };
    assert!(
        found.map_or(best.is_empty(), |(l, flow)| l == level
            && best.contains(&flow)),
        "{text} {found:?}"
    );
    usize::from(!exact.is_empty()) + usize::from(!equal.is_empty())
}

// A million random URIs (S-14, S-15, S-16, S-19), in four tests that run side by side.

#[test]
fn the_table_and_the_twin_agree_on_random_uris_1_of_4() {
    agree(1);
}

#[test]
fn the_table_and_the_twin_agree_on_random_uris_2_of_4() {
    agree(2);
}

#[test]
fn the_table_and_the_twin_agree_on_random_uris_3_of_4() {
    agree(3);
}

#[test]
fn the_table_and_the_twin_agree_on_random_uris_4_of_4() {
    agree(4);
}

/// A quarter of a million: twelve bound in each round, and 28 asked for.
fn agree(part: u64) {
    let seed = 0x9E37_79B9_7F4A_7C15 ^ part << 32;
    let (mut chance, mut text, mut matches) = (Chance(seed), String::new(), 0);
    let rounds = 6_250;
    for round in 0..rounds {
        let mut t = Table::new([round, 2, 3, 4]);
        let mut list = Vec::new();
        for _ in 0..12 {
            chance.uri(&mut text);
            let flow = flow(u32::try_from(chance.below(4)).unwrap());
            assert!(t.opened(NOW, flow, text.as_bytes()), "{text}");
            list.push((Uri::new(&text), flow));
        }
        for _ in 0..28 {
            chance.uri(&mut text);
            matches += check(&mut t, &list, &text);
        }
    }
    // Agreement on nothing would prove nothing.
    assert!(matches > usize::try_from(rounds).unwrap() * 4, "{matches}");
}

#[track_caller]
fn compare(a: &str, b: &str, want: bool) {
    for (bound, asked) in [(a, b), (b, a)] {
        let mut t = Table::new([1, 2, 3, 4]);
        let host = Uri::new(bound).host;
        t.link(NOW, flow(1), host.as_bytes(), Source::Link);
        t.bind(NOW, flow(1), bound.as_bytes(), Source::Path, LATER);
        let table = !t
            .candidates(NOW, asked.as_bytes(), Level::Equal, &[])
            .is_empty();
        assert_eq!(
            (table, Uri::new(bound).is_equal(&Uri::new(asked))),
            (want, want),
            "{bound} {asked}"
        );
    }
}

#[test]
fn the_equal_examples_of_rfc_3261_are_equal() {
    // S-15, S-19
    for (a, b) in [
        (
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtLanTa.CoM;Transport=tcp",
        ),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        (
            "sip:carol@chicago.com;newparam=5",
            "sip:carol@chicago.com;security=on",
        ),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
    ] {
        compare(a, b, true);
    }
}

#[test]
fn the_unequal_examples_of_rfc_3261_are_unequal() {
    // S-19
    for (a, b) in [
        (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        ),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        (
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com:6000;transport=tcp",
        ),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        // The relation is not transitive: both equal the URI without `security`.
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
        ),
    ] {
        compare(a, b, false);
    }
}
