//! The slow, obvious reference: a list of URIs, and RFC 3261 §19.1.4 as `uri::naive` reads
//! it. Random URIs from a small alphabet make it argue with the table about every
//! level.

use super::bind::tests::flow;
use super::{Level, Source, Table};
use crate::id::Flow;
use crate::time::Instant;
use crate::uri::naive::{Chance, EQUAL, UNEQUAL, Uri};

fn uri_of(text: &str) -> Uri {
    Uri::read(text).unwrap()
}

fn random(chance: &mut Chance, text: &mut String) {
    text.clear();
    text.push_str(chance.pick(&["sip:", "sip:", "sip:", "sip:", "sip:", "SIP:", "sips:"]));
    text.push_str(chance.pick(&USERS));
    text.push_str(chance.pick(&[
        "h.example",
        "h.example",
        "h.example",
        "H.Example",
        "g.example",
    ]));
    text.push_str(chance.pick(&["", "", "", "", "", "", ":5060", ":5061"]));
    let mut left = PARAMS.to_vec();
    for _ in 0..chance.below(4) {
        let forms = left.swap_remove(chance.below(left.len()));
        text.push_str(chance.pick(forms));
    }
    text.push_str(chance.pick(&HEADERS));
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
    let uri = uri_of(text);
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
fn the_table_and_the_naive_one_agree_on_random_uris_1_of_4() {
    agree(1);
}

#[test]
fn the_table_and_the_naive_one_agree_on_random_uris_2_of_4() {
    agree(2);
}

#[test]
fn the_table_and_the_naive_one_agree_on_random_uris_3_of_4() {
    agree(3);
}

#[test]
fn the_table_and_the_naive_one_agree_on_random_uris_4_of_4() {
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
            random(&mut chance, &mut text);
            let flow = flow(u32::try_from(chance.below(4)).unwrap());
            assert!(t.opened(NOW, flow, text.as_bytes()), "{text}");
            list.push((uri_of(&text), flow));
        }
        for _ in 0..28 {
            random(&mut chance, &mut text);
            matches += check(&mut t, &list, &text);
        }
    }
    // Agreement on nothing would prove nothing.
    assert!(matches > usize::try_from(rounds).unwrap() * 4, "{matches}");
}

#[track_caller]
fn compare(a: &str, b: &str, want: bool) {
    for (bound, requested) in [(a, b), (b, a)] {
        let mut t = Table::new([1, 2, 3, 4]);
        let host = uri_of(bound).host;
        t.link(NOW, flow(1), host.as_bytes(), Source::Link);
        t.bind(NOW, flow(1), bound.as_bytes(), Source::Path, LATER);
        let found = t.candidates(NOW, requested.as_bytes(), Level::Equal, &[]);
        assert_eq!(!found.is_empty(), want, "{bound} {requested}");
    }
}

#[test]
fn the_examples_of_rfc_3261_are_what_it_says() {
    // S-15, S-19
    EQUAL.iter().for_each(|(a, b)| compare(a, b, true));
    UNEQUAL.iter().for_each(|(a, b)| compare(a, b, false));
}
