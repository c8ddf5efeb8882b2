//! Phones that registered and went silent, and those who know it: whatever is
//! sent to such a phone is sent to it again and again (RFC 3261 §17.1.2.2), for
//! half a minute, and somebody may want just that.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use steadfast::limits::FLOW_UNHEARD_MAX;

use super::mob::{Mob, Pace, ROUTE, between, of, one_of};
use super::withstand;
use crate::lab::{EDGES, Lab};

/// Sources, and what each sends a second: just below the bound on one.
const SOURCES: u8 = 3;
const RATE: u32 = 1_900;
/// Silent phones, each at an address of its own.
const PHONES: u8 = 40;
/// When a request is sent again that nobody answers: Timer E, in milliseconds.
const AGAIN: [u32; 10] = [
    500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
];

/// The edge of the sources, and that of the phones.
const NEAR: &str = EDGES[0];
const FAR: &str = EDGES[1];

#[test]
fn messages_to_silent_phones_do_not_multiply() {
    let lab = Lab::start_with("abuse-silent", &["--strict"]);
    let phone = |number| one_of(440, PHONES, number);
    let source = |number| one_of(420, SOURCES, number);
    let mut phones = Mob::registered(FAR, (0..PHONES).map(|number| of(4, number)), phone);
    let mut sources = Mob::registered(NEAR, (0..SOURCES).map(|number| of(3, number)), source);
    let mut pace = Pace::new(u32::from(SOURCES) * RATE);
    let begun = Instant::now();
    let refused = withstand(&lab, "MESSAGEs to silent phones", "unheard", || {
        sources.burst(pace.due(), NEAR, &|number: u32, from: SocketAddr| {
            let users = (&*source(number), &*phone(number / u32::from(SOURCES)));
            between("MESSAGE", number, from, users, ROUTE)
        });
        phones.listen();
    });
    let (sent, reached) = (u64::from(pace.given), pace.reached());
    phones.listen();
    let since = begun.elapsed();
    let again = AGAIN.map(|ms| Duration::from_millis(ms.into()));
    let times = 1 + again.iter().filter(|at| **at <= since).count() as u64;
    let (came, answered) = (phones.heard, sources.heard);
    println!(
        "{sent} MESSAGEs, {reached} a second: {refused} went no further, {came} datagrams came to \
         the phones, {answered} to the sources"
    );
    assert!(
        reached >= 3 * u64::from(RATE * u32::from(SOURCES)) / 4,
        "{reached}"
    );
    // Those that wait unheard on the flow of a phone are bounded, and each is sent
    // as often as its timer says; whoever sent another one is told once.
    let most = u64::from(PHONES) * u64::from(FLOW_UNHEARD_MAX) * times;
    assert!(came <= most, "{came} of {most}");
    assert!(answered <= sent, "{answered} answers to {sent}");
    assert!(came + answered <= 2 * sent, "they multiply");
}
