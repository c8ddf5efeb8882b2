//! Floods, lies and scans over UDP. Whatever is sent, nobody gets more bytes
//! than he sent, and a victim that sends nothing gets none.

use std::net::{SocketAddr, UdpSocket};

use super::mob::{
    ANSWER_MAX, Line as _, Mob, ROUTE, attacker, between, bind, nonce, proof, register, request,
    ringing, sign_in,
};
use super::{counted, withstand};
use crate::lab::{DOMAIN, EDGES, HOME, Lab, PHONES, load_user};
use crate::process::poll;

/// What an attacker sends at once, about a hundred times a second.
const BURST: u32 = 50;
/// What one sends that is to exceed the bound on one source.
const FLOOD: u32 = 200;
/// Who is to be flooded through the nodes.
const VICTIM: &str = "127.66.2.1";

#[test]
fn floods_of_datagrams_disturb_nobody() {
    let lab = Lab::start_with("abuse", &["--strict"]);
    let edge = EDGES[0];
    let mut mob = Mob::new();
    let mut flood =
        |what: &str, counter: &str, to: &str, write: &dyn Fn(u32, SocketAddr) -> Vec<u8>| {
            withstand(&lab, what, counter, || mob.burst(BURST, to, write));
        };
    flood("INVITE of all extensions", "withheld", edge, &|n, from| {
        request("INVITE", n, from, "")
    });
    flood("the same at the home", "withheld", HOME, &|n, from| {
        request("INVITE", n, from, "")
    });
    flood(
        "short questions with long answers",
        "withheld",
        edge,
        &|n, from| {
            let text = format!(
                "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{n}\r\n\
             f: <sip:a@{DOMAIN}>;tag=1\r\nt: <sip:a@{DOMAIN}>\r\ni: {n}\r\nCSeq: 1 REGISTER\r\n\r\n"
            );
            text.into_bytes()
        },
    );
    flood(
        "ACK and CANCEL of nothing",
        "stray_acks",
        edge,
        &|n, from| {
            let method = if n % 2 == 0 { "ACK" } else { "CANCEL" };
            request(method, n, from, "")
        },
    );
    flood("broken messages", "malformed", edge, &|n, from| {
        let mut bytes = request("INVITE", n, from, "CSeq: x\r\n");
        bytes.truncate(80 + n as usize % 200);
        bytes
    });
    flood("stuffed lists", "invalid", edge, &|n, from| {
        let (name, value) = match n % 3 {
            0 => ("Via", "SIP/2.0/UDP 127.66.2.1;branch=z9hG4bKx"),
            1 => ("Record-Route", "<sip:127.66.2.1;lr>"),
            _ => ("Route", "<sip:127.66.2.1;lr>"),
        };
        let list = vec![value; 80].join(",");
        request("INVITE", n, from, &format!("{name}: {list}\r\n"))
    });
    mob.listen();
    let (sent, came) = mob.balance;
    println!("of {sent} bytes sent, {came} came back");
    assert!(came <= sent, "{came} bytes for {sent}");
    // One source alone has a bound of its own.
    let mut one = Mob::of([attacker(20)]);
    withstand(&lab, "OPTIONS of one source", "limited", || {
        one.burst(FLOOD, edge, &|n, from| request("OPTIONS", n, from, ""));
    });
    let mut one = Mob::of([attacker(21)]);
    withstand(&lab, "STUN of one source", "limited", || {
        one.burst(BURST, edge, &|n, _| {
            let mut bytes = b"\x00\x01\x00\x00\x21\x12\xA4\x42abcdefgh".to_vec();
            bytes.extend_from_slice(&n.to_be_bytes());
            bytes
        });
    });
}

#[test]
fn logins_that_are_guessed_forged_or_replayed_disturb_nobody() {
    let lab = Lab::start_with("abuse-logins", &["--strict"]);
    let edge = EDGES[0];
    let user = load_user(1);
    let mut one = Mob::of([attacker(1)]);
    let guess = nonce(&one.sockets[0], edge, &user);
    let wrong = |n, from| register(&user, n, from, &proof(&user, &guess, n, Some(n)));
    withstand(&lab, "guessed passwords", "failed_digests", || {
        one.burst(BURST, edge, &wrong);
    });
    assert!(counted(&lab, "limited") > 0, "who guesses is not heard");
    // The attacker writes the phones' own address into his datagrams; answers
    // to that go to them, so that the nonce is one of his own.
    let before = counted(&lab, "failed_digests");
    let mut forger = Mob::of([SocketAddr::new(PHONES.parse().expect("an address"), 5_999)]);
    withstand(
        &lab,
        "wrong logins in the phones' name",
        "foreign_nonces",
        || {
            forger.burst(BURST, edge, &wrong);
        },
    );
    assert_eq!(counted(&lab, "failed_digests"), before);
    // A REGISTER that was heard on the way, sent again with another contact.
    let victim = load_user(500);
    let phone = bind(attacker(30));
    let heard = sign_in(&phone, edge, &victim);
    drop(phone);
    let mut thief = Mob::of([SocketAddr::from(([127, 66, 0, 30], 5_062))]);
    let before = counted(&lab, "registrations");
    withstand(&lab, "replayed logins", "replayed_digests", || {
        thief.burst(BURST, edge, &|n, from| {
            register(&victim, n + 9, from, &heard)
        });
    });
    // 40 phones with a binding at an edge and at the home, for each load.
    let signed_in = counted(&lab, "registrations") - before;
    assert!(signed_in.is_multiple_of(40), "{signed_in}");
}

#[test]
fn nobody_is_aimed_at() {
    let lab = Lab::start_with("abuse-aims", &["--strict"]);
    let edge = EDGES[0];
    let mut victim = Mob::of([format!("{VICTIM}:5060").parse().expect("an address")]);
    let mut mob = Mob::new();
    withstand(
        &lab,
        "answers and requests aimed at others",
        "aimed_vias",
        || {
            mob.burst(BURST, edge, &aimed);
        },
    );
    mob.burst(BURST, HOME, &aimed);
    victim.listen();
    assert_eq!(victim.balance.1, 0, "the victim got something");
}

#[test]
fn strangers_cancel_no_call() {
    let lab = Lab::start_with("abuse-cancels", &["--strict"]);
    let [near, far] = [EDGES[0], EDGES[1]];
    let (callee, caller) = (bind(attacker(40)), bind(attacker(41)));
    let user = load_user(499);
    sign_in(&callee, near, &user);
    let own = load_user(498);
    sign_in(&caller, far, &own);
    let at = caller.own();
    let call = |method: &str| between(method, 7, at, (&own, &user), ROUTE);
    caller.say(far, &call("INVITE"));
    let mut text = String::new();
    let invite = poll(ANSWER_MAX, || {
        text.extend(caller.heard());
        callee.heard().filter(|text| text.starts_with("INVITE "))
    });
    let invite = invite.unwrap_or_else(|| panic!("the phone does not ring: {text}"));
    callee.say(near, ringing(&invite).as_bytes());
    // They know all of it.
    let mut strangers = Mob::of((50..54).map(attacker));
    let cancel = call("CANCEL");
    withstand(&lab, "CANCEL by strangers", "spoofed_cancels", || {
        strangers.burst(BURST, far, &|_, _| cancel.clone());
    });
    assert!(!is_cancelled(&callee), "a stranger cancelled the call");
    caller.say(far, &cancel);
    let cancelled = poll(ANSWER_MAX, || is_cancelled(&callee).then_some(()));
    assert!(cancelled.is_some(), "its caller may");
}

/// Wants the answer, or the request itself, to go to the victim.
fn aimed(n: u32, from: SocketAddr) -> Vec<u8> {
    let text = request("OPTIONS", n, from, "");
    let mut text = String::from_utf8_lossy(&text).into_owned();
    match n % 4 {
        0 => text = text.replace(";rport", &format!(";maddr={VICTIM}")),
        1 => text = text.replace(";rport", &format!(";received={VICTIM};rport=5060")),
        2 => text = text.replacen(" SIP/2.0", &format!(";maddr={VICTIM} SIP/2.0"), 1),
        _ => {
            text = text.replace(
                "Max-Forwards",
                &format!("Route: <sip:{VICTIM};lr>\r\nMax-Forwards"),
            )
        }
    }
    text.into_bytes()
}

/// Whether a CANCEL is among what came.
fn is_cancelled(phone: &UdpSocket) -> bool {
    std::iter::from_fn(|| phone.heard()).any(|text| text.starts_with("CANCEL "))
}
