//! Answers whose connection is gone, and at whose source nobody listens: by the
//! sent-by of the Via, as RFC 3263 §5 has it (X-4, N-10).

use super::names::Answers;
use super::phone::{Phone, Register};
use super::tls::HOME_TLS;
use super::world::{HOME, Tokens, World};
use steadfast::home::Redirect;
use steadfast::id::Transport;
use steadfast::limits;
use steadfast::send::PeerRule;
use steadfast::time::Duration;

const BOB: &str = "127.0.0.1:5090";
const CALLER: &str = "203.0.113.9:40001";

/// An INVITE of `CALLER`, a carrier, to bob that has come to bob, over a connection to
/// `node` that is gone by now.
fn hung_up(node: &str, sent_by: &str, zone: &str) -> (World, Phone, String) {
    let mut world = World::with(
        Tokens::Clear,
        |home| {
            home.redirect = Redirect::Never;
            let carriers = ["tcp:203.0.113.9:1024-65535", "tls:caller.example.net"];
            home.peers = carriers.map(|rule| PeerRule::carrier(rule).unwrap()).into();
        },
        |_, _| (),
    );
    world.prove(CALLER, &["caller.example.net"]);
    world.names.zone = zone.to_owned();
    let bob = Phone::foreign("bob", BOB);
    let mut register = Register::new("bob", BOB);
    register.route = String::new();
    register.login(&mut world, HOME);
    let token = if node == HOME { "TCP" } else { "TLS" };
    let invite = bob.request("INVITE", "sip:bob@example.com", 1, "", "");
    let via = format!("{token} {sent_by};branch");
    let invite = invite.replace(&format!("UDP {BOB};rport;branch"), &via);
    assert!(invite.contains(&via), "{invite}");
    world.connect(CALLER, node);
    world.send(CALLER, node, &invite);
    assert!(world.receive(CALLER).text.starts_with("SIP/2.0 100 "));
    let invite = bob.receive(&mut world);
    world.close(CALLER, node);
    (world, bob, invite)
}

/// Where the answer came, among these; empty: nowhere.
fn came(world: &mut World, status: &str, places: &[&str]) -> Vec<String> {
    let mut came = Vec::new();
    for at in places {
        while world.has(at) {
            let seen = world.receive(at);
            assert_eq!(&seen.text[8..11], status, "{}", seen.text);
            assert_ne!(seen.transport, Transport::Udp);
            came.push(seen.to.to_string());
        }
    }
    came
}

#[test]
fn an_answer_finds_its_caller_by_the_sent_by() {
    // X-4, N-10: nobody listens where the request came from.
    let srv = "_sip._tcp.caller.example.net 60 SRV 2 0 5072 b.example.net\n\
        _sip._tcp.caller.example.net 60 SRV 1 0 5071 a.example.net\n\
        _sip._udp.caller.example.net 60 SRV 0 0 5079 b.example.net\n\
        caller.example.net 60 A 203.0.113.22\n\
        a.example.net 60 A 203.0.113.20\nb.example.net 60 A 203.0.113.21\n";
    let plain = "caller.example.net 60 A 203.0.113.22\n";
    for (sent_by, zone, listen, want) in [
        // By priority; and the next one when that is not there.
        ("caller.example.net", srv, "203.0.113.20:5071", true),
        ("caller.example.net", srv, "203.0.113.21:5072", true),
        // SRV records stand before addresses, and another transport's are none.
        ("caller.example.net", srv, "203.0.113.22:5060", false),
        ("caller.example.net", srv, "203.0.113.21:5079", false),
        // Without any, and with a port, its addresses.
        ("caller.example.net", plain, "203.0.113.22:5060", true),
        ("caller.example.net:5077", srv, "203.0.113.22:5077", true),
        ("caller.example.net:5077", srv, "203.0.113.20:5071", false),
        // An address is one.
        ("203.0.113.30:5078", "", "203.0.113.30:5078", true),
        ("203.0.113.30", "", "203.0.113.30:5060", true),
        // Where it came from is tried first.
        ("caller.example.net:5077", srv, "203.0.113.9:5077", true),
        ("nowhere.example.net", srv, "203.0.113.22:5060", false),
    ] {
        for status in [200, 486] {
            let (mut world, bob, invite) = hung_up(HOME, sent_by, zone);
            world.listen(listen);
            bob.answer(&mut world, HOME, &invite, status, "Final");
            let at = came(&mut world, &status.to_string(), &[listen]);
            let want = want.then(|| listen.to_owned());
            assert_eq!(at, Vec::from_iter(want), "{sent_by}\n{}", world.ladder());
            world.drained();
        }
    }
}

#[test]
fn an_answer_does_not_look_for_its_caller_for_ever() {
    // so many addresses, and not one more.
    let tries = u8::try_from(limits::RETURN_TRIES_MAX).unwrap();
    // The first try is where the request came from.
    for (dead, want) in [(tries - 2, true), (tries - 1, false)] {
        let host = |index: u8| format!("203.0.113.{}", 100 + index);
        let line = |index| {
            let ip = host(index);
            format!(
                "_sip._tcp.caller.example.net 60 SRV {index} 0 5060 s{index}.example.net\n\
                 s{index}.example.net 60 A {ip}\n"
            )
        };
        let zone: String = (0..=dead).map(line).collect();
        let (mut world, bob, invite) = hung_up(HOME, "caller.example.net", &zone);
        let last = format!("{}:5060", host(dead));
        world.listen(&last);
        bob.answer(&mut world, HOME, &invite, 200, "OK");
        assert_eq!(world.has(&last), want, "{dead}\n{}", world.ladder());
        world.drained();
    }
}

#[test]
fn the_last_word_goes_when_the_dns_has_answered() {
    // a caller that was away needs no ringing. A DNS that is too slow is
    // not waited for.
    let zone = "caller.example.net 60 A 203.0.113.22\n";
    let listen = "203.0.113.22:5060";
    for (after, want) in [
        (Duration::from_secs(1), &[listen][..]),
        (limits::DNS_WAIT_MAX + Duration::from_secs(2), &[]),
    ] {
        let (mut world, bob, invite) = hung_up(HOME, "caller.example.net", zone);
        world.listen(listen);
        world.names.answers = Answers::Held;
        bob.answer(&mut world, HOME, &invite, 180, "Ringing");
        bob.answer(&mut world, HOME, &invite, 486, "Busy Here");
        world.pass(after);
        assert!(!world.has(listen));
        world.answer_names(Answers::AtOnce);
        assert_eq!(came(&mut world, "486", &[listen]), want, "{after:?}");
        world.drained();
    }
}

#[test]
fn over_tls_the_new_connection_proves_the_sent_by() {
    // X-4, C-3, RFC 5922 §7.3: whatever host the SRV records lead to.
    let (first, second) = ("203.0.113.20:5061", "203.0.113.21:5061");
    let zone = "_sips._tcp.caller.example.net 60 SRV 1 0 5061 a.example.net\n\
        _sips._tcp.caller.example.net 60 SRV 2 0 5061 b.example.net\n\
        _sip._tcp.caller.example.net 60 SRV 0 0 5060 a.example.net\n\
        a.example.net 60 A 203.0.113.20\nb.example.net 60 A 203.0.113.21\n";
    for (proves, want) in [
        (["caller.example.net", "caller.example.net"], Some(first)),
        (["a.example.net", "caller.example.net"], Some(second)),
        (["203.0.113.20", "b.example.net"], None),
    ] {
        let (mut world, bob, invite) = hung_up(HOME_TLS, "caller.example.net", zone);
        for (at, proves) in [first, second].into_iter().zip(proves) {
            world.prove(at, &[proves]);
            world.listen(at);
        }
        world.listen("203.0.113.20:5060");
        bob.answer(&mut world, HOME, &invite, 200, "OK");
        let at = came(&mut world, "200", &[first, second, "203.0.113.20:5060"]);
        assert_eq!(at, Vec::from_iter(want.map(str::to_owned)), "{proves:?}");
        world.drained();
    }
}

#[test]
fn a_via_opens_no_more_connections_than_its_sender_may() {
    // whom the sent-by names has not asked for it.
    let victim = "203.0.113.66";
    let zone = format!("caller.example.net 60 A {victim}\n");
    let (mut world, bob, _) = hung_up(HOME, "caller.example.net", &zone);
    let may = limits::SOURCE_ROAMING.1;
    for number in 0..may + 50 {
        world.connect(CALLER, HOME);
        let port = 10_000 + number;
        world.listen(&format!("{victim}:{port}"));
        let text = bob.request("MESSAGE", "sip:bob@example.com", 10 + number, "", "");
        let via = format!("TCP caller.example.net:{port};branch");
        let text = text.replace(&format!("UDP {BOB};rport;branch"), &via);
        world.send(CALLER, HOME, &text);
        world.close(CALLER, HOME);
        let message = bob.receive(&mut world);
        bob.answer(&mut world, HOME, &message, 200, "OK");
    }
    let trace = world.trace.iter();
    let reached = trace.filter(|seen| seen.to.ip().to_string() == victim);
    assert_eq!(reached.count(), may as usize);
}
