//! Loops and spirals (RFC 5393; L-1 to L-6).

use super::peer::{CORE, FAR, expect, mask, request, respond, silent, status};
use super::phone::Phone;
use super::world::{EDGES, HOME, Tokens, World};

/// Somebody the home trusts, from whom requests come back that went to `FAR`.
const BACK: &str = "127.0.0.13:40070";
const BOB: &str = "sip:bob@127.0.0.9";

/// A request that was at the home and comes back, as `change` makes it.
#[track_caller]
fn returned(method: &str, change: impl Fn(&str) -> String) -> (World, String) {
    let mut world = World::lab(Tokens::Clear);
    world.send(CORE, HOME, &request(method, BOB, "loop", ""));
    let received = expect(&mut world, FAR, method);
    world.forget();
    let (start, rest) = received.split_once("\r\n").unwrap();
    let hop = format!("{start}\r\nVia: SIP/2.0/UDP {BACK};branch=z9hG4bKback\r\n{rest}");
    world.send_bytes(BACK, HOME, change(&hop).as_bytes());
    (world, received)
}

/// What `BACK` gets: an answer, or the request once more.
#[track_caller]
fn outcome(world: &mut World) -> String {
    let first = world.receive(BACK).text;
    let text = if first.starts_with("SIP/2.0 100") {
        world.receive(BACK).text
    } else {
        first
    };
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_request_that_meets_itself_gets_482() {
    // L-1, L-2, L-3
    let (mut world, _) = returned("MESSAGE", str::to_owned);
    assert_eq!(outcome(&mut world), "SIP/2.0 482");
    assert_eq!(world.counter(HOME, "loops"), 1);
    world.drained();
    // The method is no input of the decision, nor are the Vias of others.
    let (mut world, _) = returned("MESSAGE", |text| {
        let other = text.replace("MESSAGE", "INFO");
        other
            .replacen(
                "Via: ",
                "Via: SIP/2.0/UDP x;odd;y=\"a,;b\";branch=\"q\"\r\nVia: ",
                2,
            )
            .replacen("Via: SIP/2.0/UDP x;odd", "X: ", 1)
    });
    assert_eq!(outcome(&mut world), "SIP/2.0 482");
    world.drained();
}

#[test]
fn a_request_that_comes_back_changed_is_a_spiral() {
    // L-2, L-3: another Request-URI, another call.
    for (old, new) in [
        (BOB, "sip:carol@127.0.0.9"),
        ("Call-ID: loop", "Call-ID: other"),
    ] {
        let (mut world, received) = returned("MESSAGE", |text| text.replace(old, new));
        let again = world.receive(FAR).text;
        assert!(again.starts_with("MESSAGE "), "{again}");
        assert_ne!(mask(&again), mask(&received));
        assert_eq!(world.counter(HOME, "loops"), 0);
        respond(&mut world, FAR, &again, 200);
        assert_eq!(status(&mut world, BACK), 200);
        respond(&mut world, FAR, &received, 200);
        assert_eq!(status(&mut world, CORE), 200);
        world.drained();
    }
    // Another Route of ours in front (L-2: the values it used).
    let (mut world, received) = returned("MESSAGE", |text| {
        text.replacen("Via:", "Route: <sip:example.com;lr>\r\nVia:", 1)
    });
    assert!(world.receive(FAR).text.starts_with("MESSAGE "));
    respond(&mut world, FAR, &received, 200);
    world.drained();
}

#[test]
fn odd_parameters_in_other_vias_are_no_obstacle() {
    // L-6
    let odd = "Via: SIP/2.0/UDP other.example;branch=z9hG4bK.1;received;weird=\"a, b;c\";=x\nVia: SIP/2.0/UDP 127.0.0.10\nMax-Forwards";
    let mut world = World::lab(Tokens::Clear);
    let text = request("MESSAGE", BOB, "odd", "").replace("Max-Forwards", odd);
    world.send(CORE, HOME, &text);
    let received = expect(&mut world, FAR, "MESSAGE");
    assert!(
        received.contains(
            &odd.replace('\n', "\r\n")
                .replace("\r\nMax-Forwards", "\r\n")
        ),
        "{received}"
    );
    respond(&mut world, FAR, &received, 200);
    assert_eq!(status(&mut world, CORE), 200);
    world.drained();
}

#[test]
fn a_call_between_two_phones_of_one_edge_spirals() {
    // L-3, R-6: the edge is passed twice.
    let mut world = World::lab(Tokens::Clear);
    let mut joe = Phone::new("joe", "127.0.0.1:5070", true);
    let mut ann = Phone::new("ann", "127.0.0.1:5080", true);
    joe.register(&mut world, EDGES[0]);
    ann.register(&mut world, EDGES[0]);
    let invite = joe.request("INVITE", "sip:ann@example.com", 1, "", "");
    joe.send(&mut world, EDGES[0], &invite);
    assert_eq!(joe.status(&mut world), 100);
    let received = ann.receive(&mut world);
    assert!(
        received.starts_with("INVITE sip:ann@127.0.0.1:5080 "),
        "{received}"
    );
    assert_eq!(Phone::values(&received, "Record-Route").len(), 3);
    ann.answer(&mut world, EDGES[0], &received, 200, "OK");
    let ok = joe.receive(&mut world);
    joe.dialog(&ok, true);
    ann.dialog(&received, false);
    joe.in_dialog(&mut world, EDGES[0], "ACK", 1);
    assert!(
        ann.receive(&mut world)
            .starts_with("ACK sip:ann@127.0.0.1:5080 ")
    );
    ann.in_dialog(&mut world, EDGES[0], "BYE", 1);
    let bye = joe.receive(&mut world);
    assert!(bye.starts_with("BYE sip:joe@127.0.0.1:5070 "), "{bye}");
    joe.answer(&mut world, EDGES[0], &bye, 200, "OK");
    assert_eq!(ann.status(&mut world), 200);
    assert_eq!(
        world.counter(EDGES[0], "loops") + world.counter(HOME, "loops"),
        0
    );
    world.drained();
    silent(&world, &["127.0.0.1:5070", "127.0.0.1:5080"]);
}
